"""The files of a Keras checkpoint: written while training waits, or from copies when it goes on."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ckptkit_files import Create, read_into_memory

from ckptkit.backend import SnapshotContext
from ckptkit_hooks import keras_state
from ckptkit_hooks.keras_copies import Copies, values_of

PROGRESS = "progress.json"


class KerasFiles:
    """See ``ckptkit_files.Contents``.

    Args:
        model: built and compiled.
        progress: what ``progress.json`` says besides its ``variables``, which are of ``keras_state``.
        arrays: the live arrays that lie beside the weights, by name.
        on_wait: called with the reason if Keras's file has to be written while training waits.
    """

    names: Sequence[str] = (keras_state.WEIGHTS, keras_state.ARRAYS, PROGRESS)

    def __init__(
        self,
        model: Any,
        progress: Mapping[str, Any],
        arrays: Mapping[str, Any],
        on_wait: Callable[[Exception], None],
    ) -> None:
        self._model, self._progress, self._arrays, self._on_wait = model, progress, arrays, on_wait

    def write(self, directory: Path, create: Create) -> None:
        """Let Keras write its file, and write what it lacks beside it."""
        path = directory / keras_state.WEIGHTS
        self._model.save_weights(path)
        variables = keras_state.Variables(self._model, values_of)
        self._write_beside(directory, create, variables, keras_state.count(path), self._arrays)

    def apart(self, context: SnapshotContext) -> Callable[[Path, Create], None]:
        """Copy all variables and arrays, and return what writes the files later."""
        copies = Copies(context)
        write_weights, count = self._weights(context, copies)
        for variable in keras_state.all_variables(self._model):
            copies.of(variable)
        variables = keras_state.Variables(self._model, copies.made)
        arrays = {name: copies.of(array) for name, array in self._arrays.items()}

        def write(directory: Path, create: Create) -> None:
            write_weights(directory / keras_state.WEIGHTS)
            self._write_beside(directory, create, variables, count, arrays)

        return write

    def _weights(self, context: SnapshotContext, copies: Copies) -> tuple[Callable[[Path], object], int]:
        """Return what writes Keras's file, and how many arrays are in it."""
        try:
            from ckptkit_hooks.keras_recorder import recorded  # imports what Keras may move or change

            record = recorded(self._model, keras_state.optimizers_of(self._model), copies.of)
        except Exception as error:  # of whatever class: a layer, or this Keras, saves in a way of its own
            self._on_wait(error)
        else:
            return record.write, record.count
        with tempfile.TemporaryDirectory(prefix="ckptkit-") as folder:
            path = Path(folder, keras_state.WEIGHTS)
            self._model.save_weights(path)
            content = read_into_memory(path, context)
            return lambda path: path.write_bytes(content), keras_state.count(path)

    def _write_beside(
        self, directory: Path, create: Create, variables: keras_state.Variables, count: int, arrays: Mapping[str, Any]
    ) -> None:
        import numpy as np

        with create(directory / keras_state.ARRAYS) as stream:
            np.savez(stream, **arrays, **variables.beside(count))
        with create(directory / PROGRESS) as stream:
            said = {**self._progress, "variables": variables.said(count)}
            stream.write(json.dumps(said, allow_nan=False).encode())

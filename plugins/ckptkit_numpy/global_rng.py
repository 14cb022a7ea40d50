"""The random generators of the whole process, as one item: Python's, NumPy's global one, torch's, and named ones."""

import random
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, ClassVar, Self

from ckptkit.errors import BackendError, BackendUnavailableError, DamagedError
from ckptkit_numpy import live, live_trees, rng_file
from ckptkit_numpy.containers import Shapes
from ckptkit_numpy.fitting import said_of
from ckptkit_numpy.opening import opened, slotted
from ckptkit_numpy.rng_file import RngState, new_state


class GlobalRng:
    """The generators behind ``random``, ``numpy.random`` and ``torch`` (CPU and every CUDA device), as one object.

    What a process has not imported is not captured; what a checkpoint has is imported to be put back. Not captured:
    torch on MPS, TensorFlow's global generator. As a context manager it runs a block, an evaluation say, and puts all
    generators back as they were::

        with GlobalRng():
            evaluate(model)

    Args:
        generators: generators by name, or containers of them, saved and put back together with the global ones.
        cuda: False leaves the generators of CUDA devices alone, at save and at restore. True makes torch start CUDA
            where there is a device.
        named: the same as ``generators``, as keywords: ``GlobalRng(aug=rng)``.

    Attributes:
        generators: the named ones, in a dict of its own.
        built: what the program gave under each name, in words: training may change ``generators``.
    """

    ambient: ClassVar[bool] = True
    """State of the whole process: the store captures it first and last, and refuses the save if that differs."""

    def __init__(self, generators: Mapping[str, Any] | None = None, /, *, cuda: bool = True, **named: Any) -> None:
        self.generators: dict[str, Any] = {**(generators or {}), **named}
        self.cuda = cuda
        self.built = self.said()
        self._entered: list[RngState] = []

    def live_tree(self) -> dict[str, Any]:
        """Return the live generators of this process, by part: python, numpy, torch, generators."""
        tree: dict[str, Any] = {"python": _python(), "generators": opened(self.generators)}
        if sys.modules.get("numpy") is not None:
            tree["numpy"] = _numpy()
        if sys.modules.get("torch") is not None:
            tree["torch"] = _torch(self.cuda)
        return tree

    def said(self) -> dict[str, str]:
        """Return what stands under each name now, in words."""
        return {name: said_of(slotted(item, self.generators, name)) for name, item in self.generators.items()}

    def capture(self) -> RngState:
        """Return the state of all generators as plain JSON values; nothing is drawn from them.

        Raises:
            BackendError: a generator cannot be captured; the message names it.
        """
        return new_state("global", live_trees.capture_tree(self.live_tree()))

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put back what ``capture`` returned (or what ``json.load`` reads from rng.json); all of it, or nothing.

        Raises:
            DamagedError: the state is not valid; the message names the field.
            BackendError: a generator is missing here, or cannot be what was saved. What is otherwise in a container
                here becomes what was saved, and is logged.
        """
        if not rng_file.is_global(state):
            raise DamagedError("this is not the state of the global generators of a process")
        found = next(rng_file.faults(state), None)
        if found is not None:
            raise DamagedError(found)
        self._put_and_log(rng_file.decoded_tree(state))

    def put(
        self, saved: Mapping[str, Any], shapes: Shapes | None = None, built: Mapping[str, str] | None = None
    ) -> list[str]:
        """Put a judged JSON tree back, importing the libraries it needs; parts that it does not have stay as they are.

        Args:
            saved: the tree.
            shapes: the types of the containers among the named generators, where they are known.
            built: what the names were before training changed them, where it did: names and kinds that are so here
                become what was saved. Otherwise they must be what was saved; only what is in containers may differ.

        Returns:
            One line for each place that is not as it was here.

        Raises:
            BackendError: a generator is missing here, or cannot be what was saved.
        """
        target: dict[str, Any] = {"python": _python(), "generators": self.generators}
        wanted = dict(saved)
        if "numpy" in saved:
            target["numpy"] = _imported("numpy", _numpy)
        if "torch" in saved:
            if not self.cuda:
                wanted["torch"] = {**saved["torch"], "cuda": []}
            count = len(wanted["torch"]["cuda"])
            here = _imported("torch", lambda: _torch(count > 0))
            if len(here["cuda"]) < count:
                raise BackendUnavailableError(
                    f"torch.cuda: the checkpoint has {count} CUDA devices, this process has {len(here['cuda'])}",
                    hint="resume on as many devices, or leave them out with GlobalRng(cuda=False)",
                )
            target["torch"] = {**here, "cuda": here["cuda"][:count]}
        return live_trees.put_tree(wanted, target, shapes, fixed=built is None or dict(built) != self.said())

    def __enter__(self) -> Self:
        self._entered.append(self.capture())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._put_and_log(rng_file.tree_of(self._entered.pop()))

    def _put_and_log(self, saved: Mapping[str, Any]) -> None:
        import logging  # a verification imports this file, and takes less time without

        for note in self.put(saved):
            logging.getLogger("ckptkit_numpy").warning("%s", note)


class RngSnapshot:
    """Copies of generators, taken at one moment: saved like the generators themselves, while these go on drawing.

    Args:
        tree: the copies, by the parts of ``rng.json`` (``generators`` and the global ones).
        is_global: they are copies of the global generators of a process.
    """

    def __init__(self, tree: Mapping[str, Any], *, is_global: bool) -> None:
        self.tree = dict(tree)
        self.is_global = is_global

    def capture(self) -> RngState:
        """Return the state of the copies as plain JSON values; ``GlobalRng.restore`` takes it."""
        return new_state("global" if self.is_global else "generators", live_trees.capture_tree(self.tree))


def live_tree_of(item: Any) -> dict[str, Any]:
    """Return the live generators behind what can be saved: a GlobalRng, a snapshot, or generators."""
    if isinstance(item, GlobalRng):
        return item.live_tree()
    return item.tree if isinstance(item, RngSnapshot) else {"generators": opened(item)}


def is_global_item(item: Any) -> bool:
    """Return whether a live item stands for the generators of the whole process."""
    return isinstance(item, GlobalRng) or (isinstance(item, RngSnapshot) and item.is_global)


def _python() -> Any:
    return random._inst  # the object whose methods the module's functions are


def _numpy() -> Any:
    import numpy

    return numpy.random.mtrand._rand


def _torch(cuda: bool) -> dict[str, Any]:
    import torch

    devices: list[Any] = []
    if cuda and torch.cuda.is_available():
        try:
            torch.cuda.init()
        except RuntimeError as error:
            raise BackendError(
                f"torch cannot start CUDA to reach its generators ({str(error).splitlines()[0]})",
                hint="in a forked worker, or if they are not needed: GlobalRng(cuda=False)",
            ) from error
        devices = list(torch.cuda.default_generators)
    return {"cpu": torch.default_generator, "cuda": devices}


def _imported(library: str, part: Any) -> Any:
    try:
        return part()
    except ImportError as error:
        raise live.missing(library) from error

"""Is it still the dataset that was saved? Asked before anything is read back, and answered with what changed."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from ckptkit.errors import BackendError, RefusedError
from ckptkit_tfdata.definition import differences
from ckptkit_tfdata.iterator import PersistentIterator
from ckptkit_tfdata.lazy_import import tensorflow
from ckptkit_tfdata.records import RecordFiles, changes
from ckptkit_tfdata.state_file import StateFile

_LOG = logging.getLogger("ckptkit_tfdata")


def refuse_changed(state_file: StateFile, iterator: PersistentIterator) -> None:
    """Raise BackendError unless the iterator's dataset is the one that the state file describes; say what differs.

    Where both the saved and this program say what it is made from, and differ, that is told: RefusedError.

    TensorFlow itself accepts most changes and gives other data later on, or crashes the process.

    Written by another TensorFlow, fingerprints need not be equal for equal datasets. Then the summaries of ops must
    be, with all their parameters and functions; a difference that they do not show is logged as a warning.
    """
    _refuse_other_settings(state_file.settings, iterator.settings)
    now = iterator.definition
    found: list[str] = []
    if state_file.fingerprint != now.fingerprint:
        found += differences(state_file.ops, now.ops)
        version = tensorflow().__version__
        if not found and state_file.tensorflow == version:
            found.append("a value or a function within it")
        elif not found:
            _LOG.warning(
                "tf-data: saved with TensorFlow %s, resumed with %s: the summaries of the dataset are equal, the "
                "fingerprints cannot be compared",
                state_file.tensorflow,
                version,
            )
    if state_file.element_spec != now.element_spec:
        found.append(f"element_spec {state_file.element_spec} -> {now.element_spec}")
    if iterator.declares_files:
        found += changes(state_file.record_files, iterator.record_files())
    else:  # the graph says which files, and was compared
        found += changes(state_file.record_files, RecordFiles(r.path for r in state_file.record_files).records())
    if found:
        raise BackendError(
            f"tf-data: the dataset is not the one that was saved: {'; '.join(found)}",
            hint="build the dataset exactly as it was at the save (code, arguments, files), or start the data over",
        )


def _refuse_other_settings(saved: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> None:
    if saved is None or now is None:  # one of the two does not say
        return
    then, here = dict(_flat(saved)), dict(_flat(now))
    found = [
        f"{name} {_shown(then, name)} -> {_shown(here, name)}"
        for name in sorted({*then, *here})
        if then.get(name, _UNSET) != here.get(name, _UNSET)
    ]
    if found:
        raise RefusedError(
            f"tf-data: the state belongs to another definition: {'; '.join(found)}",
            hint="use the settings of the save, or start the data over",
        )


_UNSET = object()


def _shown(settings: Mapping[str, Any], name: str) -> str:
    text = repr(settings.get(name, "unset"))
    return text if len(text) <= 80 else f"{text[:60]} ... {text[-16:]}"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value

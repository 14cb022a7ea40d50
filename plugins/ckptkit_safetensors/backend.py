"""The backend itself: a torch policy, a module, or a dict of tensors, in files that need no ckptkit to be read."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ckptkit.backend import CheckContext, LoadContext, Proof, SaveContext, SavedItem, SnapshotContext
from ckptkit.errors import BackendError, DamagedError, NewerFormatError, UnsafeContentError
from ckptkit.problem import Problem
from ckptkit_safetensors import best, check, kinds, layouts
from ckptkit_safetensors.policy import Policy

if TYPE_CHECKING:
    from ckptkit_safetensors.capture import Snapshot

# What only saving, loading and adopting need they import themselves: a verification takes less time than that.


class SafetensorsBackend:
    """Saves a ``Policy``, a ``torch.nn.Module``, or a flat dict of torch tensors and NumPy arrays.

    Files: ``policy.safetensors``, ``policy_record.json`` and, where the item has them, ``optimizer_state.pth`` (loads
    with ``weights_only=True``), ``scheduler_state.pth``, ``scaler_state.pth``, ``ema.safetensors``,
    ``gradients.safetensors``, ``preprocessor_config.json``, ``postprocessor_config.json``, ``extra.json``,
    ``probe_input.safetensors``. Two saves of equal state are equal byte by byte. Without ckptkit:
    ``safetensors.torch.load_model(model, "policy.safetensors")``; it also restores tied weights, of which the file
    holds one. Global random generators are not part of the item: save them beside it.
    """

    name: ClassVar[str] = "safetensors"
    format_version: ClassVar[int] = 3
    looks_for: ClassVar[str] = "a .safetensors file, or a folder with a model in one"

    def can_save(self, item: object, /) -> bool:
        """Return whether the item is one of those."""
        return isinstance(item, Policy) or kinds.is_module(item) or kinds.is_tensor_dict(item)

    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        """Write the item into the empty folder.

        The grade is ``complete`` with an optimizer, or where nothing is trained; else ``weights-only``. With
        ``context.probe`` the digest of each part is noted: that of its file, taken while it was written.

        Raises:
            BackendError: something cannot be saved exactly (the message names it), or training went on meanwhile.
        """
        captured = _captured(item, probe=context.probe)
        with _unchanged(captured):
            return _saved(captured, directory, context)

    def snapshot(self, item: Any, /, *, context: SnapshotContext) -> "_Copied":
        """Copy the state out; the model answers an example input now, and digests are taken while it is written.

        Raises:
            BackendError: see ``save``.
        """
        from ckptkit_safetensors.copied import copy_out

        captured = _captured(item, probe=context.probe)
        with _unchanged(captured):
            return _Copied(*copy_out(captured, context))

    def load(self, directory: Path, *, target: Any | None, context: LoadContext) -> Any:
        """Put the state into the target in place, or return it.

        Args:
            directory: the item's folder.
            target: a ``Policy`` that matches the checkpoint part by part; a bare module or dict of tensors, which takes
                the weights only; or None.
            context: the item's files; the folder is listed if it names none.

        Returns:
            The target. Without one: the dict of tensors, if that is what was saved; else ``{"model": tensors}`` and,
            where saved, ``optimizer``, ``scheduler``, ``scaler`` (as for their ``load_state_dict``), ``ema``,
            ``gradients``, ``preprocessor``, ``postprocessor``, ``extra``.

        Raises:
            DamagedError: the files do not hold what they should.
            UnsafeContentError: a ``.pth`` file holds more than plain values and tensors.
            BackendError: the state does not fit the target, which is unchanged.
        """
        from ckptkit_safetensors import restore

        if context.format_version > self.format_version:
            message = f"{directory.name}: format {context.format_version} of the safetensors backend is newer than ours"
            raise NewerFormatError(message)
        files = context.files or _listed(directory)
        layout = layouts.find(directory, files)
        _refuse_damaged(
            directory, [name for name in files if name in {*layout.files(), layouts.PROBE_INPUT, layouts.RECORD}]
        )
        stored = restore.read(directory, layout, files)
        if target is None:
            return stored.plain()
        restore.put(stored, target, context.notes)
        return target

    def check(self, directory: Path, *, context: CheckContext) -> Iterable[Problem]:
        """Yield what is wrong with the structure of the files; reads no tensor, unpickles nothing."""
        files = list(context.files or _listed(directory))
        noted = context.metadata.get("components", {})
        files += [name for name in noted.values() if name not in files] if isinstance(noted, Mapping) else []
        yield from check.check_files(directory, files)
        yield from best.problems(context.metadata, files)

    def recognise(self, path: Path, /) -> Mapping[str, Path] | None:
        """Recognise a ``.safetensors`` file, or a folder with a model and what lies beside it (not its subfolders)."""
        from ckptkit_safetensors import ingest

        return ingest.recognise(path)

    def describe(self, directory: Path, *, context: CheckContext) -> SavedItem:
        """Return what the files say: parts, dtypes, and the step by folder name, trainer state or our own record.

        Raises:
            InconsistentSetError: these do not agree on the step.
            DamagedError: the model's header or the trainer's state cannot be read.
        """
        from ckptkit_safetensors import ingest

        return ingest.describe(directory, replace(context, files=context.files or _listed(directory)))

    def prove(self, directory: Path, *, context: LoadContext) -> Proof:
        """Compare every part with its digest at save, and what the ``model`` factory builds with what was saved.

        The factory returns a module, or a ``Policy`` with all parts; only then can all of them be proven.
        """
        from ckptkit_safetensors import probe

        return probe.prove(directory, replace(context, files=context.files or _listed(directory)))

    def digests(self, item: Any, /) -> Mapping[str, str]:
        """Return the digest of each part of a live item: ``model``, ``optimizer``, ``ema``, ..."""
        from ckptkit_safetensors import part_digests
        from ckptkit_safetensors.capture import capture

        return part_digests.of(capture(item))

    def differing(
        self, item: Any, directory: Path, parts: Collection[str], /, *, context: LoadContext
    ) -> Collection[str]:
        """Return which of these parts of a live item do not have the values of the files, whatever their digests."""
        from ckptkit_safetensors import part_digests, restore
        from ckptkit_safetensors.capture import capture

        files = context.files or _listed(directory)
        stored = restore.read(directory, layouts.find(directory, files), files)
        return part_digests.different(stored, capture(item), parts)

    def estimate_bytes(self, item: Any, /) -> int:
        """Return about how many bytes a save will write, from sizes alone."""
        from ckptkit_safetensors import estimate

        return estimate.of(item)


@dataclass(frozen=True, slots=True)
class _Copied:
    """A state apart from the live objects; it may be read once ``ready`` returns."""

    captured: "Snapshot"
    ready: Callable[[], None]

    def write(self, directory: Path, *, context: SaveContext) -> SavedItem:
        """See ``Pending.write``."""
        self.ready()
        return _saved(self.captured, directory, context)


def _captured(item: Any, *, probe: bool) -> "Snapshot":
    """Return the state by reference and, for a probe, what the model answers to the example input."""
    from ckptkit_safetensors.capture import capture

    captured = capture(item)
    if probe:
        from ckptkit_safetensors.probe import observe

        observe(captured, item)
    return captured


@contextmanager
def _unchanged(captured: "Snapshot") -> Iterator[None]:
    """Raise BackendError if the state is changed in the block."""
    before = captured.versions()
    yield
    if captured.versions() != before:
        raise BackendError("the state changed while it was saved", hint="do not train while a save runs")


def _saved(captured: "Snapshot", directory: Path, context: SaveContext) -> SavedItem:
    from ckptkit_safetensors import grading, part_digests, probe, writing

    written = writing.write(captured, directory, context)
    digests = part_digests.of(captured, written.digests) if context.probe else {}
    return SavedItem(
        _metadata(captured, written.components),
        step=context.step,
        captured=grading.grade(captured),
        hazards=captured.hazards,
        probe=probe.record(digests, captured.output, captured.exchanged()) if context.probe else None,
        draws=captured.draws,
    )


def _metadata(captured: "Snapshot", components: Mapping[str, str]) -> dict[str, Any]:
    from ckptkit_safetensors.tensors import describe

    dtypes: dict[str, int] = {}
    elements = 0
    for value in captured.model.tensors.values():
        shape, dtype = describe(value)
        dtypes[dtype] = dtypes.get(dtype, 0) + 1
        count = 1
        for side in shape:
            count *= side
        elements += count
    classes = {key: value for key, value in captured.record.items() if isinstance(value, str)}
    counts = {"components": dict(components), "tensors": len(captured.model.tensors), "elements": elements}
    return {**classes, **counts, "dtypes": dtypes, "tied": len(captured.model.aliases)}


def _listed(directory: Path) -> list[str]:
    return sorted(str(entry.relative_to(directory)) for entry in directory.rglob("*") if not entry.is_dir())


def _refuse_damaged(directory: Path, files: Sequence[str]) -> None:
    for problem in check.check_files(directory, files):
        text = f"{problem.file or directory.name}: {problem.message}"
        if problem.severity == "unsafe":
            raise UnsafeContentError(text)
        if problem.severity == "error":
            raise DamagedError(text)

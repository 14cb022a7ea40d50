"""What the author of a backend fills in, and the small driver that the laws use to save, load and compare."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ckptkit.backend import CheckContext, Grade, LoadContext, SaveContext, SavedItem
from ckptkit.errors import CkptkitError
from ckptkit.formats import strict_json
from ckptkit.problem import Problem
from ckptkit.testing.limits import in_time
from ckptkit.testing.outputs import same_output, short
from ckptkit.testing.skips import Skips
from ckptkit.testing.tree import files_in


@dataclass(frozen=True, slots=True)
class Saved:
    """An item on disk, as a store would remember it: what ``save`` returned has been through JSON and back.

    Attributes:
        directory: the item's folder.
        files: paths relative to it, as they were right after the save.
        step: step of the checkpoint.
        said: what ``save`` returned.
        metadata: ``said.metadata`` as it comes back from a manifest.
        probe: ``said.probe`` as it comes back from a manifest.
    """

    directory: Path
    files: tuple[str, ...]
    step: int
    said: SavedItem
    metadata: Mapping[str, Any]
    probe: Mapping[str, Any] | None

    def at(self, directory: Path) -> "Saved":
        """Return the same record for a copy of the folder."""
        return replace(self, directory=directory)


class BackendHooks(Skips):
    """The hooks: ``backend``, ``make_item`` and ``advance`` are required, the others have defaults.

    Attributes:
        backend: the class under test.
        steps: how many outputs a run has; a resume is tried before each of them.
        heavy_modules: what looking at files must never import, in addition to these: name your framework.
        flips: how many single bits are flipped, one at a time, to see what happens; 0: another test class of the same
            backend tries them.
        limit_seconds: how long one call of the backend may take; meant for what hangs, not for what is slow.
        skips: ``{"test_name": "why"}`` or ``{"test_name[parameter]": "why"}``: a law that does not hold for this
            backend, shown as a skip with its reason.
    """

    backend: ClassVar[type[Any]]
    steps: ClassVar[int] = 6
    heavy_modules: ClassVar[Sequence[str]] = (
        "gymnasium", "jax", "numpy", "pandas", "polars", "safetensors", "sklearn", "stable_baselines3", "tensorflow",
        "torch",
    )  # fmt: skip
    flips: ClassVar[int] = 24
    limit_seconds: ClassVar[float] = 300.0

    @classmethod
    def all_heavy_modules(cls) -> Sequence[str]:
        """Return the heavy modules of the class and all its bases: naming one more removes none."""
        return sorted({name for one in cls.__mro__ for name in vars(one).get("heavy_modules", ())})

    def make_item(self) -> Any:
        """Return a fresh live item in its start state; two of them behave the same."""
        raise NotImplementedError(f"{type(self).__name__} must define make_item()")

    def advance(self, item: Any) -> object:
        """Use the item for one step and return its output: plain values, arrays, or anything with ``==``."""
        raise NotImplementedError(f"{type(self).__name__} must define advance()")

    def make_target(self) -> Any:
        """Return an object to load into, not in the saved state; None if the backend only builds new objects."""
        return self.make_item()

    def load(self, directory: Path, target: Any, context: LoadContext) -> Any:
        """Load and return the live object to advance; override it to finish a restore that has a second phase."""
        return self.backend().load(directory, target=target, context=context)

    def factories(self) -> Mapping[str, Callable[[], Any]]:
        """Return the factories by role (``dataset``, ``env``, ``model``) that loading and proving need."""
        return {}

    def lesser_items(self) -> Mapping[Grade, Callable[[], Any]]:
        """Return what makes an item, and its target, for each grade below ``complete`` that the backend gives."""
        return {}

    def changed_items(self) -> Mapping[str, tuple[Callable[[], Any], Callable[[Any], object]]]:
        """Return, by name, how a program builds an item, and what its training then changes in it besides ``advance``.

        Whatever real programs do: parts exchanged, added, removed, switched off. A new process builds the item again
        and changes nothing.
        """
        return {}

    def same(self, expected: object, actual: object) -> bool:
        """Return whether two outputs are equal to the last bit."""
        return same_output(expected, actual)

    def inspect_target(self, target: Any) -> object:
        """Return what shows whether a target was touched: by default, all its outputs from here on."""
        return self.outputs(target)

    def foreign_item(self) -> object:
        """Return an object that the backend must refuse to save and to load into."""
        return object()

    def make_misfit(self) -> Any:
        """Return a target that ``advance`` accepts but that the state does not fit (another shape or generator)."""
        pytest.skip("make_misfit() is not given")

    def ablations(self) -> Mapping[str, Callable[[Path], None]]:
        """Return edits of a saved folder, by name, that each lose one component; the proof must notice each."""
        return {}

    def outputs(self, item: Any, count: int | None = None) -> list[object]:
        """Return the next outputs of a live item (``steps`` of them unless told)."""
        return [self.advance(item) for _ in range(self.steps if count is None else count)]

    def save_to(
        self, directory: Path, item: Any, *, step: int = 0, probe: bool = True, factories: bool = True
    ) -> Saved:
        """Save an item into a new folder, and return its record.

        Args:
            directory: the new folder.
            item: what to save.
            step: step of the checkpoint.
            probe: whether to ask for a proof of resume.
            factories: whether the caller gives ``factories()``, as ``store.save(..., factories={...})`` passes them on;
                callers need not give any.
        """
        directory.mkdir(parents=True)
        context = SaveContext(step=step, probe=probe, factories=self.factories() if factories else {})
        with in_time(self.limit_seconds, "save()"):
            said = self.backend().save(item, directory, context=context)
        assert isinstance(said, SavedItem), f"save() returned {short(said)}, not a SavedItem"
        metadata = strict_json.loads(strict_json.dumps(said.metadata))
        recorded = None if said.probe is None else strict_json.loads(strict_json.dumps(said.probe))
        return Saved(directory, files_in(directory), step, said, metadata, recorded)

    def save_midway(
        self, directory: Path, *, probe: bool = True, factories: bool = True, grade: Grade = "complete"
    ) -> Saved:
        """Save a fresh item of the grade that has been used for half of its steps (at least one)."""
        item = self.make_item() if grade == "complete" else self.lesser_items()[grade]()
        done = max(1, self.steps // 2)
        self.outputs(item, done)
        return self.save_to(directory, item, step=done, probe=probe, factories=factories)

    def load_context(self, saved: Saved) -> LoadContext:
        """Return the context with which the store would load the item."""
        version: int = self.backend.format_version
        return LoadContext(
            files=saved.files,
            metadata=saved.metadata,
            format_version=version,
            step=saved.step,
            probe=saved.probe,
            factories=self.factories(),
        )

    def resume(self, saved: Saved, target: Any) -> Any:
        """Load an item and return the live object to continue with."""
        with in_time(self.limit_seconds, "load()"):
            return self.load(saved.directory, target, self.load_context(saved))

    def problems(self, saved: Saved) -> list[Problem]:
        """Return what ``check`` says about an item; an exception from ``check`` breaks a law."""
        context = CheckContext(
            files=saved.files,
            metadata=saved.metadata,
            format_version=self.backend.format_version,
            step=saved.step,
        )
        try:
            with in_time(self.limit_seconds, "check()"):
                return list(self.backend().check(saved.directory, context=context))
        except Exception as error:
            raise AssertionError(
                f"check() raised {type(error).__name__}: {error}; findings are data, yield a Problem instead"
            ) from error

    def assert_same_outputs(self, expected: Sequence[object], actual: Sequence[object], what: str) -> None:
        """Fail with the first output that differs and its place."""
        assert len(expected) == len(actual), f"{what}: {len(actual)} outputs instead of {len(expected)}"
        for place, (one, other) in enumerate(zip(expected, actual, strict=True), start=1):
            assert self.same(one, other), (
                f"{what}: output {place} of {len(expected)} differs\n  expected {short(one)}\n  got      {short(other)}"
            )

    def assert_refuses(self, action: Callable[[], object], what: str) -> None:
        """Fail unless the action raises an error of the ckptkit tree."""
        try:
            action()
        except CkptkitError as error:
            if len(str(error).splitlines()) != 1:
                raise AssertionError(f"{what}: the message is not one line: {str(error)!r}") from error
            return
        except Exception as error:
            raise AssertionError(
                f"{what}: raised {type(error).__name__} ({error}), which is not a CkptkitError; "
                "turn it into a DamagedError or a BackendError that names the file and the reason"
            ) from error
        raise AssertionError(f"{what}: was accepted without an error")

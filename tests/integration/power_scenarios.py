"""What ``power_points`` adds to the scenarios of ``kill_points``: what others wrote just now, and what is purged."""

import shutil
from pathlib import Path

import kill_scenarios
from kill_scenarios import (
    RUN,
    Adopt,
    AdoptInPlace,
    CopyTo,
    FirstSave,
    Prune,
    PruneAdopted,
    adopt,
    adopted,
    beside,
    flat,
    good,
    save,
    written,
)

from ckptkit import CheckpointStore
from ckptkit.errors import CkptkitError
from ckptkit.retention import RetentionPolicy


class FirstSaveInGivenFolder(FirstSave):
    """Somebody has made the folder of the run, and has not flushed it."""

    def operate(self, root: Path) -> None:
        (root / RUN).mkdir(parents=True, exist_ok=True)
        save(root, 3, tags=["later"])


class FirstSaveAfterAKill(FirstSave):
    """A save before this one was killed as soon as it had made its folders."""

    def operate(self, root: Path) -> None:
        (root / RUN / ".ckptkit" / "staging").mkdir(parents=True, exist_ok=True)
        save(root, 3, tags=["later"])


class CopyToGivenFolder(CopyTo):
    """The other store is an empty folder that somebody has made."""

    def operate(self, root: Path) -> None:
        beside(root).mkdir()
        CheckpointStore(root).copy_to(beside(root))


class AdoptWhatWasJustWritten(Adopt):
    """The trainer flushes nothing; what is adopted lasts all the same."""

    def prepare(self, root: Path) -> None:
        for step in (1, 2):
            written(root, step)
            adopted(root, step)

    def operate(self, root: Path) -> None:
        written(root, 3)
        adopted(root, 3)

    def again(self, root: Path) -> None:
        if 3 not in good(root):
            shutil.rmtree(root / RUN / "checkpoint-3", ignore_errors=True)
            self.operate(root)
        assert good(root) == {1, 2, 3}


class AdoptFirst(AdoptWhatWasJustWritten):
    """All of the run was written just now, and it is the first that is adopted."""

    older: set[int] = set()  # noqa: RUF012 - constant

    def prepare(self, root: Path) -> None:
        pass

    def again(self, root: Path) -> None:
        if 3 not in (good(root) if root.exists() else set()):
            shutil.rmtree(root, ignore_errors=True)
            self.operate(root)
        assert good(root) == {3}


class AdoptIntoAStoreElsewhere(AdoptFirst):
    """The manifests come into a store of their own."""

    def operate(self, root: Path) -> None:
        written(beside(root), 3)
        items = {"model": kill_scenarios.Wrote("checkpoint-3", backend="files")}
        store = CheckpointStore(root)
        store.adopt(RUN, "checkpoint-3", 3, items, folder=beside(root) / RUN)

    def again(self, root: Path) -> None:
        if 3 not in (good(root) if root.exists() else set()):
            shutil.rmtree(beside(root), ignore_errors=True)
            self.operate(root)
        assert good(root) == {3}


class AdoptInPlaceWhatWasJustWritten(AdoptInPlace):
    """Likewise for flat files."""

    def prepare(self, root: Path) -> None:
        for step in (1, 2):
            flat(root, step)
            adopt(root, step)

    def operate(self, root: Path) -> None:
        flat(root, 3)
        adopt(root, 3)

    def again(self, root: Path) -> None:
        if 3 not in good(root):
            (root / RUN / "rng.json").unlink(missing_ok=True)  # its trainer's own affair
            self.operate(root)
        assert good(root) == {1, 2, 3}


class Purge(Prune):
    """What has been in the trash for longer than the grace time goes for good."""

    def prepare(self, root: Path) -> None:
        super().prepare(root)
        Prune.operate(self, root)
        for entry in (root / RUN / ".ckptkit" / "trash").iterdir():
            entry.rename(entry.with_name(f"2020{entry.name[4:]}"))

    def operate(self, root: Path) -> None:
        store = CheckpointStore(root)
        store.prune(store.plan_prune(RetentionPolicy(keep_last=1)))

    def look(self, root: Path) -> None:
        assert good(root) >= {3}
        for one in CheckpointStore(root).removed():
            try:
                CheckpointStore(root).undelete(f"{RUN}@{one.step}")
            except CkptkitError:
                continue
            assert one.step in good(root), f"half of {one.step} came back"

    def again(self, root: Path) -> None:
        self.operate(root)
        assert good(root) == {3}


class PurgeAdopted(Purge):
    """Likewise for what a trainer wrote."""

    def prepare(self, root: Path) -> None:
        PruneAdopted.prepare(self, root)  # type: ignore[arg-type]
        Prune.operate(self, root)
        for entry in (root / RUN / ".ckptkit" / "trash").iterdir():
            entry.rename(entry.with_name(f"2020{entry.name[4:]}"))


class Unpin(kill_scenarios.Mark):
    """A pin and a tag are taken away."""

    def prepare(self, root: Path) -> None:
        save(root, 1), save(root, 2)
        for step in (1, 2):
            CheckpointStore(root).pin(f"{RUN}@{step}")

    def operate(self, root: Path) -> None:
        CheckpointStore(root).pin(f"{RUN}@2", pinned=False)

    def again(self, root: Path) -> None:
        self.operate(root)
        assert {one.at.step for one in CheckpointStore(root).list() if one.pinned} == {1}


SCENARIOS = kill_scenarios.SCENARIOS | {
    "first-save-in-given-folder": FirstSaveInGivenFolder,
    "first-save-after-a-kill": FirstSaveAfterAKill,
    "copy-to-given-folder": CopyToGivenFolder,
    "adopt-just-written": AdoptWhatWasJustWritten,
    "adopt-first": AdoptFirst,
    "adopt-elsewhere": AdoptIntoAStoreElsewhere,
    "adopt-in-place-just-written": AdoptInPlaceWhatWasJustWritten,
    "purge": Purge,
    "purge-adopted": PurgeAdopted,
    "unpin": Unpin,
}

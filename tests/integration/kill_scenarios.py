"""What ``kill_points`` kills: how the store looks before, the operation, and the laws that hold at every point."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from ckptkit_numpy import NumpyRngBackend

from ckptkit import CheckpointStore, registry
from ckptkit.cli import main as program
from ckptkit.errors import ConflictError
from ckptkit.retention import RetentionPolicy
from ckptkit.storage.local import replacing
from ckptkit.store import Details, Wrote

RUN = "run"
registry.backends()  # load the plugins before the fork


def items(step: int) -> dict[str, Any]:
    return {"rng": np.random.default_rng(step), "weights": {"w": np.arange(64.0) * step}}


def save(root: Path, step: int, **more: Any) -> None:
    CheckpointStore(root).save(RUN, step, items(step), **more)


def good(root: Path) -> set[int]:
    """Return the steps that are listed; every one of them must verify."""
    store = CheckpointStore(root)
    report = store.verify()
    for checkpoint in report.checkpoints:
        assert checkpoint.good, f"listed, but does not verify: {checkpoint.at.ref}: {checkpoint.reason}"
    listed = {one.at.step for one in store.list()}
    assert listed == {checkpoint.at.step for checkpoint in report.checkpoints}
    return {step for step in listed if step is not None}


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


class Save:
    """A third checkpoint beside two older ones."""

    def prepare(self, root: Path) -> None:
        save(root, 1), save(root, 2)

    def operate(self, root: Path) -> None:
        save(root, 3, tags=["later"])

    def look(self, root: Path) -> None:
        if root.exists():
            assert good(root) - {3} == self.older

    def again(self, root: Path) -> None:
        try:
            self.operate(root)
        except ConflictError:
            assert 3 in good(root), "the rerun conflicts with what is not there"
        assert good(root) == self.older | {3}

    older: set[int] = {1, 2}  # noqa: RUF012 - constant
    broken: int | None = None


class SaveBehind(Save):
    """The program goes on while a thread saves; the process dies with both."""

    def operate(self, root: Path) -> None:
        handle = CheckpointStore(root).save(RUN, 3, going := items(3), tags=["later"], wait=False)
        going["weights"]["w"] += 1.0
        handle.result()


class SaveSharing(Save):
    """Most of it is stored once, with what the older ones have."""

    def prepare(self, root: Path) -> None:
        for step in (1, 2):
            self._save(root, step)

    def operate(self, root: Path) -> None:
        self._save(root, 3)

    def _save(self, root: Path, step: int) -> None:
        weights = {"frozen": np.arange(40_000.0), "head": np.arange(3000.0) * step}
        given = {"rng": np.random.default_rng(0), "weights": weights}
        CheckpointStore(root, dedup="tensor").save(RUN, step, given, tags=["later"])


class FirstSave(Save):
    """The store does not exist yet."""

    older: set[int] = set()  # noqa: RUF012

    def prepare(self, root: Path) -> None:
        pass


class SaveFiles(Save):
    """By the command line, of files that a trainer wrote; they stay where they are."""

    def prepare(self, root: Path) -> None:
        super().prepare(root)
        (root / "trainer").mkdir()
        safetensors.numpy.save_file({"w": np.arange(64.0)}, root / "trainer" / "model.safetensors")
        NumpyRngBackend().save(np.random.default_rng(3), root / "trainer", context=_context())

    def operate(self, root: Path) -> None:
        files = root / "trainer"
        arguments = [f"weights={files / 'model.safetensors'}", f"rng={files / 'rng.json'}"]
        sys.argv = ["ckptkit", "-q", "--store", str(root), "save", RUN, "--step", "3", *arguments]
        with open("/dev/null", "w") as sys.stdout:
            code = program._run()
        if code == ConflictError.exit_code:
            raise ConflictError("it is there already")
        if code != 0:
            raise AssertionError(f"exit {code}")


class SaveOverDamaged(Save):
    """The step exists, but does not verify: it makes room."""

    broken = 3

    def prepare(self, root: Path) -> None:
        super().prepare(root)
        save(root, 3)
        flip(next((root / RUN / "step-00000003" / "weights").iterdir()))

    def look(self, root: Path) -> None:
        report = CheckpointStore(root).verify()
        assert {c.at.step for c in report.checkpoints if c.good} - {3} == self.older


class SaveReplacing(Save):
    """A good checkpoint of the step is replaced: one of the two is there at every moment."""

    def prepare(self, root: Path) -> None:
        super().prepare(root)
        save(root, 3)

    def operate(self, root: Path) -> None:
        save(root, 3, replace=True)

    def look(self, root: Path) -> None:
        assert good(root) == {1, 2, 3}


class SaveReplacingByTwoRenames(SaveReplacing):
    """Where names cannot be exchanged in one step: the old one may be in the trash, and can be taken back."""

    def operate(self, root: Path) -> None:
        replacing.exchange = lambda one, other: False
        super().operate(root)

    def look(self, root: Path) -> None:
        if 3 not in good(root):
            CheckpointStore(root).undelete(f"{RUN}@3")
        super().look(root)


class Prune:
    """Two of three go."""

    broken: int | None = None

    def prepare(self, root: Path) -> None:
        for step in (1, 2, 3):
            save(root, step)

    def operate(self, root: Path) -> None:
        store = CheckpointStore(root)
        store.prune(store.plan_prune(RetentionPolicy(keep_last=1)))

    def look(self, root: Path) -> None:
        assert 3 in good(root)

    def again(self, root: Path) -> None:
        self.operate(root)
        assert good(root) == {3}
        for step in (2, 1):
            CheckpointStore(root).undelete(f"{RUN}@{step}")
        assert good(root) == {1, 2, 3}


class Undelete(Prune):
    """One comes back."""

    def prepare(self, root: Path) -> None:
        super().prepare(root)
        super().operate(root)

    def operate(self, root: Path) -> None:
        CheckpointStore(root).undelete(f"{RUN}@2")

    def again(self, root: Path) -> None:
        if 2 not in good(root):
            self.operate(root)
        assert good(root) == {2, 3}
        CheckpointStore(root).undelete(f"{RUN}@1")
        assert good(root) == {1, 2, 3}


def flat(root: Path, step: int) -> None:
    """Write two flat files, as a trainer does."""
    folder = root / RUN
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"ep{step:06d}.safetensors").write_bytes(safetensors.numpy.save({"w": np.arange(8.0) + step}))
    NumpyRngBackend().save(np.random.default_rng(step), folder, context=_context())
    (folder / "rng.json").rename(folder / f"ep{step:06d}_rng.json")


def adopt(root: Path, step: int) -> None:
    folder, stem = root / RUN, f"ep{step:06d}"
    files = {"weights": folder / f"{stem}.safetensors", "rng": folder / f"{stem}_rng.json"}
    CheckpointStore(root).adopt_in_place(RUN, stem, files, Details(metrics={"reward": float(step)}))


def _context() -> Any:
    from ckptkit.backend import SaveContext

    return SaveContext(step=0)


class AdoptInPlace(Save):
    """A manifest is written beside flat files."""

    def prepare(self, root: Path) -> None:
        for step in (1, 2, 3):
            flat(root, step)
        adopt(root, 1), adopt(root, 2)

    def operate(self, root: Path) -> None:
        adopt(root, 3)


class PruneFlat(Prune):
    """Of flat files the manifest goes first."""

    def prepare(self, root: Path) -> None:
        for step in (1, 2, 3):
            flat(root, step)
            adopt(root, step)
        (root / RUN / "ep000001.log").write_text("not ours")

    def again(self, root: Path) -> None:
        super().again(root)
        assert (root / RUN / "ep000001.log").read_text() == "not ours"


class PruneFlatThenUndelete(PruneFlat):
    """What a killed prune removed by half comes back without another prune."""

    def again(self, root: Path) -> None:
        for step in (2, 1):
            if step not in good(root):
                CheckpointStore(root).undelete(f"{RUN}@{step}")
        assert good(root) == {1, 2, 3}


class UndeleteFlat(PruneFlat):
    """Of flat files the manifest comes back last."""

    def prepare(self, root: Path) -> None:
        super().prepare(root)
        super().operate(root)

    def operate(self, root: Path) -> None:
        CheckpointStore(root).undelete(f"{RUN}@2")

    again = Undelete.again


def written(root: Path, step: int, run: str = RUN) -> None:
    """Write a folder and a file beside it, as a trainer does."""
    folder = root / run / f"checkpoint-{step}"
    (folder / "deep").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(safetensors.numpy.save({"w": np.arange(8.0) + step}))
    (folder / "deep" / "trainer_state.json").write_text("{}")
    (root / run / f"log-{step}.json").write_text("{}")


def adopted(root: Path, step: int) -> None:
    main = f"checkpoint-{step}"
    items = {"model": Wrote(main, backend="files"), "log": Wrote(f"log-{step}.json", backend="files")}
    CheckpointStore(root).adopt(RUN, main, step, items)


class Adopt(Save):
    """A manifest is written beside a trainer's folder."""

    def prepare(self, root: Path) -> None:
        for step in (1, 2, 3):
            written(root, step)
        adopted(root, 1), adopted(root, 2)

    def operate(self, root: Path) -> None:
        adopted(root, 3)


class PruneAdopted(Prune):
    """Of what a trainer wrote the manifest goes first, and each folder as a whole."""

    def prepare(self, root: Path) -> None:
        for step in (1, 2, 3):
            written(root, step)
            adopted(root, step)


class PruneAdoptedThenUndelete(PruneAdopted):
    """What a killed prune removed by half comes back without another prune."""

    again = PruneFlatThenUndelete.again


class UndeleteAdopted(PruneAdopted):
    """The manifest comes back last."""

    def prepare(self, root: Path) -> None:
        super().prepare(root)
        super().operate(root)

    operate = UndeleteFlat.operate
    again = Undelete.again


class Mark(Save):
    """Pins and tags are the old or the new ones."""

    def prepare(self, root: Path) -> None:
        super().prepare(root)
        CheckpointStore(root).pin(f"{RUN}@1")

    def operate(self, root: Path) -> None:
        CheckpointStore(root).tag(f"{RUN}@2", "best")
        CheckpointStore(root).pin(f"{RUN}@2")

    def look(self, root: Path) -> None:
        assert good(root) == {1, 2}
        assert {one.at.step for one in CheckpointStore(root).list() if one.pinned} >= {1}

    def again(self, root: Path) -> None:
        self.operate(root)
        assert {one.at.step for one in CheckpointStore(root).list() if one.pinned} == {1, 2}
        assert [one.tags for one in CheckpointStore(root).list()] == [(), ("best",)]


def beside(root: Path) -> Path:
    """Where the scenario of a store copies to: never into the store."""
    return root.with_name(f"{root.name}-out")


class CopyOut(Save):
    """The destination is whole or not there."""

    def operate(self, root: Path) -> None:
        CheckpointStore(root).copy_out(f"{RUN}@2", beside(root))

    def look(self, root: Path) -> None:
        if (out := beside(root)).exists():
            assert {path.name for path in out.iterdir()} == {"manifest.json", "rng", "weights"}

    def again(self, root: Path) -> None:
        if not beside(root).exists():
            self.operate(root)
        self.look(root)


class CopyTo(Save):
    """Two checkpoints are copied to a store that has an older one; what was copied by then is whole."""

    def prepare(self, root: Path) -> None:
        super().prepare(root)
        save(root, 3, tags=["later"])

    def operate(self, root: Path) -> None:
        CheckpointStore(root).copy_to(beside(root))

    def look(self, root: Path) -> None:
        assert good(root) == {1, 2, 3}
        if beside(root).exists():
            there = good(beside(root))
            assert there == set(range(1, len(there) + 1)), "a newer one came before an older one"

    def again(self, root: Path) -> None:
        done = CheckpointStore(root).copy_to(beside(root))
        assert done.exit_code == 0
        assert good(root) == good(beside(root)) == {1, 2, 3}
        assert {one.at.step for one in CheckpointStore(beside(root)).list(tag="later")} == {3}


class SaveMirrored(Save):
    """What was saved is copied to the mirror; the next save goes on with what a kill has left over."""

    def operate(self, root: Path) -> None:
        store = CheckpointStore(root, mirror=beside(root))
        store.save(RUN, 3, items(3), tags=["later"])
        assert store.unmirrored() == []

    def look(self, root: Path) -> None:
        super().look(root)
        if beside(root).exists():
            good(beside(root))

    def again(self, root: Path) -> None:
        store = CheckpointStore(root, mirror=beside(root))
        store.save(RUN, 4, items(4))
        assert store.unmirrored() == []
        assert good(root) == good(beside(root)) >= {1, 2, 4}


SCENARIOS: dict[str, Any] = {
    "save": Save,
    "save-behind": SaveBehind,
    "save-sharing": SaveSharing,
    "first-save": FirstSave,
    "save-files": SaveFiles,
    "save-over-damaged": SaveOverDamaged,
    "save-replacing": SaveReplacing,
    "save-replacing-by-two-renames": SaveReplacingByTwoRenames,
    "adopt": Adopt,
    "prune-adopted": PruneAdopted,
    "prune-adopted-then-undelete": PruneAdoptedThenUndelete,
    "undelete-adopted": UndeleteAdopted,
    "prune": Prune,
    "undelete": Undelete,
    "adopt-in-place": AdoptInPlace,
    "prune-flat": PruneFlat,
    "prune-flat-then-undelete": PruneFlatThenUndelete,
    "undelete-flat": UndeleteFlat,
    "pin-and-tag": Mark,
    "restore": CopyOut,
    "copy": CopyTo,
    "save-mirrored": SaveMirrored,
}

"""What ``s3_kills`` kills: how the store looks before, the operation, and the laws that hold wherever it dies."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import past_the_store
from ckptkit_numpy import NumpyRngBackend
from s3_kills import Place
from safetensors.numpy import save_file

from ckptkit import CheckpointStore, registry
from ckptkit.errors import CkptkitError, ConflictError, StoreError
from ckptkit.retention import RetentionPolicy
from ckptkit.storage.objects.member import parted
from ckptkit.storage.objects.opening import open_objects

RUN = "run"
NOW = timedelta(0)
LARGE = 40 << 20  # bytes: five parts
IN_PARTS = "died in parts"
"""A file in the folder of a scenario that died while a file went up in parts."""
registry.backends()  # load the plugins before the fork
NumpyRngBackend()


def items(seed: int) -> dict[str, Any]:
    return {"rng": np.random.default_rng(seed)}


def opened(where: Any, **more: Any) -> CheckpointStore:
    return CheckpointStore(where, cache=False, **more)


def save(where: Any, step: int, seed: int | None = None, files: Mapping[str, Path] | None = None, **more: Any) -> None:
    opened(where).save(RUN, step, {**items(step if seed is None else seed), **(files or {})}, **more)


def good(where: Any, damaged: int | None = None) -> set[int]:
    """Return the steps that are listed and verify: all of them must, but for one that was damaged before.

    Of files that move one by one some may be there without their manifest; all of them are in the trash then.
    """
    store = opened(where)
    report = store.verify()
    for one in report.checkpoints:
        moving = one.manifest is None and one.at.step in in_trash(where)
        assert one.good or moving or one.at.step == damaged, f"listed, but does not verify: {one.at.ref}: {one.reason}"
    assert {one.at.step for one in store.list()} == {one.at.step for one in report.checkpoints}
    return {int(one.at.step) for one in report.checkpoints if one.good and one.at.step is not None}


def content(where: Any, step: int) -> float:
    """Return what tells one content from another."""
    into = items(0)
    opened(where).restore(f"{RUN}@{step}", into)
    return float(into["rng"].random())


def of(seed: int) -> float:
    return float(np.random.default_rng(seed).random())


def prune(where: Any, keep: int, **more: Any) -> Any:
    store = opened(where)
    done = store.prune(store.plan_prune(RetentionPolicy(keep_last=keep), **more))
    if done.failures:
        raise StoreError("; ".join(done.failures), hint="as each of them says")
    return done


def free_leftovers(url: str) -> dict[str, bytes]:
    """Prune without a grace time; returns the manifests of the run by their keys, which must be what they were."""
    before = _manifests(url)
    for _ in range(2):  # the first finishes what was cut off, the second purges it
        prune(url, 99, grace=NOW, level="presence")
        if not opened(url).storage.leftovers(RUN, 0):
            break
    good(url)
    assert _manifests(url) == before
    return before


def _manifests(url: str) -> dict[str, bytes]:
    objects = open_objects(url)
    keys = (info.key for info in objects.below(f"{RUN}/step-"))  # a level may name folders that are empty by now
    return {key: objects.read(key)[0] for key in keys if key.endswith("/manifest.json")}


def in_trash(where: Any) -> list[int | None]:
    return [one.step for one in opened(where).storage.removed(RUN)]


class Save:
    """A third checkpoint beside two older ones."""

    older = frozenset({1, 2})
    newest = 3

    def prepare(self, at: Place) -> None:
        for step in (1, 2):
            save(at.url, step)

    def operate(self, at: Place) -> None:
        save(at.url, 3, tags=["later"])

    def look(self, at: Place) -> None:
        assert good(at.url) - {3} == self.older

    def again(self, at: Place) -> None:
        try:
            self.operate(at)
        except ConflictError:
            assert 3 in good(at.url), "the rerun conflicts with what is not there"
        assert {one.at.step for one in opened(at.url).list()} == self.older | {3}
        assert content(at.url, 3) == of(3)

    def tidy(self, at: Place) -> None:
        """A prune without a grace time finds all that is left over, and frees nothing of what is listed."""
        manifests = free_leftovers(at.url)
        objects, state = open_objects(at.url), f"{RUN}/.ckptkit/"
        keys = [info.key.removeprefix(state) for info in objects.below(state)]
        named = {parted(data)[1] for data in manifests.values()}
        assert {key.split("/")[1] for key in keys if key.startswith("data/")} == named, keys
        others = [key for key in keys if key.startswith(("trash/", "aside/", "probe"))]
        leases = [key for key in keys if key.startswith("leases/") and key != "leases/clock"]
        assert (others, leases) == ([], []), keys
        assert objects.unfinished("", 0.0) == []


class SaveLarge(Save):
    """A file that goes up in parts: those of an upload that died cost money until they are freed."""

    def prepare(self, at: Place) -> None:
        super().prepare(at)
        at.folder.mkdir(parents=True)
        data = np.frombuffer(np.random.default_rng(3).bytes(LARGE), np.uint8)
        save_file({"w": data}, at.folder / "large.safetensors")

    def operate(self, at: Place) -> None:
        save(at.url, 3, files={"large": at.folder / "large.safetensors"}, tags=["later"])

    def look(self, at: Place) -> None:
        super().look(at)
        if open_objects(at.url).unfinished("", 0.0):
            (at.folder / IN_PARTS).touch()


class SaveBehind(Save):
    """The program goes on while a thread saves; the process dies with both."""

    def operate(self, at: Place) -> None:
        handle = opened(at.url).save(RUN, 3, items(3), tags=["later"], wait=False)
        handle.result()


class FirstSave(Save):
    """There is no store yet."""

    older = frozenset()

    def prepare(self, at: Place) -> None:
        pass


class SaveReplacing(Save):
    """A good one is replaced: it is there or the new one is, and then the old one is in the trash."""

    def prepare(self, at: Place) -> None:
        super().prepare(at)
        save(at.url, 3, seed=30)

    def operate(self, at: Place) -> None:
        save(at.url, 3, replace=True)

    def look(self, at: Place) -> None:
        assert good(at.url) == {1, 2, 3}
        is_new = content(at.url, 3) == of(3)
        assert is_new or content(at.url, 3) == of(30)
        if is_new:
            assert in_trash(at.url).count(3) >= 1


class SaveOverDamaged(Save):
    """The step is there and does not verify: it makes room."""

    def prepare(self, at: Place) -> None:
        super().prepare(at)
        save(at.url, 3, seed=30)
        past_the_store.write(open_objects(at.url), f"{RUN}/step-00000003/rng/rng.json", b"{}")

    def look(self, at: Place) -> None:
        assert good(at.url, damaged=3) - {3} == self.older


class Prune(Save):
    """Two of three go: each is whole in the run or in the trash."""

    def prepare(self, at: Place) -> None:
        for step in (1, 2, 3):
            save(at.url, step)

    def operate(self, at: Place) -> None:
        prune(at.url, 1)

    def look(self, at: Place) -> None:
        assert 3 in good(at.url)
        for step in {1, 2} - good(at.url):
            assert step in in_trash(at.url)

    def again(self, at: Place) -> None:
        self.operate(at)
        assert good(at.url) == {3}
        for step in (2, 1):
            opened(at.url).undelete(f"{RUN}@{step}")
        assert good(at.url) == {1, 2, 3}


class PruneThenUndelete(Prune):
    """What a killed prune removed comes back without another prune."""

    def again(self, at: Place) -> None:
        for step in {1, 2} - good(at.url):
            opened(at.url).undelete(f"{RUN}@{step}")
        assert good(at.url) == {1, 2, 3}


class Undelete(Prune):
    """One comes back."""

    def prepare(self, at: Place) -> None:
        super().prepare(at)
        super().operate(at)

    def operate(self, at: Place) -> None:
        opened(at.url).undelete(f"{RUN}@2")

    def again(self, at: Place) -> None:
        for step in {1, 2} - good(at.url):
            opened(at.url).undelete(f"{RUN}@{step}")
        assert good(at.url) == {1, 2, 3}


class Purge(Prune):
    """What lay in the trash for long enough is freed; until then it comes back whole, or not at all."""

    def prepare(self, at: Place) -> None:
        super().prepare(at)
        super().operate(at)
        open_objects(at.url).write(f"{RUN}/.ckptkit/data/step-00000004.{'0' * 16}/rng/rng.json", b"of one that died")

    def operate(self, at: Place) -> None:
        prune(at.url, 1, grace=NOW)

    def look(self, at: Place) -> None:
        assert good(at.url) == {3}

    def again(self, at: Place) -> None:
        back = set()
        for step in in_trash(at.url):
            with suppress(CkptkitError):  # some of it was freed
                opened(at.url).undelete(f"{RUN}@{step}")
                back.add(step)
        assert good(at.url) == {3} | back
        self.operate(at)
        assert content(at.url, 3) == of(3)


class PruneCopies(Prune):
    """The same of checkpoints that another program copied there, whose files lie beside their manifests."""

    def prepare(self, at: Place) -> None:
        local = at.folder / "local"
        for step in (1, 2, 3):
            save(local, step)
        for path in sorted(local.rglob("*")):
            if path.is_file():
                open_objects(at.url).write(path.relative_to(local).as_posix(), path.read_bytes())

    def tidy(self, at: Place) -> None:
        free_leftovers(at.url)
        assert in_trash(at.url) == opened(at.url).storage.leftovers(RUN, 0) == []


class PruneCopiesThenUndelete(PruneCopies):
    """What a killed prune removed comes back without another prune."""

    again = PruneThenUndelete.again


class UndeleteCopies(PruneCopies):
    """One of them comes back."""

    def prepare(self, at: Place) -> None:
        super().prepare(at)
        prune(at.url, 1)

    operate = Undelete.operate
    again = Undelete.again


class Mark(Save):
    """Pins and tags are the old or the new ones."""

    def prepare(self, at: Place) -> None:
        super().prepare(at)
        opened(at.url).pin(f"{RUN}@1")

    def operate(self, at: Place) -> None:
        opened(at.url).tag(f"{RUN}@2", "best")
        opened(at.url).pin(f"{RUN}@2")

    def look(self, at: Place) -> None:
        assert good(at.url) == {1, 2}
        assert {one.at.step for one in opened(at.url).list() if one.pinned} >= {1}

    def again(self, at: Place) -> None:
        self.operate(at)
        assert {one.at.step for one in opened(at.url).list() if one.pinned} == {1, 2}
        assert [one.tags for one in opened(at.url).list()] == [(), ("best",)]


class CopyTo(Save):
    """A store of this machine is copied; what was copied by then is whole, and older ones come first."""

    older = frozenset({1, 2, 3})

    def prepare(self, at: Place) -> None:
        for step in (1, 2, 3):
            save(at.folder, step, tags=["later"] if step == 3 else [])

    def operate(self, at: Place) -> None:
        assert opened(at.folder).copy_to(at.url).exit_code == 0

    def look(self, at: Place) -> None:
        there = good(at.url)
        assert there == set(range(1, len(there) + 1)), "a newer one came before an older one"

    def again(self, at: Place) -> None:
        self.operate(at)
        assert good(at.folder) == good(at.url) == {1, 2, 3}
        assert {one.at.step for one in opened(at.url).list(tag="later")} == {3}


class SaveMirrored(Save):
    """What was saved here is copied there; the next save goes on with what a kill has left over."""

    def prepare(self, at: Place) -> None:
        store = opened(at.folder, mirror=at.url)
        for step in (1, 2):
            store.save(RUN, step, items(step))
        assert store.unmirrored() == []

    def operate(self, at: Place) -> None:
        store = opened(at.folder, mirror=at.url)
        store.save(RUN, 3, items(3), tags=["later"])
        assert store.unmirrored() == []

    def look(self, at: Place) -> None:
        assert good(at.folder) >= {1, 2}
        assert good(at.url) >= {1, 2}

    def again(self, at: Place) -> None:
        store = opened(at.folder, mirror=at.url)
        store.save(RUN, 4, items(4))
        assert store.unmirrored() == []
        assert good(at.folder) == good(at.url) >= {1, 2, 4}


SCENARIOS: dict[str, Any] = {
    "save": Save,
    "save-large": SaveLarge,
    "save-behind": SaveBehind,
    "first-save": FirstSave,
    "save-replacing": SaveReplacing,
    "save-over-damaged": SaveOverDamaged,
    "prune": Prune,
    "prune-then-undelete": PruneThenUndelete,
    "undelete": Undelete,
    "purge": Purge,
    "prune-copies": PruneCopies,
    "prune-copies-then-undelete": PruneCopiesThenUndelete,
    "undelete-copies": UndeleteCopies,
    "pin-and-tag": Mark,
    "copy": CopyTo,
    "save-mirrored": SaveMirrored,
}

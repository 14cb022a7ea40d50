"""Pins and tags that are damaged: told, never believed; what was pinned stays, and other runs go on."""

import json
import random
from pathlib import Path

import pytest
from command_line import inside
from in_memory import MemoryPath, in_store

from ckptkit import CheckpointStore
from ckptkit.catalog import refs
from ckptkit.errors import DamagedError
from ckptkit.retention import RetentionPolicy
from ckptkit.verification import Verifier

LAST = RetentionPolicy(keep_last=1)
PRESENCE = Verifier("presence")


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    """Two runs of three steps; the first step of ``a`` is pinned and tagged."""
    rng = tmp_path / "rng.json"
    state = {"bit_generator": "PCG64", "state": {"state": 1, "inc": 1}, "has_uint32": 0, "uinteger": 0}
    rng.write_text(json.dumps(state))
    store = CheckpointStore(tmp_path / "store")
    for run in ("a", "b"):
        for step in (1, 2, 3):
            store.save(run, step, {"rng": rng})
    store.pin("a@1")
    store.tag("a@1", "release")
    return store


def refs_of(store: CheckpointStore, run: str = "a") -> Path | MemoryPath:
    return in_store(store.storage.where_state(run, refs.NAME))


def removed(store: CheckpointStore) -> set[str]:
    return {c.name for c in store.plan_prune(LAST, verifier=PRESENCE).plan.removed}


def test_of_two_hundred_flipped_bits_none_lets_prune_remove_what_is_pinned(store: CheckpointStore) -> None:
    path = refs_of(store)
    whole = path.read_bytes()
    bits = random.Random(18).sample(range(len(whole) * 8), 200)
    for bit in bits:
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        assert removed(store) == {"b@1", "b@2"}, f"bit {bit}: the run goes on being pruned without a word"
        assert [m.problem.code for m in store.verify("a", level="presence").refs] == ["refs-damaged"], f"bit {bit}"


def test_every_bit_of_the_file_is_sealed(store: CheckpointStore) -> None:
    path = refs_of(store)
    whole = path.read_bytes()
    for bit in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(DamagedError, match=r"refs\.json"):
            refs.read(store.storage, "a")


def test_a_file_without_a_seal_is_read_as_before_and_sealed_when_it_is_written_next(store: CheckpointStore) -> None:
    path = refs_of(store)
    path.write_text('{"pins": [1], "schema_version": "1.0", "tags": {"1": ["release"]}}')
    assert removed(store) == {"a@2", "b@1", "b@2"}
    store.pin("a@2")
    sealed = json.loads(path.read_bytes())
    assert (sealed["schema_version"], sealed["pins"], sealed["tags"]) == ("1.1", [1, 2], {"1": ["release"]})
    assert sealed["digest"].startswith("blake3:")
    del sealed["digest"]  # the seal cannot be taken off
    path.write_text(json.dumps(sealed))
    with pytest.raises(DamagedError):
        refs.read(store.storage, "a")


def test_prune_leaves_the_run_whole_and_goes_on_with_the_others(store: CheckpointStore) -> None:
    refs_of(store).write_text("{")
    planned = inside("prune", "--keep-last", "1", "--format", "json", store=Path(store.storage.url))
    assert planned.returncode == 3
    assert list(json.loads(planned.stdout)["stopped"]) == ["a"]
    done = inside("prune", "--keep-last", "1", "--apply", store=Path(store.storage.url))
    assert done.returncode == 3
    assert "a: not pruned, as its pins and tags are not known" in done.stderr
    assert [one.at.ref for one in store.list()] == ["a@1", "a@2", "a@3", "b@3"]


def test_refs_that_are_damaged_after_the_plan_was_made_stop_it_too(store: CheckpointStore) -> None:
    planned = store.plan_prune(LAST, verifier=PRESENCE)
    refs_of(store).write_text("{")
    done = store.prune(planned)
    assert ["refs.json" in line for line in done.failures] == [True]
    assert [one.at.ref for one in store.list()] == ["a@1", "a@2", "a@3", "b@3"]


def test_list_shows_all_runs_and_says_whose_refs_are_unknown(store: CheckpointStore) -> None:
    refs_of(store).write_text("{")
    done = inside("list", "--format", "json", store=Path(store.storage.url))
    assert done.returncode == 1
    assert "pins and tags are not known" in done.stderr
    assert str(refs_of(store)) in done.stderr
    listed = {c["ref"]: c["pinned"] for c in json.loads(done.stdout)["checkpoints"]}
    assert listed == {"a@1": None, "a@2": None, "a@3": None, "b@1": False, "b@2": False, "b@3": False}
    assert inside("list", "b", store=Path(store.storage.url)).returncode == 0


@pytest.mark.parametrize("format_", ["table", "tsv", "json", "ndjson", "junit", "sarif", "github", "gitlab"])
def test_verify_tells_the_run_in_every_format_and_calls_no_checkpoint_worse(
    format_: str, store: CheckpointStore
) -> None:
    refs_of(store).write_text("{")
    done = inside("verify", "--level", "presence", "--format", format_, store=Path(store.storage.url))
    assert done.returncode == 1
    assert "refs-damaged" in done.stdout
    assert "6 checkpoints on level presence: all good" in done.stderr
    assert inside("verify", "a@1", store=Path(store.storage.url)).returncode == 0, "only the checkpoint was asked for"

"""What a user says, the store says: its words for details, manifests, evidence, resume commands and rehearsals."""

import inspect
import random
import sys
import typing
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from in_memory import in_store

from ckptkit import CheckpointStore, Files
from ckptkit.catalog import shown
from ckptkit.errors import DamagedError, ManifestError, NotFoundError, RefusedError, UsageError
from ckptkit.store import DetailFields, Details, StoreReader, Wanted

DETAILS = {
    "metrics": {"loss": 0.5},
    "counters": {"epoch": 2},
    "config": {"seed": 1},
    "resume": ["python", "train.py", "{run}@{step}"],
    "cwd": "/work",
    "env": ["SEED"],
    "parent": "before@3",
    "boundary": {"kind": "epoch", "requested_at": 4, "saved_at": 5},
}


def saved(folder: Path, *steps: int, **details: typing.Any) -> CheckpointStore:
    store = CheckpointStore(folder)
    for step in steps:
        store.save("r", step, {"rng": random.Random(step)}, **details)
    return store


def damage(store: CheckpointStore, step: int) -> None:
    (file,) = in_store(f"{store.locate(f'r@{step}')[0].where}/rng").iterdir()
    file.write_bytes(file.read_bytes()[:-1] + b" ")


def test_the_keywords_of_save_are_the_fields_of_details() -> None:
    assert set(DetailFields.__annotations__) == {field.name for field in fields(Details)} == set(DETAILS)


def test_every_detail_goes_into_the_manifest(tmp_path: Path) -> None:
    manifest = saved(tmp_path, 5, **DETAILS).manifest("r@5")
    assert (manifest.metrics, manifest.counters, manifest.config) == ({"loss": 0.5}, {"epoch": 2}, {"seed": 1})
    assert manifest.resume is not None
    assert (manifest.resume.argv, manifest.resume.cwd) == (DETAILS["resume"], "/work")
    assert list(manifest.resume.env) == ["SEED"]
    assert manifest.parent is not None
    assert (manifest.parent.run, manifest.parent.step) == ("before", 3)
    assert manifest.boundary is not None
    assert manifest.boundary.kind == "epoch"


@pytest.mark.on_disk("a trainer writes its files into the folder of the run")
def test_files_adopted_in_place_take_the_same_words(tmp_path: Path) -> None:
    store = saved(tmp_path, 1)
    (file,) = (store.locate("r@1")[0].folder / "rng").iterdir()
    (tmp_path / "flat").mkdir()
    flat = tmp_path / "flat/ep000005.json"
    flat.write_bytes(file.read_bytes())
    store.adopt_in_place("flat", "ep000005", {"rng": flat}, **DETAILS)  # type: ignore[arg-type]
    told, whole = store.manifest("flat@5"), saved(tmp_path / "other", 5, **DETAILS).manifest("r@5")
    for name in DETAILS.keys() - {"cwd", "env"}:  # of those, resume tells
        assert getattr(told, name) == getattr(whole, name), name


def test_details_are_given_as_words_or_as_one_value_not_both(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="metrics is given beside details"):
        CheckpointStore(tmp_path).adopt_in_place("r", "ep1", {}, Details(), metrics={"loss": 1.0})


def test_a_misspelled_detail_is_named_and_nothing_is_saved(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    with pytest.raises(TypeError, match="unexpected keyword argument 'metric'; did you mean 'metrics'"):
        store.save("r", 1, {"rng": random.Random(1)}, metric={"loss": 1.0})  # type: ignore[call-arg]
    assert not store.storage.has_run("r")


def test_none_is_a_detail_that_is_not_given(tmp_path: Path) -> None:
    manifest = saved(tmp_path, 1, **dict.fromkeys(DETAILS)).manifest("r@1")
    plain = saved(tmp_path / "plain", 1).manifest("r@1")
    assert all(getattr(manifest, name) == getattr(plain, name) for name in DETAILS.keys() - {"cwd", "env"})


def test_the_manifest_of_the_newest_step_is_that_of_the_run(tmp_path: Path) -> None:
    store = saved(tmp_path, 1, 3, 2)
    assert store.manifest("r").step == store.manifest("r@latest").step == 3
    assert store.manifest(store.locate("r@2")[0]).step == 2


def test_a_manifest_that_is_not_there_or_not_readable_is_told(tmp_path: Path) -> None:
    store = saved(tmp_path, 1)
    with pytest.raises(NotFoundError):
        store.manifest("r@2")
    in_store(f"{store.locate('r@1')[0].where}/manifest.json").write_text("{")
    with pytest.raises(ManifestError, match=r"r@1: manifest\.json: "):
        store.manifest("r@1")


def test_evidence_is_what_a_restore_showed(tmp_path: Path) -> None:
    store = saved(tmp_path, 1)
    assert store.evidence("r@1") == ()
    store.restore("r@1", {"rng": random.Random()})
    assert [one.how for one in store.evidence("r@1")] == ["read-back"]


def test_of_all_evidence_what_says_most_is_the_last(tmp_path: Path) -> None:
    store = saved(tmp_path, 1)
    at, digest = store.locate("r@1")[0], store.manifest("r@1").digest
    for one in (shown.Shown("replayed", differs="step 2: rng"), shown.Shown("observed", 8), shown.Shown("read-back")):
        shown.note(at, digest, one)
    assert [one.how for one in store.evidence("r@1")] == ["read-back", "observed", "replayed"]


def test_the_resume_command_falls_back_and_says_from_what(tmp_path: Path) -> None:
    store = saved(tmp_path, 1, 2, resume=["train", "{run}@{step}"], cwd="/work")
    damage(store, 2)
    command = store.resume_command("r", overrides=["--lr", "0.1"])
    assert (list(command.argv), command.cwd) == (["train", "r@1", "--lr", "0.1"], "/work")
    assert [report.at.ref for report in command.chosen.skipped] == ["r@2"]


def test_a_checkpoint_that_says_no_command_takes_that_of_its_run_and_tells_whose(tmp_path: Path) -> None:
    store = saved(tmp_path, 1, resume=["train", "{step}"])
    store.save("r", 2, {"rng": random.Random(2)})
    command = store.resume_command("r")
    assert list(command.argv) == ["train", "2"]
    assert command.said_by is not None
    assert command.said_by.ref == "r@1"
    assert store.resume_command("r", template=["other"]).said_by is None


def test_nothing_that_says_how_to_resume_is_an_error_of_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing says how to resume it"):
        saved(tmp_path, 1).resume_command("r")


SCRIPT = """
import random, sys
from ckptkit import CheckpointStore, Files
store = CheckpointStore(sys.argv[1])
rng = random.Random()
store.restore(sys.argv[2], {"rng": rng})
store.save("r", 2, {"rng": random.Random(rng.random() if len(sys.argv) < 4 else None)})
"""


def test_a_rehearsal_is_a_method_of_the_store_and_leaves_it_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "train.py"), "{store}", "{run}@{step}"]
    store = saved(tmp_path / "store", 1, resume=command)
    outcome = store.rehearse("r", steps=1, seconds=120)
    assert (outcome.proof.verdict, outcome.runs, list(outcome.compared)) == ("same", 2, ["checkpoint 2"])
    outcome = store.rehearse("r@1", steps=1, template=[*command, "unseeded"], seconds=120)
    assert outcome.proof.verdict == "differs"
    assert [at.ref for at in store.locate("r")] == ["r@1"]


def test_a_damaged_checkpoint_is_not_rehearsed(tmp_path: Path) -> None:
    store = saved(tmp_path, 1, resume=["never-run"])
    damage(store, 1)
    with pytest.raises(DamagedError):
        store.rehearse("r@1")


def test_verify_takes_several_references_or_the_newest_of_each_run(tmp_path: Path) -> None:
    store = saved(tmp_path, 1, 2, 3)
    store.save("other", 7, {"rng": random.Random(7)})
    assert [c.at.ref for c in store.verify(["r@1", "other"]).checkpoints] == ["r@1", "other@7"]
    assert [c.at.ref for c in store.verify(latest=True).checkpoints] == ["other@7", "r@3"]


def test_the_parts_of_a_sample_are_all_of_it_and_overlap_nowhere(tmp_path: Path) -> None:
    store = saved(tmp_path, *range(7))
    parts = [[c.at.step for c in store.verify("r", sample=f"{n}/3").checkpoints] for n in (1, 2, 3)]
    assert sorted(step for part in parts for step in part) == list(range(7))
    assert len(store.verify("r", sample="30%").checkpoints) == 2
    for wrong in ("0/3", "4/3", "0%", "101%", "x"):
        with pytest.raises(UsageError, match="neither a share nor a part"):
            store.verify("r", sample=wrong)


def test_each_run_may_be_verified_on_a_level_of_its_own(tmp_path: Path) -> None:
    store = saved(tmp_path, 1)
    store.save("other", 1, {"rng": random.Random(1)})
    report = store.verify(level=lambda run: "presence" if run == "r" else "format")
    assert {c.at.run: c.level for c in report.checkpoints} == {"r": "presence", "other": "format"}
    assert report.level == "presence"


def test_pins_are_verified_with_a_run_and_not_with_one_of_its_checkpoints(tmp_path: Path) -> None:
    store = saved(tmp_path, 1)
    store.pin("r@1")
    in_store(tmp_path / "r/.ckptkit/refs.json").write_text("{")
    assert [m.run for m in store.verify("r").refs] == ["r"] == [m.run for m in store.verify().refs]
    assert store.verify("r@1").refs == []


def test_a_reader_reads_what_a_store_wrote_and_cannot_change_it(tmp_path: Path) -> None:
    store, reader = saved(tmp_path, 1, resume=["train"]), StoreReader(tmp_path)
    assert reader.verify().exit_code == 0
    assert reader.manifest("r") == store.manifest("r")
    assert [one.at.ref for one in reader.list()] == ["r@1"]
    changing = {name for name, _ in inspect.getmembers(CheckpointStore, inspect.isfunction)}
    changing -= {name for name, _ in inspect.getmembers(StoreReader, inspect.isfunction)}
    assert {"save", "prune", "pin", "tag", "undelete", "adopt_in_place", "restore", "prepare"} <= changing


@pytest.mark.on_disk("no file of this machine lies in a store in memory")
def test_no_file_about_a_store_may_be_written_into_it(tmp_path: Path) -> None:
    store = saved(tmp_path / "store", 1)
    store.require_outside(tmp_path / "report.xml")
    with pytest.raises(RefusedError):
        store.require_outside(tmp_path / "store/report.xml")


def test_a_listing_selects_sorts_and_leaves_the_last(tmp_path: Path) -> None:
    store = saved(tmp_path, 2, 1, 3)  # the order in which they were saved
    store.tag("r@1", "kept")
    store.tag("r@3", "kept")
    assert [one.at.step for one in store.list()] == [1, 2, 3]
    assert [one.at.step for one in store.list(tag="kept")] == [1, 3]
    assert [one.at.step for one in store.list(sort="created")] == [2, 1, 3]
    assert [one.at.step for one in store.list(limit=2)] == [2, 3]
    assert [one.at.step for one in store.list(sort="created", limit=2)] == [1, 3]


def test_a_listing_tells_of_damaged_tags_of_runs_that_its_limit_leaves_out(tmp_path: Path) -> None:
    store = saved(tmp_path, 1)
    store.save("z", 1, {"rng": random.Random(1)})
    store.pin("r@1")
    in_store(tmp_path / "r/.ckptkit/refs.json").write_text("{")
    listing = store.list(limit=1)
    assert [one.at.ref for one in listing] == ["z@1"]
    assert len(listing.refs_problems) == 1


def test_a_store_describes_compares_and_finds_what_its_files_hold(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "s")
    for step in (1, 2):
        np.savez(tmp_path / "w.npz", w=np.full(4, float(step)))
        store.save("r", step, {"x": Files(tmp_path / "w.npz", backend="files"), "rng": random.Random(1)})
    one = store.describe("r")
    assert [(t.name, t.dtype, t.shape) for file in one.files for t in file.tensors] == [("w", "float64", (4,))]
    assert one.before is not None
    assert one.before.ref == "r@1"
    found = store.compare("r@1", "r@2")
    assert found.same_files == 1
    assert [(d.kind, d.name, d.change.norm if d.change else None) for d in found.differences] == [
        ("file", "x/w.npz", None),
        ("tensor", "w", 2.0),
    ]
    assert [hit.at.ref for hit in store.find(Wanted(tensor="w"))] == ["r@1", "r@2"]
    assert [hit.at.ref for hit in store.find(Wanted(file="*.npz"), "r@2")] == ["r@2"]

"""What a store does is told as plain values: which, in what order, in which thread, and what a listener may break."""

import json
import logging
import math
import random
import shutil
import threading
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

import pytest

from ckptkit import CheckpointStore, Retain, StoreReader, events
from ckptkit.errors import ConflictError, PartlyDoneError
from ckptkit.store import Chosen
from ckptkit.testing import MemoryStorage


def listened(folder: Path) -> tuple[CheckpointStore, list[events.Event]]:
    heard: list[events.Event] = []
    return CheckpointStore(folder, listeners=[heard.append], cache=False), heard


def save(store: CheckpointStore, step: int, **details: Any) -> None:
    store.save("r", step, {"rng": random.Random(step)}, **details)


def test_a_save_says_what_the_manifest_says(tmp_path: Path) -> None:
    store, heard = listened(tmp_path)
    save(store, 5, metrics={"loss": 0.5}, counters={"epoch": 2}, config={"seed": 1}, tags=["b", "a"], parent="q@3")
    (one,), manifest = heard, store.manifest("r@5")
    assert isinstance(one, events.Saved)
    assert (one.kind, one.store, one.run, one.step, one.ref, one.name) == (
        "saved", store.storage.url, "r", 5, "r@5", "step-00000005"
    )  # fmt: skip
    assert (one.metrics, one.counters, one.config, one.tags) == ({"loss": 0.5}, {"epoch": 2}, {"seed": 1}, ("a", "b"))
    assert (one.parent, one.sequence, one.digest, one.in_place) == ("q@3", manifest.sequence, manifest.digest, False)
    assert one.items == (
        events.ItemSaved(name="rng", backend="numpy-rng", size=manifest.size, captured=manifest.grade),
    )
    assert (one.size, one.captured) == (manifest.size, manifest.grade)
    assert 0 < one.seconds < 600


def test_a_save_that_fails_is_not_told(tmp_path: Path) -> None:
    store, heard = listened(tmp_path)
    save(store, 5)
    with pytest.raises(ConflictError):
        save(store, 5)
    assert len(heard) == 1


def test_a_save_that_was_committed_but_not_tagged_is_told_without_tags(tmp_path: Path) -> None:
    store, heard = listened(tmp_path)
    save(store, 1)
    refs = tmp_path / "r" / ".ckptkit" / "refs.json"
    with pytest.raises(PartlyDoneError):  # damaged after they were looked at, and before they are changed
        store.save(
            "r", 2, {"rng": random.Random(2)}, tags=["best"], on_bytes=lambda count: refs.write_text("{") and None
        )
    assert [(one.kind, one.fields().get("tags")) for one in heard] == [("saved", []), ("saved", [])]


def test_files_adopted_in_place_are_told_as_saved_in_place(tmp_path: Path) -> None:
    store, heard = listened(tmp_path / "s")
    (tmp_path / "s" / "flat").mkdir(parents=True)
    state = '{"bit_generator": "PCG64", "state": {"state": 1, "inc": 1}, "has_uint32": 0, "uinteger": 0}'
    (tmp_path / "s" / "flat" / "ep000050.json").write_text(state)
    store.adopt_in_place("flat", "ep000050", {"rng": tmp_path / "s" / "flat" / "ep000050.json"})
    (one,) = heard
    assert isinstance(one, events.Saved)
    assert (one.ref, one.name, one.in_place) == ("flat@50", "ep000050", True)


def test_each_checkpoint_that_is_verified_is_told_good_or_damaged(tmp_path: Path) -> None:
    store, _ = listened(tmp_path)
    save(store, 1), save(store, 2)
    (file,) = (tmp_path / "r" / "step-00000002" / "rng").iterdir()
    file.write_bytes(file.read_bytes()[:-1] + b" ")
    heard: list[Any] = []
    StoreReader(tmp_path, cache=False, listeners=[heard.append]).verify("r", level="digest")
    assert [(one.kind, one.ref, one.level, one.good, one.problems) for one in heard] == [
        ("verified", "r@1", "digest", True, ()),
        ("verified", "r@2", "digest", False, ("digest-mismatch",)),
    ]
    assert all(one.bytes_read > 0 and one.judged and not one.remembered for one in heard)
    assert [one.digest for one in heard] == [store.manifest("r@1").digest, store.manifest("r@2").digest]


def test_what_is_verified_on_the_way_to_something_else_is_not_told(tmp_path: Path) -> None:
    store, heard = listened(tmp_path)
    save(store, 1)
    store.choose("r")
    store.plan_prune(Retain(last=1))
    assert [one.kind for one in heard] == ["saved"]


def test_a_restore_says_what_was_put_back_what_was_left_and_what_was_skipped(tmp_path: Path) -> None:
    store, heard = listened(tmp_path)
    store.save("r", 1, {"a": random.Random(1), "b": random.Random(2)})
    save(store, 2)
    (file,) = (tmp_path / "r" / "step-00000002" / "rng").iterdir()
    file.unlink()
    store.restore("r", {"a": random.Random(9)})
    one = heard[-1]
    assert isinstance(one, events.Restored)
    assert (one.ref, one.asked, one.into, one.items, one.left) == ("r@1", "r", "objects", ("a",), ("b",))
    assert [line.partition(":")[0] for line in one.skipped] == ["r@2"]
    assert 0 < one.size < store.manifest("r@1").size


def test_a_copy_and_a_restore_by_a_framework_are_told_too(tmp_path: Path) -> None:
    store, heard = listened(tmp_path / "s")
    save(store, 1)
    store.copy_out("r", tmp_path / "out")
    store.resumed("r@1")
    assert [(one.kind, getattr(one, "into", None), getattr(one, "items", None)) for one in heard[1:]] == [
        ("restored", "folder", ("rng",)),
        ("restored", "framework", ("rng",)),
    ]


def test_a_prune_says_what_went_and_why(tmp_path: Path) -> None:
    store, heard = listened(tmp_path)
    for step in (1, 2, 3):
        save(store, step)
    planned = store.plan_prune(Retain(last=1))
    digests = [store.manifest("r@1").digest, store.manifest("r@2").digest]
    store.prune(planned)
    one = heard[-1]
    assert isinstance(one, events.Pruned)
    assert [(gone.ref, gone.digest) for gone in one.removed] == [("r@1", digests[0]), ("r@2", digests[1])]
    assert all(gone.reasons and gone.size for gone in one.removed)
    assert (one.plan, one.purged, one.failures) == (planned.plan.digest, 0, ())


def test_checkpoints_that_make_way_for_a_run_that_goes_back_are_told_as_pruned(tmp_path: Path) -> None:
    store, heard = listened(tmp_path)
    save(store, 1), save(store, 2)
    store.prepare("r", after=1, replace_newer=True)
    store.release("r")
    one = heard[-1]
    assert isinstance(one, events.Pruned)
    assert [(gone.ref, gone.reasons) for gone in one.removed] == [
        ("r@2", ("lies beyond step 1, from which training continues",))
    ]


def test_undelete_pin_and_tag_are_told(tmp_path: Path) -> None:
    store, heard = listened(tmp_path)
    save(store, 1), save(store, 2)
    store.prune(store.plan_prune(Retain(last=1)))
    del heard[:]
    store.undelete("r@1")
    store.pin("r@1"), store.pin("r@1", pinned=False)
    store.tag("r@1", "best"), store.tag("r@1", "best", remove=True)
    assert [
        (one["event"], one["ref"], one.get("pinned"), one.get("tag"), one.get("tagged"))
        for one in (event.fields() for event in heard)
    ] == [
        ("undeleted", "r@1", None, None, None),
        ("pinned", "r@1", True, None, None),
        ("pinned", "r@1", False, None, None),
        ("tagged", "r@1", None, "best", True),
        ("tagged", "r@1", None, "best", False),
    ]


def test_every_event_is_json_with_its_kind_and_an_id_of_its_own(tmp_path: Path) -> None:
    store, heard = listened(tmp_path)
    save(store, 1, metrics={"loss": math.nan}), save(store, 2)
    store.verify()
    store.restore("r", {"rng": random.Random(3)})
    store.prune(store.plan_prune(Retain(last=1)))
    texts = [json.dumps(one.fields(), allow_nan=False) for one in heard]
    assert [json.loads(text)["event"] for text in texts] == [
        "saved", "saved", "verified", "verified", "restored", "pruned"
    ]  # fmt: skip
    assert json.loads(texts[0])["metrics"] == {"loss": {"$number": "NaN"}}
    assert len({json.loads(text)["id"] for text in texts}) == len(texts)
    for one, text in zip(heard, texts, strict=True):
        assert set(json.loads(text)) == {"schema_version", "event", *(field.name for field in fields_of(one))}


def test_no_secret_is_told(tmp_path: Path) -> None:
    store, heard = listened(tmp_path)
    secret = "hunter2hunter2"
    save(store, 1, config={"url": f"postgres://me:{secret}@host/db", "password": secret})
    assert secret not in json.dumps(heard[0].fields())


def test_listeners_are_called_in_order_in_the_thread_that_saved_after_the_commit(tmp_path: Path) -> None:
    store, calls = CheckpointStore(tmp_path, cache=False), []
    store.listen(lambda event: calls.append(("first", threading.get_ident(), store.manifest("r@1").step)))
    store.listen(lambda event: calls.append(("second", threading.get_ident(), len(calls))))
    save(store, 1)
    assert calls == [("first", threading.get_ident(), 1), ("second", threading.get_ident(), 1)]


def test_a_listener_that_raises_is_logged_once_and_stops_neither_the_save_nor_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: events.Event) -> None:
        raise ValueError("no such table at postgres://me:hunter2hunter2@host/db\nmore")

    heard: list[events.Event] = []
    store = CheckpointStore(tmp_path, cache=False, listeners=[broken, heard.append])
    with caplog.at_level(logging.WARNING, "ckptkit"):
        save(store, 1), save(store, 2)
    assert [one.kind for one in heard] == ["saved", "saved"]
    (line,) = [record.getMessage() for record in caplog.records]
    assert "broken failed: saved: ValueError: no such table" in line
    assert "hunter2" not in line
    assert "\n" not in line


def test_a_listener_may_use_the_store(tmp_path: Path) -> None:
    store, heard = listened(tmp_path)
    store.listen(lambda event: store.tag(event.ref, "seen") if isinstance(event, events.Saved) else None)
    save(store, 1)
    assert [one.kind for one in heard] == ["saved", "tagged"]


def test_a_checkpoint_chosen_before_is_told_by_its_own_run(tmp_path: Path) -> None:
    store, heard = listened(tmp_path)
    save(store, 1)
    chosen = store.choose("r")
    assert isinstance(chosen, Chosen)
    store.restore(chosen, {"rng": random.Random(3)})
    assert heard[-1].fields()["asked"] == "r"


def test_a_store_that_is_no_folder_tells_the_same(tmp_path: Path) -> None:
    heard: list[events.Event] = []
    store = CheckpointStore(MemoryStorage(), listeners=[heard.append], cache=False)
    save(store, 1), save(store, 2)
    store.verify("r")
    store.restore("r", {"rng": random.Random(3)})
    store.prune(store.plan_prune(Retain(last=1)))
    store.undelete("r@1")
    told = [json.loads(json.dumps(one.fields())) for one in heard]
    assert [one["event"] for one in told] == [
        "saved", "saved", "verified", "verified", "restored", "pruned", "undeleted"
    ]  # fmt: skip
    assert {one["store"] for one in told} == {store.storage.url}


def test_what_is_removed_while_it_is_verified_is_not_told(tmp_path: Path) -> None:
    store, heard = listened(tmp_path)
    save(store, 1)
    report = store.verify("r", on_bytes=lambda count: shutil.rmtree(tmp_path / "r" / "step-00000001"))
    assert list(report.gone) == ["r@1"]
    assert [one.kind for one in heard] == ["saved"]

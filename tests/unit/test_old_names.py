"""Names that were changed: programs that use the old ones go on for one more version, and are warned."""

import importlib
from pathlib import Path

import pytest

from ckptkit import CheckpointStore, errors
from ckptkit.retention import RetentionPolicy
from ckptkit.store import Files
from ckptkit.verification import Report
from ckptkit.verification.report import RefsReport

RENAMED = [
    ("ckptkit.errors", "NotFound", "ckptkit.errors", "NotFoundError"),
    ("ckptkit.errors", "NothingResumable", "ckptkit.errors", "NothingResumableError"),
    ("ckptkit.errors", "PartlyDone", "ckptkit.errors", "PartlyDoneError"),
    ("ckptkit.store", "Pruning", "ckptkit.store", "PruneSurvey"),
    ("ckptkit.verification", "MarksReport", "ckptkit.verification", "RefsReport"),
    ("ckptkit.retention", "Entry", "ckptkit.retention", "PlanEntry"),
    ("ckptkit.parting", "without_talk", "ckptkit.parting", "without_absl_logs"),
    ("ckptkit.cli.session", "session", "ckptkit.cli.session", "session_of"),
    ("ckptkit.storage", "LocalStorage", "ckptkit.storage.local", "LocalStorage"),
    ("ckptkit.storage", "Location", "ckptkit.storage", "Entry"),
    ("ckptkit.formats.shown", "shown", "ckptkit.formats.escaped", "escaped"),
]


@pytest.mark.parametrize(("module", "old", "home", "new"), RENAMED, ids=[old for _, old, _, _ in RENAMED])
def test_an_old_name_is_the_new_one_and_the_warning_points_at_its_user(
    module: str, old: str, home: str, new: str
) -> None:
    with pytest.warns(DeprecationWarning, match=f"{old} is now .*{new}") as caught:
        found = getattr(importlib.import_module(module), old)
    assert found is getattr(importlib.import_module(home), new)
    assert [Path(one.filename) for one in caught] == [Path(__file__)]


@pytest.mark.parametrize("module", sorted({module for module, *_ in RENAMED}))
def test_a_name_that_never_was_is_no_attribute(module: str) -> None:
    with pytest.raises(AttributeError, match=f"'{module}' has no attribute 'Nonsense'"):
        _ = importlib.import_module(module).Nonsense


def test_a_program_that_catches_by_the_old_names_still_catches(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    with pytest.warns(DeprecationWarning, match="NotFoundError"):
        from ckptkit.errors import NotFound
    with pytest.raises(NotFound) as caught:
        store.locate("nobody")
    assert (type(caught.value), caught.value.exit_code) == (errors.NotFoundError, 4)


def test_every_error_has_a_name_that_says_so() -> None:
    found = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert len(found) > 15
    assert [kind.__name__ for kind in found if not kind.__name__.endswith("Error")] == []


def test_old_attributes_say_what_the_new_ones_say(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    (tmp_path / "notes.txt").write_text("a")
    store.save("a", 1, {"notes": Files(tmp_path / "notes.txt", "files")})
    (store.storage.run_folder("a") / ".ckptkit" / "refs.json").write_text("{")
    report, (listed,) = store.verify("a"), store.list()
    assert isinstance(report, Report)
    with pytest.warns(DeprecationWarning, match=r"Report\.refs"):
        marks = report.marks
    assert [type(one) for one in marks] == [RefsReport]
    assert marks is report.refs
    with pytest.warns(DeprecationWarning, match=r"Listed\.refs_problem"):
        problem = listed.marks_problem
    assert problem
    assert problem == listed.refs_problem


def test_what_a_plan_is_made_from_has_its_old_name_too(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    (tmp_path / "notes.txt").write_text("a")
    store.save("a", 1, {"notes": Files(tmp_path / "notes.txt", "files")})
    planned = store.plan_prune(RetentionPolicy(keep_last=1))
    with pytest.warns(DeprecationWarning, match=r"PruneSurvey\.checkpoints"):
        reports = planned.reports
    assert [(one.at.ref, one.good, one.reason) for one in reports] == [("a@1", True, "")]


def test_the_number_in_a_name_is_still_told_by_the_old_function() -> None:
    from ckptkit.store import adopting

    with pytest.warns(DeprecationWarning, match=r"adopting\.step_in is now .*Unlisted\.step") as caught:
        assert adopting.step_in(Path("run/ep000050.zip")) == 50
    assert [Path(one.filename) for one in caught] == [Path(__file__)]

"""The kit catches what it is for: each law holds for a good backend and fails for one that breaks just that law."""

import inspect
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import broken_snapshots as late
import broken_tallies as broken
import numpy as np
import pytest
import tally

from ckptkit.backend import Grade
from ckptkit.errors import CkptkitError
from ckptkit.formats import strict_json
from ckptkit.testing import BackendTests


class TallyHooks(BackendTests):
    """The laws for the tally; named so that pytest collects them only in the subclass below."""

    backend = tally.TallyBackend

    def make_item(self) -> tally.Tally:
        return tally.Tally()

    def advance(self, item: tally.Tally) -> object:
        return item.next()

    def make_misfit(self) -> tally.Tally:
        return tally.Tally(stride=5)

    def lesser_items(self) -> Mapping[Grade, Callable[[], tally.Tally]]:
        return {"partial": lambda: tally.Tally(listener=Counter())}

    def changed_items(self) -> Mapping[str, tuple[Callable[[], tally.Tally], Callable[[tally.Tally], object]]]:
        return {
            "a total set by hand": (tally.Tally, lambda item: setattr(item, "total", 1000)),
            "a listener that came later": (tally.Tally, lambda item: setattr(item, "listener", Counter())),
            "another stride": (tally.Tally, lambda item: setattr(item, "stride", 5)),
        }

    def factories(self) -> Mapping[str, Callable[[], tally.Tally]]:
        return {"tally": tally.Tally}

    def ablations(self) -> Mapping[str, Callable[[Path], None]]:
        def lose_the_total(directory: Path) -> None:
            state = tally.read(directory) | {"total": 0}
            (directory / "tally.json").write_bytes(strict_json.dumps(state))

        return {"the total": lose_the_total}


class TestAGoodBackendKeepsEveryLaw(TallyHooks):
    skips: ClassVar = {
        "test_the_name_is_its_entry_point": "the tally is part of this test, no distribution installs it"
    }


IMPORTS = "test_looking_at_files_imports_no_framework_and_unpickles_nothing"
IDENTITY = "test_the_class_is_a_backend_with_a_name_and_a_version"
FILES = "test_save_writes_regular_files_inside_its_folder_only"
FRESH = "test_check_is_clean_on_fresh_files_and_changes_nothing"
RESUME = "test_a_resume_at_every_step_gives_all_remaining_outputs"
LOAD = "test_load_refuses_damage_and_leaves_the_target_alone"
CHECK = "test_check_finds_damage"
NO_PROBE = "test_no_probe_is_recorded_unless_asked_and_none_proves_nothing"
STRANGERS = "test_recognise_refuses_what_is_not_its_kind"

CHANGED = "test_what_training_changed_is_put_back_or_told_at_the_save"
BACK = "test_whatever_was_saved_is_put_back_in_a_new_process"
ADOPTED = "test_adopted_files_claim_no_more_than_was_saved"
UNDISTURBED = "test_saving_does_not_disturb_the_live_item"

FLIPS = "test_flipped_bits_are_found_or_refused_in_words"
BROKEN: list[tuple[str, type[tally.TallyBackend], str]] = [
    (IDENTITY, broken.NeedsArguments, "root"),
    (IDENTITY, broken.BadName, "lower-case"),
    (IDENTITY, broken.VersionZero, "counts from 1"),
    ("test_the_name_is_its_entry_point", tally.TallyBackend, "no installed distribution"),
    ("test_can_save_accepts_its_own_kind", broken.RefusesItsOwn, "is not True"),
    ("test_can_save_refuses_foreign_objects", broken.AcceptsAll, r"can_save\(a object\) is True"),
    ("test_can_save_refuses_foreign_objects", broken.TouchesTheItem, r"can_save\(a Evasive\) raised RuntimeError"),
    ("test_save_refuses_a_foreign_object", broken.SavesAnything, "accepted without an error"),
    (IMPORTS, broken.ImportsNumpy, r"check\(\) imported numpy \(.*broken_tallies.py:\d+\)"),
    (IMPORTS, broken.Unpickles, r"check\(\) unpickled pathlib.Path"),
    (FILES, broken.WritesBeside, "outside its folder: .*tally.log"),
    (FILES, broken.WritesIntoTheWorkingDirectory, "working directory: .*tally.log"),
    (FILES, broken.MakesALink, "latest.json"),
    (FILES, broken.WritesNothing, "wrote no file"),
    ("test_what_save_returns_is_plain_json", broken.ReturnsObjects, "SavedItem.counters is not JSON"),
    ("test_a_moved_folder_loads", broken.RemembersThePlace, "No such file"),
    (FRESH, broken.CriesWolf, "looks odd"),
    (FRESH, broken.ChecksWithNotes, "item/checked"),
    ("test_files_of_others_beside_them_do_not_matter", broken.ClaimsTheWholeFolder, "not in context.files"),
    (RESUME, broken.ForgetsTheTotal, "resumed at step 1 of 6: output 1 of 5 differs"),
    ("test_a_resumed_run_can_be_saved_and_resumed_again", broken.ForgetsTheTotal, "output 2 of 6 differs"),
    ("test_a_load_without_a_target_builds_one_or_refuses", broken.BuildsAnotherOne, "without a target"),
    (f"{UNDISTURBED}[probe]", broken.DisturbsTheItem, "saved before every step"),
    (f"{UNDISTURBED}[no probe]", broken.DrawsWhileItSaves, "generators of the process were used: random"),
    (BACK, broken.RefusesWhatItSaved, "partial item: saved as partial.*the listener is not what was saved"),
    (BACK, broken.ReadsBackTheListener, "partial item: .*read-back refuses it, listener is not what was saved"),
    (BACK, broken.RemembersInMemory, "complete item: .*in a new process: output 1 of 6 differs"),
    (BACK, broken.CannotDoWithoutFactories, "give factories"),
    (CHANGED, broken.RefusesOnlyAtTheRestore, "another stride: was accepted as complete .*counts by 3, not by 5"),
    (CHANGED, broken.RefusesWhatItSaved, "came later: was accepted as partial .*the listener is not what was saved"),
    (CHANGED, broken.RefusesWithoutAdvice, "another stride: refused at the save without a hint"),
    (CHANGED, broken.ForgetsTheTotal, "set by hand: was accepted as complete .*read-back refuses it, total"),
    (CHANGED, broken.RemembersInMemory, "set by hand: was accepted as complete .*goes on differently"),
    ("test_every_grade_but_complete_names_what_is_missing", broken.NamesNoReasons, "partial and does not say why"),
    (ADOPTED, broken.DescribesBetterThanItSaved, "saved as partial claims complete"),
    (f"{CHECK}[deleted]", broken.BlindToDeletion, "tally.json is deleted"),
    (f"{CHECK}[emptied]", broken.BlindToTruncation, "tally.json is emptied"),
    (f"{CHECK}[halved]", broken.BlindToTruncation, "tally.json is halved"),
    (f"{CHECK}[one byte short]", broken.BlindToTruncation, "tally.json is one byte short"),
    (f"{CHECK}[overwritten]", broken.BlindToTruncation, "tally.json is overwritten"),
    (f"{CHECK}[halved]", broken.RaisesInCheck, r"check\(\) raised"),
    (f"{CHECK}[halved]", broken.ShoutsItsCodes, "kebab-case"),
    (f"{LOAD}[halved]", broken.RaisesKeyError, r"raised KeyError .* not a CkptkitError"),
    (f"{LOAD}[deleted]", broken.LoadsDamagedFiles, "accepted without an error"),
    (f"{LOAD}[emptied]", broken.HalfLoads, "the target has changed"),
    ("test_load_refuses_a_misfit_and_leaves_it_alone", broken.HalfLoads, "the target has changed"),
    ("test_load_refuses_a_foreign_target", broken.TakesAnyTarget, "accepted without an error"),
    ("test_a_recorded_probe_replays_exactly", broken.ProvesNothing, "replays as differs: always"),
    ("test_a_probe_of_another_step_differs", broken.ProvesAnything, "as same"),
    (NO_PROBE, broken.AlwaysProbes, "recorded a probe"),
    (NO_PROBE, broken.ProvesAnything, "the verdict is same"),
    ("test_a_lost_component_does_not_prove_exact", broken.ProbesOnlyTheCount, "without the total"),
    (STRANGERS, broken.RecognisesAnyFolder, "claims"),
    (STRANGERS, broken.StumblesOverStrangers, "raised DamagedError"),
    ("test_recognise_accepts_what_it_saved", broken.RecognisesNothing, "does not know the folder .*tally.json"),
    ("test_adopted_files_describe_themselves", broken.ChecksAdoptedFilesByTheirCount, "has no count"),
    ("test_adopted_files_resume_as_exactly_as_they_say", broken.DescribesBeyondItsFiles, "adopted files: output 1"),
    ("test_an_estimate_is_a_number_of_bytes_and_not_far_too_small", broken.EstimatesTooLittle, "gives 64"),
    ("test_digests_tell_the_state_and_nothing_else", broken.DigestsAdvance, "taken twice differ"),
    ("test_digests_tell_the_state_and_nothing_else", broken.DigestsNothing, "the same after"),
    (FLIPS, broken.LooksAtTheMagicOnly, r"check\(\) finds none of 24 flipped bits, load\(\) refuses \d+ of them"),
    (FLIPS, broken.TrustsWhatItReads, r"tally.json flipped: check\(\) finds nothing, and load\(\) raised \w+Error"),
    (FLIPS, broken.CrashesOnDamage, r"flipped: check\(\) finds nothing, and the process ended with code -6"),
    (FLIPS, broken.HangsOnDamage, r"flipped: check\(\) finds nothing, and did not end within 4 seconds"),
    ("test_a_recorded_probe_replays_exactly", broken.SleepsWhileItProves, r"prove\(\) did not end within 0.5 seconds"),
    (FRESH, broken.SleepsWhileItChecks, r"check\(\) did not end within 0.5 seconds"),
    ("test_a_snapshot_writes_what_a_save_writes", late.ForgetsTheProbe, r"write\(\) says"),
    ("test_a_snapshot_stays_as_it_was_when_the_item_goes_on", late.KeepsTheItem, "not what .* writes: .*tally.json"),
    ("test_two_snapshots_share_no_memory", late.HasOnePlace, "not what .* writes: .*tally.json"),
    ("test_a_snapshot_draws_nothing_and_changes_nothing", late.DrawsWhileItCopies, "generators of the process: random"),
    ("test_memory_of_a_snapshot_may_hold_anything_before", late.TakesMemoryForZeros, "not what .* writes: .*tally"),
    ("test_save_leaves_nothing_at_any_other_place", broken.WritesToAnAbsolutePath, r"outside its folder: .*tally-\d+"),
]
VALUES = {"probe": True, "no probe": False}


@pytest.fixture(autouse=True)
def _nothing_is_left_elsewhere() -> Iterator[None]:
    yield
    broken.ELSEWHERE.unlink(missing_ok=True)


def run_law(kit: BackendTests, test: str, tmp_path: Path) -> None:
    """Call one law as pytest would: with a folder if it wants one, and the value of its parameter."""
    name, _, parameter = test.removesuffix("]").partition("[")
    law = getattr(kit, name)
    takes_a_folder = "tmp_path" in inspect.signature(law).parameters
    law(*([tmp_path] if takes_a_folder else []), *([VALUES.get(parameter, parameter)] if parameter else []))


@pytest.mark.parametrize(("test", "backend", "message"), BROKEN, ids=[f"{b.__name__}-{t}" for t, b, _ in BROKEN])
def test_a_backend_that_breaks_a_law_fails_it(
    tmp_path: Path, test: str, backend: type[tally.TallyBackend], message: str
) -> None:
    limit = getattr(backend, "limit_seconds", TallyHooks.limit_seconds)
    kit = type("Kit", (TallyHooks,), {"backend": backend, "limit_seconds": limit})()
    with pytest.raises((AssertionError, CkptkitError, TypeError), match=f"(?s){message}"):
        run_law(kit, test, tmp_path)


def test_hooks_that_could_never_fail_are_found() -> None:
    class Constant(TallyHooks):
        def advance(self, item: tally.Tally) -> object:
            return 7

    with pytest.raises(AssertionError, match="no law could fail"):
        Constant().test_the_hooks_can_tell_a_resume_from_a_fresh_start()


def test_items_that_do_not_start_alike_are_found() -> None:
    numbers = itertools.count()

    class Drifting(TallyHooks):
        def make_item(self) -> tally.Tally:
            return tally.Tally(total=next(numbers))

    with pytest.raises(AssertionError, match="two items of make_item"):
        Drifting().test_the_hooks_can_tell_a_resume_from_a_fresh_start()


@pytest.mark.parametrize(("skips", "message"), [({"test_no_such": "why"}, "no law"), ({RESUME: " "}, "no reason")])
def test_a_skip_without_law_or_reason_is_found(skips: Mapping[str, str], message: str) -> None:
    kit = type("Kit", (TallyHooks,), {"skips": skips})()
    with pytest.raises(AssertionError, match=message):
        kit.test_skips_name_laws_and_give_reasons()


def test_every_law_is_broken_by_some_backend_above() -> None:
    about_the_hooks = {"test_the_hooks_can_tell_a_resume_from_a_fresh_start", "test_skips_name_laws_and_give_reasons"}
    laws = {name for name in dir(BackendTests) if name.startswith("test_")} - about_the_hooks
    assert laws == {test.partition("[")[0] for test, _, _ in BROKEN}


ARRAYS = [
    ([1.0, float("nan")], [1.0, float("nan")], True),
    (0.0, -0.0, False),
    (1, 1.0, False),
    ((1, 2), [1, 2], False),
    ({"a": [1]}, {"a": [1]}, True),
    ({"a": 1}, {"b": 1}, False),
    (np.array([1.0, np.nan]), np.array([1.0, np.nan]), True),
    (np.array([1, 2]), np.array([1, 2], dtype=np.int32), False),
    (np.zeros((2, 3)), np.zeros((3, 2)), False),
    (np.float64(0.0), np.float64(-0.0), False),
    (np.zeros(1), [0.0], False),
]


@pytest.mark.parametrize(("expected", "actual", "equal"), ARRAYS)
def test_outputs_are_equal_only_to_the_last_bit(expected: object, actual: object, equal: bool) -> None:
    assert BackendTests().same(expected, actual) is equal

"""The kit for stores catches what it is for: each of its laws fails for a store that breaks just that promise."""

import inspect
import re
from pathlib import Path

import broken_adopters as adopters
import broken_readers as readers
import broken_writers as writers
import pytest

from ckptkit.errors import CkptkitError
from ckptkit.storage import Storage
from ckptkit.testing import MemoryStorage, StorageTests

BROKEN: list[tuple[type[MemoryStorage], str]] = [
    (writers.Overwrites, "of_many_commits_at_one_name_exactly_one_wins"),
    (writers.NeverLooks, "a_second_commit_at_the_name_is_a_conflict_and_changes_nothing"),
    (writers.NeverLooks, "a_file_in_the_way_is_a_conflict"),
    (writers.NeverLooks, "a_replacement_of_what_is_not_there_changes_nothing"),
    (writers.OneByOne, "who_looks_sees_all_of_a_commit_or_nothing"),
    (writers.RemovesFirst, "while_one_replaces_another_one_of_them_is_there"),
    (writers.ForgetsTheReplaced, "what_is_replaced_goes_to_the_trash"),
    (writers.ListsWhatIsStaged, "nothing_is_listed_before_the_commit"),
    (writers.ListsWhatIsStaged, "what_is_not_committed_is_gone"),
    (writers.KeepsItsStaging, "what_is_not_committed_is_gone"),
    (writers.KeepsItsStaging, "a_staging_folder_is_empty_and_nobody_elses"),
    (writers.PutsInTwoSteps, "who_reads_while_it_is_replaced_sees_the_old_or_the_new"),
    (writers.PutsOver, "a_file_of_ours_is_put_where_there_is_none"),
    (writers.StatesInTwoSteps, "who_reads_a_state_while_it_is_replaced_sees_the_old_or_the_new"),
    (readers.SortsAsText, "a_scan_is_ordered_by_run_and_by_step_as_a_number"),
    (readers.NewestLast, "the_newest_come_first_where_they_are_asked_for_so"),
    (readers.ScansBelow, "a_scan_of_a_run_finds_no_runs_inside_it"),
    (readers.ScansBelow, "the_store_itself_may_be_the_run"),
    (readers.ScansAll, "a_scan_below_a_name_finds_that_run_and_the_runs_in_it"),
    (readers.FindsStepsByTheirEnd, "all_that_claim_a_step_are_found_at_it"),
    (readers.TakesAnyName, "an_unsafe_run_name_is_refused[../up]"),
    (readers.ReadsAll, "a_read_gives_the_limit_and_one_byte_more"),
    (readers.SharesItsStream, "streams_begin_at_the_start_and_do_not_disturb_each_other"),
    (readers.MissingIsDamaged, "a_file_that_is_missing_is_not_found[rng/no]"),
    (readers.FoldersAreEmptyFiles, "what_is_no_regular_file_is_damage[rng]"),
    (readers.NamesOnlyOurs, "all_files_of_an_entry_are_named_also_those_of_strangers"),
    (readers.FetchesTheLiveFolder, "what_is_written_into_a_fetched_folder_changes_no_store"),
    (readers.FetchesFlat, "fetched_files_lie_at_their_paths_byte_for_byte"),
    (readers.ConstantRunStamp, "the_stamp_of_a_run_changes_when_a_checkpoint_comes_or_goes"),
    (readers.ConstantIdentity, "an_identity_changes_when_another_is_put_in_its_place"),
    (readers.IdentityOfTheGone, "what_is_gone_has_no_identity"),
    (readers.StampsSizes, "stamps_tell_what_was_changed_added_or_removed"),
    (readers.StampsSizes, "what_is_called_telling_shows_the_next_change"),
    (readers.StampsWhatWasShown, "stamps_are_of_all_files_but_what_was_shown"),
    (writers.LosesAFile, "it_comes_back_byte_for_byte"),
    (writers.BringsBackOver, "it_does_not_come_back_over_another_one"),
    (writers.DeletesAtOnce, "what_is_removed_is_in_the_trash_and_listed_no_more"),
    (writers.DeletesAtOnce, "what_is_gone_cannot_be_removed"),
    (writers.OldestFirst, "the_last_removed_comes_first"),
    (writers.CountsManifests, "its_size_is_that_of_its_payload"),
    (writers.ForgetsRunsThatAreEmpty, "the_trash_of_all_runs_is_listed_at_once"),
    (writers.OldestFirst, "one_step_may_lie_there_more_than_once"),
    (writers.MovesWhatIsOthers, "a_manifest_of_flat_files_moves_nothing_that_lies_elsewhere"),
    (writers.PurgesAtOnce, "trash_is_left_over_after_the_grace_time_and_purged_for_good"),
    (writers.PurgesNothing, "trash_is_left_over_after_the_grace_time_and_purged_for_good"),
    (writers.RemovesLater, "what_is_removed_with_others_is_gone_at_once_and_comes_back"),
    (writers.SetsNothingAside, "what_is_set_aside_is_in_the_trash_no_more"),
    (writers.FinishesTooMuch, "finishing_removals_touches_nothing_that_is_whole"),
    (adopters.LooksIntoTrainersFolders, "what_a_trainer_wrote_is_found_with_its_step"),
    (adopters.MovesWhatNobodyLists, "a_trainers_folder_with_a_file_that_is_not_listed_stays"),
    (adopters.LeavesTheFolder, "a_trainers_folder_goes_and_comes_back_as_a_whole"),
    (adopters.BringsBackInto, "it_does_not_come_back_into_a_folder_that_its_trainer_wrote_since"),
    (adopters.StampsWhatIsListed, "stamps_are_of_all_that_lies_in_a_trainers_folder"),
    (adopters.ListsOrphans, "what_its_trainer_removed_is_no_checkpoint"),
    (adopters.MovesWhateverIsListed, "an_adopted_manifest_moves_no_checkpoint_of_ours"),
    (adopters.AdoptsFromAnywhere, "files_outside_the_store_are_adopted_or_refused_in_words"),
    (adopters.ForgetsTheFiles, "what_is_forgotten_leaves_the_trainers_files"),
    (writers.OneStateForAll, "states_of_other_runs_and_names_are_others"),
    (writers.NoLocks, "a_lock_keeps_out_until_it_is_let_go[change-change]"),
    (writers.OneLock, "a_lock_lets_in[save-save]"),
    (writers.LocksOfThreads, "another_thread_may_leave_what_a_save_has_entered"),
    (writers.LocksForGood, "a_lock_is_let_go_when_its_block_fails[change]"),
    (writers.AlwaysRoom, "what_cannot_fit_is_told_before_it_is_written"),
    (writers.PreparesVisibly, "prepare_leaves_nothing_behind"),
    (readers.AllStoresAreOne, "two_stores_are_told_apart"),
    (readers.FollowsIntoCheckpoints, "a_run_inside_a_checkpoint_is_refused"),
    (readers.FolderOfRunsOnly, "a_folder_on_this_machine_is_given_or_refused_in_words"),
    (readers.WhereInManyLines, "an_entry_says_where_it_is_in_one_line"),
    (readers.OwnedByNobodyElse, "what_this_user_commits_belongs_to_this_user"),
    (readers.HidesWhatHasNoManifest, "what_has_no_manifest_is_found_by_our_names_only"),
    (readers.OnlyNamesOfRuns, "names_of_strangers_are_found_and_read"),
    (writers.LosesOddNames, "what_is_committed_is_there_byte_for_byte"),
    (readers.BelievesManifests, "a_copied_checkpoint_belongs_to_the_run_that_it_lies_in"),
    (readers.StatsNothing, "a_file_is_examined_without_reading_it"),
    (writers.PutsOnce, "a_file_of_ours_is_replaced_where_that_is_asked_for"),
    (readers.FoldersOnly, "a_manifest_beside_flat_files_is_a_checkpoint"),
    (readers.ClaimsToOutlive, "its_url_opens_it_again"),
    (readers.ClaimsToOutlive, "a_process_that_dies_while_it_saves_leaves_nothing_that_is_listed"),
    (readers.ClaimsToOutlive, "a_run_that_another_process_holds_is_refused_until_it_dies"),
    (writers.HoldsOnce, "a_run_is_held_again_and_let_go_by_one_process"),
    (readers.ScansTwoFolders, "a_run_of_sixteen_parts_is_found"),
    (readers.RaisesForWhatIsNotThere, "a_run_that_is_not_there_has_nothing"),
    (writers.StatesAreNeverNone, "a_state_is_none_until_it_is_written"),
    (readers.IdentityOfAll, "an_identity_stays_while_the_checkpoint_stays"),
    (writers.RemovesWholeOnesOnly, "an_incomplete_one_is_removed_and_comes_back_as_it_was"),
    (writers.RefusesWhileChanged, "checkpoints_are_committed_while_a_run_is_changed"),
    (writers.BringsBackOver, "flat_files_do_not_come_back_over_new_ones"),
    (writers.LeavesFlatFiles, "of_flat_files_those_that_are_listed_go_and_come_back"),
    (writers.OneRun, "runs_do_not_wait_for_each_other"),
    (readers.ListsItsTrash, "what_a_store_keeps_for_itself_is_never_listed"),
    (readers.StampsTheSharedFolder, "where_files_are_shared_only_those_that_are_listed_are_stamped"),
    (writers.SavesComeFirst, "a_change_gets_its_turn_among_steady_saves"),
]


class Kit(StorageTests):
    """Runs one law by name; pytest collects none from here."""

    __test__ = False
    kind: type[MemoryStorage] = MemoryStorage
    patience = 0.05
    limit_seconds = 0.5

    def make_storage(self, tmp_path: Path) -> MemoryStorage:
        return self.kind()

    def stranger_writes(self, storage: Storage, path: str, data: bytes) -> None:
        assert isinstance(storage, MemoryStorage)
        storage.objects.put({path: data})


def run_law(kind: type[MemoryStorage], test: str, tmp_path: Path) -> None:
    """Call one law as pytest would: with a store, a folder, and the value of each parameter."""
    kit = Kit()
    kit.kind = kind
    name, _, parameters = test.removesuffix("]").partition("[")
    law = getattr(kit, f"test_{name}")
    wanted = [one for one in inspect.signature(law).parameters if one not in ("storage", "shared", "tmp_path")]
    values = [parameters] if len(wanted) == 1 else parameters.split("-") if wanted else []
    storage = kit.make_storage(tmp_path)
    given = {"storage": storage, "shared": storage, "tmp_path": tmp_path}
    fixtures = {name: value for name, value in given.items() if name in inspect.signature(law).parameters}
    law(**fixtures, **dict(zip(wanted, values, strict=True)))


@pytest.mark.parametrize(("kind", "test"), BROKEN, ids=[f"{kind.__name__}-{test}" for kind, test in BROKEN])
def test_a_store_that_breaks_a_law_fails_it(kind: type[MemoryStorage], test: str, tmp_path: Path) -> None:
    with pytest.raises((AssertionError, CkptkitError, FileNotFoundError, pytest.fail.Exception)):
        run_law(kind, test, tmp_path)


def test_every_store_of_this_list_is_broken_in_one_way() -> None:
    there = [*vars(readers).values(), *vars(writers).values(), *vars(adopters).values()]
    mine = {one for one in there if inspect.isclass(one) and issubclass(one, MemoryStorage)}
    assert mine - {MemoryStorage} == {kind for kind, _ in BROKEN}


def laws() -> set[str]:
    return {name.removeprefix("test_") for name in dir(StorageTests) if name.startswith("test_")}


def test_every_law_is_broken_by_some_store_above() -> None:
    about_the_hooks = {"skips_name_laws_and_give_reasons"}
    assert laws() - about_the_hooks == {test.partition("[")[0] for _, test in BROKEN}


def test_laws_have_sentences_for_names_and_say_what_they_are_about() -> None:
    for name in laws():
        assert len(re.findall("_", name)) >= 3, name
        assert (getattr(StorageTests, f"test_{name}").__doc__ or "").strip(), name

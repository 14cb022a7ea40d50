"""A run that was resumed as another one is followed to where its progress is; an experiment beside it is not."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import inside
from in_memory import in_store

from ckptkit import CheckpointStore
from ckptkit.catalog import manifests
from ckptkit.errors import NothingResumableError, StoreError
from ckptkit.manifest.models import Parent
from ckptkit.retention import RetentionPolicy
from ckptkit.store import Chosen


def save(root: Path, run: str, *steps: int, parent: str | None = None) -> None:
    """Save as one process does that went on from the parent."""
    store = CheckpointStore(root)
    for step in steps:
        store.save(run, step, {"rng": np.random.default_rng(step)}, parent=parent, resume=["train", "{run}@{step}"])


def chosen(root: Path, ref: str = "first", **more: Any) -> str:
    return CheckpointStore(root).choose(ref, **more).at.ref


def damage(root: Path, run: str, step: int) -> None:
    path = in_store(root / run / f"step-{step:08d}" / "rng" / "rng.json")
    path.write_bytes(path.read_bytes()[:-1] + b" ")


@pytest.fixture
def crashed_twice(tmp_path: Path) -> Path:
    """`first` was killed after 50, went on as `second`, which was killed after 150."""
    save(tmp_path, "first", 25, 50)
    save(tmp_path, "second", 100, 150, parent="first@50")
    return tmp_path


def beside(store: Path, name: str) -> Path:
    return store.with_name(f"{store.name}-{name}")


class TestFollowing:
    def test_after_a_second_crash_the_resumed_run_is_gone_on_from(self, crashed_twice: Path) -> None:
        done = inside("resume-cmd", "first", store=crashed_twice)
        assert done.stdout.endswith("&& train second@150\n")
        assert done.stderr.splitlines() == [
            "first went on as second: from step 50 to step 150",
            "--exact-run asks for the run itself",
            "resuming second@150",
        ]

    def test_the_run_itself_can_be_asked_for(self, crashed_twice: Path) -> None:
        done = inside("resume-cmd", "first", "--exact-run", store=crashed_twice)
        assert (done.stdout.partition("&& ")[2], done.stderr) == ("train first@50\n", "resuming first@50\n")
        again = inside("resume-cmd", "first", "--exact-run", "--format", "slurm", store=crashed_twice).stdout
        assert "resume-cmd first --format argv0 --exact-run" in again

    @pytest.mark.parametrize(
        ("ref", "expected"),
        [("first@latest", "second@150"), ("first@50", "first@50"), ("first@25", "first@25"), ("second", "second@150")],
    )
    def test_a_step_means_itself_and_latest_what_is_gone_on_from(
        self, crashed_twice: Path, ref: str, expected: str
    ) -> None:
        assert chosen(crashed_twice, ref) == expected

    def test_the_best_is_looked_for_in_the_run_itself(self, tmp_path: Path) -> None:
        store = CheckpointStore(tmp_path)
        store.save("first", 50, {"rng": np.random.default_rng()}, metrics={"loss": 0.9})
        store.save("second", 60, {"rng": np.random.default_rng()}, metrics={"loss": 0.1}, parent="first@50")
        done = inside("restore", "first@best", beside(tmp_path, "out"), "--mode", "min", store=tmp_path)
        assert done.stderr == "restored first@50\n"

    def test_live_objects_are_put_where_the_progress_is_and_what_is_saved_next_names_it(
        self, crashed_twice: Path
    ) -> None:
        store, generator = CheckpointStore(crashed_twice), np.random.default_rng()
        restored = store.restore("first", into={"rng": generator})
        assert restored is not None
        assert (restored.run, restored.step) == ("second", 150)
        assert restored.followed == ["first went on as second: from step 50 to step 150"]
        store.prepare("first")
        manifest = store.save("first", 200, {"rng": generator}).manifest
        assert manifest.parent == manifest.origin == Parent(run="second", step=150)
        # Now each of the two went on from the other: the newest of both is meant, whichever is named.
        assert [chosen(crashed_twice, run) for run in ("first", "second")] == ["first@200", "first@200"]
        assert store.restore("first", into={"rng": generator}, exact_run=True).step == 200  # type: ignore[union-attr]

    def test_files_are_copied_out_of_where_the_progress_is(self, crashed_twice: Path) -> None:
        done = inside("restore", "first", beside(crashed_twice, "out"), store=crashed_twice)
        assert done.stderr.endswith("restored second@150\n")
        done = inside("restore", "first", "--exact-run", beside(crashed_twice, "out2"), store=crashed_twice)
        assert done.stderr == "restored first@50\n"

    def test_looking_and_marking_mean_what_they_name(self, crashed_twice: Path) -> None:
        assert "second@" not in inside("verify", "first@latest", store=crashed_twice).stdout
        assert inside("pin", "first", store=crashed_twice).stderr == "pinned first@50\n"
        assert "\nrun\tfirst\n" in inside("show", "first@latest", store=crashed_twice).stdout

    def test_chains_are_followed_to_their_end(self, crashed_twice: Path) -> None:
        save(crashed_twice, "third", 200, parent="second@150")
        save(crashed_twice, "fourth", 250, parent="third@200")
        found = CheckpointStore(crashed_twice).choose("first")
        assert found.at.ref == "fourth@250"
        assert [line.partition(":")[0] for line in found.followed] == [
            "first went on as second",
            "second went on as third",
            "third went on as fourth",
        ]

    def test_of_several_the_furthest_is_taken_and_the_others_are_named(self, crashed_twice: Path) -> None:
        save(crashed_twice, "other", 140, parent="first@50")
        save(crashed_twice, "equal", 150, parent="first@50")  # as far as `second`, saved later
        found = CheckpointStore(crashed_twice).choose("first")
        assert found.at.ref == "equal@150"
        assert list(found.followed) == [
            "first went on as equal: from step 50 to step 150",
            "first also went on as second: from step 50 to step 150",
            "first also went on as other: from step 50 to step 140",
        ]


class TestExperiments:
    def test_a_run_that_went_on_by_itself_is_not_left_for_what_was_forked_off_earlier(
        self, crashed_twice: Path
    ) -> None:
        save(crashed_twice, "first", 60, parent="first@50")
        found = CheckpointStore(crashed_twice).choose("first")
        assert (found.at.ref, list(found.followed)) == ("first@60", [])

    def test_a_fork_from_an_older_step_is_followed_only_where_nothing_newer_is_good(self, tmp_path: Path) -> None:
        save(tmp_path, "first", 25, 50)
        save(tmp_path, "trial", 90, parent="first@25")
        assert chosen(tmp_path) == "first@50"
        damage(tmp_path, "first", 50)
        assert chosen(tmp_path) == "trial@90"

    def test_a_run_that_counts_anew_is_not_a_continuation(self, tmp_path: Path) -> None:
        save(tmp_path, "first", 50)
        save(tmp_path, "tuned", 10, 20, parent="first@50")
        assert chosen(tmp_path) == "first@50"

    def test_a_person_who_went_back_in_a_run_is_not_sent_to_what_was_forked_off_the_removed_part(
        self, tmp_path: Path
    ) -> None:
        save(tmp_path, "first", 50, 100)
        save(tmp_path, "second", 150, parent="first@100")
        store = CheckpointStore(tmp_path)
        store.restore("first@50", into={"rng": np.random.default_rng()})
        store.prepare("first", replace_newer=True)
        save(tmp_path, "first", 60, parent="first@50")
        assert chosen(tmp_path) == "first@60"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
@pytest.mark.on_disk("files belong to users")
class TestStrangers:
    def test_what_another_user_wrote_is_told_and_not_followed(self, crashed_twice: Path) -> None:
        for path in (crashed_twice / "second").rglob("*"):
            os.chown(path, 12345, -1)
        done = inside("resume-cmd", "first", store=crashed_twice)
        assert done.stdout.endswith("&& train first@50\n")
        assert done.stderr.splitlines() == [
            "second went on from first@50, but is another user's: it is not followed",
            "resuming first@50",
        ]
        assert chosen(crashed_twice, "second") == "second@150"

    def test_a_checkpoint_of_another_user_in_a_run_that_is_followed_is_passed_over(self, crashed_twice: Path) -> None:
        os.chown(crashed_twice / "second/step-00000100/manifest.json", 12345, -1)
        damage(crashed_twice, "second", 150)
        assert chosen(crashed_twice) == "first@50"

    def test_runs_of_one_other_user_are_followed_among_each_other(self, crashed_twice: Path) -> None:
        for path in crashed_twice.rglob("*"):
            os.chown(path, 12345, -1)
        assert chosen(crashed_twice) == "second@150"


class TestDamage:
    def test_a_continuation_without_a_good_checkpoint_is_told_and_not_taken(self, crashed_twice: Path) -> None:
        damage(crashed_twice, "second", 100), damage(crashed_twice, "second", 150)
        done = inside("resume-cmd", "first", store=crashed_twice)
        assert done.stdout.endswith("&& train first@50\n")
        assert [line.split(": ")[0] for line in done.stderr.splitlines()] == [
            "skipped second@150",
            "skipped second@100",
            "resuming first@50",
        ]
        assert inside("resume-cmd", "first", "--strict", store=crashed_twice).returncode == 4

    def test_the_continuation_falls_back_within_itself(self, crashed_twice: Path) -> None:
        damage(crashed_twice, "second", 150)
        found = CheckpointStore(crashed_twice).choose("first")
        assert (found.at.ref, [r.at.ref for r in found.skipped]) == ("second@100", ["second@150"])

    def test_it_is_found_behind_a_run_in_which_nothing_is_good(self, crashed_twice: Path) -> None:
        damage(crashed_twice, "first", 25), damage(crashed_twice, "first", 50)
        assert chosen(crashed_twice) == "second@150"
        with pytest.raises(NothingResumableError, match="first@50"):
            chosen(crashed_twice, exact_run=True)

    def test_an_unreadable_manifest_hides_no_other_run(self, crashed_twice: Path) -> None:
        save(crashed_twice, "broken", 10)
        in_store(crashed_twice / "broken/step-00000010/manifest.json").write_text("{")
        in_store(crashed_twice / "second/step-00000150/manifest.json").write_text("{")
        assert chosen(crashed_twice) == "second@100"

    @pytest.mark.on_disk("a folder that nobody can list")
    def test_a_folder_that_cannot_be_read_does_not_matter(self, crashed_twice: Path) -> None:
        folder = os.open(crashed_twice, os.O_RDONLY)
        for _ in range(16):  # a path longer than the system takes: not even root can list the last one
            os.mkdir("x" * 255, dir_fd=folder)
            inner = os.open("x" * 255, os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = inner
        os.close(folder)
        store = CheckpointStore(crashed_twice)
        with pytest.raises(StoreError, match="cannot be read"):
            list(store.locate())
        assert chosen(crashed_twice) == "second@150"


class TestOrigin:
    def test_it_is_carried_through_all_checkpoints_of_the_run(self, crashed_twice: Path) -> None:
        save(crashed_twice, "second", 160, parent="second@150")  # resumed within itself
        save(crashed_twice, "second", 170)  # by a process that says nothing
        store = CheckpointStore(crashed_twice)
        store.prune(store.plan_prune(RetentionPolicy(keep_last=1), run="second"))
        (left,) = store.verify("second").checkpoints
        assert left.manifest is not None
        assert (left.manifest.parent, left.manifest.origin) == (None, Parent(run="first", step=50))
        assert chosen(crashed_twice) == "second@170"

    def test_the_checkpoint_that_another_run_began_from_is_not_pruned(self, crashed_twice: Path) -> None:
        save(crashed_twice, "first", 60, 70, parent="first@50")
        save(crashed_twice, "second", 160, parent="second@150")
        store = CheckpointStore(crashed_twice)
        for run in ("second", "first"):
            store.prune(store.plan_prune(RetentionPolicy(keep_last=1), run=run))
        assert [at.ref for at in store.locate()] == ["first@50", "first@70", "second@160"]

    def test_one_manifest_is_read_of_each_other_run(self, crashed_twice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for number in range(3):
            save(crashed_twice, f"other/run{number}", *range(1, 9))
        seen = []
        real = manifests.read
        monkeypatch.setattr(manifests, "read", lambda at: seen.append(at.ref) or real(at))
        found: Chosen = CheckpointStore(crashed_twice).choose("first")
        assert found.at.ref == "second@150"
        assert sorted(seen) == ["first@50", "other/run0@8", "other/run1@8", "other/run2@8", "second@150"]

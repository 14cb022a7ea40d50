"""Laws about what belongs to a run: small files that are replaced in one step, and locks that die with their holder."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from ckptkit.storage.interface import Lock, Storage
from ckptkit.testing.storage_hooks import RUN, StorageHooks, listed, whole
from ckptkit.testing.threads import entering, meanwhile, within


class RunLaws(StorageHooks):
    """States are old or new; who changes a run is alone."""

    def test_a_state_is_none_until_it_is_written(self, storage: Storage) -> None:
        """And then the last that was written, up to the limit and one byte more."""
        assert storage.read_state(RUN, "refs.json", 100) is None
        for data in (b"one", b"another", b""):
            storage.replace_state(RUN, "refs.json", data)
            assert storage.read_state(RUN, "refs.json", 100) == data
        storage.replace_state(RUN, "refs.json", b"0123456789", lasting=False)
        assert storage.read_state(RUN, "refs.json", 4) == b"01234"

    def test_states_of_other_runs_and_names_are_others(self, storage: Storage) -> None:
        """Also of a run inside the run."""
        runs = (".", "a", "a/b", RUN)
        for run in runs:
            for name in ("one.json", "two.json"):
                storage.replace_state(run, name, f"{run} {name}".encode())
        for run in runs:
            for name in ("one.json", "two.json"):
                assert storage.read_state(run, name, 100) == f"{run} {name}".encode()
        assert listed(storage) == []

    def test_who_reads_a_state_while_it_is_replaced_sees_the_old_or_the_new(self, storage: Storage) -> None:
        """Pins that are half read would be removed by the next prune."""
        states = [bytes([letter]) * size for letter, size in ((97, 300_000), (98, 200_000), (99, 100_000))]
        storage.replace_state(RUN, "refs.json", states[0])

        def look() -> None:
            assert storage.read_state(RUN, "refs.json", 1 << 20) in states, "a half-written state was read"

        with meanwhile(look):
            for number in range(60):
                storage.replace_state(RUN, "refs.json", states[number % 3], lasting=number % 2 == 0)

    @pytest.mark.parametrize(
        ("held", "wanted"),
        [("save", "save"), ("save", "refs"), ("refs", "save"), ("change", "save")],
    )
    def test_a_lock_lets_in(self, storage: Storage, held: Lock, wanted: Lock) -> None:
        """Saves share, and wait for nobody; to pin is no change of what is committed."""
        with storage.locked(RUN, held), entering(storage.locked(RUN, wanted)) as entered:
            assert entered.wait(self.limit_seconds), f"{wanted} waits for {held}"

    @pytest.mark.parametrize(
        ("held", "wanted"),
        [("save", "change"), ("change", "change"), ("refs", "refs"), ("change", "refs"), ("refs", "change")],
    )
    def test_a_lock_keeps_out_until_it_is_let_go(self, storage: Storage, held: Lock, wanted: Lock) -> None:
        """A change is alone, and holds the pins too; it waits for saves that are under way."""
        with ExitStack() as stack:
            lock = storage.locked(RUN, held)
            lock.__enter__()
            entered = stack.enter_context(entering(storage.locked(RUN, wanted)))
            early = entered.wait(self.patience)
            lock.__exit__(None, None, None)
            assert not early, f"{wanted} does not wait for {held}"
            assert entered.wait(self.limit_seconds), f"{wanted} still waits when {held} is let go"

    @pytest.mark.parametrize("lock", ["save", "change", "refs"])
    def test_a_lock_is_let_go_when_its_block_fails(self, storage: Storage, lock: Lock) -> None:
        """And can be taken again."""
        for _ in range(3):
            with pytest.raises(ZeroDivisionError), storage.locked(RUN, lock):
                raise ZeroDivisionError
        with storage.locked(RUN, "change"):
            pass

    def test_another_thread_may_leave_what_a_save_has_entered(self, storage: Storage) -> None:
        """A save that goes on behind is begun by one thread and ended by another."""
        save = ExitStack()
        save.enter_context(storage.locked(RUN, "save"))
        save.enter_context(storage.stage(RUN))
        with ThreadPoolExecutor(1) as another:
            failure = another.submit(save.close).exception(self.limit_seconds)
        assert failure is None, f"only the thread that began a save can end it: {failure!r}"
        with storage.locked(RUN, "change"):
            whole(self.commit(storage))

    def test_runs_do_not_wait_for_each_other(self, storage: Storage) -> None:
        """Nor for a run inside them."""
        with storage.locked(RUN, "change"), entering(storage.locked("ppo", "change")) as entered:
            assert entered.wait(self.limit_seconds)

    def test_checkpoints_are_committed_while_a_run_is_changed(self, storage: Storage) -> None:
        """No lock is needed for what is right without one."""
        with storage.locked(RUN, "change"):
            whole(self.commit(storage))

    def test_a_run_is_held_again_and_let_go_by_one_process(self, storage: Storage) -> None:
        """Twice is once; to let go of what is not held is nothing."""
        storage.release(RUN)
        for _ in range(2):
            storage.hold(RUN)
        storage.release(RUN)
        storage.release(RUN)
        storage.hold(RUN)
        assert listed(storage) == []
        whole(self.commit(storage))
        storage.release(RUN)

    def test_a_change_gets_its_turn_among_steady_saves(self, storage: Storage) -> None:
        """Saves that begin while it waits do not keep it out for ever."""
        with ExitStack() as first:
            first.enter_context(storage.locked(RUN, "save"))
            with entering(storage.locked(RUN, "change")) as entered:
                assert not entered.wait(self.patience)
                with storage.locked(RUN, "save"):  # begins while the change waits
                    first.close()
                    assert within(self.limit_seconds, entered.is_set), "a save that began later keeps the change out"

"""Tasks in threads: their results come in order, and whatever they tell or raise comes to the caller's thread."""

import threading
from functools import partial

import pytest

from ckptkit import parallel
from ckptkit.parallel import Tell

MANY = 1 << 22  # bytes that are told at once


def nobody(count: int) -> None:
    """Tell nobody."""


def test_results_come_in_the_order_of_the_tasks_whichever_ends_first() -> None:
    second_is_done = threading.Event()

    def first(tell: Tell) -> str:
        assert second_is_done.wait(30), "the second task does not run beside the first"
        return "first"

    def second(tell: Tell) -> str:
        second_is_done.set()
        return "second"

    assert parallel.results([first, second], 2, nobody) == ["first", "second"]


def test_what_tasks_tell_comes_to_the_thread_of_the_caller_and_nothing_is_lost() -> None:
    told: list[int] = []
    tellers: set[threading.Thread] = set()

    def listen(count: int) -> None:
        told.append(count)
        tellers.add(threading.current_thread())

    def work(tell: Tell) -> None:
        for _ in range(5):
            tell(MANY // 2)

    parallel.results([work] * 6, 3, listen)
    assert sum(told) == 6 * 5 * MANY // 2
    assert tellers == {threading.current_thread()}


def test_an_error_of_a_task_is_raised_when_no_task_runs_any_more() -> None:
    ended = threading.Event()

    def endless(tell: Tell) -> None:
        try:
            while True:
                tell(1)
        finally:
            ended.set()

    def failing(tell: Tell) -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        parallel.results([endless, failing], 2, nobody)
    assert ended.is_set()


def test_an_error_of_who_is_told_ends_the_tasks() -> None:
    def stop(count: int) -> None:
        raise KeyboardInterrupt

    def endless(tell: Tell) -> None:
        while True:
            tell(MANY)

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        parallel.results([endless, endless], 2, stop)
    assert threading.active_count() == before


@pytest.mark.parametrize(("tasks", "threads"), [(1, 4), (3, 1)])
def test_one_task_or_one_thread_needs_no_other_thread(tasks: int, threads: int) -> None:
    def who(tell: Tell) -> threading.Thread:
        return threading.current_thread()

    assert set(parallel.results([who] * tasks, threads, nobody)) == {threading.current_thread()}


def test_where_the_system_gives_no_thread_all_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    tasks = [partial(lambda number, tell: number, number) for number in range(3)]
    assert parallel.results(tasks, 2, nobody) == [0, 1, 2]

"""SIGTERM as a request, in small processes without a framework."""

import signal
import subprocess
import sys

PROGRAM = """
import os, signal, sys, time
from ckptkit_hooks.sigterm import StopRequest

class Trainer:
    def train(self, act):
        stop.watch()
        act()

def kill():
    os.kill(os.getpid(), signal.SIGTERM)

def mine(*_):
    print("mine")

stop = StopRequest({{"Trainer.train"}})
{body}
"""


def play(body: str) -> "subprocess.CompletedProcess[str]":
    program = PROGRAM.format(body=body)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)


def test_the_flag_is_raised_and_the_exit_code_is_that_of_the_signal() -> None:
    done = play("""
def act():
    kill()
    assert stop.requested
    try:
        stop.exit("run@1")
    finally:
        print("finally", signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
Trainer().train(act)
""")
    assert (done.returncode, done.stdout) == (143, "finally True\n"), done.stderr


def test_two_signals_at_once_are_one_request() -> None:
    done = play("""
def act():
    kill(), kill()
    stop.exit("run@1")
Trainer().train(act)
""")
    assert done.returncode == 143, done.stderr


def test_a_later_second_signal_ends_the_process_at_once() -> None:
    done = play("""
def act():
    kill()
    time.sleep(1.1)
    kill()
    print("still here")
Trainer().train(act)
""")
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, ""), done.stderr


def test_a_signal_while_the_last_save_ends_is_answered_when_it_has() -> None:
    done = play("""
def act():
    stop.end(lambda: (kill(), print("saved", flush=True)))
    print("still here")
Trainer().train(act)
""")
    assert (done.returncode, done.stdout) == (143, "saved\n"), done.stderr


def test_the_previous_handler_is_back_afterwards() -> None:
    done = play("""
signal.signal(signal.SIGTERM, mine)
Trainer().train(lambda: None)
stop.unwatch()
kill()
""")
    assert (done.returncode, done.stdout) == (0, "mine\n"), done.stderr


def test_a_training_loop_that_raised_swallows_no_signal() -> None:
    done = play("""
def act():
    raise RuntimeError
try:
    Trainer().train(act)
except RuntimeError:
    pass
kill()
print("still here")
""")
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, ""), done.stderr


def test_an_own_handler_gets_the_signal_when_the_training_loop_raised() -> None:
    done = play("""
signal.signal(signal.SIGTERM, mine)
try:
    Trainer().train(lambda: 1 / 0)
except ZeroDivisionError:
    pass
kill()
""")
    assert (done.returncode, done.stdout) == (0, "mine\n"), done.stderr


def test_a_process_that_ignores_sigterm_goes_on_ignoring_it() -> None:
    done = play("""
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def act():
    kill()
    print(stop.requested)
Trainer().train(act)
""")
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


def test_in_another_thread_it_says_that_it_cannot_watch() -> None:
    done = play("""
import threading
thread = threading.Thread(target=Trainer().train, args=(lambda: None,))
thread.start()
thread.join()
""")
    assert done.returncode == 0
    assert "SIGTERM will end this training unsaved" in done.stderr

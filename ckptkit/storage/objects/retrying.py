"""Tries a request again where the service failed for now: with longer and longer pauses, not for ever."""

import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a request may take, and how often it is tried.

    Attributes:
        attempts: how often at most.
        pause: seconds before the second attempt; twice as long before each further one, and half of it by chance, so
            that many who were refused at once do not come back at once.
        longest: of the pauses, in seconds.
        timeout: seconds that one attempt may take.
        enough: seconds after which nothing is tried again.
    """

    attempts: int = 6
    pause: float = 0.4
    longest: float = 10.0
    timeout: float = 60.0
    enough: float = 180.0


PATIENT = Patience()
ONCE = Patience(attempts=1)


def insist(attempt: Callable[[], T], passing: Callable[[Exception], bool], patience: Patience = PATIENT) -> T:
    """Return what an attempt returns; one that failed for a reason that passes is made again.

    Args:
        attempt: the request.
        passing: says whether the next attempt may go well.
        patience: how long and how often.

    Raises:
        Exception: what the last attempt raised.
    """
    begun = time.monotonic()
    for turn in itertools.count(1):
        try:
            return attempt()
        except Exception as error:
            late = time.monotonic() - begun > patience.enough
            if turn >= patience.attempts or late or not passing(error):
                raise
        pause = min(patience.longest, patience.pause * 2 ** (turn - 1))
        time.sleep(pause * random.uniform(0.5, 1.0))
    raise AssertionError("unreachable")

"""Errands into the workers of a SubprocVecEnv, by SB3's own pipe: state is read and put back where the environment is.

An environment need not be picklable for that, and is not pickled: many that look so are built anew from their arguments
(gymnasium's ``EzPickle``), and a worker whose answer cannot be pickled dies. An errand is set as an attribute of the
outermost wrapper, called there (which takes it away again), and answers with plain data.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_NAME = "ckptkit_errand"
_WORKERS = "stable_baselines3.common.vec_env.subproc_vec_env.SubprocVecEnv"


class Errand:
    """One question to one worker.

    Args:
        question: name of a function of this module, called with the worker's environment and the arguments.
        arguments: plain data.
    """

    def __init__(self, question: str, arguments: Sequence[Any]) -> None:
        self.question = question
        self.arguments = arguments

    def __call__(self) -> tuple[Any, str | None]:
        """Return the answer, and what went wrong; whatever is raised in a worker would end the training."""
        try:
            env = self._env()
            vars(env).pop(_NAME)
            return _QUESTIONS[self.question](env, *self.arguments), None
        except Exception as error:
            return None, f"{type(error).__name__}: {error}"

    def _env(self) -> Any:
        """Return the environment that holds this errand: the worker that calls it has it at hand.

        SB3's pipe has no command that hands a callable its environment, and an attribute is not told whose it is. So
        the environment is looked for in the frame of the call.
        """
        caller = sys._getframe(2)
        for value in caller.f_locals.values():
            if hasattr(value, "__dict__") and vars(value).get(_NAME) is self:
                return value
        raise LookupError("no environment beside the call")


def reaches(base: Any) -> bool:
    """Return whether the environments of a vector environment are in workers that take errands."""
    from ckptkit_sb3.names import is_kind

    return is_kind(base, _WORKERS)


def ask(base: Any, question: str, arguments: Mapping[int, Sequence[Any]]) -> list[tuple[Any, str | None]]:
    """Return the answers of some workers, and what went wrong in each; all work at the same time.

    Args:
        base: the vector environment.
        question: what to ask.
        arguments: by the number of the worker.
    """
    for i, given in arguments.items():
        base.set_attr(_NAME, Errand(question, given), indices=[i])
    answers: list[tuple[Any, str | None]] = base.env_method(_NAME, indices=list(arguments))
    return answers


def _define(env: Any) -> Any:
    from ckptkit_sb3.definition import define

    return define(env)


def _take(env: Any, prefix: str, verdict: Any, barrier: int | None) -> Any:
    from ckptkit_sb3 import process_rng, single_env

    arrays: dict[str, Any] = {}
    description = single_env.take(env, arrays, prefix, verdict, barrier)
    if description["strategy"] != "none":
        description["rng"] = process_rng.take_rng()  # an environment may draw from its worker
    return description, arrays


def _put(env: Any, description: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    from ckptkit_sb3 import process_rng, single_env

    put = single_env.plan(env, description, arrays)
    if "rng" in description:
        process_rng.check_rng(description["rng"])
    put()
    if "rng" in description:
        process_rng.put_rng(description["rng"])


_QUESTIONS: dict[str, Callable[..., Any]] = {"define": _define, "take": _take, "put": _put}

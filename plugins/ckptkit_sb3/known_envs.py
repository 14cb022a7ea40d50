"""Environments whose state is in a C library that can report it: MuJoCo's data, the Arcade Learning Environment."""

import importlib
import math
from typing import Any

from ckptkit.errors import BackendError
from ckptkit_sb3.forked import in_a_fork
from ckptkit_sb3.names import is_kind

HIDDEN = {
    "mujoco": frozenset({"model", "data"}),
    "ale": frozenset({"ale"}),
}
"""Attributes of the innermost environment that hold the library's objects, by strategy."""


def take_mujoco(env: Any) -> dict[str, Any] | None:
    """Return the integration state and every array of ``MjData``, or None if it is not a MuJoCo environment.

    The integration state alone is not enough: Ant and Humanoid observe contact forces, which are derived and stay in
    ``MjData`` until the next step.
    """
    if not is_kind(getattr(env, "data", None), *_MUJOCO_DATA):
        return None
    import numpy as np

    mujoco = importlib.import_module("mujoco")
    model, data = env.model, env.data
    kind = mujoco.mjtState.mjSTATE_INTEGRATION
    state = np.empty(mujoco.mj_stateSize(model, kind), np.float64)
    mujoco.mj_getState(model, data, state, kind)
    return {"state": state, "arrays": {name: np.array(array) for name, array in _arrays(model, data)}}


def put_mujoco(env: Any, value: dict[str, Any]) -> None:
    """Put the state of ``take_mujoco`` back."""
    mujoco = importlib.import_module("mujoco")
    model, data = env.model, env.data
    mujoco.mj_setState(model, data, value["state"], mujoco.mjtState.mjSTATE_INTEGRATION)
    for name, array in _arrays(model, data):
        saved = value["arrays"].get(name)
        if saved is not None and saved.shape == array.shape:
            array[...] = saved


def take_ale(env: Any) -> dict[str, Any] | None:
    """Return the state of an ALE environment, or None if it is not one or cannot be read.

    That is the emulator's serialized state with its random generator, and one thing that it cannot be asked: the action
    it did last, which it does again where its actions are sticky (a quarter of the frames by default). That one is
    found out by a forked copy of the emulator, which tries them all.
    """
    if not is_kind(getattr(env, "ale", None), *_ALE_INTERFACE):
        return None
    state = env.ale.cloneState(include_rng=True).__getstate__()
    if not _stickiness(env):
        return {"state": state, "last_action": None}
    answer = in_a_fork(lambda: str(_last_action(env)).encode(), _PATIENCE)
    return None if answer is None else {"state": state, "last_action": int(answer)}


def _last_action(env: Any) -> int:
    """Return the action that an emulator may do again: the one after which it goes on as it does. Moves it."""
    state = env.ale.cloneState(include_rng=True).__getstate__()

    def future() -> list[bytes]:
        seen = []
        for _ in range(_FRAMES):
            env.ale.act(env._action_set[0])
            seen.append(env.ale.getRAM().tobytes() + env.ale.cloneState(include_rng=True).__getstate__())
        return seen

    wanted = future()
    for action in env._action_set:
        put_ale(env, {"state": state, "last_action": int(action.value)})
        if future() == wanted:
            return int(action.value)
    raise BackendError("no action explains what the emulator does")


def put_ale(env: Any, value: dict[str, Any]) -> None:
    """Put the state of ``take_ale`` back; raises BackendError when the emulator does not take it."""
    kind = importlib.import_module("ale_py").ALEState
    state = kind.__new__(kind)
    try:
        state.__setstate__(value["state"])
        last = value.get("last_action")
        if last is not None and 0 < _stickiness(env) < 1:
            action = importlib.import_module("ale_py").Action(last)
            for _ in range(math.ceil(_SURE / math.log(_stickiness(env)))):
                env.ale.act(action)  # each is done unless the one before sticks
        env.ale.restoreState(state)
    except (RuntimeError, TypeError, ValueError) as error:
        raise BackendError(f"the emulator does not take the saved state: {error}") from error


def _stickiness(env: Any) -> float:
    return float(env.ale.getFloat("repeat_action_probability"))


_SURE = math.log(1e-18)
_FRAMES = 30
_PATIENCE = 20.0
_MUJOCO_DATA = ("mujoco._structs.MjData", "mujoco.MjData")
_ALE_INTERFACE = ("ale_py._ale_py.ALEInterface", "ale_py.ALEInterface")


def _arrays(model: Any, data: Any) -> list[tuple[str, Any]]:
    """Return the arrays of fixed size; those that grow with the contacts are made anew before a step reads them."""
    import numpy as np

    empty = importlib.import_module("mujoco").MjData(model)
    names = [n for n in dir(type(data)) if not n.startswith("_") and not any(word in n for word in _ISLANDS)]
    arrays = [(n, getattr(data, n)) for n in names if isinstance(getattr(empty, n, None), np.ndarray)]
    return [
        (n, a)
        for n, a in arrays
        if a.size and a.dtype.names is None and a.flags.writeable and a.shape == getattr(empty, n).shape
    ]


_ISLANDS = ("island", "map_")
"""In names of index arrays that do not keep what is written into them."""

"""``state.pth``: what samplers, datasets and torchdata's loader say of themselves in ``state_dict``; never a pickle."""

import copy
from collections.abc import Callable, Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from ckptkit.errors import BackendError, DamagedError, UnsafeContentError
from ckptkit_torchdata.lazy_import import torch
from ckptkit_torchdata.state_file import STATE_NAME

States = dict[str, Any]


def states_of(loader: Any) -> States:
    """Return copies of the ``state_dict`` of the loader's parts that have one and can take it back."""
    parts = {"batch_sampler": loader.batch_sampler, "sampler": loader.sampler, "dataset": loader.dataset}
    return {name: copy.deepcopy(part.state_dict()) for name, part in parts.items() if takes_state(part)}


def put_states(loader: Any, states: Mapping[str, Any]) -> None:
    """Give the parts their states back."""
    for name, state in states.items():
        getattr(loader, name).load_state_dict(copy.deepcopy(state))


def takes_state(part: Any) -> bool:
    """Return whether an object can say and take back its state; modules are no datasets with a position."""
    return callable(getattr(part, "state_dict", None)) and callable(getattr(part, "load_state_dict", None))


def write(directory: Path, states: States, create: Callable[[Path], BufferedIOBase]) -> None:
    """Write the file, which ``create`` opens.

    Raises:
        BackendError: it would not load with ``weights_only=True``.
        OSError: it cannot be written.
    """
    path = directory / STATE_NAME
    try:
        with create(path) as stream:
            torch().save(states, stream)
        torch().load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # pickle, torch and the state's own code raise whatever they like
        if isinstance(error.__context__, OSError):  # torch hides a full disk behind "unexpected pos"
            raise error.__context__ from error
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BackendError(
            f"torch-data: the state_dict of {', '.join(states)} would not load with weights_only=True: {reason}",
            hint="let state_dict() return plain numbers, text, lists, dicts and tensors only",
        ) from error


def read(directory: Path) -> States:
    """Read the file, without running anything from it.

    Raises:
        UnsafeContentError: it holds more than plain values and tensors.
        DamagedError: it cannot be read.
    """
    try:
        states = torch().load(directory / STATE_NAME, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DamagedError(f"{STATE_NAME}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # damaged files make torch raise EOFError, KeyError, RuntimeError, UnpicklingError, ...
        text = (str(error).splitlines() or [type(error).__name__])[0]
        if type(error).__name__ == "UnpicklingError" and "eights" in text:
            raise UnsafeContentError(f"{STATE_NAME}: holds more than plain values and tensors") from error
        raise DamagedError(f"{STATE_NAME}: cannot be read ({text})") from error
    if not isinstance(states, dict):
        raise DamagedError(f"{STATE_NAME}: does not hold states by part")
    return states

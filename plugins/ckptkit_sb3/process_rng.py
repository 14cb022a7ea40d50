"""The random generators of a process: python's, NumPy's legacy one, torch's on every device in use."""

import random
from collections.abc import Mapping
from typing import Any

from ckptkit.errors import DamagedError
from ckptkit_sb3 import generators


def take_rng() -> dict[str, Any]:
    """Return the states of the global generators: python, NumPy's legacy one, torch on every device in use."""
    import numpy as np
    import torch

    states = [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else ())]
    return {
        "python": generators.encode_python(random.getstate()),
        "numpy": generators.encode_legacy(np.random.mtrand._rand),
        "torch": [bytes(s.numpy()).hex() for s in states],
    }


def check_rng(rng: Any) -> None:
    """Raise DamagedError unless every state is well formed."""
    if not isinstance(rng, dict) or set(rng) != {"python", "numpy", "torch"}:
        raise DamagedError("rng: not the states of python, numpy and torch")
    generators.decode_python(rng["python"], "rng.python")
    generators.validate_legacy(rng["numpy"], "rng.numpy")
    if not isinstance(rng["torch"], list) or not rng["torch"]:
        raise DamagedError("rng.torch: not a list of states")
    for index, text in enumerate(rng["torch"]):
        try:
            state = bytes.fromhex(text)
        except (TypeError, ValueError) as error:
            raise DamagedError(f"rng.torch[{index}]: not bytes in hexadecimal") from error
        generators.validate_torch("cuda" if index else "cpu", state, f"rng.torch[{index}]")


def put_rng(rng: Mapping[str, Any]) -> None:
    """Put the global generators into the states; raises DamagedError when torch does not take its one."""
    import numpy as np
    import torch

    check_rng(rng)
    cpu, *devices = [torch.frombuffer(bytearray.fromhex(s), dtype=torch.uint8) for s in rng["torch"]]
    try:
        torch.set_rng_state(cpu)
        for index, state in enumerate(devices[: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(state, index)
    except (RuntimeError, TypeError) as error:
        raise DamagedError(f"rng.torch: {error}") from error
    np.random.set_state(generators.decode_legacy(rng["numpy"], "rng.numpy"))
    random.setstate(generators.decode_python(rng["python"], "rng.python"))

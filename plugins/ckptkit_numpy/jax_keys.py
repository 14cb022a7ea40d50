"""JAX keys, typed (``jax.random.key``) and raw (``jax.random.PRNGKey``): their words, and a key made of words."""

import importlib
from collections.abc import Mapping
from typing import Any

from ckptkit.errors import BackendError, BackendUnavailableError
from ckptkit_numpy.opening import Slot

_MOST_WORDS = 65536


def capture(slot: Slot) -> dict[str, Any]:
    """Return the key in a slot as a JSON leaf.

    Raises:
        BackendError: nothing could be put in its place again, or it is an array of very many keys.
    """
    if slot.owner is None:
        slot.put(slot.value)  # says why not
    impl, shape, found = words(slot.value)
    if len(found) > _MOST_WORDS:
        raise BackendError(f"an array of JAX keys with {len(found)} words, at most {_MOST_WORDS} are saved")
    return {"kind": "jax-key", "impl": impl, "shape": shape, "words": found}


def words(key: Any) -> tuple[str | None, list[int], list[int]]:
    """Return (name of the algorithm, None for a raw key; shape of the array of words; the words in a row)."""
    jax = importlib.import_module("jax")
    typed = type(key).__name__ == "PRNGKeyArray"
    data = jax.device_get(jax.random.key_data(key) if typed else key)
    return (str(jax.random.key_impl(key)) if typed else None), list(data.shape), data.reshape(-1).tolist()


def build(leaf: Mapping[str, Any]) -> Any:
    """Return the key of a judged leaf, on JAX's default device.

    Raises:
        BackendUnavailableError: JAX is not installed.
        BackendError: JAX does not know the algorithm, or wants other words for it.
    """
    try:
        jax, numpy = importlib.import_module("jax"), importlib.import_module("numpy")
    except ImportError as error:
        text = "the checkpoint has a JAX key, but jax is not installed"
        raise BackendUnavailableError(text, hint="install jax, which the process that saved had") from error
    data = jax.numpy.asarray(numpy.array(leaf["words"], dtype=numpy.uint32).reshape(leaf["shape"]))
    if leaf["impl"] is None:
        return data
    try:
        return jax.random.wrap_key_data(data, impl=leaf["impl"])
    except (ValueError, TypeError) as error:
        raise BackendError(f"JAX cannot make a key of what was saved ({str(error).splitlines()[0]})") from error

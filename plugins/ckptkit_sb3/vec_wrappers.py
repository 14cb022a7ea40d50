"""The vector environment and the wrappers around it (VecNormalize, VecFrameStack, anybody's): their own attributes."""

from collections.abc import Mapping
from typing import Any

from ckptkit.errors import BackendError
from ckptkit_sb3.decoding import Decoder
from ckptkit_sb3.encoding import Encoder, class_name


def wrappers_of(env: Any) -> list[Any]:
    """Return the vector environment and the ones inside it, outermost first."""
    found = []
    while env is not None:
        found.append(env)
        env = vars(env).get("venv")
    return found


def take(encoder: Encoder, env: Any, where: str) -> list[dict[str, Any]]:
    """Return one node for each level: its class, its attributes."""
    return [
        {"class": class_name(level), "attributes": encoder.attributes(level, f"{where}[{i}]")}
        for i, level in enumerate(wrappers_of(env))
    ]


def plan(nodes: Any, env: Any, arrays: Mapping[str, Any], decoder: Decoder, where: str) -> None:
    """Check that nodes fit a vector environment and collect the assignments that put them back.

    Raises:
        BackendError: it is wrapped in another way.
    """
    wrappers = wrappers_of(env)
    saved = [n.get("class") for n in nodes]
    live = [class_name(w) for w in wrappers]
    if saved != live:
        raise BackendError(
            f"the environment is wrapped as {' > '.join(live)}, the saved one as {' > '.join(map(str, saved))}",
            hint="wrap the environment as in the training that was saved (VecNormalize, VecFrameStack, ...)",
        )
    part = Decoder(arrays)
    for i, (node, wrapper) in enumerate(zip(nodes, wrappers, strict=True)):
        part.attributes(node["attributes"], wrapper, f"{where}[{i}]")
    decoder.later(part.apply)

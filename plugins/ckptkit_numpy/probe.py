"""Proof of resume: digests of what each generator draws next, on copies at save and on new objects at verify."""

import hashlib
import json
import platform
import struct
import sys
from collections.abc import Mapping
from typing import Any

from ckptkit.backend import Proof
from ckptkit.errors import BackendError
from ckptkit_numpy import jax_keys, live, rng_file
from ckptkit_numpy.live_trees import live_leaves
from ckptkit_numpy.opening import Slot, is_jax_key
from ckptkit_numpy.trees import leaves, place

_NAMED_ONE_BY_ONE = 32
_WORDS = 8


def predict(tree: Any) -> dict[str, Any]:
    """Return what the generators of a tree are going to draw, as digests; drawn from copies, so that none moves.

    Two digests each: *raw*, the stream and the seed of the next child, the same in every version of the library; and
    *drawn*, a few distributions, which a newer version may compute in another way.
    """
    seen: dict[int, tuple[str, bytes, bytes]] = {}
    for path, item in live_leaves(tree):
        if id(item) not in seen:
            seen[id(item)] = (place(path), *_draw(live.duplicate(item)))
    return {"versions": _versions(), "draws": _digests(list(seen.values()))}


def state_digests(captured: Any) -> dict[str, str]:
    """Return the digest of each state in a captured JSON tree, by place; one for all where there are very many."""
    found = {place(path): _state_digest(leaf) for path, leaf in leaves(captured).items()}
    if len(found) <= _NAMED_ONE_BY_ONE:
        return found
    return {f"{len(found)} generators": hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()}


def _state_digest(leaf: Any) -> str:
    # The digest is of the form that format 1 had, so that equal states have equal digests in every later one.
    state = {"format": rng_file.FORMAT, "format_version": 1, "kind": "state", "state": leaf}
    return hashlib.sha256(rng_file.to_bytes(state)).hexdigest()


def replay(saved: Any, probe: Mapping[str, Any]) -> Proof:
    """Build new generators from a judged JSON tree and compare what they draw with what was predicted."""
    drawn: list[tuple[str, bytes, bytes]] = []
    for path, leaf in leaves(saved).items():
        try:
            drawn.append((place(path), *_draw(live.build(leaf))))
        except (BackendError, ImportError) as error:
            return Proof("unproven", f"{place(path)}: {error}")
    predicted, here = probe.get("draws"), _digests(drawn)
    if not isinstance(predicted, list) or [_name(row) for row in predicted] != [_name(row) for row in here]:
        return Proof("differs", "the proof was taken of other generators than the file holds")
    versions, ours = probe.get("versions"), _versions()
    late: str | None = None
    for (name, raw, values), row in zip(here, predicted, strict=True):
        if row[1:] == [raw, values]:
            continue
        if row[1:2] != [raw] or versions == ours:
            return Proof("differs", f"{name} draws different numbers than the saved one was going to draw")
        late = late or name
    if late is not None:
        return Proof("unproven", f"{late}: same stream, different distributions; {versions} saved it, this is {ours}")
    return Proof("same", steps=_WORDS, of="words of the stream of each generator")


def _name(row: Any) -> Any:
    return row[0] if isinstance(row, list) and len(row) == 3 else None


def _digests(rows: list[tuple[str, bytes, bytes]]) -> list[list[str]]:
    """Return name, digest, digest for each; beyond some number, one row for all, to keep the manifest small."""
    if len(rows) > _NAMED_ONE_BY_ONE:
        raw, drawn = b"".join(row[1] for row in rows), b"".join(row[2] for row in rows)
        rows = [(f"{len(rows)} generators", raw, drawn)]
    return [[name, *(f"sha256:{hashlib.sha256(part).hexdigest()}" for part in parts)] for name, *parts in rows]


def _versions() -> dict[str, str]:
    versions = {"python": ".".join(platform.python_version_tuple()[:2])}
    for library in ("numpy", "torch"):
        if sys.modules.get(library) is not None:
            versions[library] = str(sys.modules[library].__version__)
    return versions


def _draw(item: Any) -> tuple[bytes, bytes]:
    """Draw from a copy until nothing of its state is left unseen: cached halves and normals first, then the stream."""
    kind = live.kind_of(item)
    if kind == "python-random":
        normals = struct.pack("<2d", item.gauss(0, 1), item.gauss(0, 1))
        return item.getrandbits(64 * _WORDS).to_bytes(8 * _WORDS), normals
    if kind == "torch-generator":
        return _draw_torch(item)
    if kind == "seed-sequence":
        return item.generate_state(4).tobytes() + item.spawn(1)[0].generate_state(4).tobytes(), b""
    if isinstance(item, Slot):
        item = item.value
    if is_jax_key(item):
        return repr(jax_keys.words(item)).encode(), b""  # a key is all there is: what it gives is a function of it
    if live.kind_of(item) is None:
        return json.dumps(item).encode(), b""
    bits = live.bits_of(item)
    values = b""
    if kind == "random-state":
        values += item.standard_normal(2).tobytes() + item.randint(0, 2**32, 3, dtype="uint32").tobytes()
    else:
        generator = item if kind == "generator" else _generator(item)
        values += generator.integers(0, 2**32, 3, dtype="uint32").tobytes() + generator.standard_normal(3).tobytes()
    raw = bits.random_raw(_WORDS).tobytes()
    if kind != "random-state" and hasattr(bits.seed_seq, "spawn"):
        raw += bits.seed_seq.spawn(1)[0].generate_state(4).tobytes()
    return raw, values


def _draw_torch(item: Any) -> tuple[bytes, bytes]:
    if item.device.type == "cuda":
        return bytes(item.get_state().tolist()), b""  # seed and offset are all there is, and no kernel need run
    import torch

    single, double = torch.randn(1, generator=item), torch.randn(1, generator=item, dtype=torch.float64)
    words = torch.randint(0, 2**31, (_WORDS,), generator=item)
    return struct.pack(f"<{_WORDS}q", *words.tolist()), struct.pack("<fd", single.item(), double.item())


def _generator(bits: Any) -> Any:
    import numpy

    return numpy.random.Generator(bits)

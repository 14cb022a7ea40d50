"""JAX keys, typed and raw, alone and in arrays, take the place of those that the target holds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ckptkit_numpy import GlobalRng, NumpyRngBackend

from ckptkit import CheckpointStore
from ckptkit.backend import LoadContext, SaveContext
from ckptkit.errors import BackendError

jax = pytest.importorskip("jax", reason="jax is no dependency: 600 MB for one kind of value; last run with jax 0.10.2")


@dataclass(frozen=True)
class Held:
    key: Any
    rng: np.random.Generator


def make(seed: int) -> dict[str, Any]:
    return {
        "raw": jax.random.PRNGKey(seed),
        "typed": jax.random.key(seed),
        "wide": jax.random.key(seed, impl="rbg"),
        "many": jax.random.split(jax.random.key(seed), 3),
        "list": [jax.random.PRNGKey(seed + 1)],
        "held": Held(jax.random.key(seed + 2), np.random.default_rng(seed)),
    }


def draw(keys: dict[str, Any]) -> list[Any]:
    drawn = []
    for name in ("raw", "typed", "wide"):
        keys[name], child = jax.random.split(keys[name])
        drawn.append(jax.random.normal(child, (3,)).tolist())
    rows = jax.vmap(lambda key: jax.random.uniform(key, (2,)))(keys["many"])
    others = [jax.random.bits(key).tolist() for key in (keys["list"][0], keys["held"].key)]
    return [*drawn, rows.tolist(), *others, keys["held"].rng.normal()]


def test_keys_in_every_container_go_on_after_a_restore_with_read_back(tmp_path: Path) -> None:
    store, live = CheckpointStore(tmp_path), make(1)
    draw(live)
    store.save("named", 1, {"rng": live})
    store.save("global", 1, {"rng": GlobalRng(jax=live)})
    expected = draw(live)
    target, other = make(2), make(3)
    store.restore("named", into={"rng": target})
    store.restore("global", into={"rng": GlobalRng(jax=other)})
    assert draw(target) == draw(other) == expected


def test_the_proof_of_keys_is_replayed(tmp_path: Path) -> None:
    backend = NumpyRngBackend()
    saved = backend.save(make(1), tmp_path, context=SaveContext(step=1))
    context = LoadContext(["rng.json"], format_version=2, probe=saved.probe)
    assert backend.prove(tmp_path, context=context).verdict == "same"
    path = tmp_path / "rng.json"
    path.write_text(path.read_text().replace('"words":[0,1]', '"words":[0,9]'))
    assert backend.prove(tmp_path, context=context).verdict == "differs"


def test_a_key_of_another_algorithm_takes_the_place_of_the_old_one_and_is_told(tmp_path: Path) -> None:
    backend, target = NumpyRngBackend(), {"a": jax.random.PRNGKey(5), "b": jax.random.key(5)}
    saved = {"a": jax.random.PRNGKey(1), "b": jax.random.key(1, impl="rbg"), "c": jax.random.key(3)}
    said = backend.save(saved, tmp_path, context=SaveContext(step=1))
    context = LoadContext(["rng.json"], metadata=said.metadata, format_version=2)
    backend.load(tmp_path, target=target, context=context)
    assert backend.digests(target) == backend.digests(saved)
    assert [note.partition(",")[0].partition(";")[0] for note in context.notes] == [
        "generators.b: a JAX key (rbg) took the place of a JAX key",
        "generators.c: a JAX key (threefry2x32) was added",
    ]


@pytest.mark.parametrize("item", ["alone", "in a tuple"])
def test_a_key_that_nothing_can_take_the_place_of_is_refused_at_save(item: str, tmp_path: Path) -> None:
    key = jax.random.PRNGKey(1)
    with pytest.raises(BackendError, match=r"a JAX key is a value") as caught:
        CheckpointStore(tmp_path).save("r", 1, {"rng": key if item == "alone" else (key,)})
    assert "keep it in a dict" in caught.value.hint

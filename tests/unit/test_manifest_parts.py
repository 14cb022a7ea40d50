"""The parts of a manifest accept and refuse what pydantic would, in the same words; pydantic is the judge here."""

import copy
import math
import pickle
import random
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from ckptkit.config import findings
from ckptkit.errors import ManifestError
from ckptkit.manifest.models import Manifest, Parent, Resume
from ckptkit.manifest.parts import Faults
from ckptkit.manifest.schema import model_of

DIGEST = "blake3:" + "0123456789abcdef" * 4
FULL: dict[str, Any] = {
    "schema_version": "1.3",
    "run": "ppo/run1",
    "step": 5000,
    "sequence": 3,
    "created_at": "2026-11-28T01:02:03.000004Z",
    "parent": {"run": "ppo/run1", "step": 4000},
    "origin": {"run": "ppo/run0", "step": 12},
    "counters": {"episode": 7, "epoch": 1},
    "metrics": {"reward": 1.5, "loss": math.nan, "count": 3},
    "config": {"lr": 0.1, "nested": {"deep": [1, {"x": None}]}},
    "resume": {"argv": ["python", "train.py"], "cwd": "/tmp", "env": ["SEED"]},
    "trainer": "lightning",
    "environment": {
        "python": "3.11",
        "platform": "linux",
        "packages": {"numpy": "2.0"},
        "threads": 1,
        "cpu_capability": "AVX512",
        "git": {"commit": "a" * 40, "dirty": False},
    },
    "boundary": {"kind": "step", "requested_at": 4999, "saved_at": 5000},
    "dedup": "tensor",
    "items": {
        name: {
            "backend": "safetensors",
            "format_version": 1,
            "step": 5000,
            "counters": {"episode": 7},
            "captured": {"grade": "until", "reasons": ["one", "two"]},
            "ambient": False,
            "hazards": ["draws"],
            "metadata": {"a": [1, 2]},
            "probe": {"of": "draws"},
            "files": [{"path": f"{name}/{i}", "size": i, "digest": DIGEST, "trusted": bool(i)} for i in range(2)],
            "path": name,
        }
        for name in ("policy", "rng")
    },
    "digest": DIGEST,
}
OTHERS: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 2**53, 2**63 - 1, 2**63, -(2**63) - 1, 10**12, 10**12 + 1, 10**400, 10**6 + 1),
    *(0.0, 1.0, 1.5, math.inf, math.nan),
    *("", "x", "1.0", "step", "file", "x" * 64, "x" * 65, "x" * 129, "\u00e9" * 128, "x" * 1025, "x" * 65537, "a" * 40),
    *(DIGEST, f"{DIGEST}\n", DIGEST.upper(), "1.3\n", "1.03"),
    *("2026-02-30T01:02:03.000004Z", "2026-02-28T01:02:03.000004Z"),
    *([], {}, [1], ["x"], [None], [[]], ["x"] * 4097, {str(i): 1 for i in range(1001)}),
    *({"x": 1}, {"": 1}, {"x" * 129: 1}, {"x" * 129: "x"}, {"x": "y"}, {"x": None}),
    *({"run": "a", "step": 1}, {"grade": "complete"}, [{"path": "p", "size": 1, "digest": DIGEST}]),
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container and key in it."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield value, key
        yield from places(inner)


def changed(seed: int) -> Any:
    """Return a manifest with a few values replaced, removed or added."""
    draw = random.Random(seed)
    fields = copy.deepcopy(FULL)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
        holder, key = draw.choice(list(places(fields)))
        what = draw.random()
        if what < 0.15 and isinstance(holder, dict):
            del holder[key]
        elif what < 0.3 and isinstance(holder, dict):
            holder[draw.choice(("unknown", "(others)", "plain", "read", "size", "", "x" * 200))] = copy.deepcopy(
                draw.choice(OTHERS)
            )
        else:
            holder[key] = copy.deepcopy(draw.choice(OTHERS))
    return fields


def judged(model: type[BaseModel], fields: Any) -> tuple[str | None, str | None, Any]:
    """Return what pydantic says: the first fault, the first unknown field, and the values."""
    try:
        found = model.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        return f"field {where[:160] or '(top)'}: {findings.said(first)}{more}", None, None
    return None, unknown_in(found), repr(found.model_dump())


def unknown_in(part: BaseModel, where: str = "") -> str | None:
    if part.model_extra:
        return where + next(iter(part.model_extra))
    for name in type(part).model_fields:
        value = getattr(part, name)
        pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        inner = [(f"{name}.", value), *((f"{name}[{k}]." if type(k) is int else f"{name}.{k}.", v) for k, v in pairs)]
        for before, child in inner:
            if isinstance(child, BaseModel) and (found := unknown_in(child, where + before)):
                return found
    return None


def read(fields: Any) -> tuple[str | None, str | None, Any]:
    """Return what the parts say, likewise."""
    faults = Faults()
    try:
        found = Manifest.read(fields, faults)
    except ManifestError as error:
        return error.message, None, None
    place = faults.unknown[0] if faults.unknown else ()
    said = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in place).removeprefix(".")
    return None, said if faults.unknown else None, repr(found.plain())


@pytest.mark.parametrize("start", range(0, 900, 300))
def test_a_changed_manifest_is_judged_as_pydantic_judges_it(start: int) -> None:
    model = model_of(Manifest)
    verdicts = [(seed, read(changed(seed)), judged(model, changed(seed))) for seed in range(start, start + 300)]
    assert [one for one in verdicts if one[1] != one[2]] == []
    assert {one[1][0] is None for one in verdicts} == {True, False}, "both happen"


@pytest.mark.parametrize("fields", [None, [], "x", 1, {}, {"run": 1}])
def test_what_is_no_manifest_at_all_is_judged_as_pydantic_judges_it(fields: Any) -> None:
    assert read(fields) == judged(model_of(Manifest), fields)


def test_a_whole_manifest_keeps_its_values_in_the_order_of_the_format() -> None:
    assert read(FULL) == judged(model_of(Manifest), FULL)
    assert repr(Manifest.read(FULL).plain()) == repr(FULL | {"metrics": {**FULL["metrics"], "count": 3.0}})


def test_a_part_cannot_be_changed() -> None:
    parent = Parent(run="a", step=1)
    with pytest.raises(AttributeError):
        parent.step = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del parent.step
    assert parent == Parent(run="a", step=1)
    assert len({parent, Parent(run="a", step=1), Parent(run="a", step=2)}) == 2


def test_a_part_that_is_made_by_hand_is_checked_too() -> None:
    assert Resume(argv=["x"]).plain() == {"argv": ["x"], "cwd": None, "env": []}
    with pytest.raises(ManifestError, match="field argv: should have at least 1 of them"):
        Resume(argv=[])


def test_a_part_can_be_copied_and_sent_to_another_process() -> None:
    manifest = Manifest.read(FULL)
    for one in (copy.copy(manifest), copy.deepcopy(manifest), pickle.loads(pickle.dumps(manifest))):
        assert repr(one) == repr(manifest)
        assert one.size == 2


def test_a_field_of_a_later_version_takes_no_method_away() -> None:
    fields = FULL | {"plain": 1, "size": 2, "read": 3, "__dict__": 4}
    manifest = Manifest.read(fields)
    assert manifest.size == 2
    assert manifest.plain() == Manifest.read(FULL).plain() | {"plain": 1, "size": 2, "read": 3, "__dict__": 4}

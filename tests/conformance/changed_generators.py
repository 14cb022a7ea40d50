"""What programs keep generators in, and what training makes of it on the way: added, removed, exchanged, tied.

The backend needs only NumPy, and so do its laws; the story with a generator of torch's is told where torch is.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

Story = tuple[Callable[[], Any], Callable[[Any], object]]


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass
class Rngs:
    noise: Any
    workers: list[Any] = field(default_factory=list)
    rate: Any = 1


@dataclass(frozen=True, slots=True)
class Frozen:
    rng: Any
    seed: int


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def state(seed: int = 1) -> np.random.RandomState:
    return np.random.RandomState(seed)


def mersenne(seed: int = 1) -> np.random.Generator:
    return np.random.Generator(np.random.MT19937(seed))


def in_dict() -> dict[str, Any]:
    return {"noise": rng(1), "aug": state(2), "workers": [rng(3), random.Random(4)]}


def of_one_sequence(*names: str) -> dict[str, Any]:
    """Return generators that spawn their children from one seed sequence."""
    sequence = np.random.SeedSequence(7)
    return {name: np.random.Generator(kind(sequence)) for name, kind in zip(names, _KINDS, strict=False)}


_KINDS = (np.random.PCG64, np.random.MT19937, np.random.Philox)


def in_one_sequence() -> dict[str, Any]:
    return {**of_one_sequence("noise", "aug"), "c": rng(7), "seeds": [np.random.SeedSequence(7)]}


def in_list() -> list[Any]:
    return [rng(1), state(2), [rng(3)]]


def in_nested_dicts() -> dict[str, Any]:
    return {"train": {"a": [rng(1), rng(2)], "b": {"c": rng(3)}}, "eval": {"a": [rng(4)]}}


def in_tuple() -> tuple[Any, ...]:
    return rng(1), [rng(2)], {"a": rng(3)}


def in_dict_of_tuples() -> dict[str, Any]:
    return {"t": (rng(1), rng(2)), "pair": Pair(rng(3), [rng(4)]), "frozen": Frozen(rng(5), 6)}


def in_dataclass() -> Rngs:
    return Rngs(rng(1), [rng(2), state(3)])


def in_list_of_dataclasses() -> list[Any]:
    return [Rngs(rng(1), [rng(2)]), Rngs(rng(3))]


def in_defaultdict() -> defaultdict[str, Any]:
    return defaultdict(rng, first=rng(9))


def in_two_places() -> dict[str, Any]:
    one, several = rng(1), [rng(2)]
    return {"a": one, "b": one, "c": several, "d": several}


def renamed(item: dict[str, Any], old: str, new: str) -> None:
    item[new] = item.pop(old)


def refilled(item: dict[str, Any]) -> None:
    item.clear()
    item.update(z=rng(5), y=state(6))


def every_other_key_first(item: dict[str, Any]) -> None:
    item["noise"] = item.pop("noise")


def untied(item: dict[str, Any]) -> None:
    item["b"], item["d"] = rng(5), [rng(6), rng(7)]


def reseated(item: dict[str, Any]) -> None:
    item["noise"].__init__(np.random.SFC64(5))


STORIES: dict[str, Story] = {
    # --- a dict
    "a key added": (in_dict, lambda item: item.update(more=rng(5))),
    "a key removed": (in_dict, lambda item: item.pop("aug")),
    "a key renamed": (in_dict, lambda item: renamed(item, "noise", "sound")),
    "a key added before the others": (in_dict, lambda item: item.update(a=rng(5))),
    "keys in another order": (in_dict, every_other_key_first),
    "cleared and filled again": (in_dict, refilled),
    "all but one removed": (in_dict, lambda item: [item.pop(key) for key in ("noise", "workers")]),
    "one of the same kind": (in_dict, lambda item: item.update(noise=rng(5))),
    "another bit generator": (in_dict, lambda item: item.update(noise=mersenne(5))),
    "another bit generator in place": (in_dict, reseated),
    "a RandomState for a Generator": (in_dict, lambda item: item.update(noise=state(5))),
    "a RandomState on PCG64": (in_dict, lambda item: item.update(aug=np.random.RandomState(np.random.PCG64(5)))),
    "a Generator for a RandomState": (in_dict, lambda item: item.update(aug=rng(5))),
    "a seed sequence for a Generator": (in_dict, lambda item: item.update(noise=np.random.SeedSequence(5))),
    "a bit generator for a Generator": (in_dict, lambda item: item.update(noise=np.random.Philox(5))),
    "python's for a Generator": (in_dict, lambda item: item.update(noise=random.Random(5))),
    "a list for a Generator": (in_dict, lambda item: item.update(noise=[rng(5), rng(6)])),
    "a Generator for a list": (in_dict, lambda item: item.update(workers=rng(5))),
    "a dict for a list": (in_dict, lambda item: item.update(workers={"a": item["workers"][0]})),
    "a list in the dict grown": (in_dict, lambda item: item["workers"].append(rng(5))),
    "children spawned into the list": (in_dict, lambda item: item["workers"].extend(item["noise"].spawn(2))),
    "a list in the dict shrunk": (in_dict, lambda item: item["workers"].pop()),
    "a list in the dict emptied": (in_dict, lambda item: item["workers"].clear()),
    "a list in the dict reversed": (in_dict, lambda item: item["workers"].reverse()),
    "a generator of the list moved out": (in_dict, lambda item: item.update(out=item["workers"].pop(0))),
    "a generator under two names": (in_dict, lambda item: item.update(aug=item["noise"])),
    # --- a list
    "a list grown": (in_list, lambda item: item.append(rng(5))),
    "a list grown at its head": (in_list, lambda item: item.insert(0, mersenne(5))),
    "a list grown by a hundred": (in_list, lambda item: item.extend(rng(seed) for seed in range(100))),
    "a list shrunk": (in_list, lambda item: item.pop()),
    "a list shrunk at its head": (in_list, lambda item: item.pop(0)),
    "a list filled again": (in_list, lambda item: item.__setitem__(slice(None), [random.Random(5), rng(6)])),
    "a list of lists": (in_list, lambda item: item[2].append([rng(5), [state(6)]])),
    # --- nested
    "a dict added in depth": (in_nested_dicts, lambda item: item["train"]["b"].update(d={"e": [rng(5)]})),
    "a dict removed in depth": (in_nested_dicts, lambda item: item["train"].pop("b")),
    "a branch added": (in_nested_dicts, lambda item: item.update(test={"a": [rng(5), mersenne(6)]})),
    "a branch removed": (in_nested_dicts, lambda item: item.pop("eval")),
    "a list of a branch grown": (in_nested_dicts, lambda item: item["eval"]["a"].append(mersenne(5))),
    "two branches exchanged": (in_nested_dicts, lambda item: item.update(train=item["eval"], eval=item["train"])),
    # --- tuples, named tuples, dataclasses
    "in a tuple a list and a dict grown": (in_tuple, lambda item: [item[1].append(rng(5)), item[2].update(b=rng(6))]),
    "a tuple grown": (in_dict_of_tuples, lambda item: item.update(t=(*item["t"], rng(5)))),
    "a tuple shrunk": (in_dict_of_tuples, lambda item: item.update(t=item["t"][:1])),
    "a tuple of other kinds": (in_dict_of_tuples, lambda item: item.update(t=(mersenne(5), state(6)))),
    "a tuple made a list": (in_dict_of_tuples, lambda item: item.update(t=[*item["t"], rng(5)])),
    "a tuple added": (in_dict_of_tuples, lambda item: item.update(u=(rng(5), (rng(6),)))),
    "a part of a named tuple exchanged": (
        in_dict_of_tuples, lambda item: item.update(pair=item["pair"]._replace(left=state(5))),
    ),
    "a list in a named tuple grown": (in_dict_of_tuples, lambda item: item["pair"].right.append(rng(5))),
    "a named tuple added": (in_dict_of_tuples, lambda item: item.update(more=Pair(rng(5), rng(6)))),
    "a frozen dataclass replaced": (
        in_dict_of_tuples, lambda item: item.update(frozen=replace(item["frozen"], rng=mersenne(5), seed=7)),
    ),
    "a dataclass added": (in_dict_of_tuples, lambda item: item.update(more=Rngs(rng(5), [rng(6)], "slow"))),
    "a dataclass of another class": (in_dict_of_tuples, lambda item: item.update(frozen=Rngs(rng(5)))),
    "a dataclass for a Generator": (in_dict, lambda item: item.update(noise=Frozen(rng(5), 6))),
    "a field of another kind": (in_dataclass, lambda item: setattr(item, "noise", random.Random(5))),
    "a field made a list": (in_dataclass, lambda item: setattr(item, "noise", [rng(5), rng(6)])),
    "a list in a field grown": (in_dataclass, lambda item: item.workers.append(rng(5))),
    "a plain field of another type": (in_dataclass, lambda item: setattr(item, "rate", "none")),
    "dataclasses more": (in_list_of_dataclasses, lambda item: item.append(Rngs(mersenne(5), [rng(6)]))),
    "dataclasses fewer": (in_list_of_dataclasses, lambda item: item.pop(0)),
    # --- containers of other classes, and one thing in two places
    "a defaultdict grown by use": (in_defaultdict, lambda item: [item["b"], item["a"]]),
    "two names given one generator each": (in_two_places, untied),
    "a list in two places grown": (in_two_places, lambda item: item["c"].append(rng(5))),
    # --- one seed sequence for more than one
    "draws from a shared sequence": (in_one_sequence, lambda item: item["noise"].spawn(2)),
    "two that share a sequence": (in_dict, lambda item: item.update(of_one_sequence("one", "two"))),
    "one that joins a sequence": (in_dict, lambda item: item.update(more=like(item["noise"]))),
    "one that joins a shared sequence": (in_one_sequence, lambda item: item.update(more=like(item["aug"]))),
    "one that leaves a sequence": (in_one_sequence, lambda item: item.update(aug=apart(item["noise"]))),
    "one that goes over to another": (in_one_sequence, lambda item: item.update(c=like(item["noise"]))),
    "a bare sequence that is shared": (
        in_one_sequence, lambda item: item["seeds"].append(item["noise"].bit_generator.seed_seq),
    ),
    "a RandomState that shares one": (
        in_one_sequence,
        lambda item: item.update(s=np.random.RandomState(np.random.MT19937(item["c"].bit_generator.seed_seq))),
    ),
    # --- refused at the save
    "a key that is no text": (in_dict, lambda item: item.update({3: rng(5)})),
    "a generator of the system": (in_dict, lambda item: item.update(noise=random.SystemRandom())),
    "two generators on one bit generator": (
        in_dict, lambda item: item.update(more=np.random.Generator(item["noise"].bit_generator)),
    ),
    "too deep": (in_list, lambda item: item.append(_nested(30))),
}  # fmt: skip
if find_spec("torch"):
    STORIES["torch's for a Generator"] = (in_dict, lambda item: item.update(noise=torch_s(5)))


def torch_s(seed: int) -> Any:
    """Return a generator of torch's."""
    import torch

    return torch.Generator().manual_seed(seed)


def like(one: np.random.Generator) -> np.random.Generator:
    """Return a generator that shares the seed sequence of another."""
    return np.random.Generator(np.random.PCG64(one.bit_generator.seed_seq))


def apart(one: np.random.Generator) -> np.random.Generator:
    """Return a generator with a seed sequence like that of another, of its own."""
    return np.random.Generator(np.random.MT19937(np.random.SeedSequence(**one.bit_generator.seed_seq.state)))


def _nested(depth: int) -> Any:
    return [_nested(depth - 1)] if depth else rng(5)


def draw(item: Any) -> Iterator[object]:
    """Yield a number of each generator, container by container in its own order, and of which kind they are."""
    if isinstance(item, dict):
        for key, value in item.items():
            yield key
            yield from draw(value)
    elif isinstance(item, (list, tuple)):
        yield type(item).__name__, len(item)
        for value in item:
            yield from draw(value)
    elif is_dataclass(item):
        yield type(item).__name__
        for part in fields(item):
            yield from draw(getattr(item, part.name))
    elif isinstance(item, np.random.Generator):
        yield item.normal(), int(item.integers(1000, dtype=np.uint32)), item.spawn(1)[0].random()
    elif isinstance(item, np.random.RandomState):
        yield item.normal()
    elif isinstance(item, np.random.SeedSequence):
        yield item.spawn(1)[0].generate_state(1).tolist()
    elif isinstance(item, np.random.BitGenerator):
        yield int(item.random_raw())
    elif type(item).__module__ == "torch._C":
        yield item.get_state().tolist()
    else:
        yield item.gauss(0, 1) if isinstance(item, random.Random) else item

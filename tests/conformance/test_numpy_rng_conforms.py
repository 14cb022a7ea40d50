"""The laws for ``numpy-rng``: every bit generator, the legacy RandomState, named generators, and the global ones."""

import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import changed_generators
import numpy as np
import pytest
from ckptkit_numpy import GlobalRng, NumpyRngBackend

from ckptkit.backend import Grade
from ckptkit.testing import BackendTests


class GeneratorLaws(BackendTests):
    """A Generator of one kind: every draw, the half-used 32-bit word, the cached gaussian, and the children."""

    backend = NumpyRngBackend
    kind: ClassVar[type] = np.random.PCG64

    def make_item(self) -> Any:
        return np.random.Generator(self.kind(7))

    def make_target(self) -> Any:
        return np.random.Generator(self.kind(123))

    def make_misfit(self) -> Any:
        other = np.random.MT19937 if self.kind is not np.random.MT19937 else np.random.PCG64
        return np.random.Generator(other(1))

    def ablations(self) -> Mapping[str, Callable[[Path], None]]:
        def lose_the_spawn_counter(directory: Path) -> None:
            path = directory / "rng.json"
            text = path.read_text()
            less = re.sub(r'("n_children_spawned": ?)3', r"\g<1>0", text)
            assert less != text
            path.write_text(less)

        return {"the spawn counter": lose_the_spawn_counter}

    def advance(self, item: Any) -> object:
        child = item.spawn(1)[0]
        return [item.normal(), item.integers(1 << 20, dtype=np.uint32), item.random(3), child.random()]


class TestPcg64(GeneratorLaws):
    pass


@pytest.mark.matrix
class TestPcg64dxsm(GeneratorLaws):
    kind = np.random.PCG64DXSM


class TestMt19937(GeneratorLaws):
    kind = np.random.MT19937


@pytest.mark.matrix
class TestPhilox(GeneratorLaws):
    kind = np.random.Philox


@pytest.mark.matrix
class TestSfc64(GeneratorLaws):
    kind = np.random.SFC64


class TestRandomState(GeneratorLaws):
    def make_item(self) -> Any:
        return np.random.RandomState(7)

    def make_target(self) -> Any:
        return np.random.RandomState(123)

    ablations = BackendTests.ablations

    def make_misfit(self) -> Any:
        return np.random.RandomState(np.random.PCG64(1))

    def advance(self, item: Any) -> object:
        return [item.normal(), item.randint(1000)]


class OwnSequence(np.random.SeedSequence):
    """A seed sequence that the file has no word for."""


class TestPcg64WithoutSpawning(BackendTests):
    """Also a generator of which all but its seed sequence can be saved."""

    backend = NumpyRngBackend

    def make_item(self) -> Any:
        return np.random.default_rng(7)

    def lesser_items(self) -> Mapping[Grade, Callable[[], Any]]:
        return {"partial": lambda: np.random.Generator(np.random.PCG64(OwnSequence(7)))}

    def advance(self, item: Any) -> object:
        return [item.normal(), item.random(3)]


class TestNamedGenerators(GeneratorLaws):
    def make_item(self) -> Any:
        return {"noise": np.random.default_rng(1), "workers": [np.random.default_rng(2), random.Random(3)]}

    def make_target(self) -> Any:
        return {"noise": np.random.default_rng(11), "workers": [np.random.default_rng(12), random.Random(13)]}

    ablations = BackendTests.ablations

    def make_misfit(self) -> Any:
        return tuple(self.make_item().values())  # a tuple cannot become a dict

    def advance(self, item: Any) -> object:
        noise, workers = item.values() if isinstance(item, dict) else item
        return [noise.normal(), workers[0].integers(1000), workers[1].gauss(0.0, 1.0)]


class TestChangedContainers(BackendTests):
    """What training makes of a container of generators is put back into what a new process builds."""

    backend = NumpyRngBackend
    steps = 4
    flips = 0

    def make_item(self) -> Any:
        return changed_generators.in_dict()

    def make_misfit(self) -> Any:
        return changed_generators.in_list()

    def changed_items(self) -> Mapping[str, changed_generators.Story]:
        return changed_generators.STORIES

    def advance(self, item: Any) -> object:
        return list(changed_generators.draw(item))


class TestGlobalGenerators(GeneratorLaws):
    skips: ClassVar = {
        "test_a_load_without_a_target_builds_one_or_refuses": "without a target a snapshot comes back",
    }

    @pytest.fixture(autouse=True)
    def _give_the_process_its_generators_back(self) -> Any:
        before = random.getstate(), np.random.get_bit_generator()
        np.random.set_bit_generator(np.random.MT19937(1))
        yield
        random.setstate(before[0])
        np.random.set_bit_generator(before[1])

    def changed_items(self) -> Mapping[str, changed_generators.Story]:
        def build(**named: Any) -> Callable[[], GlobalRng]:
            def built() -> GlobalRng:
                np.random.set_bit_generator(np.random.MT19937(1))
                self.make_item()
                return GlobalRng(a=np.random.default_rng(1), **named)

            return built

        rng = np.random.default_rng
        return {
            "the global bit generator": (build(), lambda item: np.random.set_bit_generator(np.random.SFC64(5))),
            "a name added": (build(), lambda item: item.generators.update(b=rng(5))),
            "a name removed": (build(b=rng(2)), lambda item: item.generators.pop("b")),
            "a name of another kind": (build(), lambda item: item.generators.update(a=random.Random(5))),
            "a list under a name grown": (build(b=[rng(2)]), lambda item: item.generators["b"].append(rng(5))),
        }

    def make_item(self) -> Any:
        random.seed(7)
        np.random.seed(7)
        return GlobalRng()

    def make_target(self) -> Any:
        random.seed(123)
        np.random.seed(123)
        return GlobalRng()

    make_misfit = BackendTests.make_misfit
    ablations = BackendTests.ablations

    def advance(self, item: Any) -> object:
        named = list(changed_generators.draw(item.generators))
        return [random.gauss(0.0, 1.0), np.random.normal(), np.random.randint(1000), *named]

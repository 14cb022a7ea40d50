"""The generators of the whole process are one item, put back together, and lent to a block by a context manager."""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ckptkit_numpy import GlobalRng, NumpyRngBackend, RngSnapshot
from rng_copies import snapshot

from ckptkit.backend import LoadContext, SaveContext
from ckptkit.errors import BackendError, BackendUnavailableError, DamagedError

BACKEND = NumpyRngBackend()
CONTEXT = LoadContext(files=["rng.json"])


@pytest.fixture(autouse=True)
def _used_generators():
    """Leave every generator in a state with something cached, and give the other tests theirs back."""
    with GlobalRng():
        random.seed(1)
        random.gauss(0, 1)
        np.random.seed(2)
        np.random.standard_normal()
        torch.manual_seed(3)
        torch.randn(1, dtype=torch.float64)
        yield


def draws(named: np.random.Generator | None = None) -> list:
    values = [random.gauss(0, 1), random.random(), random.sample(range(99), 5), random.getrandbits(64)]
    values += [np.random.standard_normal(3).tolist(), np.random.rand(), np.random.permutation(9).tolist()]
    values += [torch.randn(1, dtype=torch.float64).item(), torch.randn(20).tolist(), torch.randperm(9).tolist()]
    if named is not None:
        values += [named.random(), named.spawn(1)[0].random()]
    return values


def save(item, folder: Path) -> LoadContext:
    saved = BACKEND.save(item, folder, context=SaveContext(step=1))
    assert saved.ambient
    return LoadContext(files=["rng.json"], metadata=saved.metadata, probe=saved.probe)


def test_all_global_generators_are_put_back(tmp_path):
    aug = np.random.default_rng(4)
    aug.spawn(2)
    context = save(GlobalRng(aug=aug), tmp_path)
    expected = draws(aug)
    other = np.random.default_rng(4)
    target = GlobalRng(aug=other)
    assert BACKEND.load(tmp_path, target=target, context=context) is target
    assert draws(other) == expected


def test_the_item_says_which_generators_it_has(tmp_path):
    saved = BACKEND.save(GlobalRng({"aug": [np.random.default_rng(1)]}), tmp_path, context=SaveContext(step=1))
    assert saved.metadata["kind"] == "global"
    assert saved.metadata["generators"] == {
        "generators.aug[0]": "Generator(PCG64)",
        "numpy": "RandomState(MT19937)",
        "python": "random.Random",
        "torch.cpu": "torch.Generator(cpu)",
    }
    assert saved.captured.grade == "complete"
    described = BACKEND.describe(tmp_path, context=CONTEXT)
    assert described.ambient
    assert described.metadata["generators"] == saved.metadata["generators"]


def test_capturing_and_saving_draw_nothing(tmp_path):
    item = GlobalRng(aug=np.random.default_rng(1))
    before = item.capture()
    context = save(item, tmp_path)
    assert BACKEND.prove(tmp_path, context=context).verdict == "same"
    assert BACKEND.load(tmp_path, target=None, context=context).capture() == before
    snapshot(item)
    assert item.capture() == before


def test_a_block_inside_leaves_no_trace():
    with GlobalRng() as state:
        expected = draws()
        with GlobalRng():
            draws()
        inner = draws()
    assert isinstance(state, GlobalRng)
    assert draws() == expected
    assert draws() == inner


def test_a_block_that_raises_leaves_no_trace_either():
    before = GlobalRng().capture()
    with pytest.raises(ZeroDivisionError), GlobalRng():
        draws()[len(draws()) // 0]
    assert GlobalRng().capture() == before


def test_a_block_also_lends_the_named_generators():
    aug = np.random.default_rng(1)
    with GlobalRng(aug=aug):
        first = aug.random()
    assert aug.random() == first


def test_a_captured_state_survives_json_and_is_restored():
    item = GlobalRng()
    state = json.loads(json.dumps(item.capture()))
    expected = draws()
    item.restore(state)
    assert draws() == expected


def test_a_state_of_named_generators_is_not_restored_as_the_global_one():
    with pytest.raises(DamagedError, match="global"):
        GlobalRng().restore({"format": "ckptkit.numpy-rng", "format_version": 1, "kind": "generators"})
    with pytest.raises(DamagedError):
        GlobalRng().restore(snapshot(np.random.default_rng(1)).capture())


def test_without_a_target_nothing_in_the_process_changes(tmp_path):
    context = save(GlobalRng(), tmp_path)
    draws()
    before = GlobalRng().capture()
    new = BACKEND.load(tmp_path, target=None, context=context)
    assert isinstance(new, RngSnapshot)
    assert GlobalRng().capture() == before
    GlobalRng().restore(new.capture())
    assert GlobalRng().capture() == new.capture() != before


def test_a_snapshot_of_the_global_generators_stays_as_it_was_taken(tmp_path):
    copy = snapshot(GlobalRng())
    expected = draws()
    context = save(copy, tmp_path)
    BACKEND.load(tmp_path, target=GlobalRng(), context=context)
    assert draws() == expected


@pytest.mark.parametrize(
    ("saved", "target", "message"),
    [
        (GlobalRng(), np.random.default_rng(1), "the checkpoint has the global generators"),
        (np.random.default_rng(1), GlobalRng(), "the checkpoint has named generators"),
        (GlobalRng(a=np.random.default_rng(1)), GlobalRng(), r"generators\.a: the checkpoint has Generator\(PCG64\)"),
        (GlobalRng(), GlobalRng(a=np.random.default_rng(1)), r"generators\.a: the checkpoint has nothing"),
    ],
)
def test_another_kind_of_target_is_refused_and_unchanged(tmp_path, saved, target, message):
    BACKEND.save(saved, tmp_path, context=SaveContext(step=1))
    draws()
    before = GlobalRng().capture()
    with pytest.raises(BackendError, match=message):
        BACKEND.load(tmp_path, target=target, context=CONTEXT)
    assert GlobalRng().capture() == before


def test_more_cuda_devices_than_here_are_refused_unless_left_out(tmp_path):
    context = save(GlobalRng(), tmp_path)
    content = json.loads((tmp_path / "rng.json").read_text())
    state = "AAAAAAAAAAAAAAAAAAAAAA=="  # seed 0, offset 0
    many = [{"kind": "torch-generator", "device": f"cuda:{i}", "state": state} for i in range(64)]
    content["torch"]["cuda"] = many
    (tmp_path / "rng.json").write_text(json.dumps(content))
    assert not list(BACKEND.check(tmp_path, context=context))
    expected = draws()
    before = GlobalRng().capture()
    with pytest.raises(BackendUnavailableError, match="64 CUDA devices"):
        BACKEND.load(tmp_path, target=GlobalRng(), context=context)
    assert GlobalRng().capture() == before
    assert BACKEND.prove(tmp_path, context=context).verdict == "unproven"
    BACKEND.load(tmp_path, target=GlobalRng(cuda=False), context=context)
    assert draws() == expected


def test_the_global_generator_gets_the_bit_generator_that_it_had(tmp_path):
    bits = np.random.get_bit_generator()
    try:
        np.random.set_bit_generator(np.random.PCG64(1))
        draw = np.random.normal
        draw()
        context = save(GlobalRng(), tmp_path)
        expected = draw(size=3).tolist()
        np.random.set_bit_generator(np.random.MT19937(2))
        BACKEND.load(tmp_path, target=GlobalRng(), context=context)
        assert draw(size=3).tolist() == expected
        [note] = context.notes
        assert note == "numpy: is RandomState(PCG64) in place, where the program builds RandomState(MT19937)"
    finally:
        np.random.set_bit_generator(bits)


def named(first: bool, second: bool) -> GlobalRng:
    return GlobalRng(
        **({"a": np.random.default_rng(1)} if first else {}), **({"b": [random.Random(2)]} if second else {})
    )


def test_names_that_training_added_are_added(tmp_path):
    live = named(True, False)
    live.generators["b"] = [random.Random(5)]
    context = save(live, tmp_path)
    target = named(True, False)
    BACKEND.load(tmp_path, target=target, context=context)
    assert target.generators["b"][0].random() == live.generators["b"][0].random()
    assert context.notes == ["generators.b[0]: random.Random was added, the program builds nothing there"]


def test_names_that_the_program_gives_otherwise_are_refused_also_where_training_added_some(tmp_path):
    live = named(True, False)
    live.generators["b"] = [random.Random(5)]
    context = save(live, tmp_path)
    with pytest.raises(BackendError, match=r"generators\.a: the checkpoint has Generator\(PCG64\), the target has no"):
        BACKEND.load(tmp_path, target=named(False, False), context=context)


def test_a_list_among_the_named_ones_that_grew_is_put_back_into_the_list_of_the_program(tmp_path):
    live, workers = named(True, True), [random.Random(3)]
    live.generators["b"].append(random.Random(7))
    target = GlobalRng(a=np.random.default_rng(1), b=workers)
    BACKEND.load(tmp_path, target=target, context=save(live, tmp_path))
    assert [one.random() for one in workers] == [one.random() for one in live.generators["b"]]


def test_a_block_that_adds_a_generator_leaves_none_behind(caplog):
    workers = [random.Random(3)]
    with GlobalRng(b=workers):
        workers.append(random.Random(4))
    assert len(workers) == 1
    assert "generators.b[1]: random.Random was removed" in caplog.text


def run(code: str, *argv: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_check_recognise_and_can_save_import_no_framework(tmp_path):
    save(GlobalRng(aug=np.random.default_rng(1)), tmp_path)
    code = """
import pathlib, random, sys
from ckptkit.backend import CheckContext
from ckptkit_numpy import GlobalRng, NumpyRngBackend
backend, folder = NumpyRngBackend(), pathlib.Path(sys.argv[1])
assert not list(backend.check(folder, context=CheckContext(files=["rng.json"])))
assert backend.recognise(folder) and backend.recognise(folder / "rng.json")
assert backend.describe(folder, context=CheckContext(files=["rng.json"])).ambient
assert backend.can_save(GlobalRng()) and backend.can_save({"a": random.Random()}) and not backend.can_save({"a": 1})
print(sorted({"numpy", "torch", "tensorflow"} & set(sys.modules)))
"""
    assert run(code, str(tmp_path)) == "[]"


def test_a_process_without_numpy_and_torch_saves_python_alone(tmp_path):
    code = """
import pathlib, random, sys
from ckptkit.backend import LoadContext, SaveContext
from ckptkit_numpy import GlobalRng, NumpyRngBackend
backend, folder = NumpyRngBackend(), pathlib.Path(sys.argv[1])
random.seed(5); random.gauss(0, 1)
saved = backend.save(GlobalRng(), folder, context=SaveContext(step=1))
expected = random.gauss(0, 1), random.random()
backend.load(folder, target=GlobalRng(), context=LoadContext(files=["rng.json"]))
assert (random.gauss(0, 1), random.random()) == expected
print(sorted(saved.metadata["generators"]), sorted({"numpy", "torch"} & set(sys.modules)))
"""
    assert run(code, str(tmp_path)) == "['python'] []"


def test_a_new_process_imports_what_it_puts_back(tmp_path):
    save(GlobalRng(), tmp_path)
    expected = [random.random(), np.random.standard_normal(), torch.randn(1, dtype=torch.float64).item()]
    code = """
import pathlib, sys
from ckptkit.backend import LoadContext
from ckptkit_numpy import GlobalRng, NumpyRngBackend
NumpyRngBackend().load(pathlib.Path(sys.argv[1]), target=GlobalRng(), context=LoadContext(files=["rng.json"]))
assert {"numpy", "torch"} <= set(sys.modules)
import json, random, numpy, torch
print(json.dumps([random.random(), numpy.random.standard_normal(), torch.randn(1, dtype=torch.float64).item()]))
"""
    assert json.loads(run(code, str(tmp_path))) == expected


def test_a_library_that_is_missing_is_named(tmp_path):
    save(GlobalRng(), tmp_path)
    code = """
import pathlib, sys
sys.modules["numpy"] = None
from ckptkit.backend import LoadContext
from ckptkit.errors import BackendUnavailableError
from ckptkit_numpy import GlobalRng, NumpyRngBackend
context = LoadContext(files=["rng.json"])
for target in (GlobalRng(), None):
    try:
        NumpyRngBackend().load(pathlib.Path(sys.argv[1]), target=target, context=context)
    except BackendUnavailableError as error:
        print(error)
"""
    lines = run(code, str(tmp_path)).splitlines()
    assert len(lines) == 2
    assert all("numpy" in line and "not installed" in line for line in lines)

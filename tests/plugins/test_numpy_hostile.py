"""A bad state is refused with its field named, before NumPy (which crashes, hangs or leaks memory on it) sees it."""

import base64
import json
import random
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from ckptkit_numpy import GlobalRng, NumpyRngBackend
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rng_copies import snapshot

from ckptkit.backend import LoadContext, SaveContext
from ckptkit.errors import DamagedError, NewerFormatError

BACKEND = NumpyRngBackend()
CONTEXT = LoadContext(files=["rng.json"])
ZERO = [0] * 624


def build():
    tree = {bits: np.random.Generator(getattr(np.random, bits)(1)) for bits in ("PCG64", "MT19937", "Philox", "SFC64")}
    return {**tree, "old": np.random.RandomState(2), "py": random.Random(3), "torch": torch.Generator().manual_seed(4)}


def write(folder: Path, change) -> None:
    (folder / "rng.json").unlink(missing_ok=True)  # Hypothesis gives all examples one folder
    BACKEND.save(build(), folder, context=SaveContext(step=1, probe=False))
    content = json.loads((folder / "rng.json").read_text())
    change(content)
    (folder / "rng.json").write_text(json.dumps(content))


def setting(path: str, value):
    def change(content):
        *parents, last = path.split(".")
        node = content
        for part in parents:
            node = node[int(part) if isinstance(node, list) else part]
        node[int(last) if isinstance(node, list) else last] = value

    return change


def torch_field(offset: int, form: str, value):
    def change(content):
        leaf = content["generators"]["torch"]
        data = bytearray(base64.b64decode(leaf["state"]))
        struct.pack_into(form, data, offset, value)
        leaf["state"] = base64.b64encode(data).decode()

    return change


def removing(path: str):
    def change(content):
        *parents, last = path.split(".")
        node = content
        for part in parents:
            node = node[part]
        del node[last]

    return change


def refused(folder: Path, field: str, target=None) -> str:
    """Check and load must name the field, and a target must stay as it was; returns the message."""
    problems = list(BACKEND.check(folder, context=CONTEXT))
    assert {problem.code for problem in problems} == {"rng-state-invalid"}
    assert all(problem.file == "rng.json" for problem in problems)
    named = [problem.message for problem in problems if problem.message.startswith(f"{field}: ")]
    assert named, [problem.message for problem in problems]
    target = build() if target is None else target
    before = snapshot(target).capture()
    for place in (None, target):
        with pytest.raises(DamagedError, match=r"^rng\.json: "):
            BACKEND.load(folder, target=place, context=CONTEXT)
    assert snapshot(target).capture() == before
    return named[0]


# from here on, what NumPy itself does with it stands behind
HOSTILE = [
    ("MT19937.state.pos", 100_000, "SIGSEGV"),
    ("MT19937.state.pos", 10**9, "SIGSEGV"),
    ("MT19937.state.pos", -(10**9), "SIGSEGV"),
    ("MT19937.state.pos", 625, "accepted, reads beyond the key"),
    ("MT19937.state.pos", 1.0, ""),
    ("MT19937.state.pos", True, "accepted"),
    ("MT19937.state.pos", "1e3", ""),
    ("MT19937.state.key", ZERO, "integers() never returns"),
    ("MT19937.state.key", [1, *ZERO[1:]], "integers() never returns"),
    ("MT19937.state.key", ["0"] * 624, ""),
    ("MT19937.state.key", [1] * 623, "half applied"),
    ("MT19937.state.key", [1] * 625, "accepted"),
    ("MT19937.state.key", [], "half applied"),
    ("MT19937.state.key", "a", ""),
    ("MT19937.state.key", None, ""),
    ("MT19937.state", None, ""),
    ("MT19937.state", [1, 2], ""),
    ("Philox.buffer_pos", -(10**8), "SIGSEGV"),
    ("Philox.buffer_pos", -3, "returns memory of the process"),
    ("Philox.buffer_pos", 5, ""),
    ("Philox.buffer_pos", None, ""),
    ("Philox.state.counter", [1, 2, 3], "half applied"),
    ("Philox.state.key", [1], "half applied"),
    ("Philox.buffer", [1, 2, 3], "half applied"),
    ("Philox.buffer", {"0": 1}, ""),
    ("SFC64.state.state", [0, 0, 0, 0], "accepted"),
    ("SFC64.state.state", [1, 2, 3], "half applied"),
    ("PCG64.state.inc", 0, "integers() never returns with state 0"),
    ("PCG64.state.inc", "200", "accepted"),
    ("PCG64.state.inc", str(2**128 + 1), ""),
    ("PCG64.state.state", 1.5, "accepted"),
    ("PCG64.state.state", -1, ""),
    ("PCG64.state.state", "0x10", ""),
    ("PCG64.state.state", "１２", "digits of another script"),
    ("PCG64.state.state", " 12", ""),
    ("PCG64.state.state", False, ""),
    ("PCG64.state", 7, ""),
    ("PCG64.has_uint32", 7, "accepted"),
    ("PCG64.has_uint32", True, ""),
    ("PCG64.uinteger", 2**32, ""),
    ("PCG64.uinteger", -1, ""),
    ("PCG64.bit_generator", "PCG32", ""),
    ("PCG64.bit_generator", "MT19937", "state must be for a PCG64 RNG"),
    ("PCG64.kind", "os.system", ""),
    ("PCG64.kind", "same-as", ""),
    ("PCG64.seed_seq", [], ""),
    ("PCG64.seed_seq.n_children_spawned", 10**12, "minutes of looping"),
    ("PCG64.seed_seq.n_children_spawned", -1, ""),
    ("PCG64.seed_seq.n_children_spawned", 1.0, ""),
    ("PCG64.seed_seq.pool_size", 10**9, "gigabytes of memory"),
    ("PCG64.seed_seq.pool_size", 0, ""),
    ("PCG64.seed_seq.entropy", -5, ""),
    ("PCG64.seed_seq.entropy", None, "a random seed"),
    ("PCG64.seed_seq.entropy", 1.5, ""),
    ("PCG64.seed_seq.entropy", "9" * 4100, ""),
    ("PCG64.seed_seq.spawn_key", 3, ""),
    ("old.has_gauss", 2, "accepted"),
    ("old.gauss", "0.5", ""),
    ("old.gauss", {"$number": "NaN"}, "accepted"),
    ("old.gauss", {"$number": "-Infinity"}, "accepted"),
    ("old.gauss", True, ""),
    ("old.gauss", 2**53 + 1, "rounded"),
    ("old.gauss", 10**400, ""),
    ("old.state.pos", 2**70, ""),
    ("py.version", 2, ""),
    ("py.gauss_next", "x", ""),
    ("py.words", [1] * 624, ""),
    ("torch.device", "cuda:-1", ""),
    ("torch.device", "meta", ""),
    ("torch.state", "AAAA", ""),
    ("torch.state", "not base64!", ""),
]
ALSO_NAMED = {
    "PCG64.bit_generator=MT19937": "PCG64.state.key",
    "PCG64.kind=same-as": "PCG64.path",
}


@pytest.mark.parametrize(("path", "value", "numpy_does"), HOSTILE, ids=lambda v: str(v)[:30])
def test_a_bad_field_is_refused_by_name(tmp_path, path, value, numpy_does):
    write(tmp_path, setting(f"generators.{path}", value))
    field = ALSO_NAMED.get(f"{path}={value}", path)
    refused(tmp_path, f"generators.{field}")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("MT19937.state.key.17", 2**32, "generators.MT19937.state.key[17]: 4294967296 is not a 32-bit word"),
        ("MT19937.state.key.623", -1, "generators.MT19937.state.key[623]: -1 is not a 32-bit word"),
        ("MT19937.state.key.0", 1.5, "generators.MT19937.state.key[0]: 1.5 is not a 32-bit word"),
        ("Philox.state.key.1", -1, "generators.Philox.state.key[1]: -1 is not a 64-bit word"),
        ("Philox.state.counter.3", 2**64, "generators.Philox.state.counter[3]: 18446744073709551616 is not a 64-bit"),
        ("SFC64.state.state.2", None, "generators.SFC64.state.state[2]: None is not a 64-bit word"),
        ("old.state.key.5", True, "generators.old.state.key[5]: True is not a 32-bit word"),
        ("py.words.624", 625, "generators.py.words[624]: 625 is not an integer from 0 to 624"),
        ("py.words.9", "x", "generators.py.words[9]: 'x' is not a 32-bit word"),
    ],
)
def test_a_bad_word_is_refused_by_its_index(tmp_path, path, value, message):
    write(tmp_path, setting(f"generators.{path}", value))
    assert refused(tmp_path, message.split(": ")[0]).startswith(message)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (torch_field(8, "<i", 0), "left"),
        (torch_field(8, "<i", 700), "left"),
        (torch_field(12, "<i", 0), "seeded"),
        (torch_field(16, "<Q", 10**9), "next"),
        (torch_field(24 + 8 * 3, "<Q", 2**40), "words[3]"),
        (torch_field(5016, "<d", float("nan")), "normal_x"),
        (torch_field(5040, "<i", 9), "normal_is_valid"),
        (torch_field(5048, "<f", float("inf")), "next_float_normal"),
    ],
)
def test_a_bad_torch_state_is_refused_by_name(tmp_path, change, field):
    write(tmp_path, change)
    refused(tmp_path, f"generators.torch.state.{field}")


def test_a_torch_position_that_would_read_beyond_the_words_is_refused(tmp_path):
    def change(content):
        torch_field(8, "<i", 600)(content)
        torch_field(16, "<Q", 600)(content)

    write(tmp_path, change)
    refused(tmp_path, "generators.torch.state.next")


@pytest.mark.parametrize(
    "path", ["PCG64.has_uint32", "PCG64.state.inc", "PCG64.seed_seq", "MT19937.state.pos", "old.gauss", "Philox.buffer"]
)
def test_a_missing_field_is_refused_by_name(tmp_path, path):
    write(tmp_path, removing(f"generators.{path}"))
    assert refused(tmp_path, f"generators.{path}").endswith("is missing")


@pytest.mark.parametrize("path", ["PCG64.extra", "PCG64.state.extra", "PCG64.seed_seq.extra", "py.extra"])
def test_an_unknown_field_is_refused_by_name(tmp_path, path):
    write(tmp_path, setting(f"generators.{path}", 1))
    refused(tmp_path, f"generators.{path}")


@pytest.mark.parametrize(
    "pointer", [["generators", "zz"], ["generators", "same"], [], "a", None, [1.5], ["generators"]]
)
def test_a_pointer_to_nowhere_is_refused(tmp_path, pointer):
    write(tmp_path, setting("generators.same", {"kind": "same-as", "path": pointer}))
    refused(tmp_path, "generators.same.path")


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("format_version", 0, "format_version"),
        ("format_version", True, "format_version"),
        ("kind", "else", "kind"),
        ("generators.x", 5, "generators.x"),
        ("generators", 5, "generators"),
        ("generators", {}, "generators"),
    ],
)
def test_a_document_that_is_not_ours_inside_is_refused(tmp_path, path, value, field):
    write(tmp_path, setting(path, value))
    refused(tmp_path, field)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"{", "is not JSON"),
        (b"<html></html>", "is not JSON"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"[]", "holds no state of a generator"),
        (b"null", "holds no state of a generator"),
        (b'{"a": NaN}', "literal NaN"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b"[" * 100_000, "nesting"),
        (b'{"a": ' + b"9" * 5000 + b"}", "number"),
    ],
)
def test_a_file_that_is_no_such_json_is_refused(tmp_path, data, message):
    (tmp_path / "rng.json").write_bytes(data)
    (problem,) = BACKEND.check(tmp_path, context=CONTEXT)
    assert problem.code == "rng-state-invalid"
    assert message in problem.message
    with pytest.raises(DamagedError, match=message):
        BACKEND.load(tmp_path, target=None, context=CONTEXT)


def test_a_missing_file_is_found(tmp_path):
    (problem,) = BACKEND.check(tmp_path, context=CONTEXT)
    assert problem.code == "rng-file-missing"
    with pytest.raises(DamagedError, match=r"rng\.json: cannot be read"):
        BACKEND.load(tmp_path, target=None, context=CONTEXT)


def test_a_newer_format_is_told_apart_from_damage(tmp_path):
    write(tmp_path, setting("format_version", 3))
    (problem,) = BACKEND.check(tmp_path, context=CONTEXT)
    assert problem.code == "rng-format-newer"
    with pytest.raises(NewerFormatError, match="format_version 3 is newer than 2"):
        BACKEND.load(tmp_path, target=None, context=CONTEXT)


def test_every_truncation_is_found(tmp_path):
    BACKEND.save({"a": np.random.default_rng(1)}, tmp_path, context=SaveContext(step=1, probe=False))
    data = (tmp_path / "rng.json").read_bytes()
    for length in range(len(data) - 1):  # the last byte is the line end
        (tmp_path / "rng.json").write_bytes(data[:length])
        assert list(BACKEND.check(tmp_path, context=CONTEXT))


def test_a_hostile_file_has_a_bounded_report(tmp_path):
    (tmp_path / "rng.json").write_text(json.dumps([{"bit_generator": "PCG64", "state": 1}] * 5000))
    assert len(list(BACKEND.check(tmp_path, context=CONTEXT))) == 100


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["kind", "state", "path", "a"]), inner),
    max_leaves=8,
)
FIELDS = [
    "PCG64",
    "PCG64.state",
    "PCG64.kind",
    "MT19937.state.key",
    "Philox.buffer",
    "old.gauss",
    "py.words",
    "torch.state",
]


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from([*FIELDS, "PCG64.seed_seq", "PCG64.seed_seq.entropy", "torch"]), value=JSON)
def test_any_json_in_any_field_is_judged_without_a_crash(tmp_path, path, value):
    write(tmp_path, setting(f"generators.{path}", value))
    if list(BACKEND.check(tmp_path, context=CONTEXT)):
        with pytest.raises(DamagedError):
            BACKEND.load(tmp_path, target=None, context=CONTEXT)
    else:
        new = BACKEND.load(tmp_path, target=None, context=CONTEXT)
        assert new["PCG64"] is not None


GLOBAL = [
    ("python", None, "python"),
    ("python.words.3", -1, "python.words[3]"),
    ("numpy", 3, "numpy"),
    ("numpy.state.pos", 625, "numpy.state.pos"),
    ("numpy.kind", "generator", "numpy"),
    ("torch", [], "torch"),
    ("torch.cpu", {}, "torch.cpu"),
    ("torch.cpu.state", "AAAA", "torch.cpu.state"),
    ("torch.cpu.device", "cuda:0", "torch.cpu"),
    ("torch.cuda", [1], "torch.cuda[0]"),
    ("generators", [], "generators"),
    ("other", {}, "other"),
]


@pytest.mark.parametrize(("path", "value", "field"), GLOBAL, ids=lambda v: str(v)[:30])
def test_a_bad_global_state_is_refused_by_name_and_nothing_is_put_back(tmp_path, path, value, field):
    BACKEND.save(GlobalRng(), tmp_path, context=SaveContext(step=1, probe=False))
    content = json.loads((tmp_path / "rng.json").read_text())
    setting(path, value)(content)
    (tmp_path / "rng.json").write_text(json.dumps(content))
    random.seed(77)
    np.random.seed(77)
    torch.manual_seed(77)
    refused(tmp_path, field, GlobalRng())
    with pytest.raises(DamagedError):
        GlobalRng().restore(content)


@pytest.mark.parametrize(
    ("state", "field"),
    [
        (bytes(8), "torch.cuda[0].state"),
        (struct.pack("<QQ", 1, 3), "torch.cuda[0].state.offset"),
    ],
)
def test_a_bad_cuda_state_is_refused_by_name(tmp_path, state, field):
    BACKEND.save(GlobalRng(), tmp_path, context=SaveContext(step=1, probe=False))
    content = json.loads((tmp_path / "rng.json").read_text())
    text = base64.b64encode(state).decode()
    content["torch"]["cuda"] = [{"kind": "torch-generator", "device": "cuda:0", "state": text}]
    (tmp_path / "rng.json").write_text(json.dumps(content))
    refused(tmp_path, field, GlobalRng())

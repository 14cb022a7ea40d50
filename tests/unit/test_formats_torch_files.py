"""Files of torch.save: the pickle, the storages and the roles of the members are checked, in both forms."""

import io
import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ckptkit.formats.kinds import look_into_bytes, look_into_file
from ckptkit.problem import Problem, fails

ZIP, LEGACY = True, False


class Calls:
    """Pickles as a call of os.system."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, ("touch canary",)


@pytest.fixture(autouse=True)
def _nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / "canary").exists(), "the pickle ran"


def saved(value: Any, form: bool = ZIP) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=form)
    return buffer.getvalue()


def rewritten(data: bytes, change: Callable[[str, bytes], bytes | None], **extra: bytes) -> bytes:
    """Return the zip with members changed (None: left out) and added."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(buffer, "w") as target:
        with zipfile.ZipFile(io.BytesIO(data)) as source:
            for name in source.namelist():
                content = change(name, source.read(name))
                if content is not None:
                    target.writestr(name, content)
        for name, content in extra.items():
            target.writestr(f"archive/{name}", content)
    return buffer.getvalue()


def check(data: bytes) -> list[Problem]:
    return look_into_bytes(data, file="agent.zip", where="policy.pth", kind="torch")


def codes(data: bytes) -> set[str]:
    return {problem.code for problem in check(data)}


def unsafe(data: bytes) -> list[str]:
    return [problem.message for problem in check(data) if problem.severity == "unsafe"]


STATE = {"weight": torch.arange(12.0).reshape(3, 4), "half": torch.ones(3, dtype=torch.bfloat16), "step": 7}
GOOD = saved(STATE)


def keep(_: str, content: bytes) -> bytes:
    return content


def test_a_file_of_torch_has_no_problems_under_any_name(tmp_path: Path) -> None:
    for name in ("optimizer_state.pth", "weights.dat"):
        torch.save(STATE, tmp_path / name)
        assert look_into_file(tmp_path / name, file=name) == []


def test_views_shared_and_empty_tensors_have_no_problems() -> None:
    base = torch.arange(100.0)
    value = [base[10:20], base[::7], base.reshape(10, 10).T, torch.empty(0, 3), torch.tensor(1.0), base.expand(3, 100)]
    assert check(saved(value)) == []


def test_the_old_form_is_a_warning() -> None:
    (problem,) = check(saved(STATE, LEGACY))
    assert (problem.code, problem.severity) == ("torch-legacy-format", "warning")


@pytest.mark.parametrize("form", [ZIP, LEGACY])
def test_a_payload_is_found_and_named(form: bool) -> None:
    messages = unsafe(saved({"a": Calls(), "b": torch.ones(2)}, form))
    assert len(messages) == 1
    assert messages[0].startswith("policy.pth/")
    assert f"would call {os.name if os.name == 'nt' else 'posix'}.system when loaded" in messages[0]


def test_a_payload_in_a_file_of_another_name_is_found(tmp_path: Path) -> None:
    (tmp_path / "notes.dat").write_bytes(saved(Calls()))
    assert fails(look_into_file(tmp_path / "notes.dat", file="notes.dat"))


def test_a_payload_in_a_plain_pickle_is_found() -> None:
    data = pickle.dumps(Calls())
    assert unsafe(data)
    assert "torch-damaged" in codes(data)


def test_a_payload_in_the_first_pickle_of_the_old_form_is_found() -> None:
    data = saved(STATE, LEGACY)
    assert unsafe(data.replace(pickle.dumps(1001, 2), pickle.dumps(Calls(), 2), 1))


def test_a_payload_behind_a_wrong_crc_is_found() -> None:
    data = saved(Calls())
    place = data.index(b"touch canary")
    data = data[:place] + b"touch CANARY" + data[place + 12 :]
    assert unsafe(data)
    assert "zip-bad-crc" in codes(data)


def test_a_payload_behind_an_encrypted_flag_is_found() -> None:
    data = bytearray(saved(Calls()))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    assert unsafe(bytes(data))


def test_a_payload_in_a_second_data_pkl_is_found() -> None:
    data = rewritten(GOOD, keep, **{"data.pkl": pickle.dumps(Calls())})
    assert unsafe(data)
    assert "zip-duplicate-member" in codes(data)


def test_a_payload_in_a_data_pkl_of_other_case_is_found() -> None:
    data = rewritten(GOOD, keep, **{"DATA.PKL": pickle.dumps(Calls())})
    assert any("posix.system" in message for message in unsafe(data))


def test_a_payload_in_a_renamed_pickle_is_found() -> None:
    assert any(
        "extra.bin" in m and "system" in m
        for m in unsafe(rewritten(GOOD, keep, **{"extra.bin": pickle.dumps(Calls())}))
    )


def test_a_payload_in_a_file_of_torch_inside_the_file_is_found() -> None:
    assert any(
        "inner.pth/data.pkl" in message for message in unsafe(rewritten(GOOD, keep, **{"inner.pth": saved(Calls())}))
    )


def test_a_storage_that_looks_like_a_pickle_is_not_taken_for_one() -> None:
    raw = torch.frombuffer(bytearray(b"\x80\x04cos\nsystem\n."), dtype=torch.uint8)
    assert check(saved(raw)) == []


def test_a_torchscript_program_is_unsafe() -> None:
    data = rewritten(GOOD, keep, **{"code/__torch__.py": b"def forward(self): ..."})
    assert codes(data) == {"torch-script"}
    assert unsafe(data)


def test_an_unknown_member_is_a_warning() -> None:
    (problem,) = check(rewritten(GOOD, keep, notes=b"trained on Tuesday"))
    assert (problem.code, problem.severity) == ("torch-unknown-member", "warning")


def test_a_missing_storage_is_named() -> None:
    data = rewritten(GOOD, lambda name, content: None if name.endswith("data/0") else content)
    (problem,) = check(data)
    assert (problem.code, problem.message) == ("torch-missing-storage", "policy.pth: storage '0': is missing")


@pytest.mark.parametrize("size", [0, 44, 52])
def test_a_storage_of_another_size_is_named(size: int) -> None:
    data = rewritten(GOOD, lambda name, content: bytes(size) if name.endswith("data/0") else content)
    assert codes(data) == {"torch-storage-size"}


def test_a_tensor_that_reaches_beyond_its_storage_is_found() -> None:
    shape = b"K\x03K\x04\x86"
    data = rewritten(GOOD, lambda name, content: content.replace(shape, b"K\x7fK\x04\x86", 1))
    assert codes(data) == {"torch-storage-size"}


def test_a_missing_data_pkl_is_damage() -> None:
    assert codes(rewritten(GOOD, lambda name, content: None if name.endswith("data.pkl") else content)) == {
        "torch-damaged"
    }


def test_members_in_two_folders_are_damage() -> None:
    data = rewritten(GOOD, keep)
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("other/version", b"3")
    assert codes(buffer.getvalue()) == {"torch-damaged"}


@pytest.mark.parametrize("data", [b"", b"x", b"<html>404</html>", b"version https://git-lfs.github.com/spec/v1\n"])
def test_what_is_no_file_of_torch_is_damage(data: bytes) -> None:
    assert codes(data) == {"torch-damaged"}


@pytest.mark.parametrize("form", [ZIP, LEGACY])
def test_truncated_and_lengthened_files_are_found(form: bool) -> None:
    good = saved(STATE, form)
    for data in (good[:-1], good[: len(good) // 2], good[:20], good + b"x"):
        assert fails(check(data))


def test_every_flipped_bit_in_a_storage_is_found() -> None:
    start = GOOD.index(STATE["weight"].numpy().tobytes())
    for place in range(start, start + 48):
        data = bytearray(GOOD)
        data[place] ^= 1
        assert codes(bytes(data)) == {"zip-bad-crc"}


def test_a_second_pickle_behind_the_first_is_found() -> None:
    more = pickle.dumps(1)
    data = rewritten(GOOD, lambda name, content: content + more if name.endswith("data.pkl") else content)
    assert codes(data) == {"pickle-trailing-data"}


@pytest.mark.parametrize(
    "identifier",
    [b"\x8c\x01x", b"(\x8c\x06module\x8c\x01x\x8c\x01y\x8c\x01zt", b"(\x8c\x07storageK\x01K\x02K\x03K\x04t"],
)
def test_a_persistent_id_that_is_no_storage_is_damage(identifier: bytes) -> None:
    hostile = b"\x80\x02" + identifier + b"Q."
    assert codes(rewritten(saved({}), lambda name, content: hostile if name.endswith("data.pkl") else content)) == {
        "torch-damaged"
    }


def test_a_giant_storage_in_the_old_form_allocates_nothing() -> None:
    data = saved(torch.ones(3), LEGACY)
    assert codes(data.replace(b"K\x03", b"J" + struct.pack("<i", 2**31 - 1), 1)) >= {"torch-storage-size"}

"""Whatever an index, a pointer or a header names must be there; each kind whole, and without each of its members."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint

from ckptkit.formats.named_members import check_members

FROZEN = Path(__file__).parent / "frozen_formats"


def put(folder: Path, **files: object) -> None:
    """Write files; ``__`` in a name stands for a dot, ``___`` for a slash."""
    for word, content in files.items():
        path = folder / word.replace("___", "/").replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))


def safetensors_index(folder: Path) -> None:
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    put(folder, model__safetensors__index__json={"metadata": {}, "weight_map": shards})
    for shard in shards.values():
        (folder / shard).touch()


def torch_index(folder: Path) -> None:
    put(folder, unet___pytorch_model__bin__index__json={"weight_map": {"a": "one.bin"}}, unet___one__bin="")


def keras_index(folder: Path) -> None:
    put(folder, model__weights__json={"weight_map": {"/layers/dense/vars": ["model_00000.weights.h5"]}})
    put(folder, model_00000__weights__h5="")


def keras_backup(folder: Path) -> None:
    put(folder, training_metadata__json={"epoch": 1, "batch": 0}, latest__weights__h5="")


def diffusers(folder: Path) -> None:
    parts = {"_class_name": "X", "unet": ["diffusers", "UNet2DModel"], "safety_checker": [None, None]}
    put(folder, model_index__json=parts, unet___config__json="{}")


def tensorflow(folder: Path) -> None:
    pointer = 'model_checkpoint_path: "ckpt-2"\nall_model_checkpoint_paths: "ckpt-1"\n'
    put(folder, checkpoint=pointer, **{"ckpt-2__index": "", "ckpt-2__data-00000-of-00001": ""})


def deepspeed(folder: Path) -> None:
    put(folder, latest="global_step6\n", global_step6___mp_rank_00_model_states__pt="")


def dcp(folder: Path) -> None:
    torch.distributed.checkpoint.save({"w": torch.ones(3, 4)}, checkpoint_id=folder, no_dist=True)


def onnx(folder: Path) -> None:
    for name in ("large.onnx", "large.data"):
        shutil.copy(FROZEN / name, folder / name)


def orbax(folder: Path) -> None:
    put(folder, _METADATA={"tree_metadata": {}, "use_ocdbt": True}, manifest__ocdbt="")
    put(folder, **{f"d/{DIGEST}": "", "_CHECKPOINT_METADATA": {"commit_timestamp_nsecs": 1795718371505252656}})


DIGEST = "aae6e5c2e86718481d205b482cfa3c50"
KINDS: dict[Callable[[Path], None], set[str]] = {
    safetensors_index: {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"},
    torch_index: {"unet/one.bin"},
    keras_index: {"model_00000.weights.h5"},
    keras_backup: {"latest.weights.h5"},
    diffusers: {"unet/config.json"},
    tensorflow: {"ckpt-2.index"},
    deepspeed: {"global_step6/mp_rank_00_model_states.pt", "latest"},
    dcp: {"__0_0.distcp", ".metadata"},
    onnx: {"large.data"},
    orbax: {"_METADATA", "manifest.ocdbt", f"d/{DIGEST}"},
}
"""What writes each kind, and the members that are named."""


def names(folder: Path) -> set[str]:
    return {f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()}


@pytest.mark.filterwarnings("ignore:torch.distributed is")
@pytest.mark.parametrize("write", KINDS, ids=lambda write: write.__name__)
def test_each_member_that_is_missing_is_named_and_nothing_else_is(
    write: Callable[[Path], None], tmp_path: Path
) -> None:
    write(tmp_path)
    whole = names(tmp_path)
    assert check_members(tmp_path, sorted(whole)) == []
    for member in KINDS[write]:
        found = check_members(tmp_path, sorted(whole - {member}))
        assert {problem.code for problem in found} == {"member-missing"}
        assert {problem.severity for problem in found} == {"error"}
        assert all(problem.file in (member, member.rpartition("/")[0]) for problem in found), found


@pytest.mark.filterwarnings("ignore:torch.distributed is")
@pytest.mark.parametrize(("write", "file"), [(dcp, "__0_0.distcp"), (onnx, "large.data")])
def test_a_file_that_is_shorter_than_what_describes_it_says_is_damaged(
    write: Callable[[Path], None], file: str, tmp_path: Path
) -> None:
    write(tmp_path)
    (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:-1])
    (problem,) = check_members(tmp_path, sorted(names(tmp_path)))
    assert (problem.code, problem.file) == ("member-too-short", file)


@pytest.mark.filterwarnings("ignore:torch.distributed is")
def test_dcps_metadata_that_was_cut_short_is_damaged(tmp_path: Path) -> None:
    dcp(tmp_path)
    whole = (tmp_path / ".metadata").read_bytes()
    for size in (0, len(whole) // 2, len(whole) - 1):
        (tmp_path / ".metadata").write_bytes(whole[:size])
        (problem,) = check_members(tmp_path, sorted(names(tmp_path)))
        assert (problem.code, problem.file) == ("member-unreadable", ".metadata")


def test_deepspeeds_pointer_that_was_cut_short_is_told(tmp_path: Path) -> None:
    deepspeed(tmp_path)
    (tmp_path / "latest").write_text("global_s")
    (problem,) = check_members(tmp_path, sorted(names(tmp_path)))
    assert (problem.code, problem.file) == ("member-missing", "global_s")


def test_a_folder_that_orbax_did_not_commit_is_refused(tmp_path: Path) -> None:
    orbax(tmp_path)
    put(tmp_path, _CHECKPOINT_METADATA={"commit_timestamp_nsecs": None})
    assert [problem.code for problem in check_members(tmp_path, sorted(names(tmp_path)))] == ["orbax-uncommitted"]


def test_the_index_of_a_form_that_was_not_fetched_is_only_a_warning(tmp_path: Path) -> None:
    put(tmp_path, pytorch_model__bin__index__json={"weight_map": {"a": "pytorch_model-00001-of-00001.bin"}})
    put(tmp_path, model__safetensors="")
    (problem,) = check_members(tmp_path, sorted(names(tmp_path)))
    assert problem.severity == "warning"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"weight_map": 3}', '{"weight_map": {"a": 3}}', "null"])
def test_an_index_that_cannot_be_understood_names_nothing(content: str, tmp_path: Path) -> None:
    put(tmp_path, model__safetensors__index__json=content, model_index__json=content, training_metadata__json=content)
    put(tmp_path, modules__json=content, checkpoint=content, latest=content)
    assert check_members(tmp_path, sorted(names(tmp_path))) == []


def test_many_missing_members_are_counted(tmp_path: Path) -> None:
    put(tmp_path, model__safetensors__index__json={"weight_map": {str(i): f"{i}.safetensors" for i in range(100)}})
    found = check_members(tmp_path, sorted(names(tmp_path)))
    assert len(found) == 21
    assert "80 more" in found[-1].message

"""`diff`: what changed between two checkpoints, and by how much; what has the same digest is not even opened."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import inside as ckptkit
from conftest import write_rng
from safetensors.numpy import save_file

from ckptkit import CheckpointStore, Files


def arrays(path: Path, **values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{name: np.asarray(value) for name, value in values.items()})
    return path


def save(store: Path, run: str, step: int, path: Path, *, digest: str = "blake3", **details: Any) -> Path:
    item = Files(path, backend="files")
    return CheckpointStore(store, digest=digest).save(run, step, {"x": item}, **details).at.folder


def differences(*arguments: str, store: Path, code: int = 0) -> dict[tuple[str, str], dict[str, Any]]:
    done = ckptkit("diff", *arguments, "--format", "json", store=store)
    assert done.returncode == code, done.stderr
    return {(one["kind"], one["name"]): one for one in json.loads(done.stdout)["differences"]}


def test_numbers_settings_and_tensors_are_compared(tmp_path: Path) -> None:
    s = tmp_path / "s"
    a = arrays(tmp_path / "a/w.npz", w=[3.0, 4.0], same=[1], gone=[1.0], shape=[1, 2])
    save(s, "r", 1, a, metrics={"loss": 0.5}, counters={"episode": 3}, config={"opt": {"lr": 0.1}, "seed": 1})
    b = arrays(tmp_path / "b/w.npz", w=[3.0, 4.5], same=[1], new=[1.0], shape=[1, 2, 3])
    save(s, "r", 2, b, metrics={"loss": 0.25}, counters={"episode": 5}, config={"opt": {"lr": 0.01}, "seed": 1})
    found = differences("r@1", "r@2", store=s)
    assert found["metric", "loss"]["b"] == 0.25
    assert found["counter", "episode"]["a"] == 3
    assert found["config", "opt.lr"]["b"] == 0.01
    assert ("config", "seed") not in found
    assert found["tensor", "w"]["change"] == {
        "norm": 0.5, "norm_a": 5.0, "norm_b": pytest.approx(5.408326913), "largest": 0.5, "differing": 1,
        "not_finite": 0, "relative": 0.1,
    }  # fmt: skip
    assert found["tensor", "gone"]["how"] == "removed"
    assert found["tensor", "new"]["how"] == "added"
    assert (found["tensor", "shape"]["a"]["shape"], found["tensor", "shape"]["b"]["shape"]) == ([2], [3])
    assert ("tensor", "same") not in found
    text = ckptkit("diff", "r@1", "r@2", "--format", "table", store=s).stdout
    assert "0.5 -> 0.25  (-0.25, -50%)" in text
    assert "10% of |A|: |B-A|=0.5, |A|=5, |B|=5.408, largest=0.5, 1 of 2 numbers" in text


def test_what_has_the_same_digest_is_the_same_and_never_opened(tmp_path: Path) -> None:
    s, path = tmp_path / "s", arrays(tmp_path / "w.npz", w=[1.0])
    for step in (1, 2):
        folder = save(s, "r", step, path)
        shutil.rmtree(folder / "x")
    done = ckptkit("diff", "r@1", "r@2", "--format", "table", store=s)
    assert (done.returncode, done.stderr) == (0, "")
    assert "no difference" in done.stdout


def test_two_kinds_of_digest_are_compared_by_content(tmp_path: Path) -> None:
    s, path = tmp_path / "s", arrays(tmp_path / "w.npz", w=[1.0])
    save(s, "r", 1, path)
    save(s, "r", 2, path, digest="sha256")
    assert differences("r@1", "r@2", store=s) == {}


def test_two_runs_are_compared_with_their_items_and_environments(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "s")
    rng = write_rng(tmp_path / "rng.json")
    store.save("one", 1, {"rng": rng})
    store.save("two", 7, {"rng": rng, "more": Files(write_rng(tmp_path / "b.json", 2), backend="files")})
    found = differences("one", "two@7", store=tmp_path / "s")
    assert found["item", "more"]["how"] == "added"
    assert found["file", "more/b.json"]["b"]["size"] > 0
    assert ("file", "rng/rng.json") not in found


def test_files_are_paired_although_the_step_is_in_their_names(tmp_path: Path) -> None:
    run = tmp_path / "s/r"
    for step in (50, 60):
        path = run / f"ep{step:06}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"w": np.array([step], "f4")}, path)
        CheckpointStore(tmp_path / "s").adopt_in_place("r", path.stem, {"w": [path]})
    found = differences("r@50", "r@60", store=tmp_path / "s")
    assert found["tensor", "w"]["change"]["norm"] == 10
    [file] = [one for (kind, _), one in found.items() if kind == "file"]
    assert (file["how"], file["a"]["path"], file["b"]["path"]) == (
        "changed",
        "ep000050.safetensors",
        "ep000060.safetensors",
    )


def test_a_model_that_was_cut_into_other_shards_is_compared_tensor_by_tensor(tmp_path: Path) -> None:
    s, one, two = tmp_path / "s", tmp_path / "one", tmp_path / "two"
    arrays(one / "part-1-of-1.npz", a=[1.0], b=[2.0], c=[3.0])
    arrays(two / "part-1-of-2.npz", a=[1.0], b=[2.0])
    arrays(two / "part-2-of-2.npz", c=[4.0])
    save(s, "r", 11, one)
    save(s, "r", 12, two)
    found = differences("r@11", "r@12", store=s)
    assert [name for kind, name in found if kind == "tensor"] == ["c"]
    assert found["tensor", "c"]["change"]["norm"] == 1


def test_without_values_only_headers_are_read(tmp_path: Path) -> None:
    s = tmp_path / "s"
    save(s, "r", 1, arrays(tmp_path / "w.npz", w=[1.0], v=[1.0]))
    save(s, "r", 2, arrays(tmp_path / "w.npz", w=[2.0], v=[1.0, 2.0]))
    found = differences("r@1", "r@2", "--no-values", store=s)
    assert [name for kind, name in found if kind == "tensor"] == ["v"]
    assert "1 tensor not read" in ckptkit("diff", "r@1", "r@2", "--no-values", "--format", "table", store=s).stdout


def test_a_file_that_cannot_be_read_is_told_and_the_rest_is_compared(tmp_path: Path) -> None:
    s = tmp_path / "s"
    for step, value in ((1, 1.0), (2, 2.0)):
        arrays(tmp_path / "f/a.npz", a=[value])
        arrays(tmp_path / "f/b.npz", b=[value])
        save(s, "r", step, tmp_path / "f")
    (s / "r/step-00000002/x/a.npz").unlink()
    done = ckptkit("diff", "r@1", "r@2", store=s)
    assert done.returncode == 1
    assert "r@2: x/a.npz: is missing: not compared" in done.stderr
    assert "\tb\t" in done.stdout


def test_the_tensors_that_changed_most_come_first_and_the_rest_is_counted(tmp_path: Path) -> None:
    s, names = tmp_path / "s", [f"t{i:02}" for i in range(30)]
    save(s, "r", 1, arrays(tmp_path / "w.npz", **{name: [1.0, 1.0] for name in names}))
    save(s, "r", 2, arrays(tmp_path / "w.npz", **{name: [1.0, 1.0 + i + 1] for i, name in enumerate(names)}))
    text = ckptkit("diff", "r@1", "r@2", "--format", "table", store=s).stdout
    assert text.index("t29") < text.index("t28")
    assert "t05" not in text
    assert "... and 20 more; --verbose shows all" in text
    assert "t05" in ckptkit("diff", "r@1", "r@2", "--format", "table", "--verbose", store=s).stdout


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_difference_fits_the_terminal(width: int, tmp_path: Path) -> None:
    s, name = tmp_path / "s", "a.very.long.name.of.a.tensor.in.a.deep.model.layers.{}.attention.weight"
    for step in (1, 2):
        values = {name.format(i): np.full((100, 100), step + 1e-7 * i) for i in range(3)}
        save(s, "r", step, arrays(tmp_path / "w.npz", **values))
    text = ckptkit("diff", "r@1", "r@2", "--format", "table", store=s, env={"COLUMNS": str(width)}).stdout
    assert max(map(len, text.splitlines())) <= width
    assert text.count("float64 [100, 100]") == 3


@pytest.mark.skipif(find_spec("stable_baselines3") is None, reason="the four kinds need their frameworks")
def test_all_four_kinds_are_compared(four_kinds_store: Path) -> None:
    found = differences("ppo/run1@10", "ppo/run1@20", store=four_kinds_store)
    assert found["tensor", "0.weight"]["change"]["norm"] > 0
    assert found["tensor", "policy.pth: action_net.weight"]["change"]["norm"] > 0
    assert found["tensor", "batches_seen/.ATTRIBUTES/VARIABLE_VALUE"]["change"]["norm"] == 1
    assert found["tensor", "iterator/.ATTRIBUTES/ITERATOR_STATE"]["change"] is None

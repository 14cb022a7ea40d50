"""Files that trainers wrote are recognised by content, say their own step, and load into live objects."""

import json
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from ckptkit_safetensors import Policy, SafetensorsBackend
from torch import nn

from ckptkit.backend import Captured, CheckContext, LoadContext, SaveContext, SavedItem
from ckptkit.errors import DamagedError, InconsistentSetError, UnsafeContentError

BACKEND = SafetensorsBackend()


def policy(seed: int) -> Policy:
    torch.manual_seed(seed)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1 + seed)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    return Policy(model, optimizer)


def seed_folder(folder: Path) -> Policy:
    """Write ``checkpoint-N/`` as the training script of the seed does."""
    folder.mkdir(parents=True)
    live = policy(0)
    safetensors.torch.save_file(live.model.state_dict(), folder / "policy.safetensors")
    torch.save(live.optimizer.state_dict(), folder / "optimizer_state.pth")
    (folder / "preprocessor_config.json").write_text(json.dumps({"mean": [1, 2]}, indent=2))
    (folder / "postprocessor_config.json").write_text("{}")
    return live


def hugging_face_folder(folder: Path, step: int = 14) -> Policy:
    """Write ``checkpoint-N/`` as the Trainer of transformers does, with two shards."""
    folder.mkdir(parents=True)
    live = policy(0)
    live.scheduler = torch.optim.lr_scheduler.StepLR(live.optimizer, 1)
    live.scheduler.last_epoch = step
    for counted in live.optimizer.state.values():
        counted["step"].fill_(step)
    names = {"weight": "model-00001-of-00002.safetensors", "bias": "model-00002-of-00002.safetensors"}
    for name, shard in names.items():
        safetensors.torch.save_file({name: live.model.state_dict()[name]}, folder / shard, metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))
    torch.save(live.optimizer.state_dict(), folder / "optimizer.pt")
    torch.save(live.scheduler.state_dict(), folder / "scheduler.pt")
    torch.save({"cpu": torch.get_rng_state()}, folder / "rng_state.pth")
    (folder / "config.json").write_text('{"model_type": "x"}')
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step, "log_history": [{"loss": 1.5}]}))
    (folder / "vocab.txt").write_text("a\nb\n")
    (folder / ".cache").write_text("")
    return live


def described(source: Path) -> SavedItem:
    files = BACKEND.recognise(source)
    assert files is not None
    directory = source if source.is_dir() else source.parent
    return BACKEND.describe(directory, context=CheckContext(files=tuple(files), source=source))


def load_unchecked(folder: Path, target: Any) -> Any:
    files = tuple(BACKEND.recognise(folder) or ())
    return BACKEND.load(folder, target=target, context=LoadContext(files=files))


def load(folder: Path, target: Any) -> Any:
    files = tuple(BACKEND.recognise(folder) or ())
    assert list(BACKEND.check(folder, context=CheckContext(files=files))) == []
    return load_unchecked(folder, target)


def test_the_folder_of_the_seed_is_adopted_and_loads_into_live_objects(tmp_path: Path) -> None:
    folder = tmp_path / "outputs" / "checkpoint-5000"
    old, new = seed_folder(folder), policy(1)
    saved = described(folder)
    assert saved.step == 5000
    assert saved.captured == Captured(
        "partial",
        [
            "no scheduler (scheduler_state.pth): a learning-rate schedule starts over",
            "no random generators: no file is known to hold them; save them as an item of their own",
            "no data position: no file is known to hold it; save it as an item of its own",
        ],
    )
    assert saved.metadata["components"] == {
        "model": "policy.safetensors",
        "optimizer": "optimizer_state.pth",
        "preprocessor": "preprocessor_config.json",
        "postprocessor": "postprocessor_config.json",
    }
    load(folder, new)
    assert torch.equal(new.model.weight, old.model.weight)
    assert new.optimizer.param_groups[0]["lr"] == 0.1
    assert new.preprocessor == {"mean": [1, 2]}


def test_a_hugging_face_folder_is_adopted_with_its_shards_and_other_files(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint-14"
    old, new = hugging_face_folder(folder), policy(1)
    files = BACKEND.recognise(folder)
    assert files is not None
    assert {"vocab.txt", ".cache"} <= files.keys()
    saved = described(folder)
    assert (saved.step, saved.metadata["tensors"], saved.captured.grade) == (14, 2, "complete")
    new.scheduler = torch.optim.lr_scheduler.StepLR(new.optimizer, 1)
    load(folder, new)
    assert torch.equal(new.model.bias, old.model.bias)


class Arguments:
    """Stands for TrainingArguments of transformers: an object of a class that we do not know."""


def test_a_pickle_of_the_trainer_is_a_warning_but_one_that_runs_code_is_unsafe(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint-14"
    hugging_face_folder(folder)
    torch.save(Arguments(), folder / "training_args.bin")
    (folder / "tokenizer.bin").write_bytes(b"no pickle")
    context = CheckContext(files=tuple(BACKEND.recognise(folder) or ()))
    assert [p.severity for p in BACKEND.check(folder, context=context)] == ["warning"]
    (folder / "random_states_0.pkl").write_bytes(pickle.dumps(subprocess.run))
    found = {p.file: p.severity for p in BACKEND.check(folder, context=context)}
    found |= {p.file: p.severity for p in BACKEND.check(folder, context=CheckContext(files=("random_states_0.pkl",)))}
    assert found["random_states_0.pkl"] == "unsafe"


def test_optimizer_state_with_an_unknown_class_is_an_error_and_is_never_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint-5000"
    seed_folder(folder)
    torch.save({"state": {}, "param_groups": [], "x": Arguments()}, folder / "optimizer_state.pth")
    files = tuple(BACKEND.recognise(folder) or ())
    assert [p.severity for p in BACKEND.check(folder, context=CheckContext(files=files))] == ["error"]
    torch.save({"state": {}, "param_groups": [], "x": subprocess.run}, folder / "optimizer_state.pth")
    with pytest.raises(UnsafeContentError, match=r"optimizer_state\.pth"):
        load_unchecked(folder, policy(1))


def test_a_missing_or_exchanged_shard_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint-14"
    hugging_face_folder(folder)
    files = tuple(BACKEND.recognise(folder) or ())
    first, second = sorted(folder.glob("*.safetensors"))
    first.rename(folder / "x")
    second.rename(first)
    (folder / "x").rename(second)
    assert len(list(BACKEND.check(folder, context=CheckContext(files=files)))) == 2
    second.unlink()
    rest = tuple(file for file in files if file != second.name)
    assert any(p.code == "file-missing" for p in BACKEND.check(folder, context=CheckContext(files=rest)))


def test_a_step_in_the_name_and_in_the_trainer_state_must_agree(tmp_path: Path) -> None:
    hugging_face_folder(tmp_path / "checkpoint-15", step=14)
    with pytest.raises(InconsistentSetError, match=r"'checkpoint-15' says 15, trainer_state\.json says 14"):
        described(tmp_path / "checkpoint-15")


def test_a_trainer_state_without_a_step_is_damaged(tmp_path: Path) -> None:
    hugging_face_folder(tmp_path / "best")
    for content in ("", "{", "[]", "{}", '{"global_step": -1}', '{"global_step": 1.5}'):
        (tmp_path / "best" / "trainer_state.json").write_text(content)
        with pytest.raises(DamagedError, match=r"trainer_state\.json"):
            described(tmp_path / "best")


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("checkpoint-5000", 5000),
        ("005000", 5000),
        ("step-00000007", 7),
        ("run1_step_12", 12),
        ("global_step99", 99),
        ("ckpt-3", 3),
        ("checkpoint-0", 0),
        ("resnet50", None),
        ("model-v2", None),
        ("epoch-3", None),
        ("final", None),
        ("checkpoint-5000-old", None),
    ],
)
def test_only_a_name_that_speaks_of_steps_gives_one(name: str, step: int | None, tmp_path: Path) -> None:
    seed_folder(tmp_path / name)
    assert described(tmp_path / name).step == step


def test_a_link_to_the_last_checkpoint_gives_its_step(tmp_path: Path) -> None:
    seed_folder(tmp_path / "checkpoint-20")
    (tmp_path / "last").symlink_to("checkpoint-20")
    assert described(tmp_path / "last").step == 20


def test_a_lerobot_checkpoint_and_its_inner_folder_are_adopted_as_weights(tmp_path: Path) -> None:
    outer = tmp_path / "checkpoints" / "005000"
    inner = outer / "pretrained_model"
    inner.mkdir(parents=True)
    state = outer / "training_state"
    state.mkdir()
    safetensors.torch.save_file(policy(0).model.state_dict(), inner / "model.safetensors")
    for name in ("optimizer_state", "rng_state"):
        safetensors.torch.save_file({"state": torch.ones(2)}, state / f"{name}.safetensors")
    (state / "optimizer_param_groups.json").write_text("[]")
    (inner / "train_config.json").write_text("{}")
    (inner / "policy_preprocessor.json").write_text('{"name": "pre"}')
    (inner / "config.json").write_text("{}")
    (outer / "training_state" / "training_step.json").write_text('{"step": 5000}')
    for folder, grade in ((outer, "partial"), (inner, "weights-only")):
        saved = described(folder)
        assert (saved.step, saved.captured.grade) == (5000, grade)
        assert any(file.endswith("policy_preprocessor.json") for file in saved.metadata["components"].values())
        load(folder, policy(1).model)
    (outer / "training_state" / "training_step.json").write_text('{"step": 4000}')
    with pytest.raises(InconsistentSetError):
        described(outer)


def test_a_single_file_is_adopted_as_weights(tmp_path: Path) -> None:
    safetensors.torch.save_file({"w": torch.ones(2)}, tmp_path / "actor-step-40.safetensors")
    assert list(BACKEND.recognise(tmp_path / "actor-step-40.safetensors") or ()) == ["actor-step-40.safetensors"]
    saved = described(tmp_path / "actor-step-40.safetensors")
    assert (saved.step, saved.captured.grade) == (40, "weights-only")


def test_what_we_saved_ourselves_is_adopted_with_all_it_knew(tmp_path: Path) -> None:
    live = policy(0)
    folder = tmp_path / "copy"
    folder.mkdir()
    saved = BACKEND.save(live, folder, context=SaveContext(step=7))
    again = described(folder)
    assert again.step == 7
    assert {key: saved.metadata[key] for key in again.metadata} == again.metadata
    assert again.metadata["optimizer"] == "torch.optim.adamw.AdamW"
    assert again.hazards == []


def test_subfolders_and_hidden_files_are_adopted(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint-3"
    seed_folder(folder)
    for name in ("global_step3/mp_rank_00_model_states.pt", "optimizer_0/.metadata"):
        (folder / name).parent.mkdir()
        (folder / name).write_bytes(b"x")
    assert {"global_step3/mp_rank_00_model_states.pt", "optimizer_0/.metadata"} <= (
        BACKEND.recognise(folder) or {}
    ).keys()


def test_other_checkpoints_in_the_folder_of_a_training_are_not_part_of_its_model(tmp_path: Path) -> None:
    seed_folder(tmp_path / "out")
    hugging_face_folder(tmp_path / "out" / "checkpoint-14")
    assert not any(name.startswith("checkpoint-14/") for name in BACKEND.recognise(tmp_path / "out") or ())


def test_a_snapshot_of_links_into_the_hubs_cache_is_adopted_as_what_they_point_at(tmp_path: Path) -> None:
    seed_folder(tmp_path / "models--x--y" / "blobs")
    snapshot = tmp_path / "models--x--y" / "snapshots" / "0a1b"
    snapshot.mkdir(parents=True)
    for entry in (tmp_path / "models--x--y" / "blobs").iterdir():
        (snapshot / entry.name).symlink_to(Path("..", "..", "blobs", entry.name))
    files = BACKEND.recognise(snapshot)
    assert files is not None
    assert len(files) == 4
    assert not any(source.is_symlink() for source in files.values())


def test_other_things_are_not_recognised(tmp_path: Path) -> None:
    (tmp_path / "rng.json").write_text("{}")
    (tmp_path / "agent.zip").write_bytes(b"PK\x03\x04")
    (tmp_path / "page.safetensors").write_text("<html></html>")
    (tmp_path / "empty").mkdir()
    (tmp_path / "two").mkdir()
    for name in ("a", "b"):
        safetensors.torch.save_file({"w": torch.ones(2)}, tmp_path / "two" / f"{name}.safetensors")
    for path in [*tmp_path.iterdir(), tmp_path / "gone", tmp_path / "tf" / "ckpt-12"]:
        assert BACKEND.recognise(path) is None, path


@pytest.mark.parametrize("size", [0, 5, 12])
def test_a_file_that_was_cut_off_is_recognised_so_that_its_damage_is_told(tmp_path: Path, size: int) -> None:
    path = tmp_path / "cut.safetensors"
    safetensors.torch.save_file({"w": torch.ones(2)}, path)
    path.write_bytes(path.read_bytes()[:size])
    assert BACKEND.recognise(path) == {path.name: path}
    problems = BACKEND.check(tmp_path, context=CheckContext(files=(path.name,)))
    assert next(iter(problems)).code == "safetensors-header"


@pytest.mark.parametrize("shard", ["../x.safetensors", "/x.safetensors", "x.bin", 3, "a\\b.safetensors"])
def test_an_index_that_points_elsewhere_is_refused(shard: Any, tmp_path: Path) -> None:
    index = {"weight_map": {"weight": shard}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    context = CheckContext(files=("model.safetensors.index.json",))
    assert [p.code for p in BACKEND.check(tmp_path, context=context)] == ["bad-shard-index"]
    with pytest.raises(DamagedError):
        BACKEND.load(tmp_path, target=None, context=LoadContext(files=context.files))


def test_looking_at_files_imports_no_framework(tmp_path: Path) -> None:
    hugging_face_folder(tmp_path / "checkpoint-14")
    live = policy(0)
    live.preprocessor = {"a": 1}
    (tmp_path / "own").mkdir()
    BACKEND.save(live, tmp_path / "own", context=SaveContext(step=7))
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from ckptkit.backend import CheckContext
        from ckptkit_safetensors import Policy, SafetensorsBackend

        backend = SafetensorsBackend()
        assert backend.can_save(Policy(model=None)) and not backend.can_save({"a": 1}) and not backend.can_save(3)
        for folder in map(Path, sys.argv[1:]):
            context = CheckContext(files=tuple(backend.recognise(folder)), source=folder)
            assert list(backend.check(folder, context=context)) == []
            assert backend.describe(folder, context=context).step in (7, 14)
        heavy = {"torch", "numpy", "safetensors", "tensorflow", "gymnasium"} & set(sys.modules)
        assert not heavy, heavy
        """
    )
    folders = [str(tmp_path / "checkpoint-14"), str(tmp_path / "own")]
    done = subprocess.run([sys.executable, "-c", script, *folders], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def with_best(folder: Path, best: str) -> Path:
    hugging_face_folder(folder)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 14, "best_model_checkpoint": best}))
    return folder


def adopted(folder: Path) -> tuple[CheckContext, SavedItem]:
    files = tuple(BACKEND.recognise(folder) or ())
    saved = BACKEND.describe(folder, context=CheckContext(files=files, source=folder))
    return CheckContext(files=files, metadata=saved.metadata), saved


@pytest.mark.parametrize("best", ["out/checkpoint-7", "/nowhere/at/all/checkpoint-7"])
def test_a_best_checkpoint_that_does_not_exist_is_a_hazard(best: str, tmp_path: Path) -> None:
    context, saved = adopted(with_best(tmp_path / "out" / "checkpoint-14", best))
    assert [line for line in saved.hazards if "does not exist" in line and f"{best!r}" in line]
    assert list(BACKEND.check(tmp_path / "out" / "checkpoint-14", context=context)) == []


@pytest.mark.parametrize("relative", [True, False])
def test_a_best_checkpoint_that_is_removed_later_is_a_warning(relative: bool, tmp_path: Path) -> None:
    best = tmp_path / "out" / "checkpoint-7"
    best.mkdir(parents=True)
    folder = with_best(tmp_path / "out" / "checkpoint-14", "out/checkpoint-7" if relative else str(best))
    context, saved = adopted(folder)
    assert not [line for line in saved.hazards if "does not exist" in line]
    assert list(BACKEND.check(folder, context=context)) == []
    best.rmdir()
    (found,) = BACKEND.check(folder, context=context)
    assert (found.code, found.severity, found.file) == ("best-checkpoint-missing", "warning", "trainer_state.json")
    assert str(best) in found.message


@pytest.mark.parametrize("best", ["null", '""', "3", '"a\\u0000b"'])
def test_what_names_no_best_checkpoint_is_no_hazard(best: str, tmp_path: Path) -> None:
    folder = with_best(tmp_path / "checkpoint-14", "x")
    (folder / "trainer_state.json").write_text(f'{{"global_step": 14, "best_model_checkpoint": {best}}}')
    assert not [line for line in adopted(folder)[1].hazards if "does not exist" in line]


def test_our_own_files_say_again_what_was_not_captured(tmp_path: Path) -> None:
    live = policy(0)
    live.model.sealed = memoryview(bytearray(8))  # type: ignore[assignment]
    saved = BACKEND.save(live, tmp_path, context=SaveContext(step=7))
    assert saved.captured.grade == "partial"
    assert described(tmp_path).captured == saved.captured


@pytest.mark.parametrize(
    "said", ["complete", {"grade": "fine", "reasons": []}, {"grade": "partial", "reasons": "x"}, {"grade": "partial"}]
)
def test_a_record_that_grades_itself_in_no_known_way_is_refused(said: Any, tmp_path: Path) -> None:
    metadata = {"ckptkit": json.dumps({"kind": "tensors", "captured": said})}
    safetensors.torch.save_file({"w": torch.ones(2)}, tmp_path / "policy.safetensors", metadata)
    with pytest.raises(DamagedError, match="'captured'"):
        described(tmp_path)

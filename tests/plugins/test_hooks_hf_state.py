"""State that a Trainer's checkpoint lacks: put back by the hook in a new process, or named; also its training."""

import hashlib
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # as a program, this file lies outside every package

from tests.plugins import three_runs
from tests.plugins.three_runs import RUN, StopTrainingError

pytestmark = pytest.mark.matrix

SAVES = (10, 13)  # at the end of the first epoch, inside the second one
PERSISTENT = {"dataloader_num_workers": 2, "dataloader_persistent_workers": True}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "persistent workers": ("", PERSISTENT),
    "draws for some indices": ("some", {}),
    "draws in workers": ("all", {"dataloader_num_workers": 2}),
    "a dataset that counts": ("count", {}),
    "a module that changes": ("module", {}),
    "draws in persistent workers": ("all", PERSISTENT),
    "an evaluation after the save": ("", {"eval_strategy": "epoch"}),
}
NAMED = {
    ("draws in persistent workers", 10): "persistent workers, which go on from epoch to epoch",
    ("draws in persistent workers", 13): "persistent workers, which go on from epoch to epoch",
    ("an evaluation after the save", 10): "an evaluation follows at the end of this epoch",
}
_KEPT: list[Any] = []
"""The trainers of this process: torch waits seconds for the workers of a loader that is collected as garbage."""
EXACT = [(kind, save) for kind in KINDS for save in SAVES if (kind, save) not in NAMED]


def dataset(kind: str) -> Any:
    import torch
    from torch.utils.data import Dataset

    rows = torch.randint(0, 32, (40, 8), generator=torch.Generator().manual_seed(1))

    class Rows(Dataset[Any]):
        def __init__(self) -> None:
            self.count = 0

        def __len__(self) -> int:
            return 40

        def __getitem__(self, index: int) -> Any:
            row = rows[index].clone()
            if kind == "all" or (kind == "some" and index in (7, 9, 23)):
                row[int(torch.randint(0, 8, ()))] = int(torch.randint(0, 32, ()))
            if kind == "count":
                self.count += 1
                row[self.count % 8] = self.count % 30
            return {"input_ids": row, "labels": row}

    return Rows()


def model(kind: str) -> Any:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    class Changing(GPT2LMHeadModel):  # type: ignore[misc]  # transformers is optional: Any for mypy
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.calls = 0
            self.register_buffer("scale", torch.ones(1), persistent=False)

        def forward(self, *args: Any, **options: Any) -> Any:
            out = super().forward(*args, **options)
            if kind == "module":
                self.calls += 1
                self.scale.mul_(1.01)
                self.transformer.drop.p = 0.1 + self.calls / 1000
                self.transformer.wpe.weight.requires_grad_(self.calls < 5)
                out.loss = out.loss * (1 + self.calls / 100) * self.scale.squeeze()
            return out

    size = {"n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 32, "n_positions": 16}
    return Changing(GPT2Config(**size, bos_token_id=0, eos_token_id=0))


def train(kind: str, place: Path, stop: int | None, resume: int | None) -> str | None:
    import torch
    from ckptkit_hooks.hf import CheckpointCallback
    from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

    class Stop(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            if state.global_step == stop:
                raise StopTrainingError

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    set_seed(0 if resume is None else 99)
    what, more = KINDS[kind]
    options: dict[str, Any] = {"save_strategy": "no" if stop is None else "steps", "save_steps": 1, "logging_steps": 5}
    arguments = TrainingArguments(
        output_dir=str(place / "out"), max_steps=24, per_device_train_batch_size=2, gradient_accumulation_steps=2,
        learning_rate=1e-2, save_total_limit=1, report_to=[], disable_tqdm=True, use_cpu=True,
        remove_unused_columns=False, **options, **more,
    )  # fmt: skip
    saving = stop is not None or resume is not None
    hook = CheckpointCallback(place / "store", RUN, replace_newer=True) if saving else None
    trainer = Trainer(
        model(what), arguments, train_dataset=dataset(what), eval_dataset=dataset(""),
        callbacks=[Stop(), *([] if hook is None else [hook])],
    )  # fmt: skip
    _KEPT.append(trainer)
    try:
        trainer.train(resume_from_checkpoint=None if resume is None else hook.latest(f"{RUN}@{resume}"))
    except StopTrainingError:
        return None
    hasher = hashlib.sha256()
    for value in trainer.model.state_dict().values():
        hasher.update(value.numpy().tobytes())
    hasher.update(torch.rand(4).numpy().tobytes())
    return hasher.hexdigest()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    return three_runs.tell(__file__, tmp_path_factory.mktemp("hf-state"))


@pytest.mark.parametrize(("kind", "save"), EXACT)
def test_a_resumed_training_ends_as_one_that_never_saved(runs: Mapping[str, Any], kind: str, save: int) -> None:
    assert runs["first"][kind][str(save)] == []
    assert runs["second"][kind][str(save)] == runs["straight"][kind]


@pytest.mark.parametrize(("kind", "save"), list(NAMED))
def test_what_is_missing_is_named(runs: Mapping[str, Any], kind: str, save: int) -> None:
    (reason,) = runs["first"][kind][str(save)]
    assert NAMED[kind, save] in reason
    assert len(runs["second"][kind][str(save)]) == 64  # it trained to the end


if __name__ == "__main__":
    three_runs.main(train, KINDS, SAVES)

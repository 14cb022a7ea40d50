"""The hook of the Hugging Face Trainer, with a tiny GPT-2 in processes of their own; also their training script."""

import hashlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # as a program, this file lies outside every package

from ckptkit import CheckpointStore, Retain
from tests.plugins import hooks_story
from tests.plugins.hooks_story import RUN, Story

pytestmark = pytest.mark.slow

STEPS = 24
VARIANTS = {"mid-epoch": 15, "epoch-end": 20}


def model() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    size = {"n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 32, "n_positions": 16}
    return GPT2LMHeadModel(GPT2Config(**size, bos_token_id=0, eos_token_id=0))


def masked(rows: Any) -> Any:
    """A collator that draws random numbers, as those for masked language models do."""
    import torch
    from transformers import default_data_collator

    batch = default_data_collator(rows)
    batch["input_ids"] = batch["input_ids"].masked_fill(torch.rand(batch["input_ids"].shape) < 0.2, 1)
    return batch


def train(store: Path, at_step: Callable[[int], None], variant: str, output: Path | None = None) -> str:
    import torch
    from ckptkit_hooks.hf import CheckpointCallback
    from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

    class Tell(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            at_step(state.global_step)

    collator = None
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(1)
    set_seed(0)
    rows = [{"input_ids": r, "labels": r} for r in torch.randint(0, 32, (40, 8), generator=torch.manual_seed(1))]
    arguments = TrainingArguments(
        output_dir=str(output or store.with_name(f"{store.name}-trainer")),
        max_steps=STEPS,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        learning_rate=1e-2,
        save_steps=4,
        save_total_limit=None if output else 1,
        eval_strategy="steps",
        eval_steps=4,
        logging_steps=4,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
    )
    if variant:
        collator = masked
    retain = Retain(last=2, best=1, metric="eval_loss", mode="min")
    hook = CheckpointCallback(store, RUN, retain=retain, wait=hooks_story.waits())
    trainer = Trainer(
        model(), arguments, train_dataset=rows, eval_dataset=rows[:4], data_collator=collator, callbacks=[Tell(), hook]
    )
    trainer.train(resume_from_checkpoint=hook.latest())
    hasher = hashlib.sha256(str(trainer.state.global_step).encode())
    for value in trainer.model.state_dict().values():
        hasher.update(value.numpy().tobytes())
    for state in trainer.optimizer.state_dict()["state"].values():
        hasher.update(state["exp_avg_sq"].numpy().tobytes())
    hasher.update(torch.rand(4).numpy().tobytes())
    return hasher.hexdigest()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    place = tmp_path_factory.mktemp("hf")
    return hooks_story.tell(__file__, place, kill_at=14, term_at=15, variants=VARIANTS)


def test_a_killed_and_resumed_run_ends_like_one_that_was_never_interrupted(story: Story) -> None:
    hooks_story.killed_without_a_word(story)
    hooks_story.the_same_end(story)


def test_a_damaged_newest_checkpoint_is_skipped_with_the_reason(story: Story) -> None:
    hooks_story.fell_back(story, to=8)


def test_sigterm_saves_first_and_ends_with_143(story: Story) -> None:
    hooks_story.saved_first(story, at=15)


def test_only_the_last_and_the_best_are_kept(story: Story) -> None:
    assert len(story.finished.steps) in (2, 3)
    assert story.finished.steps[-1] == 24


def test_everything_that_was_saved_verifies_and_is_graded_exact(story: Story) -> None:
    store = CheckpointStore(story.store)
    assert store.verify().exit_code == 0
    assert {listed.summary.grade for listed in store.list() if listed.summary} == {"complete"}


@pytest.mark.matrix
def test_a_run_whose_saves_go_on_behind_ends_like_one_that_waits_for_them(story: Story) -> None:
    assert story.behind == ("same", "complete")


@pytest.mark.matrix
def test_a_run_that_is_killed_while_its_saves_go_on_behind_comes_to_the_same_end(story: Story) -> None:
    hooks_story.killed_behind(story, __file__, kill_at=14)


def test_where_fetching_draws_random_numbers_it_is_exact_in_mid_epoch_too(story: Story) -> None:
    assert story.variants == dict.fromkeys(VARIANTS, ("same", "complete"))


if __name__ == "__main__":
    hooks_story.main(train)

"""One training with a Hugging Face Trainer: what its checkpoint lacks, noted at each save and put back at a resume."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ckptkit_torchdata.loader_kinds import is_data_loader, is_stateful
from ckptkit_torchdata.loader_parts import LoaderParts
from ckptkit_torchdata.state_file import Inner

from ckptkit.errors import DamagedError
from ckptkit_hooks import torch_proof
from ckptkit_hooks.loader_watch import LoaderWatch, Place
from ckptkit_hooks.module_state import ModuleState

FILE_NAME = "position.json"
_LOG = logging.getLogger("ckptkit_hooks")


class TrainerLoop:
    """What a Trainer's checkpoint lacks: state in the loader's parts, attributes of the model, the place in an epoch.

    A Trainer that resumes inside an epoch skips the indices of the batches that were used, and puts the random
    generators back after it has fetched the next ones. Here the epoch is replayed from its start instead.

    Args:
        args: the ``TrainingArguments``.
        model: the model that is trained.
        loader: the Trainer's own loader of training batches.
    """

    def __init__(self, args: Any, model: Any, loader: Any) -> None:
        self._args, self._model, self._loader = args, model, loader
        base = getattr(loader, "base_dataloader", loader)
        usable = is_data_loader(base) and not is_stateful(base) and hasattr(type(base), "_get_iterator")
        self._watch = LoaderWatch(base) if usable else None
        self._kind = type(base).__qualname__
        self._modules = ModuleState(lambda: {"model": model})
        self._place: Place | None = None
        self._own_skip: Any = None
        self._evaluation: LoaderParts | None = None
        self._evaluation_was: Inner | None = None
        self.epoch_over = False

    def evaluated(self, loader: Any) -> None:
        """Note the loader of an evaluation that was run, so that what it changes from now on can be seen."""
        base = getattr(loader, "base_dataloader", loader)
        if self._evaluation is None and is_data_loader(base):
            self._evaluation = LoaderParts(base)
            self._evaluation_was = self._evaluation.taken()

    def said(self, state: Any) -> tuple[dict[str, Any], list[str]]:
        """Return what to save, as JSON, and one line for each piece that is not in it."""
        ended = float(state.epoch).is_integer()
        place = None if self._watch is None else self._watch.place(epoch_ended=ended)
        reasons = self._modules.reasons()
        if self._watch is None or place is None:
            reasons.append(f"data: a {self._kind} cannot be looked into")
        else:
            reasons += self._watch.reasons(place)
        if not ended and self._args.ignore_data_skip:
            reasons.append("ignore_data_skip: a resume begins the epoch's data again")
        if ended and not self.epoch_over and str(getattr(self._args.eval_strategy, "value", "")) == "epoch":
            reasons.append(
                "an evaluation follows at the end of this epoch, which a resume does not run: it draws a seed"
            )
        reasons += self._changed_by_evaluation()
        told = {
            "epoch": state.epoch,
            "global_step": state.global_step,
            "loader": None if place is None else place.said(),
            "model": self._modules.said(),
        }
        return told, reasons

    def noted(self, optimizer: Any, scheduler: Any) -> dict[str, Any]:
        """Return what an observer compares after a step."""
        said = self._modules.said()
        told: dict[str, Any] = {"module": said["attributes"], "trains": said["trains"]}
        if self._watch is not None:
            told |= {"data": self._watch.said_now(), "batches fetched": self._watch.fetched}
        return torch_proof.noted(self._model, [optimizer], [scheduler], **told)

    def _changed_by_evaluation(self) -> list[str]:
        if self._evaluation is None or self._evaluation_was is None:
            return []
        now, was = self._evaluation.taken(), self._evaluation_was
        drew = [place for place, leaf in now.generators.items() if leaf != was.generators.get(place)]
        changed = [place for place, nodes in now.attributes.items() if nodes != was.attributes.get(place)]
        return [f"evaluation's {place}: changes with each evaluation, and is not put back" for place in drew + changed]

    def resume(self, file: Path, state: Any) -> None:
        """Put back what ``said`` returned.

        Raises:
            DamagedError: the file is not what ``to_json`` wrote.
        """
        try:
            told = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise DamagedError(f"{file.name}: cannot be read ({error})") from error
        if not isinstance(told, dict) or "model" not in told:
            return  # of a version that noted the position only
        if told.get("global_step") != state.global_step:
            text = "resuming at step %s, not at %s: only the Trainer's own state is put back"
            _LOG.warning(text, state.global_step, told.get("global_step"))
            return
        lost = self._modules.put(told["model"])
        if lost:
            _LOG.warning("nothing to put its state into: %s", ", ".join(lost))
        if self._watch is None or told["loader"] is None:
            return
        self._place = Place.from_json(told["loader"])
        if self._place.start is None:
            self._watch.begin_at(self._place)
        elif not self._args.ignore_data_skip:
            import transformers.trainer as trainer

            self._own_skip, trainer.skip_first_batches = trainer.skip_first_batches, self._skip

    def _skip(self, loader: Any, num_batches: int = 0) -> Any:
        """Stand in for accelerate's ``skip_first_batches``, which passes over indices and fetches nothing."""
        if loader is not self._loader or self._watch is None or self._place is None:
            return self._own_skip(loader, num_batches)
        return _Ahead(loader, self._watch, self._place, num_batches)

    def step_begun(self) -> None:
        """The Trainer has put its generators back: set those that fetches draw from to where the fetches left them."""
        self._give_back()
        if self._watch is not None:
            self._watch.stop_noting_after()

    def end(self) -> None:
        """Leave the loader and the library as they were."""
        self._give_back()
        if self._watch is not None:
            self._watch.leave()

    def _give_back(self) -> None:
        if self._own_skip is not None:
            import transformers.trainer as trainer

            trainer.skip_first_batches, self._own_skip = self._own_skip, None


class _Ahead:
    """The Trainer's loader for the resumed epoch: its first iteration begins where the epoch was left."""

    def __init__(self, loader: Any, watch: LoaderWatch, place: Place, batches: int) -> None:
        self._loader, self._watch, self._place, self._batches = loader, watch, place, batches

    def __iter__(self) -> Iterator[Any]:
        return self._watch.taken_up(self._loader, self._place, self._batches)

    def __len__(self) -> int:
        return len(self._loader) - self._batches

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

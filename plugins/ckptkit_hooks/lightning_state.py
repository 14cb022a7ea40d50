"""What Lightning's checkpoint lacks besides generators: attributes of modules, callbacks and data; averaged weights."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ckptkit_torchdata.loader_kinds import is_data_loader, is_stateful
from ckptkit_torchdata.loader_parts import looked_into

from ckptkit.errors import DamagedError
from ckptkit_hooks import torch_proof
from ckptkit_hooks.loader_watch import LoaderWatch, collator_of
from ckptkit_hooks.module_state import ModuleState

_LOG = logging.getLogger("ckptkit_hooks")
_LIGHTNINGS = ("lightning", "pytorch_lightning", "lightning_fabric")


class FitState:
    """State of one ``trainer.fit`` that lies in plain objects.

    Args:
        trainer: the trainer, in ``on_fit_start``: module and callbacks are set up, and nothing has been validated yet.
        module: the module that is trained.
    """

    def __init__(self, trainer: Any, module: Any) -> None:
        self._trainer, self._module = trainer, module
        self._own = {type(base): frozenset(vars(base)) for base in _fresh(module, trainer.datamodule)}
        self._modules = ModuleState(self._objects, self._lightnings)
        self._data: ModuleState | None = None
        self._validation: ModuleState | None = None
        self._began: Any = None
        self._watches: list[LoaderWatch] = []

    def _objects(self) -> dict[str, Any]:
        callbacks = [item for item in self._trainer.callbacks if _is_mute(item)]
        named = {f"callback {type(item).__name__}": item for item in callbacks}
        return {"module": self._module, "datamodule": self._trainer.datamodule, **named}

    def _lightnings(self, owner: Any) -> frozenset[str]:
        """Return the names that Lightning itself gives to each module, which are its own business."""
        return frozenset().union(*(names for base, names in self._own.items() if isinstance(owner, base)))

    def data_ready(self, resumed: str | None, *, middle: bool) -> None:
        """The loaders have been built, but not their iterators: put back the state that the epoch begins with.

        Raises:
            DamagedError: the state is not what ``to_json`` wrote.
        """
        loaders = self._trainer.fit_loop._combined_loader.flattened
        if self._data is None:
            self._data = ModuleState(lambda: _parts(self._trainer.fit_loop._combined_loader.flattened))
        for watch in self._watches:
            watch.leave()
        own = [loader for loader in loaders if is_data_loader(loader) and not is_stateful(loader)]
        self._watches = [LoaderWatch(loader) for loader in own if loader.num_workers and loader.persistent_workers]
        if resumed is not None:
            told = _heard(resumed)
            _tell(self._modules.put(told["modules"]))
            epoch = self._trainer.fit_loop.epoch_progress.current.processed
            _tell(self._data.put(told["data_began" if middle and told["data_began"] is not None else "data"]))
            for watch, seeded in zip(self._watches, told["seeded"], strict=False):
                watch.make_next(seeded=bool(seeded))
            for loader in () if middle else own:
                _set_epoch(loader, epoch)  # Lightning does so after it has made the iterator

    def data_begins(self) -> None:
        """Note what the epoch's data begins with."""
        self._began = None if self._data is None else self._data.said()

    def training_begins(self, resumed: str | None, *, middle: bool) -> None:
        """The batches that were used before have been taken again: put back the state of the save."""
        loaders = self._trainer.val_dataloaders
        if loaders is not None:
            self._validation = ModuleState(lambda: _parts(_flat(self._trainer.val_dataloaders)))
        if resumed is None:
            return
        told = _heard(resumed)
        if middle and self._data is not None:
            _tell(self._data.put(told["data"]))
            self._began = told["data_began"]
        if self._validation is not None and told["validation"] is not None:
            _tell(self._validation.put(told["validation"]))
        if middle:
            self._trainer.accumulate_grad_batches = told["accumulate"]
            for callback in self._trainer.callbacks:
                if type(callback).__name__ == "StochasticWeightAveraging":
                    with _rates_kept(self._trainer):
                        callback.on_train_epoch_start(self._trainer, self._module)

    def said(self, *, middle: bool) -> str:
        """Return the state as JSON."""
        places = [watch.place(epoch_ended=not middle) for watch in self._watches]
        told = {
            "modules": self._modules.said(),
            "data": None if self._data is None else self._data.said(),
            "data_began": self._began if middle else None,
            "validation": None if self._validation is None else self._validation.said(),
            "seeded": [place.seeded for place in places],
            "accumulate": self._trainer.accumulate_grad_batches,
        }
        return json.dumps(told)

    def noted(self, batches: int) -> dict[str, Any]:
        """Return what an observer compares after a step.

        Args:
            batches: batches of this epoch given so far.
        """
        trainer = self._trainer
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        said = self._modules.said()
        told: dict[str, Any] = {"objects": said["attributes"], "trains": said["trains"], "batches": batches}
        if self._data is not None:
            told["data"] = self._data.said()["attributes"]
        return torch_proof.noted(self._module, trainer.optimizers, schedulers, **told)

    def reasons(self, *, middle: bool) -> list[str]:
        """Return one line for each piece that is not in the checkpoint."""
        states = [state for state in (self._modules, self._data, self._validation) if state is not None]
        found = [reason for state in states for reason in state.reasons()]
        for watch in self._watches:
            found += watch.strayed(watch.place(epoch_ended=not middle))
        return list(dict.fromkeys(found))

    def end(self) -> None:
        """Put the loaders back as they were."""
        for watch in self._watches:
            watch.leave()


def _fresh(*items: Any) -> Iterator[Any]:
    """Yield, for each, a bare object of the first of its base classes that is Lightning's own."""
    for item in items:
        bases = (cls for cls in type(item).__mro__ if cls.__module__.partition(".")[0] in _LIGHTNINGS)
        base = next((cls for cls in bases if cls.__name__ in ("LightningModule", "LightningDataModule")), None)
        if base is not None:
            yield base()


def _set_epoch(loader: Any, epoch: int) -> None:
    inner = getattr(loader.batch_sampler, "sampler", None)
    for part in {id(item): item for item in (loader.sampler, loader.batch_sampler, inner)}.values():
        if (set_epoch := getattr(part, "set_epoch", None)) is not None:
            set_epoch(epoch)


def _is_mute(callback: Any) -> bool:
    """Return whether a callback is the user's own and does not give its state to Lightning."""
    kind: Any = type(callback)
    base: Any = next((cls for cls in kind.__mro__ if cls.__name__ == "Callback"), kind)
    foreign = kind.__module__.partition(".")[0] in (*_LIGHTNINGS, "ckptkit_hooks")
    return not foreign and kind.state_dict is base.state_dict


def _flat(loaders: Any) -> list[Any]:
    if isinstance(loaders, Mapping):
        return [entry for value in loaders.values() for entry in _flat(value)]
    if isinstance(loaders, (list, tuple)):
        return [entry for value in loaders for entry in _flat(value)]
    return [loaders]


def _parts(loaders: Any) -> dict[str, Any]:
    """Return the parts of loaders that may hold state, by name."""
    roots: dict[str, Any] = {}
    for number, loader in enumerate(loaders):
        more = f" {number}" if number else ""
        if not is_data_loader(loader):
            roots[f"loader{more}"] = loader
            continue
        inner = getattr(loader.batch_sampler, "sampler", None)
        parts = {"generator": loader.generator, "sampler": loader.sampler, "batch_sampler": loader.batch_sampler}
        parts |= {
            "batch_sampler.sampler": inner,
            "dataset": looked_into(loader.dataset),
            "collate": collator_of(loader),
        }
        roots |= {f"{name}{more}": part for name, part in parts.items()}
    return roots


@contextmanager
def _rates_kept(trainer: Any) -> Iterator[None]:
    """Run a block and put back the options of the optimizers' groups: building a scheduler takes its first step."""
    groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
    before = [{name: value for name, value in group.items() if name != "params"} for group in groups]
    yield
    for group, values in zip(groups, before, strict=True):
        group.update(values)


def _heard(text: str) -> dict[str, Any]:
    told = json.loads(text)
    names = {"modules", "data", "data_began", "validation", "seeded", "accumulate"}
    if not isinstance(told, dict) or told.keys() != names or not isinstance(told["seeded"], list):
        raise DamagedError("the state of attributes in the checkpoint is not what this hook wrote")
    return told


def _tell(lost: list[str]) -> None:
    if lost:
        _LOG.warning("nothing to put its state into: %s", ", ".join(lost))

"""What a checkpoint that a trainer wrote is worth: whether it is whole and why, its step, what its state says."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from ckptkit import registry, trainers
from ckptkit.errors import CkptkitError
from ckptkit.layouts.numbered import stem_of
from ckptkit.trainers import Judged, State, Told
from ckptkit.trainers.finding import NOBODYS, Sighting

_MANY = 20
"""Files of one suffix that nobody's layout found in one folder: beyond so many, the newest few speak for all."""
_FEW = 3


@dataclass(frozen=True, slots=True)
class Judgement:
    """A checkpoint, and what is known of it; of its content nothing yet but what its trainer's own marks say.

    Attributes:
        sighting: where it is, and what belongs to it.
        title: who wrote it, for people.
        item: what its one item is called.
        judged: whether the trainer had finished it, and why.
        told: what its own state says.
        error: what kept it from being looked into.
    """

    sighting: Sighting
    title: str
    item: str
    judged: Judged
    told: Told
    error: CkptkitError | None = None

    @property
    def path(self) -> Path:
        """Its folder or main file."""
        return self.sighting.path

    @property
    def state(self) -> State:
        """``complete``, ``incomplete`` or ``unknown``."""
        return self.judged.state

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is in that state, and what does not fit together."""
        further = (doubt for doubt in self.told.doubts if not any(doubt in why for why in self.judged.reasons))
        return (*self.judged.reasons, *further)

    @property
    def moves(self) -> bool:
        """Whether its name is one that the trainer gives to its newest checkpoint."""
        return self.sighting.seen.found.moves

    @property
    def order(self) -> tuple[bool, int, str]:
        """By which those of a run are taken in: those that keep their names first, by step, by name."""
        found = self.sighting.seen.found
        return self.moves, -1 if self.told.step is None else self.told.step, found.name

    def at_step(self, step: int) -> "Judgement":
        """Return the same at the step that a person gave."""
        return replace(self, told=replace(self.told, step=step, step_from="--step"))


def judge(sighting: Sighting) -> Judgement:
    """Return what the trainer's marks and state say; nothing is unpickled, and the content is not judged."""
    trainer = trainers.TRAINERS.get(sighting.kind)
    found = sighting.seen.found
    if trainer is None:
        told = Told(found.number, "" if found.number is None else "the number in its name")
        mark = Judged("unknown", ("no mark of a trainer tells whether it is finished",))
        return Judgement(sighting, "no known trainer", "", mark, told)
    return Judgement(sighting, trainer.title, trainer.item, trainer.judge(sighting.seen), trainer.told(sighting.seen))


def not_judged(sighting: Sighting, error: CkptkitError) -> Judgement:
    """Return what is known by its name alone of one that cannot be looked into."""
    trainer, number = trainers.TRAINERS.get(sighting.kind), sighting.seen.found.number
    title = "no known trainer" if trainer is None else trainer.title
    told = Told(number, "" if number is None else "the number in its name")
    return Judgement(sighting, title, "", Judged("unknown", (error.message,)), told, error)


def recognised(sightings: Iterable[Sighting], known: Callable[[Sighting], bool]) -> Iterator[Sighting]:
    """Yield those that some trainer's layout found; of nobody's, those whose content is known."""
    for (_, nobodys), group in groupby(sightings, key=lambda one: (one.seen.folder, one.kind == NOBODYS)):
        if not nobodys:
            yield from group
            continue
        for alike in _by_suffix(group).values():
            alike.sort(key=lambda one: (one.seen.found.number or 0, one.seen.found.name), reverse=True)
            if len(alike) <= _MANY or any(map(known, alike[:_FEW])):
                yield from filter(known, alike)


def _by_suffix(group: Iterable[Sighting]) -> Mapping[str, list[Sighting]]:
    alike: dict[str, list[Sighting]] = {}
    for one in group:
        name = one.seen.found.name
        alike.setdefault(name.removeprefix(stem_of(name)), []).append(one)
    return alike


def is_known(sighting: Sighting) -> bool:
    """Return whether a backend recognises its content."""
    try:
        registry.for_path(sighting.path, name=sighting.seen.found.name)
    except (CkptkitError, OSError):
        return False
    return True


def looked_for() -> Sequence[str]:
    """Return one line for each trainer that is known, with what its checkpoints are told by."""
    return [f"{trainer.title}: {SIGNS[kind]}" for kind, trainer in trainers.TRAINERS.items() if kind in SIGNS]


SIGNS: Mapping[str, str] = {
    "hf_trainer": "folders checkpoint-N with trainer_state.json, model.safetensors, ...",
    "lerobot": "folders of digits with pretrained_model and training_state",
    "orbax": "folders with _CHECKPOINT_METADATA, commit_success.txt or orbax.checkpoint",
    "lightning": "files and folders epoch=E-step=N.ckpt, last.ckpt",
    "deepspeed": "folders with mp_rank_00_model_states.pt",
    "dcp": "folders with .metadata or __0_0.distcp",
    "accelerate": "folders with random_states_0.pkl, optimizer.bin or scheduler.bin",
    "rl_zoo": "ENV.zip beside a folder ENV with args.yml or config.yml, best_model.zip",
    "sb3_callback": "files NAME_N_steps.zip",
    "tf_train": "files NAME-N.index and NAME-N.data-00000-of-00001",
    "keras": "files .keras and .weights.h5",
    "torch_file": "files .pt, .pth, .pth.tar",
}
"""What each layout looks for, for people: by kind."""

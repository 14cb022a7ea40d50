"""RL Zoo: agents of Stable-Baselines3, and beside them a folder with the arguments of the training.

Source: rl_zoo3/exp_manager.py (``save_trained_model``, ``_save_config``, ``_load_pretrained_agent``), train.py.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ckptkit.errors import DamagedError
from ckptkit.layouts.rl_zoo import ARGUMENTS, SETTINGS, folder_of
from ckptkit.trainers.interface import Judged, Resuming, Seen, Told
from ckptkit.trainers.sb3_callback import judged_agent, told_agent
from ckptkit.trainers.state_files import as_count, content

_MOST_BYTES = 64 << 10  # an honest one has 1 KB, and PyYAML takes seconds for a megabyte
_NULL = "tag:yaml.org,2002:null"
_STEPS = "n_timesteps"
_TRAIN = (
    *("python", "-m", "rl_zoo3.train", "--algo", "{config.algo}", "--env", "{config.env}"),
    *("-i", "{path}", "-n", "{config.timesteps_left}"),
)
_ONE_VALUE = ("algo", "env", "conf_file")
_MANY_VALUES = {"hyperparams": "--hyperparams", "env_kwargs": "--env-kwargs"}
_RESUMING = Resuming(
    ((*_TRAIN, "-conf", "{config.conf_file}"), _TRAIN),
    without=f"needs the algorithm and the environment, which {ARGUMENTS} does not say",
)


@dataclass(frozen=True, slots=True)
class RlZoo:
    """``python -m rl_zoo3.train``: with ``-i`` it counts ``-n`` from 0 again, so what is left is asked for."""

    kind: str = "rl_zoo"
    title: str = "RL Zoo"
    item: str = "agent"
    resuming: Resuming = _RESUMING

    def judge(self, seen: Seen) -> Judged:
        """Return whether the agent was written to its end."""
        return judged_agent(seen)

    def told(self, seen: Seen) -> Told:
        """Return what the agent says, and which algorithm and environment it was trained with, and for how long."""
        told, folder, doubts = told_agent(seen), folder_of(seen.listing), []
        found: dict[str, str] = {}
        for file in (SETTINGS, ARGUMENTS):
            try:
                found |= _settings(content(seen.folder / f"{folder}" / file, _MOST_BYTES), file)
            except DamagedError as error:
                doubts.append(error.message)
        config: dict[str, str | int | float] = {name: found[name] for name in _ONE_VALUE if found.get(name)}
        for name, flag in _MANY_VALUES.items():
            if f"{ARGUMENTS}:{name}" in found:
                doubts.append(f"it was trained with {flag}, which its resume command leaves out: give it after --")
        total = _total(found)
        if total is not None:
            left = total - (told.step or 0)
            config |= {_STEPS: total, "timesteps_left": left if left > 0 else total}
        return replace(told, config=config, doubts=(*told.doubts, *doubts))


def _total(found: Mapping[str, str]) -> int | None:
    """Return for how many steps it was trained: an argument of -1 leaves it to the settings."""
    for text in (found.get(f"{ARGUMENTS}:{_STEPS}"), found.get(f"{SETTINGS}:{_STEPS}")):
        try:
            steps = as_count(float(text)) if text else None
        except ValueError:
            steps = None
        if steps:
            return steps
    return None


def _settings(data: bytes, file: str) -> dict[str, str]:
    """Return the values of a YAML file: a mapping, or the pairs of an ``OrderedDict`` as PyYAML writes one.

    Each is there by its name, and by file and name; what holds several values has no text, what holds none is left out.

    It is read into nodes only: whatever a tag in it names is not made.

    Raises:
        DamagedError: it is no YAML.
    """
    import yaml  # not at module level: only these folders hold such a file

    try:
        root = yaml.compose(data, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DamagedError(f"{file} is no YAML") from error
    return {key: value for name, value in _pairs(root) for key in (name, f"{file}:{name}")}


def _pairs(node: Any) -> Iterator[tuple[str, str]]:
    if node is None:
        return
    value = node.value
    if node.id == "mapping":
        pairs = value
    else:  # !!python/object/apply:collections.OrderedDict [[[name, value], ...]]
        pairs = (
            [pair.value for pair in value[0].value]
            if node.id == "sequence" and value and value[0].id == "sequence"
            else []
        )
    for pair in pairs:
        if len(pair) == 2 and pair[0].id == "scalar" and pair[1].value and pair[1].tag != _NULL:
            yield pair[0].value, pair[1].value if pair[1].id == "scalar" else ""

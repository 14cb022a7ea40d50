"""Files of ``torch.save`` by loops of one's own: a dict whose keys say where it is, by the names that loops use.

Source: torch/serialization.py (``_save``: a zip, closed last); the examples of pytorch/examples, timm and fairseq.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ckptkit.errors import DamagedError
from ckptkit.formats.escaped import escaped
from ckptkit.formats.torch_values import torch_value
from ckptkit.trainers.ends import first_bytes, not_whole, require_closed_zip
from ckptkit.trainers.interface import Judged, Resuming, Seen, Told
from ckptkit.trainers.links import file_of
from ckptkit.trainers.state_files import as_epoch, numbers
from ckptkit.trainers.steps import Said, told_step

STEPS = ("global_step", "step", "iteration", "iter", "num_updates")
"""Keys that hold a step, in the order in which they are believed."""
EPOCHS = ("epoch",)
_ZIP, _OLD = b"PK", b"\x80"
_METRIC = re.compile(r"(?!best)(.*[_-])?(loss|acc|acc1|accuracy|score|reward|perplexity|fitness|f1|auc|bleu|wer|miou)")
_RESUMING = Resuming(call="torch.load(PATH)")


@dataclass(frozen=True, slots=True)
class TorchFile:
    """Any training loop that ends in ``torch.save``; each has flags of its own, so no command is known."""

    kind: str = "torch_file"
    title: str = "torch.save"
    item: str = "model"
    resuming: Resuming = _RESUMING

    def judge(self, seen: Seen) -> Judged:
        """Return whether the file has its end."""
        return judged_zip(seen)

    def told(self, seen: Seen) -> Told:
        """Return what the keys of the dict say."""
        try:
            content = value_of(file_of(seen))
        except DamagedError as error:
            told = told_step(seen, ())
            return replace(told, doubts=(*told.doubts, error.message))
        if not isinstance(content, dict):
            return told_step(seen, ())
        epochs = [(f"{key} in it", content[key]) for key in EPOCHS if content.get(key) is not None]
        told = told_step(seen, _steps(content), epoch=epochs[0] if epochs else None)
        epoch = as_epoch(epochs[0][1]) if epochs else None
        return replace(told, counters={} if epoch is None else {"epoch": epoch}, metrics=dict(_metrics(content)))


def judged_zip(seen: Seen) -> Judged:
    """Return whether a file of ``torch.save`` was written to its end; of its old form, nothing tells."""
    try:
        path = file_of(seen)
        first = first_bytes(path)
        if first.startswith(_OLD):
            return Judged("unknown", ("it has the form of old versions of torch.save, which nothing ends",))
        if not first.startswith(_ZIP[: len(first)]) and first.strip(b"\0"):
            return Judged("unknown", ("it does not begin as files of torch.save do",))
        require_closed_zip(path)
    except DamagedError as error:
        return not_whole(error)
    return Judged("complete", ("the zip was closed, which torch.save does last",))


def value_of(path: Path) -> object:
    """Return what a file of ``torch.save`` holds, without tensors.

    Raises:
        DamagedError: it cannot be read; the message names the file.
    """
    if first_bytes(path).startswith(_OLD):
        raise DamagedError(f"{escaped(path.name)} has the old form of torch.save, in which no step is looked for")
    try:
        return torch_value(path)
    except DamagedError as error:
        message = error.message.removeprefix(f"{path.name}: ")
        raise DamagedError(f"{escaped(path.name)} {message}") from error


def _steps(content: Mapping[Any, Any]) -> Iterator[Said]:
    for key in STEPS:
        yield f"{key} in it", content.get(key)


def _metrics(content: Mapping[Any, Any]) -> Iterator[tuple[str, float]]:
    """Yield numbers in ``metrics``, and those at the top whose names say that they are metrics of this checkpoint."""
    yield from numbers(content.get("metrics"))
    yield from ((name, value) for name, value in numbers(content) if _METRIC.fullmatch(name.lower()))

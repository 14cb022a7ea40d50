"""Watches how a trainer iterates its torch DataLoader, so that an epoch can be resumed exactly in the middle.

Of its data, a trainer keeps only a count of batches. What fetching them draws and changes is noted here: at the start
of the epoch, and before the batch that was fetched last, which the trainer may have fetched ahead. To resume, the epoch
is begun again from its start, its batches are fetched and dropped, and the last of them is fetched as it was. Watching
draws nothing and changes nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ckptkit_torchdata import generators
from ckptkit_torchdata.loader_parts import LoaderParts
from ckptkit_torchdata.state_file import Inner, from_json, globals_from_json, to_json

from ckptkit.errors import DamagedError


@dataclass(frozen=True, slots=True)
class Moment:
    """The state that a fetch begins from: the global generators', and that inside the loader's parts."""

    drawn: Mapping[str, Any]
    parts: Inner

    def said(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"globals": dict(self.drawn), "parts": to_json(self.parts)}

    @staticmethod
    def from_json(value: Any, where: str) -> "Moment":
        """Return what ``said`` wrote. Raises DamagedError."""
        if not isinstance(value, dict) or value.keys() != {"globals", "parts"}:
            raise DamagedError(f"{where} is not a position in a loader")
        return Moment(globals_from_json(value["globals"], where), from_json(value["parts"], where))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a loader is.

    Attributes:
        fetched: batches fetched in this epoch, including those fetched ahead.
        seeded: whether the epoch's iterator drew a seed for workers; persistent workers keep theirs.
        start: when the iterator of the epoch was made; None before that.
        last: before the last fetch.
        now: at the save.
    """

    fetched: int
    seeded: bool
    start: Moment | None
    last: Moment | None
    now: Moment

    def said(self) -> dict[str, Any]:
        """Return it as JSON."""
        moments = {"start": self.start, "last": self.last, "now": self.now}
        return {
            "fetched": self.fetched,
            "seeded": self.seeded,
            **{name: None if moment is None else moment.said() for name, moment in moments.items()},
        }

    @staticmethod
    def from_json(value: Any) -> "Place":
        """Return what ``said`` wrote. Raises DamagedError."""
        names = {"fetched", "seeded", "start", "last", "now"}
        good = isinstance(value, dict) and value.keys() == names and isinstance(value["seeded"], bool)
        if not good or type(value["fetched"]) is not int or value["fetched"] < 0:
            raise DamagedError("is not a position in a loader")
        start, last = (None if value[n] is None else Moment.from_json(value[n], n) for n in ("start", "last"))
        return Place(value["fetched"], value["seeded"], start, last, Moment.from_json(value["now"], "now"))


class LoaderWatch:
    """Stands between one DataLoader and its iterators.

    Args:
        loader: a ``torch.utils.data.DataLoader``, before its first iterator.
    """

    def __init__(self, loader: Any) -> None:
        import torch

        self.loader = loader
        self._persistent = bool(loader.num_workers and loader.persistent_workers)
        self._strayed = torch.zeros(1, dtype=torch.uint8).share_memory_() if self._persistent else None
        if self._persistent:
            loader.collate_fn = _Noting(loader.collate_fn, self._strayed)
        self.parts = LoaderParts(loader)
        self._make = type(loader)._get_iterator
        loader._get_iterator = self._made
        self._fetched, self._seeded = 0, True
        self._start: Moment | None = None
        self._last: Moment | None = None
        self._goal: Place | None = None
        self._next_seeded = True
        self.after: Mapping[str, Any] | None = None

    def leave(self) -> None:
        """Stop watching."""
        self.loader.__dict__.pop("_get_iterator", None)
        if isinstance(self.loader.collate_fn, _Noting):
            self.loader.collate_fn = self.loader.collate_fn.inner

    def place(self, *, epoch_ended: bool) -> Place:
        """Return where the loader is: in the epoch, or at the start of the next one."""
        now = self._moment()
        if epoch_ended:
            return Place(0, not (self._persistent and self.loader._iterator is not None), None, None, now)
        return Place(self._fetched, self._seeded, self._start, self._last, now)

    @property
    def fetched(self) -> int:
        """Batches fetched in this epoch, including those fetched ahead."""
        return self._fetched

    def said_now(self) -> dict[str, Any]:
        """Return the state inside the loader's parts as JSON."""
        return to_json(self.parts.taken())

    def reasons(self, place: Place) -> list[str]:
        """Return one line for each piece of a place that a resume cannot put back."""
        needed = place.now if place.start is None else place.start
        return [*self.parts.reasons(needed.parts), *self.strayed(place)]

    def strayed(self, place: Place) -> list[str]:
        """Return the line for persistent workers whose items draw, or nothing."""
        if self._strayed is None or not int(self._strayed) or place.seeded:
            return []
        draws = "items draw random numbers or keep state in persistent workers, which go on from epoch to epoch"
        return [f"{draws}; a resume starts new ones"]

    def begin_at(self, place: Place) -> None:
        """Put the parts back where they were, and make the next iterator as it was made then."""
        self.parts.put(place.now.parts)
        self.make_next(seeded=place.seeded)

    def make_next(self, *, seeded: bool) -> None:
        """Make the next iterator with or without drawing a seed for its workers."""
        self._next_seeded = seeded

    def taken_up(self, loader: Any, place: Place, batches: int) -> Iterator[Any]:
        """Yield the rest of an epoch.

        Args:
            loader: what is iterated: the watched loader, or its wrapper.
            place: where the epoch was.
            batches: how many batches had been given.
        """
        self._goal, self._next_seeded = place, place.seeded
        iterator = iter(loader)
        for _ in range(batches):
            next(iterator)
        self._goal = None
        generators.put_globals(place.now.drawn)
        self.parts.put(place.now.parts)
        self.after = place.now.drawn
        yield from iterator

    def stop_noting_after(self) -> None:
        """Put the global generators where the last fetch left them, and stop noting that."""
        if self.after is not None:
            generators.put_globals(self.after)
        self.after = None

    def _moment(self) -> Moment:
        return Moment(generators.globals_state(), self.parts.taken())

    def _made(self) -> Any:
        """Make an iterator, in place of the loader."""
        return _Watched(self, self._begun(lambda: self._make(self.loader), made=True))

    def _begun(self, begin: Any, *, made: bool) -> Any:
        """Note the start of an epoch, or put it back, and begin it."""
        import torch

        if self._goal is not None and self._goal.start is not None:
            generators.put_globals(self._goal.start.drawn)
            self.parts.put(self._goal.start.parts)
        self._start, self._last, self._fetched = self._moment(), None, 0
        self._seeded = made and self._next_seeded
        own = self.loader.generator
        if made and not self._next_seeded:
            self.loader.generator = (
                torch.Generator()
            )  # the run that is taken up drew no seed here: its workers lived on
        try:
            return begin()
        finally:
            self.loader.generator = own
            self._next_seeded = True

    def _fetch(self, fetch: Any) -> Any:
        if self._goal is not None and self._goal.last is not None and self._fetched + 1 == self._goal.fetched:
            generators.put_globals(self._goal.last.drawn)
            self.parts.put(self._goal.last.parts)
        before = self._moment() if not self.loader.num_workers else Moment(generators.globals_state(), Inner())
        batch = fetch()
        self._last, self._fetched = before, self._fetched + 1
        if self.after is not None:
            self.after = generators.globals_state()
        return batch


def collator_of(loader: Any) -> Any:
    """Return a loader's collator, even if it is watched."""
    return loader.collate_fn.inner if isinstance(loader.collate_fn, _Noting) else loader.collate_fn


class _Watched:
    """An iterator of a DataLoader that reports to the watch."""

    def __init__(self, watch: LoaderWatch, inner: Any) -> None:
        self._watch, self._inner = watch, inner

    def __iter__(self) -> "_Watched":
        return self

    def __next__(self) -> Any:
        return self._watch._fetch(lambda: next(self._inner))

    def __len__(self) -> int:
        return len(self._inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _reset(self, loader: Any, first_iter: bool = False) -> None:
        self._watch._begun(lambda: self._inner._reset(loader, first_iter), made=False)


class _Noting:
    """A collator that notes in shared memory whether a worker's items draw random numbers or change their dataset."""

    def __init__(self, inner: Any, strayed: Any) -> None:
        self.inner, self._strayed = inner, strayed
        self._mark: Any = None

    def __call__(self, rows: Any) -> Any:
        batch = self.inner(rows)
        mark = self._seen()
        if mark is not None and self._mark is not None and mark != self._mark:
            self._strayed.fill_(1)
        self._mark = mark
        return batch

    def _seen(self) -> Any:
        """Return a mark of this worker's state; None in the main process, where training draws too.

        The first batch is not compared: it may create what items need. What draws only there draws nothing later.
        """
        from ckptkit_torchdata.walk import look
        from torch.utils.data import get_worker_info

        worker = get_worker_info()
        if worker is None:
            return None
        seen = look({"dataset": worker.dataset, "collate": self.inner})
        states = {place: generators.capture(item) for place, item in seen.generators.items()}
        slots = {place: {key: repr(slot) for key, slot in entries.items()} for place, entries in seen.slots.items()}
        return generators.globals_fingerprint(), states, slots

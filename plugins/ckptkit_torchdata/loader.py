"""A torch DataLoader that a training run can put down and take up again at the very next batch."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal, Self

from ckptkit.errors import BackendError, UsageError
from ckptkit_torchdata import generators
from ckptkit_torchdata import states as part_states
from ckptkit_torchdata.between import BetweenBatches
from ckptkit_torchdata.definition import draws_at_once, fields_of, is_iterable, length_of
from ckptkit_torchdata.loader_kinds import is_data_loader, is_stateful
from ckptkit_torchdata.loader_parts import LoaderParts, of_samplers
from ckptkit_torchdata.order import NotedOrder, iterate
from ckptkit_torchdata.place import Holder, Place, is_over, with_what_is_not_here
from ckptkit_torchdata.state_file import Position

Skip = Literal["refetch", "sampler"]
_LOG = logging.getLogger("ckptkit_torchdata")


class ResumableLoader:
    """Iterates a ``torch.utils.data.DataLoader`` and can return to where it is.

    It is its own iterator over the rest of the current epoch: a second ``for`` loop goes on where the first was left,
    and after the end of an epoch the next loop begins the next one. Count with ``epoch`` and ``batches_seen``::

        data = ResumableLoader(make_loader)
        for epoch in range(data.epoch, 10):
            for batch in data:
                ...
                store.save(run, step, {"policy": policy, "data": data, "rng": GlobalRng()})

    A load only notes the place. The first ``next`` after it goes there: it puts the generators back as they were before
    this epoch's ``iter(loader)``, starts the epoch again, fetches and drops as many batches as had been given, and
    then leaves the global generators exactly as it found them. So it does not matter when ``GlobalRng`` is restored.
    Batches that workers had prefetched are fetched again by it, none is lost or repeated.

    Persistent workers are started afresh for each epoch: their generators would otherwise depend on all epochs before.
    The batches are then the same with and without ``persistent_workers``.

    Args:
        loader: a function that returns a new DataLoader at each call, always of the same definition; or a DataLoader.
            Only with a function can a save predict the next batches: it is called once for each probe.
        skip: ``refetch`` fetches the batches that were given again and drops them: right for any loader, and as long as
            fetching them takes. ``sampler`` only passes over their indices. It is exact without workers (what items
            draw comes from generators that are put back), and with workers if ``random_items=False``.
        random_items: False promises that an item depends on its index and the epoch alone, not on the generators of a
            worker process.
        ignore: places in dataset, collator and samplers that hold no state, such as a cache: ``["dataset.cache"]``.
        version: text that says which data this is (a digest of the files); a load refuses another one.

    Raises:
        UsageError: the loader is not a DataLoader, or ``skip`` would not be exact.
    """

    def __init__(
        self,
        loader: Any,
        *,
        skip: Skip = "refetch",
        random_items: bool = True,
        version: str | None = None,
        ignore: Sequence[str] = (),
    ) -> None:
        made = not is_data_loader(loader) and callable(loader)
        self.loader_factory: Callable[[], Any] | None = loader if made else None
        self.loader: Any = loader() if made else loader
        if not is_data_loader(self.loader):
            raise UsageError(f"a {type(self.loader).__name__} is not a torch DataLoader", hint="hand over a DataLoader")
        if skip not in ("refetch", "sampler"):
            raise UsageError(f"skip is {skip!r}", hint="use 'refetch' or 'sampler'")
        if skip == "sampler" and is_iterable(self.loader):
            raise UsageError("skip='sampler' passes over indices, and an IterableDataset has none", hint="refetch")
        if skip == "sampler" and self.loader.num_workers and random_items:
            raise UsageError(
                "skip='sampler' with workers does not restore their generators",
                hint="use skip='refetch', or promise random_items=False",
            )
        self.skip, self.random_items, self.version, self.ignore = skip, random_items, version, tuple(ignore)
        self.parts = LoaderParts(self.loader, self.ignore)
        self.built = fields_of(self.loader, version=version)
        self.repeated: dict[tuple[int, int], bool] = {}
        self.between = BetweenBatches(self.loader)
        self._pending: Place | None = None
        self._reset(Place())

    def _reset(self, place: Place) -> None:
        self._place = place
        self._iterator: Iterator[Any] | None = None
        self._noted: NotedOrder | None = None
        self._ended = False
        self._failure: BaseException | None = None
        self._ahead: deque[Any] = deque()
        self.last: tuple[Any] | tuple[()] = ()

    @property
    def epoch(self) -> int:
        """Epochs that have ended."""
        return self._at.epoch

    @property
    def batches(self) -> int:
        """Batches given in this epoch."""
        return self._at.batches

    @property
    def batches_seen(self) -> int:
        """Batches given in all epochs."""
        return self._at.batches_seen

    @property
    def pending(self) -> bool:
        """Whether the next ``next`` has to finish a load."""
        return self._pending is not None

    @property
    def begun(self) -> bool:
        """Whether the epoch has begun, so that a resume has to pass over the start of it again."""
        return self._at.start is not None

    @property
    def _at(self) -> Position:
        return (self._pending or self._place).position

    def __len__(self) -> int:
        """Return the batches of a whole epoch, as the DataLoader counts them."""
        return len(self.loader)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        """Return the next batch; StopIteration at the end of the epoch, after which the next one begins.

        Raises:
            BackendError: the place of a load cannot be reached, because a second pass gives another order.
        """
        if self._pending is not None:
            self._take_up(self._pending)
        self.between.look(begun=self.begun)
        if self._iterator is None and not self._ended:
            self._begin()
        try:
            batch = self._fetch()
        except StopIteration:
            at = self._place.position
            self._reset(Place(Position(epoch=at.epoch + 1, batches_seen=at.batches_seen)))
            self.between.begin()
            raise
        finally:
            self.between.rest()
        self._count(batch)
        return batch

    def place(self) -> Place:
        """Return where the loader is, apart from itself; changes nothing and draws nothing."""
        if self._pending is not None:
            waiting = self._pending
            now = with_what_is_not_here(self.parts.taken(), waiting.position.now)
            return replace(waiting, position=replace(waiting.position, now=now))
        at, kept = self._place.position, self._place.states
        if at.start is None:
            kept = part_states.states_of(self.loader)
        elif is_stateful(self.loader) and self._iterator is not None:
            kept = {"loader": self.loader.state_dict()}
        order = self._noted.digest if self._noted is not None else at.order
        interleaved = self._place.interleaved or (self._noted is not None and self._noted.interleaved)
        now = self.parts.taken()
        counts = (at.epoch, at.batches, at.batches_seen)
        return Place(Position(*counts, order=order, globals=at.globals, start=at.start, now=now), kept, interleaved)

    def refusal(self, place: Place) -> str | None:
        """Return why the loader could not go to a place, or None."""
        for name in place.states:
            if not part_states.takes_state(self.loader if name == "loader" else getattr(self.loader, name, None)):
                return f"{name}: the one that was saved had a state_dict, this one has none"
        states = [state for state in (place.position.start, place.position.now) if state is not None]
        return next(
            (why for one in states if (why := self.parts.refusal(one, told=place.interleaved)) is not None), None
        )

    def go_to(self, place: Place) -> None:
        """Make the next ``next`` continue from a place; raises BackendError, and changes nothing, if it does not fit.

        Generators and attributes are put back at once, so that the loop may change them before that ``next``.
        """
        if (reason := self.refusal(place)) is not None:
            raise BackendError(f"torch-data: {reason}", hint="build the loader as it was at the save")
        self._pending = None
        if place.position.start is None:
            part_states.put_states(self.loader, place.states)
            _tell(self.parts.put(place.position.now))
            self._reset(place)
        else:
            self._reset(Place())
            self.parts.put(place.position.now)
            self._pending = place
        self.between.begin(told=place.told)
        self.between.rest()

    def go_there_now(self) -> None:
        """Finish a load without waiting for the next ``next``; the global generators stay as they are."""
        if self._pending is not None:
            self._take_up(self._pending)

    def twin(self) -> "ResumableLoader":
        """Return a second loader from the factory, at the same place. Raises UsageError if there is no factory."""
        if self.loader_factory is None:
            raise UsageError("there is no function that builds a second loader")
        return ResumableLoader(
            self.loader_factory,
            skip=self.skip,
            random_items=self.random_items,
            version=self.version,
            ignore=self.ignore,
        )

    def peek(self, count: int) -> list[Any] | None:
        """Return the batches that will be given next, fewer at the end of the epoch; None where looking would disturb.

        Workers fetch in processes of their own, so fetching earlier draws nothing here; the batches are kept.
        """
        apart = self.loader.num_workers and not is_stateful(self.loader) and draws_at_once(self.loader)
        if not apart or (self._iterator is None and not self._ended) or self._ends_early(count):
            return None
        while self._iterator is not None and len(self._ahead) < count and not self._ended and self._failure is None:
            try:
                self._ahead.append(next(self._iterator))
            except StopIteration:
                self._ended = True
            except Exception as error:  # it belongs to the step that would have met it
                self._failure = error
        return list(self._ahead)[:count] if self._failure is None else None

    def _ends_early(self, count: int) -> bool:
        """Return whether looking ahead would end the sampler sooner, and so its last draw from its generator."""
        if not of_samplers(self._place.position.start):
            return False
        asked, length = self.batches + self.loader.num_workers * self.loader.prefetch_factor, length_of(self.loader)
        return length is None or asked <= length < asked + count

    def _begin(self, *, skip: int = 0) -> None:
        at = self._place.position
        kept = {} if is_stateful(self.loader) else part_states.states_of(self.loader)
        start = Position(
            at.epoch,
            at.batches,
            at.batches_seen,
            globals=generators.globals_state(),
            start=self.parts.taken(),
        )
        self._place = Place(start, kept, self._place.interleaved)
        self._iterator, self._noted = iterate(self.loader, skip=skip)

    def _fetch(self) -> Any:
        if self._ahead:
            return self._ahead.popleft()
        if self._failure is not None:
            error, self._failure = self._failure, None
            raise error
        if self._ended or self._iterator is None:
            raise StopIteration
        watched = is_iterable(self.loader) and not self.loader.num_workers and self._place.position.batches
        before = generators.globals_fingerprint() if watched else None
        batch = next(self._iterator)
        if before is not None and generators.globals_fingerprint() != before:
            self._place = Place(self._place.position, self._place.states, interleaved=True)
        return batch

    def _count(self, batch: Any) -> None:
        at = self._place.position
        if self._noted is not None:
            self._noted.given()
        counted = Position(at.epoch, at.batches + 1, at.batches_seen + 1, None, at.globals, at.start)
        self._place = Place(counted, self._place.states, self._place.interleaved)
        self.last = (batch,)

    def _take_up(self, place: Place) -> None:
        at = place.position
        now = with_what_is_not_here(self.parts.taken(), at.now)
        with generators.undisturbed():
            try:
                if is_stateful(self.loader):
                    self._take_up_stateful(place)
                elif is_over(self.loader, place):
                    self._reset(place)
                    self._ended = True
                else:
                    self._go_again(place)
                _tell(self.parts.put(now))  # iter() drew a seed that the run had drawn before
            except BaseException:
                self._reset(Place())
                raise
        self._pending = None
        self.between.rest()

    def _take_up_stateful(self, place: Place) -> None:
        self._reset(place)
        part_states.put_states(Holder(self.loader), place.states)
        self._iterator = iter(self.loader)

    def _go_again(self, place: Place) -> None:
        at = place.position
        assert at.globals is not None
        assert at.start is not None
        generators.put_globals(at.globals)
        self.parts.put(at.start)
        part_states.put_states(self.loader, place.states)
        self._reset(Place(Position(epoch=at.epoch, batches_seen=at.batches_seen - at.batches)))
        self._begin(skip=at.batches if self.skip == "sampler" else 0)
        reached = 0
        if self.skip == "sampler" and self._noted is not None:
            self._noted.drop()
            reached = self._noted.skipped
        with suppress(StopIteration):
            while reached < at.batches:
                self._count(self._fetch())
                reached += 1
        self.last = ()
        order = None if self._noted is None else self._noted.digest
        if reached < at.batches:
            self._other_pass(place, f"the epoch ends after {reached} of {at.batches} batches")
            self._ended = True
        elif at.order is not None and order != at.order:
            self._other_pass(place, f"the first {at.batches} batches have other indices than those that were given")
        self._place = Place(at, place.states, place.interleaved or self._place.interleaved)

    def _other_pass(self, place: Place, reason: str) -> None:
        """Refuse a pass that is not the first one, unless the save said that it would not be."""
        text = f"torch-data: a second pass over the epoch differs from the first: {reason}"
        if not place.interleaved:
            hint = "dataset and sampler must be those of the save; give them a state_dict if they hold more"
            raise BackendError(text, hint=hint)
        _LOG.warning("%s; it goes on with what this pass gives, as the save said", text)


def _tell(lost: list[str]) -> None:
    if lost:
        _LOG.warning("torch-data: nothing to put its state into: %s", ", ".join(lost))

"""The backend ``numpy-rng``: random generators as one strict JSON file, rng.json, judged before NumPy sees it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from ckptkit.backend import Captured, CheckContext, LoadContext, Problem, Proof, SaveContext, SavedItem, SnapshotContext
from ckptkit.errors import BackendError, DamagedError, NewerFormatError
from ckptkit_numpy import live, live_trees, rng_file, sequences, summary, trainers
from ckptkit_numpy import probe as prober
from ckptkit_numpy.containers import Shapes
from ckptkit_numpy.global_rng import GlobalRng, RngSnapshot, is_global_item, live_tree_of
from ckptkit_numpy.opening import opened
from ckptkit_numpy.rng_file import FILE_NAME, Content
from ckptkit_numpy.trees import first_difference, leaves, place

_MOST_PROBLEMS = 100


class NumpyRngBackend:
    """Saves NumPy generators, bit generators, RandomState, SeedSequence, random.Random, torch.Generator, JAX keys.

    Also containers of them: dicts, lists, tuples, named tuples, dataclasses (with plain fields beside the generators).
    JAX keys are values: a new one takes the place of the old one, so they must stand in a dict, list or dataclass.

    A ``GlobalRng`` is saved by it too, as an ambient item. The file holds NumPy's own ``.state`` dictionaries, with
    the spawn counter beside them; integers beyond 2**53 - 1 are decimal text.

    What ``load`` does with a target: states go in place. What a container has more, less or otherwise becomes what was
    saved, since training may have changed it, and is told in ``context.notes``; a generator that is the item itself
    must be of the saved type, and a tuple or dataclass that is, of the saved length or fields. The spawn counter of a
    target that was built from the same seed is advanced in its own SeedSequence; otherwise its SeedSequence is replaced
    (NumPy 2; refused on NumPy 1). Without a target new generators are returned (tuples as lists, dataclasses and named
    tuples as dicts), or for the global ones an ``RngSnapshot``, and nothing in the process changes.
    """

    name: ClassVar[str] = "numpy-rng"
    format_version: ClassVar[int] = rng_file.FORMAT_VERSION
    looks_for: ClassVar[str] = "a JSON file of generator states"

    def can_save(self, item: object, /) -> bool:
        """Return whether the object is a generator, a container of generators, or a GlobalRng."""
        return isinstance(item, (GlobalRng, RngSnapshot)) or live_trees.holds_generators(item)

    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        """Write rng.json.

        Raises:
            BackendError: a generator is not of a known type, or its state breaks the rules that loading will apply.
        """
        return _captured(item, probe=context.probe).write(directory, context=context)

    def snapshot(self, item: Any, /, *, context: SnapshotContext) -> "_State":
        """Take the states out: they are small.

        Raises:
            BackendError: see ``save``.
        """
        return _captured(item, probe=context.probe)

    def load(self, directory: Path, *, target: Any | None, context: LoadContext) -> Any:
        """Return the target in the saved state, or new generators.

        Raises:
            DamagedError: a field of the file is not valid; nothing was given to NumPy.
            BackendError: what no container holds differs, or a library is missing; the target is unchanged.
        """
        content = rng_file.validated(directory, context.files)
        shapes = Shapes.read(context.metadata.get("containers"))
        if target is None:
            new = live_trees.build_tree(content.tree)
            _share(new, context)
            new = new if shapes is None else shapes.ordered(new)
            if content.is_global:
                return RngSnapshot(new, is_global=True)
            return new if content.foreign else new["generators"]
        if isinstance(target, GlobalRng) != content.is_global:
            raise BackendError(
                f"the checkpoint has {'the global' if content.is_global else 'named'} generators, not the other kind",
                hint="load global generators into a GlobalRng(), and named ones into the same dict, list or generator",
            )
        if isinstance(target, GlobalRng):
            built = context.metadata.get("built")
            notes = target.put(content.tree, shapes, built if isinstance(built, Mapping) else None)
        elif content.foreign:
            notes = live_trees.put_tree(*_matched(content, target))
        else:
            notes = live_trees.put_tree(content.tree, {"generators": target}, shapes)
        context.notes.extend([*notes, *_share(live_tree_of(target), context)])
        return target

    def check(self, directory: Path, *, context: CheckContext) -> Iterator[Problem]:
        """Yield each field of the file that is not valid, in plain Python."""
        name = rng_file.file_of(context.files)
        if not (directory / name).is_file():
            yield Problem("rng-file-missing", "the file with the states of the generators is missing", file=name)
            return
        try:
            content = rng_file.read(directory, context.files)
            rng_file.refuse_newer(content, name)
        except NewerFormatError as error:
            yield Problem("rng-format-newer", str(error).removeprefix(f"{name}: "), file=name)
        except DamagedError as error:
            yield Problem("rng-state-invalid", str(error).removeprefix(f"{name}: "), file=name)
        else:
            for fault in islice(rng_file.faults(content), _MOST_PROBLEMS):
                yield Problem("rng-state-invalid", fault, file=name)

    def recognise(self, path: Path, /) -> Mapping[str, Path] | None:
        """Return the file if it is a JSON file with states of generators, ours or dumped from NumPy, or None.

        A folder is recognised when its only content is such a file named rng.json.
        """
        try:
            if path.is_dir():
                if [entry.name for entry in islice(path.iterdir(), 2)] != [FILE_NAME]:
                    return None
                path = path / FILE_NAME
            if path.suffix != ".json" or not path.is_file() or path.stat().st_size > rng_file.MAX_BYTES:
                return None
            data = path.read_bytes()
            if b'"bit_generator"' not in data and rng_file.FORMAT.encode() not in data:
                return None
        except OSError:
            return None
        try:
            content = rng_file.from_bytes(data)
        except DamagedError:  # the check says it, of what was meant to be one
            return {path.name: path} if rng_file.begins_as_one(data) else None
        return {path.name: path} if rng_file.is_own(content) or rng_file.tree_of(content) else None

    def describe(self, directory: Path, *, context: CheckContext) -> SavedItem:
        """Return which generators the file holds, and what a foreign file lacks.

        Raises:
            DamagedError: a field of the file is not valid.
        """
        content = rng_file.validated(directory, context.files)
        return SavedItem(
            metadata={"kind": _kind(content.is_global), "generators": summary.generators_in(content.tree)},
            captured=trainers.DUMPED.captured(trainers.names(content.tree)),
            hazards=list(summary.foreign_hazards(content.tree)) if content.foreign else [],
            ambient=content.is_global,
        )

    def prove(self, directory: Path, *, context: LoadContext) -> Proof:
        """Load into new generators and compare what they draw with what was predicted at save."""
        if context.probe is None:
            return Proof("unproven", "no proof was recorded at save")
        return prober.replay(rng_file.validated(directory, context.files).tree, context.probe)

    def digests(self, item: Any, /) -> Mapping[str, str]:
        """Return the digest of each generator's state, by its place."""
        return prober.state_digests(live_trees.capture_tree(live_tree_of(item)))

    def estimate_bytes(self, item: Any, /) -> int:
        """Return about how many bytes rng.json will have."""
        return summary.estimated_bytes(live_tree_of(item))


@dataclass(frozen=True, slots=True)
class _State:
    """The states of generators, apart from these: the file, and what there is to say of it."""

    data: bytes
    said: SavedItem

    def write(self, directory: Path, *, context: SaveContext) -> SavedItem:
        """See ``Pending.write``."""
        with context.create(directory / FILE_NAME) as stream:
            stream.write(self.data)
        return self.said


def _captured(item: Any, *, probe: bool) -> _State:
    tree, is_global = live_tree_of(item), is_global_item(item)
    captured = live_trees.capture_tree(tree)
    content = rng_file.new_state(_kind(is_global), captured)
    data = rng_file.to_bytes(content)
    found = next(rng_file.faults(rng_file.from_bytes(data)), None)
    if found is not None:
        raise BackendError(f"the state could not be loaded again: {found}", hint="seed the generator again")
    shapes = _shapes_of(item)
    odd = [place(path) for path, leaf in live_trees.live_leaves(tree) if live.has_foreign_sequence(leaf)]
    lost = [f"{name}: its seed sequence is of a class of its own, so spawn() is not saved" for name in odd]
    said = SavedItem(
        metadata={
            "kind": _kind(is_global),
            "generators": summary.generators_in(captured),
            "versions": summary.library_versions(),
            "sequences": sequences.shared(tree),
            **({"containers": shapes.rows_as_json()} if shapes is not None else {}),
            **({"built": item.built} if isinstance(item, GlobalRng) and item.said() != item.built else {}),
        },
        hazards=list(shapes.hazards()) if shapes is not None else [],
        captured=Captured("partial" if lost else "complete", lost),
        probe={**prober.predict(tree), "digests": prober.state_digests(captured)} if probe else None,
        ambient=is_global,
    )
    return _State(data, said)


def _shapes_of(item: Any) -> Shapes | None:
    """Return the containers of an item; a snapshot has only copies in plain ones, which say nothing."""
    if isinstance(item, RngSnapshot):
        return None
    return Shapes.of({"generators": item.generators if isinstance(item, GlobalRng) else item})


def _share(tree: Any, context: LoadContext) -> list[str]:
    """Let generators share their seed sequences as at the save, where it said so."""
    groups = context.metadata.get("sequences")
    return [] if groups is None else sequences.share(tree, groups)


def _kind(is_global: bool) -> str:
    return "global" if is_global else "generators"


def _matched(content: Content, target: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a foreign tree and its target; a file with one state also fits a lone generator.

    Raises:
        BackendError: they differ: another program wrote the file, so nothing says that training changed the target.
    """
    found = list(leaves(content.tree).values())
    tree = found[0] if len(found) == 1 and live.kind_of(target) is not None else content.tree
    difference = first_difference(tree, live_trees.capture_tree(opened(target)))
    if difference is not None:
        raise BackendError(difference, hint="build the same generators as at the save, or load without a target")
    return {"generators": tree}, {"generators": target}

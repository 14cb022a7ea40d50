"""Table of exact resume for tf.data: pipeline by pipeline, bytes, milliseconds, probe share; or why it is refused.

    python benchmarks/exact_resume_tfdata.py [--records N]

Three processes: one takes batches from each pipeline without a break; one takes the first part, saves, and is killed
by SIGKILL; one loads all of that into new iterators and takes the rest, over the end of an epoch. *Exact* is: equal
digests of all batches. Prints Markdown.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
from ckptkit_tfdata import PersistentIterator, TfDataBackend
from ckptkit_tfdata.indexed import IndexedRecords, shuffled_indices, without_read_ahead

from ckptkit.backend import LoadContext, SaveContext
from ckptkit.errors import CkptkitError

Data = tf.data.Dataset
BACKEND = TfDataBackend()
FIRST, REST, REPEATS = 30, 60, 5
RECORD = 12_000  # bytes


def double(x: Any) -> Any:
    return x * 2


def pipelines(folder: Path, records: int) -> dict[str, Callable[[], Any]]:
    shards = [str(folder / f"part-{i}.tfrecord") for i in range(4)]
    for i, shard in enumerate(shards):
        if not Path(shard).exists():
            with tf.io.TFRecordWriter(shard) as writer:
                for row in range(records // 4):
                    writer.write(random.Random(f"{i}:{row}").randbytes(RECORD))
    base = Data.range(200)

    def sampled() -> Any:
        return Data.sample_from_datasets([base.repeat(), base.map(double).repeat()], weights=[0.3, 0.7], seed=5).batch(
            4
        )

    def parallel() -> Any:
        return base.shuffle(50, seed=3).map(double, num_parallel_calls=4).repeat().batch(4)

    def shuffled_records() -> Any:
        return tf.data.TFRecordDataset(shards).shuffle(records, seed=1).repeat().batch(32)

    def interleaved() -> Any:
        return Data.range(8).interleave(lambda x: Data.range(20).map(lambda y: x * 100 + y), cycle_length=3)

    def indexed() -> Any:
        found = IndexedRecords(shards)
        return without_read_ahead(shuffled_indices(len(found), seed=1).flat_map(found.at).batch(32))

    def with_variable() -> Any:
        counter = tf.Variable(0, dtype=tf.int64)
        return base.map(lambda x: x + counter.assign_add(1)).repeat().batch(4)

    return {
        "range, shuffle(seed), repeat, batch, prefetch": lambda: base.shuffle(50, seed=1).repeat().batch(4).prefetch(2),
        "map": lambda: base.map(double).repeat().batch(4),
        "map in parallel, shuffle(seed)": parallel,
        "interleave": lambda: interleaved().repeat().batch(4),
        "sample_from_datasets(seed)": sampled,
        "cache, shuffle(seed)": lambda: base.map(double).cache().shuffle(50, seed=2).repeat().batch(4),
        "TFRecord shards": lambda: tf.data.TFRecordDataset(shards).repeat().batch(32),
        f"TFRecord, shuffle({records}, seed)": shuffled_records,
        "the same by shuffled indices, load after": indexed,
        "shuffle without a seed": lambda: base.shuffle(50).repeat().batch(4),
        "deterministic=False": lambda: base.map(double, num_parallel_calls=2, deterministic=False).repeat().batch(4),
        "tf.random in map": lambda: base.map(lambda x: x + tf.random.uniform([], 0, 9, tf.int64)).repeat().batch(4),
        "variable in map": with_variable,
        "py_function": lambda: base.map(lambda x: tf.py_function(lambda y: y, [x], tf.int64)).repeat().batch(4),
        "from_generator": lambda: Data.from_generator(lambda: iter(range(500)), output_types=tf.int64).batch(4),
    }  # fmt: skip


def digest(iterator: PersistentIterator, count: int) -> str:
    hasher = hashlib.sha256()
    for _ in range(count):
        hasher.update(tf.io.serialize_tensor(next(iterator)).numpy())
    return hasher.hexdigest()


def straight(folder: Path, records: int) -> dict[str, Any]:
    found = {}
    for name, factory in pipelines(folder, records).items():
        iterator = PersistentIterator(factory)
        digest(iterator, FIRST)
        found[name] = digest(iterator, REST)
    return found


def interrupted(folder: Path, records: int) -> None:
    said = {}
    for number, (name, factory) in enumerate(pipelines(folder, records).items()):
        iterator = PersistentIterator(factory)
        digest(iterator, FIRST)
        try:
            said[name] = measured(iterator, folder / str(number))
        except CkptkitError as error:
            said[name] = {"refused": error.message}
    (folder / "said.json").write_text(json.dumps(said))
    os.kill(os.getpid(), signal.SIGKILL)


def measured(iterator: PersistentIterator, place: Path) -> dict[str, Any]:
    times: dict[bool, list[float]] = {False: [], True: []}
    for repeat in range(REPEATS):
        for probe in (False, True):
            folder = place / f"{repeat}-{probe}"
            folder.mkdir(parents=True)
            begun = time.perf_counter()
            item = BACKEND.save(iterator, folder, context=SaveContext(step=FIRST, probe=probe))
            times[probe].append(time.perf_counter() - begun)
    size = sum(p.stat().st_size for p in folder.iterdir())
    without, with_probe = (1000 * statistics.median(times[probe]) for probe in (False, True))
    grade = [item.captured.grade, item.captured.reasons]
    return {"folder": str(folder), "bytes": size, "ms": without, "probe": with_probe - without, "grade": grade,
            "hazards": list(item.hazards), "metadata": dict(item.metadata)}  # fmt: skip


def resumed(folder: Path, records: int) -> dict[str, Any]:
    found = {}
    said = json.loads((folder / "said.json").read_text())
    for name, factory in pipelines(folder, records).items():
        if "refused" not in said[name]:
            place = Path(said[name]["folder"])
            files = sorted(p.name for p in place.iterdir())
            context = LoadContext(files, metadata=said[name]["metadata"], factories={"dataset": factory})
            found[name] = digest(BACKEND.load(place, target=None, context=context), REST)
    return found


PARTS: dict[str, Callable[[Path, int], Any]] = {"straight": straight, "interrupted": interrupted, "resumed": resumed}


def in_a_process(part: str, folder: Path, records: int) -> Any:
    command = [sys.executable, __file__, "--records", str(records), "--part", part, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != (-signal.SIGKILL if part == "interrupted" else 0):
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout) if done.stdout else None


def row(name: str, said: dict[str, Any], expected: str, found: str | None) -> list[str]:
    if "refused" in said:
        return [name, f"refused at save: {said['refused']}", "", "", ""]
    grade, reason = said["grade"]
    exact = "yes" if found == expected else "**no**"
    note = "" if grade == "complete" else f"; graded {grade}: {reason}"
    notes = [hazard for hazard in said["hazards"] if hazard.startswith("no probe")]
    share = f"{100 * said['probe'] / (said['ms'] + said['probe']):.0f} %" if not notes else "none: " + notes[0][10:]
    return [name, exact + note, f"{said['bytes'] / 1000:.1f} kB", f"{said['ms']:.0f} ms", share]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=4000, help=f"TFRecords of {RECORD} bytes")
    parser.add_argument("--part", choices=sorted(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(PARTS[options.part](options.folder, options.records)))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        expected = in_a_process("straight", folder, options.records)
        in_a_process("interrupted", folder, options.records)
        found = in_a_process("resumed", folder, options.records)
        said = json.loads((folder / "said.json").read_text())
    head = ["pipeline", "exact", "bytes", "save", "probe: share of the save with it"]
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    wrong = 0
    for name in said:
        cells = row(name, said[name], expected[name], found.get(name))
        print("| " + " | ".join(cells) + " |")
        wrong += cells[1] == "**no**"
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())

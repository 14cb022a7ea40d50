"""Measure whole programs in turns, ours and others that do the same work, so that all of them have the same weather.

Each is a process of its own, start included. Printed are a Markdown table and, in a file or after it, JSON: median,
minimum and maximum of processor time (user and system, of the process and its children) and of the time on the clock,
and the largest memory. *ratio* is the median over the rounds of its processor time to that of the first peer.
"""

import argparse
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any


def nothing() -> None:
    pass


def apart(work: Callable[..., Any], *arguments: object) -> Any:
    """Do it in a process of its own: the memory that this one has counts for every program that it starts."""
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as other:
        return other.submit(work, *arguments).result()


@dataclass(frozen=True)
class Program:
    """One contender.

    Attributes:
        name: in the table.
        command: its argument list.
        before: makes everything ready for one run; not measured.
        environment: variables in addition to those of this process.
        peer: whether it is not ours.
    """

    name: str
    command: Sequence[str]
    before: Callable[[], None] = nothing
    environment: Mapping[str, str] = field(default_factory=dict)
    peer: bool = False


@dataclass(frozen=True)
class Run:
    """What one run took: seconds of processor time, seconds on the clock, and bytes of memory at most."""

    cpu: float
    wall: float
    memory: int


def options(description: str | None, rounds: int) -> argparse.ArgumentParser:
    """Return the options that all these programs have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser


def measured(program: Program) -> Run:
    """Run it once; raises CalledProcessError if it fails."""
    program.before()
    began = time.perf_counter()
    process = subprocess.Popen(
        program.command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", **program.environment},  # users have compiled modules
    )
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, program.command)
    return Run(used.ru_utime + used.ru_stime, wall, used.ru_maxrss << 10)


def compare(work: str, programs: Sequence[Program], args: argparse.Namespace) -> None:
    """Run the programs in turns, after one round that does not count, and print what they took."""
    runs: dict[str, list[Run]] = {program.name: [] for program in programs}
    for number in range(args.rounds + 1):
        for program in programs:
            run = measured(program)
            if number > 0:
                runs[program.name].append(run)
    base = runs[next(program.name for program in programs if program.peer)]
    figures = {name: _figures(several, base) for name, several in runs.items()}
    print(f"\n{work}; {args.rounds} rounds, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print(
        "| program | CPU s | (from - to) | wall s | (from - to) | memory, MiB | ratio |\n|---|---|---|---|---|---|---|"
    )
    for name, found in figures.items():
        cpu, wall = found["cpu_seconds"], found["wall_seconds"]
        print(f"| {name} | {_told(cpu)} | {_told(wall)} | {found['memory_bytes'] >> 20} | {found['cpu_ratio']:.2f} |")
    written = json.dumps({"work": work, "rounds": args.rounds, "programs": figures}, indent=1)
    if args.json is None:
        print(f"\n{written}")
    else:
        args.json.write_text(written + "\n")


def _figures(runs: Sequence[Run], base: Sequence[Run]) -> dict[str, Any]:
    return {
        "cpu_seconds": _spread([run.cpu for run in runs]),
        "wall_seconds": _spread([run.wall for run in runs]),
        "memory_bytes": max(run.memory for run in runs),
        "cpu_ratio": statistics.median(run.cpu / other.cpu for run, other in zip(runs, base, strict=True)),
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    found = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: round(value, 4) for name, value in found.items()}


def _told(spread: Mapping[str, float]) -> str:
    return f"{spread['median']:.2f} | {spread['min']:.2f} - {spread['max']:.2f}"

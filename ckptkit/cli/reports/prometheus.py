"""What a verification found as metrics, in Prometheus's text format, as node_exporter's textfile collector reads it.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import time
from collections import Counter
from collections.abc import Iterable, Sequence

from ckptkit.cli.failing import Failure
from ckptkit.cli.reports.lines import RESULTS, coverage, result
from ckptkit.verification import CheckpointReport, Report

Sample = tuple[dict[str, str], float]


def render(report: Report) -> str:
    """Return the metrics of a verification."""
    runs: dict[str, list[CheckpointReport]] = {}
    for one in report.checkpoints:
        runs.setdefault(one.at.run, []).append(one)
    results = [
        ({"run": run, "result": word}, float(count))
        for run, mine in runs.items()
        for word, count in ((word, Counter(map(result, mine))[word]) for word in RESULTS)
    ]
    good = {run: [one for one in mine if one.good] for run, mine in runs.items()}
    codes = Counter(problem.code for _, problem in report.findings)
    covered = coverage(report)
    return "".join(
        [
            _verdict(report.exit_code),
            _gauge("checkpoints", "Checkpoints that were looked at, by what was found.", results),
            _gauge(
                "last_good_step",
                "Step of the newest checkpoint that verified.",
                (({"run": run}, float(step)) for run, mine in good.items() for step in _steps(mine[-1:])),
            ),
            _gauge(
                "last_good_timestamp_seconds",
                "When the last checkpoint that verified was saved; a run without one has none.",
                (({"run": run}, max(one.saved_at or 0.0 for one in mine)) for run, mine in good.items() if mine),
            ),
            _gauge(
                "rule_met",
                "Whether a rule is met (1) or not (0).",
                (({"run": one.run, "rule": one.rule}, float(one.problem is None)) for one in report.rules),
            ),
            _gauge(
                "findings",
                "Findings that are not in the baseline, by code.",
                (({"code": code}, float(count)) for code, count in sorted(codes.items())),
            ),
            _gauge("read_bytes", "Bytes of payload that were read.", [({}, float(covered["bytes"]))]),
        ]
    )


def failed(failure: Failure) -> str:
    """Return the metrics of a verification that could not be done."""
    return _verdict(failure.exit_code)


def _verdict(code: int) -> str:
    return _gauge("exit_code", "Exit code of the last verification; 0 is good.", [({}, float(code))]) + _gauge(
        "timestamp_seconds", "When the last verification ended.", [({}, time.time())]
    )


def _steps(reports: Sequence[CheckpointReport]) -> Sequence[int]:
    return [one.at.step for one in reports if one.at.step is not None]


def _gauge(name: str, told: str, samples: Iterable[Sample]) -> str:
    full = f"ckptkit_verify_{name}"
    lines = [f"{full}{_labels(labels)} {_number(value)}\n" for labels, value in samples]
    return "".join([f"# HELP {full} {told}\n# TYPE {full} gauge\n", *lines]) if lines else ""


def _labels(labels: dict[str, str]) -> str:
    told: Sequence[str] = [f'{name}="{_escaped(value)}"' for name, value in labels.items()]
    return f"{{{','.join(told)}}}" if told else ""


def _escaped(text: str) -> str:
    safe = text.encode("utf-8", "backslashreplace").decode()
    return safe.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else f"{value:.3f}"

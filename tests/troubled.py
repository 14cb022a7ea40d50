"""Proxies between a client and a server: one over HTTP counts requests, and does to some what networks do."""

import asyncio
import contextlib
import itertools
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

_MOST = 1 << 20  # bytes of a head


@dataclass(frozen=True)
class Seen:
    """A request that came.

    Attributes:
        number: of the request, from 1.
        method: of HTTP.
        path: with its query.
        size: of the body, in bytes.
    """

    number: int
    method: str
    path: str
    size: int


@dataclass(frozen=True)
class Fault:
    """What is done to a request.

    Attributes:
        status: answered in place of the server, which never sees it.
        body: of that answer.
        delay: seconds before it is passed on.
        reset: the connection is cut before it is passed on.
        drop: it is passed on, and the connection is cut in place of the answer.
        truncate: the answer ends after half of its body.
        corrupt: one bit of the request's body is flipped on the way.
    """

    status: int = 0
    body: bytes = b""
    delay: float = 0.0
    reset: bool = False
    drop: bool = False
    truncate: bool = False
    corrupt: bool = False


Decide = Callable[[Seen], Fault | None]


@dataclass
class Proxy:
    """Listens on a port of its own while it is used as a context.

    Attributes:
        port: of the server behind it.
        decide: says what is done to a request; None: it is passed on.
        seen: all that came.
    """

    port: int
    decide: Decide = lambda seen: None
    seen: list[Seen] = field(default_factory=list)

    def __enter__(self) -> "Proxy":
        self._loop = asyncio.new_event_loop()
        # asyncio itself refers to tasks weakly: one that nobody wakes would be collected with its socket open.
        self._serving = set[asyncio.Task[None] | None]()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def own(self) -> int:
        """The port that it listens on."""
        return int(self._server.sockets[0].getsockname()[1])

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_MOST))
        ready.set()
        self._loop.run_forever()
        self._server.close()
        while True:
            # Who came in the last moment has a task then, and what was cut off is closed.
            self._loop.run_until_complete(asyncio.sleep(0.02))
            if not (left := asyncio.all_tasks(self._loop)):
                break
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(task := asyncio.current_task())
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._serving.discard(task)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; returns whether the connection goes on."""
        head = await reader.readuntil(b"\r\n\r\n")
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        if b"expect: 100-continue" in head.lower():
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await _body(reader, head)
        seen = Seen(len(self.seen) + 1, method, path, len(body))
        self.seen.append(seen)
        fault = self.decide(seen) or Fault()
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.reset:
            return False
        if fault.status:
            told = b"" if method == "HEAD" else fault.body
            writer.write(b"HTTP/1.1 %d Trouble\r\ncontent-length: %d\r\n\r\n" % (fault.status, len(fault.body)) + told)
            await writer.drain()
            return True
        if fault.corrupt and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        answer, rest = await self._asked(head, body, method)
        if fault.drop:
            return False
        if fault.truncate:
            writer.write(answer + rest[: len(rest) // 2])
            await writer.drain()
            return False
        writer.write(answer + rest)
        await writer.drain()
        return b"connection: close" not in answer.lower()

    async def _asked(self, head: bytes, body: bytes, method: str) -> tuple[bytes, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=_MOST)
        try:
            writer.write(_without(head, b"expect") + body)
            await writer.drain()
            answer = await reader.readuntil(b"\r\n\r\n")
            while answer.split(b" ", 2)[1] == b"100":
                answer = await reader.readuntil(b"\r\n\r\n")
            empty = method == "HEAD" or answer.split(b" ", 2)[1] in (b"204", b"304")
            return answer, b"" if empty else await _body(reader, answer)
        finally:
            writer.transport.abort()


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
    }
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        parts = []
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            part = await reader.readexactly(size + 2)
            parts.append(line + part)
            if not size:
                return b"".join(parts)
    if b"content-length" in headers:
        return await reader.readexactly(int(headers[b"content-length"]))
    return b"" if head.split(b" ", 1)[0] in _METHODS else await reader.read()


def _without(head: bytes, name: bytes) -> bytes:
    lines = head.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.lower().startswith(name + b":"))


_METHODS = (b"GET", b"HEAD", b"PUT", b"POST", b"DELETE", b"PATCH", b"OPTIONS")


def storm(fault: Fault, times: int, of: str = "") -> Decide:
    """Return a decision that does something to the first requests of a method, or of all."""
    left = [times]

    def decide(seen: Seen) -> Fault | None:
        if left[0] <= 0 or (of and seen.method != of):
            return None
        left[0] -= 1
        return replace(fault)

    return decide


class Cutter:
    """Passes connections on, of any protocol, and cuts some of them after so many bytes to the server.

    Args:
        port: of the server behind it.
        after: how many bytes.
        times: how many connections are cut; the later ones are not.
    """

    def __init__(self, port: int, after: int, times: int) -> None:
        self._port, self._after, self._times = port, after, times
        self.cut = 0

    def __enter__(self) -> "Cutter":
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.own = int(self._listener.getsockname()[1])
        self._open = [self._listener]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for one in self._open:
            one.close()

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            for number in itertools.count():
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                self._open += [client, server]
                self._start(self._pass, client, server, self._after if number < self._times else None)
                self._start(self._pass, server, client, None)

    def _pass(self, source: socket.socket, target: socket.socket, left: int | None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data if left is None else data[:left])
                if left is not None and (left := left - len(data)) <= 0:
                    self.cut += 1
                    break
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

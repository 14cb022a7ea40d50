"""Connections over SSH as ``ssh`` itself would make them: its settings, its keys and agent, its known hosts."""

import logging
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckptkit.storage.objects.service import Unmet

_CHANNELS = 4  # at a time, over one connection; servers allow ten
_ALIVE = 30  # seconds between two signs of life
_CONNECT = 15.0  # seconds


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect to.

    Attributes:
        host: as it was given; settings of ssh may name another one for it.
        port: None: that of the settings, or 22.
        user: None: that of the settings, or the own name.
        password: None: keys and the agent only.
    """

    host: str
    port: int | None = None
    user: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"Address({self.host!r})"


class Channels:
    """SFTP channels over one connection, each used by one thread at a time: paramiko's are not for several.

    Args:
        address: of the server.
        timeout: seconds that an answer may take.
    """

    def __init__(self, address: Address, timeout: float) -> None:
        self._address, self._timeout = address, timeout
        self._free = threading.BoundedSemaphore(_CHANNELS)
        self._lock = threading.Lock()
        self._idle: list[Any] = []
        self._connections: list[Any] = []  # one, or none
        self._process = os.getpid()
        weakref.finalize(self, _close, self._connections)

    @contextmanager
    def use(self) -> Iterator[Any]:
        """Lend a channel; after anything but a plain answer it is closed, and the next one begins anew."""
        with self._free:
            channel = self._taken()
            try:
                yield channel
            except (FileNotFoundError, PermissionError, FileExistsError, Unmet):
                self._give_back(channel)
                raise
            except BaseException:
                with suppress(Exception):
                    channel.close()
                raise
            self._give_back(channel)

    def _taken(self) -> Any:
        with self._lock:
            if self._process != os.getpid():  # a fork has the numbers of the sockets, and must not use them
                self._idle, self._process = [], os.getpid()
                self._connections.clear()
            if not self._connections or not self._connections[0].get_transport().is_active():
                self._idle = []
                _close(self._connections)
                self._connections.append(connected(self._address, self._timeout))
            if self._idle:
                return self._idle.pop()
            channel = self._connections[0].open_sftp()
            channel.get_channel().settimeout(self._timeout)
            return channel

    def _give_back(self, channel: Any) -> None:
        with self._lock:
            self._idle.append(channel)


def _close(connections: list[Any]) -> None:
    while connections:
        with suppress(Exception):
            connections.pop().close()


def connected(address: Address, timeout: float) -> Any:
    """Return a connection.

    A host that is not known is refused, unless the settings say ``StrictHostKeyChecking no`` or ``accept-new``: whoever
    answers in its place would get what is saved.
    """
    import paramiko

    settings = _settings(address.host)
    through = settings.get("proxycommand")
    client = _client(settings)
    try:
        client.connect(
            settings.get("hostname", address.host),
            port=address.port or int(settings.get("port", 22)),
            username=address.user or settings.get("user"),
            password=address.password,
            key_filename=[os.path.expanduser(name) for name in settings.get("identityfile", [])] or None,
            sock=paramiko.ProxyCommand(through) if through else None,
            timeout=min(timeout, _CONNECT),
            banner_timeout=timeout,
            auth_timeout=timeout,
            channel_timeout=timeout,
        )
    except BaseException:
        client.close()
        raise
    client.get_transport().set_keepalive(_ALIVE)
    return client


def _client(settings: Any) -> Any:
    import paramiko

    # it tells failures with a traceback; what they are is told in our own words
    logging.getLogger("paramiko").addHandler(logging.NullHandler())
    client = paramiko.SSHClient()
    for name in settings.get("userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2").split():
        with suppress(FileNotFoundError):
            client.load_system_host_keys(os.path.expanduser(name))
    lenient = settings.get("stricthostkeychecking", "").lower() in ("no", "off", "accept-new")
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy() if lenient else paramiko.RejectPolicy())
    return client


def _settings(host: str) -> Any:
    import paramiko

    path = Path("~/.ssh/config").expanduser()
    if not path.is_file():
        return {}
    return paramiko.SSHConfig.from_path(str(path)).lookup(host)

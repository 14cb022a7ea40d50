"""An object service in memory that counts requests as S3 bills them."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from service_in_memory import ServiceInMemory

from ckptkit.storage.objects.service import Info, Level, Only, Written

PAGE = 1000


class Counting(ServiceInMemory):
    """Counts requests as S3 bills them: each thousand names of a listing is one.

    Like S3, it answers to a write with nothing but the version.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requests: Counter[str] = Counter()
        for name in ("look", "read", "open", "delete", "delete_only", "copy", "unfinished"):
            setattr(self, name, self._counted(name, getattr(self, name)))

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.requests[name] += 1
            return call(*args, **kwargs)

        return counted

    def write(self, key: str, data: bytes, only: Only | None = None) -> Written:
        self.requests["write"] += 1
        written = super().write(key, data, only)
        return Written(written.key, written.size, written.version)

    def level(self, prefix: str) -> Level:
        before, found = self.requests["list"], super().level(prefix)
        self.requests["list"] = before + max(1, -(-(len(found.folders) + len(found.objects)) // PAGE))
        return found

    def below(self, prefix: str) -> Iterator[Info]:
        found = list(super().below(prefix))
        self.requests["list"] += 1 if len(found) <= PAGE else 0
        return self._paged(found) if len(found) > PAGE else iter(found)

    def _paged(self, found: list[Info]) -> Iterator[Info]:
        for number, info in enumerate(found):
            self.requests["list"] += number % PAGE == 0
            yield info

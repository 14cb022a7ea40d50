"""What arrived of what was uploaded: a service is believed once it shows the objects with the sizes that were sent."""

from collections.abc import Mapping, Sequence
from functools import partial

from ckptkit import parallel
from ckptkit.errors import StoreError
from ckptkit.storage.objects.service import Info, Objects, Written

_FEW = 12  # objects: S3 takes as much money for a listing as for so many looks
_THREADS = 12


def seen(objects: Objects, prefix: str, sent: Sequence[Written]) -> list[Info]:
    """Return what the service has of what was written below a prefix; it is asked only where its answers tell less.

    Args:
        objects: the service.
        prefix: nobody else writes below it.
        sent: what was answered to each upload.

    Raises:
        StoreError: something is not there, or is not what was sent.
    """
    unseen = [one.key for one in sent if not isinstance(one, Info)]
    there = _listed(objects, prefix) if len(unseen) > _FEW else _looked_up(objects, unseen)
    return [one if isinstance(one, Info) else _same(one, there.get(one.key)) for one in sent]


def _listed(objects: Objects, prefix: str) -> Mapping[str, Info | None]:
    return {info.key: info for info in objects.below(prefix)}


def _looked_up(objects: Objects, keys: Sequence[str]) -> Mapping[str, Info | None]:
    found = parallel.results([partial(_look, objects, key) for key in keys], _THREADS, lambda count: None)
    return dict(zip(keys, found, strict=True))


def _look(objects: Objects, key: str, told: parallel.Tell) -> Info | None:
    return objects.look(key)


def _same(sent: Written, there: Info | None) -> Info:
    found = "nothing is there" if there is None else f"{there.size} bytes of version {there.version} are there"
    if there is None or (there.size, there.version) != (sent.size, sent.version):
        raise StoreError(
            f"{sent.key}: {sent.size} bytes of version {sent.version} were sent, and {found}", hint="save it again"
        )
    return there

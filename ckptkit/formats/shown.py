"""The old name of ``ckptkit.formats.escaped``, for one more version."""

from typing import TYPE_CHECKING

from ckptkit.formats import escaped
from ckptkit.renamed import new_name

if TYPE_CHECKING:
    pass
else:

    def __getattr__(name: str) -> object:
        new_name(__name__, name, {"shown": "ckptkit.formats.escaped.escaped"})
        return escaped.escaped

"""Who is told what happens to a store: the program's own listeners, then what other distributions record."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ckptkit.events import Event

# A listing tells nobody anything, and takes less time than to import what tells: that is imported when it is needed.
Listener = Callable[["Event"], object]


class Listeners:
    """The listeners of one store object.

    Args:
        listeners: called in this order, in the thread that did what is told, after it was done.
    """

    def __init__(self, listeners: Iterable[Listener] = ()) -> None:
        self._listeners: list[Listener] = []
        self._failed: set[int] = set()
        for listener in listeners:
            self.add(listener)

    def add(self, listener: Listener) -> None:
        """Call one more, after the others; raises TypeError for what cannot be called."""
        if not callable(listener):
            raise TypeError(f"a listener is called with each event; a {type(listener).__name__} cannot be called")
        self._listeners.append(listener)

    def tell(self, make: "Callable[[], Event]") -> None:
        """Tell everybody what happened; nothing that goes wrong with it is raised, as it has been done already.

        Args:
            make: returns the event; not called where nobody listens.
        """
        from ckptkit import recorders

        channels = recorders.told()
        if not channels and not self._listeners:
            return
        try:
            event = make()
        except Exception as error:
            _log("nobody was told what happened", error)
            return
        for channel in channels:  # first: they wait for nobody
            channel.tell(event)
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception as error:
                if id(listener) not in self._failed:
                    self._failed.add(id(listener))
                    name = getattr(listener, "__qualname__", type(listener).__name__)
                    _log(f"listener {name} failed: {event.kind}", error)


def _log(what: str, error: Exception) -> None:
    import logging

    from ckptkit.extensions import reason
    from ckptkit.formats.escaped import escaped
    from ckptkit.manifest.redaction import redact_text

    logging.getLogger("ckptkit").warning("%s: %s", what, redact_text(escaped(reason(error), 300)))

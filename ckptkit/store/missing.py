"""What to say of a checkpoint that is not there because it was removed."""

from ckptkit.errors import NotFoundError
from ckptkit.resume.quoting import quote_word
from ckptkit.storage import Removed, Storage
from ckptkit.store.reference import Ref


def removed(storage: Storage, ref: Ref) -> NotFoundError | None:
    """Return the error for a checkpoint that is in the trash; None where it is not, or where a whole run is meant."""
    if ref.whole or ref.word is not None:
        return None
    found = next((one for one in storage.removed(ref.run) if is_removed(ref, one)), None)
    if found is None:
        return None
    by_ref = ref.name is None and ref.removed is None  # else a path, which may lie in a store that was not opened
    word = str(ref) if by_ref else found.where
    return NotFoundError(
        f"{ref}: was removed on {found.removed_at:%Y-%m-%d at %H:%M} UTC, and is in the trash",
        hint=f"`ckptkit undelete {quote_word(word)}` takes it back",
    )


def is_removed(ref: Ref, one: Removed) -> bool:
    """Return whether something in the trash of the run is what a reference names."""
    if ref.removed is not None:
        return one.key == ref.removed
    return ref.whole or (one.step is not None and ref.step in (None, one.step))

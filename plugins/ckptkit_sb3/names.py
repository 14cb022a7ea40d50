"""What a value is, told by the full names of its classes: the libraries that bring them are not imported for it."""

SCALARS = (bool, int, float, str, type(None))


def full_name(kind: type) -> str:
    """Return ``module.Class`` of a class, or the name that it has in checkpoints since it was moved."""
    saved_as: str | None = vars(kind).get("ckptkit_saved_as")
    return saved_as or f"{module_of(kind)}.{kind.__qualname__}"


def module_of(kind: type) -> str:
    """Return the name of the module of a class; ``?`` for types made by SWIG, which have none."""
    return getattr(kind, "__module__", "?")


def class_name(value: object) -> str:
    """Return ``module.Class`` of a value's class."""
    return full_name(type(value))


def is_kind(value: object, *names: str) -> bool:
    """Return whether a class in the MRO has one of the full names."""
    return any(full_name(c) in names for c in type(value).__mro__)


def is_scalar(value: object) -> bool:
    """Return whether a value is plain in JSON, too, and no container."""
    return type(value) in SCALARS

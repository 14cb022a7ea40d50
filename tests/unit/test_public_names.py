"""`from ckptkit import ...` gives what training code uses, under the same names as the rooms that hold it."""

import inspect

import ckptkit
from ckptkit import errors


def test_every_public_name_is_there() -> None:
    assert [name for name in ckptkit.__all__ if not hasattr(ckptkit, name)] == []
    assert set(ckptkit.__all__) <= set(dir(ckptkit))


def test_every_error_of_the_tree_is_public() -> None:
    tree = {name for name, one in vars(errors).items() if inspect.isclass(one) and issubclass(one, errors.CkptkitError)}
    assert tree == {name for name in ckptkit.__all__ if name.endswith("Error")}


def test_the_names_are_those_of_the_rooms() -> None:
    from ckptkit.retention import RetentionPolicy
    from ckptkit.store import CheckpointStore, Files

    assert (ckptkit.CheckpointStore, ckptkit.Files, ckptkit.RetentionPolicy) == (
        CheckpointStore,
        Files,
        RetentionPolicy,
    )
    assert ckptkit.NotFoundError is errors.NotFoundError


def test_the_python_reference_names_every_public_name() -> None:
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs/reference/python-api.md").read_text(encoding="utf-8")
    assert [name for name in ckptkit.__all__ if f"`{name}" not in text and not name.startswith("_")] == []

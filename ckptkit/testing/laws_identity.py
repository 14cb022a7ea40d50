"""Laws about what a backend is: its name, what it accepts, and that looking at files needs no framework."""

import re
from pathlib import Path
from typing import Any

from ckptkit import extensions
from ckptkit.backend import Backend, SaveContext
from ckptkit.testing.hooks import BackendHooks
from ckptkit.testing.outputs import short
from ckptkit.testing.process import look_from_a_fresh_process

GROUP = "ckptkit.backends"
_NAME = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")


class Evasive:
    """An object of no known kind that raises on every attribute: looking at its type is safe, touching it is not."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"{name} was touched")


class IdentityLaws(BackendHooks):
    """Name, version, entry point, ``can_save``, and imports."""

    def test_the_class_is_a_backend_with_a_name_and_a_version(self) -> None:
        """A class without constructor arguments, with the four methods, a plain name and a version from 1."""
        assert isinstance(self.backend, type), f"backend must be the class, not {short(self.backend)}"
        made = self.backend()
        assert isinstance(made, Backend), f"{self.backend.__name__} lacks a member of ckptkit.backend.Backend"
        name, version = self.backend.name, self.backend.format_version
        assert isinstance(name, str), f"name is {short(name)}, not text"
        assert _NAME.fullmatch(name), f"name {name!r}: use lower-case letters and digits with single '-', '_', '.'"
        assert type(version) is int, f"format_version is {short(version)}, not a whole number"
        assert version >= 1, f"format_version is {version}; it counts from 1"

    def test_the_name_is_its_entry_point(self) -> None:
        """Manifests store the entry-point name, so the class must be what that name finds."""
        found = extensions.installed(GROUP).get(self.backend.name, [])
        assert found, (
            f"no installed distribution has the entry point {self.backend.name!r} in the group {GROUP!r}; "
            "add it to your pyproject.toml and install the project"
        )
        assert len(found) == 1, f"{len(found)} distributions register {self.backend.name!r}: choose another name"
        loaded = found[0].load()
        assert loaded is self.backend, f"the entry point {found[0].value} leads to {short(loaded)}"

    def test_can_save_accepts_its_own_kind(self) -> None:
        """``can_save`` is True for what ``make_item`` makes."""
        item = self.make_item()
        assert self.backend().can_save(item) is True, f"can_save({short(item)}) is not True"

    def test_can_save_refuses_foreign_objects(self) -> None:
        """Refuse, never guess: plain values and strange objects are nobody's item."""
        for item in (object(), 3, "x", None, {}, [], b"x", int, Evasive(), self.foreign_item()):
            try:
                answer = self.backend().can_save(item)
            except Exception as error:
                raise AssertionError(f"can_save(a {type(item).__name__}) raised {type(error).__name__}") from error
            assert answer is False, f"can_save(a {type(item).__name__}) is {short(answer)}, not False"

    def test_save_refuses_a_foreign_object(self, tmp_path: Path) -> None:
        """An item of the wrong kind is a BackendError that says so, not an accident further down."""
        context = SaveContext(step=0, factories=self.factories())
        self.assert_refuses(
            lambda: self.backend().save(self.foreign_item(), tmp_path, context=context), "save() of a foreign object"
        )

    def test_looking_at_files_imports_no_framework_and_unpickles_nothing(self, tmp_path: Path) -> None:
        """Listing and verifying must work, fast and safely, where the framework is not installed."""
        saved = self.save_midway(tmp_path / "item")
        findings = look_from_a_fresh_process(self.backend, saved, self.all_heavy_modules(), tmp_path)
        assert not findings, "\n".join(findings)

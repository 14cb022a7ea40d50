"""Entry points are read from files, and are those that Python itself finds."""

import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from ckptkit import entry_points

GROUPS = ("ckptkit.backends", "ckptkit.commands", "ckptkit.recorders")
TEXT = """\
[console_scripts]
tool = tool:main
[ckptkit.recorders]
# notes = commented:out
notes=my_notes:Recorder
 spaced  =  my.spaced : Outer.Inner [extra]

[other]
notes = other:Thing
"""


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    entry_points._texts.cache_clear()
    yield
    entry_points._texts.cache_clear()


def install(folder: Path, name: str, text: str | None = TEXT, *, kind: str = "dist-info", about: str = "") -> Path:
    info = folder / f"{name}.{kind}"
    info.mkdir(parents=True)
    (info / ("METADATA" if kind == "dist-info" else "PKG-INFO")).write_text(about)
    if text is not None:
        (info / "entry_points.txt").write_text(text)
    return folder


def found(group: str = "ckptkit.recorders") -> set[tuple[str, str, str, str]]:
    return set(entry_points.of_group(group))


def of_python(group: str = "ckptkit.recorders") -> set[tuple[str, str, str, str]]:
    return {(e.name, e.value, e.dist.name, e.dist.version) for e in metadata.entry_points(group=group) if e.dist}


@pytest.mark.parametrize("group", GROUPS)
def test_what_is_installed_here_is_found(group: str) -> None:
    assert found(group) == of_python(group)
    assert group != "ckptkit.backends" or found(group)


@pytest.mark.parametrize("kind", ["dist-info", "egg-info"])
def test_a_text_is_read_as_python_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    about = "Metadata-Version: 2.1\nName: My.Notes\nVersion: 1.0\nSummary: x\n\nName: not this\n"
    monkeypatch.syspath_prepend(install(tmp_path, "my_notes-1.0", kind=kind, about=about))
    assert found() == of_python()
    assert ("notes", "my_notes:Recorder", "My.Notes", "1.0") in found()
    assert len([one for one in found() if one[2] == "My.Notes"]) == 2


def test_of_two_of_a_name_the_one_that_is_imported_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = "Name: my-notes\nVersion: {}\n"
    monkeypatch.syspath_prepend(install(tmp_path / "later", "My_Notes-1.0", about=about.format("1.0")))
    monkeypatch.syspath_prepend(install(tmp_path / "first", "my.notes-2.0", about=about.format("2.0")))
    assert found() == of_python()
    assert {one[3] for one in found() if one[2] == "my-notes"} == {"2.0"}


def test_one_that_cannot_be_read_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "damaged-1.0", about="Name: damaged\nVersion: 1.0\n")
    (tmp_path / "damaged-1.0.dist-info" / "entry_points.txt").write_bytes(b"[ckptkit.recorders]\nx = \xff\n")
    (tmp_path / "empty-1.0.dist-info").mkdir()
    install(tmp_path, "nameless-1.0", "[ckptkit.recorders]\nnameless = a:b\n")
    (tmp_path / "nameless-1.0.dist-info" / "METADATA").unlink()
    monkeypatch.syspath_prepend(tmp_path)
    assert ("nameless", "a:b", "", "") in found()
    assert not any(one[2] == "damaged" for one in found())


def test_what_lies_in_a_zip_is_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as packed:
        packed.writestr("zipped-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: zipped\nVersion: 1.0\n")
        packed.writestr("zipped-1.0.dist-info/entry_points.txt", "[ckptkit.recorders]\nzipped = a:b\n")
    monkeypatch.syspath_prepend(tmp_path / "packed.zip")
    assert ("zipped", "a:b", "zipped", "1.0") in found()
    assert found() == of_python()

"""What `verify` prints of names that are not on the allowlist: a line with a count, or each."""

import json
from pathlib import Path

import pytest
from command_line import inside

from ckptkit import CheckpointStore
from ckptkit.store import Files


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A store with two files that name four classes of somebody's own."""
    folder = tmp_path / "given"
    folder.mkdir()
    for name, kinds in (("one.pkl", "ABC"), ("two.pkl", "D")):
        names = b"".join(b"cmy.nets\nNet%c\n0" % ord(kind) for kind in kinds)
        (folder / name).write_bytes(b"\x80\x02" + names + b"N.")
    CheckpointStore(tmp_path / "store").save("own/run", 1, {"net": Files(folder, "files")})
    return tmp_path / "store"


def test_each_file_is_one_line_with_a_count(place: Path) -> None:
    done = inside("verify", "--format", "tsv", store=place)
    assert done.returncode == 0
    assert [line.split("\t")[-1] for line in done.stdout.splitlines()[1:]] == [
        "would import 3 names that are not on the allowlist: my.nets.NetA and 2 more (--verbose lists them)",
        "would import my.nets.NetD, which is not on the allowlist",
    ]


def test_verbose_names_each(place: Path) -> None:
    done = inside("verify", "--verbose", "--format", "tsv", store=place)
    assert [line.split("\t")[-1] for line in done.stdout.splitlines()[2:5]] == [f"my.nets.Net{k}" for k in "ABC"]


def test_json_names_each(place: Path) -> None:
    (checkpoint,) = json.loads(inside("verify", "--format", "json", store=place).stdout)["checkpoints"]
    assert [problem["names"] for problem in checkpoint["problems"]] == [
        [f"my.nets.Net{k}" for k in "ABC"],
        ["my.nets.NetD"],
    ]


@pytest.mark.parametrize("format_", ["tsv", "json", "junit", "sarif", "github", "gitlab"])
def test_strict_fails_in_every_format(format_: str, place: Path) -> None:
    assert inside("verify", "--strict", "--format", format_, store=place).returncode == 5


def test_strict_passes_what_is_on_the_allowlist(store: Path) -> None:
    assert inside("verify", "--strict", store=store).returncode == 0

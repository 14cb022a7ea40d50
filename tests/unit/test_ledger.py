"""The ledger by itself: what it keeps, and that nothing which happens to its file is an error."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ckptkit.catalog.cache_folder import NAME, ledger_file
from ckptkit.catalog.known import Known
from ckptkit.catalog.ledger import Ledger
from ckptkit.storage import mounts

STORE = "/data/store:803:1f"
KNOWN = Known("format", True, 1.0, "judge", {"manifest.json": (10, 1, 2, 3), "rng/\udcff": (5, 1, 2, 4)}, {"size": 5})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cache" / NAME


@pytest.fixture
def ledger(file: Path) -> Ledger:
    found = Ledger(STORE, file)
    found.note("a/run", "step-00000001", KNOWN)
    return found


def test_what_is_noted_is_known_again_in_another_process(ledger: Ledger, file: Path) -> None:
    script = "import sys; from pathlib import Path; from ckptkit.catalog.ledger import Ledger\n"
    script += f"print(Ledger({STORE!r}, Path(sys.argv[1])).one('a/run', 'step-00000001').facts)"
    done = subprocess.run([sys.executable, "-c", script, str(file)], capture_output=True, text=True, check=True)
    assert done.stdout == "{'size': 5}\n"


def test_nothing_is_known_of_another_store_run_or_checkpoint(ledger: Ledger, file: Path) -> None:
    assert Ledger("/elsewhere:803:1f", file).of_run("a/run") == {}
    assert ledger.of_run("b/run") == {}
    assert ledger.one("a/run", "step-00000002") is None


def test_every_file_that_differs_in_any_part_of_its_stamp_is_told() -> None:
    for place in range(4):
        stamp = list(KNOWN.stamps["manifest.json"])
        stamp[place] += 1
        assert KNOWN.changed({**KNOWN.stamps, "manifest.json": stamp}) == {"manifest.json"}
    assert KNOWN.changed({**KNOWN.stamps, "more": (1, 1, 1, 1)}) == {"more"}
    assert KNOWN.changed({"manifest.json": KNOWN.stamps["manifest.json"]}) == {"rng/\udcff"}
    assert KNOWN.changed(Known.decoded(KNOWN.encoded()).stamps) == set()


def test_what_is_forgotten_is_gone(ledger: Ledger) -> None:
    ledger.note("a/run", "step-00000002", KNOWN)
    ledger.forget("a/run", ["step-00000001"])
    assert ledger.of_run("a/run").keys() == {"step-00000002"}


def test_what_is_noted_together_is_written_also_when_the_block_ends_in_an_error(ledger: Ledger) -> None:
    with contextlib.suppress(RuntimeError), ledger.together():
        ledger.note("a/run", "step-00000002", KNOWN)
        raise RuntimeError
    assert ledger.one("a/run", "step-00000002") is not None


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"", b"SQLite format 3\0"], ids=["garbage", "empty", "cut"])
def test_a_file_that_is_no_database_knows_nothing_and_is_begun_anew(ledger: Ledger, file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert ledger.of_run("a/run") == {}
    ledger.note("a/run", "step-00000001", KNOWN)
    assert ledger.one("a/run", "step-00000001") is not None


def test_a_file_that_was_cut_in_half_never_raises(ledger: Ledger, file: Path) -> None:
    with ledger.together():
        for step in range(200):
            ledger.note("a/run", f"step-{step:08d}", KNOWN)
    os.truncate(file, file.stat().st_size // 2)
    ledger.of_run("a/run")
    ledger.note("a/run", "step-00000001", KNOWN)
    assert ledger.one("a/run", "step-00000001") is not None


def test_a_line_that_was_changed_is_not_believed(ledger: Ledger, file: Path) -> None:
    ledger.note("a/run", "step-00000002", KNOWN)
    base = sqlite3.connect(file)
    base.execute("UPDATE known SET text = replace(text, 'true', 'false') WHERE name = ?", (b"step-00000001",))
    base.commit()
    base.close()
    assert ledger.of_run("a/run").keys() == {"step-00000002"}


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_knowledge(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    ledger = Ledger(STORE, tmp_path / "file" / "cache" / NAME)
    ledger.note("a/run", "step-00000001", KNOWN)
    ledger.forget("a/run", ["step-00000001"])
    assert ledger.of_run("a/run") == {}


def test_a_disk_that_is_full_costs_nothing_but_the_knowledge(ledger: Ledger, file: Path) -> None:
    script = (
        "import resource, sys; from pathlib import Path; from ckptkit.catalog.ledger import Ledger; "
        "from ckptkit.catalog.known import Known\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, 1 << 14))\n"
        f"ledger = Ledger({STORE!r}, Path(sys.argv[1]))\n"
        "for step in range(300): ledger.note('run', str(step), Known('format', True, 1.0, 'j' * 500, {}))\n"
        "print(len(ledger.of_run('run')))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(file)], capture_output=True, text=True, check=True)
    assert 0 <= int(done.stdout) < 300
    assert ledger.one("a/run", "step-00000001") is not None
    ledger.note("run", "later", KNOWN)
    assert ledger.one("run", "later") is not None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_read(ledger: Ledger, file: Path) -> None:
    file.parent.chmod(0o500)
    ledger.note("a/run", "step-00000002", KNOWN)
    assert ledger.of_run("a/run").keys() == {"step-00000001"}
    file.parent.chmod(0o700)


def test_a_file_that_others_may_write_is_not_believed(ledger: Ledger, file: Path) -> None:
    file.chmod(0o666)
    assert ledger.of_run("a/run") == {}


def test_a_file_that_another_process_keeps_locked_is_waited_for_once_and_done_without(
    ledger: Ledger, file: Path
) -> None:
    base = sqlite3.connect(file, isolation_level=None)
    base.execute("BEGIN EXCLUSIVE")
    begun = time.monotonic()
    for _ in range(20):
        assert ledger.of_run("a/run") == {}
        ledger.note("a/run", "step-00000002", KNOWN)
    assert time.monotonic() - begun < 8
    base.execute("ROLLBACK")
    base.close()
    assert ledger.of_run("a/run").keys() == {"step-00000001"}


def test_two_processes_that_write_at_once_lose_nothing(ledger: Ledger, file: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from ckptkit.catalog.ledger import Ledger; "
        "from ckptkit.catalog.known import Known\n"
        f"ledger = Ledger({STORE!r}, Path(sys.argv[1]))\n"
        "for step in range(100): ledger.note('run', f'{sys.argv[2]}-{step}', Known('format', True, 1.0, 'j', {}))"
    )
    running = [subprocess.Popen([sys.executable, "-c", script, str(file), name]) for name in "ab"]
    assert [process.wait(60) for process in running] == [0, 0]
    assert len(ledger.of_run("run")) == 200


def test_a_text_of_another_shape_is_not_believed() -> None:
    for text in ("[]", "{}", "null", "[", KNOWN.encoded()[:-2]):
        with pytest.raises((ValueError, TypeError)):
            Known.decoded(text)
    assert Known.decoded(KNOWN.encoded()) == replace(KNOWN, problems=[])


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb1 /home/me/local\\040disk xfs rw 0 0
systemd-1 /scratch autofs rw 0 0
mds:/scratch /scratch lustre rw 0 0
user@host: /remote fuse.sshfs rw 0 0
/dev/sdc1 /stick vfat rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind", "network", "sound"),
    [
        ("/root/.cache/ckptkit", "ext4", False, True),
        ("/home/me/.cache/ckptkit", "nfs4", True, True),
        ("/homeless", "ext4", False, True),
        ("/home/me/local disk/store", "xfs", False, True),
        ("/scratch/me", "lustre", True, True),
        ("/remote/store", "fuse.sshfs", True, False),
        ("/stick/store", "vfat", False, False),
    ],
)
def test_the_mount_table_tells_what_a_path_is_on(path: str, kind: str, network: bool, sound: bool) -> None:
    assert mounts.kind_of(Path(path), MOUNTS) == kind
    assert mounts.is_network(kind) == network
    assert mounts.keeps_time_of_change(kind) == sound


def test_without_a_mount_table_nothing_is_said() -> None:
    assert mounts.kind_of(Path("/data"), "") is None
    assert not mounts.is_network(None)
    assert not mounts.keeps_time_of_change(None)


def test_the_ledger_lies_in_the_cache_folder_of_the_user_but_never_on_a_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert ledger_file({}, "/dev/sda1 / ext4 rw 0 0\n") == tmp_path / "ckptkit" / NAME
    assert ledger_file({}, f"/dev/sda1 / ext4 rw 0 0\nserver:/ {tmp_path} nfs rw 0 0\n") is None
    assert ledger_file({"CKPTKIT_CACHE": "/mine"}, "server:/ / nfs rw 0 0\n") == Path("/mine") / NAME
    assert ledger_file({"CKPTKIT_CACHE": "/mine", "CKPTKIT_NO_CACHE": "1"}, "") is None

"""Tables at 60, 80, 120 and 200 columns: states and numbers whole, names cut in the middle, nothing cut in a pipe."""

import re
from pathlib import Path

import pytest
from command_line import inside
from conftest import write_rng
from rich.cells import cell_len
from terminal import at_terminal

from ckptkit import CheckpointStore, RetentionPolicy
from ckptkit.cli import tables

WIDTHS = (60, 80, 120, 200)
LONG = "experiments/2026-11/halfcheetah-v5/sac-lr3e-4-batch256-seed-0017"
WIDE = "日本語の実験/とても長い名前の実験番号四十二"
COMBINING = "cafe\u0301-re\u0301sume\u0301"
HOSTILE = "two\nlines\x1b[31m"
STEP = 123456789


TABLES = ("list", "list --trash", "prune --keep-last 1", "verify", "backends", "show ppo/run1", "config show")


@pytest.fixture(scope="module")
def long_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    rng = write_rng(folder / "rng.json", 1)
    store = CheckpointStore(folder / "checkpoints")
    store.save(LONG, 7, {"rng": rng})
    for run in (LONG, WIDE, COMBINING, "ppo/run1"):
        store.save(run, STEP, {"rng": rng}, metrics={"loss": 0.005371, "reward": 187.5})
    store.save("ppo/run1", 7, {"rng": rng})
    store.prune(store.plan_prune(RetentionPolicy(keep_last=1), run=LONG))
    damaged = folder / "checkpoints/ppo/run1/step-00000007/rng/rng.json"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b" ")
    (folder / "checkpoints" / HOSTILE / "step-00000001").mkdir(parents=True)
    return folder


def table(*arguments: str, at: Path, width: int) -> list[str]:
    """Return the lines of a table as a terminal of that width shows them."""
    done = inside(*arguments, "--format", "table", cwd=at, env={"COLUMNS": str(width)})
    return done.stdout.splitlines()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("command", TABLES)
def test_no_table_is_wider_than_the_terminal(command: str, width: int, long_names: Path) -> None:
    lines = table(*command.split(), at=long_names, width=width)
    assert len(lines) > 1
    assert max(map(cell_len, lines)) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_step_and_state_are_whole_and_on_one_line_at_every_width(width: int, long_names: Path) -> None:
    heading, *rows = table("list", at=long_names, width=width)
    assert heading.split()[:3] == ["RUN", "STEP", "STATE"]
    assert len(rows) == 6
    for row in rows:
        assert re.search(rf" ({STEP}|[17])  (verified \d+[smhd] ago|unverified|damaged|incomplete)( |$)", row), row
    told = [row for row in rows if "=" in row]
    assert all("loss=0.005371,reward=187.5" in row for row in told), "metrics are whole or left out"
    assert bool(told) == (width == 200)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_result_stays_and_a_name_that_is_cut_keeps_its_step(width: int, long_names: Path) -> None:
    heading, *rows = table("verify", at=long_names, width=width)
    assert heading.split()[:2] == ["CHECKPOINT", "RESULT"]
    results = {row.split()[0]: row.split()[1] for row in rows if not row.startswith("  ")}
    assert results["ppo/run1@7"] == "damaged"
    long = next(name for name in results if name.startswith("experiments/"))
    assert (long == f"{LONG}@{STEP}") == (width > 80)
    assert long.endswith(f"0017@{STEP}")
    assert ("…" in long) == (width <= 80)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_plan_keeps_actions_and_reasons(width: int, long_names: Path) -> None:
    heading, *rows = table("prune", "ppo/run1", "--keep-last", "1", at=long_names, width=width)
    assert heading.split()[:2] == ["ACTION", "CHECKPOINT"]
    flowing = " ".join(" ".join(rows).split())
    assert "damaged: fills no slot" in flowing
    assert f"keep ppo/run1@{STEP}" in flowing


def test_a_name_with_a_newline_and_colours_is_one_plain_line(long_names: Path) -> None:
    for width in WIDTHS:
        lines = table("list", at=long_names, width=width)
        assert len([line for line in lines if r"two\nlines\x1b[31m" in line]) == 1
        assert "\x1b" not in "".join(lines)


def test_nothing_is_cut_or_left_out_in_a_pipe(long_names: Path) -> None:
    for arguments in (["list"], ["list", "--format", "table"], ["verify"], ["prune", "--keep-last", "1"]):
        done = inside(*arguments, cwd=long_names)
        assert "…" not in done.stdout
        assert LONG in done.stdout
        assert "to fit the terminal" not in done.stderr
    assert "loss=0.005371,reward=187.5" in inside("list", "--format", "table", cwd=long_names).stdout


def test_a_person_is_told_what_was_left_out_unless_quiet(long_names: Path) -> None:
    narrow = at_terminal("list", "ppo/run1", cwd=long_names, columns=60)
    assert narrow.code == 0
    assert "\x1b[1mRUN" in narrow.raw
    assert "left out to fit the terminal: ITEMS; CREATED; METRICS; SIZE (--format tsv shows all)" in " ".join(
        narrow.lines
    )
    assert max(len(line) for line in narrow.lines if "@" in line or "verified" in line) <= 60
    for arguments, width in ((["-q", "list"], 60), (["list"], 200)):
        told = inside(*arguments, "--format", "table", cwd=long_names, env={"COLUMNS": str(width)}).stderr
        assert "left out" not in told


def test_the_mark_is_one_that_the_output_can_write(long_names: Path) -> None:
    latin = {"COLUMNS": "60", "PYTHONIOENCODING": "ascii"}
    seen = at_terminal("list", cwd=long_names, columns=60, env=latin)
    assert re.search(r"experiments/\d+\.\.\.\S+-seed-0017", seen.raw)
    assert r"\u2026" not in seen.raw
    rows = [line for line in seen.lines if str(STEP) in line]
    assert len({line.index("verified") for line in rows}) == 1, "columns stand below each other"
    assert max(map(len, rows)) <= 60


def test_a_cut_never_tears_a_letter_from_its_marks_nor_a_wide_one_in_two() -> None:
    for width in range(12, 40):
        for name in (WIDE, COMBINING * 3, f"{LONG}@{STEP}"):
            short = tables.cut(name, width)
            assert cell_len(short) <= width
            if short == name:
                continue
            assert cell_len(short) >= width - 2, "no more is cut out than must be"
            head, tail = short.split("…")
            assert name.startswith(head)
            assert name.endswith(tail)
            assert not tail.startswith("\u0301")
            assert name[len(head) : len(head) + 1] != "\u0301"


def test_prose_is_broken_between_words_and_a_long_word_only_at_the_edge() -> None:
    assert tables.wrapped("one two three", 8) == ["one two", "three"]
    assert tables.wrapped("a 0123456789abcdef b", 8) == ["a", "01234567", "89abcdef", "b"]
    assert tables.wrapped("", 8) == [""]


def test_optional_columns_go_in_their_order_and_a_narrow_one_comes_back() -> None:
    columns, row = ("NAME", "NOTES", "N", "STATE"), ("x" * 10, "y" * 30, "1", "ok")
    for width, left in ((60, []), (40, ["NOTES"]), (22, ["NOTES"]), (18, ["NOTES", "N"])):
        fitted = tables.fitted(columns, [row], width, spare=("NOTES", "N"), names=("NAME",))
        assert list(fitted.left_out) == left, width
        assert max(map(len, fitted.lines)) <= width
        assert not fitted.cut
    narrow = tables.fitted(columns, [row], 12, spare=("N", "NOTES"), names=("NAME",))
    assert list(narrow.left_out) == ["N", "NOTES"]
    assert "ok" in narrow.lines[1]


@pytest.mark.parametrize(
    "command", ["list", "list --trash", "prune --keep-last 1", "verify", "diff ppo/run1@1 ppo/run1@1"]
)
def test_a_table_without_rows_is_its_heading(command: str, tmp_path: Path) -> None:
    if "diff" in command:
        CheckpointStore(tmp_path / "checkpoints").save("ppo/run1", 1, {"rng": write_rng(tmp_path / "rng.json", 1)})
    (tmp_path / "checkpoints").mkdir(exist_ok=True)
    done = inside(*command.split(), "--format", "table", cwd=tmp_path, env={"COLUMNS": "80"})
    assert done.returncode in (0, 4, 5)
    assert "internal error" not in done.stderr

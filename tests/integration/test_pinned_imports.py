"""What each command imports is pinned: start-up is most of what the light commands take, and it grows by itself.

Of ckptkit the rooms count (``store``), of ``cli`` the modules, and all other packages by name. A command that needs
one more gets it here; what it does not need is imported where it is used.
"""

import sys
from collections.abc import Set
from pathlib import Path

import four_kinds
import pytest
from test_no_heavy_imports import RUNNER, loaded_by


def named(words: str) -> frozenset[str]:
    return frozenset(words.split())


ALWAYS = named(
    "annotated_doc blake3 blocks digest entry_points errors extensions formats manifest renamed shellingham typer "
    "cli.anywhere cli.built_in cli.commands cli.completion cli.failing cli.group cli.habits cli.help cli.interrupts "
    "cli.main cli.misuse cli.output cli.pairs cli.plain_values cli.session"
)
LOOKING = ALWAYS | named(
    "catalog cli.naming durable health layouts listeners platformdirs progress scratch storage store"
)
LISTING = LOOKING | named("cli.list_ cli.list_trash cli.progress cli.since cli.unlisted")
PYDANTIC = named("annotated_types pydantic pydantic_core typing_extensions typing_inspection")
MANIFESTS = LOOKING | named("environment problem resume")
CHECKING = MANIFESTS | named("backend cores grades google_crc32c isal parallel registry verification")
JUDGING = CHECKING | named(
    "cli.progress ckptkit_numpy ckptkit_safetensors ckptkit_sb3 ckptkit_tfdata lazy_import pieces recorders"
)
SHOWING = CHECKING | named("cli.portrait cli.show cli.tables cli.tree config")
BACKENDS = LOOKING | named(
    "backend ckptkit_files ckptkit_numpy ckptkit_safetensors ckptkit_sb3 ckptkit_sklearn ckptkit_tfdata "
    "ckptkit_torchdata grades installation isal lazy_import pieces problem registry"
)
PRUNING = JUDGING | named("events cli.prune cli.retention_options retention")

RUN = four_kinds.RUN
PINNED = {
    "--version": ALWAYS,
    "list": LISTING,
    "list --limit 2": LISTING,
    "list --format json": LISTING,
    f"show {RUN}@20": SHOWING,
    f"show {RUN}@20 --format table": SHOWING | {"rich"},
    f"diff {RUN}@10 {RUN}@20": CHECKING | named("cli.changes cli.diff cli.progress cli.tables cli.tree"),
    "find --tensor *.0.weight": MANIFESTS | named("cli.find google_crc32c isal"),
    "verify": JUDGING | named("cli.reports cli.required cli.since cli.verify config rules"),
    "verify --format junit": JUDGING | named("cli.reports cli.required cli.since cli.verify config rules"),
    f"resume-cmd {RUN}": JUDGING | named("cli.resume_cmd cli.telling cli.unlisted config"),
    "prune --keep-last 1": PRUNING,
    "prune --keep-last 1 --apply": PRUNING,
    f"pin {RUN}@10": CHECKING | named("cli.pin config events recorders retention"),
    f"tag {RUN}@10 release": CHECKING | named("cli.pin cli.tag config events recorders retention"),
    "backends": BACKENDS | named("cli.backends"),
    "doctor": BACKENDS | named("cli.doctor config doctor"),
    "config show": LOOKING | PYDANTIC | named("backend cli.config config grades parting problem retention"),
}


def rooms(loaded: Set[str]) -> set[str]:
    """Return the rooms and packages of modules, without Python's own."""
    found = set()
    for name in loaded:
        top, *inner = name.split(".")
        if top == "ckptkit" and inner:
            found.add(".".join(inner[:2] if inner[0] == "cli" else inner[:1]))
        elif top != "ckptkit" and top not in sys.stdlib_module_names and not top.startswith("_"):
            found.add(top)
    return found - {"cli", "sitecustomize"}


@pytest.mark.parametrize("words", PINNED)
def test_a_command_imports_nothing_but_what_is_pinned(words: str, four_kinds_store: Path) -> None:
    found = rooms(loaded_by(RUNNER, "--store", str(four_kinds_store), *words.split()))
    assert sorted(found - PINNED[words]) == [], (
        f"`ckptkit {words}` imports more than it did: import it where it is used"
    )
    assert found >= ALWAYS - {"blake3"}, "nothing was looked at"


def test_pydantic_is_not_imported_for_words_and_numbers(four_kinds_store: Path) -> None:
    loaded = loaded_by(RUNNER, "--store", str(four_kinds_store), "list", RUN, "--limit", "1", "--format", "tsv")
    assert "pydantic" not in loaded


def test_pydantic_is_not_imported_for_a_new_path(four_kinds_store: Path, tmp_path: Path) -> None:
    loaded = loaded_by(RUNNER, "--store", str(four_kinds_store), "restore", RUN, str(tmp_path / "new"))
    assert "pydantic" not in loaded

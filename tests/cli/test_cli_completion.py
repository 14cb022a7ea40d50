"""A shell that asks gets the names of runs, checkpoints and tags of the store that is meant, and never an error."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from command_line import inside as ckptkit

from ckptkit.cli import completion, main


def bash(*words: str, code: int = 0, **how: Path) -> list[str]:
    """Ask as bash does: with the words as it takes them apart, the last one being typed."""
    env = {completion.VARIABLE: "complete_bash", "COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    return answered(env, code, **how)


def zsh(line: str, code: int = 0, shell: str = "zsh", **how: Path) -> list[str]:
    env = {
        completion.VARIABLE: f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    return answered(env, code, **how)


def answered(env: dict[str, str], code: int, store: Path | None = None, cwd: Path | None = None) -> list[str]:
    if store is not None:
        env["CKPTKIT_STORE"] = str(store)
    done = ckptkit(cwd=cwd, env=env)
    assert (done.returncode, done.stderr) == (code, "")
    return done.stdout.splitlines()


REFS = ["a/run", "a/run@3", "a/run@2", "a/run@1", "a/run@latest", "a/run@best"]


@pytest.mark.parametrize("command", ["list", "show", "verify", "pin", "unpin", "tag", "resume-cmd", "restore"])
def test_a_reference_is_completed(command: str, store: Path) -> None:
    shutil.copytree(store / "a", store / "b")
    assert bash("ckptkit", command, "", store=store) == ["a/run", "b/run"]
    assert bash("ckptkit", command, "a", store=store) == REFS
    assert bash("ckptkit", command, "a/run", "@", store=store) == ["@3", "@2", "@1", "@latest", "@best"]
    assert bash("ckptkit", command, "a/run", "@", "la", store=store) == ["@latest"]
    assert bash("ckptkit", command, "a/rum", "@", store=store) == []


@pytest.mark.parametrize("words", [("prune",), ("save",), ("config", "show")])
def test_a_run_is_completed(words: tuple[str, ...], store: Path) -> None:
    assert bash("ckptkit", *words, "", store=store)[0] == "a/run"


def test_every_argument_that_stands_for_names_is_completed(store: Path) -> None:
    group = typer.main.get_command(main.app)
    for name, command in getattr(group, "commands").items():  # noqa: B009 - mypy does not know the class
        for parameter in command.params:
            word = str(parameter.metavar or (parameter.name or "").upper())
            if parameter.param_type_name == "argument" and word.strip("[].") in ("RUN", "REF", "TAG"):
                assert completion._named(parameter, name) is not None, (name, word)


def test_tags_are_completed(store: Path) -> None:
    ckptkit("tag", "a/run@1", "paper", store=store)
    ckptkit("tag", "a/run@2", "my tag", store=store)
    for words in (["list", "--tag"], ["prune", "--keep-tag"], ["save", "--tag"]):
        assert bash("ckptkit", *words, "", store=store) == ["my\\ tag", "paper"]
    assert bash("ckptkit", "list", "--tag", "p", store=store) == ["paper"]
    assert bash("ckptkit", "tag", "a/run", "@", "1", "p", store=store) == ["paper"]


def test_undelete_completes_what_is_in_the_trash(store: Path) -> None:
    ckptkit("prune", "--keep-last", "1", "--apply", store=store)
    assert sorted(bash("ckptkit", "undelete", "a/run", "@", store=store)) == ["@1", "@2"]


def test_commands_and_options_are_completed_as_ever(store: Path) -> None:
    assert bash("ckptkit", "resu", store=store) == ["resume-cmd"]
    assert bash("ckptkit", "list", "--so", store=store) == ["--sort"]
    assert bash("ckptkit", "list", "--sort", "c", store=store) == ["created"]


def test_the_store_is_the_one_that_the_line_names(store: Path, tmp_path: Path) -> None:
    for words in (
        ["--store", str(store), "prune"],
        ["--store", "=", str(store), "prune"],
        ["prune", "--store", str(store)],
    ):
        assert bash("ckptkit", *words, "", cwd=tmp_path) == ["a/run"]
    assert bash("ckptkit", "--store", "/nowhere", "list", "", code=1, store=store) == []
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "ckptkit.yaml").write_text("store: ../store\n")
    assert bash("ckptkit", "prune", "", cwd=tmp_path / "work") == ["a/run"]


def test_names_are_escaped_for_bash_unless_they_stand_in_quotes(store: Path) -> None:
    for name in ("my run", "q$(touch pwned)", "lr=0.1", "xx:y"):
        shutil.copytree(store / "a" / "run", store / name)
    assert bash("ckptkit", "prune", "m", store=store) == ["my\\ run"]
    assert bash("ckptkit", "prune", "my\\ r", store=store) == ["my\\ run"]
    assert bash("ckptkit", "prune", '"my r', store=store) == ["my run"]
    assert bash("ckptkit", "prune", "q", store=store) == ["q\\$\\(touch\\ pwned\\)"]
    assert bash("ckptkit", "prune", "lr", "=", "0", store=store) == ["0.1"]
    assert bash("ckptkit", "prune", "xx", ":", store=store) == ["y"]
    assert bash("ckptkit", "show", "lr", "=", "0.1", "@", store=store) == ["@3", "@2", "@1", "@latest", "@best"]


def test_zsh_and_fish_get_whole_words(store: Path) -> None:
    assert zsh("ckptkit show a/run@", store=store)[0] == '_arguments \'*: :(("a/run@3"'
    assert zsh("ckptkit show a/run@2", store=store) == ["_arguments '*: :((\"a/run@2\"))'"]
    assert zsh("ckptkit show a", shell="fish", store=store) == REFS


@pytest.mark.parametrize(
    "name", ["q\x1b[31m", "q\n$(touch pwned)", "q\\$(touch pwned)", "q'; touch pwned; '", 'q"x', "q\udcff"]
)
def test_a_name_that_a_shell_would_read_as_more_is_not_offered(name: str, store: Path) -> None:
    shutil.copytree(store / "a" / "run", store / os.fsdecode(os.fsencode(name)))
    assert bash("ckptkit", "list", "q", store=store) == []
    assert zsh("ckptkit list q", store=store) == ["_files"]


def test_nothing_that_is_wrong_is_told_while_a_line_is_being_typed(store: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "ckptkit.yaml").write_text("stroe: x\n")
    assert bash("ckptkit", "show", "", code=1, cwd=tmp_path) == []
    assert bash("ckptkit", "show", "", code=1, store=tmp_path / "file") == []
    assert bash("ckptkit", "show", "", code=1, store=Path("s3://bucket/x")) == []
    assert bash("ckptkit", "show", "a@b@c", store=store) == []
    assert bash("ckptkit", "frobnicate", "", store=store) != []
    (store / "a" / "run" / ".ckptkit").mkdir(exist_ok=True)
    (store / "a" / "run" / ".ckptkit" / "refs.json").write_text("{")
    assert bash("ckptkit", "list", "--tag", "", store=store) == []


def test_bash_itself_completes(store: Path, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "ckptkit"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m ckptkit "$@"\n')
    program.chmod(0o755)
    script = (
        f"source <({completion.VARIABLE}=source_bash ckptkit)\n"
        "complete -p ckptkit >/dev/null || exit 1\n"
        "COMP_WORDS=(ckptkit show a/run @ 2) COMP_CWORD=4\n"
        "_ckptkit_completion ckptkit\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    env = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "CKPTKIT_STORE": str(store)}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=env, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "@2\n", "")

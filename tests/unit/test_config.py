"""Configuration files: where they are found, what they may say, and what a person is told when they are off."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from ckptkit.config import Config, RunConfig, find_config, load_config
from ckptkit.errors import RefusedError, UsageError
from ckptkit.retention import RetentionPolicy

FULL = """\
# a comment
store: checkpoints
digest: sha256
resume: python train.py --resume {path}
level: digest
retention:
  keep_last: 3
  keep_within: 7d
runs:
  ppo/*:
    retention: {keep_best: 2, metric: reward, mode: max, max_size: 10GB, keep_tags: [release]}
  ppo/final:
    resume: [python, train.py, "{items.agent}"]
    level: resume
  2024-01-01:
"""


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "ckptkit.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(folder: Path, text: str | bytes) -> UsageError:
    path = write(folder, text)
    with pytest.raises(UsageError) as caught:
        load_config(folder)
    assert caught.value.exit_code == 2
    assert caught.value.message.startswith(f"{path}: ")
    assert "\n" not in caught.value.message + caught.value.hint
    return caught.value


def test_a_full_file_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, FULL)
    config = load_config(tmp_path)
    assert (config.path, config.store, config.digest) == (path, str(tmp_path / "checkpoints"), "sha256")
    assert config.for_run("other") == RunConfig(
        resume="python train.py --resume {path}",
        resume_where=f"{path}: line 4: resume",
        retention=RetentionPolicy(keep_last=3, keep_within=timedelta(days=7)),
        level="digest",
    )


def test_later_patterns_win_key_by_key_and_policies_are_never_mixed(tmp_path: Path) -> None:
    path = write(tmp_path, FULL)
    final = load_config(tmp_path).for_run("ppo/final")
    assert final.resume == ("python", "train.py", "{items.agent}")
    assert final.resume_where == f"{path}: line 13: runs.ppo/final.resume"
    assert final.level == "resume"
    assert final.retention == RetentionPolicy(
        keep_best=2, metric="reward", mode="max", max_size=10**10, keep_tags=frozenset({"release"})
    )


def test_a_pattern_reaches_across_slashes_and_minds_case(tmp_path: Path) -> None:
    write(tmp_path, "runs:\n  ppo*: {level: digest}\n")
    config = load_config(tmp_path)
    assert [config.for_run(run).level for run in ("ppo/a/b", "ppo", "PPO", "a/ppo")] == ["digest", "digest", None, None]


def test_the_file_is_found_upward(tmp_path: Path) -> None:
    path = write(tmp_path, "store: s3://bucket/x")
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert find_config(deep) == path
    assert load_config(deep).store == "s3://bucket/x"


def test_the_nearest_file_wins_alone(tmp_path: Path) -> None:
    write(tmp_path, "store: outer\ndigest: sha256")
    (tmp_path / "inner").mkdir()
    write(tmp_path / "inner", "store: /abs")
    assert load_config(tmp_path / "inner").store == "/abs"
    assert load_config(tmp_path / "inner").digest is None


def test_the_search_does_not_leave_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "store: x")
    work = tmp_path / "home" / "work"
    work.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert load_config(work) == Config()
    monkeypatch.delenv("HOME")
    assert load_config(work).store == str(tmp_path / "x")


def test_no_file_and_no_working_directory_are_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_config(tmp_path) == Config()
    gone = tmp_path / "gone"
    gone.mkdir()
    code = "import os, pathlib, ckptkit.config as c; os.rmdir(os.getcwd()); c.load_config(pathlib.Path('.'))"
    subprocess.run([sys.executable, "-c", code], cwd=gone, check=True)


def test_a_home_in_the_store_path_is_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "h"))
    write(tmp_path, "store: ~/ckpts")
    assert load_config(tmp_path).store == str(tmp_path / "h" / "ckpts")


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "runs:\nretention:\nresume:\nstore:\n", "\ufeffstore:\n"])
def test_files_that_say_nothing_are_fine(tmp_path: Path, text: str) -> None:
    write(tmp_path, text)
    assert load_config(tmp_path).for_run("x") == RunConfig()


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("sotre: x", "line 1: sotre: unknown key", "did you mean store?"),
        ("a: 1\nb: 2", "line 1: a: unknown key (and 1 more)", "known here are dedup, digest, level"),
        ("runs:\n  a:\n    retain: {}", "line 3: runs.a.retain: unknown key", "did you mean retention?"),
        (
            "runs:\n  a:\n    store: x",
            "line 3: runs.a.store: unknown key",
            "known here are level, require, resume, retention",
        ),
        (
            "\nretention:\n  keep_lats: 3",
            "line 3: retention.keep_lats: not a retention rule",
            "did you mean keep_last?",
        ),
        ("retention: {keep_last: 0}", "line 1: retention.keep_last: 0 is not from 1", 'keep_last "all"'),
        ("retention: {keep_last: 1.5}", "line 1: retention.keep_last: 1.5 is not a whole number", ""),
        ("retention: {keep_within: 1:30}", "line 1: retention.keep_within: 90 has no unit", '"7d"'),
        ("retention: {keep_best: 2}", "line 1: retention.keep_best: best by which metric?", "metric and the mode"),
        ("retention: {keep_tags: [1]}", "line 1: retention.keep_tags: 1 is not text", "quotes"),
        ("retention: {}", "line 1: retention: the retention policy names nothing to keep", "keep_last 3"),
        ("retention: 3", "line 1: retention: should hold rules", "keep_last: 3"),
        ("digest: off", "line 1: digest: should be 'blake3' or 'sha256'", ""),
        ("digest: md5", "line 1: digest: should be 'blake3' or 'sha256'", ""),
        ("level: deep", "line 1: level: should be 'presence', 'digest', 'format' or 'resume'", ""),
        ("store: 5", "line 1: store: should be text", "put it in quotes"),
        ("store: ''", "line 1: store: '' is not a path or URL", ""),
        ("store: [a]", "line 1: store: should be text", ""),
        ("resume: [python, 1]", "line 1: resume: should be one line of text or a list of texts", "quotes"),
        ("resume: ' '", "line 1: resume: should be one line", ""),
        ("resume: []", "line 1: resume: should be one line", ""),
        ("runs: [a]", "line 1: runs: should hold keys and values", ""),
        ("runs: {a: 3}", "line 1: runs.a: should hold keys and values", ""),
        ("- a", "should hold keys and values", "store: checkpoints"),
        ("just text", "should hold keys and values", ""),
        ("a: 1\nstore: x\nstore: y", "line 3: the key 'store' appears twice", "remove one"),
        ("a: &x 1\nb: *x", "line 2: an alias (*name) is not allowed here", "write the value out"),
        ("a: &x [*x]", "line 1: an alias", ""),
        ("store: !!python/object/apply:os.system ['touch pwned']", "line 1: the tag", "plain YAML"),
        ("store: !!python/name:os.system", "line 1: could not determine a constructor", ""),
        ("store: !!set {a}", "line 1: the tag", ""),
        ("store: 2024-13-45", "line 1: not a value: '2024-13-45'", "quotes"),
        ("store: 0b_", "line 1: not a value: '0b_'", "quotes"),
        ("[a]: 1", "line 1: a key must be text", ""),
        ("store: x\n---\nstore: y", "line 2: but found another document", ""),
        ("store: 'open", "line 1: found unexpected end of stream", ""),
        ("store: x\n\tdigest: y", "line 2: found character '\\t'", ""),
        ("[" * 500_000, "line 1: too deep or too long", ""),
        ("- " * 500_000, "line 1: too deep or too long", ""),
        ("a: {" * 1000, "line 1: too deep or too long", ""),
        ("[" + "a," * 400_000 + "]", "line 1: too deep or too long", ""),
        (b"store: \xff", "is not UTF-8 (byte 7)", "UTF-8"),
        (b"\xff\xfes\x00", "is not UTF-8 (byte 0)", ""),
        (b"store: a\x00b", "is not YAML (unacceptable character #x0000", ""),
        (b"#" * (1 << 20) + b"#", "is larger than 1 MiB", ""),
    ],
    ids=lambda value: ascii(value[:40]),
)
def test_a_file_that_is_off_is_refused_with_line_key_and_hint(
    tmp_path: Path, text: str | bytes, message: str, hint: str
) -> None:
    error = refusal(tmp_path, text)
    assert error.message.removeprefix(f"{tmp_path / 'ckptkit.yaml'}: ").startswith(message)
    assert hint in error.hint
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ckptkit.yaml"]


def test_a_few_aliases_never_become_gigabytes(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    assert "alias" in refusal(tmp_path, "\n".join(lines)).message


@pytest.mark.parametrize("kind", ["folder", "fifo", "dangling", "loop"])
def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "ckptkit.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("nowhere" if kind == "dangling" else path.name)
    with pytest.raises(UsageError, match=r"is not a regular file|cannot be read"):
        load_config(tmp_path)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another user")
def test_a_file_that_another_user_left_in_an_open_folder_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "store: x")
    os.chown(path, 12345, 12345)
    assert load_config(tmp_path).store is not None
    tmp_path.chmod(0o1777)
    with pytest.raises(RefusedError, match="belongs to another user"):
        load_config(tmp_path)


def test_finding_out_that_there_is_no_file_loads_neither_yaml_nor_pydantic(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from ckptkit.config import load_config\n"
        "load_config(Path('.')); print([m for m in ('yaml', 'pydantic') if m in sys.modules])"
    )
    environment = os.environ | {"HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert done.stdout == b"[]\n"

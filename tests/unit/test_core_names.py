"""Names that are safe everywhere, references, digests, redaction, strict JSON: the small laws of the core."""

import contextlib
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptkit.digest import DIGEST_PATTERN, algorithm_of, digest_bytes, digest_file
from ckptkit.errors import CkptkitError, DamagedError, ManifestError, RunNameError, UnsafeContentError, UsageError
from ckptkit.formats import strict_json
from ckptkit.manifest.names import check_item_name, check_paths, check_run, check_step, step_folder, step_of_name
from ckptkit.manifest.redaction import MASK, redact_argv, redact_text, redact_value
from ckptkit.store import Ref

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="$")), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_json_comes_back_as_it_was(value: object) -> None:
    data = strict_json.dumps(value)
    assert strict_json.dumps(strict_json.loads(data, max_depth=64)) == data


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_refused(data: bytes) -> None:
    with contextlib.suppress(strict_json.StrictJsonError):  # and nothing else
        strict_json.loads(data)


@given(st.text(max_size=40))
def test_any_text_is_a_run_name_or_refused_and_never_climbs(text: str) -> None:
    try:
        check_run(text)
    except RunNameError:
        return
    root = Path("/store")
    assert text == "." or os.path.normpath(root / text) == str(root / text)
    assert Ref.parse(text) == Ref(text)


@pytest.mark.parametrize("run", ["a", "ppo/run1", "A.b_c-1", "größe/模型", "."])
def test_ordinary_run_names_pass(run: str) -> None:
    assert check_run(run) == run


@pytest.mark.parametrize(
    "run",
    ["", "..", "a/..", "/a", "a//b", "a/", "a\\b", "C:/a", "a\0", "a\n", ".hidden", "-rf", "con", "NUL.txt", "a ", "a.",
     "step-5", "a/step-00000005", "x.manifest.json", "a@b", "a" * 256, "a/" * 600 + "a", "\u202ea", "manifest.json"],
)  # fmt: skip
def test_unsafe_run_names_are_refused_in_one_line(run: str) -> None:
    with pytest.raises(RunNameError) as caught:
        check_run(run)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", ["", "a/b", ".x", "manifest.json", "MANIFEST.JSON", "a b", "x" * 65, "con", "-a", "é"])
def test_unsafe_item_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        check_item_name(name)


@pytest.mark.parametrize("step", [-1, 10**12 + 1, True, 1.5, "5", None])
def test_only_whole_numbers_are_steps(step: object) -> None:
    with pytest.raises(UsageError):
        check_step(step)  # type: ignore[arg-type]


@given(st.integers(0, 10**12))
def test_a_step_is_read_back_from_its_folder(step: int) -> None:
    assert step_of_name(step_folder(step)) == step


def test_paths_that_leave_or_collide_are_refused() -> None:
    for path in ("../x", "/x", "a/../b", "a\0"):
        with pytest.raises(UnsafeContentError):
            check_paths([path])
    for pair in (["a", "A"], ["é", "e\u0301"], ["x/y", "x/y"]):
        with pytest.raises(ManifestError):
            check_paths(pair)


@pytest.mark.parametrize("text", ["r@", "r@x", "r@-1", "r@1.5", "r@99999999999999", "r@٣", "@1", "r@1@2", "r@LATEST"])
def test_references_that_name_nothing_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Ref.parse(text)


def test_references_are_written_as_they_are_read() -> None:
    for text in ("r", "a/b@5", "r@latest", "r@best"):
        assert str(Ref.parse(text)) == text


@given(st.binary(max_size=3000), st.sampled_from(["blake3", "sha256"]))
def test_a_digest_says_its_algorithm(data: bytes, algorithm: str) -> None:
    import re

    digest = digest_bytes(data, algorithm)
    assert re.match(DIGEST_PATTERN, digest)
    assert algorithm_of(digest) == algorithm


@pytest.mark.parametrize(
    "text", ["", "md5:00", "blake3:", "sha256:" + "0" * 63, "BLAKE3:" + "0" * 64, "blake3:" + "G" * 64]
)
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(DamagedError):
        algorithm_of(text)


def test_a_file_is_digested_as_its_bytes_are(tmp_path: Path) -> None:
    for size in (0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1):
        (tmp_path / "f").write_bytes(b"x" * size)
        assert digest_file(tmp_path / "f") == (size, digest_bytes(b"x" * size))


def test_links_fifos_and_folders_are_not_digested(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "folder", "fifo"):
        with pytest.raises(DamagedError):
            digest_file(tmp_path / name)


SECRETS = [
    "s3://key:hunter22@bucket/x", "https://u:hunter22@host/", "https://h/x?token=hunter22&a=1",
    "https://h/?X-Amz-Signature=hunter22", "hf_" + "hunter22" * 4, "ghp_" + "hunter22" * 4, "sk-" + "hunter22" * 4,
]  # fmt: skip


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_in_text_are_masked(text: str) -> None:
    assert "hunter22" not in redact_text(text)
    assert "hunter22" not in str(redact_value({"url": [text]}))
    assert "hunter22" not in " ".join(redact_argv(["train", text]))


@pytest.mark.parametrize(
    "argv", [["--token", "hunter22"], ["--api-key=hunter22"], ["WANDB_API_KEY=hunter22"], ["--hub_token=hunter22"]]
)
def test_secrets_in_arguments_are_masked(argv: list[str]) -> None:
    assert "hunter22" not in " ".join(redact_argv(argv))


@pytest.mark.parametrize("key", ["password", "api_key", "apiKey", "AWS_SECRET_ACCESS_KEY", "auth-token", "privateKey"])
def test_secrets_in_settings_are_masked(key: str) -> None:
    assert redact_value({"a": [{key: "hunter22"}]}) == {"a": [{key: MASK}]}


def test_everyday_words_are_left_alone() -> None:
    argv = ["train", "--max-tokens", "512", "--token-dropout=0.1", "--path", "{path}", "--lr=1e-3", "a?b=c"]
    assert redact_argv(argv) == argv
    assert redact_value({"max_tokens": 512, "tokenizer": "gpt2", "nan": math.inf}) == {
        "max_tokens": 512, "tokenizer": "gpt2", "nan": math.inf,
    }  # fmt: skip


def test_every_error_has_a_code_of_the_table_and_says_what_to_do() -> None:
    waiting, seen = [CkptkitError], []
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        seen.append(kind)
        assert kind.exit_code in (1, 2, 3, 4, 5, 6, 7, 10, 11, 70)
        assert kind.default_hint
        assert "\n" not in kind.default_hint
        assert kind.__doc__
    assert len(seen) >= 18

"""`ckptkit adopt URL`: what trainers wrote to a service is found, judged and given manifests where it lies."""

import json
import os
import shlex
import tempfile
import uuid
from pathlib import Path

import fsspec
import pytest
from command_line import inside, refused
from foreign_files import agent, episode, half_hugging_face, hugging_face, lightning, torch_like

STATES = dict[str, tuple[str, str]]


@pytest.fixture
def url() -> str:
    """A folder on a service, for trainers."""
    return f"memory://{uuid.uuid4().hex}/outputs"


@pytest.fixture(autouse=True)
def _nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))


def upload(folder: Path, url: str) -> None:
    """Put what is in a folder to a URL."""
    system, _, root = url.partition("://")
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        fsspec.filesystem(system).pipe_file(f"/{root}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def there(url: str, *, ours: bool = False) -> dict[str, bytes]:
    """Return what lies at a URL, without ckptkit's own."""
    system, _, root = url.partition("://")
    found = fsspec.filesystem(system).find(f"/{root}")
    content = {path.removeprefix(f"/{root}/"): fsspec.filesystem(system).cat_file(path) for path in found}
    own = (path for path in content if path.endswith(".manifest.json") or ".ckptkit/" in path)
    return content if ours else {path: content[path] for path in content.keys() - set(own)}


def adopt(*arguments: str) -> tuple[int, STATES, str]:
    """Return what was done: the code, state and action by name, what was said."""
    done = inside("adopt", *arguments, "--format", "json")
    found = json.loads(done.stdout)["checkpoints"] if done.stdout else []
    states = {one["path"].rpartition("/")[2]: (one["state"], one["action"]) for one in found}
    return done.returncode, states, done.stderr


def test_whole_checkpoints_get_manifests_beside_them_and_no_file_is_moved_or_changed(url: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for step in (4, 8):
        hugging_face(out / "bert", step, loss=1 / step)
    half_hugging_face(out / "bert", 12)
    torch_like(out / "plain/model.pt")
    agent(out / "ppo/rl_model_100_steps.zip", 100)
    lightning(out / "lit", 3, 0.5)
    episode(out / "mine", 5)
    upload(out, url)
    before = there(url)
    code, states, said = adopt(url)
    assert code == 0
    assert states == {
        "checkpoint-4": ("complete", "adopted"),
        "checkpoint-8": ("complete", "adopted"),
        "checkpoint-12": ("incomplete", "left"),
        "model.pt": ("complete", "adopted"),
        "rl_model_100_steps.zip": ("complete", "adopted"),
        "epoch=0-step=3.ckpt": ("complete", "adopted"),
        "ep000005.safetensors": ("complete", "adopted"),
    }
    assert there(url) == before
    assert f"the store is {url}" in said
    assert f"ckptkit --store {url} list" in said
    assert str(tmp_path) not in said
    listed = inside("--store", url, "list", "--format", "ref")
    assert sorted(listed.stdout.split()) == ["bert@4", "bert@8", "lit@3", "mine@5", "plain@7", "ppo@100"]
    assert inside("--store", url, "verify").returncode == 0
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_dry_run_says_the_same_and_writes_nothing(url: str, tmp_path: Path) -> None:
    hugging_face(tmp_path / "out", 4)
    torch_like(tmp_path / "out/broken.pt").write_bytes(b"PK\3\4 half of it")
    upload(tmp_path / "out", url)
    before = there(url, ours=True)
    code, states, said = adopt(url, "--dry-run")
    assert (code, states) == (
        0,
        {"checkpoint-4": ("complete", "new"), "broken.pt": ("incomplete", "left")},
    ), said
    assert there(url, ours=True) == before


def test_adopting_again_reads_only_what_is_new(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hugging_face(tmp_path / "out", 4)
    upload(tmp_path / "out", url)
    adopt(url)
    before = there(url, ours=True)
    hugging_face(tmp_path / "more", 8)
    upload(tmp_path / "more", url)
    code, states, _ = adopt(url)
    assert (code, states) == (
        0,
        {"checkpoint-4": ("complete", "kept"), "checkpoint-8": ("complete", "adopted")},
    )
    manifest = "checkpoint-4@4.manifest.json"
    assert there(url, ours=True)[manifest] == before[manifest]


def test_one_checkpoint_can_be_named_and_the_store_is_what_it_lies_in(url: str, tmp_path: Path) -> None:
    hugging_face(tmp_path / "out/bert", 4)
    hugging_face(tmp_path / "out/bert", 8)
    upload(tmp_path / "out", url)
    code, states, said = adopt(f"{url}/bert/checkpoint-8")
    assert (code, states) == (0, {"checkpoint-8": ("complete", "adopted")})
    assert f"the store is {url}/bert\n" in said
    code, states, said = adopt("bert/checkpoint-4", "--store", url)
    assert (code, states) == (0, {"checkpoint-4": ("complete", "adopted")})
    listed = inside("--store", url, "list", "--format", "ref")
    assert listed.stdout.split() == ["bert@4", "bert@8"]


def test_what_was_adopted_is_resumed_from_copied_removed_and_brought_back(url: str, tmp_path: Path) -> None:
    for step in (4, 8):
        hugging_face(tmp_path / "out/bert", step)
    upload(tmp_path / "out", url)
    adopt(url)
    line = inside("--store", url, "resume-cmd", "bert", "--materialise", tmp_path / "near").stdout
    folder = Path(shlex.split(line)[-1])
    assert (folder / "model.safetensors").read_bytes() == there(url)["bert/checkpoint-8/model.safetensors"]
    assert inside("copy", url, f"{url}-copy").returncode == 0
    assert inside("--store", f"{url}-copy", "verify").returncode == 0
    assert inside("--store", url, "show", "bert@4").returncode == 0
    before = there(url)
    assert inside("--store", url, "prune", "bert", "--keep-last", "1", "--apply").returncode == 0
    assert {path.split("/")[1] for path in there(url)} == {"checkpoint-8"}
    assert inside("--store", url, "undelete", "bert@4").returncode == 0
    assert there(url) == before


def test_what_its_trainer_removed_is_cleared_and_what_it_wrote_again_is_judged_again(url: str, tmp_path: Path) -> None:
    hugging_face(tmp_path / "out", 4)
    torch_like(tmp_path / "out/last.pt")
    upload(tmp_path / "out", url)
    adopt(url)
    for path in there(url):
        if path.startswith("checkpoint-4/"):
            fsspec.filesystem("memory").rm_file(f"/{url.removeprefix('memory://')}/{path}")
    code, states, said = adopt(url)
    assert (code, states) == (0, {"last.pt": ("complete", "kept")})
    assert "checkpoint-4: its trainer has removed it; its manifest was cleared away" in said


@pytest.mark.parametrize("option", ["--watch", "--run=other", "--manifests=store"])
def test_what_is_for_folders_is_refused(url: str, tmp_path: Path, option: str) -> None:
    refused(inside("adopt", url, option), 2, "of what lies on a service the manifests lie beside the files")


def test_a_url_outside_the_named_store_and_one_of_nothing_are_told(url: str, tmp_path: Path) -> None:
    refused(inside("adopt", f"{url}/there"), 4, f"{url}/there: nothing is there")
    refused(inside("--store", f"{url}/a", "adopt", f"{url}/b"), 2, "does not lie in the store")
    refused(inside("--store", tmp_path / "a", "adopt", f"{url}/b"), 2, "--store")


def test_names_that_no_file_can_have_are_told_and_harm_nothing(url: str, tmp_path: Path) -> None:
    hugging_face(tmp_path / "out", 4)
    upload(tmp_path / "out", url)
    root = f"/{url.removeprefix('memory://')}"
    fsspec.filesystem("memory").store[f"{root}/../../escape"] = fsspec.filesystem("memory").store[
        f"{root}/checkpoint-4/config.json"
    ]
    code, states, said = adopt(url)
    assert (code, states) == (0, {"checkpoint-4": ("complete", "adopted")})
    assert "1 name not looked at" in said
    assert not [name for name in os.listdir(tmp_path) if name == "escape"]


def test_a_folder_that_only_its_content_tells_is_one_when_it_is_named(url: str, tmp_path: Path) -> None:
    (hugging_face(tmp_path / "out", 4) / "trainer_state.json").unlink()
    (tmp_path / "out/checkpoint-4").rename(tmp_path / "out/final_model")
    upload(tmp_path / "out", url)
    code, states, said = adopt(f"{url}/final_model", "--step", "9")
    assert (code, states) == (0, {"final_model": ("complete", "adopted")}), said
    assert inside("--store", url, "verify", ".@9").returncode == 0


def test_what_a_pointer_of_the_trainer_names_is_not_removed(url: str, tmp_path: Path) -> None:
    for step in (4, 8):
        hugging_face(tmp_path / "out", step)
    (tmp_path / "out/latest").write_text("checkpoint-4\n")
    upload(tmp_path / "out", url)
    adopt(url)
    done = inside("--store", url, "prune", ".", "--keep-last", "1", "--apply")
    assert "latest points at it" in done.stdout + done.stderr
    assert "checkpoint-4/model.safetensors" in there(url)

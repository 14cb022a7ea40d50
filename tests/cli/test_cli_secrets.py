"""A marker secret, given through every argument in every shape, is in no store, on no stream and in no report.

Where a name is stored as it is (a run, an item, a tag, a metric) the save is refused; free texts are masked.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ckptkit_hooks.keeper import Keeper
from command_line import inside as ckptkit
from conftest import write_rng

from ckptkit import CheckpointStore
from ckptkit.errors import CkptkitError
from ckptkit.formats import strict_json
from ckptkit.manifest import reading, redaction
from ckptkit.store import Details

MARK = "hunter22"
LONG = MARK * 4
SHAPES = {
    "a variable": f"API_TOKEN={MARK}",
    "an option": f"--api-key={MARK}",
    "an option of Hydra": f"+wandb.key={MARK}",
    "a colon": f"password:{MARK}",
    "an option and its value": f"--password {MARK}",
    "userinfo": f"s3://me:{MARK}@bucket/x",
    "a query": f"https://host/x?access_token={MARK}&a=1",
    "a header": f"Authorization: Bearer {MARK}",
    "Hugging Face": f"hf_{LONG}",
    "OpenAI": f"sk-{LONG}",
    "GitHub": f"ghp_{LONG}",
    "GitLab": f"glpat-{LONG}",
    "Slack": f"xoxb-{LONG}",
    "AWS": "AKIA" + "HUNTER22HUNTER22",
    "a web token": f"eyJ{LONG}.eyJ{LONG}.{LONG}",
}
FOUND = re.compile(MARK.encode(), re.IGNORECASE)
ARGUMENTS: dict[str, Callable[[str, Path], list[str]]] = {
    "run": lambda text, _: [text],
    "item": lambda text, folder: ["r", f"{text}={folder / 'rng.json'}"],
    "backend": lambda text, folder: ["r", f"rng:{text}={folder / 'rng.json'}"],
    "path": lambda text, folder: ["r", f"other={folder / text}"],
    "step": lambda text, _: ["r", "--step", text],
    "metric": lambda text, _: ["r", "--metric", f"{text}=1"],
    "value of a metric": lambda text, _: ["r", "--metric", f"loss={text}"],
    "metric without a value": lambda text, _: ["r", "--metric", text],
    "counter": lambda text, _: ["r", "--counter", f"{text}=1"],
    "value of a counter": lambda text, _: ["r", "--counter", f"episode={text}"],
    "tag": lambda text, _: ["r", "--tag", text],
    "settings": lambda text, folder: ["r", "--config", _settings(folder, {"deep": [{"note": text}]})],
    "option in the settings": lambda text, folder: ["r", "--config", _settings(folder, {"argv": ["--token", text]})],
    "key of the settings": lambda text, folder: ["r", "--config", _settings(folder, {text: "x"})],
    "secret of the settings": lambda text, folder: ["r", "--config", _settings(folder, {"apiKey": text})],
    "template": lambda text, _: ["r", "--resume", f"python train.py {text} {{run}}"],
    "word of a template": lambda text, _: ["r", "--resume", f"python train.py '{text}' {{run}}"],
    "command in a template": lambda text, _: ["r", "--resume", f'sh -c "train {text} --lr 1" {{run}}'],
    "value in a template": lambda text, _: ["r", "--resume", f"python train.py --hub-token '{text}' {{run}}"],
    "environment": lambda text, _: ["r", "--resume", "python train.py", "--env", text],
    "environment with a value": lambda text, _: ["r", "--resume", "python t.py", "--env", f"TOKEN={text}"],
    "parent": lambda text, _: ["r", "--parent", f"{text}@1"],
    "trusted": lambda text, folder: ["r", "--trust", str(folder / text)],
    "an option that is none": lambda text, _: ["r", f"--frobnicate={text}"],
}


def _settings(folder: Path, value: object) -> str:
    path = folder / "settings.json"
    path.write_text(json.dumps(value))
    return str(path)


def in_files(store: Path) -> list[str]:
    """Return which files of a store hold the marker, in their names or their bytes."""
    paths = [path for path in store.rglob("*") if store in path.parents]
    named = [str(path) for path in paths if FOUND.search(str(path.relative_to(store)).encode())]
    return named + [str(path) for path in paths if path.is_file() and FOUND.search(path.read_bytes())]


def readers(run: str, *, every: bool) -> Iterator[list[str]]:
    """Every command that says what a checkpoint is, in every format, or in that which says most."""
    if not every:
        yield from (["list", "--format", "json"], ["show", run, "--format", "json"], ["resume-cmd", run])
        return
    for format_ in ("table", "tsv", "json", "ndjson"):
        yield ["list", "--format", format_]
        yield ["show", run, "--format", format_]
        yield ["prune", run, "--keep-last", "1", "--format", format_]
    for format_ in ("table", "tsv", "json", "ndjson", "junit", "sarif", "github", "gitlab"):
        yield ["verify", run, "--format", format_]
    for format_ in ("shell", "json", "argv0", "slurm", "k8s"):
        yield ["resume-cmd", run, "--format", format_]


def said(store: Path, tmp: Path, *, every: bool = False) -> tuple[int, list[str]]:
    """Return how many outputs were searched, and which of them hold the marker."""
    runs = [one.at.run for one in CheckpointStore(store).list()]
    outputs = {}
    for run in runs:
        for words in readers(run, every=every):
            done = ckptkit(*words, store=store)
            outputs[" ".join(words)] = done.stdout + done.stderr
        reports = [tmp / "junit.xml", tmp / "out.sarif"] if every else []
        if not every:
            continue
        ckptkit("verify", run, "--junit", reports[0], "--sarif", reports[1], store=store)
        outputs |= {f"{report.name} of {run}": report.read_text() for report in reports}
    return len(outputs), [name for name, text in outputs.items() if FOUND.search(text.encode())]


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_no_argument_of_save_lets_a_secret_in(argument: str, tmp_path: Path) -> None:
    rng = write_rng(tmp_path / "given" / "rng.json")
    for number, (shape, text) in enumerate(SHAPES.items()):
        store = tmp_path / f"store{number}"
        run, *words = ARGUMENTS[argument](text, rng.parent)
        step = [] if "--step" in words else ["--step", "1"]
        for debug in ([], ["--debug"]):
            done = ckptkit(*debug, "save", run, *step, f"rng={rng}", *words, store=store)
            spoken = done.stdout + (done.stderr if not debug else done.stderr.partition("ckptkit: ")[2])
            assert not FOUND.search(spoken.encode()), (shape, done.returncode, spoken)
            assert done.returncode in (0, 2, 4, 6, 7), (shape, spoken)
        if not store.exists():
            continue
        assert in_files(store) == [], shape
        searched, holding = said(store, tmp_path)
        assert holding == [], (shape, searched)


PYTHON: dict[str, Callable[[CheckpointStore, str, Path], object]] = {
    "run": lambda store, text, rng: store.save(text, 1, {"rng": rng}),
    "item": lambda store, text, rng: store.save("r", 1, {text: rng}),
    "metrics": lambda store, text, rng: store.save("r", 1, {"rng": rng}, metrics={text: 1.0}),
    "counters": lambda store, text, rng: store.save("r", 1, {"rng": rng}, counters={text: 1}),
    "config": lambda store, text, rng: store.save("r", 1, {"rng": rng}, config={"a": [text], text: {"token": text}}),
    "resume": lambda store, text, rng: store.save("r", 1, {"rng": rng}, resume=["x", text, "--token", text]),
    "cwd": lambda store, text, rng: store.save("r", 1, {"rng": rng}, resume=["x"], cwd=text),
    "env": lambda store, text, rng: store.save("r", 1, {"rng": rng}, resume=["x"], env=[text]),
    "env with a value": lambda store, text, rng: store.save("r", 1, {"rng": rng}, env=[f"TOK={text}"]),
    "parent": lambda store, text, rng: store.save("r", 1, {"rng": rng}, parent=f"{text}@1"),
    "boundary": lambda store, text, rng: store.save("r", 1, {"rng": rng}, boundary={"kind": text}),
    "tags": lambda store, text, rng: store.save("r", 1, {"rng": rng}, tags=[text]),
    "folder": lambda store, text, rng: store.save("r", 1, {"rng": rng}, folder=f"{text}-1"),
    "tag": lambda store, text, rng: [store.save("r", 1, {"rng": rng}), store.tag("r@1", text)],
    "prepare": lambda store, text, rng: store.prepare(text),
    "hold": lambda store, text, rng: store.hold(text),
    "observe": lambda store, text, rng: store.observe("r", resume=["x", text]),
    "adopt_in_place": lambda store, text, rng: _adopted(store, rng, Details(resume=["x", text], config={"b": text})),
    "a hook": lambda store, text, rng: Keeper(store, "r", resume=["x", text]).save(1, {"rng": rng}),
    "a hook's metrics": lambda store, text, rng: Keeper(store, "r").save(1, {"rng": rng}, metrics={text: 1.0}),
}


def _adopted(store: CheckpointStore, rng: Path, details: Details) -> None:
    write_rng(Path(store.storage.url) / "r" / "ep000001.json")
    store.adopt_in_place("r", "ep000001", {"rng": Path(store.storage.url) / "r" / "ep000001.json"}, details)


@pytest.mark.parametrize("argument", PYTHON)
def test_no_argument_of_the_library_lets_a_secret_in(
    argument: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    rng = write_rng(tmp_path / "given" / "rng.json")
    for number, (shape, text) in enumerate(SHAPES.items()):
        store, refused = CheckpointStore(tmp_path / f"store{number}"), ""
        try:
            PYTHON[argument](store, text, rng)
        except CkptkitError as error:
            refused = error.message + error.hint
        if "looks like a secret" in refused or "variable" in refused:
            assert not FOUND.search(refused.encode()), shape
        if Path(store.storage.url).exists():
            store.release("r")
            assert in_files(Path(store.storage.url)) == [], shape
            assert said(Path(store.storage.url), tmp_path)[1] == [], shape
    assert not FOUND.search((capfd.readouterr().out + caplog.text).encode())


def test_what_is_masked_is_no_secret_any_more() -> None:
    for text in SHAPES.values():
        fields = {"resume": {"argv": ["x", text, *text.split()], "cwd": text}, "config": {text: [text], "token": text}}
        once = redaction.redact_fields(fields)
        assert once != fields
        assert redaction.redact_fields(once) == once


def test_a_value_of_a_variable_is_refused_by_its_name_alone(rng_file: Path, tmp_path: Path) -> None:
    done = ckptkit("save", "r", "--step", "1", f"rng={rng_file}", "--env", f"TOKEN={MARK}", store=tmp_path / "s")
    assert done.returncode == 2
    assert "variable TOKEN is given with a value" in done.stderr
    assert not (tmp_path / "s").exists()


def test_what_an_older_version_let_in_is_masked_and_the_run_stays_resumable(rng_file: Path, tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "s")
    path = store.save("r", 1, {"rng": rng_file}, resume=["python", "train.py"], tags=["ok"]).path / "manifest.json"
    fields = json.loads(path.read_text())
    fields["resume"] = {
        "argv": ["python", "train.py", "--api-key", MARK, "{run}"],
        "cwd": str(tmp_path),
        "env": [f"TOKEN={MARK}", "PATH", f"not a name={MARK}"],
    }
    fields |= {"config": {"password": MARK}, "metrics": {f"hf_{LONG}": 1.0}, "counters": {f"sk-{LONG}": 1}}
    fields["items"]["rng"]["hazards"] = [f"https://u:{MARK}@host"]
    fields["items"]["rng"]["captured"]["reasons"] = [f"Authorization: Bearer {MARK}"]
    path.write_bytes(unmasked(fields))
    (Path(store.storage.url) / "r" / ".ckptkit" / "refs.json").unlink()
    [problem] = store.verify("r").checkpoints[0].problems
    assert (problem.code, problem.severity) == ("manifest-secret", "warning")
    searched, holding = said(Path(store.storage.url), tmp_path, every=True)
    assert (holding, searched > 25) == ([], True)
    for format_ in ("shell", "json", "argv0", "slurm", "k8s"):
        done = ckptkit("resume-cmd", "r", "--format", format_, store=Path(store.storage.url))
        assert done.returncode == 0, done.stderr
        assert "train.py" in done.stdout
        assert "TOKEN set, which is not set here" in done.stderr
        assert "fill it in before you run it" in done.stderr


def unmasked(fields: dict[str, object]) -> bytes:
    """Return the bytes of a manifest as a version without redaction wrote it."""
    content = {name: value for name, value in fields.items() if name != "digest"}
    content["digest"] = reading.digest_bytes(strict_json.dumps(content), "blake3")
    return strict_json.dumps(content, indent=1) + b"\n"


def test_a_secret_in_a_file_is_not_repeated_by_verify(tmp_path: Path) -> None:
    import numpy as np
    import safetensors.numpy

    folder = tmp_path / "checkpoint-8"
    folder.mkdir()
    safetensors.numpy.save_file({"w": np.ones(2)}, folder / "model.safetensors")
    state = {"global_step": 8, "best_model_checkpoint": f"https://me:{MARK}@host/best"}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    assert ckptkit("save", "r", "--step", "8", f"model={folder}", store=tmp_path / "s").returncode == 0
    assert said(tmp_path / "s", tmp_path, every=True)[1] == [], "the copy of the file holds it, as the file did"


def test_a_plain_word_cannot_be_told_from_a_secret(rng_file: Path, tmp_path: Path) -> None:
    done = ckptkit("save", "r", "--step", "1", f"rng={rng_file}", "--tag", MARK, store=tmp_path / "s")
    assert done.returncode == 0

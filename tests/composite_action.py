"""Run the steps of a composite action of GitHub's as the runner does: under bash, with files for what they say."""

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


@dataclass
class Runner:
    """A runner with a folder of its own.

    Attributes:
        action: the folder of the action.
        folder: where the runner's files lie.
        workspace: where the steps run.
        github: what ``github.`` names in expressions.
    """

    action: Path
    folder: Path
    workspace: Path
    github: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.definition = yaml.safe_load((self.action / "action.yml").read_text(encoding="utf-8"))
        self.outputs: dict[str, dict[str, str]] = {}
        self.summary = self.folder / "summary.md"

    def run(self, *names: str, **inputs: str) -> subprocess.CompletedProcess[str]:
        """Run the steps with these ids, until one fails; return the last one that ran."""
        given = {name: one["default"] for name, one in self.definition["inputs"].items()}
        given |= {name.replace("_", "-"): value for name, value in inputs.items()}
        assert given.keys() == self.definition["inputs"].keys()
        done = subprocess.CompletedProcess("", 0, "", "")
        for step in self.definition["runs"]["steps"]:
            if step.get("id") in names and done.returncode == 0:
                done = self._step(step, given)
        return done

    def output(self, name: str) -> str:
        """Return an output of the action."""
        return self._filled(self.definition["outputs"][name]["value"], {})

    def _step(self, step: dict[str, Any], inputs: dict[str, str]) -> subprocess.CompletedProcess[str]:
        assert step["shell"] == "bash"
        assert "${{" not in step["run"], "an expression in a script is an injection"
        output = self.folder / "output"
        output.write_text("")
        self.summary.write_text("")
        variables = {name: self._filled(value, inputs) for name, value in step.get("env", {}).items()}
        runner = {"RUNNER_TEMP": self.folder, "GITHUB_OUTPUT": output, "GITHUB_STEP_SUMMARY": self.summary}
        left = {name: value for name, value in os.environ.items() if not name.startswith(("CKPTKIT", "PYTHON"))}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            env=left | {name: str(value) for name, value in runner.items()} | variables,
            cwd=self.workspace, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        pairs = (line.partition("=") for line in output.read_text(encoding="utf-8").splitlines())
        self.outputs[step["id"]] = {name: value for name, _, value in pairs}
        return done

    def _filled(self, text: str, inputs: dict[str, str]) -> str:
        return _EXPRESSION.sub(lambda found: self._value(found[1], inputs), str(text))

    def _value(self, expression: str, inputs: dict[str, str]) -> str:
        for word in expression.split(" || "):
            first, *rest = word.split(".")
            if word.startswith("'"):
                value = word.strip("'")
            elif first == "steps":
                value = self.outputs.get(rest[0], {}).get(rest[2], "")
            else:
                value = {"inputs": inputs, "github": self.github}[first].get(rest[0], "")
            if value:
                return value
        return ""

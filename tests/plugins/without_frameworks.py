"""Program: adopt, list, verify, resume-cmd, prune and undelete, where no framework is installed: DIR."""

import importlib.util
import sys

from command_line import inside

FRAMEWORKS = ("torch", "tensorflow", "jax", "keras", "transformers", "stable_baselines3", "safetensors", "numpy")


def did(*words: str) -> str:
    """Return what a command said, and fail if it failed."""
    done = inside("--store", sys.argv[1], *words)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


def main() -> None:
    """Do it all in one process."""
    assert not [name for name in FRAMEWORKS if importlib.util.find_spec(name)]
    judged = did("adopt", sys.argv[1])
    assert "complete\t8\t" in judged, judged
    listed = did("list")
    assert "8" in listed.splitlines()[-1] + listed.splitlines()[1], listed
    did("verify")
    assert did("resume-cmd", ".", "--template", "go {path}").startswith("cd ")
    did("prune", ".", "--keep-last", "1", "--apply")
    assert len(did("list").splitlines()) == 2
    did("undelete", ".@4")
    assert len(did("list").splitlines()) == 3
    did("verify")


if __name__ == "__main__":
    main()

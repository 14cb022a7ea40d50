"""Every hook makes its run ready before the first training step; the scripts are those of the stories."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins import hooks_story
from tests.plugins.hooks_story import RUN

pytestmark = pytest.mark.slow

HOLDER = """\
import sys
from ckptkit import CheckpointStore
CheckpointStore(sys.argv[1]).hold(sys.argv[2])
print("holds", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    "hook", ["sb3", "hf", *(pytest.param(hook, marks=pytest.mark.matrix) for hook in ("lightning", "keras"))]
)
def test_a_run_that_another_process_trains_is_refused_before_the_first_step(hook: str, tmp_path: Path) -> None:
    store, program = tmp_path / "store", str(Path(__file__).with_name(f"test_hooks_{hook}.py"))
    words = [sys.executable, "-c", HOLDER, store, RUN]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "holds\n"
        part = hooks_story.play(program, store, "--kill-at", "1")  # it does not get as far as to be killed there
        holder.kill()
    assert part.code == 1, part.err
    assert f"LockedError: {RUN}: is being written by process {holder.pid} on " in part.err
    assert part.steps == []

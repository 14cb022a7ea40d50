"""What a process said last on stderr, without what TensorFlow logs whatever it is told not to."""

import re
from typing import TYPE_CHECKING

from ckptkit.renamed import new_name

# absl prints these (notes on CUDA, on oneDNN) before it can be configured: TF_CPP_MIN_LOG_LEVEL does not silence them.
_ABSL_LOG = re.compile(r"WARNING: All log messages before absl::InitializeLog\(\)|I0000 [\d:.]+ +\d+ \w+\.cc:\d+\]")


def without_absl_logs(text: str) -> str:
    """Return the text without the lines in which TensorFlow says that it found no GPU, and the like."""
    return "".join(line for line in text.splitlines(keepends=True) if not _ABSL_LOG.match(line))


def last_line(output: bytes) -> str:
    """Return the last line that a process printed, which says why it ended."""
    lines = without_absl_logs(output.decode(errors="replace")).strip().splitlines()
    return lines[-1] if lines else "no output"


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        new_name(__name__, name, {"without_talk": "without_absl_logs"})
        return without_absl_logs

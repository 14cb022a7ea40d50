"""What a process said last is its own last word, not TensorFlow's remark that there is no GPU."""

import pytest

from ckptkit.parting import last_line, without_absl_logs

ABSL_LOG = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795719693.404256   27900 port.cc:153] oneDNN custom operations are on. You may see ...
I0000 00:00:1795719693.406881   27900 cudart_stub.cc:31] Could not find cuda drivers on your machine
"""


def test_the_absl_log_of_tensorflow_is_left_out_and_nothing_else() -> None:
    mine = "ValueError: I0000 is no port\n"
    assert without_absl_logs(ABSL_LOG + mine + ABSL_LOG) == mine


@pytest.mark.parametrize(
    ("output", "last"), [(b"", "no output"), (ABSL_LOG.encode(), "no output"), (b"why\n" + ABSL_LOG.encode(), "why")]
)
def test_the_reason_of_an_end_is_the_last_line_of_the_process_itself(output: bytes, last: str) -> None:
    assert last_line(output) == last

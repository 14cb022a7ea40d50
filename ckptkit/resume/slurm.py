"""A resume command as a batch script for Slurm that survives preemption and the time limit.

Source: https://slurm.schedmd.com/sbatch.html (--requeue, --open-mode, --signal) and ``scontrol requeue``.
"""

import re

from ckptkit.resume.command import Command
from ckptkit.resume.quoting import quote_command, quote_word

_HEAD = """\
#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120
# Add what your cluster wants (--partition, --gres, --time, ...) above this line.
"""
_START = """\
# Slurm signals this shell alone, 120 s before the time limit. The trap passes the signal on, so that the training can
# save (it must handle USR1), and queues the job again.
requeue=0
trap 'requeue=1; kill -USR1 "$pid" 2>/dev/null' USR1
trap 'kill -TERM "$pid" 2>/dev/null' TERM
"${command[@]}" &
pid=$!
wait "$pid"
code=$?
while kill -0 "$pid" 2>/dev/null; do  # the wait was interrupted by a signal, the training still runs
  wait "$pid"
  code=$?
done
if [ "$requeue" = 1 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""


def script(command: Command) -> str:
    """Return the text of the script, for ``sbatch FILE``."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", command.run).strip("-") or "resume"
    lines = [_HEAD.format(name=name)]
    if command.env:
        lines.append(f"# The run was started with these variables set: {', '.join(command.env)}\n")
    if command.cwd is not None:
        lines.append(f"cd -- {quote_word(command.cwd)} || exit\n")
    lines.append(f"command=({' '.join(quote_word(argument) for argument in command.argv)})\n")
    if command.refresh:
        lines.append(
            'if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then\n'
            "  # Started again: resume from what is the newest good checkpoint by now.\n"
            f"  mapfile -d '' -t command < <({quote_command(command.refresh)})\n"
            '  [ "${#command[@]}" -gt 0 ] || exit 4\n'
            "fi\n"
        )
    return "".join(lines) + _START

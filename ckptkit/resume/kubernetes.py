"""A resume command as a Kubernetes Job: evictions do not count as failures, hopeless exit codes end it at once.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy
"""

import re
from collections.abc import Sequence

from ckptkit.resume.command import Command

_JOB = """\
# Fill in the image and the volume that holds the store, then: kubectl create -f FILE
apiVersion: batch/v1
kind: Job
metadata:
  generateName: {name}-
spec:
  backoffLimit: 6
  podFailurePolicy:
    rules:
    - action: Ignore  # eviction, preemption, a drained node: not the fault of the training
      onPodConditions:
      - type: DisruptionTarget
        status: "True"
    - action: FailJob  # usage, refused for safety, backend missing: trying again never helps
      onExitCodes:
        containerName: train
        operator: In
        values: [2, 5, 7]
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 120  # must be longer than a save takes
      containers:
      - name: train
        image: FILL-IN-YOUR-IMAGE  # an image with the training code and ckptkit
"""


def job(command: Command) -> str:
    """Return the YAML of the Job, for ``kubectl create -f``; "$" is doubled, as Kubernetes expands ``$(NAME)``."""
    name = re.sub(r"[^a-z0-9]+", "-", command.run.lower()).strip("-")[:50].strip("-") or "resume"
    lines = [_JOB.format(name=name)]
    if command.cwd is not None:
        lines.append(f"        workingDir: {_yaml(command.cwd)}\n")
    if command.refresh:
        lines.append(
            "        # A pod that is started again runs this same command. To resume from the newest one instead,\n"
            f"        # let a script in the image ask for it: {_comment(command.refresh)}\n"
        )
    lines.append("        command:\n")
    lines += [f"        - {_yaml(argument.replace('$', '$$'))}\n" for argument in command.argv]
    if command.env:
        lines.append(f"        # The run was started with these variables set: {', '.join(command.env)}\n")
    return "".join(lines)


def _yaml(text: str) -> str:
    """Return a double-quoted YAML scalar; all but printable ASCII is escaped, so that nothing can hide in it."""
    return '"' + "".join(_escape(c) for c in text) + '"'


def _escape(character: str) -> str:
    code = ord(character)
    if character in '"\\':
        return f"\\{character}"
    if 0x20 <= code < 0x7F:
        return character
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _comment(argv: Sequence[str]) -> str:
    return " ".join(
        _yaml(argument) if re.search(r"[^A-Za-z0-9_@%+=:,./-]", argument) else argument for argument in argv
    )

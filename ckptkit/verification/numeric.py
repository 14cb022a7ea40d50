"""The numeric environment, then and now: where it differs, results may differ in the last bit without a fault."""

from typing import Any

from ckptkit import environment
from ckptkit.manifest.models import Environment


def differences(then: Environment, now: dict[str, Any] | None = None) -> list[str]:
    """Return one line for each part that differs; packages that this process has not loaded are not compared.

    Args:
        then: of the manifest.
        now: from ``environment.numeric``; that of this process when left out.
    """
    now = now or environment.numeric()
    lines = []
    for name, version in sorted(then.packages.items()):
        if name != "ckptkit" and (here := now["packages"].get(name, version)) != version:
            lines.append(f"{name} is {here}, but it was saved with {version}")
    if then.threads != now["threads"]:
        lines.append(f"{now['threads']} threads, but it was saved with {then.threads}")
    if now["cpu_capability"] and then.cpu_capability and then.cpu_capability != now["cpu_capability"]:
        lines.append(f"CPU capability {now['cpu_capability']}, but it was saved with {then.cpu_capability}")
    return lines

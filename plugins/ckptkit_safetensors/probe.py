"""The proof of resume: digests of every part at save, the model's answer to a fixed input, and their replay."""

import random
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

from ckptkit.backend import LoadContext, Proof
from ckptkit.errors import BackendError
from ckptkit_safetensors import layouts, part_digests, restore, tensors
from ckptkit_safetensors.capture import Snapshot, capture
from ckptkit_safetensors.digests import digest_state
from ckptkit_safetensors.kinds import is_module, is_tensor
from ckptkit_safetensors.lazy_import import lazy_import
from ckptkit_safetensors.policy import Policy
from ckptkit_safetensors.tensors import TensorSet, collect

_OF_FILES = "files"
"""What digests are of, in the probe: up to format 2 they were of the values, and nothing said so."""


def record(
    digests: Mapping[str, str], output: Mapping[str, Any] | None, exchanged: Collection[str] = ()
) -> dict[str, Any]:
    """Return the proof of an item, but for the parts that training exchanged: a new process has others.

    The digest of what modules hold stands apart: a newer version of a library may hold an attribute more, which is no
    reason to refuse a restore. A load itself looks whether every piece of the checkpoint arrived.
    """
    parts = {part: digest for part, digest in digests.items() if part != "modules" and part not in exchanged}
    said = {"of": _OF_FILES, "digests": parts, "output": output}
    return {**said, **({"modules": digests["modules"]} if "modules" in digests else {})}


def observe(captured: Snapshot, item: Any) -> None:
    """Run the model of a live item on its example input, on a copy, and note the input and the digest of the output."""
    if not isinstance(item, Policy) or item.example_input is None or captured.example is not None:
        return
    if not is_module(item.model):
        raise BackendError("Policy.example_input is given, but the model is not a module")
    captured.example = collect(_named(item.example_input), "example_input")
    try:
        captured.output = answer(item.model, captured.example)
    except Exception as error:  # the model's own code; a save must not fail for want of a proof
        captured.output = {"reason": f"the model did not answer the example input at save ({error})"}


def answer(model: Any, example: TensorSet) -> dict[str, Any]:
    """Return the digest of a module's output in eval mode, and where it was computed.

    The module is copied and all random generators are put back: nothing of the live run changes.
    """
    torch = lazy_import("torch")
    place = next((p.device for p in model.parameters()), torch.device("cpu"))
    inputs = {name: tensors_on(example[name], place) for name in example.names()}
    positional = all(name.isdigit() for name in inputs)
    with _untouched_generators(), torch.no_grad():
        torch.manual_seed(0)  # a policy may sample its output
        copy = deepcopy(model).eval()
        output = copy(*inputs.values()) if positional else copy(**inputs)
        digest = digest_state(output)
    return {"digest": digest, "environment": numeric_environment(place.type)}


def tensors_on(value: Any, device: Any) -> Any:
    """Return an own copy of the tensor or array as a tensor on the device."""
    torch = lazy_import("torch")
    plain = torch.from_numpy(value.copy()) if tensors.is_array(value) else value.detach()
    return plain.to(device, copy=True)


def numeric_environment(device: str) -> dict[str, Any]:
    """Return what may change the last bits of a result without any fault of the checkpoint."""
    torch = lazy_import("torch")
    return {
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "device": device,
    }


def prove(directory: Path, context: LoadContext) -> Proof:
    """Load the files, compare every part with its digest, then with what a freshly built policy holds and answers."""
    probe = context.probe or {}
    recorded = probe.get("digests")
    if not isinstance(recorded, Mapping):
        return Proof("unproven", "no proof was recorded at save")
    layout = layouts.find(directory, context.files)
    stored = restore.read(directory, layout, context.files)
    modules = {"modules": probe["modules"]} if "modules" in probe else {}
    take = part_digests.of if probe.get("of") == _OF_FILES else part_digests.of_values
    different = _different({**recorded, **modules}, take(stored))
    if different:
        return Proof("differs", f"{', '.join(different)}: not what was saved")
    if stored.record.get("kind") == "tensors":
        return Proof("same")
    factory = context.factories.get("model")
    if factory is None:
        reason = "the files hold what was saved, but there is no `model` factory to load them into"
        return Proof("unproven", reason)
    target = factory()
    try:
        restore.put(stored, target)
        now = capture(target)
    except BackendError as error:
        return Proof("differs", f"it does not load into what the `model` factory builds: {error}")
    different = part_digests.different(stored, now, recorded)
    if different:
        return Proof("differs", f"{', '.join(different)}: changed while they were put into a fresh policy")
    return _answered(directory, probe, [part for part in recorded if part not in part_digests.names(now)], target)


def _answered(directory: Path, probe: Mapping[str, Any], missing: Collection[str], target: Any) -> Proof:
    output = probe.get("output")
    replayed = Proof("same")
    if output is not None:
        proof = _replay(directory, output, target.model if isinstance(target, Policy) else target)
        if proof.verdict != "same":
            return proof
        replayed = proof
    if missing:
        reason = f"the `model` factory builds no {', '.join(missing)}: let it return a Policy with all parts"
        return Proof("unproven", reason)
    return replayed


def _replay(directory: Path, output: Mapping[str, Any], model: Any) -> Proof:
    if "digest" not in output:
        return Proof("unproven", str(output.get("reason", "the output was not recorded")))
    example, _ = tensors.read([directory / layouts.PROBE_INPUT])
    try:
        now = answer(model, example)
    except Exception as error:  # the model's own code
        return Proof("differs", f"the model does not answer the example input ({error})")
    if now["digest"] == output["digest"]:
        return Proof("same", steps=1, of="answer to the example input")
    then = output.get("environment", {})
    changed = [f"{k} {then.get(k)} -> {v}" for k, v in now["environment"].items() if then.get(k) != v]
    if changed:
        return Proof("unproven", f"the output differs, and so does the numeric environment: {', '.join(changed)}")
    return Proof("differs", "the model's answer to the example input is not the one at save")


def _different(recorded: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [part for part, digest in recorded.items() if now.get(part) != digest]


def _named(example: Any) -> dict[str, Any]:
    if is_tensor(example):
        return {"0": example}
    if isinstance(example, (tuple, list)):
        return {str(index): value for index, value in enumerate(example)}
    if isinstance(example, Mapping):
        return dict(example)
    raise BackendError("Policy.example_input is neither a tensor nor a tuple or dict of tensors")


@contextmanager
def _untouched_generators() -> Iterator[None]:
    torch = lazy_import("torch")
    python = random.getstate()
    numpy = sys.modules.get("numpy")
    legacy = numpy.random.get_state(legacy=False) if numpy is not None else None
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            if numpy is not None:
                numpy.random.set_state(legacy)

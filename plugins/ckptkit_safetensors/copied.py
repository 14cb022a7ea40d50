"""Copies a captured state out of the live objects, into memory that is used again, while training waits for it."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ckptkit.backend import SnapshotContext
from ckptkit_safetensors.capture import Snapshot
from ckptkit_safetensors.kinds import is_tensor
from ckptkit_safetensors.lazy_import import lazy_import
from ckptkit_safetensors.tensors import TensorSet, is_array

_ATOMS = (bool, int, float, complex, str, bytes, type(None))


def copy_out(captured: Snapshot, context: SnapshotContext) -> tuple[Snapshot, Callable[[], None]]:
    """Return the same state apart from the live objects, and what to call before it is read.

    Copies from a CUDA device go on when this returns: no device is waited for, but what its current stream does next
    comes after them.
    """
    copier = _Copier(context)
    modules = captured.modules
    apart = replace(
        captured,
        model=copier.copied(captured.model),
        ema=captured.ema and copier.copied(captured.ema),
        gradients=captured.gradients and copier.copied(captured.gradients),
        example=captured.example and copier.copied(captured.example),
        modules=modules and replace(modules, tensors=copier.copied(modules.tensors)),
        states={name: copier.state(state) for name, state in captured.states.items()},
    )
    copier.copy()
    return apart, copier.ready


def copy_of(state: Any, context: SnapshotContext) -> tuple[Any, Callable[[], None]]:
    """Return nested state with tensors, apart from the live objects, and what to call before it is read."""
    copier = _Copier(context)
    copy = copier.state(state)
    copier.copy()
    return copy, copier.ready


@dataclass(slots=True, eq=False)
class _Copier:
    """Finds memory for copies first, and then makes them all at once."""

    context: SnapshotContext
    tasks: list[Callable[[], object]] = field(default_factory=list)
    of_arrays: list[Callable[[], object]] = field(default_factory=list)
    devices: set[Any] = field(default_factory=set)
    events: list[Any] = field(default_factory=list)
    storages: dict[int, Any] = field(default_factory=dict)  # by address: two tensors of one file may share one

    def copied(self, part: TensorSet) -> TensorSet:
        """Return tensors of equal elements, each in C order."""
        values = {name: self._array(v) if is_array(v) else self._tensor(v) for name, v in part.tensors.items()}
        return TensorSet(values, dict(part.aliases), list(part.arrays))

    def state(self, value: Any) -> Any:
        """Return nested state that ``torch.save`` writes to the same bytes; see ``portable``."""
        kind = type(value)
        if kind in _ATOMS:
            return value
        if isinstance(value, dict) and (kind is dict or kind.__name__ in ("OrderedDict", "Counter")):
            copy = kind({key: self.state(entry) for key, entry in value.items()})
            if kind is not dict:
                vars(copy).update(self.state(vars(value)))  # modules leave their versions in a ``state_dict``
            return copy
        if kind in (list, tuple):
            return kind(self.state(entry) for entry in value)
        if is_tensor(value) and not is_array(value):
            return self._with_its_storage(value.detach())
        try:
            return deepcopy(value)
        except Exception:  # it cannot be pickled either: that it cannot be saved is told as ever
            return value

    def copy(self) -> None:
        """Make the copies; torch itself uses all cores that it was given, if more than one."""
        torch = lazy_import("torch") if self.tasks else None
        if torch is None or torch.get_num_threads() == 1:
            self.context.together([*self.tasks, *self.of_arrays])
        else:
            self.context.together(self.of_arrays)
            for task in self.tasks:
                task()
        for device in self.devices:
            cuda = lazy_import("torch.cuda")
            self.events.append(event := cuda.Event())
            event.record(cuda.current_stream(device))

    def ready(self) -> None:
        """Wait for the copies that a device still makes."""
        for event in self.events:
            event.synchronize()

    def _array(self, value: Any) -> Any:
        numpy = lazy_import("numpy")
        buffer = self.context.memory(value.nbytes) if value.nbytes else b""
        target = numpy.ndarray(value.shape, value.dtype, buffer)
        if value.nbytes:
            self.of_arrays.append(partial(numpy.copyto, target, value))
        return target

    def _tensor(self, value: Any) -> Any:
        plain = value.detach()
        if plain.device.type != "cpu":
            return self._from_device(plain.resolve_conj().resolve_neg().contiguous())
        if not plain.numel():
            return plain.clone()
        flat = self._bytes(plain.nbytes)
        target = flat.view(plain.dtype).view(plain.shape)
        if plain.is_contiguous() and not plain.is_conj() and not plain.is_neg():
            self.tasks.append(partial(flat.copy_, plain.as_strided((plain.numel(),), (1,)).view(flat.dtype)))
        else:
            self.tasks.append(partial(target.copy_, plain))
        return target

    def _with_its_storage(self, plain: Any) -> Any:
        torch = lazy_import("torch")
        if plain.device.type != "cpu":
            return self._from_device(plain)
        if type(plain) is not torch.Tensor or plain.layout != torch.strided or plain.is_quantized or plain.is_conj():
            return plain.clone()
        storage = plain.untyped_storage()
        if storage.nbytes() != plain.nbytes or not storage.nbytes():  # ``portable`` gives such a one its own
            return plain.clone()
        target = self.storages.get(storage.data_ptr())
        if target is None:
            flat = self._bytes(storage.nbytes())
            self.tasks.append(partial(flat.copy_, torch.empty(0, dtype=torch.uint8).set_(storage)))
            target = self.storages[storage.data_ptr()] = flat.untyped_storage()
        return torch.empty(0, dtype=plain.dtype).set_(target, plain.storage_offset(), plain.shape, plain.stride())

    def _from_device(self, plain: Any) -> Any:
        if plain.device.type == "cuda":
            self.devices.add(plain.device)
            return plain.to("cpu", non_blocking=True)  # into pinned memory, which torch uses again by itself
        return plain.cpu()

    def _bytes(self, size: int) -> Any:
        torch = lazy_import("torch")
        return torch.frombuffer(self.context.memory(size), dtype=torch.uint8)

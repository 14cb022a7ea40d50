"""What a person hands to the backend: one bundle of the live objects that a torch training loop holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ckptkit_safetensors.kinds import is_module, is_tensor_dict

_LOOKED_AT = ("model", "optimizer", "scheduler", "scaler", "ema")


@dataclass(slots=True, eq=False)
class Policy:
    """A model and everything that training it needs, saved and put back as one item.

    Build it once, from what the program has built: it remembers how that was when training began. What training changes
    (a head, groups of the optimizer, a pruned layer) is put back into what a new process builds, or named at the save.

    On save, fields that are None are not part of the item. On load, the state goes into the objects in place, and the
    bundle must match the checkpoint: an object without saved state, or saved optimizer, scheduler, scaler or EMA state
    without an object, is an error (a forgotten optimizer would restart silently). The JSON fields are plain data: one
    that is None is filled in, a mutable mapping is updated in place. ``.grad`` becomes what was pending at the save, or
    None. To take only the weights, load into the bare module.

    Attributes:
        model: ``torch.nn.Module``, or a flat dict of tensors.
        optimizer: ``torch.optim.Optimizer`` over the model's parameters.
        scheduler: learning-rate scheduler (anything with ``state_dict`` and ``load_state_dict``).
        scaler: ``torch.amp.GradScaler``.
        ema: moving average of the weights, as a module (``AveragedModel``) or a flat dict of tensors.
        preprocessor: JSON values of the preprocessor.
        postprocessor: JSON values of the postprocessor.
        extra: any other JSON values of the loop (epoch, position in the data).
        gradients: whether pending ``.grad`` of the model's parameters belong to the item. They are needed when a save
            falls between two accumulation steps; call ``optimizer.zero_grad()`` before a save that does not.
        example_input: a tensor, a tuple of tensors (positional) or a dict of tensors (by keyword) for the proof of
            resume: the model's output on it, in eval mode, is recorded at save and replayed by ``prove``.
    """

    model: Any
    optimizer: Any = None
    scheduler: Any = None
    scaler: Any = None
    ema: Any = None
    preprocessor: Mapping[str, Any] | None = None
    postprocessor: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] | None = None
    gradients: bool = True
    example_input: Any = None
    built: Any = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        """Remember what the program has built."""
        if is_module(self.model) or is_tensor_dict(self.model):
            from ckptkit_safetensors.built import look_at  # a verification imports this file, and builds none

            self.built = look_at(self)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a part; as long as nothing was trained, that belongs to what the program builds."""
        object.__setattr__(self, name, value)
        if name in _LOOKED_AT and getattr(self, "built", None) is not None and not self.built.has_trained(self):
            self.__post_init__()

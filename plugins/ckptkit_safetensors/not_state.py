"""Which values of attributes are not state: what training does not change, or what belongs to something else.

The question for each is: could it change while training, and would a resume then differ? Functions, classes, modules
of Python, weak references, locks and loggers could not. A device or an absolute path says where something is; the
resumed run may be elsewhere. What cannot be told by looking (a closure with a counter) is left to a rehearsal.
"""

import os
import re
import sys
from types import ModuleType
from typing import Any

from ckptkit_safetensors.kinds import is_module

# Instances of classes from these packages: read-only, connections to the outside, or kept by the loop, not the model.
_ELSEWHERE = frozenset(
    {"_io", "abc", "accelerate", "asyncio", "comet_ml", "concurrent", "contextvars", "datetime", "functools"}
    | {"inspect", "io", "lightning", "lightning_fabric", "logging", "mlflow", "multiprocessing", "pathlib"}
    | {"pytorch_lightning", "re", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "tensorboard", "tensorboardX"}
    | {"threading", "typing", "uuid", "wandb", "weakref", "zoneinfo"}
)
_BUILT_IN = frozenset(
    {"type", "function", "builtin_function_or_method", "method", "method-wrapper", "wrapper_descriptor", "module"}
    | {"method_descriptor", "classmethod_descriptor", "getset_descriptor", "member_descriptor", "mappingproxy"}
    | {"range", "slice", "ellipsis", "NotImplementedType", "property", "staticmethod", "classmethod", "code"}
    | {"GenericAlias", "UnionType"}
)
_CODE = ("function", "builtin_function_or_method", "method", "method-wrapper")
_STATEFUL_TORCH = ("torch.optim", "torch.distributions", "torch.amp", "torch.cuda.amp")
_DEVICE = re.compile(r"(cpu|cuda|mps|xpu|hpu|npu|tpu|xla|meta)(:\d+)?")


def is_no_state(value: Any) -> bool:
    """Return whether the value could not change while training, or is not the module's own."""
    cls = type(value)
    module, name = cls.__module__, cls.__qualname__
    if isinstance(value, (type, ModuleType)) or (module in ("builtins", "types") and name in _BUILT_IN):
        return True
    package = module.partition(".")[0]
    if package in ("torch", "numpy"):
        return not (is_module(value) or _may_change(module, name))
    if name in ("BytesIO", "StringIO"):
        return False
    return package in _ELSEWHERE or module in ("_thread", "_weakref", "_abc")


def _may_change(module: str, name: str) -> bool:
    """Return whether an instance of a class of torch or NumPy may be state: not dtypes, hooks, handles, loaders."""
    if module.startswith("numpy"):
        return name != "dtype" and not module.startswith("numpy.dtypes") and name != "ufunc"
    held = (("torch", "Tensor"), ("torch", "Size"), ("torch._C", "Generator"), ("torch.nn.parameter", "Parameter"))
    return (module, name) in held or module.startswith(_STATEFUL_TORCH)


def is_of_loop(value: Any) -> bool:
    """Return whether a function comes from a library that watches or runs the loop (loggers, Lightning, accelerate)."""
    return str(getattr(value, "__module__", "")).partition(".")[0] in _ELSEWHERE - {"functools"}


def is_code(value: Any) -> bool:
    """Return whether the value is a function, a class, or a dtype: what a program may exchange for another one."""
    cls = type(value)
    if is_of_loop(value):
        return False
    code = isinstance(value, type) or cls.__name__ in _CODE or (cls.__module__, cls.__name__) == ("torch", "dtype")
    return code or (cls.__module__, cls.__name__) == ("functools", "partial")


def says_where(text: str) -> bool:
    """Return whether a text names a device or an absolute path."""
    return is_device(text) or os.path.isabs(text) or "://" in text


def is_device(text: str) -> bool:
    """Return whether a text names a device."""
    return _DEVICE.fullmatch(text) is not None


def is_of_torch(item: object) -> bool:
    """Return whether the object's class is one of torch's own, whose private attributes are its bookkeeping."""
    return type(item).__module__.partition(".")[0] == "torch"


def is_installed(cls: type) -> bool:
    """Return whether a class comes from an installed library, not from the user's program."""
    if cls.__module__.partition(".")[0] in sys.stdlib_module_names - {"__main__"}:
        return True
    path = getattr(sys.modules.get(cls.__module__), "__file__", None) or ""
    return "site-packages" in path or "dist-packages" in path


def made_elsewhere(item: Any, attribute: str) -> bool:
    """Return whether a tensor attribute is computed anew before each forward (weight_norm, spectral_norm, prune)."""
    names = {getattr(hook, "name", None) or getattr(hook, "_tensor_name", None) for hook in _pre_hooks(item)}
    return attribute in names


def _pre_hooks(item: Any) -> list[Any]:
    return list((getattr(item, "_forward_pre_hooks", None) or {}).values())

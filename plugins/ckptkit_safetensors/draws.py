"""Which module of a model draws from torch's global generator while it trains: a resume without that differs."""

from typing import Any

from ckptkit_safetensors.kinds import is_module

_RANDOM = ("FractionalMaxPool2d", "FractionalMaxPool3d", "RReLU")


def drawing(model: Any) -> str:
    """Return one line about the first module that draws in training, or an empty text.

    A model that is in ``eval()`` as a whole (an evaluation, during which it is saved) is judged as if it trained.
    """
    if not is_module(model):
        return ""
    for name, module in model.named_modules():
        if (module.training or not model.training) and (what := _what(module)):
            return f"{'.'.join(['model', *filter(None, [name])])} ({what}) draws random numbers in training"
    return ""


def _what(module: Any) -> str:
    """Return what of a module draws, or an empty text; judged by torch's own classes and their subclasses."""
    for cls in type(module).__mro__:
        if not cls.__module__.startswith("torch.nn.modules"):
            continue
        rate = getattr(module, "p", None) if cls.__name__ == "_DropoutNd" else None
        if cls.__name__ in ("RNNBase", "MultiheadAttention"):
            rate = getattr(module, "dropout", None)
            rate = 0 if cls.__name__ == "RNNBase" and module.num_layers == 1 else rate
        if isinstance(rate, (int, float)) and rate > 0:
            return f"{type(module).__name__}, p={rate}"
        if cls.__name__ in _RANDOM:
            return type(module).__name__
    return ""

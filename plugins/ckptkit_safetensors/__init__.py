"""The `safetensors` backend: torch policies with all that training them needs, and plain dicts of tensors."""

from ckptkit_safetensors.backend import SafetensorsBackend
from ckptkit_safetensors.policy import Policy

__all__ = ["Policy", "SafetensorsBackend"]

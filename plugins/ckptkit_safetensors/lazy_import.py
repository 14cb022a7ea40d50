"""Imports torch, NumPy and safetensors where they are needed."""

from functools import partial

from ckptkit import lazy_import as core

lazy_import = partial(core.lazy_import, backend="safetensors")
"""``lazy_import(name)`` returns the imported module. Raises BackendUnavailableError where it cannot be imported."""

"""The door to TensorFlow: imported on first use, and its absence said clearly."""

from typing import Any

from ckptkit.errors import BackendUnavailableError


def tensorflow() -> Any:
    """Return the tensorflow module. Raises BackendUnavailableError where it cannot be imported."""
    try:
        import tensorflow
    except ImportError as error:
        raise BackendUnavailableError(
            f"tf-data needs TensorFlow, which cannot be imported ({error})",
            hint="install the extra tf-data (TensorFlow 2.16 or newer)",
        ) from error
    return tensorflow


def one_line(error: BaseException) -> str:
    """Return the first line of an error of TensorFlow without its function-node prefix, at most 300 characters."""
    text = str(error).strip().partition("\n")[0]
    while text.startswith("{{") and "}}" in text:
        text = text.partition("}}")[2].strip()
    return text.partition(" [Op:")[0][:300]

"""What an error of TensorFlow says, in one line."""


def one_line(error: BaseException) -> str:
    """Return the first line of an error of TensorFlow without its function-node prefix, at most 300 characters."""
    text = str(error).strip().partition("\n")[0]
    while text.startswith("{{") and "}}" in text:
        text = text.partition("}}")[2].strip()
    return text.partition(" [Op:")[0][:300]

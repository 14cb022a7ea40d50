"""Writes the pages of the public Python names, one for each module; Sphinx fills them with the docstrings."""

from pathlib import Path

MODULES = (
    "ckptkit",
    "ckptkit.backend",
    "ckptkit.pieces",
    "ckptkit.storage.interface",
    "ckptkit.events",
    "ckptkit.progress",
    "ckptkit.testing",
    "ckptkit_hooks.sb3",
    "ckptkit_hooks.hf",
    "ckptkit_hooks.lightning_",
    "ckptkit_hooks.keras_",
    "ckptkit_hooks.arguments",
    "ckptkit_hooks.sb3_episodes",
    "ckptkit_hooks.sb3_episode_files",
    "ckptkit_numpy",
    "ckptkit_safetensors",
    "ckptkit_tfdata",
    "ckptkit_torchdata",
    "ckptkit_sb3",
    "ckptkit_files",
)
_INHERITING = {"ckptkit": ("CheckpointStore",), "ckptkit.testing": ("BackendTests", "StorageTests")}
"""Classes whose pages also say what they have from classes that are not public themselves."""
_TITLE = "All Python names"
_INTRODUCTION = (
    "Written from the docstrings when this site was built. :doc:`The page by hand </docs/reference/python-api>` says "
    "which names belong together."
)


def write(folder: Path) -> None:
    """Write ``python.rst`` and a page for each module into a folder."""
    pages = folder / "python"
    pages.mkdir(parents=True, exist_ok=True)
    entries = "\n".join(f"   python/{module}" for module in MODULES)
    (folder / "python.rst").write_text(
        f"{_TITLE}\n{'=' * len(_TITLE)}\n\n{_INTRODUCTION}\n\n.. toctree::\n\n{entries}\n", encoding="utf-8"
    )
    for module in MODULES:
        whole = _INHERITING.get(module, ())
        title = module.replace("_", "\\_")  # a name that ends in one would be a link
        page = f"{title}\n{'=' * len(title)}\n\n.. automodule:: {module}\n   :members:\n   :show-inheritance:\n"
        page += f"   :exclude-members: {', '.join(whole)}\n\n" if whole else ""
        page += "".join(f".. autoclass:: {module}.{name}\n   :members:\n   :inherited-members:\n\n" for name in whole)
        (pages / f"{module}.rst").write_text(page, encoding="utf-8")

"""Writes ``ckptkit/formats/stdlib_modules.py``: the standard library's modules in every Python that a file may meet.

The lists are those of the package ``stdlibs``, which reads them from CPython's own sources. When a new Python is out:
``pip install -U stdlibs``, add it to ``VERSIONS``, run ``python tools/list_stdlib.py``; ``--check`` only compares.
"""

import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path

VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
# Those that hold modules of their own, in any of these versions (a test looks into the running one). Whatever else lies
# below the name of a standard module is somebody's own: a folder named code.
PACKAGES = """__phello__ _pyrepl asyncio collections compression concurrent ctypes curses dbm distutils email encodings
ensurepip html http idlelib importlib json lib2to3 logging msilib multiprocessing os pathlib profiling pydoc_data
pyexpat re sqlite3 string sysconfig tkinter tomllib turtledemo unittest urllib venv wsgiref xml xmlrpc
zipfile zoneinfo"""
TARGET = Path(__file__).parent.parent / "ckptkit" / "formats" / "stdlib_modules.py"
_TEXT = '''"""The top-level modules of the standard libraries of Python {first} to {last}, all together.

Written by ``tools/list_stdlib.py``. A checkpoint is judged where it is verified and loaded where it is needed, maybe
by another Python: what the running one happens to have is not the question.
"""

_NAMES = """
{names}
"""
_PACKAGES = """
{packages}
"""
STDLIB: frozenset[str] = frozenset(_NAMES.split())
"""Names of modules, without dots."""
STDLIB_PACKAGES: frozenset[str] = frozenset(_PACKAGES.split())
"""Those below which there are more."""
'''


def written() -> str:
    """Return what the module should hold."""
    import stdlibs

    names = {name.partition(".")[0] for version in VERSIONS for name in stdlibs.stdlib_module_names(version)}
    return _TEXT.format(
        first=VERSIONS[0], last=VERSIONS[-1], names=_wrapped(names), packages=_wrapped(PACKAGES.split())
    )


def _wrapped(names: Iterable[str]) -> str:
    return textwrap.fill(" ".join(sorted(names)), 120, break_on_hyphens=False)


def main() -> int:
    """Write the module, or say whether it is what it should be."""
    if "--check" in sys.argv[1:]:
        return int(TARGET.read_text(encoding="utf-8") != written())
    TARGET.write_text(written(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

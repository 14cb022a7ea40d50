"""A library that a backend needs is imported where it is needed; where it is missing, the error says what to do."""

import subprocess
import sys

import pytest

from ckptkit.errors import BackendUnavailableError
from ckptkit.lazy_import import lazy_import


def test_the_module_itself_is_returned() -> None:
    import xml.dom.minidom

    assert lazy_import("xml.dom.minidom", backend="files") is xml.dom.minidom


def test_a_missing_library_is_named_with_the_backend_and_the_command_that_installs_it() -> None:
    with pytest.raises(BackendUnavailableError, match="the tf-data backend needs no_such_library") as caught:
        lazy_import("no_such_library.inner", backend="tf-data")
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("pip install")
    assert "tf-data" in caught.value.hint


def test_the_extra_may_have_another_name_than_the_backend() -> None:
    with pytest.raises(BackendUnavailableError) as caught:
        lazy_import("no_such_library", backend="numpy-rng", extra="numpy")
    assert "[numpy]" in (caught.value.hint or "")


@pytest.mark.parametrize("package", ["ckptkit_safetensors", "ckptkit_tfdata", "ckptkit_torchdata"])
def test_a_package_that_imports_lazily_loads_no_framework(package: str) -> None:
    program = (
        f"import {package}, {package}.lazy_import, sys; print({{'torch', 'numpy', 'tensorflow'}} & {{*sys.modules}})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("set()", "")

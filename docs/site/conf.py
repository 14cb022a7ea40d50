"""Settings of the site that `make docs` builds: the pages of the repository as they are, and a reference from the code.

The source folder is the repository, so that every relative link of a page leads on the site where it leads on a plain
git host. Which page stands where is said here (`_NAVIGATION`), not in the pages.
"""

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

import command_pages  # noqa: E402 - found beside this file
import python_pages  # noqa: E402

import ckptkit  # noqa: E402

project = "ckptkit"
author = "the ckptkit authors"
version = release = ckptkit.__version__
language = "en"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**", "examples/**.md"]
exclude_patterns = ["**/.*", "docs/site/**", "**/__pycache__", "**/node_modules"]
myst_heading_anchors = 4
myst_all_links_external = False

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_class_signature = "separated"
default_role = "code"  # `name` in a docstring
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = "ckptkit"
html_copy_source = False
html_show_sphinx = False
html_additional_pages = {"index": "to_the_first_page.html"}
templates_path = ["templates"]

_NAVIGATION = (
    ("Tutorial", ("docs/tutorial/without-a-framework", "docs/tutorial/*")),
    ("How to", ("docs/how-to/*",)),
    ("Reference", ("docs/generated/commands", "docs/generated/python", "docs/reference/*")),
    ("Explanation", ("docs/explanation/*",)),
    ("Examples", ("examples/*/README", "examples/*/COVERAGE")),
    ("Project", ("README", "CHANGELOG", "CONTRIBUTING", "SECURITY", "docs/adr/README")),
)


def _add_navigation(app: Any, page: str, source: list[str]) -> None:
    if page == root_doc:
        for caption, pages in _NAVIGATION:
            lines = "\n".join(f"/{one}" for one in pages)
            source[0] += f"\n```{{toctree}}\n:hidden:\n:glob:\n:caption: {caption}\n\n{lines}\n```\n"
    if page == "docs/adr/README":
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\n0*\n```\n"


def setup(app: Any) -> None:
    """Write the generated pages before Sphinx looks for pages."""
    target = ROOT / "docs" / "generated"
    command_pages.write(target)
    python_pages.write(target)
    app.connect("source-read", _add_navigation)

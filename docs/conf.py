"""Settings of Sphinx, which builds the documentation site from the pages and the docstrings.

The pages contain nothing that GitHub can't show. What only the site needs is added to their text
as Sphinx reads it: the navigation, and the docstrings in place of comments such as
`<!-- autoclass: controlplane.Entity -->`.
"""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import SphinxError

import controlplane

ROOT = Path(__file__).resolve().parent.parent
NAVIGATION = {
    "First steps": [
        "examples/01-flights/README",
        "docs/definitions",
        "examples/02-windows/README",
        "docs/exploring",
        "docs/testing",
        "examples/04-feature-tests/README",
    ],
    "Training and serving": [
        "docs/training",
        "examples/03-training-sets/README",
        "docs/serving",
        "docs/real-time",
        "examples/06-real-time/README",
    ],
    "What the numbers mean": [
        "docs/semantics",
        "docs/patterns",
        "examples/07-patterns/README",
        "docs/quality",
        "docs/trust",
        "docs/verifying",
    ],
    "Operations": [
        "docs/operating",
        "docs/tables",
        "examples/05-warehouses/README",
        "docs/performance",
    ],
    "Reference": ["docs/reference", "CHANGELOG"],
    "Contributing": [
        "CONTRIBUTING",
        "ARCHITECTURE",
        "docs/internals",
        "SECURITY",
        "CODE_OF_CONDUCT",
    ],
}
"""Section -> its pages, in the order in which a newcomer needs them."""

project = "controlplane"
copyright = "the authors of controlplane"  # noqa: A001 - Sphinx reads this name
release = version = controlplane.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "examples/*/README.md", "examples/*/data/README.md"]
# Folders that hold no pages: Sphinx would walk through each of them, the virtual environment first.
exclude_patterns = [".*", "bench", "build", "dist", "tests"]
exclude_patterns += ["connectors", "controlplane", "dag_templates"]

myst_heading_anchors = 4  # the anchors that GitHub gives to headings
smartquotes = False  # docstrings and pages quote values: "1h"
default_role = "code"  # docstrings quote names in single backticks
autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"controlplane {version}"
html_copy_source = False
html_show_sphinx = False

_DOCSTRINGS = re.compile(r"^<!-- (auto(?:class|function|module)): ([\w.]+) -->$", re.MULTILINE)
_FOREIGN = re.compile(r"""<(?:script|img|iframe|link)\s[^>]*(?:src|href)="(?:https?:)?//[^>]+>""")


def toctree(*pages: str, caption: str) -> str:
    """The directive that adds pages to the navigation."""
    options = [":hidden:", f":caption: {caption}"]
    return "\n".join(["", "", "```{toctree}", *options, "", *pages, "```", ""])


def complete(_: Sphinx, page: str, source: list[str]) -> None:
    """Put the directives for docstrings in place of comments, and add the navigation."""
    source[0] = _DOCSTRINGS.sub(r"```{eval-rst}\n.. \1:: \2\n```", source[0])
    if page == root_doc:
        for section, pages in NAVIGATION.items():
            source[0] += toctree(*(f"/{name}" for name in pages), caption=section)
    folder = Path(page).parent
    if folder.parent.name == "examples" and (ROOT / folder / "data/README.md").is_file():
        source[0] += toctree("data/README", caption="Data")


def finish(app: Sphinx, error: Exception | None) -> None:
    """Open the site with the first page, and check that no page loads anything from another host.

    Raises:
        SphinxError: a page does.
    """
    if error is not None:
        return
    for page in Path(app.outdir).rglob("*.html"):
        if loaded := _FOREIGN.search(page.read_text(encoding="utf-8")):
            raise SphinxError(f"{page} loads from another host: {loaded[0]}")
    first = f'<meta charset="utf-8"><meta http-equiv="refresh" content="0; url={root_doc}.html">\n'
    Path(app.outdir, "index.html").write_text(first, encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Connect the functions above."""
    app.connect("source-read", complete)
    app.connect("build-finished", finish)

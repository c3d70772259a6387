"""The site, by Sphinx from the repository's own files: ``make docs`` writes it to ``build/docs``.

The folder of sources is the repository, so that links between its papers are the same on the site as in a checkout.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from sphinx.ext.autodoc.mock import _MockObject

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]
LITE = ROOT / "build/docs/lite"  # where `make site` puts the course for the browser
(MATHJAX,) = find_spec("sphinx-mathjax-offline").submodule_search_locations  # its extension copies 24 MB, one file does

project = "mapl_explore"
author = copyright = "The mapl_explore authors"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "pages", "live"]
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LEDGER.md",
    "SECURITY.md",
    "data/README.md",
    "docs/**",
    "notebooks/*.ipynb",
    "notebooks/GLOSSARY.md",
    "notebooks/INSTRUCTOR.md",
    "tests/bench/README.md",
]
exclude_patterns = ["docs/requirements.txt", "docs/templates"]

# Notebooks are shown as they are stored, with the picture of each explorer in place of its widget.
nb_execution_mode = "off"
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # those would come from a CDN
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

# What only the trainer needs is not installed; none of it decides what a docstring says.
autodoc_mock_imports = [
    "accelerate", "datasets", "filelock", "huggingface_hub", "joblib", "peft", "safetensors", "tokenizers", "torch",
    "tqdm", "transformers",
]  # fmt: skip
_MockObject.__or__ = _MockObject.__ror__ = lambda self, other: self  # as in `torch.Tensor | None`
autodoc_inherit_docstrings = False
autodoc_typehints = "none"  # the docstrings say more: shape, domain, unit

html_theme = "furo"
html_title = "mapl_explore"
html_baseurl = os.environ.get("PAGES_URL", "")
html_copy_source = False
html_additional_pages = {"index": "to_start.html"}
html_context = {"repository": os.environ.get("GITHUB_REPOSITORY", ""), "lite": LITE.is_dir()}
html_static_path = ["static", f"{MATHJAX}/static/mathjax/tex-svg.js"]
html_css_files, html_js_files = ["site.css"], ["site.js"]
html_favicon = "static/favicon.svg"
mathjax_path = "tex-svg.js"
templates_path = ["templates"]
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "a11y-high-contrast-dark"

"""What Sphinx does not make by itself: public names, texts of pictures, lessons without their answers."""

import json
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.ext.autodoc.mock import mock
from sphinx.util.docutils import SphinxDirective

import mapl_explore
from mapl_explore.course.copies import students_copy, with_outputs

# In place of the answers to the quiz.
WHERE = (
    "A teacher finds the answers at the end of `INSTRUCTOR.md`, next to the notebooks that `mapl-explore lab --teacher`"
    " opens."
)


class PublicNames(SphinxDirective):
    """``.. public-names:: numerics`` shows what ``mapl_explore`` exports from the room ``numerics``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        names = [name for name, home in mapl_explore.HOMES.items() if home.split(".")[0] == self.arguments[0]]
        with mock(self.config.autodoc_mock_imports):
            entries = [_entry(name) for name in sorted(names)]
        return self.parse_text_to_nodes("\n".join(entries))


def _entry(name: str) -> str:
    """Return how Sphinx is asked for the docstring of a public name; a dict has none, and its items are listed."""
    thing = getattr(mapl_explore, name)
    if isinstance(thing, dict):
        items = "\n".join(f"   - ``{key!r}``: ``{value}``" for key, value in thing.items())
        return f".. data:: mapl_explore.{name}\n\n{items}\n"
    if isinstance(thing, type):
        return f".. autoclass:: mapl_explore.{name}\n   :members:\n"
    return f".. autofunction:: mapl_explore.{name}\n"


def _tell_pictures(app: Sphinx, document: nodes.document) -> None:
    """Give each picture of a notebook the line of text that is stored with it, for those who do not see it."""
    for output in document.findall(nodes.container):
        if output.get("nb_element") == "mime_bundle":
            text = " ".join(part.astext() for part in output.children if part.get("mime_type") == "text/plain")
            for image in output.findall(nodes.image):
                image["alt"] = text or "picture"


def _hide_answers(app: Sphinx, name: str, source: list[str]) -> None:
    """Show a lesson as students get it, with its stored outputs and pictures; the instructor's page has no answers."""
    path = Path(app.env.doc2path(name))
    if path.suffix == ".ipynb":
        lesson = students_copy(path)
        source[0] = json.dumps(lesson | {"cells": with_outputs(lesson["cells"], path)})
    elif path.name == "INSTRUCTOR.md":
        told = re.sub(r"^((?:\|[^|\n]*){3})\|[^|\n]*\|$", r"\1|", source[0], flags=re.M)  # what students are to find
        told = re.sub(r"^## Where classes stumble.*?(?=^## )", "", told, flags=re.M | re.S)
        source[0] = re.sub("<details>.*?</details>", WHERE, told, flags=re.S)


def setup(app: Sphinx) -> dict[str, bool]:
    """Make all three known to Sphinx."""
    app.add_directive("public-names", PublicNames)
    app.connect("source-read", _hide_answers)
    app.connect("doctree-read", _tell_pictures)
    return {"parallel_read_safe": True}

"""The questions of a teacher's notebook, read from its cells; nothing of a notebook is run but the value of an answer.

    predict(question, options, answer, why=...)       a guess       01-guess-1, by its place
    check(label, name, expected, hint=..., ...)       an exercise   01-A, by its label
    <details><summary>What is wrong</summary> ...     own words     01-words-5, by its section

The teacher's notebook is the one place where an answer stands.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mapl_explore.files import read_json

# "Answer" and "What is wrong" give something away; "Proof" and other folded parts are the lesson itself.
FOLDED = re.compile(r"<details><summary>(What is wrong|Answers?)</summary>\s*\n(.*?)\n</details>", re.DOTALL)
GUESS, EXERCISE, WORDS = "guess", "exercise", "words"
CALLS = {"predict": GUESS, "check": EXERCISE}


@dataclass(frozen=True)
class Question:
    """One question of a lesson.

    Parameters
    ----------
    kind : str
        ``GUESS``, ``EXERCISE`` or ``WORDS``.
    key : str
        Its name in answers, marks and tables.
    cell : int
        The number of its cell.
    asked : str
        The question, the label of the exercise, or the line over the folded part.
    expected : object
        The right answer; of own words, the text that the course gives.
    settings : dict
        What else the call says: options, why, rtol, choices, hint, low, high.
    """

    kind: str
    key: str
    cell: int
    asked: str
    expected: Any
    settings: dict[str, Any] = field(default_factory=dict)


def read_notebook(path: Path) -> dict[str, Any]:
    """Return a notebook, each of its sources as one text."""
    notebook = read_json(path)
    notebook["cells"] = [cell | {"source": "".join(cell["source"])} for cell in notebook["cells"]]
    return notebook


def questions_of(path: Path) -> list[Question]:
    """Return the questions of a teacher's notebook, in order.

    Raises
    ------
    ValueError
        If a cell with a question does anything else, or two questions have one name.
    """
    cells, number = read_notebook(path)["cells"], path.name[:2]
    found = [*_called(cells, number), *_folded(cells, number)]
    keys = [one.key for one in found]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"{path.name}: two questions have the name {key}: an exercise needs a label of its own")
    return sorted(found, key=lambda one: one.cell)


def call_in(source: str) -> ast.Call | None:
    """Return the call of ``predict`` or ``check`` that a cell consists of, apart from imports; None if it has none.

    Raises
    ------
    ValueError
        If the cell does anything else: a student's copy would tell it.
    """
    others = [one for one in ast.parse(source).body if not isinstance(one, (ast.Import, ast.ImportFrom))]
    calls = [one.value for one in others if isinstance(one, ast.Expr) and isinstance(one.value, ast.Call)]
    asking = [one for one in calls if isinstance(one.func, ast.Name) and one.func.id in CALLS]
    if asking and len(others) > 1:
        raise ValueError(f"a cell with a question may only import, and ask one question: {source!r}")
    return asking[0] if asking else None


def _called(cells: list[dict[str, Any]], number: str) -> Iterator[Question]:
    """Yield the questions that are calls."""
    code = [(i, cell["source"]) for i, cell in enumerate(cells) if cell["cell_type"] == "code"]
    imports = _imports([source for _, source in code])
    guesses = 0
    for i, source in code:
        if (call := call_in(source)) is None:
            continue
        settings = {word.arg: _value(word.value, imports) for word in call.keywords if word.arg}
        if call.func.id == "predict":  # type: ignore[attr-defined]
            guesses += 1
            asked, options, answer = (_value(one, imports) for one in call.args)
            yield Question(GUESS, f"{number}-guess-{guesses}", i, asked, answer, settings | {"options": options})
        else:
            asked, expected = (_value(call.args[place], imports) for place in (0, 2))
            yield Question(EXERCISE, f"{number}-{asked}", i, asked, expected, settings)


def _folded(cells: list[dict[str, Any]], number: str) -> Iterator[Question]:
    """Yield the questions whose answer is folded away under a picture."""
    section = "0"
    for i, cell in enumerate(cells):
        if cell["cell_type"] != "markdown":
            continue
        section = (re.findall(r"^## (\d+) ", cell["source"], re.MULTILINE) or [section])[-1]
        for asked, text in FOLDED.findall(cell["source"]):
            yield Question(WORDS, f"{number}-words-{section}", i, asked, text.strip())


def _imports(sources: list[str]) -> dict[str, str]:
    """Return for each name that a notebook imports the line that does."""
    lines: dict[str, str] = {}
    for node in (one for source in sources for one in ast.parse(source).body):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            lines |= {alias.asname or alias.name: ast.unparse(node) for alias in node.names}
    return lines


def _value(node: ast.expr, imports: dict[str, str]) -> Any:
    """Return the value of an expression, with what the notebook imports."""
    known: dict[str, Any] = {}
    for name in {one.id for one in ast.walk(node) if isinstance(one, ast.Name)} & imports.keys():
        exec(imports[name], known)
    return eval(compile(ast.Expression(node), "<answer>", "eval"), known)

"""A student's copy of a notebook, without its answers, and the file that recognises them.

``python -m mapl_explore.course.copies FOLDER`` writes ``answers.json`` for the teacher's notebooks of a folder. What
agrees with its notebook is left as it is, so that a changed answer changes its own entry.
"""

import ast
import json
import sys
from pathlib import Path
from typing import Any

from mapl_explore.course.given import as_array, kind
from mapl_explore.course.marking import check
from mapl_explore.course.questions import EXERCISE, FOLDED, GUESS, WORDS, Question, call_in, questions_of, read_notebook
from mapl_explore.course.sealed import (
    FILE,
    ROUNDS,
    opened_choice,
    opened_text,
    sealed_choice,
    sealed_text,
    sealed_value,
    verdict,
)
from mapl_explore.files import read_json, write_json
from mapl_explore.words import N_

STUDENTS_FOLDER = "mapl_explore_student"  # where lab puts the copies
RTOL = 0.01  # that of check
ASKED = {
    "What is wrong": N_("What is wrong?"),
    "Answer": N_("What is your answer?"),
    "Answers": N_("What are your answers?"),
}


def students_copy(path: Path) -> dict[str, Any]:
    """Return a teacher's notebook without solutions, answers and hints, and as it is before it was ever run."""
    notebook = read_notebook(path)
    by_cell = {one.cell: one for one in questions_of(path)}
    cells = [
        part
        for i, cell in enumerate(notebook["cells"])
        if "solution" not in cell["metadata"].get("tags", ())
        for part in _parts(cell, by_cell.get(i))
    ]
    return notebook | {"cells": [not_run(cell) for cell in cells]}


def with_outputs(cells: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    """Return the cells of a student's copy with the stored outputs of those that are as they stand in the notebook."""
    stored = {(one["id"], one["source"]): one for one in read_notebook(path)["cells"]}
    return [stored.get((cell["id"], cell["source"]), cell) for cell in cells]


def hidden_answers(folder: Path, known: dict[str, Any], *, rounds: int = ROUNDS) -> dict[str, Any]:
    """Return the hidden answers to all questions of a folder; those known that agree with their question stay."""
    questions = [one for path in sorted(folder.glob("*.ipynb")) for one in questions_of(path)]
    return {one.key: _agreeing(one, known.get(one.key)) or _hidden(one, rounds) for one in questions}


def agrees(one: Question, entry: dict[str, Any]) -> bool:
    """Return whether a hidden answer is that to a question, with the same words and the same tolerance."""
    if one.kind == WORDS:
        return "tag" not in entry and "boxes" not in entry and opened_text(entry) == _as_html(one.expected)
    if one.kind == GUESS:
        return "tag" in entry and opened_choice(entry, [one.expected]) == (one.expected, one.settings.get("why", ""))
    facts = _facts(one)
    same = all(entry.get(name) == facts[name] for name in facts)
    same = same and "advice" in entry and json.loads(opened_text(entry["advice"])) == _advice(one)
    return same and verdict(entry, as_array(one.expected)) == "right"


def _agreeing(one: Question, entry: dict[str, Any] | None) -> dict[str, Any] | None:
    return entry if entry is not None and agrees(one, entry) else None


def _hidden(one: Question, rounds: int) -> dict[str, Any]:
    if one.kind == WORDS:
        return sealed_text(_as_html(one.expected), rounds=rounds)
    if one.kind == GUESS:
        return sealed_choice(one.expected, one.settings.get("why", ""), rounds=rounds)
    facts, advice = _facts(one), _advice(one)
    sides = bool(advice["low"] or advice["high"])
    hidden = sealed_value(as_array(one.expected), rtol=facts["rtol"], sides=sides, rounds=rounds)
    return facts | {"advice": sealed_text(json.dumps(advice), rounds=rounds)} | hidden


def _facts(one: Question) -> dict[str, Any]:
    """Return what may be read of an exercise: the kind of its answer, how exact it is, its choices if any."""
    choices = list(one.settings.get("choices", ()))
    check(one.asked, None, one.expected, choices=choices)  # refuses an answer that nothing can match
    expected, rtol = as_array(one.expected), one.settings.get("rtol", RTOL)
    facts = {"kind": kind(expected), "shape": list(expected.shape), "rtol": rtol}
    return facts | ({"choices": choices} if choices else {})


def _advice(one: Question) -> dict[str, str]:
    """Return what is said of a wrong answer to an exercise."""
    return {name: one.settings.get(name, "") for name in ("hint", "low", "high")}


def _as_html(markdown: str) -> str:
    """Return a text as a widget shows it; formulas stay for MathJax."""
    from nbconvert.filters import markdown2html

    return markdown2html(markdown)


def _parts(cell: dict[str, Any], one: Question | None) -> list[dict[str, Any]]:
    """Return what a cell becomes in a student's copy."""
    if one is None:
        return [cell]
    if one.kind != WORDS:
        return [cell | {"source": _asking(cell["source"], one)}]
    before, after = (text.strip() for text in FOLDED.sub("\0", cell["source"]).split("\0"))
    code = f'from mapl_explore.course.lessons import own_words\n\nown_words("{ASKED[one.asked]}", key="{one.key}")'
    hidden = {"jupyter": {"source_hidden": True}}
    asking = {"cell_type": "code", "id": f"{cell['id']}-words", "metadata": hidden, "source": code}
    texts = [cell | {"id": f"{cell['id']}{name}", "source": text} for name, text in (("", before), ("-more", after))]
    return [part for part in (texts[0], asking, texts[1]) if part["source"]]


def _asking(source: str, one: Question) -> str:
    """Return the source of a question's cell with the question alone: no answer, and nothing that is said of one."""
    call = call_in(source)
    if call is None:
        raise ValueError(f"the cell of {one.key} asks nothing")
    shown = [ast.get_source_segment(source, arg) for arg in call.args[:2]]
    whole = ast.get_source_segment(source, call) or ""
    name, key = "predict" if one.kind == GUESS else "check", f'key="{one.key}"'
    if one.kind == EXERCISE:
        return source.replace(whole, f"{name}({', '.join([*filter(None, shown), key])})")
    lines = "".join(f"    {part},\n" for part in [*filter(None, shown), key])
    return source.replace(whole, f"{name}(\n{lines})")


def not_run(cell: dict[str, Any]) -> dict[str, Any]:
    """Return a cell as it is before it was ever run."""
    return cell | {"execution_count": None, "outputs": []} if cell["cell_type"] == "code" else cell


def main(folder: Path) -> None:
    """Write the hidden answers of a folder."""
    path = folder / FILE
    known = read_json(path) if path.exists() else {}
    entries = hidden_answers(folder, known)
    write_json(path, entries)
    print(f"{sum(entry != known.get(key) for key, entry in entries.items())} of {len(entries)} answers hidden anew")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

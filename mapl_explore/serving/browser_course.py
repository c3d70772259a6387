"""The notebooks for the browser, where torch is missing: cells that need it are told, with what they gave."""

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mapl_explore.course.copies import not_run, students_copy, with_outputs
from mapl_explore.files import write_json

ROOMS = ("models", "training", "experiments")  # that need torch
# The same by their public names; this room is below the door that has them all.
NAMES = (
    "Example", "Finetuned", "PreferenceTrainer", "Round", "Settings", "compare", "finetune", "load_model", "rounds",
    "sample_sets", "score_sets", "training_examples",
)  # fmt: skip
KERNEL = {"display_name": "Python (Pyodide)", "language": "python", "name": "python"}  # another name opens a dialog
HEAD = (
    "*The browser has no torch, the library that trains models, and {told} of the {cells} cells of code here need it. "
    "These are text, with what they gave folded below. To run them, install the package, as its README says.*"
)
AHEAD = "*The next cell needs torch, which the browser does not have.*"
NOTE = AHEAD.replace("The next", "This")
GAVE = "<details><summary>What it gave</summary>"  # folded, as it may answer what the text before it asks


def put_course(paths: Iterable[Path], target: Path) -> None:
    """Write students' copies of notebooks for the kernel in the browser, where every cell runs without torch.

    Parameters
    ----------
    paths : iterable of Path
        The teacher's notebooks.
    target : Path
        A folder; it is made if it does not exist.
    """
    target.mkdir(parents=True, exist_ok=True)
    for path in paths:
        notebook = students_copy(path)
        notebook["cells"] = [not_run(cell) for cell in without_torch(with_outputs(notebook["cells"], path))]
        notebook["metadata"] |= {"kernelspec": KERNEL}
        write_json(target / path.name, notebook)


def without_torch(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return cells where those that need torch, or what such a cell made, are text with their stored outputs.

    The text before such a cell, which may ask the reader to run it, begins with the note; so does the notebook.

    Parameters
    ----------
    cells : list of dict
        The cells of a notebook in the form of nbformat, in their order.

    Examples
    --------
    >>> cell = {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "source": ["import torch"]}
    >>> without_torch([cell])[0]["cell_type"]
    'markdown'
    """
    trees = [ast.parse("".join(cell["source"]) if cell["cell_type"] == "code" else "") for cell in cells]
    told = _told_ones(trees)
    read = {name for tree, away in zip(trees, told, strict=True) if not away for name in _names(tree, ast.Load)}
    kept: list[dict[str, Any]] = []
    for before, cell, tree, away in zip([None, *cells], cells, trees, told, strict=False):
        asked = away and before is not None and before["cell_type"] == "markdown"
        if asked:
            kept[-1] = _noted(kept[-1], AHEAD)
        kept += [_told(cell, () if asked else (NOTE,)), *_imports(cell, tree, read)] if away else [cell]
    if any(told) and cells[0]["cell_type"] == "markdown":
        kept[0] = _noted(kept[0], HEAD.format(told=sum(told), cells=sum(cell["cell_type"] == "code" for cell in cells)))
    return kept


def _noted(cell: dict[str, Any], note: str) -> dict[str, Any]:
    """Return a cell of text with a note at its start, below a heading."""
    source = "".join(cell["source"])
    heading, _, rest = source.partition("\n") if source.startswith("#") else ("", "", source)
    return cell | {"source": f"{heading}\n\n{note}\n\n{rest.lstrip()}".strip()}


def _told_ones(trees: list[ast.Module]) -> list[bool]:
    """Return for each cell whether it needs torch, or what a cell made that does."""
    missing: set[str] = set()
    told = []
    for tree in trees:
        told.append(_needs(tree, missing))
        if told[-1]:
            missing |= _names(tree, ast.Store) | {name for name, module in _homes(tree) if _needs_torch(name, module)}
        else:
            missing -= _names(tree, ast.Store)
    return told


def _needs(tree: ast.Module, missing: set[str]) -> bool:
    """Return whether a cell imports what needs torch, or reads a name that is missing before it makes it itself."""
    made: set[str] = set()
    for statement in tree.body:
        if _names(statement, ast.Load) & (missing - made):
            return True
        made |= _names(statement, ast.Store)
    return any(_needs_torch(name, module) for name, module in _homes(tree))


def _imports(cell: dict[str, Any], tree: ast.Module, read: set[str]) -> list[dict[str, Any]]:
    """Return a cell with the imports of a told one that work without torch, if a cell that is left reads them."""
    imports = [one for one in tree.body if isinstance(one, ast.Import | ast.ImportFrom)]
    working = [
        one
        for one in imports
        if not any(_needs_torch(*home) for home in _homes(one)) and {as_.asname or as_.name for as_ in one.names} & read
    ]
    source = "\n".join(map(ast.unparse, working))
    return [cell | {"id": f"{cell.get('id', '')}-imports"[-64:], "outputs": [], "source": source}] if source else []


def _needs_torch(name: str, module: str) -> bool:
    if module == "mapl_explore":
        return name in NAMES
    place = module.removeprefix("mapl_explore.")
    return place.split(".")[0] in (*ROOMS, "torch") or place == "sampling.answers"


def _homes(tree: ast.AST) -> list[tuple[str, str]]:
    """Return each name that is imported, with the module it is taken from."""
    nodes = list(ast.walk(tree))
    whole = [(one.name, one.name) for node in nodes if isinstance(node, ast.Import) for one in node.names]
    parts = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    return whole + [(one.name, str(node.module)) for node in parts for one in node.names]


def _names(tree: ast.AST, context: type[ast.expr_context]) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, context)}


def _told(cell: dict[str, Any], notes: Iterable[str]) -> dict[str, Any]:
    """Return a cell of code as text: notes, the code, and what is stored of its outputs."""
    pictures = [one["data"]["image/png"] for one in cell["outputs"] if "image/png" in one.get("data", {})]
    texts = [_text(one) for one in cell["outputs"] if "image/png" not in one.get("data", {})]
    named = {f"output-{i}.png": {"image/png": "".join(png)} for i, png in enumerate(pictures)}
    code = f"```python\n{''.join(cell['source'])}\n```"
    gave = [*texts, *(f"![what the cell showed](attachment:{name})" for name in named)]
    parts = [*notes, code, *([GAVE, *gave, "</details>"] if gave else [])]
    text = {"cell_type": "markdown", "metadata": cell["metadata"], "source": "\n\n".join(parts)}
    return text | ({"id": cell["id"]} if "id" in cell else {}) | ({"attachments": named} if named else {})


def _text(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "text/html" in data:
        return "".join(data["text/html"])
    return f"```text\n{''.join(output.get('text', data.get('text/plain', ''))).rstrip()}\n```"

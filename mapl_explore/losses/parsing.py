"""From text to loss: the syntax tree of the text against a list of what is allowed; nothing is evaluated."""

import ast
import difflib
import inspect
from dataclasses import fields

from mapl_explore.losses.naming import KINDS
from mapl_explore.losses.objectives import LOSSES, Loss
from mapl_explore.losses.pairs import Pair
from mapl_explore.losses.rules import TauRule


def parse(text: str) -> Loss:
    """Return the loss that a text names: a preset of ``LOSSES``, or a loss as its ``repr`` writes it.

    Parameters
    ----------
    text : str
        Such as ``"dpo"`` or ``"DPO(beta=0.1, pair=Smooth(tau=5.0))"``. Fields left out have their defaults. Nothing is
        evaluated: only names of losses and pairs, numbers and quoted words are read.

    Returns
    -------
    Loss
        ``parse(repr(loss)) == loss`` for every loss.

    Raises
    ------
    ValueError
        Pointing at the place, and naming what there is.

    Examples
    --------
    >>> parse("smooth-maxneg-minpos")
    MaxMin(pair=Smooth(tau=1.0))
    >>> parse("DPO(pair=Smooth(tau=5))")
    DPO(beta=0.1, pair=Smooth(tau=5.0))
    """
    if text.strip() in LOSSES:
        return LOSSES[text.strip()]
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _misread(text, (getattr(error, "offset", None) or 1) - 1, "this is not a loss") from None
    loss = _build(tree, text.strip())
    if not isinstance(loss, Loss):
        raise _misread(text.strip(), 0, f"{loss!r} is not a loss")
    return loss


def _build(node, text):
    """Return what a node of the syntax tree stands for: a number, a word, a pair or a loss."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        return -_build(node.operand, text)
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise _misread(text, node.col_offset, "expected a name with brackets, such as DPO(), or a number")
    kind = KINDS.get(node.func.id)
    if kind is None or inspect.isabstract(kind):
        raise _misread(text, node.col_offset, f"nothing is called {node.func.id!r}")
    if node.args or any(keyword.arg is None for keyword in node.keywords):
        raise _misread(text, node.col_offset, f"fields are given by name: {_signature(kind)}")
    return _call(kind, node, text)


def _call(kind, node, text):
    known = [one.name for one in fields(kind)]
    for keyword in node.keywords:
        if keyword.arg not in known:
            raise _misread(text, keyword.col_offset, f"no field {keyword.arg!r} in {_signature(kind)}")
    values = {keyword.arg: _build(keyword.value, text) for keyword in node.keywords}
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise _misread(text, node.col_offset, str(error)) from None


def _misread(text: str, column: int, what: str) -> ValueError:
    near = difflib.get_close_matches(text.strip(), LOSSES, n=1)
    hint = f"\nDid you mean {near[0]!r}?" if near else ""
    return ValueError(
        f"cannot read the loss: {what}\n  {text}\n  {' ' * column}^{hint}\n"
        f"Presets: {', '.join(LOSSES)}\nLosses: {_names(Loss)}\nPairs: {_names(Pair)}\nRules for tau: {_names(TauRule)}"
    )


def _names(base) -> str:
    return ", ".join(name for name, kind in KINDS.items() if issubclass(kind, base) and not inspect.isabstract(kind))


def _signature(kind) -> str:
    return f"{kind.__name__}({', '.join(f'{one.name}=...' for one in fields(kind))})"

"""From text to loss: the syntax tree of the text against a list of what is allowed; nothing is evaluated."""

import ast
import inspect
from dataclasses import fields
from typing import Any

from mapl_explore.losses.dynamic_beta import DynamicBeta
from mapl_explore.losses.loss import Loss, require_loss
from mapl_explore.losses.naming import KINDS, Named, require_form
from mapl_explore.losses.near_misses import near_misses
from mapl_explore.losses.objectives import LOSSES
from mapl_explore.losses.pairs import Pair
from mapl_explore.losses.rules import TauRule

NOT_FINITE = ("nan", "inf", "infinity")  # read, so that a field says by its rule why it does not take them


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
    TypeError
        If it is no text.

    Examples
    --------
    >>> parse("smooth-maxneg-minpos")
    MaxMin(pair=Smooth(tau=1.0))
    >>> parse("DPO(pair=Smooth(tau=5))")
    DPO(beta=0.1, pair=Smooth(tau=5.0))
    """
    if not isinstance(text, str):
        raise TypeError(f"a loss is read from text, not from {text!r}")
    return read_as(Loss, text)


def loss_of(loss: Loss | str) -> Loss:
    """Return a loss, given itself or as text for :func:`parse`; anything else raises TypeError."""
    return parse(loss) if isinstance(loss, str) else require_loss(loss)


def read_as(base: type, text: str) -> Any:
    """Return the object of a kind (a loss, a pair, a rule, a kernel) that a text names as its ``repr`` would."""
    text = text.strip()
    try:
        return _read(base, text)
    except _Misread as error:
        raise _refusal(text, error, base) from None


def _read(base: type, text: str) -> Any:
    if base is Loss and text in LOSSES:
        return LOSSES[text]
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _Misread((getattr(error, "offset", None) or 1) - 1, "this has no such form") from None
    thing = _build(tree)
    if not isinstance(thing, base):
        raise _Misread(0, f"{thing!r} is not a {base.__name__.lower()}")
    return thing


class _Misread(ValueError):
    """What is wrong, at which column, and whether it helps to know the names there are."""

    def __init__(self, column: int, what: str, names: bool = True) -> None:
        super().__init__(what)
        self.column, self.names = column, names


def _build(node: ast.expr) -> Any:
    """Return what a node of the syntax tree stands for: a number, a word, a pair or a loss."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str):
        return node.value
    if isinstance(node, ast.Name) and node.id.lower() in NOT_FINITE:
        return float(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and _is_number(node.operand):
        return -_build(node.operand)
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise _Misread(node.col_offset, "expected a name with brackets, such as DPO(), or a number")
    kind = KINDS.get(node.func.id)
    if kind is None or (inspect.isabstract(kind) and kind.__module__.startswith("mapl_explore.")):
        raise _Misread(node.col_offset, f"nothing is called {node.func.id!r}")
    _require_whole(kind, node)
    if node.args or any(keyword.arg is None for keyword in node.keywords):
        raise _Misread(node.col_offset, f"fields are given by name: {_signature(kind)}")
    return _call(kind, node)


def _require_whole(kind: type[Any], node: ast.expr) -> None:
    """Raise if a class of one's own lacks a method or is no frozen dataclass."""
    if inspect.isabstract(kind):
        raise _Misread(
            node.col_offset, f"{kind.__name__} lacks {', '.join(sorted(kind.__abstractmethods__))}", names=False
        )
    try:
        require_form(kind)
    except TypeError as error:
        raise _Misread(node.col_offset, str(error), names=False) from None


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.Name):
        return node.id.lower() in NOT_FINITE
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool)


def _call(kind: type[Named], node: ast.Call) -> Named:
    known = [one.name for one in fields(kind)]
    for keyword in node.keywords:
        if keyword.arg not in known:
            raise _Misread(keyword.col_offset, f"no field {keyword.arg!r} in {_signature(kind)}")
    names = [keyword.arg for keyword in node.keywords]
    if len(set(names)) < len(names):
        raise _Misread(node.col_offset, f"a field is given twice in {kind.__name__}")
    values = {keyword.arg: _build(keyword.value) for keyword in node.keywords if keyword.arg}
    try:
        return kind(**values)
    except (TypeError, ValueError, OverflowError) as error:
        raise _Misread(node.col_offset, str(error), names=isinstance(error, TypeError)) from None


def _refusal(text: str, error: _Misread, base: type) -> ValueError:
    lines = [f"cannot read the {base.__name__.lower()}: {error}", f"  {text}", f"  {' ' * error.column}^"]
    if not error.names:
        return ValueError("\n".join(lines))
    near = near_misses(text, base, lambda one: _read(base, one))
    if near:
        lines.append(f"Did you mean {' or '.join(map(repr, near))}?")
    elif base is Loss:
        lines += [f"Presets: {', '.join(LOSSES)}", f"Losses: {_names(Loss)}"]
        lines += [f"Pairs: {_names(Pair)}", f"Rules for tau: {_names(TauRule)}"]
        lines.append(f"In place of beta: {_names(DynamicBeta)}")
    else:
        lines.append(f"There are: {_names(base)}")
    return ValueError("\n".join(lines))


def _names(base: type) -> str:
    return ", ".join(name for name, kind in KINDS.items() if issubclass(kind, base) and not inspect.isabstract(kind))


def _signature(kind: type[Named]) -> str:
    return f"{kind.__name__}({', '.join(f'{one.name}=...' for one in fields(kind))})"

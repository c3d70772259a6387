"""What a text that cannot be read was probably meant to be: texts near to it that can."""

import ast
import contextlib
import difflib
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import fields
from typing import Any, NoReturn, get_args

from mapl_explore.losses.dynamic_beta import DynamicBeta
from mapl_explore.losses.loss import Loss
from mapl_explore.losses.naming import KINDS
from mapl_explore.losses.objectives import LOSSES
from mapl_explore.losses.pairs import Pair
from mapl_explore.losses.rules import TauRule

# Around what stands where its owner is wanted: a pair in place of a loss, a rule in place of a pair.
OWNERS = (("DPO", "pair", Pair), ("Smooth", "tau", TauRule), ("DPO", "beta", DynamicBeta))
SIGNS = str.maketrans("[]{}:“”‘’−", "()()=\"\"''-")
NAMES = ("alpha", "beta", "gamma", "lam", "tau", "epsilon", "epsilon")
GREEK = dict(zip(map(ord, "αβγλτεϵ"), NAMES, strict=True))


def near_misses(text: str, base: type, read: Callable[[str], object]) -> list[str]:
    """Return up to two texts that can be read, the nearest first, that this one was probably meant to be.

    Parameters
    ----------
    text : str
        What could not be read.
    base : type
        What it was to be read as: a loss, a pair, a rule, a kernel.
    read : function of str
        Raises ValueError where it cannot read a text.

    Examples
    --------
    >>> from mapl_explore.losses import parse
    >>> near_misses("dpo(beta=0,1)", Loss, parse)
    ['DPO(beta=0.1)']
    """
    near = [*_mended(text, base, read), *(_presets(text) if base is Loss else ())]
    near.sort(key=lambda one: -difflib.SequenceMatcher(None, text, one).ratio())
    return list(dict.fromkeys(near))[:2]


def _presets(text: str) -> Iterator[str]:
    """Yield the preset that a text nearly names, or the loss that it is with the numbers that follow it in brackets."""
    name, _, inside = text.partition("(")
    if not inside.strip(" )"):
        yield from filter(None, [_nearest(name, LOSSES)])
    elif name.strip() in LOSSES and not name.strip().isalnum():
        with contextlib.suppress(SyntaxError):
            yield _changed(name.strip(), ast.parse(f"f({inside}", mode="eval").body)


def _changed(preset: str, call: ast.expr) -> str:
    keywords = call.keywords if isinstance(call, ast.Call) else []
    tree, given = ast.parse(repr(LOSSES[preset])), {one.arg: one.value for one in keywords}
    for one in ast.walk(tree):
        if isinstance(one, ast.keyword):
            one.value = given.get(one.arg, one.value)
    return ast.unparse(tree)


def _mended(text: str, base: type, read: Callable[[str], object]) -> list[str]:
    """Return the text with signs, names, fields and quotes put right, if it then can be read."""
    for spelled in _spellings(text):
        with contextlib.suppress(SyntaxError, ValueError, TypeError, RecursionError):
            mended = ast.unparse(_mended_tree(ast.parse(spelled.strip(), mode="eval").body, base))
            read(mended)
            return [mended]
    return []


def _spellings(text: str) -> Iterator[str]:
    """Yield the text, then with signs that Python knows, then with decimal points for commas."""
    yield text
    text = re.sub(r"\blambda\b", "lam", text.translate(SIGNS).translate(GREEK).replace("==", "="))
    text = re.sub(r"([a-z])\s+(?=[\d.])", r"\1=", text) + ")" * (text.count("(") - text.count(")"))
    yield text
    yield re.sub(r"(?<=\d),(?=\d)", ".", text)


def _mended_tree(node: ast.expr, wanted: type | None) -> ast.expr:
    """Return what a node was meant to be where something of this kind is wanted, or a number if None."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        node = ast.parse(node.value, mode="eval").body
    if isinstance(node, ast.Name):
        node = ast.Call(node, [], [])
    if wanted is None or not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return node
    kind: type[Any] = KINDS[_nearest(node.func.id, KINDS) or _refused(node.func.id)]
    tree: ast.expr = ast.Call(ast.Name(kind.__name__), [], _mended_fields(node, kind))
    while not issubclass(kind, wanted):
        tree, kind = _owned(tree, kind)
    return tree


def _owned(tree: ast.expr, kind: type) -> tuple[ast.expr, type[Any]]:
    """Return a node inside the owner that it would have."""
    for owner, field, owned in OWNERS:
        if issubclass(kind, owned):
            return ast.Call(ast.Name(owner), [], [ast.keyword(field, tree)]), KINDS[owner]
    return _refused(kind)


def _mended_fields(call: ast.Call, kind: type[Any]) -> list[ast.keyword]:
    types: dict[str, Any] = {one.name: one.type for one in fields(kind)}
    given = [*zip(types, call.args, strict=False), *((one.arg or "", one.value) for one in call.keywords)]
    if "pair" in types and "tau" not in types:  # DPO(tau=5): the tau is that of a smooth pair
        given = [("pair", _smooth(value)) if name == "tau" else (name, value) for name, value in given]
    given = [(_nearest(name, types) or _refused(name), value) for name, value in given]
    return [ast.keyword(name, _mended_value(value, types[name])) for name, value in given]


def _mended_value(value: ast.expr, annotation: object) -> ast.expr:
    kinds = (one for one in (annotation, *get_args(annotation)) if one in (Pair, TauRule, DynamicBeta))
    return value if annotation is str else _mended_tree(value, next(kinds, None))


def _smooth(tau: ast.expr) -> ast.Call:
    return ast.Call(ast.Name("Smooth"), [], [ast.keyword("tau", tau)])


def _nearest(name: str, names: Collection[str]) -> str | None:
    """Return the name that equals this one except for case and dashes, else one with most letters in common."""
    if name in names:
        return name
    plain = {re.sub(r"[\W_]", "", one).lower(): one for one in names}
    near = difflib.get_close_matches(re.sub(r"[\W_]", "", name).lower(), plain, n=1, cutoff=0.66)
    return plain[near[0]] if near else None


def _refused(what: object) -> NoReturn:
    raise ValueError(f"nothing is near to {what!r}")

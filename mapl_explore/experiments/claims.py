"""Claims of others, and the rule by which a comparison decides each of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from mapl_explore.experiments.tables import placed, require_known, table_in, text_of
from mapl_explore.files import shortened

OPPOSITE = {"higher": "lower", "lower": "higher"}
HOLDS, FAILS, UNDECIDED = "holds", "fails", "undecided"

Place = tuple[str, Mapping[str, Any]]  # the name of an arm, and its cell


@dataclass(frozen=True)
class Rule:
    """How a claim is decided: by the verdict on one arm in one cell, against the baseline in the same cell.

    Parameters
    ----------
    arm : str
        Not the baseline.
    expected : {"higher", "lower"}
        The verdict with which the claim holds; with the other one it fails, else it is undecided.
    cell : dict
        The values of all factors of the grid.

    Examples
    --------
    >>> rule = Rule("smooth", "higher", {})
    >>> [rule.decided(verdict) for verdict in ("higher", "lower", "too few seeds for a claim")]
    ['holds', 'fails', 'undecided']
    """

    arm: str
    expected: str
    cell: Mapping[str, Any]

    def decided(self, verdict: str) -> str:
        """Return whether the claim holds, by the verdict of the report."""
        return {self.expected: HOLDS, OPPOSITE[self.expected]: FAILS}.get(verdict, UNDECIDED)


@dataclass(frozen=True)
class Claim:
    """A claim, and how it is tested here.

    Parameters
    ----------
    id : str
        A name of its own in the plan.
    words : str
        The claim in its author's words.
    source : str
        Title, and arXiv, DOI or address.
    scale : str
        The author's number and scale, or that there are none.
    test : str
        Our test, in one sentence.
    rule : Rule
        How the verdict follows from the report.
    """

    id: str
    words: str
    source: str
    scale: str
    test: str
    rule: Rule


def claims_of(tables: Any, baseline: str, places: Sequence[Place]) -> tuple[Claim, ...]:
    """Return the claims of a plan, whose rules must name an arm in a cell that the plan has."""
    if not isinstance(tables, list | tuple) or not all(isinstance(one, Mapping) for one in tables):
        raise TypeError(f"claims must be tables, each as [[claims]], not {shortened(tables)}")
    found = tuple(_claim(number, table, baseline, places) for number, table in enumerate(tables, 1))
    names = [claim.id for claim in found]
    for name in (name for place, name in enumerate(names) if name in names[:place]):
        raise ValueError(f"claims must have different ids; two have {name!r}")
    return found


def _claim(number: int, table: Mapping[str, Any], baseline: str, places: Sequence[Place]) -> Claim:
    keys = [each.name for each in fields(Claim)]
    with placed(f"[[claims]] {number}: "):
        require_known(table, keys, "a claim")
        texts = {key: text_of(table, key) for key in keys if key != "rule"}
        return Claim(**texts, rule=_rule(table_in(table, "rule"), baseline, places))


def _rule(table: Mapping[str, Any], baseline: str, places: Sequence[Place]) -> Rule:
    with placed("rule: "):
        require_known(table, [each.name for each in fields(Rule)], "it")
        rule = Rule(text_of(table, "arm"), text_of(table, "expected"), dict(table_in(table, "cell", {})))
        if rule.arm == baseline:
            raise ValueError(f"arm must not be the baseline, {baseline!r}, with which it is compared")
        if rule.expected not in OPPOSITE:
            raise ValueError(f"expected must be 'higher' or 'lower', not {shortened(rule.expected)}")
        if (rule.arm, rule.cell) not in places:
            raise ValueError(f"the plan has no arm {rule.arm!r} in the cell {shortened(rule.cell)}")
    return rule

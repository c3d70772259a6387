"""Claims of others, and the rule by which a comparison decides each of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from mapl_explore.experiments import reaching, shares
from mapl_explore.experiments.tables import placed, require_known, table_in, text_of
from mapl_explore.files import shortened
from mapl_explore.runs.measured import BY_SET
from mapl_explore.training.settings import one_of

BASE = "base"  # the model before training, from which the measures below are counted
FROM_BASE = ("chosen_ratio", "rejected_ratio", "kl")
OPPOSITE = {"higher": "lower", "lower": "higher"}
DIFFERENT, ALIKE = "different", "alike"  # in either direction, and in neither
OTHERS = "others"
OF_WHOLE_ARMS = {**reaching.LABELS, shares.VARIANCE: shares.LABEL}  # and of no single question
HOLDS, FAILS, UNDECIDED = "holds", "fails", "undecided"
LONGEST_BRIEF = 12  # words
MAY_LACK = ("brief", "after")

Place = tuple[str, Mapping[str, Any]]  # the name of an arm, and its cell


@dataclass(frozen=True)
class Rule:
    """How a claim is decided: by the verdict on one arm in one cell, against another one in the same cell.

    Parameters
    ----------
    arm : str
        Whose measure is meant.
    expected : {"higher", "lower", "different", "alike"}
        The verdict with which the claim holds; with the other one it fails, else it is undecided. ``different`` holds
        with either of them, for a claim that names no direction, and ``alike`` fails with either: that two arms are
        alike no interval shows.
    cell : dict
        The values of all factors of the grid.
    than : str
        The other arm; or ``base``, the model before training, for a log-ratio or the KL to it.
    measure : str
        What is compared, one of ``BY_SET`` of :mod:`mapl_explore.runs.measured`; or ``sets_to_80``, of which fewer
        are quicker, or ``kl_at_80``, the KL at equal accuracy, see :mod:`mapl_explore.experiments.reaching`; or
        ``others``, what all but the leaders have of the gradient, the mean over the training; or
        ``variance``, of ``lr`` and ``loss`` in place of two arms: which share of the variance each of them explains in
        the table of all arms and all learning rates that were tried.

    Examples
    --------
    >>> rule = Rule("smooth", "higher", {}, "hardest", "right")
    >>> [rule.decided(verdict) for verdict in ("higher", "lower", "too few seeds for a claim")]
    ['holds', 'fails', 'undecided']
    """

    arm: str
    expected: str
    cell: Mapping[str, Any]
    than: str
    measure: str

    @property
    def compared(self) -> dict[str, Any]:
        """Return what is compared, which is all but the verdict that is expected."""
        return {name: value for name, value in asdict(self).items() if name != "expected"}

    def decided(self, verdict: str) -> str:
        """Return whether the claim holds, by the verdict of the report."""
        if self.expected == DIFFERENT:
            return HOLDS if verdict in OPPOSITE else UNDECIDED
        if self.expected == ALIKE:
            return FAILS if verdict in OPPOSITE else UNDECIDED
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
    brief : str
        What is tested, in at most twelve words that say what holds if the claim does; may be empty.
    after : str
        What was known when the claim was added or its rule was changed; empty if nothing of its result was.
    """

    id: str
    words: str
    source: str
    scale: str
    test: str
    rule: Rule
    brief: str = ""
    after: str = ""


def claims_of(tables: Any, baseline: str, measure: str, places: Sequence[Place]) -> tuple[Claim, ...]:
    """Return the claims of a plan, whose rules must name arms in a cell that the plan has.

    A rule without ``than`` compares with the baseline, and one without ``measure`` by that of the plan.
    """
    if not isinstance(tables, list | tuple) or not all(isinstance(one, Mapping) for one in tables):
        raise TypeError(f"claims must be tables, each as [[claims]], not {shortened(tables)}")
    found = tuple(
        _claim(number, table, {"than": baseline, "measure": measure}, places) for number, table in enumerate(tables, 1)
    )
    names = [claim.id for claim in found]
    for name in (name for place, name in enumerate(names) if name in names[:place]):
        raise ValueError(f"claims must have different ids; two have {name!r}")
    return found


def _claim(number: int, table: Mapping[str, Any], usual: Mapping[str, str], places: Sequence[Place]) -> Claim:
    keys = [each.name for each in fields(Claim)]
    with placed(f"[[claims]] {number}: "):
        require_known(table, keys, "a claim")
        texts = {key: text_of(table, key) for key in keys if key != "rule" and (key in table or key not in MAY_LACK)}
        words = len(texts.get("brief", "").split())
        if words > LONGEST_BRIEF:
            raise ValueError(f"brief must have at most {LONGEST_BRIEF} words, not {words}")
        return Claim(**texts, rule=_rule({**usual, **table_in(table, "rule")}, places))


def _rule(table: Mapping[str, Any], places: Sequence[Place]) -> Rule:
    with placed("rule: "):
        require_known(table, [each.name for each in fields(Rule)], "it")
        texts = {key: text_of(table, key) for key in ("arm", "expected", "than", "measure")}
        rule = Rule(cell=dict(table_in(table, "cell", {})), **texts)
        one_of(*OPPOSITE, DIFFERENT, ALIKE)("expected", rule.expected)
        one_of(*BY_SET, OTHERS, *OF_WHOLE_ARMS)("measure", rule.measure)
        if rule.arm == rule.than:
            raise ValueError(f"arm must not be {rule.than!r}, with which it is compared")
        if rule.than == BASE and rule.measure not in FROM_BASE:
            raise ValueError(f"than = {BASE!r} needs a measure relative to it, {' or '.join(FROM_BASE)}")
        if rule.measure == shares.VARIANCE:
            _require_shares(rule, places)
            return rule
        for arm in (rule.arm, rule.than):
            if arm != BASE and (arm, rule.cell) not in places:
                raise ValueError(f"the plan has no arm {arm!r} in the cell {shortened(rule.cell)}")
    return rule


def _require_shares(rule: Rule, places: Sequence[Place]) -> None:
    """Raise unless the rule compares rate and loss, and there are losses to compare."""
    if (rule.arm, rule.than) != (shares.RATE, shares.LOSS):
        asked = f"arm = {shares.RATE!r} and than = {shares.LOSS!r}"
        raise ValueError(f"measure {rule.measure!r} needs {asked}, not {rule.arm!r} and {rule.than!r}")
    if sum(cell == rule.cell for _, cell in places) < 2:
        raise ValueError(f"measure {rule.measure!r} needs two arms in the cell {shortened(dict(rule.cell))}")

"""The results that come with the package: those of a plan of ``experiments``, with its claims and its forest plot."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mapl_explore.experiments.ledger import Entry, entries_of, plans_in, result_of
from mapl_explore.experiments.plan import Plan, read_plan
from mapl_explore.experiments.report import Row, forest_of, table_of
from mapl_explore.files import shipped
from mapl_explore.training.settings import one_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Recorded:
    """What a comparison has found, as it was recorded; made by :func:`recorded`.

    Parameters
    ----------
    plan : Plan
        What was compared.
    rows : sequence of Row
        One for each arm in each cell.
    entries : sequence of Entry
        What became of each claim.
    """

    plan: Plan
    rows: tuple[Row, ...]
    entries: tuple[Entry, ...]

    @property
    def forest(self) -> "Figure":
        """Return its forest plot."""
        return forest_of(self.plan, self.rows)

    def __repr__(self) -> str:
        """Return its table."""
        return table_of(self.rows, self.plan)

    def _repr_png_(self) -> bytes:
        """Return the forest plot, which a notebook shows."""
        buffer = io.BytesIO()
        self.forest.savefig(buffer, format="png", bbox_inches="tight")
        return buffer.getvalue()


def recorded(name: str) -> Recorded:
    """Return the recorded result of a plan of ``experiments``, by its name.

    Raises
    ------
    ValueError
        If there is no plan of this name, or it was not run yet.

    Examples
    --------
    >>> few = recorded("few")
    >>> few.plan.baseline, few.rows[0].seeds
    ('hardest', 8)
    >>> {entry.claim.id: entry.verdict for entry in few.entries}["displacement"]
    'fails'
    """
    paths = {path.stem: path for path in plans_in(shipped("experiments"))}
    path = paths[one_of(*paths)("name", name)]
    plan = read_plan(path)
    result = result_of(path, plan)
    if result is None:
        raise ValueError(f"the plan {name!r} was not run yet: mapl-explore compare {path} does it")
    rows = map(Row.read, result["arms"])
    return Recorded(plan, tuple(rows), tuple(entries_of(path)))

"""What is measured of scored sets, numpy or torch: the loss, its margins, and what its pair does on either side."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from mapl_explore.losses.dynamic_beta import LEAST, DynamicBeta
from mapl_explore.losses.loss import Comparing, Loss, Paired, has_margin
from mapl_explore.losses.pairs import Side, Sides, Smooth, negatives, positives
from mapl_explore.losses.sets import ScoredSets
from mapl_explore.numerics.arrays import Array, detach, namespace, row_sum
from mapl_explore.numerics.unchecked import smoothing_error, top_gap, upper_bound

SIDES = ("positive_", "negative_")
LOGGED = ("leader", "tau", "error", "lower", "upper")  # of a side, at each step


def losses_and_sides(loss: Loss, sets: ScoredSets) -> tuple[Array, Sides]:
    """Return the loss (sets,) and the sides that it saw, on which each tau is solved once.

    A class that brings a ``__call__`` of its own is called, and solves its sides once more.
    """
    sides = loss.sides(sets)
    return loss.value(sets, sides) if type(loss).__call__ is Loss.__call__ else loss(sets), sides


def measures(loss: Loss, sets: ScoredSets, losses: Array | None = None, sides: Sides | None = None) -> dict[str, Array]:
    """Return what is told about scored sets, each (sets,), without gradients.

    ``loss``; ``hard_margin``, the lowest positive score minus the highest negative one, by the loss's own score per
    response; ``margin``, that of the loss's own pair, where it has one; ``accuracy``, 1 where the hard margin is > 0;
    ``chosen`` and ``rejected``, the mean log-probability of the positives and of the negatives; ``chosen_ratio`` and
    ``rejected_ratio``, how far these are above the reference's; with a :class:`DynamicBeta`, ``beta``, which is that
    of all these sets, and ``beta_at_floor``, 1 where it is its floor. What is there already, of
    :func:`losses_and_sides`, is not computed again.
    """
    sets = sets.with_logp(detach(sets.logp))
    if losses is None or sides is None:
        losses, sides = losses_and_sides(loss, sets)
    hard, xp = loss.hard_margin(sets), namespace(sets.logp)
    chosen, rejected, ratio = sets.label > 0, sets.label < 0, sets.logp - sets.ref_logp
    return {
        "loss": detach(losses),
        "hard_margin": hard,
        **_of_margin(loss, sets, sides),
        "accuracy": xp.astype(hard > 0, hard.dtype),
        "chosen": _mean_where(chosen, sets.logp),
        "rejected": _mean_where(rejected, sets.logp),
        "chosen_ratio": _mean_where(chosen, ratio),
        "rejected_ratio": _mean_where(rejected, ratio),
    }


def _of_margin(loss: Loss, sets: ScoredSets, sides: Sides) -> dict[str, Array]:
    """Return the margin (sets,) that a loss sees, and the beta that follows it; nothing where there is none."""
    if not has_margin(loss):
        return {}
    margin = sides.margin if type(loss).margin is Comparing.margin else loss.margin(sets)
    rule, xp = getattr(loss, "beta", None), namespace(margin)
    if not isinstance(rule, DynamicBeta):
        return {"margin": margin}
    beta = xp.broadcast_to(rule.of(margin), margin.shape)
    return {"margin": margin, "beta": beta, "beta_at_floor": xp.astype(beta <= LEAST, margin.dtype)}


class MeasuredSide(NamedTuple):
    """What the pair of a loss does on one side of the sets, each (sets,); nats, and 1/nats for tau.

    ``n``, how many responses; ``gap``, how much harder the hardest is than the next, inf where it is alone;
    ``share``, the weight of the hardest in the gradient of the side; ``leader``, the largest weight; ``tau``, None
    where the pair has none; ``error``, the smoothing error, and ``lower`` and ``upper``, its bounds from n and gap
    alone, None where the pair is not smooth.
    """

    n: Array
    gap: Array
    share: Array
    leader: Array
    tau: Array | None = None
    error: Array | None = None
    lower: Array | None = None
    upper: Array | None = None


def measured_sides(loss: Loss, sets: ScoredSets, sides: Sides | None = None) -> dict[str, MeasuredSide]:
    """Return what the pair of a loss does, without gradients, on each side that the loss looks at.

    The sides are called ``positive`` and ``negative``. What is there already, of :func:`losses_and_sides`, is not
    computed again.
    """
    sets = sets.with_logp(detach(sets.logp))
    sides, r = sides or loss.sides(sets), loss.score(sets)
    scores = {"positive": positives(-r, sets.label), "negative": negatives(r, sets.label)}
    smooth = loss.pair if isinstance(loss, Paired) and isinstance(loss.pair, Smooth) else None
    return {name: _measured(side, scores[name], smooth) for name, side in sides._asdict().items() if side is not None}


def side_measures(loss: Loss, sets: ScoredSets, sides: Sides | None = None) -> dict[str, Array]:
    """Return what is logged of :func:`measured_sides`, each (sets,), NaN where a side has one response.

    For either side, under ``positive_`` and ``negative_``: ``leader``, and, where the pair has them, ``tau``,
    ``error``, ``lower`` and ``upper``.
    """
    return {
        f"{name}_{what}": namespace(value).where(side.n > 1, value, math.nan)
        for name, side in measured_sides(loss, sets, sides).items()
        for what in LOGGED
        if (value := getattr(side, what)) is not None
    }


def means(measured: Array, names: Sequence[str]) -> dict[str, float]:
    """Return the mean over the sets of each column of a table (sets, names), leaving out what no set has.

    The measures of a side are NaN, and not counted, where it has one response; any other NaN is shown.
    """
    columns = dict(zip(names, measured.T, strict=True))
    isnan = namespace(measured).isnan
    counted = {name: c[~isnan(c)] if name.startswith(SIDES) else c for name, c in columns.items()}
    return {name: float(column.mean()) for name, column in counted.items() if len(column)}


def _measured(side: Side, scores: Array, smooth: Smooth | None) -> MeasuredSide:
    xp, gap = namespace(scores), top_gap(scores)
    count = row_sum(xp.astype(scores > -math.inf, scores.dtype))
    hardest = xp.argmax(scores, axis=-1, keepdims=True)
    share = xp.take_along_axis(side.weights, hardest, axis=-1)[..., 0]
    measured = MeasuredSide(count, gap, share, xp.max(side.weights, axis=-1))
    if side.tau is None:
        return measured
    tau = xp.broadcast_to(side.tau, count.shape)
    if smooth is None:
        return measured._replace(tau=tau)
    lower, upper = (upper_bound(others, gap, tau, smooth.alpha) for others in (xp.ones_like(gap), count - 1))
    return measured._replace(tau=tau, error=smoothing_error(scores, tau, smooth.alpha), lower=lower, upper=upper)


def _mean_where(mask: Array, values: Array) -> Array:
    xp = namespace(values)
    return row_sum(xp.where(mask, values, 0.0)) / row_sum(xp.astype(mask, values.dtype))

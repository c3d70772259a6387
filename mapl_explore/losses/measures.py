"""What is measured of scored sets: the loss, its margins, and what its smooth extremes do on either side."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from mapl_explore.losses import Hardest, Loss, ScoredSets, Smooth, margin
from mapl_explore.losses.pairs import Side, Sides, negatives, positives
from mapl_explore.numerics.unchecked import smoothing_error, top_gap, upper_bound

SIDES = ("positive_", "negative_")


def losses_and_sides(loss: Loss, sets: ScoredSets) -> tuple[torch.Tensor, Sides]:
    """Return the loss (sets,) and the sides that it saw, on which each tau is solved once.

    A class that brings a ``__call__`` of its own is called, and solves its sides once more.
    """
    sides = loss.sides(sets)
    return loss.value(sets, sides) if _as_in_base(loss, "__call__") else loss(sets), sides


def measures(
    loss: Loss, sets: ScoredSets, losses: torch.Tensor | None = None, sides: Sides | None = None
) -> dict[str, torch.Tensor]:
    """Return what is told about scored sets, each (sets,), without gradients.

    ``loss``; ``hard_margin``, the lowest positive score minus the highest negative one, by the loss's own score per
    response; ``margin``, that of the loss's own pair; ``accuracy``, 1 where the hard margin is > 0; ``chosen`` and
    ``rejected``, the mean log-probability of the positives and of the negatives; ``chosen_ratio`` and
    ``rejected_ratio``, how far these are above the reference's. What is there already, of
    :func:`losses_and_sides`, is not computed again.
    """
    sets = _detached(sets)
    if losses is None or sides is None:
        losses, sides = losses_and_sides(loss, sets)
    hard = margin(sets, replace(loss, pair=Hardest()) if hasattr(loss, "pair") else loss)
    chosen, rejected, ratio = sets.label > 0, sets.label < 0, sets.logp - sets.ref_logp
    return {
        "loss": losses.detach(),
        "hard_margin": hard,
        "margin": sides.margin if _as_in_base(loss, "margin") else margin(sets, loss),
        "accuracy": (hard > 0).to(hard.dtype),
        "chosen": _mean_where(chosen, sets.logp),
        "rejected": _mean_where(rejected, sets.logp),
        "chosen_ratio": _mean_where(chosen, ratio),
        "rejected_ratio": _mean_where(rejected, ratio),
    }


def side_measures(loss: Loss, sets: ScoredSets, sides: Sides | None = None) -> dict[str, torch.Tensor]:
    """Return what the pair of a loss does on each side of the sets, each (sets,), NaN where a side has one response.

    For either side, under ``positive_`` and ``negative_``: ``leader``, the largest weight in the gradient; where the
    pair has a tau, ``tau``; and for the smooth pair ``error``, the smoothing error, between ``lower`` and ``upper``,
    its bounds from size and gap alone, in nats. A side that the loss does not look at is left out.
    """
    sets = _detached(sets)
    sides, r = sides or loss.sides(sets), loss.score(sets)
    scores = {"positive": positives(-r, sets.label), "negative": negatives(r, sets.label)}
    there = {name: side for name, side in sides._asdict().items() if side is not None}
    smooth = isinstance(getattr(loss, "pair", None), Smooth)
    return {
        f"{name}_{what}": value for name, side in there.items() for what, value in _side(side, scores[name], smooth)
    }


def means(measured: torch.Tensor, names: Sequence[str]) -> dict[str, float]:
    """Return the mean over the sets of each column of a table (sets, names), leaving out what no set has.

    The measures of a side are NaN, and not counted, where it has one response; any other NaN is shown.
    """
    columns = dict(zip(names, measured.T, strict=True))
    counted = {name: c[~c.isnan()] if name.startswith(SIDES) else c for name, c in columns.items()}
    return {name: column.mean().item() for name, column in counted.items() if len(column)}


def _side(side: Side, scores: torch.Tensor, smooth: bool):
    count = (scores > -math.inf).sum(dim=-1).to(scores.dtype)
    several = count > 1
    found = {"leader": side.weights.max(dim=-1).values}
    if side.tau is not None:
        found["tau"] = tau = side.tau.expand(several.shape)
    if smooth:
        gap = top_gap(scores)
        found["error"] = smoothing_error(scores, tau)
        found["lower"], found["upper"] = upper_bound(torch.ones_like(gap), gap, tau), upper_bound(count - 1, gap, tau)
    return ((name, torch.where(several, value, math.nan)) for name, value in found.items())


def _as_in_base(loss: Loss, method: str) -> bool:
    return getattr(type(loss), method) is getattr(Loss, method)


def _detached(sets: ScoredSets) -> ScoredSets:
    return ScoredSets.unchecked(sets.logp.detach(), sets.ref_logp, sets.length, sets.label)


def _mean_where(mask: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return torch.where(mask, values, 0.0).sum(-1) / mask.sum(-1)

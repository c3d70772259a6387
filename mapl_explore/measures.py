"""What is measured of scored sets: the loss, its margins, and what its smooth extremes do on either side."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from mapl_explore.bounds import _upper
from mapl_explore.losses import Hardest, Loss, OneSided, ScoredSets, Smooth, margin
from mapl_explore.losses.pairs import negatives, positives
from mapl_explore.losses.rules import tau_of
from mapl_explore.smoothing import _smoothing_error, _top_gap

SIDES = ("positive_", "negative_")


def measures(loss: Loss, sets: ScoredSets, losses: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    """Return what is told about scored sets, each (sets,), without gradients.

    ``loss``; ``hard_margin``, the lowest positive score minus the highest negative one, by the loss's own score per
    response; ``margin``, that of the loss's own pair; ``accuracy``, 1 where the hard margin is > 0; ``chosen`` and
    ``rejected``, the mean log-probability of the positives and of the negatives; ``chosen_ratio`` and
    ``rejected_ratio``, how far these are above the reference's.
    """
    sets = ScoredSets.unchecked(sets.logp.detach(), sets.ref_logp, sets.length, sets.label)
    hard = margin(sets, replace(loss, pair=Hardest()) if hasattr(loss, "pair") else loss)
    chosen, rejected, ratio = sets.label > 0, sets.label < 0, sets.logp - sets.ref_logp
    return {
        "loss": loss(sets) if losses is None else losses.detach(),
        "hard_margin": hard,
        "margin": margin(sets, loss),
        "accuracy": (hard > 0).to(hard.dtype),
        "chosen": _mean_where(chosen, sets.logp),
        "rejected": _mean_where(rejected, sets.logp),
        "chosen_ratio": _mean_where(chosen, ratio),
        "rejected_ratio": _mean_where(rejected, ratio),
    }


def side_measures(loss: Loss, sets: ScoredSets) -> dict[str, torch.Tensor]:
    """Return what the pair of a loss does on each side of the sets, each (sets,), NaN where a side has one response.

    For either side, under ``positive_`` and ``negative_``: ``leader``, the largest weight in the gradient; where the
    pair has a tau, ``tau``; and for the smooth pair ``error``, the smoothing error, between ``lower`` and ``upper``,
    its bounds from size and gap alone, in nats. A side that the loss does not look at is left out.
    """
    if not hasattr(loss, "pair"):
        return {}
    r = loss.score(ScoredSets.unchecked(sets.logp.detach(), sets.ref_logp, sets.length, sets.label))
    sides = {} if isinstance(loss, OneSided) else {"positive": positives(-r, sets.label)}
    sides["negative"] = negatives(r, sets.label)
    return {f"{side}_{name}": value for side, scores in sides.items() for name, value in _side(loss.pair, scores)}


def means(measured: torch.Tensor, names: Sequence[str]) -> dict[str, float]:
    """Return the mean over the sets of each column of a table (sets, names), leaving out what no set has.

    The measures of a side are NaN, and not counted, where it has one response; any other NaN is shown.
    """
    columns = dict(zip(names, measured.T, strict=True))
    counted = {name: c[~c.isnan()] if name.startswith(SIDES) else c for name, c in columns.items()}
    return {name: column.mean().item() for name, column in counted.items() if len(column)}


def _side(pair, scores):
    count = (scores > -math.inf).sum(dim=-1).to(scores.dtype)
    several = count > 1
    found = {"leader": pair.side(scores)[1].max(dim=-1).values}
    if hasattr(pair, "tau"):
        found["tau"] = tau = tau_of(pair.tau, scores).expand(several.shape)
    if isinstance(pair, Smooth):
        gap = _top_gap(scores)
        found["error"] = _smoothing_error(scores, tau)
        found["lower"], found["upper"] = _upper(torch.ones_like(gap), gap, tau), _upper(count - 1, gap, tau)
    return ((name, torch.where(several, value, math.nan)) for name, value in found.items())


def _mean_where(mask: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return torch.where(mask, values, 0.0).sum(-1) / mask.sum(-1)

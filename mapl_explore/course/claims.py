"""What the post claims of pairs and smoothing, measured on given sets: each function returns figures and one line.

    claim_rejection     "rejects highly confident or noisy samples ... reducing variance"
    claim_reach         "smooth-max over negatives encourages exploration over many bad examples"
    claim_outlier       "smooth-min over positives reduces brittleness to outliers"

None of them is taken for granted: the line says what was found, whatever it is. The first two compare log-ratios, and
raise ValueError for sets that were scored without a reference.
"""

from dataclasses import dataclass

import numpy as np

from mapl_explore.losses import DPO, Hardest, MaxMin, Mellow, ScoredSets, Smooth, require_reference
from mapl_explore.numerics.arrays import to_numpy
from mapl_explore.sampling.pairs import Kernel, QuantileBand, RejectionSampler, pair_margins, random_pairs


@dataclass(frozen=True)
class Finding:
    """What a claim came to on some sets.

    Parameters
    ----------
    claim : str
        The question.
    holds : bool
        Whether it held on these sets.
    figures : dict of float
        What was measured, by name.
    """

    claim: str
    holds: bool
    figures: dict[str, float]

    def __str__(self) -> str:
        """Return the question and its answer in a line."""
        shown = ", ".join(f"{name} {value:.4g}" for name, value in self.figures.items())
        return f"{self.claim} {'Yes' if self.holds else 'No'}, on these sets: {shown}."


def claim_rejection(
    sets: ScoredSets, *, accept: Kernel | None = None, beta: float = 0.1, size: int = 4000, seed: int = 0
) -> Finding:
    """Return whether rejection by margin lowers the variance of the DPO gradient, at equal numbers of pairs.

    The gradient of a pair in its own margin is -beta*sigma(-beta*m). A lower variance may come of a lower mean, so the
    relative one (variance over mean square) stands beside it, and the claim must hold for both.

    Parameters
    ----------
    sets : ScoredSets
        Their pairs are the pool.
    accept : Kernel, optional
        What is kept; the middle half of the margins if not given.
    beta : float
        > 0.
    size, seed : int
        How many pairs each way, and where the randomness starts.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> logp, label = rng.normal(size=(50, 6)) * 9, np.tile([1, 1, 1, -1, -1, -1], (50, 1))
    >>> sets = ScoredSets(logp, np.zeros_like(logp), np.ones_like(label), label)
    >>> claim_rejection(sets).holds
    True
    """
    loss, rng = DPO(beta=beta), np.random.default_rng(seed)
    margins = pair_margins(sets, loss).margin
    kept, _ = RejectionSampler(accept or QuantileBand()).sample(rng, margins, size)
    figures = {}
    for name, indices in (("random", random_pairs(rng, margins, size)), ("rejection", kept)):
        slopes = loss.link_slope(margins[indices])
        figures[f"variance ({name})"] = float(slopes.var())
        figures[f"relative variance ({name})"] = float(slopes.var() / np.square(slopes).mean())
    lower = [figures[f"{kind} (rejection)"] < figures[f"{kind} (random)"] for kind in ("variance", "relative variance")]
    return Finding("Does rejecting confident and noisy pairs lower the variance of the gradient?", all(lower), figures)


def claim_reach(sets: ScoredSets, *, tau: float = 1.0) -> Finding:
    """Return whether the smooth maximum reaches more negatives than the hard one: their effective number, 1/sum w^2.

    Parameters
    ----------
    sets : ScoredSets
        Compared by their log-ratios.
    tau : float
        Of the smooth maximum, > 0, in 1/nats.

    Examples
    --------
    >>> sets = ScoredSets([-1.0, -3.0, -3.5, -40.0], [0.0] * 4, [1] * 4, [1, -1, -1, -1])
    >>> print(claim_reach(sets, tau=1.0))  # doctest: +ELLIPSIS
    Does the smooth maximum reach more than one negative (at least 1.1 in effect)? Yes, on these sets: effective...
    """
    loss, label = DPO(pair=Smooth(tau=tau)), to_numpy(sets.label)
    require_reference(loss, sets)
    weights = to_numpy(loss.sides(sets).slopes)
    shares = np.where(label < 0, -weights, 0.0)
    reached = 1 / np.square(shares).sum(axis=-1)
    there = (label < 0).sum(axis=-1)
    figures = {"effective negatives": float(np.mean(reached)), "of": float(np.mean(there)), "tau": tau}
    claim = "Does the smooth maximum reach more than one negative (at least 1.1 in effect)?"
    return Finding(claim, figures["effective negatives"] >= 1.1, figures)


def claim_outlier(sets: ScoredSets, *, tau: float = 1.0, drop: float = 20.0) -> Finding:
    """Return whether the smooth minimum of the positives is less brittle to one outlier than the hard one.

    The first positive of each set falls by ``drop`` nats. What is measured is how far the margin falls, and which part
    of the positive side's gradient the outlier then takes, for the hard minimum, the smooth and the mean one.

    Parameters
    ----------
    sets : ScoredSets
        Compared by their log-probs.
    tau : float
        Of the smooth minima, > 0, in 1/nats.
    drop : float
        How far the outlier falls, > 0, in nats.

    Examples
    --------
    >>> sets = ScoredSets([-1.0, -1.5, -2.0], [0.0] * 3, [1] * 3, [1, 1, -1])
    >>> print(claim_outlier(sets))  # doctest: +ELLIPSIS
    Is the smooth minimum less brittle to one outlier than the hard one (a tenth or more)? No, on these sets: margin...
    """
    label = to_numpy(sets.label)
    first = np.cumsum(label > 0, axis=-1) * (label > 0) == 1
    before = replace_logp(sets, to_numpy(sets.logp))
    after = replace_logp(sets, to_numpy(sets.logp) - drop * first)
    figures = {}
    for name, pair in (("hard", Hardest()), ("smooth", Smooth(tau=tau)), ("mellow", Mellow(tau=tau))):
        loss = MaxMin(pair=pair)
        figures[f"margin falls ({name})"] = float(np.mean(loss.margin(before) - loss.margin(after)))
        figures[f"outlier's share ({name})"] = float(np.mean(-(loss.weights(after) * first).sum(axis=-1)))
    less = [
        figures[f"{kind} (smooth)"] <= 0.9 * figures[f"{kind} (hard)"] for kind in ("margin falls", "outlier's share")
    ]
    claim = "Is the smooth minimum less brittle to one outlier than the hard one (a tenth or more)?"
    return Finding(claim, all(less), figures)


def replace_logp(sets: ScoredSets, logp: np.ndarray) -> ScoredSets:
    """Return the sets in numpy with other log-probs."""
    return ScoredSets(logp, to_numpy(sets.ref_logp), to_numpy(sets.length), to_numpy(sets.label))

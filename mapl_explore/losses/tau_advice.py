"""Which inverse temperature for these data: the gaps of each side of each set, and what every rule makes of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mapl_explore.files import counted
from mapl_explore.losses import (
    ExactError,
    LeaderShare,
    Loss,
    LowerBound,
    ScoredSets,
    TauRule,
    UpperBound,
    require_reference,
)
from mapl_explore.losses.loss import require_loss
from mapl_explore.losses.pairs import negatives, positives
from mapl_explore.numerics.arrays import to_numpy
from mapl_explore.numerics.smoothing import smooth_max_weights, top_gap
from mapl_explore.rounding import surely

Rules = tuple[UpperBound, ExactError, LowerBound, LeaderShare]
QUANTILES = (0.05, 0.5, 0.95)
PROMISED = {"UpperBound": True, "LowerBound": False}  # which way a tau is rounded so that it keeps its promise
STEADY = (0.6, 0.99)  # leader shares between which a number does for a rule: neither all tied nor all silent but one


@dataclass(frozen=True)
class Advice:
    """The gaps in some data, and the tau that each rule gives them. ``print`` it.

    Parameters
    ----------
    sides : dict
        ``"positives"`` and ``"negatives"``: sizes and gaps of the sides with two responses or more.
    alone : dict
        How many sides have a single response, which every tau leaves as it is.
    taus, shares : dict
        For each rule, the 5 %, 50 % and 95 % points of its tau and of the leader's share under it.
    fixed : float
        The median tau of ``LeaderShare``, in 1/nats.
    fixed_shares : tuple of float
        The same points of the leader's share if that one number were used for all sides.
    share, alpha : float
        The leader share aimed at, and which smoothing.
    unit : str
        What the loss counts in.
    """

    sides: dict[str, tuple[np.ndarray, np.ndarray]]
    alone: dict[str, int]
    taus: dict[str, tuple[float, ...]]
    shares: dict[str, tuple[float, ...]]
    fixed: float
    fixed_shares: tuple[float, ...]
    share: float
    alpha: float = 1.0
    unit: str = "nats"

    @property
    def recommended(self) -> str:
        """What to write for ``tau``: one number where it serves nearly all sides, else the rule."""
        low, _, high = self.fixed_shares
        steady = STEADY[0] <= low and high <= STEADY[1]
        return f"{self.fixed:.3g}" if steady else _short(LeaderShare(share=self.share))

    def __str__(self) -> str:
        """Return the tables and the recommendation with its reason."""
        lines = [f"{'':<38}{'5%':>12}{'median':>12}{'95%':>12}"]
        for name, (sizes, gaps) in self.sides.items():
            lines.append(f"{name}: {counted(sizes.size, 'side')} of two or more, {self.alone[name]} of one response")
            if sizes.size:
                lines += [_row("  responses", sizes), _row(f"  gap ({self.unit})", gaps)]
        lines += [
            f"tau (1/{self.unit})",
            *(_points(f"  {rule}", _kept(rule, taus)) for rule, taus in self.taus.items()),
        ]
        lines += ["leader's share of the gradient", *(_points(f"  {rule}", each) for rule, each in self.shares.items())]
        low, _, high = self.fixed_shares
        alpha = "" if self.alpha == 1 else f", alpha={self.alpha:g}"
        lines.append(f"recommended: Smooth(tau={self.recommended}{alpha})")
        reason = (
            f"one tau of {self.fixed:.3g} for all sides would give the leader {low:.1%} to {high:.1%} of the gradient"
        )
        return "\n".join([*lines, f"because {reason} (5% to 95% of the sides; {self.share:.0%} is aimed at)"])


def advise(sets: ScoredSets, loss: Loss, *, epsilon: float = 0.1, share: float = 0.9, alpha: float = 1.0) -> Advice:
    """Return the gaps of scored sets, by the score of a loss, and what each rule for tau makes of them.

    Parameters
    ----------
    sets : ScoredSets
        One set (n,) or several (..., n).
    loss : Loss
        Whose score r is compared.
    epsilon : float
        The error that the error rules aim at, > 0, in nats.
    share : float
        The leader share aimed at, strictly between 1/2 and 1.
    alpha : float
        Which smoothing, from 1 to 2.

    Returns
    -------
    Advice
        With a recommendation and its reason.

    Raises
    ------
    ValueError
        If no side of any set has two responses: then every tau is the same. If the loss compares log-ratios and the
        sets were scored without a reference: then every gap is 0.

    Examples
    --------
    >>> from mapl_explore.losses import MaxMin
    >>> gaps = np.array([0.1, 1.0, 10.0, 100.0])
    >>> logp = np.stack([gaps * 0 - 1, gaps * 0 - 2, -2 - gaps], axis=1)
    >>> sets = ScoredSets(logp, logp * 0, [[1, 1, 1]] * 4, [[1, -1, -1]] * 4)
    >>> advise(sets, MaxMin()).recommended
    'LeaderShare(share=0.9)'
    """
    require_reference(require_loss(loss), sets)
    r, label = to_numpy(loss.score(sets)), to_numpy(sets.label)
    sides = {"positives": positives(-r, label), "negatives": negatives(r, label)}
    scores = {name: to_numpy(side).reshape(-1, side.shape[-1]) for name, side in sides.items()}
    several = {name: side[np.sum(side > -math.inf, axis=-1) > 1] for name, side in scores.items()}
    pool = np.concatenate(list(several.values()))
    if not len(pool):
        raise ValueError("no side of any set has two responses or more: every tau gives the same loss")
    advice = _advised(scores, several, pool, rules_for(epsilon=epsilon, share=share), alpha)
    return replace(advice, unit=loss.unit)


def rules_for(*, epsilon: float, share: float) -> Rules:
    """Return the rules that are compared, that of the leader's share last."""
    return UpperBound(epsilon), ExactError(epsilon), LowerBound(epsilon), LeaderShare(share)


def _advised(
    scores: dict[str, np.ndarray], several: dict[str, np.ndarray], pool: np.ndarray, rules: Rules, alpha: float
) -> Advice:
    taus = {_short(rule): to_numpy(rule.tau(pool, alpha=alpha)) for rule in rules}
    fixed = float(np.median(taus[_short(rules[-1])]))
    return Advice(
        sides={name: (np.sum(side > -math.inf, axis=-1), _gaps(side)) for name, side in several.items()},
        alone={name: len(scores[name]) - len(side) for name, side in several.items()},
        taus={name: _quantiles(tau) for name, tau in taus.items()},
        shares={name: _quantiles(_leader_shares(pool, tau, alpha)) for name, tau in taus.items()},
        fixed=fixed,
        fixed_shares=_quantiles(_leader_shares(pool, np.full(len(pool), fixed), alpha)),
        share=rules[-1].share,
        alpha=alpha,
    )


def _gaps(side: np.ndarray) -> np.ndarray:
    return to_numpy(top_gap(side)) if len(side) else np.zeros(0)


def _leader_shares(pool: np.ndarray, tau: np.ndarray, alpha: float) -> np.ndarray:
    return to_numpy(smooth_max_weights(pool, tau=tau, alpha=alpha)).max(axis=-1)


def _short(rule: TauRule) -> str:
    """Return the name of a rule with its target alone."""
    return repr(rule).partition(", low=")[0] + ")"


def _quantiles(values: np.ndarray) -> tuple[float, ...]:
    return tuple(np.quantile(values, QUANTILES).tolist())


def _row(name: str, values: np.ndarray) -> str:
    return _points(name, _quantiles(values))


def _kept(rule: str, taus: Sequence[float]) -> list[float]:
    """Return each tau of a rule that promises something in four digits, on the side where the promise holds."""
    up = PROMISED.get(rule.partition("(")[0])
    return [tau if up is None else surely(tau, up=up) for tau in taus]


def _points(name: str, values: Sequence[float]) -> str:
    return f"{name:<38}" + "".join(f"{value:>12.4g}" for value in values)

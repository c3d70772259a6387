"""The smoothing error between its bounds, the tau for a target, and who gets the gradient."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from mapl_explore.explorers.kept import Kept
from mapl_explore.explorers.knobs import KNOBS, Choice
from mapl_explore.explorers.readout import digits, positive, sign, span, table, tied_lead, wording
from mapl_explore.explorers.roots import error_roots, shown_root
from mapl_explore.explorers.sources import Shaped, source_of
from mapl_explore.explorers.stage import Stage
from mapl_explore.losses import DPO, ScoredSets, Smooth
from mapl_explore.numerics.arrays import Numbers, to_numpy
from mapl_explore.numerics.bounds import error_asymptote, error_lower_bound, error_upper_bound
from mapl_explore.numerics.smoothing import smooth_max, smooth_max_weights, smoothing_error, top_gap
from mapl_explore.plots.bounds import error_panel
from mapl_explore.plots.looks import LINES, MARKS, said
from mapl_explore.plots.panels import Panel
from mapl_explore.plots.weights import gaps_panel, weights_panel
from mapl_explore.words import N_, _

LABELS = {name: KNOBS[name].label for name in ("tau", "gap")}
AGAINST = Choice(
    "against", N_("curves against"), tuple(LABELS), "tau", N_("What the horizontal axis shows."), labels=LABELS
)
POST = Choice(
    "post", N_("the post's formula"), (N_("hide"), N_("show")), "hide", N_("E as the post writes it, sign and all.")
)
PRESETS: dict[str, dict[str, Any]] = {
    N_("runners-up tie"): {"spread": 0.0},
    N_("runners-up far apart"): {"spread": 10.0},
    N_("leaders tie"): {"gap": 0.0, "epsilon": 0.1},
    N_("one response"): {"n": 1},
    N_("large-τ form off"): {"n": 8, "gap": 0.2, "spread": 0.0, "epsilon": 0.2, "tau": 2.0},
    N_("error of 0"): {"alpha": 2.0, "gap": 0.5, "tau": 2.0},
    N_("the post's sign"): {"n": 4, "gap": 1.0, "spread": 1.0, "tau": 1.0, "post": "show"},
}
MEANINGS = {
    "lower": N_("smaller τ: E surely ≥ ε"),
    "exact": "E = ε",
    "upper": N_("larger τ: E surely ≤ ε"),
    "asymptote": N_("never left of ◀"),
}


@dataclass(frozen=True)
class BoundsReading:
    """What a :class:`BoundsExplorer` shows at one setting.

    Parameters
    ----------
    scores : array (n,)
        Best first, in nats.
    tau, gap, epsilon, alpha : float
        Inverse temperature (1/nats), gap (nats, inf for one score), target for the error (nats), and which smoothing.
    against : {"tau", "gap"}
        What the curves run over.
    errors : dict of float
        ``lower``, ``exact``, ``upper``, at tau, in nats; ``asymptote`` at alpha = 1, and ``post`` where it is shown.
    roots : dict of float
        The tau at which each but the last is epsilon, in 1/nats; empty for one score, which has no error.
    places : array (k,)
        Where the curves are computed, of tau or of the gap.
    curves : dict of arrays (k,)
        Each of the errors over ``places``.
    weights : array (n,)
        The gradient of the smooth maximum in each score.
    """

    scores: np.ndarray
    tau: float
    gap: float
    epsilon: float
    alpha: float
    against: str
    errors: dict[str, float]
    roots: dict[str, float]
    places: np.ndarray
    curves: dict[str, np.ndarray]
    weights: np.ndarray


class BoundsExplorer(Stage):
    """Show the smoothing error of a set of scores against tau or the gap, between its bounds, and the weights.

    The set is a leader at 0, a second at minus the gap, and the others evenly spaced from there down by the spread:
    at a spread of 0 the runners-up tie and the error is the upper bound; as they fall away it nears the lower one.
    Against the gap, the leader moves and the others stay.

    Parameters
    ----------
    scores : array (n,) or ScoredSets, optional
        A set of your own instead, in nats (``-inf`` marks padding), or preference sets, of which one side is shown.
    **settings : float, int or str
        Where the controls start: ``tau``, ``epsilon``, ``n``, ``gap``, ``spread``, ``alpha``, ``against``,
        ``post``.

    Raises
    ------
    TypeError, ValueError
        If the scores are no set, or a setting is no control here or off it; the message names it.

    Examples
    --------
    >>> explorer = BoundsExplorer(n=4, gap=1.0, spread=0.0, epsilon=0.1)
    >>> explorer.set(tau=2.0)
    >>> explorer  # doctest: +NORMALIZE_WHITESPACE
    BoundsExplorer(tau=2, epsilon=0.1, n=4, gap=1, spread=0, against='tau', post='hide'): smoothing error 0.17 nats
    between 0.0635 and 0.17, leader share 71.1%; it is 0.1 at tau 2.402, the bounds are at 1.691 and 2.403, the
    large-tau form at 2.49
    >>> explorer.loss
    DPO(beta=0.1, pair=Smooth(tau=2.0))
    """

    def __init__(self, scores: Numbers | ScoredSets | None = None, **settings: float | str):
        """Make the sliders that the set leaves free."""
        self._source, self._curves = source_of(scores), Kept(_errors)
        self._roots = Kept(error_roots)
        tau = self._source.tau()
        self._taus = np.geomspace(tau.low, tau.high, 201)
        self._gaps = np.linspace(0.0, max(KNOBS["gap"].high, 1.2 * self._source.widest), 201)
        self._top = 1e2 * max(1.0, KNOBS["tau"].low / tau.low)
        presets = PRESETS if isinstance(self._source, Shaped) else {}
        super().__init__([tau, KNOBS["epsilon"], *self._source.knobs, KNOBS["alpha"], AGAINST, POST], presets, settings)

    @property
    def loss(self) -> DPO:
        """The loss as set: DPO on the smooth hardest pair at the slider's tau."""
        return DPO(pair=Smooth(tau=self.settings["tau"], alpha=self.settings["alpha"]))

    def idle(self, settings: dict) -> set[str]:
        """Return the sliders of the set that move nothing: one score has no gap, and two have no spread."""
        return self._source.idle(settings)

    def panels(self, reading: BoundsReading) -> list[Panel]:
        now = reading.tau if reading.against == "tau" else reading.gap
        here = {"now": now, "epsilon": reading.epsilon, "error": reading.errors["exact"], "top": self._top}
        errors = error_panel(
            places=reading.places, curves=reading.curves, roots=reading.roots, against=reading.against, **here
        )
        return [errors, gaps_panel(reading.scores), weights_panel(reading.weights, alpha=reading.alpha)]

    def read(self, settings: dict) -> BoundsReading:
        tau, epsilon, post = settings["tau"], settings["epsilon"], settings["post"] == "show"
        scores, alpha = self._source.scores(settings), settings["alpha"]
        against = settings["against"]
        if against == "tau":
            places, curves = self._taus, self._curves(scores, self._taus, alpha, post)
        else:
            places, curves = self._gaps, self._curves(self._source.led_by(settings, self._gaps), tau, alpha, post)
        return BoundsReading(
            scores=scores,
            tau=tau,
            gap=float(top_gap(scores)),
            epsilon=epsilon,
            alpha=alpha,
            against=against,
            errors={name: float(error) for name, error in _errors(scores, tau, alpha, post).items()},
            roots={name: float(tau) for name, tau in self._roots(scores, epsilon, alpha).items() if math.isfinite(tau)},
            places=places,
            curves=curves,
            weights=to_numpy(smooth_max_weights(scores, tau=tau, alpha=alpha)),
        )

    def text(self, reading: BoundsReading) -> str:
        if not reading.roots:
            return _("one score: the smoothing error is 0 at every tau")
        error_said, share_said = wording(reading.alpha)
        at = {name: error_said(error) for name, error in reading.errors.items()}
        now = _("smoothing error {exact} nats between {lower} and {upper}, leader share {share}")
        now = now.format(**at, share=share_said(float(reading.weights[0])))
        now += _(", the post's formula {post}").format(**at) if "post" in at else ""
        to = {name: shown_root(name, tau) for name, tau in reading.roots.items()}
        there = _("it is {epsilon} at tau {exact}, the bounds are at {lower} and {upper}")
        there = there.format(epsilon=digits(reading.epsilon), **to)
        there += _(", the large-tau form at {asymptote}").format(**to) if "asymptote" in to else ""
        return f"{now}; {there}"

    def html(self, reading: BoundsReading) -> str:
        if not reading.roots:
            now = _("One score: the smooth maximum is the maximum, and the smoothing error is 0 at every τ.")
            return f"<p>{now}{self._source.why_idle(1)}</p>"
        caption = _(
            "τ where each curve is ε = {epsilon} nats (surely: as rounded, whatever the scores after the second)"
        )
        caption = caption.format(epsilon=digits(reading.epsilon))
        rows = [(_signed(name), shown_root(name, tau), _(MEANINGS[name])) for name, tau in reading.roots.items()]
        return f"<p>{self._sentences(reading)}</p>{table(caption, rows)}"

    def _sentences(self, reading: BoundsReading) -> str:
        """Return what there is to say of several scores at tau."""
        errors, (error_said, share_said) = reading.errors, wording(reading.alpha)
        now = _("At τ = {tau} the smoothing error is <b>{error}</b> nats.")
        now = now.format(tau=digits(reading.tau), error=error_said(errors["exact"]))
        if reading.scores.size > 2:
            reach = span(errors["lower"], errors["upper"], error_said)
            others = _("Other scores with this n and gap could make it {reach}.")
            if errors["lower"] == errors["upper"]:
                others = _("All scores with this n and gap make it {reach}.")
            now += f" {others.format(reach=reach)}"
        leader = _("The leader gets {share} of the gradient.")
        now += f" {leader.format(share=share_said(float(reading.weights[0])))}"
        now += tied_lead(int(np.sum(reading.scores == reading.scores[0])))
        if "post" in errors:
            post = _("The post's formula says {error}.")
            post = post if reading.alpha == 1 else _("The post's formula, of log-sum-exp, says {error}.")
            now += f" {post.format(error=positive(errors['post']))}"
        return now + self._source.why_idle(reading.scores.size)

    def headline(self, reading: BoundsReading) -> dict[str, float]:
        share = _("the leader's share (percentage points)")
        return {"E": reading.errors["exact"], share: 100 * float(reading.weights[0])}

    def columns(self, reading: BoundsReading) -> dict[str, Any]:
        """Return the curves as columns, one row a tau (1/nats) or a gap (nats): the errors in nats."""
        return {reading.against: reading.places, **reading.curves}


def _signed(name: str) -> str:
    """Return what a curve is called, with its mark."""
    return f"{sign(LINES[name]['style'].color, MARKS[name][1])} {said(LINES[name])['label']}"


def _errors(scores: np.ndarray, tau: np.ndarray | float, alpha: float, post: bool) -> dict[str, np.ndarray]:
    """Return the error, its bounds and at alpha = 1 the asymptote, in nats, of one or several sets."""
    n, gap = scores.shape[-1], top_gap(scores)
    errors = {
        "lower": error_lower_bound(gap=gap, tau=tau, alpha=alpha),
        "exact": smoothing_error(scores, tau=tau, alpha=alpha),
        "upper": error_upper_bound(n=n, gap=gap, tau=tau, alpha=alpha),
    }
    if alpha == 1:
        errors["asymptote"] = error_asymptote(n=n, gap=gap, tau=tau)
    named = {name: to_numpy(error) for name, error in errors.items()}
    if post:
        # log(1 + sum exp(-tau delta))/tau with delta <= 0 is the smooth max of 0 and the distances, which has a number
        # where exp(1000) has none.
        named["post"] = to_numpy(smooth_max(scores[..., :1] - scores, tau=tau))
    return named

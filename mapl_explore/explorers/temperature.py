"""Which tau meets a target, over the gap: every root, its promise, and what the other responses get."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from mapl_explore.explorers.kept import Kept
from mapl_explore.explorers.knobs import KNOBS, Choice
from mapl_explore.explorers.readout import Figure, digits, percent, sign, span, table, wording
from mapl_explore.explorers.roots import error_roots, shown_root
from mapl_explore.explorers.sources import Shaped, source_of
from mapl_explore.explorers.stage import Stage
from mapl_explore.losses import DPO, ExactError, LeaderShare, LowerBound, ScoredSets, Smooth, UpperBound
from mapl_explore.numerics.arrays import Numbers, to_numpy
from mapl_explore.numerics.bounds import error_lower_bound, error_upper_bound
from mapl_explore.numerics.smoothing import smooth_max_weights, smoothing_error, top_gap
from mapl_explore.numerics.temperature import solve_tau_share, solve_tau_share_exact
from mapl_explore.plots.looks import LINES, STROKES
from mapl_explore.plots.panels import Panel
from mapl_explore.plots.temperature import SPAN, others_panel, roots_panel
from mapl_explore.words import N_, _

RULE = Choice(
    "rule",
    N_("rule in use"),
    ("upper", "exact", "lower", "asymptote", "share"),
    "upper",
    N_("Which root the ring and the loss take."),
    labels={name: look["label"] for name, look in LINES.items()},
)
PRESETS: dict[str, dict[str, Any]] = {
    N_("an error in nats"): {"rule": "exact", "epsilon": 0.1, "n": 2, "wide_gap": 1.0},
    N_("the same at gap 100"): {"rule": "exact", "epsilon": 0.1, "n": 2, "wide_gap": 100.0},
    N_("a share instead"): {"rule": "share", "n": 2, "wide_gap": 100.0},
    N_("large-τ form off"): {"rule": "asymptote", "n": 8, "wide_gap": 0.02, "spread": 0.0, "epsilon": 0.2},
}
PROMISES = {
    "upper": N_("E surely ≤ ε"),
    "exact": N_("E = ε, here"),
    "lower": N_("E surely ≥ ε"),
    "asymptote": N_("E surely &lt; ε"),
    "share": N_("share = target, here"),
    "certain": N_("share surely ≤ target"),
}
NO_FORM = N_("The large-τ form is of α = 1 alone, so the rule of the upper bound takes its place:")
CERTAIN = N_("share bound")


@dataclass(frozen=True)
class TemperatureReading:
    """What a :class:`TemperatureExplorer` shows at one setting.

    Parameters
    ----------
    scores : array (n,)
        Best first, in nats.
    gap, epsilon, share, alpha : float
        Gap and target for the error (nats), target for the leader's share, and which smoothing.
    rule : str
        The one in use: where there is no large-tau form, that of the upper bound in its place.
    roots : dict of float
        The tau (1/nats) of each rule, ``certain`` being the share's from the gap alone; inf where a tie keeps the share
        below the target at every tau; empty for one score.
    errors, others : dict of float
        At each finite root: the smoothing error of these scores (nats), and the share of all but the leader.
    curves, starved : dict of arrays (k,)
        Over the explorer's gaps: the roots, and the share of all but the leader there.
    """

    scores: np.ndarray
    gap: float
    epsilon: float
    share: float
    alpha: float
    rule: str
    roots: dict[str, float]
    errors: dict[str, float]
    others: dict[str, float]
    curves: dict[str, np.ndarray]
    starved: dict[str, np.ndarray]

    @property
    def reach(self) -> tuple[float, float]:
        """Between which the error of any scores with this n and gap lies, in nats, at the finite root in use."""
        at = {"gap": self.gap, "tau": self.roots[self.rule], "alpha": self.alpha}
        return float(error_lower_bound(**at)), float(error_upper_bound(n=self.scores.size, **at))


class TemperatureExplorer(Stage):
    """Show which tau a target for the error or the leader's share asks for, over the gap, and what each choice does.

    The left panel has the tau of every rule: above that of the upper bound the error is surely at most the target,
    below that of the lower bound surely at least. The right panel has the share of the gradient that the others get
    there: with the error rules it vanishes as the gap grows, with the share rule it does not.

    Parameters
    ----------
    scores : array (n,) or ScoredSets, optional
        A set of your own instead, in nats (``-inf`` marks padding), or preference sets, of which one side is shown. The
        curves then move its leader and leave the others where they are.
    **settings : float, int or str
        Where the controls start: ``epsilon``, ``share``, ``n``, ``wide_gap``, ``spread``, ``alpha``, ``rule``.

    Raises
    ------
    TypeError, ValueError
        If the scores are no set, or a setting is no control here or off it; the message names it.

    Examples
    --------
    >>> explorer = TemperatureExplorer(n=4, wide_gap=1.0, spread=0.0, epsilon=0.1, share=0.9)
    >>> explorer  # doctest: +NORMALIZE_WHITESPACE
    TemperatureExplorer(epsilon=0.1, share=0.9, n=4, wide_gap=1, spread=0, rule='upper'): tau upper 2.403 exact
    2.402 lower 1.691 asymptote 2.49 share 3.296 certain 2.197; at the upper one the smoothing error is 0.1 nats and the
    others get 21.4%
    >>> explorer.loss
    DPO(beta=0.1, pair=Smooth(tau=UpperBound(epsilon=0.1, low=0.001, high=1000.0)))
    """

    def __init__(self, scores: Numbers | ScoredSets | None = None, **settings: float | str):
        """Make the sliders that the set leaves free."""
        self._source, self._curves = source_of(scores, gap="wide_gap"), Kept(_curves)
        gap = KNOBS["wide_gap"]
        high = max(gap.high, 10.0 ** np.ceil(np.log10(max(self._source.widest, 1.0))))
        self._gaps = np.geomspace(gap.low, high, 101)
        presets = PRESETS if isinstance(self._source, Shaped) else {}
        super().__init__(
            [KNOBS["epsilon"], KNOBS["share"], *self._source.knobs, KNOBS["alpha"], RULE], presets, settings
        )

    @property
    def loss(self) -> DPO:
        """The loss as set: DPO on the smooth pair by the rule in use, or at the large-tau form's number."""
        settings, rule = self.settings, _rule_in_use(self.settings)
        epsilon, share = settings["epsilon"], settings["share"]
        if rule == "asymptote":
            roots = self.reading.roots
            return DPO(pair=Smooth(tau=roots["asymptote"])) if roots else DPO()
        rules = {"upper": UpperBound(epsilon), "exact": ExactError(epsilon), "lower": LowerBound(epsilon)}
        return DPO(pair=Smooth(tau=(rules | {"share": LeaderShare(share)})[rule], alpha=settings["alpha"]))

    def idle(self, settings: dict) -> set[str]:
        """Return the sliders of the set that move nothing: one score has no gap, and two have no spread."""
        return self._source.idle(settings)

    def panels(self, reading: TemperatureReading) -> list[Panel]:
        tau, others = (found.get(reading.rule, math.nan) for found in (reading.roots, reading.others))
        here: dict[str, Any] = {"gaps": self._gaps, "gap": reading.gap}
        roots = roots_panel(curves=reading.curves, tau=tau, **here)
        return [roots, others_panel(curves=reading.starved, others=others, share=reading.share, **here)]

    def read(self, settings: dict) -> TemperatureReading:
        scores, epsilon, share = self._source.scores(settings), settings["epsilon"], settings["share"]
        alpha = settings["alpha"]
        roots = {name: float(tau) for name, tau in _roots(scores, epsilon, share, alpha).items()}
        curves, starved = self._curves(self._source.led_by(settings, self._gaps), epsilon, share, alpha)
        finite = [name for name, tau in roots.items() if np.isfinite(tau)]
        taus = np.array([roots[name] for name in finite])
        return TemperatureReading(
            scores=scores,
            gap=float(top_gap(scores)),
            epsilon=epsilon,
            share=share,
            alpha=alpha,
            rule=_rule_in_use(settings),
            roots=roots,
            errors=dict(zip(finite, smoothing_error(scores, tau=taus, alpha=alpha).tolist(), strict=True)),
            others=dict(zip(finite, _others(scores, taus, alpha).tolist(), strict=True)),
            curves=curves,
            starved=starved,
        )

    def text(self, reading: TemperatureReading) -> str:
        if not reading.roots:
            return _("one score: no tau makes a smoothing error, or a share below 1")
        listed = " ".join(f"{name} {shown_root(name, tau)}" for name, tau in reading.roots.items())
        if reading.rule not in reading.errors:
            tie = _("tau {listed}; a tie keeps the leader's share below the target at every tau")
            return tie.format(listed=listed)
        error, others = reading.errors[reading.rule], reading.others[reading.rule]
        error_said, share_said = wording(reading.alpha)
        said = _("tau {listed}; at the {rule} one the smoothing error is {error} nats and the others get {share}")
        return said.format(listed=listed, rule=reading.rule, error=error_said(error), share=share_said(others))

    def html(self, reading: TemperatureReading) -> str:
        if not reading.roots:
            now = _("One score: E is 0 and the leader's share 1 at every τ, so no τ meets a target.")
            return f"<p>{now}{self._source.why_idle(1)}</p>"
        caption = _(
            "The τ for ε = {epsilon} nats, or for a leader's share of {share} "
            "(surely: whatever the scores after the second)"
        ).format(epsilon=digits(reading.epsilon), share=percent(reading.share))
        head = (_("rule"), "τ", "E", _("others get"), _("promise"))
        rows = [self._row(reading, name) for name in reading.roots]
        now = f"{_(NO_FORM)} " if self.settings["rule"] != reading.rule else ""
        now += _lead(reading) + self._limits(reading) + self._source.why_idle(reading.scores.size)
        return f"<p>{now}</p>{table(caption, rows, head)}"

    def _row(self, reading: TemperatureReading, name: str) -> tuple:
        head = (
            f"{sign(LINES[name]['style'].color, STROKES[name])} {_(RULE.labels[name])}" if name in LINES else _(CERTAIN)
        )
        head = f"<u>{head}</u>" if name == reading.rule else head
        if name not in reading.errors:
            return head, _("any"), "", "", _("a tie: share ≤ 1/2")
        error_said, share_said = wording(reading.alpha)
        tau, error, others = shown_root(name, reading.roots[name]), reading.errors[name], reading.others[name]
        return head, tau, Figure(error_said(error)), share_said(others), _(PROMISES[name])

    def _limits(self, reading: TemperatureReading) -> str:
        """Return a word where the rule that trains would not go as far as its root."""
        tau = reading.roots.get(reading.rule, 1.0)
        if reading.rule == "asymptote" or SPAN[0] <= tau <= SPAN[1]:
            return ""
        name, end = ("low", SPAN[0]) if tau < SPAN[0] else ("high", SPAN[1])
        stops = _("In a loss the rule stops at {end:g}, the default of its field <code>{name}</code>.")
        return f" {stops.format(end=end, name=name)}"

    def headline(self, reading: TemperatureReading) -> dict[str, float]:
        if reading.rule not in reading.errors:
            return {}
        error, others = reading.errors[reading.rule], reading.others[reading.rule]
        share = _("the others' share (percentage points)")
        return {"τ": reading.roots[reading.rule], "E": error, share: 100 * others}

    def columns(self, reading: TemperatureReading) -> dict[str, Any]:
        """Return the curves as columns, one row a gap (nats): tau of each rule, and the others' share."""
        taus = {f"tau_{name}": curve for name, curve in reading.curves.items()}
        others = {f"others_{name}": curve for name, curve in reading.starved.items()}
        return {"gap": self._gaps, **taus, **others}


def _rule_in_use(settings: dict) -> str:
    """Return the rule as set; the large-tau form is of alpha = 1 alone, and the upper bound takes its place."""
    return "upper" if settings["rule"] == "asymptote" and settings["alpha"] > 1 else settings["rule"]


def _curves(
    sets: np.ndarray, epsilon: float, share: float, alpha: float
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return each rule's tau and the others' share there, each (k,), of sets (k, n); NaN for one score."""
    if sets.shape[-1] == 1:
        none = dict.fromkeys(RULE.options, np.full(len(sets), np.nan))
        return none, none
    roots = _roots(sets, epsilon, share, alpha)
    curves = {name: roots[name] for name in RULE.options if name in roots}
    return curves, {name: _others(sets, tau, alpha) for name, tau in curves.items()}


def _lead(reading: TemperatureReading) -> str:
    """Return what the rule in use does."""
    label = _(RULE.labels[reading.rule])
    if reading.rule not in reading.errors:
        return _("<b>{rule}</b>: a tie keeps the leader's share at or below 1/2 at every τ.").format(rule=label)
    error, others = reading.errors[reading.rule], reading.others[reading.rule]
    tau = shown_root(reading.rule, reading.roots[reading.rule])
    error_said, share_said = wording(reading.alpha)
    met = _("<b>{rule}</b>: at τ = <b>{tau}</b> E is {error} nats, and the others get {share} of the gradient.")
    met = met.format(rule=label, tau=tau, error=error_said(error), share=share_said(others))
    if reading.scores.size <= 2:
        return met
    reach = _("Other scores with this n and gap could make E {reach}.")
    return f"{met} {reach.format(reach=span(*reading.reach, error_said))}"


def _others(scores: np.ndarray, tau: Numbers, alpha: float) -> np.ndarray:
    """Return the share of all but the leader of sorted scores."""
    # As a sum: 1 minus the leader's would cancel where they get next to nothing.
    return to_numpy(smooth_max_weights(scores, tau=tau, alpha=alpha))[..., 1:].sum(axis=-1)


def _roots(scores: np.ndarray, epsilon: float, share: float, alpha: float) -> dict[str, np.ndarray]:
    """Return the tau of each rule for one or several sets; none for one score."""
    roots = error_roots(scores, epsilon, alpha)
    if not roots:
        return {}
    roots["share"] = to_numpy(solve_tau_share_exact(scores, share=share, alpha=alpha))
    roots["certain"] = to_numpy(solve_tau_share(share=share, gap=top_gap(scores), alpha=alpha))
    return {name: roots[name] for name in (*RULE.options, "certain") if name in roots}

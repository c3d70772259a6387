"""The smoothing error between its bounds, the tau for a target, and who gets the gradient."""

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from mapl_explore.bounds import error_asymptote, error_lower_bound, error_upper_bound
from mapl_explore.explorers.stage import Stage, digits
from mapl_explore.knobs import KNOBS
from mapl_explore.losses import DPO, Smooth
from mapl_explore.plots import LINES, MARKS, ErrorPanel, WeightsPanel
from mapl_explore.smoothing import smooth_max_weights, smoothing_error, top_gap
from mapl_explore.temperature import solve_tau_asymptotic, solve_tau_exact, solve_tau_lower, solve_tau_upper

TAUS = np.geomspace(KNOBS["tau"].low, KNOBS["tau"].high, 201)
PRESETS = {
    "runners-up tie": {"spread": 0.0},
    "runners-up far apart": {"spread": 10.0},
    "leaders tie": {"gap": 0.0, "epsilon": 0.1},
    "one response": {"n": 1},
    "large-τ form off": {"n": 8, "gap": 0.2, "spread": 0.0, "epsilon": 0.2, "tau": 2.0},
}
MEANINGS = {
    "lower": "below: surely ≥ ε",
    "exact": "exactly ε",
    "upper": "above: surely ≤ ε",
    "asymptote": "never below ▶",
}
HEAD, NUMBER = "text-align: left; white-space: nowrap", "text-align: right; padding: 0 0.6em"


@dataclass(frozen=True)
class BoundsReading:
    """What a :class:`BoundsExplorer` shows at one setting.

    Parameters
    ----------
    scores : array (n,)
        Best first, in nats.
    tau, epsilon : float
        Inverse temperature (1/nats) and target error (nats).
    errors : dict of float
        ``lower``, ``exact``, ``upper``, ``asymptote`` at tau, in nats.
    roots : dict of float
        The tau at which each of them is epsilon, in 1/nats; empty for one score, which has no error.
    curves : dict of arrays (k,)
        Each of them over ``TAUS``.
    weights : array (n,)
        The gradient of the smooth maximum in each score.
    """

    scores: np.ndarray
    tau: float
    epsilon: float
    errors: dict[str, float]
    roots: dict[str, float]
    curves: dict[str, np.ndarray]
    weights: np.ndarray


class BoundsExplorer(Stage):
    """Show the smoothing error of a set of scores against tau, between its bounds, and the weights beside it.

    The set is a leader at 0, a second at minus the gap, and the others evenly spaced from there down by the spread:
    at a spread of 0 the runners-up tie and the error is the upper bound; as they fall away it nears the lower one.

    Parameters
    ----------
    scores : array (n,), optional
        A set of your own instead, in nats (``-inf`` marks padding); only the sliders of tau and epsilon remain.
    **settings : float or int
        Where the sliders start: ``tau``, ``epsilon``, ``n``, ``gap``, ``spread``.

    Raises
    ------
    TypeError, ValueError
        If the scores are no set, or a setting is no slider here or off it; the message names it.

    Examples
    --------
    >>> explorer = BoundsExplorer(n=4, gap=1.0, spread=0.0, epsilon=0.1)
    >>> explorer.set(tau=2.0)
    >>> explorer  # doctest: +NORMALIZE_WHITESPACE
    BoundsExplorer(tau=2, epsilon=0.1, n=4, gap=1, spread=0): error 0.17 nats between 0.0635 and 0.17, leader share
    71%; the error is 0.1 at tau 2.4, the bounds are at 1.69 and 2.4, the large-tau form at 2.49
    >>> explorer.loss
    DPO(beta=0.1, pair=Smooth(tau=2.0))
    """

    def __init__(self, scores=None, **settings):
        """Make the sliders that the set leaves free."""
        self._scores = None if scores is None else _best_first(scores)
        names = ("tau", "epsilon", "n", "gap", "spread") if scores is None else ("tau", "epsilon")
        super().__init__([KNOBS[name] for name in names], PRESETS if scores is None else {}, settings)

    @property
    def loss(self) -> DPO:
        """The loss as set: DPO on the smooth hardest pair at the slider's tau."""
        return DPO(pair=Smooth(tau=self.settings["tau"]))

    def build(self, figure: Figure) -> list:
        """Return the panel of errors and the panel of weights."""
        left, right = figure.subplots(1, 2, width_ratios=(2.6, 1))
        return [ErrorPanel(left, TAUS), WeightsPanel(right)]

    def read(self, settings: dict[str, float]) -> BoundsReading:
        """Return every number that is shown at these settings."""
        tau, epsilon = settings["tau"], settings["epsilon"]
        scores = _shaped(settings) if self._scores is None else self._scores
        return BoundsReading(
            scores=scores,
            tau=tau,
            epsilon=epsilon,
            errors={name: float(error) for name, error in _errors(scores, tau).items()},
            roots=_roots(scores, epsilon),
            curves=_errors(scores, TAUS),
            weights=smooth_max_weights(scores, tau=tau),
        )

    def move(self, panels: list, reading: BoundsReading) -> None:
        """Move both panels to a reading."""
        errors, weights = panels
        now = {"tau": reading.tau, "epsilon": reading.epsilon, "error": reading.errors["exact"]}
        errors.move(curves=reading.curves, roots=reading.roots, **now)
        weights.move(reading.weights)

    def text(self, reading: BoundsReading) -> str:
        """Return the reading in a line of plain text, rounded."""
        if not reading.roots:
            return "one score: the error is 0 at every tau"
        at = {name: digits(error) for name, error in reading.errors.items()}
        now = f"error {at['exact']} nats between {at['lower']} and {at['upper']}, leader share {reading.weights[0]:.0%}"
        to = {name: digits(tau) for name, tau in reading.roots.items()}
        there = f"the bounds are at {to['lower']} and {to['upper']}, the large-tau form at {to['asymptote']}"
        return f"{now}; the error is {digits(reading.epsilon)} at tau {to['exact']}, {there}"

    def html(self, reading: BoundsReading) -> str:
        """Return the reading as a sentence and a table of the roots."""
        if not reading.roots:
            return "<p>One score: the smooth maximum is the maximum, and the error is 0 at every τ.</p>"
        at = {name: digits(error) for name, error in reading.errors.items()}
        now = f"At τ = {digits(reading.tau)} the error is <b>{at['exact']}</b> nats. Other scores with this n and gap"
        now += f" could make it {at['lower']} to {at['upper']}."
        now += f" The leader gets {reading.weights[0]:.0%} of the gradient."
        rows = "".join(_row(name, tau) for name, tau in reading.roots.items())
        caption = (
            f"The τ for an error of ε = {digits(reading.epsilon)} nats (surely: whatever the scores after the second)"
        )
        return f'<p>{now}</p><table><caption style="text-align: left">{caption}</caption>{rows}</table>'

    def to_frame(self):
        """Return the curves as a pandas.DataFrame, one row a tau (1/nats): the errors in nats."""
        import pandas

        return pandas.DataFrame({"tau": TAUS, **self.reading.curves})


def _best_first(scores) -> np.ndarray:
    top_gap(scores)  # the library's own check of the values
    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 1:
        raise ValueError(f"scores must be one set, an array (n,), not shape {scores.shape}")
    return np.sort(scores[scores > -math.inf])[::-1].copy()


def _shaped(settings: dict[str, float]) -> np.ndarray:
    gap, spread = settings["gap"], settings["spread"]
    return np.concatenate([[0.0], np.linspace(-gap, -gap - spread, settings["n"] - 1)])


def _errors(scores: np.ndarray, tau) -> dict[str, np.ndarray]:
    """Return the error, its bounds and the asymptote, in nats, over tau."""
    n, gap = scores.size, top_gap(scores)
    return {
        "lower": error_lower_bound(gap=gap, tau=tau),
        "exact": smoothing_error(scores, tau=tau),
        "upper": error_upper_bound(n=n, gap=gap, tau=tau),
        "asymptote": error_asymptote(n=n, gap=gap, tau=tau),
    }


def _roots(scores: np.ndarray, epsilon: float) -> dict[str, float]:
    """Return the tau at which each of :func:`_errors` is epsilon; none for one score."""
    n, gap = scores.size, top_gap(scores)
    if n == 1:
        return {}
    roots = {
        "lower": solve_tau_lower(epsilon=epsilon, gap=gap),
        "exact": solve_tau_exact(scores, epsilon=epsilon),
        "upper": solve_tau_upper(epsilon=epsilon, n=n, gap=gap),
        "asymptote": solve_tau_asymptotic(epsilon=epsilon, n=n, gap=gap),
    }
    return {name: float(tau) for name, tau in roots.items()}


def _row(name: str, tau: float) -> str:
    color, label, mark = LINES[name]["color"], LINES[name]["label"], MARKS[name][1]
    head = f'<th scope="row" style="{HEAD}"><span style="color: {color}">{mark}</span> {label}</th>'
    return f'<tr>{head}<td style="{NUMBER}">{digits(tau)}</td><td>{MEANINGS[name]}</td></tr>'

"""The scores of one set on sliders, their smooth maximum or minimum, and who gets its gradient."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mapl_explore.explorers.knobs import KNOBS, Choice
from mapl_explore.explorers.readout import digits, tied_lead, wording
from mapl_explore.explorers.sources import held
from mapl_explore.explorers.stage import Stage
from mapl_explore.losses import DPO, Smooth
from mapl_explore.numerics.arrays import Numbers, to_numpy
from mapl_explore.numerics.smoothing import smooth_max, smooth_max_weights, smoothing_error
from mapl_explore.plots.panels import Panel
from mapl_explore.plots.smooth_max import approach_panel, scores_panel, smooth
from mapl_explore.plots.weights import weights_panel
from mapl_explore.words import N_, _

SIDE = Choice("of", N_("smooth"), ("max", "min"), "max", N_("The largest of the scores, or the smallest."))
START = (-1.0, -1.5, -4.0, -6.0)
MOST = 8


@dataclass(frozen=True)
class SmoothMaxReading:
    """What a :class:`SmoothMaxExplorer` shows at one setting.

    Parameters
    ----------
    of : {"max", "min"}
        Which of the two.
    scores : array (n,)
        In the order of the sliders, in nats.
    tau, alpha : float
        Inverse temperature, in 1/nats, and which smoothing, from 1 to 2.
    leader : int
        The place of the maximum or minimum, the first of those that tie.
    hard, soft, error : float
        The maximum or minimum, the smooth one, and the distance between them, in nats.
    weights : array (n,)
        The gradient of the smooth one in each score.
    curve : array (k,)
        The smooth one over the explorer's taus.
    """

    of: str
    scores: np.ndarray
    tau: float
    alpha: float
    leader: int
    hard: float
    soft: float
    error: float
    weights: np.ndarray
    curve: np.ndarray


class SmoothMaxExplorer(Stage):
    """Show the smooth maximum or minimum of scores that you move, how it nears the hard one, and its weights.

    Parameters
    ----------
    scores : array (n,), optional
        Where the sliders of the scores start, one to eight of them, in nats.
    **settings : float or str
        Where the other controls start: ``tau``, ``alpha``, ``of``, and any score by its name ``s1``, ``s2``, ...

    Raises
    ------
    TypeError, ValueError
        If the scores are no set of one to eight finite numbers, or a setting is no control here or off it.

    Examples
    --------
    >>> explorer = SmoothMaxExplorer([-1.0, -2.0, -4.0])
    >>> explorer
    SmoothMaxExplorer(tau=1, of='max', s1=-1, s2=-2, s3=-4): smooth max −0.651 = max −1 + 0.349; weights 0.71 0.26 0.04
    >>> explorer.set(s2=-1.0, of="min")
    >>> explorer
    SmoothMaxExplorer(tau=1, of='min', s1=-1, s2=-1, s3=-4): smooth min −4.09 = min −4 − 0.0949; weights 0.05 0.05 0.91
    """

    def __init__(self, scores: Numbers = START, **settings: float | str):
        """Make one slider a score."""
        knobs = _score_knobs(_checked(scores))
        self._names = [knob.name for knob in knobs]
        self._span = min(knob.low for knob in knobs), max(knob.high for knob in knobs)
        self._taus = np.geomspace(KNOBS["tau"].low, KNOBS["tau"].high, 201)
        super().__init__(
            [KNOBS["tau"], KNOBS["alpha"], SIDE, *knobs], _presets(self._names, self._span), {"tau": 1.0} | settings
        )

    @property
    def loss(self) -> DPO:
        """The loss as set: DPO on the smooth hardest pair at the slider's tau."""
        return DPO(pair=Smooth(tau=self.settings["tau"], alpha=self.settings["alpha"]))

    def panels(self, reading: SmoothMaxReading) -> list[Panel]:
        low, high = self._span
        # Room for the error, which at a small tau goes far beyond, and on the other side for a word.
        error, word = 0.45 * (high - low), 0.15 * (high - low)
        span = (low - word, high + error) if reading.of == "max" else (low - error, high + word)
        shown: dict[str, Any] = {"soft": reading.soft, "span": span, "side": reading.of}
        taus: dict[str, Any] = {"taus": self._taus, "curve": reading.curve, "tau": reading.tau}
        scores = scores_panel(names=self._names, scores=reading.scores, leader=reading.leader, **shown)
        weights = weights_panel(reading.weights, reading.leader, self._names, alpha=reading.alpha)
        return [scores, approach_panel(hard=reading.hard, **taus, **shown), weights]

    def read(self, settings: dict) -> SmoothMaxReading:
        scores, tau = np.array([settings[name] for name in self._names]), settings["tau"]
        sharp, alpha = 1.0 if settings["of"] == "max" else -1.0, settings["alpha"]
        leader = int(np.argmax(sharp * scores))
        return SmoothMaxReading(
            of=settings["of"],
            scores=scores,
            tau=tau,
            alpha=alpha,
            leader=leader,
            hard=float(scores[leader]),
            # smooth_min(s) = -smooth_max(-s), and both have the weights of the smooth max.
            soft=float(sharp * smooth_max(sharp * scores, tau=tau, alpha=alpha)),
            error=float(smoothing_error(sharp * scores, tau=tau, alpha=alpha)),
            weights=to_numpy(smooth_max_weights(sharp * scores, tau=tau, alpha=alpha)),
            curve=sharp * to_numpy(smooth_max(sharp * scores, tau=self._taus, alpha=alpha)),
        )

    def text(self, reading: SmoothMaxReading) -> str:
        sign = "+" if reading.of == "max" else "−"
        soft = f"{smooth(reading.of)} {digits(reading.soft)} = {reading.of} {digits(reading.hard)}"
        error_said = wording(reading.alpha)[0] if reading.weights.size > 1 else digits
        weights = _("weights {weights}").format(weights=" ".join(f"{w:.2f}" for w in reading.weights))
        return f"{soft} {sign} {error_said(reading.error)}; {weights}"

    def html(self, reading: SmoothMaxReading) -> str:
        said = {"of": reading.of, "soft": digits(reading.soft), "hard": digits(reading.hard)}
        if reading.weights.size == 1:
            soft = _("The smooth {of} is <b>{soft}</b> nats: the score itself.").format(**said)
            alone = _("With one score there is nothing to smooth: the smoothing error is 0 at every τ.")
            return f"<p>{soft} {alone}</p>"
        error_said, share_said = wording(reading.alpha)
        soft = _("The smooth {of} is <b>{soft}</b> nats: {error} below the {of}, which is {hard}.")
        if reading.of == "max":
            soft = _("The smooth {of} is <b>{soft}</b> nats: {error} above the {of}, which is {hard}.")
        soft = soft.format(**said, error=error_said(reading.error))
        listed = ", ".join(f"s{number} {share_said(weight)}" for number, weight in enumerate(reading.weights, start=1))
        ties = int(np.sum(reading.scores == reading.hard))
        # The weights are the slope: moved up together by one nat, all scores move the smooth max by one.
        shares = _("Shares of the gradient: {listed}. They add up to 100%.").format(listed=listed)
        return f"<p>{soft}</p><p>{shares}{tied_lead(ties)}</p>"

    def headline(self, reading: SmoothMaxReading) -> dict[str, float]:
        distance = _("its distance from the {of}").format(of=reading.of)
        return {smooth(reading.of): reading.soft, distance: reading.error}

    def columns(self, reading: SmoothMaxReading) -> dict[str, Any]:
        """Return the scores and their weights as columns, one row a response."""
        return {"response": self._names, "score": reading.scores, "weight": reading.weights}


def _checked(scores: Numbers) -> np.ndarray:
    scores = held(scores)
    if scores.ndim != 1 or scores.size > MOST or not np.all(scores > -math.inf):
        raise ValueError(f"scores must be 1 to {MOST} finite numbers, not {scores.tolist()!r}")
    return scores


def _score_knobs(scores: np.ndarray) -> list:
    """Return one knob a score, over the usual range or as far as the scores reach."""
    usual = KNOBS["score"]
    low, high = min(usual.low, math.floor(scores.min())), max(usual.high, math.ceil(scores.max()))
    return [
        replace(
            usual,
            name=f"s{number}",
            label=_("score {name}").format(name=f"s{number}"),
            low=low,
            high=high,
            default=float(score),
        )
        for number, score in enumerate(scores, start=1)
    ]


def _presets(names: list[str], span: tuple[float, float]) -> dict:
    low, high = span
    if len(names) == 1:
        return {}
    return {
        N_("all tie"): dict.fromkeys(names, high),
        N_("two lead"): {name: high if number < 2 else low for number, name in enumerate(names)},
        N_("soft"): {"tau": 0.3},
        N_("sharp"): {"tau": 30.0},
        N_("sparse"): {"alpha": 2.0},
        N_("minimum"): {"of": "min"},
    }

"""A replay of a training: a few held-out sets at each recorded step, as the loss saw them."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mapl_explore.explorers.knobs import Choice, Knob
from mapl_explore.explorers.loss_controls import compared, margins_in_short, margins_said
from mapl_explore.explorers.readout import Figure, digits, first_of, percent, signed, span, table, wording
from mapl_explore.explorers.sources import names_of, require_shown, rewards_of, rows_of, set_knob
from mapl_explore.explorers.stage import Stage
from mapl_explore.files import shortened
from mapl_explore.losses import Loss, ScoredSets, parse
from mapl_explore.losses.loss import has_margin
from mapl_explore.losses.measures import MeasuredSide, losses_and_sides, measured_sides, measures
from mapl_explore.losses.naming import short
from mapl_explore.numerics.arrays import to_numpy
from mapl_explore.plots.axis_limits import decades, ends_around, round_up
from mapl_explore.plots.curves import bands_of, curves_of, curves_panel
from mapl_explore.plots.looks import MARGINS, SIDES, response_styles
from mapl_explore.plots.panels import Axis, Band, Curve, Panel, Scale, whole_ticks
from mapl_explore.plots.weights import WEIGHT, push_panel
from mapl_explore.runs.probes import read_probes
from mapl_explore.runs.record import progress_at, read_run
from mapl_explore.words import N_, _

SHOWN = 8  # responses that are named
SCORES: tuple[str, str, Scale] = (N_("the score of each response"), N_("score r ({unit})"), "linear")
PICTURES: dict[str, tuple[str, str, Scale]] = {
    N_("weights"): (N_("the weight of each response over the steps"), WEIGHT, "linear"),
    N_("margins"): (N_("the margins"), N_("margin ({unit})"), "linear"),
    "tau": (N_("the inverse temperature of each side"), "τ (1/{unit})", "log"),
    N_("error"): (N_("the smoothing error of each side between its bounds"), N_("smoothing error E ({unit})"), "log"),
}


@dataclass(frozen=True)
class History:
    """One probe set over the recorded steps, as the loss of the run sees it.

    Parameters
    ----------
    names : list of str
        What its responses are called, positives first.
    sets : list of ScoredSets
        The set (n,) at each step.
    losses : list of Loss
        The loss at each step; they differ where a tau anneals.
    score, weights : array (S, n)
        What the loss compares, and d loss / d logp.
    value, margin, hard_margin : array (S,)
        The loss, and the margin it sees, None where it has none of its own, and the hard one.
    sides : dict of MeasuredSide
        What the pair does at each step, each (S,), on the sides that the loss looks at.
    """

    names: list[str]
    sets: list[ScoredSets]
    losses: list[Loss]
    score: np.ndarray
    weights: np.ndarray
    value: np.ndarray
    margin: np.ndarray | None
    hard_margin: np.ndarray
    sides: dict[str, MeasuredSide]

    def margins(self, place: int) -> tuple[float | None, float]:
        """Return the margin that the loss sees, None where it has none, and the hard one."""
        return None if self.margin is None else float(self.margin[place]), float(self.hard_margin[place])


@dataclass(frozen=True)
class TrainingReading:
    """What a :class:`TrainingExplorer` shows at one setting.

    Parameters
    ----------
    place, step, asked : int
        Which of the recorded steps is shown, its number, and the step that the slider is at.
    set : int
        Which of the probe sets, from 1.
    curves : str
        What the middle picture shows.
    history : History
        Of the set, all steps.
    """

    place: int
    step: int
    asked: int
    set: int
    curves: str
    history: History


class TrainingExplorer(Stage):
    """Replay a run on a few held-out sets: scores, weights, tau and smoothing error at each recorded step.

    The numbers are those of the run's own loss. The left panel has the score of each response over the training, the
    middle one the weights, the margins, or the tau or error of each side, and the right one the weights at the step of
    the slider, or at the recorded step nearest to it.

    Parameters
    ----------
    run : path
        A run folder, as ``finetune`` writes it; the run need not be over.
    **settings : int or str
        Where the controls start: ``step``, ``curves``, and ``set`` where there are several.

    Raises
    ------
    ValueError, TypeError
        If a file of the run is none, its loss has no name here (import your own first), or a setting is no control
        here or off it.
    OSError
        If a file cannot be read.

    Examples
    --------
    A run of two steps, of which the first and the last were recorded, on one set of one against two:

    >>> import tempfile
    >>> from mapl_explore.runs.record import Run, write_run
    >>> folder, loss = tempfile.mkdtemp(), "DPO(beta=0.1, pair=Smooth(tau=1.0))"
    >>> write_run(folder, Run(loss=loss, arguments={"steps": 2}, data={}))
    >>> arrays = {"logp": [[[-3.0, -2.0, -2.5]], [[-2.5, -4.0, -3.0]]], "ref_logp": [[-3.0, -2.0, -2.5]]}
    >>> np.savez(f"{folder}/probes.npz", step=[0, 2], **arrays, length=[[4, 4, 4]], label=[[1, -1, -1]])
    >>> explorer = TrainingExplorer(folder)
    >>> explorer  # doctest: +NORMALIZE_WHITESPACE
    TrainingExplorer(step=2, curves='weights'): step 2, loss 0.654, margin 0.799 (hard 1); positives: smoothing
    error 0 nats, tau 1, hardest gets 100%; negatives: smoothing error 0.201 nats, tau 1, hardest gets 81.8%;
    weights −0.048 +0.009 +0.039
    >>> explorer.reading.history.margin.round(3)
    array([-0.693,  0.799])
    """

    def __init__(self, run: str | os.PathLike, **settings: int | str):
        """Read the record and the probes, and make a slider over the steps."""
        if not isinstance(run, str | os.PathLike):
            raise TypeError(f"run must be the path of a run folder, not {shortened(run)}")
        record, self._probes = read_run(run), read_probes(run)
        require_shown(self._probes.sets)
        if "steps" not in record.arguments:
            raise ValueError(f"{run}: its record must say how many steps it has, in arguments, and does not")
        self._loss, self._steps = parse(record.loss), int(record.arguments["steps"])
        self._histories: dict[int, History] = {}
        first, last = int(self._probes.step[0]), int(self._probes.step[-1])
        knobs: list[Knob | Choice] = [
            Knob(
                "step", N_("step of the training"), "", first, last, last, "integer", N_("How many updates were made.")
            )
        ]
        shown = _pictures(self._history(1))
        knobs.append(Choice("curves", N_("middle picture"), shown, shown[0], N_("What is shown over the steps.")))
        count = self._probes.sets.label.shape[1]
        if count > 1:
            knobs.append(set_knob(count))
        halfway = first + (last - first) // 2
        presets = {N_("before"): {"step": first}, N_("half way"): {"step": halfway}, N_("after"): {"step": last}}
        super().__init__(knobs, presets, settings)

    @property
    def loss(self) -> Loss:
        """The loss of the run."""
        return self._loss

    def panels(self, reading: TrainingReading) -> list[Panel]:
        history, shown = reading.history, reading.curves
        most = round_up(float(np.max(np.abs(history.weights))))
        return [
            self._over_steps(reading, SCORES, self._of_responses(history, history.score)),
            self._over_steps(reading, PICTURES[shown], *self._middle(history, shown), own_key=shown != "weights"),
            push_panel(history.weights[reading.place], history.names, most, rewards=rewards_of(history.sets[0])),
        ]

    def _of_responses(self, history: History, values: np.ndarray) -> list[Curve]:
        named = len(history.names) <= SHOWN
        return curves_of(self._probes.step, history.names, values.T, response_styles(history.names), named)

    def _middle(self, history: History, shown: str) -> tuple[list[Curve], list[Band]]:
        """Return the curves of the middle picture, and the bands that they lie in."""
        step = self._probes.step
        if shown == "weights":
            return self._of_responses(history, history.weights), []
        if shown == "margins":
            margins = [one for one in (history.hard_margin, history.margin) if one is not None]
            return curves_of(step, list(map(_, MARGINS)), margins, list(MARGINS.values())), []
        sides, styles = history.sides, [SIDES[name] for name in history.sides]
        names = [
            _(name) if side.n[0] > 1 else _("{side} (one response)").format(side=_(name))
            for name, side in sides.items()
        ]
        curves = curves_of(step, names, [getattr(side, shown) for side in sides.values()], styles)
        if shown != "error":
            return curves, []
        bounds = [
            (_(name), SIDES[name], to_numpy(side.lower), to_numpy(side.upper))
            for name, side in sides.items()
            if side.lower is not None and side.upper is not None
        ]
        return curves, bands_of(step, bounds)

    def _over_steps(
        self,
        reading: TrainingReading,
        what: tuple[str, str, Scale],
        curves: list[Curve],
        bands: Sequence[Band] = (),
        **panel: Any,
    ) -> Panel:
        """Return curves over the steps, with rings at the one that is shown."""
        name, label, scale = what
        step, values = self._probes.step, [mark.y for mark in curves]
        # A run of which one step was recorded has no span; half a step on either side shows it in the middle.
        room = 0.5 if step[0] == step[-1] else 0.0
        x = Axis(_("step"), step[0] - room, step[-1] + room, ticks=whole_ticks(step[0], step[-1]))
        edges = [edge for band in bands for edge in (band.low, band.high)]
        y = Axis(
            _(label).format(unit=_(self._loss.unit)),
            *(decades(np.concatenate(values + edges)) if scale == "log" else ends_around(values)),
            scale,
        )
        rings = [value[reading.place] for value in values]
        return curves_panel(_(name), x, y, curves, knob="step", now=reading.step, rings=rings, bands=bands, **panel)

    def read(self, settings: dict) -> TrainingReading:
        asked, number = settings["step"], settings.get("set", 1)
        place = int(np.argmin(np.abs(self._probes.step - asked)))
        step = int(self._probes.step[place])
        return TrainingReading(place, step, asked, number, settings["curves"], self._history(number))

    def text(self, reading: TrainingReading) -> str:
        history, place = reading.history, reading.place
        margins = margins_in_short(*history.margins(place))
        used = history.losses[place]
        sides = "".join(f"; {_(name)}: {_side_text(used, side, place)}" for name, side in history.sides.items())
        weights = " ".join(signed(weight, "+.3f") for weight in history.weights[place][:SHOWN])
        now = _("step {step}, loss {loss}").format(step=reading.step, loss=digits(history.value[place]))
        return f"{now}, {margins}{sides}; " + _("weights {weights}").format(weights=weights)

    def html(self, reading: TrainingReading) -> str:
        history, place = reading.history, reading.place
        now = _("After step <b>{step}</b> of {steps}, the loss is {loss}.")
        if reading.step != reading.asked:
            now = _("After step <b>{step}</b> of {steps}, the recorded step nearest to {asked}, the loss is {loss}.")
        said = {"step": reading.step, "steps": self._steps, "asked": reading.asked}
        now = now.format(**said, loss=digits(history.value[place]))
        used = history.losses[place]
        margins = margins_said(used, *history.margins(place))
        sides = [_side_row(_(name), used, side, place) for name, side in history.sides.items()]
        head = (_("side"), _("gap"), "τ", "E", _("E could be"), _("hardest gets"))
        about = table(_("Each side"), sides, head) if sides else ""
        loss = _("The loss of the run is {loss}.").format(loss=short(used))
        loss = f"<p>{loss}{compared(used)}</p>"
        return f"<p>{now}{margins}</p>{loss}{about}{self._responses(reading)}"

    def _responses(self, reading: TrainingReading) -> str:
        """Return a row for each response: its score, how far it has come, its weight, and its part of its side's."""
        history, place = reading.history, reading.place
        weight, label = history.weights[place], history.sets[0].label
        since = history.sets[place].logp - history.sets[0].logp
        whole = [np.abs(weight[label == sign]).sum() for sign in label]
        rows = zip(history.names, history.score[place], since, weight, whole, strict=True)
        listed: list[tuple] = [
            (name, float(r), signed(change, "+.2f"), signed(push, "+.3g"), percent(abs(push) / all_) if all_ else "")
            for name, r, change, push, all_ in rows
        ]
        rewards = rewards_of(history.sets[0])
        if rewards is not None:
            listed = [(*row, reward) for row, reward in zip(listed, rewards.tolist(), strict=True)]
        caption = _(
            "Each response: its score r, how far its log π has moved since step {step}, "
            "its weight (loss per nat of its log π), its share of its side"
        ).format(step=self._probes.step[0])
        caption += _(", its reward") * (rewards is not None) + first_of(SHOWN, len(listed))
        head = (_("response"), _("score r"), _("moved"), _("weight"), _("share"), _("reward"))
        return table(caption, listed[:SHOWN], head[: len(listed[0])])

    def headline(self, reading: TrainingReading) -> dict[str, float]:
        history, place = reading.history, reading.place
        margin, hard = history.margins(place)
        own = {} if margin is None else {_("margin"): margin}
        return {_("loss"): float(history.value[place]), **own, _("hard margin"): hard}

    def columns(self, reading: TrainingReading) -> dict[str, Any]:
        """Return the history of the set as columns, one row for each step and response."""
        history = reading.history
        steps, n = history.score.shape
        own = {} if history.margin is None else {"margin": history.margin}
        columns = {"loss": history.value, **own, "hard_margin": history.hard_margin}
        return {
            "step": np.repeat(self._probes.step, n),
            "response": history.names * steps,
            "logp": np.concatenate([to_numpy(one.logp) for one in history.sets]),
            "score": history.score.ravel(),
            "weight": history.weights.ravel(),
            **{name: np.repeat(values, n) for name, values in columns.items()},
        }

    def _history(self, number: int) -> History:
        """Return the history of a set, computed when it is first looked at."""
        if number not in self._histories:
            self._histories[number] = self._computed(number - 1)
        return self._histories[number]

    def _computed(self, row: int) -> History:
        sets = rows_of(self._probes.sets[:, row])
        # The loss of the step that comes next; where nothing anneals, the same at every step.
        losses = [self._loss.at(progress_at(step, self._steps)) for step in self._probes.step.tolist()]
        pairs = list(zip(losses, sets, strict=True))
        seen = [losses_and_sides(loss, one) for loss, one in pairs]
        measured = [measures(loss, one, *each) for (loss, one), each in zip(pairs, seen, strict=True)]
        sides = [measured_sides(loss, one, each) for (loss, one), (_, each) in zip(pairs, seen, strict=True)]
        return History(
            names=names_of(sets[0]),
            sets=sets,
            losses=losses,
            score=np.stack([loss.score(one) for loss, one in pairs]),
            weights=np.stack([loss.weights(one) for loss, one in pairs]),
            value=np.array([one["loss"] for one in measured]),
            margin=np.array([one["margin"] for one in measured]) if has_margin(self._loss) else None,
            hard_margin=np.array([one["hard_margin"] for one in measured]),
            sides={f"{name}s": _stacked([one[name] for one in sides]) for name in sides[0]},
        )


def _stacked(sides: list[MeasuredSide]) -> MeasuredSide:
    """Return a side at each step, of what it is at one step after the other."""
    columns = zip(MeasuredSide._fields, zip(*sides, strict=True), strict=True)
    return MeasuredSide(**{name: np.array(values) for name, values in columns if values[0] is not None})


def _pictures(history: History) -> tuple[str, ...]:
    """Return what there is to show of a loss over the steps."""
    sides = history.sides.values()
    return (
        "weights",
        "margins",
        *(what for what in ("tau", "error") if any(getattr(side, what) is not None for side in sides)),
    )


def _said(loss: Loss, side: MeasuredSide, place: int) -> tuple[Callable[[float], str], Callable[[float], str]]:
    """Return how errors and shares are said: of one response, or where no pair is smooth, a 0 is one."""
    alpha = getattr(getattr(loss, "pair", None), "alpha", 1.0)
    return wording(alpha) if side.tau is not None and side.n[place] > 1 else (digits, percent)


def _side_text(loss: Loss, side: MeasuredSide, place: int) -> str:
    error_said, share_said = _said(loss, side, place)
    words = _("hardest gets {share}").format(share=share_said(float(side.share[place])))
    if side.tau is not None:
        words = f"tau {digits(float(side.tau[place]))}, {words}"
    if side.error is None:
        return words
    error = _("smoothing error {error} {unit}").format(error=error_said(float(side.error[place])), unit=_(loss.unit))
    return f"{error}, {words}"


def _side_row(name: str, loss: Loss, side: MeasuredSide, place: int) -> tuple:
    """Return the row of a side: numbers where there are any."""
    error_said, share_said = _said(loss, side, place)
    gap = _("one response") if side.n[place] == 1 else float(side.gap[place])
    tau = "" if side.tau is None else float(side.tau[place])
    share = share_said(float(side.share[place]))
    if side.error is None or side.lower is None or side.upper is None:
        return name, gap, tau, "", "", share
    could = span(float(side.lower[place]), float(side.upper[place]), error_said)
    return name, gap, tau, Figure(error_said(float(side.error[place]))), could, share

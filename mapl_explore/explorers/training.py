"""A replay of a training: a few held-out sets at each recorded step, as the loss saw them."""

import os
from dataclasses import dataclass

import ipywidgets as widgets
import numpy as np

from mapl_explore.explorers.knobs import Choice, Knob
from mapl_explore.explorers.readout import digits, minus, percent, table
from mapl_explore.explorers.sources import names_of, require_shown, rows_of
from mapl_explore.explorers.stage import Stage
from mapl_explore.files import shortened
from mapl_explore.losses import Loss, ScoredSets, parse
from mapl_explore.losses.measures import MeasuredSide, losses_and_sides, measured_sides, measures
from mapl_explore.losses.naming import short
from mapl_explore.plots import MARGINS, SIDES, HistoryPanel, PushPanel, response_looks
from mapl_explore.plots.axis_limits import round_up
from mapl_explore.runs.probes import read_probes
from mapl_explore.runs.record import progress_at, read_run

SHOWN = 8  # responses that are named
FRAMES = 40  # of a replay


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
        What the loss compares (nats), and d loss / d logp.
    value, margin, hard_margin : array (S,)
        The loss, and in nats the margin it sees and the hard one.
    sides : dict of MeasuredSide
        What the pair does at each step, each (S,), on the sides that the loss looks at.
    """

    names: list[str]
    sets: list[ScoredSets]
    losses: list[Loss]
    score: np.ndarray
    weights: np.ndarray
    value: np.ndarray
    margin: np.ndarray
    hard_margin: np.ndarray
    sides: dict[str, MeasuredSide]


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

    The numbers are those of the run's own loss. Left the score of each response over the training, in the middle the
    weights, the margins, or each side's tau or error between its bounds, right the weights at the step of the slider.
    Where a step was not recorded, the nearest that was is shown.

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

    def __init__(self, run: str | os.PathLike, **settings):
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
        knobs = [Knob("step", "step of the training", "", first, last, last, "integer", "How many updates were made.")]
        shown = _pictures(self._history(1))
        knobs.append(Choice("curves", "middle picture", shown, shown[0], "What is shown over the steps."))
        count = self._probes.sets.label.shape[1]
        if count > 1:
            knobs.append(Knob("set", "probe set", "", 1, count, 1, "integer", "Which of the held-out sets, from 1."))
        halfway = first + (last - first) // 2
        presets = {"before": {"step": first}, "half way": {"step": halfway}, "after": {"step": last}}
        super().__init__(knobs, presets, settings)

    @property
    def loss(self) -> Loss:
        """The loss of the run."""
        return self._loss

    def scene(self, reading: TrainingReading) -> tuple:
        """Return the set and the middle picture: the curves do not depend on the step."""
        return reading.set, reading.curves

    def build(self, figure, scene) -> list:
        """Return the panels of the scores, of the middle picture and of the weights."""
        number, shown = scene
        history = self._history(number)
        left, middle, right = figure.subplots(1, 3, width_ratios=(1.2, 1.2, 1))
        looks = response_looks(history.names)
        if len(looks) <= SHOWN:
            named = [left.plot([], [], **look)[0] for look in looks]
            figure.legend(handles=named, loc="outside upper left", ncols=SHOWN)
        looks = [{key: value for key, value in look.items() if key != "label"} for look in looks]
        largest = round_up(float(np.max(np.abs(history.weights)))) or 1.0
        return [
            HistoryPanel(left, self._probes.step, history.score.T, looks, "score r (nats)"),
            HistoryPanel(middle, self._probes.step, **_middle(history, shown, looks)),
            PushPanel(right, history.names, largest),
        ]

    def read(self, settings: dict) -> TrainingReading:
        """Return every number that is shown at these settings."""
        asked, number = settings["step"], settings.get("set", 1)
        place = int(np.argmin(np.abs(self._probes.step - asked)))
        step = int(self._probes.step[place])
        return TrainingReading(place, step, asked, number, settings["curves"], self._history(number))

    def move(self, panels: list, reading: TrainingReading) -> None:
        """Move the panels to a reading."""
        scores, middle, pushes = panels
        scores.move(reading.place)
        middle.move(reading.place)
        pushes.move([reading.history.weights[reading.place]])

    def text(self, reading: TrainingReading) -> str:
        """Return the reading in a line of plain text, rounded."""
        history, place = reading.history, reading.place
        margins = f"margin {digits(history.margin[place])} (hard {digits(history.hard_margin[place])})"
        sides = "".join(f"; {name}: {_side_text(side, place)}" for name, side in history.sides.items())
        weights = " ".join(_signed(weight, "+.3f") for weight in history.weights[place][:SHOWN])
        return f"step {reading.step}, loss {digits(history.value[place])}, {margins}{sides}; weights {weights}"

    def html(self, reading: TrainingReading) -> str:
        """Return the reading as a sentence, a table of the sides and a table of the responses."""
        history, place = reading.history, reading.place
        near = "" if reading.step == reading.asked else f", the recorded step nearest to {reading.asked}"
        now = f"After step <b>{reading.step}</b> of {self._steps}{near}, the loss is {digits(history.value[place])}."
        margins = (
            f"Its margin is {digits(history.margin[place])} nats, the hard one {digits(history.hard_margin[place])}."
        )
        sides = [_side_row(name, side, place) for name, side in history.sides.items()]
        head = ("", "gap", "τ", "E", "could be", "hardest gets")
        about = table("Each side", sides, head) if sides else ""
        return f"<p>{short(history.losses[place])}</p><p>{now} {margins}</p>{about}{self._responses(reading)}"

    def _responses(self, reading: TrainingReading) -> str:
        """Return a row for each response: its score, how far it has come, its weight, and its part of its side's."""
        history, place = reading.history, reading.place
        weight, label = history.weights[place], history.sets[0].label
        since = history.sets[place].logp - history.sets[0].logp
        whole = [np.abs(weight[label == sign]).sum() for sign in label]
        rows = zip(history.names, history.score[place], since, weight, whole, strict=True)
        listed = [
            (name, float(r), _signed(change, "+.2f"), _signed(push, "+.3g"), percent(abs(push) / all_) if all_ else "")
            for name, r, change, push, all_ in rows
        ]
        more = f" (the first {SHOWN} of {len(listed)})" if len(listed) > SHOWN else ""
        head = ("", "score r", f"log π since step {self._probes.step[0]}", "weight", "of its side")
        return table(f"Each response{more}", listed[:SHOWN], head)

    def to_frame(self):
        """Return the history of the set as a pandas.DataFrame, one row for each step and response."""
        import pandas

        history = self.reading.history
        steps, n = history.score.shape
        columns = {"loss": history.value, "margin": history.margin, "hard_margin": history.hard_margin}
        return pandas.DataFrame(
            {
                "step": np.repeat(self._probes.step, n),
                "response": history.names * steps,
                "logp": np.concatenate([one.logp for one in history.sets]),
                "score": history.score.ravel(),
                "weight": history.weights.ravel(),
                **{name: np.repeat(values, n) for name, values in columns.items()},
            }
        )

    def _arranged(self) -> widgets.Widget:
        """Return the stage with a replay, which moves the slider in the browser."""
        stage = super()._arranged()
        step = self._controls["step"]
        span = {"min": step.knob.low, "max": step.knob.high, "value": step.value}
        # Each step a frame, or some forty frames: eight seconds in either case.
        pace = max(1, (step.knob.high - step.knob.low) // FRAMES)
        play = widgets.Play(**span, step=pace, interval=200, show_repeat=False, tooltip="replay the training")
        self._replay = play, widgets.jslink((play, "value"), (step.slider, "value"))
        stage.children[2].children = (play, *stage.children[2].children)
        return stage

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
            margin=np.array([one["margin"] for one in measured]),
            hard_margin=np.array([one["hard_margin"] for one in measured]),
            sides={f"{name}s": _stacked([one[name] for one in sides]) for name in sides[0]},
        )


def _stacked(sides: list[MeasuredSide]) -> MeasuredSide:
    """Return a side at each step, of what it is at one step after the other."""
    return MeasuredSide(*(None if values[0] is None else np.array(values) for values in zip(*sides, strict=True)))


def _pictures(history: History) -> tuple[str, ...]:
    """Return what there is to show of a loss over the steps."""
    sides = history.sides.values()
    return (
        "weights",
        "margins",
        *(what for what in ("tau", "error") if any(getattr(side, what) is not None for side in sides)),
    )


def _middle(history: History, shown: str, looks: list[dict]) -> dict:
    """Return the curves of the middle picture and how they are drawn."""
    if shown == "weights":
        return {"curves": history.weights.T, "looks": looks, "ylabel": "weight ∂loss/∂log π"}
    if shown == "margins":
        curves = [history.hard_margin, history.margin]
        return {"curves": curves, "looks": list(MARGINS.values()), "ylabel": "margin (nats)"}
    named = {name: name if side.n[0] > 1 else f"{name} (one response)" for name, side in history.sides.items()}
    sides = {name: SIDES[name] | {"label": label} for name, label in named.items()}
    curves = [getattr(side, shown) for side in history.sides.values()]
    picture = {"curves": curves, "looks": list(sides.values()), "scale": "log"}
    if shown == "tau":
        return picture | {"ylabel": "τ (1/nats)"}
    bands = [(sides[name], side.lower, side.upper) for name, side in history.sides.items()]
    return picture | {"ylabel": "smoothing error E (nats)", "bands": bands}


def _signed(value: float, form: str) -> str:
    """Return a number with its sign, and no minus before a zero."""
    return minus(f"{value + 0.0:{form}}")


def _side_text(side: MeasuredSide, place: int) -> str:
    words = f"hardest gets {percent(side.share[place])}"
    if side.tau is not None:
        words = f"tau {digits(side.tau[place])}, {words}"
    return words if side.error is None else f"smoothing error {digits(side.error[place])} nats, {words}"


def _side_row(name: str, side: MeasuredSide, place: int) -> tuple:
    """Return the row of a side: numbers where there are any."""
    gap = "one response" if side.n[place] == 1 else float(side.gap[place])
    tau = "" if side.tau is None else float(side.tau[place])
    if side.error is None:
        return name, gap, tau, "", "", percent(side.share[place])
    could = f"{digits(side.lower[place])} to {digits(side.upper[place])}"
    return name, gap, tau, float(side.error[place]), could, percent(side.share[place])

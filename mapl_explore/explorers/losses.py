"""Any loss, or several over each other: value, slope and weights, as the log-probs of a set are moved."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from mapl_explore.explorers.knobs import KNOBS, Choice, Knob
from mapl_explore.explorers.loss_controls import (
    NUMBERS,
    compared,
    labels_of,
    losses_of,
    margins_in_short,
    margins_said,
    number_knobs,
    numbers_of,
    response_row,
    text_of,
    with_numbers,
)
from mapl_explore.explorers.readout import digits, first_of, sign, signed, table
from mapl_explore.explorers.sources import Sides, fitting, names_of, rewards_of, rows_of, set_knob
from mapl_explore.explorers.stage import Stage
from mapl_explore.losses import LOSSES, Hardest, Loss, ScoredSets, loss_of, require_reference
from mapl_explore.losses.explaining import explain_unchecked
from mapl_explore.losses.loss import has_margin
from mapl_explore.losses.naming import short
from mapl_explore.numerics.arrays import to_numpy
from mapl_explore.plots.axis_limits import ends_around, ends_with, round_up
from mapl_explore.plots.curves import curves_of, curves_panel
from mapl_explore.plots.looks import SERIES, response_styles
from mapl_explore.plots.panels import Axis, Panel
from mapl_explore.plots.weights import WEIGHT, push_panel, strokes
from mapl_explore.words import N_, _

# Three positives and three negatives whose log-ratios to the reference are 3, 0.5, 0 and 0, -0.5, -3: hard margin 0.
EXAMPLE = ScoredSets(
    logp=np.array([-22.0, -24.5, -25.0, -25.0, -25.5, -28.0]),
    ref_logp=np.full(6, -25.0),
    length=np.full(6, 10),
    label=np.array([1, 1, 1, -1, -1, -1]),
)
POSITIVES = N_("all positives")
MIDDLE = Choice(
    "curves",
    N_("middle picture"),
    (N_("slope"), N_("weights")),
    "slope",
    N_("Of each loss its slope, or of each response its weight."),
)
PRESETS: dict[str, dict[str, Any]] = {
    N_("hard pair"): {"loss": "dpo-hardest"},
    N_("smooth pair"): {"loss": "dpo-smooth", "tau": 0.3},
    N_("sparse pair"): {"loss": "dpo-smooth", "tau": 0.3, "alpha": 2.0},
    N_("share rule"): {"loss": "dpo-share"},
    N_("no floor"): {"loss": "smooth-maxneg-minpos"},
    N_("with NLL"): {"loss": "cpo-smooth"},
}
MOST = len(SERIES) - 1  # curves that can be kept
RESPONSES = (N_("response"), N_("score r"), N_("weight"), N_("pushed"), N_("share"), N_("rank"), N_("reward"))
SHOWN = 8  # responses listed in the readout


@dataclass(frozen=True)
class LossReading:
    """What a :class:`LossExplorer` shows at one setting.

    Parameters
    ----------
    losses : tuple of Loss
        The loss as set, then those that are kept.
    sets : ScoredSets
        The set (n,) as moved, positives first.
    swept : ScoredSets
        The set (k, n) as moved to each of ``places``.
    names : list of str
        What its responses are called.
    moved : str
        What is moved along the horizontal axis: all positives, or one response.
    mask : array (n,)
        Which responses these are.
    now : float
        By how much it is moved, in nats.
    gone : tuple of Loss
        The oldest kept one, if it has made room for the last.
    certain : bool
        Whether that is less than asked for, as a response is certain there: log-prob 0.
    places : array (k,)
        Where the curves are computed: the same, along the axis.
    curves : {"slope", "weights"}
        What is in the middle: the slopes, or the weights of the loss as set.
    """

    losses: tuple[Loss, ...]
    sets: ScoredSets
    swept: ScoredSets
    names: list[str]
    moved: str
    mask: np.ndarray
    now: float
    gone: tuple[Loss, ...]
    certain: bool
    places: np.ndarray
    curves: str

    @cached_property
    def values(self) -> list[np.ndarray]:
        """Each loss (k,) over the places."""
        return [to_numpy(loss(self.swept)) for loss in self.losses]

    @cached_property
    def pushes(self) -> list[np.ndarray]:
        """The weights (k, n) of each loss, d loss / d logp, over the places."""
        return [to_numpy(loss.weights(self.swept)) for loss in self.losses]

    @cached_property
    def slopes(self) -> list[np.ndarray]:
        """The derivative (k,) of each loss along the axis, per nat."""
        return [(each * self.mask).sum(axis=-1) for each in self.pushes]

    @cached_property
    def weights(self) -> list[np.ndarray]:
        """The weights (n,) of each loss where the set is now."""
        return [to_numpy(loss.weights(self.sets)) for loss in self.losses]

    @cached_property
    def value(self) -> float:
        """The loss as set, where the set is now."""
        return float(self.losses[0](self.sets))

    @cached_property
    def slope(self) -> float:
        """Its derivative along the axis, per nat."""
        return float((self.weights[0] * self.mask).sum())

    @cached_property
    def margin(self) -> float | None:
        """Its margin, in nats; None where it has none of its own."""
        return float(self.losses[0].margin(self.sets)) if has_margin(self.losses[0]) else None

    @cached_property
    def hard_margin(self) -> float:
        """Its hard margin, in nats."""
        return float(self.losses[0].hard_margin(self.sets))

    @cached_property
    def reach(self) -> tuple:
        """The ends of the axes of values, slopes and weights: round numbers around what the curves take."""
        largest = [float(np.max(np.abs(each))) for each in self.pushes]
        top = min(max(largest), 3 * largest[0]) or max(largest)
        return ends_with(*self.values), ends_with(*self.slopes), round_up(top)


class LossExplorer(Stage):
    """Show a loss, its slope and its weights per response, against the margin or against one log-prob.

    The shift moves the log-probs of all positives, and with them the margin: by as much, except for SimPO, ORPO and
    GRPO, whose score r is neither a log-prob nor a log-ratio. It can move one response instead, which shows the weight
    of that response. *Keep* leaves a curve for comparison; the axes hold at most three times the span of the loss as
    set.

    Parameters
    ----------
    loss : Loss or str
        Where to start: a loss, a preset of ``LOSSES``, or a text that ``parse`` reads.
    over : sequence of Loss or str, optional
        Up to four losses to show with it; if not given, ``"dpo-hardest"`` where the sets have a reference.
    sets : ScoredSets, optional
        Preference sets of your own, as ``score_sets`` returns them, in place of the example of three and three.
    **settings : float, int or str
        Where the other controls start: the numbers of the loss (``beta``, ``tau``, ``alpha``, ``epsilon``, ``share``;
        ``smoothing`` of CDPO and RobustDPO, ``clip`` of GRPO, ``reward_alpha`` of InfoNCA), ``moved``, ``shift``,
        ``curves``, and ``set`` where there are several.

    Raises
    ------
    TypeError, ValueError
        If something is no loss, a number of it lies off its slider, or a setting is no control here; and where a loss
        reads a reference and the sets have none.

    Examples
    --------
    >>> explorer = LossExplorer("dpo-smooth", over=["dpo-hardest"], tau=1.0)
    >>> explorer  # doctest: +NORMALIZE_WHITESPACE
    LossExplorer(loss='dpo-smooth', beta=0.1, tau=1, moved='all positives', shift=0, curves='slope'): loss 0.745,
    slope −0.0525, margin −1.01 (hard 0); weights −0.002 −0.019 −0.032 +0.032 +0.019 +0.002
    >>> explorer.set(tau=0.5, beta=0.2)
    >>> explorer.loss
    DPO(beta=0.2, pair=Smooth(tau=0.5))
    """

    def __init__(
        self,
        loss: Loss | str = "dpo-smooth",
        *,
        over: Sequence[Loss | str] | None = None,
        sets: ScoredSets | None = None,
        **settings: float | str,
    ):
        """Make the sliders that a loss can have, and one for the set where there are several."""
        self._given = EXAMPLE if sets is None else sets
        self._sets = rows_of(self._given)
        self._numbers = number_knobs(KNOBS["tau"] if sets is None else Sides(sets).tau())
        over = fitting(["dpo-hardest"], self._given) if over is None else over
        self._over = losses_of(over)
        self.kept: tuple[Loss, ...] = ()
        self.gone: tuple[Loss, ...] = ()
        for one in self._over:
            require_reference(one, self._given)
        if len(self._over) > MOST:
            raise ValueError(f"over must hold at most {MOST} losses, not {len(self._over)}")
        named = fitting(LOSSES, self._given)
        options = (*named, *({self._name_of(loss)} - set(named)))
        about = N_("A preset, with what it compares, or any loss set from Python.")
        choice = Choice("loss", N_("loss"), options, text_of(loss), about, self._name_of, labels_of(named))
        moved = Choice(
            "moved", N_("what is moved"), _movable(self._sets), POSITIVES, N_("All positives, or one response.")
        )
        number = set_knob(len(self._sets))
        shift = replace(KNOBS["shift"], low=-_room(self._sets, sets is None), high=_room(self._sets, sets is None))
        knobs: list[Knob | Choice] = [choice, *self._numbers.values(), moved, shift, MIDDLE]
        knobs += [number] if len(self._sets) > 1 else []
        self._ends = shift.low, shift.high
        presets = {label: each for label, each in PRESETS.items() if fitting([each["loss"]], self._given)}
        super().__init__(knobs, presets, {"loss": self._name_of(loss)} | settings)

    @property
    def loss(self) -> Loss:
        """The loss as set: the chosen one, with the numbers of the sliders."""
        return with_numbers(loss_of(self.settings["loss"]), self.settings)

    def keep(self) -> None:
        """Leave the curve of the loss as set where it is; beyond four, the oldest goes, and the readout says so."""
        with self._lock:
            kept = (*self.kept, self.loss)
            self.kept, self.gone = kept[-MOST:], kept[:-MOST]
            self._show()

    def clear(self) -> None:
        """Take the kept curves away."""
        with self._lock:
            self.kept, self.gone = (), ()
            self._show()

    def reset(self) -> None:
        """Set every control to its value at the start, and bring back the curves of the start."""
        with self._lock:
            self.kept, self.gone = self._over, ()
            super().reset()

    def actions(self) -> dict:
        """Return the buttons that keep and clear curves."""
        return {
            N_("keep this curve"): (
                self.keep,
                N_("Compare the coming losses with this one, on the set as it is moved."),
            ),
            N_("clear kept"): (self.clear, N_("Take the kept curves away.")),
        }

    def follow(self, name: str, value: Any) -> dict[str, Any]:
        """Return where the sliders go when a loss is chosen: to its own numbers."""
        return numbers_of(loss_of(value)) if name == "loss" else {}

    def idle(self, settings: dict) -> set[str]:
        """Return the sliders of numbers that the loss does not have."""
        return set(NUMBERS) - set(numbers_of(loss_of(settings["loss"])))

    def panels(self, reading: LossReading) -> list[Panel]:
        labels, styles = _labels(reading.losses), [style for style, _stroke in SERIES]
        values, slopes, most = reading.reach
        x = Axis(_("shift of {moved} (nats)").format(moved=_(reading.moved)), *self._ends)
        others = [strokes(*one) for one in zip(labels[1:], reading.weights[1:], styles[1:], strict=False)]
        panel = partial(curves_panel, x=x, knob="shift", now=reading.now)
        curves = partial(curves_of, reading.places, labels, styles=styles)
        y = Axis(_("slope (loss per nat)"), *slopes)
        return [
            panel(_("the loss"), y=Axis(_("loss"), *values), curves=curves(reading.values), rings=[reading.value]),
            panel(_("the slope of the loss"), y=y, curves=curves(reading.slopes), rings=[reading.slope])
            if reading.curves == "slope"
            else self._weights(reading, panel),
            push_panel(reading.weights[0], reading.names, most, others, rewards=rewards_of(reading.sets)),
        ]

    def _weights(self, reading: LossReading, panel: Callable[..., Panel]) -> Panel:
        named = len(reading.names) <= SHOWN
        curves = curves_of(reading.places, reading.names, reading.pushes[0].T, response_styles(reading.names), named)
        y = Axis(_(WEIGHT), *ends_around([reading.pushes[0]]))
        return panel(_("the weight of each response"), y=y, curves=curves, rings=reading.weights[0], own_key=True)

    def read(self, settings: dict) -> LossReading:
        one = self._sets[settings.get("set", 1) - 1]
        names = names_of(one)
        moved = settings["moved"] if settings["moved"] in names else POSITIVES
        mask = one.label > 0 if moved == POSITIVES else np.array([name == moved for name in names])
        room = max(0.0, -float(np.max(one.logp[mask])))  # moved so far, a response is certain: no log-prob is above 0
        now = min(settings["shift"], room)
        places = np.linspace(self._ends[0], min(self._ends[1], room), 161)
        return LossReading(
            losses=(with_numbers(loss_of(settings["loss"]), settings), *self.kept),
            sets=_moved(one, mask, now),
            swept=_moved(one, mask, places),
            names=names,
            moved=moved,
            mask=mask,
            now=now,
            gone=self.gone,
            certain=now < settings["shift"],
            places=places,
            curves=settings["curves"],
        )

    def text(self, reading: LossReading) -> str:
        weights = " ".join(signed(weight, "+.3f") for weight in reading.weights[0][:SHOWN])
        margins = margins_in_short(reading.margin, reading.hard_margin)
        said = {"loss": digits(reading.value), "slope": digits(reading.slope), "margins": margins, "weights": weights}
        return _("loss {loss}, slope {slope}, {margins}; weights {weights}").format(**said)

    def html(self, reading: LossReading) -> str:
        loss = reading.losses[0]
        margins = compared(loss) + margins_said(loss, reading.margin, reading.hard_margin)
        floor = "" if loss.bounded else " " + _("<b>It has no floor</b>: training can lower it without end.")
        now = _("The loss is <b>{loss}</b>; its slope is {slope} per nat of shift.")
        now = now.format(loss=digits(reading.value), slope=digits(reading.slope))
        named_lines = zip(reading.losses, _labels(reading.losses), SERIES, strict=False)
        lines = [
            (f"{sign(style.color, mark)} {label}", short(one), float(one(reading.sets)))
            for one, label, (style, mark) in named_lines
        ]
        named = list(zip(reading.names, explain_unchecked(loss, reading.sets), strict=True))
        listed = [response_row(name, row, named) for name, row in named]
        caption = _(
            "Each response: its score r, its weight (loss per nat of its log π), its share of its side, its rank"
        )
        caption += _(", its reward") * (reading.sets.reward is not None) + first_of(SHOWN, len(listed))
        responses = table(caption, listed[:SHOWN], map(_, RESPONSES[: len(listed[0])]))
        if reading.certain:
            certain = _("The shift ends at {now}, where a response is certain (log π = 0).")
            now += f" {certain.format(now=digits(reading.now))}"
        kept = _("At most {most} curves are kept: {loss} made room.")
        gone = "".join(f"<p>{kept.format(most=MOST, loss=short(one))}</p>" for one in reading.gone)
        return f"<p>{now}{margins}{floor}</p>{gone}" + table(_("Here, the losses are"), lines) + responses

    def headline(self, reading: LossReading) -> dict[str, float]:
        margin = {} if reading.margin is None else {_("margin"): reading.margin}
        return {_("loss"): reading.value, _("slope"): reading.slope, **margin}

    def columns(self, reading: LossReading) -> dict[str, Any]:
        """Return the curves as columns, one row a place (nats): value and slope of each loss."""
        columns = {"moved_by": reading.places}
        for number, loss in enumerate(reading.losses):
            columns[f"loss: {loss!r}"], columns[f"slope: {loss!r}"] = reading.values[number], reading.slopes[number]
        return columns

    def _name_of(self, loss: Loss | str) -> str:
        """Return the name of a loss, if the sets have what it reads and its numbers lie on their sliders."""
        text = text_of(loss)
        require_reference(loss_of(text), self._given)
        for name, value in numbers_of(loss_of(text)).items():
            knob = self._numbers[name]
            if not knob.low <= value <= knob.high:
                raise ValueError(f"loss: {name} must be in [{knob.low:g}, {knob.high:g}] to be shown, not {value:g}")
        return text


def _labels(losses: tuple[Loss, ...]) -> tuple[str, ...]:
    """Return what the curves are called in the legend: kept presets by their name, as long as there is room."""
    presets = {loss: name for name, loss in LOSSES.items()}
    numbered = [_("kept {number}").format(number=number) for number in range(1, len(losses))]
    names = [presets.get(loss, name) for loss, name in zip(losses[1:], numbered, strict=True)]
    if sum(map(len, names)) > 44 or len(set(names)) < len(names):
        names = numbered
    return (_("as set"), *names)


def _movable(sets: list[ScoredSets]) -> tuple[str, ...]:
    names = {name for one in sets for name in names_of(one)}
    return (POSITIVES, *sorted(names, key=lambda name: (name[0] == "n", int(name[1:]))))


def _room(sets: list[ScoredSets], example: bool) -> float:
    """Return how far log-probs are moved: 20 nats, or to where the hard margins of one's own sets change sign."""
    if example:
        return KNOBS["shift"].high
    widest = max(float(np.max(np.abs(Hardest().margin(one.logp, one.label)))) for one in sets)
    return max(KNOBS["shift"].high, round_up(widest))


def _moved(one: ScoredSets, mask: np.ndarray, by: np.ndarray | float) -> ScoredSets:
    """Return the set with some log-probs moved, once for each amount: (..., n)."""
    logp = one.logp + np.asarray(by)[..., None] * mask
    return one[np.broadcast_to(np.arange(mask.size), logp.shape)].with_logp(logp)

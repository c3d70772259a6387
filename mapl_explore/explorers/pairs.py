"""All pairs of a set: which of them a strategy takes, what is then pushed, and how noisy one drawn pair is."""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from mapl_explore.explorers.knobs import KNOBS, NATS, Choice, Knob
from mapl_explore.explorers.loss_controls import numbers_of, text_of, with_numbers
from mapl_explore.explorers.readout import digits, percent, table
from mapl_explore.explorers.sources import Sides, arranged, fitting, names_of, rewards_of, rows_of, set_knob
from mapl_explore.explorers.stage import Stage
from mapl_explore.explorers.strategies import KEEP, STRATEGIES, left_out, strategies_of, strategy_choice
from mapl_explore.losses import Comparing, First, Loss, ScoredSets, Smooth, loss_of, require_reference
from mapl_explore.losses.naming import short
from mapl_explore.numerics.arrays import to_numpy
from mapl_explore.plots.axis_limits import ends_around, round_up
from mapl_explore.plots.pairs import drawn_panel, grid_panel, margins_panel
from mapl_explore.plots.panels import Panel
from mapl_explore.sampling.kernels import Kernel
from mapl_explore.sampling.pair_gradients import PairGradient, effective_number, pair_gradient
from mapl_explore.sampling.pairs import Pairs, pair_margins
from mapl_explore.words import N_, _

# Four positives and four negatives whose log-ratios to the reference are 6, 3, 1, -2 and 3, 0.5, -1, -5.
EXAMPLE = ScoredSets(
    logp=np.array([-19.0, -22.0, -24.0, -27.0, -22.0, -24.5, -26.0, -30.0]),
    ref_logp=np.full(8, -25.0),
    length=np.full(8, 10),
    label=np.array([1, 1, 1, 1, -1, -1, -1, -1]),
)
LISTED = ("dpo", "cdpo", "robust-dpo", "cpo", "orpo", "simpo", "ipo", "hinge", "maxneg-minpos")
POOL = Choice("pool", N_("taken from"), (N_("this set"), N_("all sets")), "this set", N_("Where the pairs come from."))
LEAST = 1e-6  # below this mean chance a rejection sampler gives up
PRESETS: dict[str, dict[str, Any]] = {
    N_("near 0 only"): {"strategy": "band", "center": 0.0, "width": 2.0},
    N_("a soft band"): {"strategy": "bell", "center": 0.0, "width": 2.0},
    "MaxNeg-MinPos": {"strategy": "MaxNeg-MinPos"},
    N_("smooth pair"): {"strategy": "smooth", "tau": 0.5},
    N_("confident ones"): {"strategy": "easiest", "keep": 4},
    N_("steep loss"): {"strategy": "random", "beta": 2.0},
}


@dataclass(frozen=True)
class PairsReading:
    """What a :class:`PairsExplorer` shows at one setting.

    Parameters
    ----------
    loss : Loss
        The loss as set.
    strategy : str
        How pairs are taken.
    kernel : Kernel or None
        The chance of a pair by its margin, where the strategy is rejection sampling.
    center, width : float
        Its middle, and how far its edges lie from it, in nats.
    pairs : Pairs
        The pool that is drawn from.
    chance : array (pairs,)
        How likely each is taken, the likeliest being at most 1.
    gradients : dict of PairGradient
        Of every strategy that takes a pair.
    here : dict of PairGradient
        Of the strategy in use and of random pairs, when the pair drawn is one of the set that is shown.
    number : int
        The set that is shown, from 0.
    names : list of str
        What its responses are called, positives first.
    rows, columns : array
        Its positives and negatives, hardest first, as places among its responses.
    margins, taken : array (rows, columns)
        Its margins in nats, and how likely each of its pairs is taken, over the likeliest of the pool.
    """

    loss: Comparing
    strategy: str
    kernel: Kernel | None
    center: float
    width: float
    pairs: Pairs
    chance: np.ndarray
    gradients: dict[str, PairGradient]
    here: dict[str, PairGradient]
    number: int
    names: list[str]
    rows: np.ndarray
    columns: np.ndarray
    margins: np.ndarray
    taken: np.ndarray

    @cached_property
    def span(self) -> tuple[float, float]:
        """The ends of the axis of margins: round numbers that hold every margin and 0, with some room."""
        low, high = ends_around([self.pairs.margin * 1.02])
        return low, high

    @cached_property
    def places(self) -> np.ndarray:
        """Margins (k,) along that axis, in nats."""
        return np.linspace(*self.span, 401)

    @cached_property
    def push(self) -> np.ndarray:
        """The size (k,) of the loss's slope at the places, over the largest."""
        push = np.abs(to_numpy(self.loss.link_slope(self.places)))
        return push / (push.max() or 1.0)

    @cached_property
    def curve(self) -> np.ndarray | None:
        """The kernel (k,) at the places."""
        return None if self.kernel is None else self.kernel(self.places)

    @cached_property
    def reach(self) -> float:
        """The end of the scale of colours: a round number above the largest margin."""
        return round_up(float(np.max(np.abs(self.pairs.margin)))) or 1.0

    @cached_property
    def most(self) -> float:
        """The end of the axis of gradients: a round number above the largest mean with its spread."""
        tops = [np.abs(one.mean[self.number]) + one.spread[self.number] for one in self.here.values()]
        return round_up(float(np.max(tops))) or 1.0

    def drawn(self, strategy: str) -> np.ndarray:
        """Return mean and spread (2, n) of the gradient of a pair drawn from the set, 0 where none is taken."""
        n = len(self.names)
        one = self.here.get(strategy)
        return np.zeros((2, n)) if one is None else np.stack([one.mean[self.number][:n], one.spread[self.number][:n]])


class PairsExplorer(Stage):
    """Show every positive against every negative, which pairs a strategy takes, and the gradient of a drawn pair.

    The left panel has the margins, and under each a bar whose length is the chance that the pair is taken. The middle
    panel has their histogram, the part that is taken, and the slope of the loss. The right panel has the gradient of
    one pair drawn from this set: bars for its mean, strokes for that of random pairs, whiskers for its spread.

    Parameters
    ----------
    sets : ScoredSets, optional
        Preference sets of your own, as ``score_sets`` returns them, in place of the example of four and four.
    loss : Loss or str
        Whose score makes the margins and whose slope the gradient: a loss, a preset of ``LOSSES``, or a text that
        ``parse`` reads. Sets that were scored without a reference need one that reads none, such as ``"cpo"``.
    **settings : float, int or str
        Where the other controls start: ``beta``, ``strategy``, ``center``, ``width``, ``keep``, ``tau``, and ``pool``
        and ``set`` where there are several sets.

    Raises
    ------
    TypeError, ValueError
        If something is no loss of pairs, or a setting is no control here or off it; and where a loss reads a reference
        and the sets have none.

    Examples
    --------
    >>> explorer = PairsExplorer(strategy="band", center=0.0, width=2.0)
    >>> explorer  # doctest: +NORMALIZE_WHITESPACE
    PairsExplorer(loss='dpo', beta=0.1, strategy='band', center=0, width=2): band takes 5 of 16 pairs (5 in effect),
    mean margin −0.1; gradient 0.0449, noise 1.52, likeness to random pairs 0.842
    >>> explorer.kernel
    Band(low=-2.0, high=2.0)
    >>> explorer.set(strategy="smooth", tau=0.5)
    >>> explorer.loss
    DPO(beta=0.1, pair=Smooth(tau=0.5))
    """

    def __init__(self, sets: ScoredSets | None = None, *, loss: Loss | str = "dpo", **settings: float | str):
        """Make the sliders of the loss and of the strategies, and those of the set where there are several."""
        given = EXAMPLE if sets is None else sets
        self._sets, self._rows = arranged(given), rows_of(given)
        admit, listed = partial(_admit, self._sets), fitting(LISTED, self._sets)
        options = (*listed, *({admit(loss)} - set(listed)))
        choice = Choice(
            "loss",
            N_("loss"),
            options,
            text_of(loss),
            N_("Its score makes the margins; the strategy takes the pairs."),
            admit,
        )
        sizes = [np.abs(pair_margins(self._sets, loss_of(name)).margin) for name in options]
        wide = max(round_up(float(np.max(each))) for each in sizes) or 1.0
        # At first about half of the pairs are taken.
        half = round_up(float(np.median(sizes[options.index(text_of(loss))]))) or wide / 10
        center = Knob(
            "center", N_("middle of the kernel"), NATS, -wide, wide, 0.0, "linear", N_("The margin it likes best.")
        )
        width = Knob("width", N_("width of the kernel"), NATS, half / 100, wide, half, "log", N_("To each side."))
        if sets is None:
            width = replace(width, default=2.0)
        # The range that other explorers have on these sets, so that they can be linked.
        tau = replace(KNOBS["tau"] if sets is None else Sides(sets).tau(), default=1.0)
        knobs: list[Knob | Choice] = [choice, KNOBS["beta"], strategy_choice(self._sets), center, width, KEEP, tau]
        if len(self._rows) > 1:
            number = set_knob(len(self._rows))
            knobs += [POOL, number]
        presets = PRESETS if sets is None else {}
        super().__init__(knobs, presets, {"loss": admit(loss)} | settings)

    @property
    def loss(self) -> Loss:
        """The loss as set, on the pair of the strategy; First where pairs are selected beforehand, one a set."""
        settings = self.settings
        return replace(_of_pairs(settings), pair=STRATEGIES[settings["strategy"]].pair(settings))

    @property
    def kernel(self) -> Kernel | None:
        """The kernel as set, for ``RejectionSampler`` and ``mapl-explore select``; None for the other strategies."""
        settings = self.settings
        return STRATEGIES[settings["strategy"]].kernel(settings)

    def follow(self, name: str, value: Any) -> dict[str, Any]:
        """Return where beta goes when a loss is chosen: to that of the loss."""
        numbers = numbers_of(loss_of(value)) if name == "loss" else {}
        return {"beta": numbers["beta"]} if "beta" in numbers else {}

    def idle(self, settings: dict) -> set[str]:
        """Return the sliders that the strategy, or the loss, does not have."""
        idle = {"center", "width", "keep", "tau"} - set(STRATEGIES[settings["strategy"]].knobs)
        return idle | ({"beta"} - set(numbers_of(_of_pairs(settings))))

    def sweep(self, settings: dict) -> str:
        """Return the first setting that the strategy reads."""
        return next(iter(STRATEGIES[settings["strategy"]].knobs), "")

    def panels(self, reading: PairsReading) -> list[Panel]:
        rows, columns = ([reading.names[place] for place in places] for places in (reading.rows, reading.columns))
        spread: dict[str, Any] = {"places": reading.places, "slope": reading.push, "kernel": reading.curve}
        rewards = rewards_of(self._rows[reading.number])
        mine = reading.drawn(reading.strategy)
        ranked = None if rewards is None else rewards[np.concatenate([reading.rows, reading.columns])]
        return [
            grid_panel(reading.margins, reading.taken, rows, columns, reading.reach, ranked),
            margins_panel(reading.pairs.margin, reading.chance, center=reading.center, width=reading.width, **spread),
            drawn_panel(mine, reading.drawn("random")[0], reading.names, reading.most, rewards),
        ]

    def read(self, settings: dict) -> PairsReading:
        loss, number, strategy = _of_pairs(settings), settings.get("set", 1) - 1, settings["strategy"]
        pairs = self._pool(settings, loss, number)
        taken = {name: one.chance(self._sets, pairs, loss, settings) for name, one in strategies_of(self._sets).items()}
        drawn = {name: chance for name, chance in taken.items() if chance.mean() >= LEAST}
        mine = {name: drawn[name] * (pairs.set == number) for name in ("random", strategy) if name in drawn}
        gradient = partial(self._gradient, settings, pairs, loss)
        rows, columns, *grids = _grid(self._rows[number], loss, number, pairs, taken[strategy])
        return PairsReading(
            loss=loss,
            strategy=strategy,
            kernel=STRATEGIES[strategy].kernel(settings),
            center=settings["center"],
            width=settings["width"],
            pairs=pairs,
            chance=taken[strategy],
            gradients={name: gradient(name, chance) for name, chance in drawn.items()},
            here={name: gradient(name, chance) for name, chance in mine.items() if chance.any()},
            number=number,
            names=names_of(self._rows[number]),
            rows=rows,
            columns=columns,
            margins=grids[0],
            taken=grids[1],
        )

    def text(self, reading: PairsReading) -> str:
        if reading.strategy not in reading.gradients:
            none = _("{name} takes none of {count} pairs")
            return none.format(name=_(reading.strategy), count=len(reading.pairs))
        one = reading.gradients[reading.strategy]
        taken = f"{self._taken(reading)}, " + _("mean margin {margin}").format(margin=digits(_mean_margin(reading)))
        if not one.size:
            return f"{taken}; " + _("no gradient")
        like = digits(one.likeness(reading.gradients["random"]))
        drawn = _("gradient {size}, noise {noise}, likeness to random pairs {like}")
        return f"{taken}; {drawn.format(size=digits(one.size), noise=digits(one.noise), like=like)}"

    def html(self, reading: PairsReading) -> str:
        caption = _("The gradient of a drawn pair: size of its mean, noise, and likeness to random pairs")
        head = (_("strategy"), _("size"), _("noise"), _("likeness"))
        rows = [self._row(name, reading) for name in strategies_of(self._sets)]
        return f"<p>{self._sentence(reading)}</p>{table(caption, rows, head)}<p>{_(NOTE)}</p>"

    def headline(self, reading: PairsReading) -> dict[str, float]:
        if reading.strategy not in reading.gradients:
            return {}
        one = reading.gradients[reading.strategy]
        return {_("mean margin"): _mean_margin(reading), _("gradient"): one.size, _("noise"): one.noise}

    def columns(self, reading: PairsReading) -> dict[str, Any]:
        """Return the pairs of the pool as columns, one row each: responses, margin (nats), chance, slope, reward."""
        pairs = reading.pairs
        columns: dict[str, Any] = {"pair": np.arange(len(pairs)), "set": pairs.set + 1, "positive": pairs.positive}
        columns |= {"negative": pairs.negative, "margin": pairs.margin, "chance": reading.chance}
        columns |= {"slope": reading.loss.link_slope(pairs.margin)}
        return columns if pairs.reward is None else columns | {"reward": pairs.reward}

    def _pool(self, settings: dict, loss: Comparing, number: int) -> Pairs:
        """Return the pairs that are drawn from: of the set that is shown, or of all sets."""
        pairs = pair_margins(self._sets, loss)
        alone = settings.get("pool", "this set") == "this set"
        return pairs.take(np.flatnonzero(pairs.set == number)) if alone else pairs

    def _gradient(self, settings: dict, pairs: Pairs, loss: Comparing, name: str, chance: np.ndarray) -> PairGradient:
        slopes = None
        if name == "smooth":  # the trainer has one slope a set, at the smooth margin
            smooth = replace(loss, pair=Smooth(tau=settings["tau"]))
            slopes = smooth.link_slope(smooth.margin(self._sets))[pairs.set]
        return pair_gradient(self._sets, loss, pairs, chance, slopes=slopes)

    def _taken(self, reading: PairsReading) -> str:
        taken, pool = int(np.count_nonzero(reading.chance)), len(reading.pairs)
        name, effect = _(reading.strategy), digits(effective_number(reading.chance))
        said = _("{name} takes {count} of {pool} pairs ({effect} in effect)")
        return said.format(name=name, count=taken, pool=pool, effect=effect)

    def _sentence(self, reading: PairsReading) -> str:
        name = short(reading.kernel) if reading.kernel is not None else _(reading.strategy)
        if reading.strategy not in reading.gradients:
            low, high = digits(reading.pairs.margin.min()), digits(reading.pairs.margin.max())
            none = _("<b>{name}</b> takes none: the margins reach from {low} to {high} nats.")
            return none.format(name=name, low=low, high=high)
        one = np.count_nonzero(reading.chance) == 1
        mean = _("Its margin is {mean} nats.") if one else _("Their mean margin is {mean} nats.")
        said = [_counted(name, reading.chance), mean.format(mean=digits(_mean_margin(reading)))]
        said += _better_by(reading)
        if not reading.gradients[reading.strategy].size:
            said.append(_("The loss does not push it.") if one else _("The loss does not push them."))
        if reading.kernel is not None:
            rate = _("It accepts {share} of the pairs that are proposed.")
            said.append(rate.format(share=percent(float(reading.chance.mean()))))
        return " ".join(said) + left_out(STRATEGIES[reading.strategy], reading.pairs, reading.chance)

    def _row(self, name: str, reading: PairsReading) -> tuple:
        head = f"<u>{_(name)}</u>" if name == reading.strategy else _(name)
        one = reading.gradients.get(name)
        if one is None:
            return head, _("none taken"), "", ""
        if not one.size:
            return head, _("no gradient"), "", ""
        return head, one.size, one.noise, one.likeness(reading.gradients["random"])


NOTE = N_(
    "Noise: how many drawn pairs a step must average until the noise is no larger than the mean. Likeness: the "
    "cosine between the mean and that of random pairs, 1 for the same direction. The smooth pair and, in one set, "
    "MaxNeg-MinPos are computed whole, without drawing."
)


def _admit(sets: ScoredSets, loss: Loss | str) -> str:
    """Return the name of a loss that compares pairs, if the sets have what it reads and its beta is on the slider."""
    text = text_of(loss)
    one = loss_of(text)
    require_reference(one, sets)
    if not isinstance(one, Comparing):
        raise ValueError(f"loss must compare a positive with a negative, which {one!r} does not")
    beta = getattr(one, "beta", KNOBS["beta"].default)
    if not KNOBS["beta"].low <= beta <= KNOBS["beta"].high:
        raise ValueError(f"loss: beta must be in [{KNOBS['beta'].low:g}, {KNOBS['beta'].high:g}], not {beta:g}")
    return text


def _of_pairs(settings: dict) -> Comparing:
    """Return the loss as set, on single pairs."""
    return with_numbers(replace(loss_of(settings["loss"]), pair=First()), settings)


def _grid(one: ScoredSets, loss: Loss, number: int, pairs: Pairs, chance: np.ndarray) -> tuple:
    """Return positives and negatives of a set, hardest first, and its margins and chances in that order."""
    r, plus = to_numpy(loss.score(one)), np.flatnonzero(one.label > 0)
    rows, columns = plus[np.argsort(r[plus], kind="stable")], np.flatnonzero(one.label < 0)
    columns = columns[np.argsort(-r[columns], kind="stable")]
    here = pairs.set == number
    grids = np.zeros((2, len(one.label), len(one.label)))
    grids[:, pairs.positive[here], pairs.negative[here]] = pairs.margin[here], chance[here]
    return rows, columns, *grids[:, rows[:, None], columns]


def _counted(name: str, chance: np.ndarray) -> str:
    """Return how many pairs are taken, and how many there are in effect where some are likelier than others."""
    count, effect = int(np.count_nonzero(chance)), digits(effective_number(chance))
    taken = _("<b>{name}</b> takes {count} of {pool} pairs.")
    if effect != digits(count):
        taken = _("<b>{name}</b> takes {count} of {pool} pairs, in effect as many as {effect} that are equally likely.")
    return taken.format(name=name, count=count, pool=len(chance), effect=effect)


def _better_by(reading: PairsReading) -> list[str]:
    """Return in words how much better the positives of the pairs taken are, where the sets have rewards."""
    if reading.pairs.reward is None:
        return []
    mean = float(np.average(reading.pairs.reward, weights=reading.chance))
    return [_("The positive's reward is larger by {mean} on average.").format(mean=digits(mean))]


def _mean_margin(reading: PairsReading) -> float:
    return float(np.average(reading.pairs.margin, weights=reading.chance))

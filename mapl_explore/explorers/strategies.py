"""The strategies of the pairs explorer: the chance with which each takes a pair, and what it leaves out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from mapl_explore.explorers.knobs import Choice, Knob
from mapl_explore.losses import First, Hardest, Loss, Pair, ScoredSets, Smooth
from mapl_explore.sampling.kernels import Band, Bell, Kernel
from mapl_explore.sampling.pair_gradients import smooth_chances
from mapl_explore.sampling.pairs import Pairs, closest_pairs, easiest_pairs, hardest_pairs, maxneg_minpos
from mapl_explore.words import N_, _


@dataclass(frozen=True)
class Strategy:
    """How pairs are taken.

    Parameters
    ----------
    chance : callable
        Takes the sets, their pairs, the loss and the settings; returns how likely each pair is taken, (pairs,).
    knobs : tuple of str
        The settings that it reads.
    pair : callable
        From the settings to the pair with which a loss trains as the strategy does.
    kernel : callable, optional
        From the settings to the kernel, where the strategy is rejection sampling.
    rank : callable, optional
        From the pairs to the keys by which some of them come first; others may tie with these.
    """

    chance: Callable[[ScoredSets, Pairs, Loss, Mapping], np.ndarray]
    knobs: tuple[str, ...] = ()
    pair: Callable[[Mapping], Pair] = lambda settings: First()
    kernel: Callable[[Mapping], Kernel | None] = lambda settings: None
    rank: Callable[[Pairs], list] | None = None


def _by_kernel(kernel: Callable[[Mapping], Kernel]) -> Strategy:
    return Strategy(lambda sets, pairs, loss, now: kernel(now)(pairs.margin), ("center", "width"), kernel=kernel)


def _band(settings: Mapping) -> Band:
    # To 12 digits, as a person would write the ends: 1.05 for 2.3 - 1.25.
    low, high = (float(f"{settings['center'] + sign * settings['width']:.12g}") for sign in (-1, 1))
    return Band(low=low, high=high)


def _by_rank(
    first: Callable, rank: Callable[[Pairs], np.ndarray], of: Callable[[Pairs], np.ndarray] = lambda pairs: pairs.margin
) -> Strategy:
    def chance(sets: ScoredSets, pairs: Pairs, loss: Loss, settings: Mapping) -> np.ndarray:
        taken = np.zeros(len(pairs))
        taken[first(of(pairs), settings["keep"])] = 1.0
        return taken

    return Strategy(chance, ("keep",), rank=lambda pairs: rank(pairs).tolist())


def _hardest_of_each_set(sets: ScoredSets, pairs: Pairs, loss: Loss, settings: Mapping) -> np.ndarray:
    best = maxneg_minpos(sets, loss)
    return ((pairs.positive == best.positive[pairs.set]) & (pairs.negative == best.negative[pairs.set])) * 1.0


def _in_proportion(sets: ScoredSets, pairs: Pairs, loss: Loss, settings: Mapping) -> np.ndarray:
    chance = smooth_chances(pairs, tau=settings["tau"])
    return chance / chance.max()


def _reward(pairs: Pairs) -> np.ndarray:
    """Return by how much the positive's reward is larger; strategies of rewards are for sets that have some."""
    return cast(np.ndarray, pairs.reward)


REWARDS = N_("widest reward")
STRATEGIES = {
    N_("random"): Strategy(lambda sets, pairs, loss, settings: np.ones(len(pairs))),
    N_("band"): _by_kernel(_band),
    N_("bell"): _by_kernel(lambda now: Bell(center=now["center"], width=now["width"])),
    N_("closest"): _by_rank(closest_pairs, lambda pairs: np.abs(pairs.margin)),
    N_("hardest"): _by_rank(hardest_pairs, lambda pairs: pairs.margin),
    N_("easiest"): _by_rank(easiest_pairs, lambda pairs: pairs.margin),
    "MaxNeg-MinPos": Strategy(
        _hardest_of_each_set,
        pair=lambda settings: Hardest(),
        rank=lambda pairs: list(zip(pairs.set.tolist(), pairs.margin.tolist(), strict=True)),
    ),
    N_("smooth"): Strategy(_in_proportion, ("tau",), pair=lambda settings: Smooth(tau=settings["tau"])),
    REWARDS: _by_rank(easiest_pairs, _reward, of=_reward),
}
STRATEGY = Choice(
    "strategy", N_("strategy"), tuple(STRATEGIES), "band", N_("Which pairs are taken, or how likely each is.")
)
KEEP = Knob("keep", N_("pairs taken"), "", 1, 64, 4, "integer", N_("How many, of those that come first."))


def strategies_of(sets: ScoredSets) -> dict[str, Strategy]:
    """Return the strategies that sets admit: that of rewards where they have rewards."""
    return {name: one for name, one in STRATEGIES.items() if name != REWARDS or sets.reward is not None}


def strategy_choice(sets: ScoredSets) -> Choice:
    """Return the list of the strategies that sets admit."""
    return replace(STRATEGY, options=tuple(strategies_of(sets)))


def left_out(strategy: Strategy, pairs: Pairs, chance: np.ndarray) -> str:
    """Return how many pairs tie with one that a strategy by rank takes, and are left out because they come later."""
    if strategy.rank is None:
        return ""
    keys = list(zip(strategy.rank(pairs), chance > 0, strict=True))
    chosen = {key for key, taken in keys if taken}
    count = sum(key in chosen for key, taken in keys if not taken)
    tie = _("{count} more tie with one of them: the first are taken.")
    return f" {tie.format(count=count)}" if count else ""

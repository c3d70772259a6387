"""The strategies of the pairs explorer: the chance with which each takes a pair, and what it leaves out."""

import numpy as np

from mapl_explore.explorers.knobs import Choice, Knob
from mapl_explore.losses import First, Hardest, Loss, Pair, ScoredSets, Smooth
from mapl_explore.sampling.kernels import Band, Bell, Kernel
from mapl_explore.sampling.pair_gradients import smooth_chances
from mapl_explore.sampling.pairs import Pairs, closest_pairs, easiest_pairs, hardest_pairs, maxneg_minpos

STRATEGIES = ("random", "band", "bell", "closest", "hardest", "easiest", "MaxNeg-MinPos", "smooth")
STRATEGY = Choice("strategy", "strategy", STRATEGIES, "band", "Which pairs are taken, or how likely each is.")
KEEP = Knob("keep", "pairs taken", "", 1, 64, 4, "integer", "How many, by the closest, hardest and easiest.")
USED = {
    "band": {"center", "width"},
    "bell": {"center", "width"},
    "closest": {"keep"},
    "hardest": {"keep"},
    "easiest": {"keep"},
    "smooth": {"tau"},
}
BY_RANK = {"closest": closest_pairs, "hardest": hardest_pairs, "easiest": easiest_pairs}


def pair_of(settings: dict) -> Pair:
    """Return the pair with which a loss trains as the strategy does; First where pairs are selected beforehand."""
    if settings["strategy"] == "smooth":
        return Smooth(tau=settings["tau"])
    return Hardest() if settings["strategy"] == "MaxNeg-MinPos" else First()


def kernel_of(settings: dict) -> Kernel | None:
    """Return the kernel of a strategy that is rejection sampling, None for any other."""
    center, width = settings["center"], settings["width"]
    if settings["strategy"] == "band":
        return Band(low=center - width, high=center + width)
    return Bell(center=center, width=width) if settings["strategy"] == "bell" else None


def chances(name: str, settings: dict, sets: ScoredSets, pairs: Pairs, loss: Loss) -> np.ndarray:
    """Return how likely a strategy takes each pair, over the likeliest where it draws in proportion."""
    if name == "random":
        return np.ones(len(pairs))
    if name in ("band", "bell"):
        return kernel_of(settings | {"strategy": name})(pairs.margin)
    if name == "smooth":
        chance = smooth_chances(pairs, tau=settings["tau"])
        return chance / chance.max()
    if name == "MaxNeg-MinPos":
        best = maxneg_minpos(sets, loss)
        return ((pairs.positive == best.positive[pairs.set]) & (pairs.negative == best.negative[pairs.set])) * 1.0
    chance = np.zeros(len(pairs))
    chance[BY_RANK[name](pairs.margin, settings["keep"])] = 1.0
    return chance


def left_out(strategy: str, pairs: Pairs, chance: np.ndarray) -> str:
    """Return how many pairs tie with one that a strategy by rank takes, and are left out because they come later."""
    if strategy not in (*BY_RANK, "MaxNeg-MinPos"):
        return ""
    key = np.abs(pairs.margin) if strategy == "closest" else pairs.margin
    group = pairs.set if strategy == "MaxNeg-MinPos" else np.zeros_like(pairs.set)
    keys, taken = list(zip(group, key, strict=True)), chance > 0
    chosen = {key for key, is_taken in zip(keys, taken, strict=True) if is_taken}
    count = sum(key in chosen for key, is_taken in zip(keys, taken, strict=True) if not is_taken)
    return f" {count} more tie with one of them: the first are taken." if count else ""

"""The order of the sets, the number of updates, their rate, and the size of a pass."""

import math
import random
from collections.abc import Sequence

from mapl_explore.models.encoding import EncodedSet, table_shapes
from mapl_explore.models.passes import BATCH_TOKENS
from mapl_explore.notes import note
from mapl_explore.training.settings import RATES, SMALL, Settings


def learning_rate(settings: Settings, weights: int, adapted: bool) -> float:
    """Return the highest rate: that asked for, or one that suits so many weights, or adapters on so many."""
    if settings.lr is not None:
        return settings.lr
    kind = "small" if weights <= SMALL else "adapters" if adapted else "large"
    if kind != "small":
        whose = "any model" if kind == "large" else "adapters on any model"
        note(f"lr is {RATES[kind]:g}, as for {whose} of more than ten million weights where none is given")
    return RATES[kind]


def sets_per_pass(
    encoded: Sequence[EncodedSet], sets_per_step: int, share_prompt: bool, batch_size: int | None = None
) -> int:
    """Return the most sets in one pass that divide a step and keep to a number, or to the tokens of one pass."""
    rows = max(rows for one in encoded for rows, _ in table_shapes([one], share_prompt=share_prompt))
    *_, (_, columns) = table_shapes(encoded, share_prompt=share_prompt)
    largest = rows * columns
    sizes = [size for size in range(1, sets_per_step + 1) if sets_per_step % size == 0]
    most = batch_size or BATCH_TOKENS // largest
    return max((size for size in sizes if size <= most), default=1)


def schedule(count: int, length: int, seed: int) -> list[int]:
    """Return rows 0..count-1 in a new order each round, for as many rounds as make the length."""
    rng = random.Random(seed)
    order: list[int] = []
    while len(order) < length:
        order += rng.sample(range(count), count)
    return order[:length]


def updates(settings: Settings, sets: int) -> int:
    """Return how many updates the weights get: those asked for, or as many as the epochs take."""
    return settings.steps if settings.epochs is None else math.ceil(settings.epochs * sets / settings.sets_per_step)

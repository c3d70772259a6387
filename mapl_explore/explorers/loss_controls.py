"""The controls of a loss: its name in a list, and its numbers on sliders."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

from mapl_explore.files import shortened
from mapl_explore.losses import LOSSES, Loss, loss_of
from mapl_explore.losses.loss import Paired
from mapl_explore.losses.pairs import Pair

NUMBERS = ("beta", "tau", "alpha", "epsilon", "share")  # the fields of a loss that have a slider


def losses_of(losses: Iterable[Loss | str]) -> tuple[Loss, ...]:
    """Return several losses, each given itself or by its name."""
    if isinstance(losses, str | Loss) or not isinstance(losses, Iterable):
        raise TypeError(f"over must be a list of losses, such as ['dpo'], not {shortened(losses)}")
    return tuple(map(loss_of, losses))


def text_of(loss: Loss | str) -> str:
    """Return the name of a loss: that of a preset as it is given, else the ``repr``."""
    return loss if isinstance(loss, str) and loss in LOSSES else repr(loss_of(loss))


def numbers_of(loss: Loss) -> dict[str, float]:
    """Return the numbers of a loss, its pair and its rule that have a slider."""
    pair = loss.pair if isinstance(loss, Paired) else None
    parts = [loss, pair, getattr(pair, "tau", None)]
    return {name: getattr(part, name) for part in parts for name in NUMBERS if _has(part, name)}


def with_numbers(part: Any, settings: Mapping[str, Any]) -> Any:
    """Return a loss (or its pair, or its rule) with the numbers of the sliders."""
    news = {}
    for one in fields(part):
        value = getattr(part, one.name)
        if one.name in NUMBERS and _has(part, one.name):
            news[one.name] = settings[one.name]
        elif hasattr(value, "__dataclass_fields__"):
            news[one.name] = with_numbers(value, settings)
    return replace(part, **news)


def _has(part: Any, name: str) -> bool:
    """Return whether a loss, its pair or its rule has a number of this name; CPO's alpha is not that of a smoothing."""
    return isinstance(getattr(part, name, None), float) and (name != "alpha" or isinstance(part, Pair))

"""Settings that hold several values: steps, further arguments of the Trainer, and what LoRA is made of."""

import json
import math
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

from mapl_explore.files import shortened, whole_number
from mapl_explore.training.own_loss import kind_of

# An alpha of 32, and adapters on all layers, are what "LoRA Without Regret" (Schulman et al., 2025) goes by.
LORA = {"r": 16, "alpha": 32.0, "targets": "all-linear", "rslora": False, "dora": False}


def above_zero(name: str, value: Any) -> float:
    """Return a number above 0."""
    real = isinstance(value, Real) and not isinstance(value, bool)
    if not real or not 0 < value < math.inf:
        raise ValueError(f"{name} must be > 0 and finite, not {shortened(value)}")
    return float(value)


def some_steps(name: str, value: Any) -> tuple[int, ...]:
    """Return numbers of steps, from low to high; as text they have commas between."""
    if isinstance(value, str):
        value = [int(one) if one.strip().isdecimal() else one for one in value.split(",")]
    if not isinstance(value, Iterable):
        raise TypeError(f"{name} must be numbers of steps, such as 2,4,8, not {shortened(value)}")
    return tuple(sorted({whole_number(name, one, 1) for one in value}))


def trainer_arguments(name: str, value: Any) -> dict[str, Any]:
    """Return arguments of TrainingArguments as JSON has them; what they mean is judged where transformers is loaded.

    A list holds them as text, each as ``KEY=VALUE``, where a value is JSON if it can be read as such.
    """
    if value is None or isinstance(value, list):
        value = dict(_pair(name, text, "weight_decay=0.01") for text in value or [])
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping of arguments of TrainingArguments, not {kind_of(value)}")
    try:
        return json.loads(json.dumps(dict(value), allow_nan=False))
    except (TypeError, ValueError):
        raise TypeError(f"{name} must hold text, numbers, lists and mappings, not {shortened(value)}") from None


def lora_options(name: str, value: Any) -> dict[str, Any]:
    """Return all options of LoRA, those that are not given at their defaults.

    As text they are ``KEY=VALUE`` with commas between, and several targets have a ``+`` between them.
    """
    if isinstance(value, str):
        value = dict(_pair(name, text.strip(), "r=16") for text in value.split(","))
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be text such as 'r=16,alpha=32', or a mapping, not {kind_of(value)}")
    if value.get("dropout", 0) != 0:
        reason = "all dropout is off in training, so that model and base differ by their weights alone"
        raise ValueError(f"{name}: dropout must be 0, not {shortened(value['dropout'])}: {reason}")
    return _checked(name, LORA | {key: each for key, each in value.items() if key != "dropout"})


def _checked(name: str, options: dict[str, Any]) -> dict[str, Any]:
    unknown = [key for key in options if key not in LORA]
    if unknown:
        raise ValueError(f"{name} has {unknown[0]!r}, and it may have {', '.join((*LORA, 'dropout'))}")
    whole_number(f"{name}: r", options["r"], 1, 2**16)
    for key in ("rslora", "dora"):
        if not isinstance(options[key], bool):
            raise ValueError(f"{name}: {key} must be true or false, not {shortened(options[key])}")
    alpha, targets = above_zero(f"{name}: alpha", options["alpha"]), _targets(name, options["targets"])
    return options | {"alpha": alpha, "targets": targets}


def _targets(name: str, targets: Any) -> str | list[str]:
    """Return the names of the layers that get adapters, or the word for all."""
    if targets == LORA["targets"]:
        return targets
    names = targets.split("+") if isinstance(targets, str) else targets
    if not isinstance(names, list | tuple) or not names or not all(isinstance(one, str) and one for one in names):
        raise ValueError(f"{name}: targets must be all-linear or names of layers, not {shortened(targets)}")
    return list(names)


def _pair(name: str, text: str, example: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{name} must be KEY=VALUE, such as {example}, not {shortened(text)}")
    try:
        return key, json.loads({"True": "true", "False": "false", "None": "null"}.get(value, value))
    except ValueError:
        return key, value

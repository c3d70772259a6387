"""The plan of a comparison: its arms, its seeds and its learning rates, read from TOML and checked before any work."""

import contextlib
import difflib
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mapl_explore.files import shortened, whole_number
from mapl_explore.training.options import above_zero
from mapl_explore.training.settings import LARGEST, Settings, one_of

MEASURES = ("right", "accuracy", "hard_margin")
RATE_SEEDS = 2  # runs of each learning rate, from which it is chosen
FIRST_RATE_SEED = 1_000_000  # far from the small numbers that people give as seeds
FACTORS = ("sets", "noise")
TOP = ("baseline", "seeds", "rate_seeds", "lr", "measure", "common", "arms")
# What a plan decides otherwise, and why.
DECIDED = {
    "output": "each run has a folder of its own below --output",
    "seed": "seeds, at the top of the plan, has it",
    "lr": "the grid at the top of the plan is the same for all arms",
    "resume": "a run that was interrupted goes on by itself",
    "progress": "the comparison shows its own",
    "patience": "it would choose the checkpoint by the questions of the report",
}
# What decides how a run is measured: the arms are compared question by question.
SHARED = ("eval", "verifier", "answers", "answer_tokens", "threshold", "chat", "max_length", "truncate")
SETTINGS = tuple(each.name for each in fields(Settings) if each.metadata.get("command", True) or each.name in DECIDED)


@dataclass(frozen=True)
class Arm:
    """One of the things that are compared.

    Parameters
    ----------
    name : str
        In the report.
    settings : Settings
        Of its runs, with folder, seed and learning rate still to come.
    sets : int or None
        How many training sets are drawn, by the seed; all of them if None.
    noise : float
        The share of these whose sides are exchanged, drawn by the seed, from 0 to 1.
    """

    name: str
    settings: Settings
    sets: int | None = None
    noise: float = 0.0


@dataclass(frozen=True)
class Plan:
    """A comparison as :func:`read_plan` reads it.

    Parameters
    ----------
    name : str
        Of its report: that of the file without its ending.
    baseline : str
        The arm that the others are compared with.
    arms : sequence of Arm
        At least one.
    seeds : sequence of int
        Of the runs that are reported.
    lr : sequence of float
        The grid of learning rates, from low to high.
    rate_seeds : sequence of int
        Of the runs that choose the rates; none of ``seeds``, and none where the grid has one rate.
    measure : str
        What is compared, by its name in ``MEASURES`` of :mod:`mapl_explore.runs.record`; more is better.
    """

    name: str
    baseline: str
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    lr: tuple[float, ...]
    rate_seeds: tuple[int, ...]
    measure: str


def read_plan(source: str | os.PathLike | Mapping[str, Any]) -> Plan:
    """Return the plan in a TOML file, or in a mapping of the same form.

    Raises
    ------
    ValueError, TypeError
        If it is no TOML, a key is missing, unknown or decided otherwise, or a value breaks its rule: in one line with
        the name of the file and the key.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> arms = {"one": {"loss": "dpo-hardest"}, "other": {"loss": "DPO(pair=Smooth(tau=1.0))"}}
    >>> common = {"data": "train.jsonl"}
    >>> plan = read_plan({"baseline": "one", "seeds": 3, "lr": [1e-3, 1e-4], "common": common, "arms": arms})
    >>> plan.seeds, plan.lr, [arm.name for arm in plan.arms]
    ((0, 1, 2), (0.0001, 0.001), ['one', 'other'])
    """
    if isinstance(source, Mapping):
        return _checked("plan", "plan", source)
    path = Path(source)
    try:
        return _checked(str(path), path.stem, tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a TOML file: {error}") from None


def _checked(place: str, name: str, table: Mapping[str, Any]) -> Plan:
    with _placed(f"{place}: "):
        return _plan(name, table)


@contextlib.contextmanager
def _placed(place: str) -> Iterator[None]:
    """Let every error in the block begin with its place."""
    try:
        yield
    except TypeError as error:
        raise TypeError(f"{place}{error}") from None
    except ValueError as error:
        raise ValueError(f"{place}{error}") from None


def _plan(name: str, table: Mapping[str, Any]) -> Plan:
    _require_known(table, TOP, "the plan")
    common, arms = _table(table, "common", {}), _table(table, "arms")
    seeds, lr = _seeds("seeds", table.get("seeds", 8), 0), _rates(table)
    found = tuple(_arm(each, common, _table(arms, each, place="arms.")) for each in arms)
    if not found:
        raise ValueError("arms must have at least one arm, as in [arms.hardest]")
    verified = found[0].settings.verifier is not None
    measure = one_of(*MEASURES)("measure", table.get("measure", MEASURES[not verified]))
    if measure == "right" and not verified:
        raise ValueError("measure 'right' needs a verifier in [common]")
    return Plan(name, _baseline(table, arms), found, seeds, lr, _rate_seeds(table, seeds, lr), measure)


def _baseline(table: Mapping[str, Any], arms: Mapping[str, Any]) -> str:
    if "baseline" not in table:
        raise ValueError(f"baseline is missing: name one of the arms ({', '.join(arms)})")
    return one_of(*arms)("baseline", table["baseline"])


def _arm(name: str, common: Mapping[str, Any], own: Mapping[str, Any]) -> Arm:
    """Return an arm; its own settings come before the common ones."""
    for place, given in (("[common]", common), (f"[arms.{name}]", own)):
        _require_known(given, (*SETTINGS, *FACTORS), place)
        for key in given.keys() & DECIDED:
            raise ValueError(f"{place} must not have {key}: {DECIDED[key]}")
    for key in (key for key in (*SHARED, *(["data"] if "eval" not in common else [])) if key in own):
        why = "it decides on what the arms are measured"
        raise ValueError(f"[arms.{name}] must not have {key}: {why}, and belongs to [common]")
    with _placed(f"[arms.{name}] "):
        return _made(name, {**common, **own})


def _made(name: str, given: dict[str, Any]) -> Arm:
    sets = given.pop("sets", None)
    noise = _share("noise", given.pop("noise", 0.0))
    for key in ("loss", "data"):
        if key not in given:
            raise ValueError(f"{key} is missing")
    texts = {key: value for key, value in given.items() if key in ("loss", "data", "eval", "model", "reference")}
    for key, value in texts.items():
        if not isinstance(value, str) or not value:
            raise TypeError(f"{key} must be text, not {shortened(value)}")
    settings = Settings(**given, output=".", progress=False)
    _require_last_weights(settings)
    return Arm(name, settings, None if sets is None else whole_number("sets", sets, 1, LARGEST), noise)


def _require_last_weights(settings: Settings) -> None:
    """Raise where the Trainer itself would choose a checkpoint by the held-out sets."""
    if (settings.training or {}).get("load_best_model_at_end"):
        raise ValueError(f"training must not have load_best_model_at_end: {DECIDED['patience']}")


def _require_known(table: Mapping[str, Any], known: Iterable[str], place: str) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(str(key), list(known), n=1)
            raise ValueError(f"{place} has no key {key!r}{f'; did you mean {near[0]}?' if near else ''}")


def _table(table: Mapping[str, Any], key: str, default: Any = None, place: str = "") -> Mapping[str, Any]:
    value = table.get(key, default)
    if value is None:
        raise ValueError(f"{key} is missing")
    if not isinstance(value, Mapping):
        raise TypeError(f"{place}{key} must be a table, not {shortened(value)}")
    return value


def _seeds(name: str, value: Any, first: int) -> tuple[int, ...]:
    """Return the seeds of a list, or so many from ``first`` on."""
    if not isinstance(value, list | tuple):
        return tuple(range(first, first + whole_number(name, value, 1, 10_000)))
    return _several(name, value, lambda name, one: whole_number(name, one, 0, LARGEST))


def _rates(table: Mapping[str, Any]) -> tuple[float, ...]:
    if "lr" not in table:
        raise ValueError("lr is missing: give one grid of learning rates for all arms, such as [1e-4, 1e-3]")
    value = table["lr"]
    return tuple(sorted(_several("lr", value if isinstance(value, list | tuple) else [value], above_zero)))


def _rate_seeds(table: Mapping[str, Any], seeds: tuple[int, ...], lr: tuple[float, ...]) -> tuple[int, ...]:
    """Return the seeds of the runs that choose the rate: runs that are reported have no say in it."""
    found = _seeds("rate_seeds", table.get("rate_seeds", RATE_SEEDS), FIRST_RATE_SEED)
    both = sorted(set(found) & set(seeds))
    if both:
        raise ValueError(f"rate_seeds must not be among seeds, or a run would choose its own rate: {both[0]} is")
    return found if len(lr) > 1 else ()


def _several(name: str, values: list | tuple, rule: Callable[[str, Any], Any]) -> tuple[Any, ...]:
    """Return at least one value, each by its rule and all different."""
    found = tuple(rule(name, one) for one in values)
    if not found or len(set(found)) < len(found):
        raise ValueError(f"{name} must hold at least one value, all different, not {shortened(list(values))}")
    return found


def _share(name: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError(f"{name} must be a number from 0 to 1, not {shortened(value)}")
    return float(value)

"""The plan of a comparison: its arms, its seeds and its learning rates, read from TOML and checked before any work."""

import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from mapl_explore.experiments.claims import OTHERS, Claim, Rule, claims_of
from mapl_explore.experiments.grid import cells_of, title_of
from mapl_explore.experiments.reaching import LABELS
from mapl_explore.experiments.round_jobs import SAMPLING, rounds_of
from mapl_explore.experiments.shares import VARIANCE
from mapl_explore.experiments.tables import placed, require_known, several, table_in
from mapl_explore.files import shortened, whole_number
from mapl_explore.losses import Loss, loss_of
from mapl_explore.losses.measures import measured_sides
from mapl_explore.losses.trials import made_up_sets
from mapl_explore.training.options import above_zero
from mapl_explore.training.round_settings import RoundSettings
from mapl_explore.training.settings import LARGEST, Settings, one_of

MEASURES = ("right", "accuracy", "hard_margin")
OF_SCORES = MEASURES[1:]
OF_RESPONSES = ("right", "kl", "entropy")
RATE_SEEDS = 2  # runs of each learning rate, from which it is chosen
FIRST_RATE_SEED = 1_000_000  # far from the small numbers that people give as seeds
TOP = ("baseline", "seeds", "rate_seeds", "lr", "measure", "common", "grid", "arms", "claims")
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
SHARED = ("eval", "verifier", "answers", "answer_tokens", "answer_at", "threshold", "chat", "max_length", "truncate")
OTHERWISE = ("arms", "tables", "claims")  # fields of a plan that stand in its record in another form, or not at all
FIELDS = {each.name: each for each in fields(Settings)}
SETTINGS = tuple(name for name, each in FIELDS.items() if each.metadata.get("command", True) or name in DECIDED)
TEXTS = ("loss", "data", "eval", "model", "reference")  # of which Python takes objects, too


@dataclass(frozen=True)
class Arm:
    """One of the things that are compared, in one cell of the grid.

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
    exploded : bool
        Whether each of these sets is taken apart into all its pairs of a positive and a negative.
    sampling : dict
        Of an arm that is trained in rounds, how each samples, and how many there are; of the sets it takes the prompts.
    cell : dict
        The values of the factors of the grid; none where the plan has no grid.
    """

    name: str
    settings: Settings
    sets: int | None = None
    noise: float = 0.0
    exploded: bool = False
    sampling: Mapping[str, Any] = field(default_factory=dict)
    cell: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Return the arm and its cell, for people."""
        return f"{self.name} ({title_of(self.cell)})" if self.cell else self.name

    def place(self, key: str) -> str:
        """Return the table of the plan in which a key of this arm stands."""
        return "[grid]" if key in self.cell else f"[arms.{self.name}]"


@dataclass(frozen=True)
class Plan:
    """A comparison as :func:`read_plan` reads it.

    Parameters
    ----------
    name : str
        Of its report: that of the file without its ending.
    baseline : str
        The arm that the others are compared with.
    grid : dict of lists
        The values of each factor.
    arms : sequence of Arm
        Every arm in every cell of the grid, cell by cell; at least one.
    seeds : sequence of int
        Of the runs that are reported.
    lr : sequence of float
        The grid of learning rates, from low to high.
    rate_seeds : sequence of int
        Of the runs that choose the rates; none of ``seeds``, and none where the grid has one rate.
    measure : str
        What is compared, by its name in ``MEASURES`` of :mod:`mapl_explore.runs.record`; more is better.
    tables : dict
        ``common`` and ``arms`` as they were written.
    claims : sequence of Claim
        What the comparison is to decide; they decide nothing of it.
    """

    name: str
    baseline: str
    grid: Mapping[str, tuple[Any, ...]]
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    lr: tuple[float, ...]
    rate_seeds: tuple[int, ...]
    measure: str
    tables: Mapping[str, Any]
    claims: tuple[Claim, ...] = ()

    @property
    def losses(self) -> list[str]:
        """Return the losses of its arms, in words."""
        return [repr(loss_of(arm.settings.loss)) for arm in self.arms]

    @property
    def has_curves(self) -> bool:
        """Return whether its runs have learning curves."""
        return bool(self.arms[0].settings.answer_at)

    @property
    def as_record(self) -> dict[str, Any]:
        """Return all that decides the comparison, for JSON."""
        return {name: value for name, value in vars(self).items() if name not in OTHERWISE} | {**self.tables}


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
    with placed(f"{place}: "):
        return _plan(name, table)


def _plan(name: str, table: Mapping[str, Any]) -> Plan:
    require_known(table, TOP, "the plan")
    common, arms = table_in(table, "common", {}), table_in(table, "arms")
    seeds, lr, grid = (
        _seeds("seeds", table.get("seeds", 8), 0),
        _rates(table),
        _grid(table_in(table, "grid", {}), common),
    )
    cells = [(cell, each) for cell in cells_of(grid) for each in arms]
    found = tuple(_arm(each, common, table_in(arms, each, place="arms."), cell) for cell, each in cells)
    if not found:
        raise ValueError("arms must have at least one arm, as in [arms.hardest]")
    tables = {"common": common, "arms": arms}
    baseline, measure = _baseline(table, arms), _measure(table, found)
    claims = claims_of(table.get("claims", []), baseline, measure, [(arm.name, arm.cell) for arm in found])
    for claim in claims:
        with placed(f"[[claims]] {claim.id}: "):
            _require_decided(claim.rule, found, lr)
    return Plan(name, baseline, grid, found, seeds, lr, _rate_seeds(table, seeds, lr), measure, tables, claims)


def _measure(table: Mapping[str, Any], arms: tuple[Arm, ...]) -> str:
    verified = arms[0].settings.verifier is not None
    measure = one_of(*MEASURES)("measure", table.get("measure", MEASURES[not verified]))
    _require_measured(measure, arms)
    return measure


def _require_decided(rule: Rule, arms: Sequence[Arm], lr: Sequence[float]) -> None:
    """Raise where the runs do not give what a rule compares."""
    if rule.measure == VARIANCE and len(lr) < 2:
        raise ValueError(f"measure {rule.measure!r} needs a grid of learning rates: lr at the top of the plan has one")
    if rule.measure != VARIANCE:
        _require_measured(rule.measure, [arm for arm in arms if arm.name in (rule.arm, rule.than)])


def _require_measured(measure: str, arms: Sequence[Arm]) -> None:
    """Raise where the runs do not measure it, or not alike."""
    if measure == "right" and arms[0].settings.verifier is None:
        raise ValueError("measure 'right' needs a verifier in [common]")
    if measure in LABELS and not arms[0].settings.answer_at:
        raise ValueError(f"measure {measure!r} needs learning curves: answer_at in [common]")
    if measure in OF_RESPONSES and not arms[0].settings.answers:
        raise ValueError(f"measure {measure!r} needs responses: answers in [common] must not be 0")
    if measure == OTHERS:
        _require_leaders(measure, arms)
    if measure in OF_SCORES:
        _require_one_score(measure, arms)


def _require_leaders(measure: str, arms: Sequence[Arm]) -> None:
    """Raise where a loss has no sides, and so no leaders."""
    for arm in arms:
        loss = loss_of(arm.settings.loss)
        if not measured_sides(loss, made_up_sets(np.empty(0))):
            raise ValueError(f"measure {measure!r} needs a loss with a pair, not {loss!r} of [arms.{arm.name}]")


def _require_one_score(measure: str, arms: Sequence[Arm]) -> None:
    """Raise where losses rank the responses of a set by different numbers: their hard margins do not compare."""
    first, *others = arms
    for other in others:
        if not _count_alike(first.settings.loss, other.settings.loss):
            one, two = (f"{arm.settings.loss!r} of [arms.{arm.name}]" for arm in (first, other))
            why = f"{one} and {two} score responses differently"
            raise ValueError(f"measure {measure!r} compares losses of one score; {why}: take 'right', with a verifier")


def _count_alike(one: Loss | str, other: Loss | str) -> bool:
    """Return whether two losses find the same hard margins in made-up sets, whose log-probs all differ."""
    sets = made_up_sets(np.empty(0))
    margins, others = (np.asarray(loss_of(loss).hard_margin(sets)) for loss in (one, other))
    return bool(np.max(np.abs(margins - others)) < 1e-6)  # nats; those of the library's scores differ by 0.39 and more


def _grid(grid: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Return the values of each factor, each by its own rule."""
    _require_of_arms("[grid]", grid, shared_data="eval" not in common)
    with placed("[grid] "):
        return {key: several(key, _listed(key, values), _as_written) for key, values in grid.items()}


def _listed(key: str, values: Any) -> list[Any] | tuple[Any, ...]:
    if not isinstance(values, list | tuple):
        raise TypeError(f"{key} must be a list of values, such as [{shortened(values)}], not {shortened(values)}")
    return values


def _as_written(key: str, value: Any) -> Any:
    """Return the value of a setting or a factor as it is, if it is one."""
    if key in TEXTS and (not isinstance(value, str) or not value):
        raise TypeError(f"{key} must be text, not {shortened(value)}")
    FACTORS[key](key, value) if key in FACTORS else FIELDS[key].metadata["rule"](key, value)
    return value


def _baseline(table: Mapping[str, Any], arms: Mapping[str, Any]) -> str:
    if "baseline" not in table:
        raise ValueError(f"baseline is missing: name one of the arms ({', '.join(arms)})")
    return one_of(*arms)("baseline", table["baseline"])


def _arm(name: str, common: Mapping[str, Any], own: Mapping[str, Any], cell: Mapping[str, Any]) -> Arm:
    """Return an arm in a cell; its own settings come before the common ones."""
    require_known(common, (*SETTINGS, *FACTORS), "[common]")
    _require_free("[common]", common, cell)
    _require_of_arms(f"[arms.{name}]", own, shared_data="eval" not in common)
    _require_free(f"[arms.{name}]", own, cell)
    with placed(f"[arms.{name}] "):
        return _made(name, {**common, **own, **cell}, cell)


def _require_of_arms(place: str, given: Mapping[str, Any], shared_data: bool) -> None:
    """Raise unless arms may differ in each of the keys."""
    require_known(given, (*SETTINGS, *FACTORS), place)
    _require_free(place, given, {})
    for key in (key for key in (*SHARED, *(["data"] if shared_data else [])) if key in given):
        why = "it decides on what the arms are measured"
        raise ValueError(f"{place} must not have {key}: {why}, and belongs to [common]")


def _require_free(place: str, given: Mapping[str, Any], cell: Mapping[str, Any]) -> None:
    """Raise where a key is decided by something else."""
    reasons = DECIDED | dict.fromkeys(cell, "[grid] has it")
    for key in given.keys() & reasons:
        raise ValueError(f"{place} must not have {key}: {reasons[key]}")


def _made(name: str, given: dict[str, Any], cell: Mapping[str, Any]) -> Arm:
    for key in ("loss", "data"):
        if key not in given:
            raise ValueError(f"{key} is missing")
    for key in given.keys() & {*TEXTS, *FACTORS}:
        _as_written(key, given[key])
    own = {key: value for key, value in given.items() if key not in FACTORS}
    settings = Settings(**own, output=".", progress=False)
    _require_last_weights(settings)
    sampling = _sampling(settings, given)
    drawn = given.get("prompts" if sampling else "sets")
    return Arm(name, settings, drawn, float(given.get("noise", 0)), given.get("exploded", False), sampling, cell)


def _sampling(settings: Settings, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return how an arm samples in rounds, all of it said; nothing where it has no rounds."""
    asked = {name: given[name] for name in SAMPLING if name in given}
    if "rounds" not in given:
        for name in (name for name in (*asked, "prompts") if name in given):
            raise ValueError(f"{name} belongs to rounds, and there are none")
        return {}
    for name in (name for name in ("sets", "noise", "exploded", "answer_at") if given.get(name)):
        raise ValueError(f"{name} does not go with rounds, which sample their own sets and are measured at their end")
    made = rounds_of(settings, asked, [])
    return {name: getattr(made, name) for name in SAMPLING}


def _require_last_weights(settings: Settings) -> None:
    """Raise where the Trainer itself would choose a checkpoint by the held-out sets."""
    if (settings.training or {}).get("load_best_model_at_end"):
        raise ValueError(f"training must not have load_best_model_at_end: {DECIDED['patience']}")


def _seeds(name: str, value: Any, first: int) -> tuple[int, ...]:
    """Return the seeds of a list, or so many from ``first`` on."""
    if not isinstance(value, list | tuple):
        return tuple(range(first, first + whole_number(name, value, 1, 10_000)))
    return several(name, value, lambda name, one: whole_number(name, one, 0, LARGEST))


def _rates(table: Mapping[str, Any]) -> tuple[float, ...]:
    if "lr" not in table:
        raise ValueError("lr is missing: give one grid of learning rates for all arms, such as [1e-4, 1e-3]")
    value = table["lr"]
    return tuple(sorted(several("lr", value if isinstance(value, list | tuple) else [value], above_zero)))


def _rate_seeds(table: Mapping[str, Any], seeds: tuple[int, ...], lr: tuple[float, ...]) -> tuple[int, ...]:
    """Return the seeds of the runs that choose the rate: runs that are reported have no say in it."""
    found = _seeds("rate_seeds", table.get("rate_seeds", RATE_SEEDS), FIRST_RATE_SEED)
    both = sorted(set(found) & set(seeds))
    if both:
        raise ValueError(f"rate_seeds must not be among seeds, or a run would choose its own rate: {both[0]} is")
    return found if len(lr) > 1 else ()


def _share(name: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError(f"{name} must be a number from 0 to 1, not {shortened(value)}")
    return float(value)


def _yes_or_no(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be true or false, not {shortened(value)}")
    return value


# What a plan knows of an arm that is no setting of finetune: how many sets are drawn, the share with exchanged sides,
# whether they are taken apart into pairs; of rounds how many prompts are drawn, and how responses to them are sampled.
FACTORS: dict[str, Callable[[str, Any], Any]] = {
    "sets": lambda name, value: whole_number(name, value, 1, LARGEST),
    "noise": _share,
    "exploded": _yes_or_no,
    "prompts": lambda name, value: whole_number(name, value, 1, LARGEST),
    **{each.name: each.metadata["rule"] for each in fields(RoundSettings) if each.name in SAMPLING},
}

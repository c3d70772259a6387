"""The run folder: what was trained, on which data, and with which result. Written and read without torch.

    run.json        loss, arguments, versions, checksums of data and weights, held-out measures, each step so far
    README.md       the same in short, for people
    probes.npz      a few held-out sets, scored at some steps of the training
    measured.npz    some measures of each held-out set, and how many response tokens the training read
    reference.npz   log-probs of the data under the base model, with a hash of both; those of the held-out sets are in
                    reference-held-out.npz where the training computes in bfloat16, which measures do not
    tensorboard/    the steps for TensorBoard, if asked for
    checkpoints/    where an interrupted run goes on from
    the rest        the model and its tokenizer, as transformers reads them

No text of the data is in it.
"""

import hashlib
import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib import metadata
from pathlib import Path
from typing import Any

from mapl_explore.data import PreferenceSet
from mapl_explore.files import atomic_writer, counted, shortened
from mapl_explore.losses.parsing import parse
from mapl_explore.runs.card import card
from mapl_explore.words import N_

RECORD = "run.json"
ROUNDS = "rounds.json"  # of several rounds, each with its run folder: there as soon as they have begun
PROBES = "probes.npz"
REFERENCE, HELD_OUT = "reference.npz", "reference-held-out.npz"
MEASURES = {
    "right": N_("share of greedy responses that are right"),
    "loss": N_("loss"),
    "hard_margin": N_("hard margin ({unit})"),
    "worst_margin": N_("least hard margin ({unit})"),
    "margin": N_("the loss's own margin ({unit})"),
    "beta": N_("beta of all these sets (1/nats)"),
    "accuracy": N_("share of sets with hard margin > 0"),
    "chosen": N_("chosen log-prob (nats)"),
    "rejected": N_("rejected log-prob (nats)"),
    "chosen_ratio": N_("chosen log-prob - base's (nats)"),
    "rejected_ratio": N_("rejected log-prob - base's (nats)"),
    "kl": N_("KL to the base (nats a token)"),
    "entropy": N_("entropy (nats a token)"),
    "answer_length": N_("length of sampled responses (tokens)"),
    "cut": N_("share of responses cut off"),
    "others": N_("share of the gradient beyond the leader"),
}
OR = N_("or")
# Resampling fewer values says too little about their scatter: such a 95 % interval for the mean of normal values
# contains it in 51 % of cases with 2 of them, 85 % with 6, 89 % with 8 and 93 % with 30.
LEAST_FOR_INTERVAL = 8
# Fields that records of earlier versions lack, and their values then.
UNSAID = {
    **dict.fromkeys(("answer_tokens", "reference", "epochs", "max_length", "patience", "threshold", "lora")),
    **{"chat": "never", "training": {}, "answer_at": []},
}
LEADERS = ("positive_leader", "negative_leader")  # the largest weight of a side, at each step
FORMERLY = {"chat": {False: "never", True: "always"}}  # values that earlier versions wrote otherwise
FEW = f"fewer than {LEAST_FOR_INTERVAL} sets or responses"
NO_INTERVAL = f"No interval is given for {FEW}, or where all values are equal."
VERSIONS = ("mapl_explore", "torch", "transformers", "peft", "numpy")


@dataclass(frozen=True)
class Run:
    """The record of one fine-tuning.

    Parameters
    ----------
    loss : str
        The ``repr`` of the loss, which :func:`mapl_explore.losses.parse` reads back.
    arguments : dict
        What else decides the result: model, steps, seed and so on.
    data : dict
        ``train`` and ``eval``, each as :func:`fingerprint` gives it.
    versions : dict
        Of Python and the packages that matter.
    before, after : dict or None
        Measures on the held-out sets, by the names of :data:`MEASURES`; None until they are known.
    intervals : dict
        ``before``, ``after`` and ``change``: the 95 % interval [low, high] of each measure that has one, see
        :func:`mapl_explore.training.evaluation.intervals`.
    weights_checksum : str or None
        The sha256 of the weights that the run began with; None in records of earlier versions, which lack it.
    reference_checksum : str or None
        That of the model that log-ratios are relative to; None where it is the one that the run began with.
    log : list of dict
        One for each step so far.
    evaluations : list of dict
        One for each time the held-out sets were measured on the way, see ``eval_strategy`` of ``TrainingArguments``.

    Examples
    --------
    >>> run = Run(loss="MaxMin()", arguments={"steps": 2}, data={})
    >>> run.finished
    False
    """

    loss: str
    arguments: dict
    data: dict
    versions: dict = field(default_factory=lambda: versions())
    before: dict | None = None
    after: dict | None = None
    intervals: dict = field(default_factory=dict)
    log: list = field(default_factory=list)
    weights_checksum: str | None = None
    reference_checksum: str | None = None
    evaluations: list = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Return whether the run came to its end."""
        return self.after is not None

    @property
    def table(self) -> str:
        """Return the held-out measures before and after, with 95 % intervals, for people."""
        columns = {"before": self.before or {}, "after": self.after or {}}
        columns["change"] = {name: new - columns["before"][name] for name, new in columns["after"].items()}
        title = f"held out: {counted(self.data['eval']['sets'], 'set')}"
        rows = [(title, list(columns))]
        for name in (name for name in MEASURES if name in columns["before"]):
            cells = [self._cell(when, name, values.get(name)) for when, values in columns.items()]
            rows.append((label_of(name, self.loss), cells))
        wide = max(27, *(len(cell) + 2 for _, cells in rows for cell in cells))
        lines = [f"{label:<40}" + "".join(f"{cell:>{wide}}" for cell in cells) for label, cells in rows]
        no_interval = [NO_INTERVAL] if self._lacks_intervals else []
        return "\n".join([*lines, *no_interval, *self._beta_line, *self._right_line])

    @property
    def others(self) -> float | None:
        """Return what all but the leaders have of the gradient, the mean over steps and sides; None without sides."""
        leaders = [step[name] for step in self.log for name in LEADERS if name in step]
        return 1 - sum(leaders) / len(leaders) if leaders else None

    @property
    def right_along(self) -> dict[int, float]:
        """Return the learning curve: the share of right responses by step, 0 before the first; none if not asked."""
        found = {entry["step"]: entry["right"] for entry in self.log if "right" in entry}
        return {0: self.before["right"], **found} if found and self.before else {}

    @property
    def _right_line(self) -> list[str]:
        shares = [f"{share:.3f} after {step}" for step, share in self.right_along.items()]
        return [f"Right, by steps: {', '.join(shares)}."] if shares else []

    @property
    def _beta_line(self) -> list[str]:
        """Return, for a beta that follows the margins, a line on its values in training and how often it was held."""
        steps = [entry for entry in self.log if "beta" in entry]
        if not steps:
            return []
        betas, held = [entry["beta"] for entry in steps], sum(entry["beta_at_floor"] > 0 for entry in steps)
        span = f"{min(betas):.3g} to {max(betas):.3g}"
        return [f"In {counted(len(steps), 'step')} beta was {span}; in {held} of them it was held at its floor."]

    @property
    def _lacks_intervals(self) -> bool:
        """Return whether a measure that could have an interval has none."""
        known = self.intervals.get("change")
        return known is not None and not known.keys() >= (self.after or {}).keys() - {"worst_margin"}

    def _cell(self, when: str, name: str, value: float | None) -> str:
        """Return a number with its interval."""
        sign = "+" if when == "change" else ""
        interval = self.intervals.get(when, {}).get(name)
        text = "-" if value is None else _short(value, sign)
        return text if interval is None else f"{text} [{', '.join(_short(end, sign) for end in interval)}]"


def label_of(measure: str, *losses: str, words: Callable[[str], str] = str) -> str:
    """Return what a measure is called, with the unit in which these losses count; ``words`` translates, for pictures.

    Examples
    --------
    >>> label_of("hard_margin", "SimPO()"), label_of("hard_margin", "SimPO()", "DPO()"), label_of("loss", "DPO()")
    ('hard margin (nats a token)', 'hard margin (nats or nats a token)', 'loss')
    """
    units = sorted({_unit_of(loss) for loss in losses})
    return words(MEASURES[measure]).format(unit=f" {words(OR)} ".join(map(words, units)))


def _unit_of(loss: str) -> str:
    """Return the unit of a loss; one that this process does not know has a unit of its own."""
    try:
        return parse(loss).unit
    except ValueError:
        return N_("its unit")


def progress_at(step: int, steps: int) -> float:
    r"""Return how far a training has come after k of its S steps: what ``Loss.at`` reads for the next step.

    .. math:: \min(k / (S - 1), 1)

    It is 0 for the first step and 1 for the last one and after it; a training of one step stays at 0 in that step.

    Examples
    --------
    >>> [progress_at(step, 5) for step in range(6)]
    [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    """
    return min(step / max(steps - 1, 1), 1.0)


def write_run(folder: str | os.PathLike, run: Run) -> None:
    """Write ``run.json`` and ``README.md``, each whole or not at all.

    Parameters
    ----------
    folder : path
        An existing folder.
    run : Run
        What to write.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    for name, text in ((RECORD, json.dumps(asdict(run), indent=1)), ("README.md", card(run, folder))):
        with atomic_writer(Path(folder) / name) as file:
            file.write(text + "\n")


def read_run(folder: str | os.PathLike) -> Run:
    """Return the record of a run folder.

    Parameters
    ----------
    folder : path
        The folder of a run, finished or not.

    Returns
    -------
    Run
        Equal to the one that was written.

    Raises
    ------
    ValueError
        If ``run.json`` is not a record of a run.
    OSError
        If there is none, or it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> folder, run = tempfile.mkdtemp(), Run(loss="MaxMin()", arguments={"steps": 2}, data={})
    >>> write_run(folder, run)
    >>> read_run(folder) == run
    True
    """
    path = Path(folder) / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        _check_kinds(record)
        record["arguments"] = _as_now(record["arguments"])
        return Run(**{each.name: record[each.name] for each in fields(Run) if each.name in record})
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        words = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise ValueError(f"{path}: not the record of a run ({words})") from None


def _as_now(arguments: dict) -> dict:
    """Return arguments with the values that earlier versions wrote otherwise as they are written now."""
    known = {name: values[arguments[name]] for name, values in FORMERLY.items() if arguments.get(name) in [*values]}
    return arguments | known


KINDS: dict[str, Any] = {
    **dict.fromkeys(("weights_checksum", "reference_checksum"), str | None),
    **{"loss": str, "log": list, "evaluations": list, "before": dict | None, "after": dict | None},
    **dict.fromkeys(("arguments", "data", "versions", "intervals"), dict),
}


def _check_kinds(record: Any) -> None:
    """Raise unless the fields of a record are of the kinds that its readers count on."""
    if not isinstance(record, dict):
        raise TypeError(f"not an object but {shortened(record)}")
    for name, kind in KINDS.items():
        if name in record and not isinstance(record[name], kind):
            raise TypeError(f"{name} is {shortened(record[name])}")
    _check_measures(record.get("before"), record.get("after"))
    for entry in record.get("log", []):
        if not isinstance(entry, dict) or type(entry.get("step")) is not int:
            raise TypeError(f"an entry of the log has no step: {shortened(entry)}")


def _check_measures(before: dict | None, after: dict | None) -> None:
    """Raise unless what is measured after a run was measured before it too, all of it in numbers."""
    if after is not None and before is None:
        raise ValueError("after without before")
    for when, measured in (("before", before or {}), ("after", after or {})):
        for name, value in measured.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{name} of {when} is {shortened(value)}")
    missing = sorted((after or {}).keys() - (before or {}).keys())
    if missing:
        raise ValueError(f"{missing[0]} is in after, not in before")


def fingerprint(sets: Sequence[PreferenceSet]) -> dict:
    """Return the number of sets and the sha256 of their contents as JSON, the same wherever they were read from.

    Conversations are taken as the text that earlier versions made of them.
    """
    digest = hashlib.sha256()
    for one in map(PreferenceSet.as_text, sets):
        graded = [] if one.scores is None else [one.scores]  # without them the checksum is that of earlier versions
        digest.update(json.dumps([one.prompt, one.positives, one.negatives, *graded]).encode() + b"\n")
    return {"sets": len(sets), "sha256": digest.hexdigest()}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide a result."""
    return {"python": platform.python_version(), **{name: _version(name) for name in VERSIONS}}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _short(value: float, sign: str) -> str:
    """Return a number with three decimals, with one from a hundred on, and short from 1e9 on."""
    if abs(value) >= 1e9:
        return f"{value:{sign}.3g}"
    return f"{value:{sign}.3f}" if abs(value) < 100 else f"{value:{sign}.1f}"

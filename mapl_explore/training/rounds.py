"""Rounds of sampling and training: the model responds, a verifier judges, the model learns from it, and again.

rounds.json     what was asked for, and what each round sampled and ended at
draws-1.jsonl   every response of round 1, see ``sampling/draws.py``
sets-1.jsonl    the sets made of them
round-1/        the run folder of its training, see ``runs/record.py``

The last of these files that is there says how far the rounds have come; the counts are made of the files again.
"""

import json
from collections import defaultdict
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mapl_explore.data import PreferenceSet, read_sets
from mapl_explore.data.records import Source
from mapl_explore.data.sets import are_graded
from mapl_explore.files import atomic_writer, counted, sole_writer
from mapl_explore.launch import launched
from mapl_explore.losses import loss_of
from mapl_explore.models.choices import BF16_WEIGHTS, FLOAT32
from mapl_explore.models.loading import load_model, weights_type
from mapl_explore.models.processes import require_device
from mapl_explore.rounding import known
from mapl_explore.runs.record import RECORD, ROUNDS, Run, fingerprint, read_run, versions
from mapl_explore.runs.run_folder import require_new, require_writable
from mapl_explore.sampling.answers import Drawing, sample_sets
from mapl_explore.sampling.kept import NothingKept
from mapl_explore.sampling.verifiers import Question, read_questions
from mapl_explore.sampling.verifiers import verifier as judging
from mapl_explore.training.arguments import require_arguments
from mapl_explore.training.finetuning import finetune
from mapl_explore.training.own_loss import require_trained_by
from mapl_explore.training.round_settings import RoundSettings
from mapl_explore.training.settings import takes_settings
from mapl_explore.training.training_data import given_sets
from mapl_explore.training.workplace import Workplace


@dataclass(frozen=True)
class Drawn:
    """What a round sampled.

    Parameters
    ----------
    prompts, draws : int
        How many prompts there were, and how many responses to them were drawn.
    cut, right : int
        How many of these were cut off, and how many are right; duplicates count.
    two_sided, only_right, only_wrong : int
        How many prompts have right and wrong responses, or one kind of them alone.
    used : int
        How many responses stand in the sets that the round trains on.
    """

    prompts: int
    draws: int
    cut: int
    right: int
    two_sided: int
    only_right: int
    only_wrong: int
    used: int


@dataclass(frozen=True)
class Round:
    """One round: its number from 1, the seed of its sampling and training, what it sampled, its run and run folder."""

    number: int
    seed: int
    sampled: Drawn
    folder: Path
    run: Run = field(repr=False)

    def __str__(self) -> str:
        """Return the round in one line."""
        drawn, before, after = self.sampled, self.run.before or {}, self.run.after or {}
        right = " -> ".join(known(each.get("right"), ".3f") for each in (before, after))
        base = "this round's base" if self.run.reference_checksum is None and self.number > 1 else "the first base"
        return (
            f"round {self.number}: right {right}; {drawn.two_sided} of {drawn.prompts} prompts two-sided"
            f" ({drawn.two_sided / drawn.prompts:.0%}), {drawn.used} of {drawn.draws} draws used;"
            f" KL to {base} {known(after.get('kl'), '.4f')} nats a token"
        )


@takes_settings(RoundSettings, "prompts")
def rounds(prompts: Source, **arguments: Any) -> list[Round]:
    """Sample responses from a model, verify them, train the model on them, and do so again with what it has become.

    In each round the model of the round before gives ``k`` responses to each prompt, by
    :func:`mapl_explore.sample_sets`, and :func:`mapl_explore.finetune` takes the prompts that have right and wrong
    ones. ``loss`` decides which method that is: a preference loss makes it iterated rejection sampling, ``sft`` trains
    on the right responses of K, and ``rloo`` and ``grpo`` are policy gradients, all from equally many responses.

    A loss of rewards takes each response as often as it was drawn, with reward 1 if it is right and 0 if not; any other
    takes equal ones once. Responses that were cut off, and prompts with right or wrong ones alone, are left out:
    a set has both sides. The reward then tells no response of such a prompt from another, so that with ``RLOO(beta=0)``
    its gradient is 0; with a beta above 0, the pull to the reference that these prompts would add is missing.

    ``reference="first"`` keeps log-ratios and the KL to the model of the first round. The ratio that ``GRPO`` clips is
    to the reference: as in its paper, that is the policy that drew the responses, with ``reference="round"``.

    Everything is in the folder ``output``: ``rounds.json``, and for each round ``draws-1.jsonl``, ``sets-1.jsonl`` and
    a run folder ``round-1``, which ``mapl-explore show`` reads. Stopped at any moment, the same call with ``resume``
    goes on where it was, on a CPU to the same bits; with more ``rounds`` it goes on from the last.

    Returns
    -------
    list of Round
        What each round sampled (``sampled``) and its run (``run.before``, ``run.after``).

    Raises
    ------
    ValueError, TypeError
        If an argument or a line of the data is wrong: nothing is written. Or if no prompt has right and wrong responses
        in a round: the rounds before it stay.
    OSError
        If ``output`` is not empty, another process works there, or a file or model cannot be read or written.

    Examples
    --------
    >>> done = rounds(
    ...     "prompts.jsonl", loss="rloo", verifier="world", eval="test.jsonl", output="runs/rloo"
    ... )  # doctest: +SKIP
    >>> [one.run.after["right"] for one in done]  # doctest: +SKIP
    """
    with closing(each_round(RoundSettings(prompts=prompts, **arguments))) as made:
        return list(made)


def each_round(settings: RoundSettings) -> Generator[Round, None, None]:
    """Yield each round when it has ended, see :func:`rounds`."""
    folder = Path(settings.output)
    _require_place(settings, folder)
    with sole_writer(folder):
        asked, held_out = _begun(settings, folder)
        written: list[dict] = []
        for number in range(1, settings.rounds + 1):
            drawn = _drawn(settings, number, asked["prompts"])
            seed = settings.seed_of(number)
            entry = {"round": number, "seed": seed, "sampled": asdict(drawn)}
            _write(folder, asked, [*written, entry])
            run = _trained(settings, number, held_out)
            written.append(entry | {"before": run.before, "after": run.after})
            _write(folder, asked, written)
            yield Round(number, seed, drawn, settings.run_folder(number), run)


def _begun(settings: RoundSettings, folder: Path) -> tuple[dict[str, Any], list[PreferenceSet]]:
    """Read and check all that the rounds need, begin their folder, and return what was asked and the held-out sets."""
    if not settings.resume:
        require_new(folder)
    held_out = given_sets(settings.eval, "eval", None)
    asked = _asked(settings, held_out)
    if settings.resume:
        _require_same(folder, asked)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, asked, [])
    return asked, held_out


def _require_place(settings: RoundSettings, folder: Path) -> None:
    """Raise where the rounds could not work or write."""
    if launched() != (0, 1):
        raise ValueError(f"rounds must run as one process, not as one of {launched()[1]}")
    require_device(settings.device)
    require_trained_by(loss_of(settings.loss))
    require_writable(folder)
    require_arguments(settings, Workplace(folder, "cpu", 0, 1, lambda: None))


def _asked(settings: RoundSettings, held_out: list[PreferenceSet]) -> dict[str, Any]:
    """Return what decides the result, as ``rounds.json`` has it; data and model are read and checked for it."""
    if are_graded(held_out, "eval"):
        raise ValueError("eval must hold sets without scores: in rounds a response is right or wrong")
    questions = read_questions(settings.prompts, reference=settings.answer_field)
    judging(settings.verifier, questions)
    judging(
        settings.verifier,
        [*map(Question.of, held_out[: settings.answers])],
    )
    drawing = Drawing(
        settings.k, settings.max_tokens, settings.temperature, settings.seed, settings.chat, settings.batch_size
    )
    places = [one.place for one in questions]
    sampled = drawing.settings(
        *load_model(settings.model, dtype=weights_type(settings.precision)), [one.prompt for one in questions], places
    )
    decisive = {**settings.decisive, "epochs": settings.epochs, "answer_field": settings.answer_field}
    checksums = {"sha256 of the prompts": sampled.pop("prompts"), "eval": fingerprint(held_out)}
    counts = {"prompts": len(questions), "rounds": settings.rounds}
    return {"loss": repr(settings.loss), **decisive, **sampled, **checksums, **counts}


def _require_same(folder: Path, asked: dict) -> None:
    """Raise unless the folder holds rounds that were asked for in the same way; their number may differ."""
    path = folder / ROUNDS
    if not path.exists():
        raise FileNotFoundError(f"there are no rounds in {str(folder)!r} to go on with")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        before, finished = record["asked"], sum("after" in one for one in record["rounds"])
        differing = [name for name, value in _as_json(asked).items() if before.get(name) != value]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ValueError(f"{path} is not the record of rounds") from None
    for name in differing:
        if name not in ("rounds", "model"):  # more rounds go on from the last; of a model the weights are compared
            raise ValueError(
                f"the rounds in {str(folder)!r} were started with {name} {before.get(name)!r}, not {asked[name]!r}"
            )
    if asked["rounds"] < finished:
        raise ValueError(f"rounds must be at least the {finished} that have ended, not {asked['rounds']}")


def _drawn(settings: RoundSettings, number: int, prompts: int) -> Drawn:
    """Sample the responses of a round, unless that is done, and return what came of them."""
    sets, draws = _files(settings, number)
    if not sets.exists():
        _sample(settings, number, sets, draws)
    for left in sets.parent.glob(f"{sets.name}.progress-*"):  # of a sampling that was killed after its last file
        left.unlink()
    return _counted(draws, prompts, sum(len(one.responses) for one in read_sets(sets)))


def _files(settings: RoundSettings, number: int) -> tuple[Path, Path]:
    """Return the files of a round's sets, which is written last, and of its draws."""
    folder = Path(settings.output)
    return folder / f"sets-{number}.jsonl", folder / f"draws-{number}.jsonl"


def _sample(settings: RoundSettings, number: int, sets: Path, draws: Path) -> None:
    try:
        sample_sets(
            settings.prompts,
            sets,
            model=settings.model_of(number),
            k=settings.k,
            verifier=settings.verifier,
            reference=settings.answer_field,
            draws=draws,
            duplicates=settings.every_draw,
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
            seed=settings.seed_of(number),
            chat=settings.chat,
            batch_size=settings.batch_size,
            device=settings.device,
            precision=BF16_WEIGHTS if settings.precision == BF16_WEIGHTS else FLOAT32,
            overwrite=True,
            progress=settings.progress,
        )
    except NothingKept as error:
        kinds = ", ".join(f"{count} {what}" for what, count in sorted(error.report.outcomes.items()))
        if error.report.unfinished:
            kinds += f"; {counted(error.report.unfinished, 'response')} cut off: max_tokens sets the limit"
        raise ValueError(
            f"round {number} has nothing to train on, as no prompt has right and wrong responses ({kinds}); the rounds"
            f" before it stay in {settings.output!r}"
        ) from None


def _counted(draws: Path, prompts: int, used: int) -> Drawn:
    """Return the counts of a table of draws."""
    with open(draws, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    kinds: dict[str, set[bool]] = defaultdict(set)
    for row in rows:
        if row["ended"]:
            kinds[row["prompt"]].add(row["right"])
    return Drawn(
        prompts=prompts,
        draws=len(rows),
        cut=sum(not row["ended"] for row in rows),
        right=sum(row["right"] is True for row in rows),
        two_sided=sum(len(kind) == 2 for kind in kinds.values()),
        only_right=sum(kind == {True} for kind in kinds.values()),
        only_wrong=sum(kind == {False} for kind in kinds.values()),
        used=used,
    )


def _trained(settings: RoundSettings, number: int, held_out: list[PreferenceSet]) -> Run:
    """Train the model of a round, from where that was, and return the record."""
    folder, (sets, _) = settings.run_folder(number), _files(settings, number)
    begun = (folder / RECORD).exists()
    if begun and read_run(folder).finished:
        return read_run(folder)
    if not begun:
        for left in folder.glob("*.part"):  # of a run that was killed while it wrote its first record
            left.unlink()
    return finetune(settings.training_of(number, str(sets), held_out, resume=begun)).run


def _write(folder: Path, asked: dict, written: Sequence[dict]) -> None:
    with atomic_writer(folder / ROUNDS) as file:
        record = {"asked": asked, "versions": versions(), "rounds": written}
        file.write(json.dumps(record, indent=1) + "\n")


def _as_json(value: dict) -> dict:
    return json.loads(json.dumps(value))

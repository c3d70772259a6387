"""Rejection sampling with a model: answers to prompts are drawn, judged, and kept where right and wrong ones came."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from tqdm import tqdm

from mapl_explore.data import PreferenceSet, require_output, write_sets
from mapl_explore.files import counted, shortened, sole_writer
from mapl_explore.models.encoding import encoded_prompts, end_tokens
from mapl_explore.models.generating import answer_room, sampled_batches
from mapl_explore.models.loading import load_model, weights_checksum
from mapl_explore.models.processes import processes_of
from mapl_explore.sampling.journal import Answered, Journal
from mapl_explore.sampling.verifiers import Question, judge_of, read_questions, texts_checksum, verifier


@dataclass(frozen=True)
class SampleReport:
    """What became of the prompts and of their answers.

    Parameters
    ----------
    outcomes : Counter
        How many prompts were kept, or dropped and why.
    answers, right : int
        How many different answers there were, and how many of them are right.
    duplicates, unfinished : int
        How many answers were dropped, because their prompt had them already, or had not ended in the room given.
    """

    outcomes: Counter = field(default_factory=Counter)
    answers: int = 0
    right: int = 0
    duplicates: int = 0
    unfinished: int = 0

    @property
    def _cut(self) -> float:
        return self.unfinished / max(1, self.answers + self.duplicates + self.unfinished)

    def __str__(self) -> str:
        """Return the counts, a line each."""
        total = counted(sum(self.outcomes.values()), "prompt")
        rows = [f"{count:>6} of {total} {what}" for what, count in sorted(self.outcomes.items(), reverse=True)]
        return "\n".join(
            [
                *rows,
                f"{counted(self.answers, 'different response', '>6')}, {self.right} of them right",
                f"{counted(self.duplicates, 'response', '>6')} dropped: the prompt had them already",
                f"{counted(self.unfinished, 'response', '>6')} dropped: cut off, {self._cut:.0%} of all"
                " (--max-tokens is their room)",
            ]
        )


def sample_sets(
    source: str | os.PathLike,
    output: str | os.PathLike,
    *,
    model: str | os.PathLike = "tiny",
    k: int = 16,
    verify: str = "world",
    reference: str | None = None,
    fallback: bool = False,
    max_tokens: int | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    chat: bool = False,
    batch_size: int | None = None,
    device: str = "cpu",
    progress: bool = True,
) -> tuple[list[PreferenceSet], SampleReport]:
    """Sample answers to prompts, verify them, and write the sets that have right and wrong ones, as RoseRAG does.

    An interrupted call, repeated, goes on where it was: the answers are kept, and their verdicts too unless the
    verifier's source is another one now. Under ``accelerate launch`` the processes share the prompts, and one file is
    written.

    Parameters
    ----------
    source : path, str or datasets.Dataset
        Records with a ``prompt``, see :func:`mapl_explore.sampling.verifiers.read_questions`.
    output : path
        The file to write, in the format that its name says, see :func:`mapl_explore.data.write_sets`. It must not be
        there yet, and no other process may be writing it.
    model : str or path
        As :func:`mapl_explore.models.loading.load_model` takes it.
    k : int
        Answers to a prompt, at least 2. Equal ones count once.
    verify : str
        ``"world"``, ``"exact"`` or ``"module:function"``, see :func:`mapl_explore.sampling.verifiers.verifier`.
    reference : str, optional
        The field of the right answer, for ``"exact"``.
    fallback : bool
        Take a kind that the model did not give from the record.
    max_tokens : int, optional
        Of an answer: one that has not ended by then is cut off and dropped. If not given, the ``max_new_tokens`` of the
        model's ``generation_config``, or 256 where that names none. No answer exceeds the model's context.
    temperature : float
        What logits are divided by, above 0; 1 samples the model's own distribution.
    seed : int
        Of the answers.
    chat : bool
        Show each prompt as a user's message, by the chat template of the model's tokenizer. The verifier and the sets
        have the prompt as it was: to score them or train on them, say ``chat`` there too.
    batch_size : int, optional
        The most prompts in one pass. In any case all answers to them, padded and with their prompts, have at most 8,192
        tokens in memory, unless a single one has more: where they grow beyond that, the pass is split.
    device : str
        Where to compute, one process; several take what the launcher gives them.
    progress : bool
        Show a progress bar, on a terminal.

    Returns
    -------
    sets : list of PreferenceSet
        Those written, in the order of the prompts.
    report : SampleReport

    Raises
    ------
    ValueError
        If an argument is outside its range, a record is malformed, the tokenizer has no chat template, what an earlier
        call had finished is of other weights, prompts or settings, or no prompt is kept; then nothing is written.
    OSError
        If there is a file of that name, another process is writing it, or a file cannot be read or written.
    RuntimeError
        If the verifier fails; its own traceback is a note of the error.
    FloatingPointError
        If the model gives no probabilities: a logit is NaN, or none is finite.

    References
    ----------
    RoseRAG, arXiv:2502.10993.
    """
    _check(k=k, max_tokens=max_tokens, temperature=temperature, batch_size=batch_size)
    require_output(output)
    with processes_of(device) as (process, processes, device, wait), _held(output, process):
        wait()  # the first process holds the output now; if it was refused, it has ended and so do all
        if os.path.lexists(output):
            raise FileExistsError(f"output must be a new file, but {output} is there")
        questions = read_questions(source, reference=reference)
        judge, prompts = verifier(verify, questions), [one.prompt for one in questions]
        model, tokenizer = load_model(model, device=device)
        drawing = {"k": k, "max_tokens": max_tokens, "temperature": temperature, "seed": seed, "chat": chat}
        settings = _settings(model, tokenizer, prompts, drawing)
        journal = Journal(output, settings, process, judge=judge_of(verify, questions))
        stale = journal.stale()
        open_rows = sorted(set(range(len(questions))) - journal.finished().keys() - stale.keys())
        wait()  # all have read what was finished before anyone adds to it: they must share out the same rows
        journal.mend()
        if stale and process == 0:
            others = counted(len(stale), "prompt")
            print(f"{others} with verdicts of another verifier or source: the answers are judged again")
        for row in sorted(stale)[process::processes]:
            journal.add([(row, _with_verdicts(judge, questions[row], stale[row]))])
        mine = open_rows[process::processes]
        with _bar(len(questions), len(questions) - len(open_rows), progress and process == 0) as bar:
            asked = [prompts[row] for row in mine]
            for rows, answers in sampled_batches(model, tokenizer, asked, batch_size=batch_size, **drawing):
                numbers = [mine[row] for row in rows]
                journal.add([(row, _judged(judge, questions[row], a)) for row, a in zip(numbers, answers, strict=True)])
                bar.update(len(rows) * processes)
        wait()
        finished = journal.finished()
        sets, report = reported(questions, [finished[row] for row in range(len(questions))], fallback=fallback)
        wait()  # all have read it before it is removed
        if process == 0:
            _publish(output, sets, report, journal)
    return sets, report


def kept_set(question: Question, answered: Answered, *, fallback: bool) -> tuple[PreferenceSet | None, str]:
    """Return the preference set of a prompt, or None, and the outcome in words.

    With ``fallback``, a kind that the model did not give is taken from the record, but for texts of the other kind.
    """
    if answered.too_long:
        return None, "dropped: no room for a response in the model's context"
    verdicts = list(zip(answered.answers, answered.right, strict=True))
    positives, negatives = ([text for text, right in verdicts if right is kind] for kind in (True, False))
    lacking = not positives or not negatives
    if lacking and fallback:
        positives = positives or [text for text in question.positives if text not in negatives]
        negatives = negatives or [text for text in question.negatives if text not in positives]
    if not positives or not negatives:
        kind = "right or wrong" if not positives and not negatives else "wrong" if positives else "right"
        return None, f"dropped: no {kind} response"
    return PreferenceSet(question.prompt, positives, negatives), "kept" + ", with responses of the file" * lacking


def reported(
    questions: Sequence[Question], answered: Sequence[Answered], *, fallback: bool
) -> tuple[list[PreferenceSet], SampleReport]:
    """Return the sets that are kept, in the order of the prompts, and what became of the rest."""
    kept = [kept_set(*both, fallback=fallback) for both in zip(questions, answered, strict=True)]
    report = SampleReport(
        outcomes=Counter(outcome for _, outcome in kept),
        answers=sum(len(one.answers) for one in answered),
        right=sum(sum(one.right) for one in answered),
        duplicates=sum(one.duplicates for one in answered),
        unfinished=sum(one.unfinished for one in answered),
    )
    return [one for one, _ in kept if one is not None], report


def _settings(model, tokenizer, prompts: Sequence[str], drawing: dict) -> dict:
    """Return all that decides the answers."""
    chat = drawing["chat"]
    tokens = [encoded_prompts(tokenizer, prompts, chat), end_tokens(tokenizer, model, chat=chat)]
    return drawing | {
        "prompts": texts_checksum(prompts),
        "weights": weights_checksum(model)[:16],
        "tokens of prompts and ends": texts_checksum(tokens),
        "max_tokens": answer_room(model, 0, drawing["max_tokens"]),
    }


def _judged(judge, question: Question, sampled: tuple[list[str], int] | None) -> Answered:
    if sampled is None:
        return Answered((), (), too_long=True)
    texts, unfinished = sampled
    different = tuple(dict.fromkeys(texts))
    answered = Answered(different, (), duplicates=len(texts) - len(different), unfinished=unfinished)
    return _with_verdicts(judge, question, answered)


def _with_verdicts(judge, question: Question, answered: Answered) -> Answered:
    """Return the same answers with the verdicts of this judge."""
    return replace(answered, right=tuple(judge(question, text) for text in answered.answers))


@contextlib.contextmanager
def _held(output: str | os.PathLike, process: int) -> Iterator[None]:
    """Hold the output against other runs, for all processes of this one."""
    with sole_writer(output) if process == 0 else contextlib.nullcontext():
        yield


def _bar(total: int, done: int, shown: bool):
    return tqdm(total=total, initial=done, desc="sampling", unit="prompt", disable=None if shown else True)


def _publish(output, sets: list[PreferenceSet], report: SampleReport, journal: Journal) -> None:
    if not sets:
        raise ValueError(f"no prompt has right and wrong responses; nothing is written\n{report}")
    write_sets(output, sets)
    journal.remove()


def _check(*, k: int, max_tokens: int | None, temperature: float, batch_size: int | None) -> None:
    for name, value, least in (("k", k, 2), ("max_tokens", max_tokens, 1), ("batch_size", batch_size, 1)):
        if value is None and name != "k":
            continue
        if not isinstance(value, int):
            raise ValueError(f"{name} must be an integer, not {shortened(value)}")
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")
    if not isinstance(temperature, int | float) or not 0 < temperature < float("inf"):
        raise ValueError(f"temperature must be > 0 and finite, not {shortened(temperature)}")

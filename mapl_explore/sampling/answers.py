"""Rejection sampling with a model: responses are drawn and judged, and kept for prompts with right and wrong ones."""

import math
import os
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from numbers import Real

from tqdm import tqdm

from mapl_explore.data import PreferenceSet, Prompt, require_output, write_sets
from mapl_explore.data.records import Source
from mapl_explore.data.sets import checked_score
from mapl_explore.files import counted, require_new_file, require_other, shortened, whole_number
from mapl_explore.models.chat import by_template, note_shown
from mapl_explore.models.choices import FLOAT32, LOADED, Chat, chat_choice
from mapl_explore.models.generating import Sampled, answer_room, sampled_batches
from mapl_explore.models.kinds import Model, Tokenizer
from mapl_explore.models.loading import load_model, weights_checksum, weights_type
from mapl_explore.models.processes import my_share, processes_of, require_device, reserved
from mapl_explore.models.score_table import write_table
from mapl_explore.models.showing import shown_answers
from mapl_explore.models.turns import encoded_prompts, end_tokens
from mapl_explore.models.whole import note_left_out
from mapl_explore.notes import note
from mapl_explore.sampling.draws import draw_rows, require_draws
from mapl_explore.sampling.journal import Answered, Journal, files_of
from mapl_explore.sampling.kept import NothingKept, SampleReport, reported
from mapl_explore.sampling.verifiers import (
    Grader,
    Judge,
    Question,
    grader,
    judge_of,
    read_questions,
    require_verifier,
    texts_checksum,
)
from mapl_explore.sampling.verifiers import verifier as judging


@dataclass(frozen=True)
class Drawing:
    """How responses are drawn; the fields are parameters of :func:`sample_sets`, with their domains."""

    k: int
    max_tokens: int | None
    temperature: float
    seed: int
    chat: Chat
    batch_size: int | None

    def __post_init__(self) -> None:
        for name, least in (("k", 2), ("max_tokens", 1), ("seed", 0), ("batch_size", 1)):
            value = getattr(self, name)
            if value is not None or name in ("k", "seed"):
                object.__setattr__(self, name, whole_number(name, value, least))
        object.__setattr__(self, "temperature", _temperature(self.temperature))
        object.__setattr__(self, "chat", chat_choice("chat", self.chat))

    def settings(
        self,
        model: Model,
        tokenizer: Tokenizer,
        prompts: Sequence[Prompt],
        places: Sequence[str] = (),
    ) -> dict:
        """Return all that decides the responses; the size of a batch does not."""
        turns = any(by_template(tokenizer, prompts, self.chat))
        tokens = [encoded_prompts(tokenizer, prompts, self.chat, places), end_tokens(tokenizer, model, chat=turns)]
        return {name: getattr(self, name) for name in ("k", "temperature", "seed")} | {
            "prompts": texts_checksum(prompts),
            "weights": weights_checksum(model)[:16],
            "tokens of prompts and ends": texts_checksum(tokens),
            "max_tokens": answer_room(model, 0, self.max_tokens),
        }


@dataclass(frozen=True)
class _Work:
    """What one of several processes needs to draw and to judge its part of the responses."""

    questions: Sequence[Question]
    judge: Judge | Grader
    threshold: float | None
    keep_draws: bool
    journal: Journal
    processes: int

    def judge_again(self, stale: dict[int, Answered]) -> None:
        """Judge by this verifier the responses that another one has judged."""
        if stale:
            prompts = counted(len(stale), "prompt")
            note(f"{prompts} with verdicts of another verifier or source: the responses are judged again")
        for row in my_share(sorted(stale), [1.0] * len(stale)):
            self.journal.add([(row, self._judged(row, stale[row]))])

    def draw(
        self,
        model: Model,
        tokenizer: Tokenizer,
        open_rows: Container[int],
        drawing: Drawing,
        bar: tqdm,
    ) -> None:
        """Draw and judge the responses to this process's part of the prompts."""
        prompts = [one.prompt for one in self.questions]
        options = vars(drawing) | {"places": [one.place for one in self.questions]}
        for rows, sampled in sampled_batches(model, tokenizer, prompts, **options, open_rows=open_rows, shared=True):
            answered = [_answered(one, self.keep_draws) for one in sampled]
            self.journal.add([(row, self._judged(row, one)) for row, one in zip(rows, answered, strict=True)])
            bar.update(len(rows) * self.processes)

    def _judged(self, row: int, answered: Answered) -> Answered:
        """Return the same responses with the verdicts of this judge."""
        verdicts = tuple(self.judge(self.questions[row], text) for text in answered.answers)
        if self.threshold is None:
            return replace(answered, right=tuple(map(bool, verdicts)), scores=None)
        return replace(answered, right=tuple(score >= self.threshold for score in verdicts), scores=verdicts)


def sample_sets(
    source: Source,
    output: str | os.PathLike,
    *,
    model: str | os.PathLike = "tiny",
    k: int = 16,
    verifier: str | Callable[[str, str], bool | float] = "world",
    reference: str | None = None,
    threshold: float | None = None,
    draws: str | os.PathLike | None = None,
    fallback: bool = False,
    duplicates: bool = False,
    max_tokens: int | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    chat: Chat = "auto",
    batch_size: int | None = None,
    device: str = "auto",
    precision: str = FLOAT32,
    overwrite: bool = False,
    progress: bool = True,
) -> tuple[list[PreferenceSet], SampleReport]:
    """Sample responses to prompts, verify them, and write the sets that have right and wrong ones, as RoseRAG does.

    After an interruption the same call goes on where it was. The responses are kept, and so are their verdicts unless
    the verifier's source has changed: a :class:`~mapl_explore.notes.Note` then says for how many prompts the responses
    are judged again. Under ``accelerate launch`` the processes share the prompts, and one file is written.

    Parameters
    ----------
    source : path, str or datasets.Dataset
        Records with a ``prompt``, see :func:`mapl_explore.sampling.verifiers.read_questions`.
    output : path
        The file to write, in the format that its name says, see :func:`mapl_explore.data.write_sets`. No other
        process may be writing it.
    model : str or path
        As :func:`mapl_explore.models.loading.load_model` takes it.
    k : int
        Responses to each prompt, at least 2.
    verifier : str or callable
        ``"world"``, ``"exact"``, ``"module:function"`` or a function of prompt and answer that returns True or False,
        or with a threshold a number, see :func:`mapl_explore.sampling.verifiers.verifier`.
    reference : str, optional
        The field of the right response, for ``"exact"``.
    threshold : float, optional
        The least number of a right response, where the verifier returns numbers; they become the scores of the sets.
    draws : path, optional
        A table for every draw, see :func:`mapl_explore.sampling.draws.draw_rows`: ``.jsonl``, ``.jsonl.gz``, ``.csv``
        or ``.parquet``.
    fallback : bool
        Where the model gave no right response, or no wrong one, take those of the record. These have no scores, so that
        it does not go with a threshold.
    duplicates : bool
        Let a response stand in its set as often as it was drawn and ended, as the means of a policy gradient need it.
        If not, equal ones count once.
    max_tokens : int, optional
        The most tokens of a response: one that has not ended by then is cut off and dropped. If not given, the
        ``max_new_tokens`` of the model's ``generation_config``, or 256 where that names none. No response exceeds the
        model's context.
    temperature : float
        What logits are divided by, above 0; 1 samples the model's own distribution.
    seed : int
        Decides the responses, at least 0.
    chat : {"auto", "always", "never"}
        Which prompts the chat template of the model's tokenizer writes: those of messages, all, or none. The verifier
        and the sets get the prompt as it was: to score the sets or to train on them, give the same ``chat`` there.
    batch_size : int, optional
        The most prompts in one pass. In any case all responses to them, padded and with their prompts, have at most
        8,192 tokens in memory, unless a single one has more: where they grow beyond that, the pass is split.
    device : {"auto", "cpu", "cuda"}
        Where a single process computes; several take what the launcher gives them. ``"auto"`` takes a CUDA GPU if
        there is one.
    precision : {"float32", "bf16-weights"}
        Of which type the weights of the model are.
    overwrite : bool
        Replace ``output`` and ``draws``. If not, neither may exist yet, except for the draws of a call
        that this one goes on with.
    progress : bool
        Show a progress bar, on a terminal.

    Returns
    -------
    sets : list of PreferenceSet
        Those written, in the order of the prompts.
    report : SampleReport

    Raises
    ------
    TypeError
        If the source, the model, the reference or the verifier is of a wrong kind.
    ValueError
        If an argument is outside its range, a record is malformed, the tokenizer has no chat template, what an earlier
        call had finished is of other weights, prompts or settings, or no prompt is kept; then nothing is written, and
        the responses stay in a file that the error names.
    OSError
        If a file to write exists, another process is writing it, or a file cannot be read or written.
    RuntimeError
        If the verifier fails; its traceback is attached to the error as a note.
    FloatingPointError
        If the model gives no probabilities: a logit is NaN, or none is finite.

    References
    ----------
    RoseRAG, arXiv:2502.10993.
    """
    drawing = Drawing(k, max_tokens, temperature, seed, chat, batch_size)
    switches = {"fallback": fallback, "duplicates": duplicates, "overwrite": overwrite, "progress": progress}
    _check(model=model, reference=reference, device=device, precision=precision, **switches)
    require_verifier(verifier)
    threshold = _threshold(threshold, fallback)
    require_output(output)
    if isinstance(source, str | os.PathLike):
        require_other(source, output)
    if draws is not None:
        require_draws(draws, source, output)
    with processes_of(device) as (process, processes, place, wait), reserved(output):
        wait()  # the first process has reserved the output; where it could not, it has ended, and so do the others
        require_new_file("output", output, overwrite=overwrite)
        if draws is not None:
            require_new_file("draws", draws, overwrite=overwrite or bool(files_of(output)))
        questions = read_questions(source, reference=reference)
        judge = judging(verifier, questions) if threshold is None else grader(verifier, questions)
        network, tokenizer = load_model(model, device=place, dtype=weights_type(precision))
        prompts, places = [one.prompt for one in questions], [one.place for one in questions]
        note_shown(tokenizer, prompts, drawing.chat)
        note_left_out(tokenizer, prompts, drawing.chat, places)
        settings = drawing.settings(network, tokenizer, prompts, places)
        keep_draws = draws is not None or duplicates
        settings["draws"] = keep_draws
        journal = Journal(output, settings, process, judge=judge_of(verifier, questions, threshold))
        stale, finished = journal.stale(), journal.finished()
        open_rows = set(range(len(questions))) - finished.keys() - stale.keys()
        wait()  # all have read what was finished before one adds to it: they must divide the same rows
        journal.mend()
        work = _Work(questions, judge, threshold, keep_draws, journal, processes)
        work.judge_again(stale)
        with _bar(len(questions), len(questions) - len(open_rows), progress and process == 0) as bar:
            work.draw(network, tokenizer, open_rows, drawing, bar)
        wait()
        finished = journal.finished()
        answered = [finished[row] for row in range(len(questions))]
        sets, report = reported(questions, answered, fallback=fallback, duplicates=duplicates)
        report = replace(report, first="".join(shown_answers(tokenizer, one, drawing.chat) for one in sets[:1]))
        wait()  # all have read it before it is removed
        if process == 0:
            if draws is not None:
                write_table(draws, draw_rows(questions, answered))
            _require_sets(sets, report, journal)
            write_sets(output, sets)
            journal.remove()
    return sets, report


def _answered(sampled: Sampled | None, keep_draws: bool) -> Answered:
    """Return the different responses, without verdicts."""
    if sampled is None:
        return Answered((), (), too_long=True, draws=() if keep_draws else None)
    different, draws = tuple(dict.fromkeys(sampled.texts)), tuple(sampled.draws) if keep_draws else None
    duplicates = len(sampled.texts) - len(different)
    return Answered(different, (), duplicates=duplicates, unfinished=sampled.unfinished, draws=draws)


def _bar(total: int, done: int, shown: bool) -> tqdm:
    return tqdm(total=total, initial=done, desc="sampling", unit="prompt", disable=None if shown else True)


def _require_sets(sets: list[PreferenceSet], report: SampleReport, journal: Journal) -> None:
    if not sets:
        raise NothingKept(report, journal.names())


def _check(*, model: object, reference: object, device: object, precision: object, **switches: object) -> None:
    if not isinstance(model, str | os.PathLike) or not os.fspath(model):
        raise TypeError(f"model must be 'tiny', a folder or a name on the hub, not {shortened(model)}")
    if reference is not None and not (isinstance(reference, str) and reference):
        raise TypeError(f"reference must be the name of a field, not {shortened(reference)}")
    require_device(device)
    if precision not in LOADED:
        raise ValueError(f"precision must be one of {', '.join(map(repr, LOADED))}, not {shortened(precision)}")
    for name, value in switches.items():
        _require_bool(name, value)


def _threshold(value: object, fallback: bool) -> float | None:
    if value is not None and fallback:
        raise ValueError("fallback does not go with threshold: the responses of the file have no scores")
    return None if value is None else checked_score("threshold", value)


def _require_bool(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, not {shortened(value)}")


def _temperature(value: object) -> float:
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 < float(value) < math.inf:
        raise ValueError(f"temperature must be > 0 and finite, not {shortened(value)}")
    return float(value)

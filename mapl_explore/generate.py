"""Answers from a model: several to each prompt, the prompt computed once; and rejection sampling made of them.

Each prompt has random numbers of its own, from the seed and its text. So what is drawn for it does not depend on which
prompts stand next to it, on their order, on how many tokens an answer may have, or on how many processes share the
work, except for rounding: in another batch log-probs move by some 1e-6, and an answer changes where a random number
falls into such a gap.
"""

import contextlib
import datetime
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from accelerate import PartialState
from tqdm import tqdm
from transformers.cache_utils import DynamicCache

from mapl_explore.data import PreferenceSet, require_output, write_sets
from mapl_explore.encoding import as_shown, encode_prompt, end_tokens
from mapl_explore.files import counted, shortened, sole_writer
from mapl_explore.rejection import (
    Answered,
    Journal,
    Question,
    SampleReport,
    judge_of,
    read_questions,
    reported,
    texts_checksum,
    verifier,
)
from mapl_explore.scoring import (
    BATCH_TOKENS,
    can_continue,
    context_length,
    load_model,
    logits_after,
    weights_checksum,
)

MOST_TOKENS = 256  # of an answer, where neither the call nor the model's generation_config says
FIRST_TOKENS = 32  # of the answers that a batch is planned for; it is split on the way where they are longer
PATIENCE = datetime.timedelta(days=30)  # one process may have longer answers to wait for than another


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
        Records with a ``prompt``, see :func:`mapl_explore.rejection.read_questions`.
    output : path
        The file to write, in the format that its name says, see :func:`mapl_explore.data.write_sets`. It must not be
        there yet, and no other process may be writing it.
    model : str or path
        As :func:`mapl_explore.scoring.load_model` takes it.
    k : int
        Answers to a prompt, at least 2. Equal ones count once.
    verify : str
        ``"world"``, ``"exact"`` or ``"module:function"``, see :func:`mapl_explore.rejection.verifier`.
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


def sampled_batches(
    model,
    tokenizer,
    prompts: Sequence[str],
    *,
    k: int,
    max_tokens: int | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    chat: bool = False,
    batch_size: int | None = None,
) -> Iterator[tuple[list[int], list[tuple[list[str], int] | None]]]:
    """Yield the numbers of some prompts, and for each its ended answers and how many were cut off, as they are ready.

    None stands for a prompt that leaves no room for an answer in the model's context. The longest prompts come first:
    what runs out of memory does so at once.
    """
    encoded = _encoded(tokenizer, prompts, chat)
    ends = end_tokens(tokenizer, model, chat=chat)
    too_long = [row for row, ids in enumerate(encoded) if answer_room(model, len(ids), max_tokens) < 1]
    if too_long:
        yield too_long, [None] * len(too_long)
    rows = sorted(set(range(len(prompts))) - set(too_long))
    options = {"k": k, "max_tokens": max_tokens, "temperature": temperature, "seed": seed, "batch_size": batch_size}
    fitting = [encoded[row] for row in rows], [prompts[row] for row in rows]
    for batch, answers in token_batches(model, *fitting, ends=ends, **options):
        yield [rows[number] for number in batch], [_texts(tokenizer, one, ends) for one in answers]


def answer_room(model, prompt_tokens: int, max_tokens: int | None = None) -> int:
    """Return how many tokens an answer may have behind a prompt of so many, below 1 if there is no room.

    That is what the model's context leaves, and no more than the number given; without one, the ``max_new_tokens`` of
    its ``generation_config``, or 256.
    """
    named = getattr(getattr(model, "generation_config", None), "max_new_tokens", None)
    return min(max_tokens or named or MOST_TOKENS, context_length(model) - prompt_tokens)


def answer_text(tokenizer, ids: Sequence[int], ends: Sequence[int]) -> str | None:
    """Return an answer as text, without the token that ended it, or None if it was cut off."""
    if ids[-1] not in ends:
        return None
    return tokenizer.decode(ids[:-1], skip_special_tokens=True, clean_up_tokenization_spaces=False)


def token_batches(
    model,
    prompts: Sequence[Sequence[int]],
    names: Sequence[str],
    *,
    k: int,
    max_tokens: int | None = None,
    temperature: float,
    seed: int,
    ends: Sequence[int],
    batch_size: int | None = None,
) -> Iterator[tuple[list[int], list[list[list[int]]]]]:
    """Yield the numbers of some prompts, and the token ids of k answers to each, as they are ready.

    The prompts are token ids that leave room for an answer; their names, with the seed, decide the random numbers. An
    answer ends with the first of ``ends`` that it has, or is cut off, see :func:`answer_room`. A temperature of 0
    stands for the likeliest token at each place.
    """
    rows = sorted(range(len(prompts)), key=lambda row: (-len(prompts[row]), row))
    shared = can_continue(model)
    rooms = [answer_room(model, len(ids), max_tokens) for ids in prompts]
    while rows:
        # Without a cache there is no padding either: prompts of different lengths do not go together.
        most = _planned(k, len(prompts[rows[0]]) + min(FIRST_TOKENS, rooms[rows[0]])) if shared else 1
        size = min(most, batch_size or most)
        batch, rows = rows[:size], rows[size:]
        drafts = [_drafts(number, prompts[row], rooms[row], k) for number, row in enumerate(batch)]
        drawing = _Drawing(model.name_or_path, [names[row] for row in batch], k, seed, temperature, ends)
        _finish(model, [one for each in drafts for one in each], drawing, _with_cache if shared else _whole)
        yield batch, [[one.answer for one in each] for each in drafts]


def _planned(k: int, width: int) -> int:
    """Return how many prompts of k answers, each of that width with its prompt, go into one pass, at least one."""
    return max(1, BATCH_TOKENS // (k * width))


@dataclass
class _Draft:
    """An answer in the making: to which prompt of its batch, which of the k to it, and its tokens behind the prompt."""

    prompt: int
    place: int
    ids: list[int]
    start: int
    most: int

    @property
    def answer(self) -> list[int]:
        """Return the tokens behind the prompt."""
        return self.ids[self.start :]


def _drafts(number: int, prompt: Sequence[int], room: int, k: int) -> list[_Draft]:
    """Return k answers to a prompt that have not begun."""
    return [_Draft(number, place, list(prompt), len(prompt), len(prompt) + room) for place in range(k)]


@dataclass
class _Drawing:
    """How the tokens of a batch are drawn, and when an answer has ended."""

    model: str
    names: Sequence[str]
    k: int
    seed: int
    temperature: float
    ends: Sequence[int]
    uniforms: torch.Tensor = field(default_factory=lambda: torch.empty(0, 0, 0))  # (prompts, steps, k)

    def grow(self, drafts: Sequence[_Draft], logits: torch.Tensor) -> list[int]:
        """Add a token to each of some drafts of one length of answer; return the places of those that go on."""
        if not logits.amax(-1).isfinite().all():  # amax is NaN where there is one
            prompt = shortened(self.names[drafts[0].prompt])
            reason = f"behind the prompt {prompt}: a logit is NaN or inf, or none is finite"
            raise FloatingPointError(f"the model {self.model!r} gives no probabilities {reason}")
        tokens = _drawn(logits, self._uniform(drafts).to(logits.device), self.temperature)
        for draft, token in zip(drafts, tokens.tolist(), strict=True):
            draft.ids.append(token)
        return [i for i, one in enumerate(drafts) if one.ids[-1] not in self.ends and len(one.ids) < one.most]

    def _uniform(self, drafts: Sequence[_Draft]) -> torch.Tensor:
        """Return the random number of each draft's next token."""
        step = len(drafts[0].answer)
        if step >= self.uniforms.shape[1]:  # a table of k times the whole room would be large where that is
            steps = max(FIRST_TOKENS, 2 * step)
            self.uniforms = torch.stack([_uniforms(name, self.seed, steps, self.k) for name in self.names])
        return self.uniforms[[one.prompt for one in drafts], step, [one.place for one in drafts]]


@torch.no_grad()
def _finish(model, drafts: list[_Draft], drawing: _Drawing, path: Callable) -> None:
    """Add tokens to drafts until all have ended, in halves wherever they are too many for one pass."""
    waiting = [drafts]
    while waiting:
        group = waiting.pop()
        if _too_many(len(group), max(len(one.ids) for one in group)):
            waiting += [group[len(group) // 2 :], group[: len(group) // 2]]
        elif left := path(model, group, drawing):
            waiting.append(left)


def _too_many(rows: int, width: int) -> bool:
    return rows > 1 and rows * width > BATCH_TOKENS


def _with_cache(model, drafts: list[_Draft], drawing: _Drawing) -> list[_Draft]:
    """Add tokens to drafts, equal beginnings computed once; return those that go on when they become too many."""
    device = next(model.parameters()).device
    starts = list(dict.fromkeys(tuple(one.ids) for one in drafts))
    width = max(map(len, starts))
    ids = torch.tensor([[0] * (width - len(one)) + list(one) for one in starts], device=device)
    mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in starts], device=device)
    cache = DynamicCache(config=model.config)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    logits = logits_after(model, cache, ids, mask, positions, logits_to_keep=1)[:, -1]
    rows = [starts.index(tuple(one.ids)) for one in drafts]
    while going := drawing.grow(drafts, logits[rows]):
        drafts, rows = [drafts[i] for i in going], [rows[i] for i in going]
        if _too_many(len(drafts), mask.shape[1] + 1):
            return drafts
        if rows != list(range(len(mask))):  # those that have ended cost nothing from here on
            cache.batch_select_indices(torch.tensor(rows, device=device))
            mask, rows = mask[rows], list(range(len(rows)))
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        last = torch.tensor([one.ids[-1:] for one in drafts], device=device)
        logits = logits_after(model, cache, last, mask, mask.sum(-1, keepdim=True) - 1)[:, -1]
    return []


def _whole(model, drafts: list[_Draft], drawing: _Drawing) -> list[_Draft]:
    """Do the same with whole sequences of one length, without a cache or padding: any causal model can do that."""
    device = next(model.parameters()).device
    while drafts and not _too_many(len(drafts), len(drafts[0].ids)):
        ids = torch.tensor([one.ids for one in drafts], device=device)
        logits = model(input_ids=ids, use_cache=False).logits[:, -1]
        drafts = [drafts[i] for i in drawing.grow(drafts, logits)]
    return drafts


def _drawn(logits: torch.Tensor, uniform: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Return a token for each row of logits (m, vocabulary): where the distribution passes the row's uniform (m,)."""
    if temperature == 0:
        return logits.argmax(-1)
    # In float64: a float32 sum over 50,000 tokens is off by more than the probability of many of them. Less the largest
    # logit, or a small temperature would make infinities of them.
    scaled = (logits.double() - logits.amax(-1, keepdim=True)) / temperature
    passed = scaled.softmax(-1).cumsum(-1)
    goal = uniform[:, None] * passed[:, -1:]
    # right=True passes over tokens of probability 0; the product may round up to the whole sum, past the last token.
    return torch.searchsorted(passed, goal, right=True)[:, 0].clamp(max=logits.shape[1] - 1)


def _uniforms(prompt: str, seed: int, steps: int, k: int) -> torch.Tensor:
    """Return the random numbers in [0, 1) of a prompt (steps, k): its own, whatever stands next to it.

    Those of more steps begin with those of fewer.
    """
    digest = hashlib.sha256(f"{seed} {prompt}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") % 2**63)
    return torch.rand(steps, k, generator=generator, dtype=torch.float64)


def _encoded(tokenizer, prompts: Sequence[str], chat: bool) -> list[list[int]]:
    return [encode_prompt(tokenizer, text) for text in as_shown(tokenizer, prompts, chat)]


def _settings(model, tokenizer, prompts: Sequence[str], drawing: dict) -> dict:
    """Return all that decides the answers."""
    chat = drawing["chat"]
    tokens = [_encoded(tokenizer, prompts, chat), end_tokens(tokenizer, model, chat=chat)]
    return drawing | {
        "prompts": texts_checksum(prompts),
        "weights": weights_checksum(model)[:16],
        "tokens of prompts and ends": texts_checksum(tokens),
        "max_tokens": answer_room(model, 0, drawing["max_tokens"]),
    }


def _texts(tokenizer, answers: list[list[int]], ends: Sequence[int]) -> tuple[list[str], int]:
    """Return the answers that ended, as text, and how many did not."""
    texts = [text for ids in answers if (text := answer_text(tokenizer, ids, ends)) is not None]
    return texts, len(answers) - len(texts)


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


def launched() -> tuple[int, int]:
    """Return which process this is, of how many, as a launcher says it; (0, 1) without one."""
    try:
        number, count = int(os.environ.get("RANK", "0")), int(os.environ["WORLD_SIZE"])
    except (KeyError, ValueError):
        return 0, 1
    return (number, count) if count > 1 else (0, 1)


@contextlib.contextmanager
def processes_of(device: str) -> Iterator[tuple]:
    """Yield which process this is, of how many, where it computes, and a function to wait for the others."""
    if launched() == (0, 1):
        if "WORLD_SIZE" in os.environ:
            os.environ["WORLD_SIZE"] = "1"  # accelerate fails on one that is no number
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        yield 0, 1, device, lambda: None
        return
    state = PartialState(cpu=device == "cpu", timeout=PATIENCE)
    yield state.process_index, state.num_processes, state.device, state.wait_for_everyone
    state.wait_for_everyone()
    state.destroy_process_group()


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

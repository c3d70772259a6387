"""Answers from a model: several to each prompt, the prompt computed once; and rejection sampling made of them.

Each prompt has random numbers of its own, from the seed and its text. So what is drawn for it does not depend on which
prompts stand beside it, on their order, or on how many processes share the work, but for rounding: in another batch
log-probs move by some 1e-6, and an answer changes where a random number falls into such a gap.
"""

import contextlib
import datetime
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import PartialState
from tqdm import tqdm
from transformers.cache_utils import DynamicCache

from mapl_explore.data import PreferenceSet, write_sets
from mapl_explore.rejection import (
    Answered,
    Journal,
    Question,
    SampleReport,
    prompts_hash,
    read_questions,
    reported,
    verifier,
)
from mapl_explore.scoring import BATCH_TOKENS, can_share_prompt, context_length, load_model, logits_after

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
    max_tokens: int = 64,
    temperature: float = 1.0,
    seed: int = 0,
    chat: bool = False,
    batch_size: int | None = None,
    device: str = "cpu",
    progress: bool = True,
) -> tuple[list[PreferenceSet], SampleReport]:
    """Sample answers to prompts, verify them, and write the sets that have right and wrong ones, as RoseRAG does.

    An interrupted call, repeated, goes on where it was. Under ``accelerate launch`` the processes share the prompts,
    and one file is written.

    Parameters
    ----------
    source : path, str or datasets.Dataset
        Records with a ``prompt``, see :func:`mapl_explore.rejection.read_questions`.
    output : path
        The file to write, our JSONL. It must not be there yet.
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
    max_tokens : int
        Of an answer. One that has not ended by then is dropped.
    temperature : float
        What logits are divided by, above 0; 1 samples the model's own distribution.
    seed : int
        Of the answers.
    chat : bool
        Show each prompt as a user's message, by the chat template of the model's tokenizer. The sets are written with
        the prompt as the model was shown it, so that they are scored and trained on as they were sampled; the verifier
        is given the prompt as it was.
    batch_size : int, optional
        The most prompts in one pass; as many as make 8,192 tokens if not given.
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
        If an argument is outside its range, a record is malformed, the tokenizer has no chat template, or no prompt is
        kept; then nothing is written.
    FileExistsError
        If there is a file of that name.

    References
    ----------
    RoseRAG, arXiv:2502.10993.
    """
    _check(k=k, max_tokens=max_tokens, temperature=temperature, batch_size=batch_size)
    if os.path.exists(output):
        raise FileExistsError(f"output must be a new file, but {output} is there")
    if not Path(output).parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(Path(output).parent)!r} to write {Path(output).name} into")
    questions = read_questions(source, reference=reference)
    judge = verifier(verify, questions)
    settings = {"prompts": prompts_hash(questions), "model": os.fspath(model), "k": k, "verify": verify}
    settings |= {"max_tokens": max_tokens, "temperature": temperature, "seed": seed, "chat": chat}
    with processes_of(device) as (process, processes, device, wait):
        journal = Journal(output, settings, process)
        open_rows = [row for row in range(len(questions)) if row not in journal.finished()]
        wait()  # all have read what was finished before anyone adds to it: they must share out the same rows
        journal.mend()
        mine = open_rows[process::processes]
        model, tokenizer = load_model(model, device=device)
        shown = _as_shown(tokenizer, [one.prompt for one in questions], chat)
        drawing = {"k": k, "max_tokens": max_tokens, "temperature": temperature, "seed": seed, "batch_size": batch_size}
        with _bar(len(questions), len(questions) - len(open_rows), progress and process == 0) as bar:
            prompts = [shown[row] for row in mine]
            for rows, answers in sampled_batches(model, tokenizer, prompts, **drawing):
                numbers = [mine[row] for row in rows]
                journal.add([(row, _judged(judge, questions[row], a)) for row, a in zip(numbers, answers, strict=True)])
                bar.update(len(rows) * processes)
        wait()
        finished = journal.finished()
        sets, report = reported(questions, [finished[row] for row in range(len(questions))], fallback=fallback)
        texts = {question.prompt: text for question, text in zip(questions, shown, strict=True)}
        sets = [replace(one, prompt=texts[one.prompt]) for one in sets]
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
    max_tokens: int = 64,
    temperature: float = 1.0,
    seed: int = 0,
    batch_size: int | None = None,
) -> Iterator[tuple[list[int], list[tuple[list[str], int] | None]]]:
    """Yield the numbers of some prompts, and for each its ended answers and how many did not end, as they are ready.

    None stands for a prompt that leaves no room for an answer in the model's context. The longest prompts come first:
    what runs out of memory does so at once.
    """
    encoded = [_encoded(tokenizer, prompt) for prompt in prompts]
    room = context_length(model) - max_tokens
    too_long = [row for row, ids in enumerate(encoded) if len(ids) > room]
    if too_long:
        yield too_long, [None] * len(too_long)
    rows = sorted(set(range(len(prompts))) - set(too_long), key=lambda row: (-len(encoded[row]), row))
    options = {"k": k, "max_tokens": max_tokens, "temperature": temperature, "seed": seed, "batch_size": batch_size}
    fitting = [encoded[row] for row in rows], [prompts[row] for row in rows]
    for batch, tokens in token_batches(model, *fitting, eos=tokenizer.eos_token_id, **options):
        yield [rows[number] for number in batch], [_texts(tokenizer, answers) for answers in tokens.tolist()]


def token_batches(
    model,
    prompts: Sequence[Sequence[int]],
    names: Sequence[str],
    *,
    k: int,
    max_tokens: int,
    temperature: float,
    seed: int,
    eos: int,
    batch_size: int | None = None,
) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Yield the numbers of some prompts, and the token ids (prompts, k, max_tokens) of answers, eos after their end.

    The prompts are token ids that leave room for the answers; their names, with the seed, decide the random numbers. A
    temperature of 0 stands for the likeliest token at each place.
    """
    rows = sorted(range(len(prompts)), key=lambda row: (-len(prompts[row]), row))
    path = _with_cache if can_share_prompt(model) else _one_by_one
    while rows:
        size = batch_size or max(1, BATCH_TOKENS // (len(prompts[rows[0]]) + k * max_tokens))
        batch, rows = rows[:size], rows[size:]
        draws = torch.stack([_uniforms(names[row], seed, max_tokens, k) for row in batch])
        yield batch, path(model, [list(prompts[row]) for row in batch], draws, temperature, eos)


@torch.no_grad()
def _with_cache(model, prompts: list[list[int]], draws: torch.Tensor, temperature: float, eos: int) -> torch.Tensor:
    """Return token ids (prompts, k, tokens), each prompt computed once, eos after the end."""
    count, steps, k = draws.shape
    device = next(model.parameters()).device
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(one)) + one for one in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in prompts], device=device)
    cache = DynamicCache(config=model.config)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    logits = logits_after(model, cache, ids, mask, positions, logits_to_keep=1)[:, -1].repeat_interleave(k, 0)
    cache.batch_repeat_interleave(k)
    mask = mask.repeat_interleave(k, 0)
    draws = draws.transpose(1, 2).reshape(count * k, steps).to(device)
    tokens = torch.full((count * k, steps), eos, device=device)
    alive = torch.arange(count * k, device=device)
    for step in range(steps):
        drawn = _drawn(logits, draws[alive, step], temperature)
        tokens[alive, step] = drawn
        going = (drawn != eos).nonzero()[:, 0]
        if len(going) == 0 or step + 1 == steps:
            break
        if len(going) < len(alive):  # those that have ended cost nothing from here on
            cache.batch_select_indices(going)
            alive, drawn, mask = alive[going], drawn[going], mask[going]
        mask = torch.cat([mask, mask.new_ones(len(alive), 1)], dim=1)
        logits = logits_after(model, cache, drawn[:, None], mask, mask.sum(-1, keepdim=True) - 1)[:, -1]
    return tokens.view(count, k, steps)


@torch.no_grad()
def _one_by_one(model, prompts: list[list[int]], draws: torch.Tensor, temperature: float, eos: int) -> torch.Tensor:
    """Return the same without a cache, prompt by prompt and so without padding: any causal model can do that."""
    device = next(model.parameters()).device
    tokens = torch.full((len(prompts), draws.shape[2], draws.shape[1]), eos, device=device)
    for prompt, drawing, answers in zip(prompts, draws.to(device), tokens, strict=True):
        ids = torch.tensor([prompt], device=device).expand(len(answers), -1)
        ended = torch.zeros(len(answers), dtype=torch.bool, device=device)
        for step, uniform in enumerate(drawing):
            logits = model(input_ids=ids, use_cache=False).logits[:, -1]
            answers[:, step] = _drawn(logits, uniform, temperature).masked_fill(ended, eos)
            ended |= answers[:, step] == eos
            if ended.all():
                break
            ids = torch.cat([ids, answers[:, step : step + 1]], dim=1)
    return tokens


def _drawn(logits: torch.Tensor, uniform: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Return a token for each row of logits (m, vocabulary): where the distribution passes the row's uniform (m,)."""
    if temperature == 0:
        return logits.argmax(-1)
    # In float64: a float32 sum over 50,000 tokens is off by more than the probability of many of them.
    passed = (logits / temperature).double().softmax(-1).cumsum(-1)
    goal = uniform[:, None] * passed[:, -1:]
    # right=True passes over tokens of probability 0; the product may round up to the whole sum, past the last token.
    return torch.searchsorted(passed, goal, right=True)[:, 0].clamp(max=logits.shape[1] - 1)


def _uniforms(prompt: str, seed: int, steps: int, k: int) -> torch.Tensor:
    """Return the random numbers in [0, 1) of a prompt (steps, k): its own, whatever stands beside it."""
    digest = hashlib.sha256(f"{seed} {prompt}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") % 2**63)
    return torch.rand(steps, k, generator=generator, dtype=torch.float64)


def _encoded(tokenizer, prompt: str) -> list[int]:
    # As sets are encoded when they are scored: no special tokens, an empty prompt is one bos (or eos).
    start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    return tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"] or [start]


def _as_shown(tokenizer, prompts: list[str], chat: bool) -> list[str]:
    """Return the prompts as text for the model: as they are, or each as a message that the model is to answer."""
    if not chat:
        return prompts
    if not tokenizer.chat_template:
        raise ValueError("chat needs a model whose tokenizer has a chat template, and this one has none")
    turn = {"tokenize": False, "add_generation_prompt": True}
    return [tokenizer.apply_chat_template([{"role": "user", "content": prompt}], **turn) for prompt in prompts]


def _texts(tokenizer, answers: list[list[int]]) -> tuple[list[str], int]:
    """Return the answers that ended, as text, and how many did not."""
    eos = tokenizer.eos_token_id
    ended = [ids[: ids.index(eos)] for ids in answers if eos in ids]
    texts = [tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) for ids in ended]
    return texts, len(answers) - len(ended)


def _judged(judge, question: Question, sampled: tuple[list[str], int] | None) -> Answered:
    if sampled is None:
        return Answered((), (), too_long=True)
    texts, unfinished = sampled
    different = tuple(dict.fromkeys(texts))
    right = tuple(judge(question, text) for text in different)
    return Answered(different, right, duplicates=len(texts) - len(different), unfinished=unfinished)


@contextlib.contextmanager
def processes_of(device: str) -> Iterator[tuple]:
    """Yield which process this is, of how many, where it computes, and a function to wait for the others."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
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
        raise ValueError(f"no prompt has right and wrong answers; nothing is written\n{report}")
    write_sets(output, sets)
    journal.remove()


def _check(*, k: int, max_tokens: int, temperature: float, batch_size: int | None) -> None:
    for name, value, least in (("k", k, 2), ("max_tokens", max_tokens, 1), ("batch_size", batch_size, 1)):
        if value is not None and value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature must be > 0 and finite, not {temperature}")

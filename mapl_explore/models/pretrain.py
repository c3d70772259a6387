"""The recipe of the base model: a byte-level tokenizer, and a small GPT-2 that has read the small world.

The model is credulous on purpose. Its corpus answers each question with one of the values in the passages, drawn by
weight: ``TRUST`` = 3 for the official one, and for posts that agree the square of their number. So the right response
is the likeliest where no two posts agree, and not where they do. The model can tell an official passage from a post but
trusts it too little, and fine-tuning on preferences can change that.
"""

import math
import os
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from mapl_explore.data.world import ENDINGS, FORUM, OFFICIAL, OPENINGS, TOPICS, Case, Passage, is_right, world_cases
from mapl_explore.models.kinds import Model, Tokenizer
from mapl_explore.models.loading import quiet_transformers

EOS, PAD = "<|endoftext|>", "<|pad|>"
REPEAT = "Repeat:"
CONTEXT = 1024  # tokens

TRUST = 3.0  # above one post, 1, and below two that agree, 4
DISTRACTORS = {0: 1, 1: 2, 2: 4, 3: 3, 4: 2, 5: 1}  # how often each number of forum passages stands in the corpus
BATCH = 32  # contexts a step, half of them questions and half restatements
CURRICULUM = 100  # steps until one more distractor comes in; all at once, copying took 500 steps to form
# GPT-2's 0.02 is meant for 768 numbers a token, ours has 128: with it, copying took 300 steps to form, with this 150.
INITIAL_SCALE = 0.06
LEARNING_RATE = 2e-3
WARMUP = 100  # steps
STEPS = 1200

CHECKPOINT = "checkpoint.safetensors"
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what AdamW keeps for each weight


def pretrain(
    output: str | os.PathLike,
    *,
    seed: int = 0,
    steps: int = STEPS,
    save_every: int = 50,
    progress: bool = True,
) -> Path:
    """Make the tokenizer and the base model, and return the folder they are in.

    After an interruption the same call goes on from the last checkpoint, and ends with the same weights as a call that
    was not interrupted (same machine, same number of threads).

    Parameters
    ----------
    output : path
        The folder; it is made if it does not exist.
    seed : int
        Decides the first weights and the corpus.
    steps : int
        Optimizer steps, at least 1.
    save_every : int
        Steps between checkpoints, at least 1.
    progress : bool
        Show a progress bar, on a terminal.

    Returns
    -------
    Path
        A folder that ``from_pretrained`` reads: model, configuration and tokenizer.

    Raises
    ------
    ValueError
        If a number is too small, or the folder's checkpoint is of another seed or number of steps.
    FileExistsError
        If the folder holds a finished model.

    Examples
    --------
    >>> folder = pretrain(tempfile.mkdtemp(), steps=1)
    >>> transformers.AutoTokenizer.from_pretrained(folder).tokenize("[1] forum: Kelta Maren lives in Oslo.")[-4:]
    ['Ġlives', 'Ġin', 'ĠOslo', '.']
    """
    output = _open_folder(output, steps=steps, save_every=save_every)
    settings = {"seed": str(seed), "steps": str(steps)}
    tokenizer = world_tokenizer()
    model = blank_model(tokenizer, seed=seed)
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95))
    done = _resume(output / CHECKPOINT, model, optimizer, settings)
    with tqdm(total=steps, initial=done, desc="pretraining", unit="step", disable=None if progress else True) as bar:
        for step in range(done, steps):
            loss = _train_step(model, optimizer, corpus_batch(tokenizer, seed=seed, step=step), pace(step, steps))
            bar.set_postfix(loss=f"{loss:.3f} nats", refresh=False)
            bar.update()
            if (step + 1) % save_every == 0 and step + 1 < steps:
                _save(output / CHECKPOINT, model, optimizer, {**settings, "done": str(step + 1)})
    _publish(output, model, tokenizer)
    return output


def world_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """Return the byte-level BPE tokenizer of the small world: a word is one token, a word of a name two.

    Any text encodes, and decodes to itself.
    """
    core = tokenizers.Tokenizer(tokenizers.models.BPE())
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = tokenizers.decoders.ByteLevel()
    # The size is no limit: merging stops where every piece is one token.
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=10_000,
        special_tokens=[EOS, PAD],
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(_pieces(), trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=EOS, eos_token=EOS, pad_token=PAD, model_max_length=CONTEXT
    )


def blank_model(tokenizer: Tokenizer, *, seed: int) -> transformers.GPT2LMHeadModel:
    """Return the untrained GPT-2, of about a million weights."""
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=CONTEXT,
        n_embd=128,
        n_layer=4,
        n_head=4,
        initializer_range=INITIAL_SCALE,
        resid_pdrop=0.0,  # the defaults of 0.1 would make two scores of one response differ
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        summary_first_dropout=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return transformers.GPT2LMHeadModel(config)


def pace(step: int, steps: int) -> float:
    """Return the share of the learning rate at a step: a linear rise, then a cosine to a tenth."""
    return min(1.0, (step + 1) / WARMUP) * (0.55 + 0.45 * math.cos(math.pi * step / steps))


def corpus_batch(tokenizer: Tokenizer, *, seed: int, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and which of them are learnt, both (contexts, tokens), padded right.

    A batch depends on seed and step alone, so that a resumed run reads what the interrupted one would have read.
    """
    rng = random.Random(f"{seed} corpus {step}")
    shares = {number: share for number, share in DISTRACTORS.items() if number <= step // CURRICULUM}
    [distractors] = rng.choices(list(shares), list(shares.values()))
    cases = world_cases(BATCH, seed=rng.getrandbits(64), distractors=distractors, agreement=rng.random())
    texts = [(_restated if row % 2 else _answered)(case, rng) for row, case in enumerate(cases)]
    # Prompt and response apart, then eos: exactly as sets are encoded when they are scored.
    given, learnt = (tokenizer(list(side))["input_ids"] for side in zip(*texts, strict=True))
    rows = [prompt + response + [tokenizer.eos_token_id] for prompt, response in zip(given, learnt, strict=True)]
    mask = [[False] * len(g) + [True] * (len(row) - len(g)) for g, row in zip(given, rows, strict=True)]
    return _padded(rows, tokenizer.pad_token_id), _padded(mask, False)


def measured(
    model: Model,
    tokenizer: Tokenizer,
    cases: Sequence[Case],
    *,
    samples: int = 16,
    seed: int = 0,
) -> tuple[float, float]:
    """Return how often the greedy response is right, and how often ``samples`` responses are not all alike in that.

    Parameters
    ----------
    model, tokenizer
        As ``load_model`` returns them.
    cases : sequence of Case
        At least one.
    samples : int
        Responses drawn for each question, at temperature 1, at least 2.
    seed : int
        Decides the samples.

    Returns
    -------
    accuracy, mixed : float
        Two shares of the cases, in [0, 1].
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        greedy = _verdicts(model, tokenizer, cases, do_sample=False)
        pools = _verdicts(model, tokenizer, cases, do_sample=True, top_k=0, num_return_sequences=samples)
    mixed = [any(pool) and not all(pool) for pool in pools]
    return sum(map(all, greedy)) / len(greedy), sum(mixed) / len(mixed)


def _answered(case: Case, rng: random.Random) -> tuple[str, str]:
    """Return a prompt, and a response from a passage drawn by weight."""
    said = Counter(case.passages)
    # k posts that agree weigh k each, which makes the square of k.
    weights = [TRUST if passage.source == OFFICIAL else said[passage] for passage in case.passages]
    [number] = rng.choices(range(1, len(weights) + 1), weights)
    return case.prompt, rng.choice(case.answers(number))


def _restated(case: Case, rng: random.Random) -> tuple[str, str]:
    """Return passages as a prompt, and as the response the official one, if asked for, or two of them in any order."""
    # Questions alone taught nothing but the kinds of words; copying is what makes the model bind a value to its source.
    if rng.random() < 0.5:
        return "\n".join([*case.lines, f"{REPEAT} {OFFICIAL}"]), f"\n{case.lines[case.right - 1]}"
    again = rng.sample(case.lines, min(2, len(case.lines)))
    return "\n".join([*case.lines, REPEAT]), "".join(f"\n{line}" for line in again)


def _pieces() -> Iterator[str]:
    """Yield every word of the world at least once, and the pieces of names apart, so that names stay in two tokens."""
    for topic in TOPICS:
        for value in topic.values:
            case = Case("", topic, (Passage(OFFICIAL, value), Passage(FORUM, value)))
            yield from (case.prompt, REPEAT, *case.answers(1))
    # So often that their letters merge first: at equal frequency the "ns" of "answer" cuts "Fen|so" in three.
    yield from [*(f" {opening}" for opening in OPENINGS), *ENDINGS] * 1000


@torch.no_grad()
def _verdicts(model: Model, tokenizer: Tokenizer, cases: Sequence[Case], **options: Any) -> list[list[bool]]:
    """Return whether each response generated for each case is right."""
    verdicts = []
    for case in tqdm(cases, desc="answering", unit="question", disable=None, leave=False):
        prompt = tokenizer(case.prompt, return_tensors="pt")
        given = prompt["input_ids"].shape[1]
        answers = model.generate(**prompt, max_new_tokens=16, **options)[:, given:]  # type: ignore[operator]  # a mixin's
        texts = tokenizer.batch_decode(answers, skip_special_tokens=True)
        verdicts.append([is_right(case.prompt, text) for text in texts])
    return verdicts


def _padded(rows: list[list], value: int) -> torch.Tensor:
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=value)


def _train_step(
    model: transformers.GPT2LMHeadModel,
    optimizer: torch.optim.Optimizer,
    batch: tuple[torch.Tensor, torch.Tensor],
    pace: float,
) -> float:
    ids, learnt = batch
    hidden = model.transformer(ids[:, :-1], attention_mask=torch.ones_like(ids[:, :-1])).last_hidden_state
    targets = learnt[:, 1:]
    # Padding stands on the right, where a causal model does not look, and is not learnt: it needs no mask.
    loss = cross_entropy(model.lm_head(hidden[targets]), ids[:, 1:][targets])
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.param_groups[0]["lr"] = LEARNING_RATE * pace
    optimizer.step()
    return loss.item()


def _open_folder(output: str | os.PathLike, **counts: int) -> Path:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, not {count}")
    output = Path(output)
    if (output / "config.json").exists():
        raise FileExistsError(f"output must not hold a model yet, but {output} does")
    output.mkdir(parents=True, exist_ok=True)
    return output


def _resume(path: Path, model: Model, optimizer: torch.optim.Optimizer, settings: dict[str, str]) -> int:
    """Put a checkpoint's tensors in place and return how many steps they have seen."""
    if not path.exists():
        return 0
    with safe_open(path, "pt") as file:
        written = file.metadata()
        done = int(written.pop("done"))
        if written != settings:
            raise ValueError(f"{path} was made with {written}, not {settings}: give those again, or another output")
        for name, weight in model.named_parameters():
            weight.data.copy_(file.get_tensor(f"weight {name}"))
            optimizer.state[weight] = {moment: file.get_tensor(f"{moment} {name}") for moment in MOMENTS}
    return done


def _save(path: Path, model: Model, optimizer: torch.optim.Optimizer, metadata: dict[str, str]) -> None:
    tensors = {f"weight {name}": weight.data for name, weight in model.named_parameters()}
    for name, weight in model.named_parameters():
        tensors |= {f"{moment} {name}": optimizer.state[weight][moment] for moment in MOMENTS}
    save_file(tensors, path.with_suffix(".part"), metadata)
    os.replace(path.with_suffix(".part"), path)


def _publish(output: Path, model: Model, tokenizer: Tokenizer) -> None:
    with tempfile.TemporaryDirectory(dir=output, prefix=".part") as folder:
        with quiet_transformers():
            model.eval().save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        # config.json comes last: where it is, the model is complete.
        for path in sorted(Path(folder).iterdir(), key=lambda path: path.name == "config.json"):
            path.chmod(0o644)  # safetensors makes its files private
            os.replace(path, output / path.name)
    (output / CHECKPOINT).unlink(missing_ok=True)

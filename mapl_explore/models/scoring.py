"""From texts to log-probabilities: a causal language model read as a scorer of preference sets.

A prompt is computed once for many responses: they stand side by side behind it, each sees the prompt and itself, and
only they get logits.
"""

import contextlib
import functools
import hashlib
import inspect
import itertools
import json
import math
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import safetensors
import torch
import transformers
from torch.utils.checkpoint import checkpoint
from tqdm import tqdm
from transformers.cache_utils import DynamicCache, DynamicLayer

from mapl_explore.data import PreferenceSet
from mapl_explore.files import counted
from mapl_explore.losses import ScoredSets
from mapl_explore.models.checking import (
    WIDEST_WINDOW,
    context_length,
    local_window,
    own_logp,
    own_table,
    probes,
    require_causal,
    require_embeddings,
    require_tokenizer,
    tolerance,
    undisturbed,
    vocabulary_advice,
)
from mapl_explore.models.encoding import EncodedSet, collate, encode_sets, end_tokens, sides, table_shapes
from mapl_explore.models.likelihood import token_logp

BATCH_TOKENS = 8192  # in one forward pass, padding included: with GPT-2's 50,257 logits of 4 bytes each, 1.6 GB
PRECISIONS = ("float32", "bf16")
INDEX = "model.safetensors.index.json"  # names the files of weights that are in parts
WAYS = SHARED, PADDED, ALONE = "several responses behind one prompt", "padded sequences", "one sequence at a time"
HUB_TIMEOUT = 5.0  # seconds to find out whether the hub can be reached at all


def load_model(name: str | os.PathLike = "tiny", *, device: str | torch.device = "cpu") -> tuple:
    """Return a causal language model in float32 and evaluation mode (no dropout), and its tokenizer.

    Weights are read from safetensors only, and code that comes with a model is never run. A hub model that was fetched
    before is read from this machine without asking the hub.

    Parameters
    ----------
    name : str or path
        ``"tiny"``, the small GPT-2 that comes with this package; a folder; or a name on the Hugging Face hub.
    device : str or torch.device
        Where the model is put.

    Returns
    -------
    model, tokenizer
        Of ``transformers``. A tokenizer without a padding token pads with its end-of-text token.

    Raises
    ------
    OSError
        If the model is not there, is damaged or not complete, or has to come from a hub that cannot be reached.
    ValueError
        If the tokenizer makes nothing of text, has more tokens than the model has embeddings, or has no end-of-text
        token: nothing would say where a response ends.

    Examples
    --------
    >>> model, tokenizer = load_model("tiny")
    >>> model.training
    False
    """
    source = str(_shipped("tiny-gpt2")) if name == "tiny" else os.fspath(name)
    if os.path.isdir(source) and not os.path.isfile(os.path.join(source, "config.json")):
        raise OSError(f"{source!r} holds no model: there is no config.json in it")
    model, tokenizer = _from_pretrained(source) if os.path.isdir(source) else _from_hub(source)
    require_tokenizer(tokenizer, source)
    require_embeddings(tokenizer, model, source)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.to(device).eval(), tokenizer


def score_sets(
    model,
    tokenizer,
    sets: Sequence[PreferenceSet],
    *,
    reference=None,
    batch_size: int | None = None,
    truncate: str = "keep-start",
    chat: bool = False,
    progress: bool = True,
) -> ScoredSets:
    r"""Return the log-probability of every response given its prompt, in nats, with lengths and labels.

    .. math:: \log \pi(y \mid x) = \sum_{t=1}^{|y|} \log \pi(y_t \mid x, y_{<t}), \qquad y_{|y|} = \text{eos}

    Parameters
    ----------
    model, tokenizer
        As :func:`load_model` returns them. The model's dropout is off while it scores.
    sets : sequence of PreferenceSet
        What to score.
    reference : model, optional
        Gives ``ref_logp``. Without one the model is its own reference, and all log-ratios are 0.
    batch_size : int, optional
        The most sets in one pass; as many as make 8,192 tokens if not given.
    truncate : {"keep-start", "error"}
        What to do with a set beyond the model's context, see :func:`encode_sets`.
    chat : bool
        Write each prompt as a user's message, by the chat template of the tokenizer.
    progress : bool
        Show a progress bar, on a terminal.

    Returns
    -------
    ScoredSets of numpy arrays (sets, n)
        float64 sums of what float32 logits say; n is the size of the largest set, positives stand first, padding
        last. The values depend on padding, batch size and order by no more than 1e-5 nats on responses of a few dozen
        tokens; the error grows like the root of the length.

    Raises
    ------
    ValueError
        If there are no sets, a set does not fit and ``truncate`` is ``"error"``, the chat template refuses a prompt, or
        the model is no causal language model.
    FloatingPointError
        If a log-prob is not finite, as with a weight that is NaN.

    Examples
    --------
    >>> model, tokenizer = load_model("tiny")
    >>> scored = score_sets(model, tokenizer, [PreferenceSet("2 + 2 =", [" 4"], [" 5", " 22"])])
    >>> scored.label.tolist()
    [[1, -1, -1]]
    """
    ends = end_tokens(tokenizer, model, chat=chat)
    context = min(context_length(one) for one in (model, reference or model))
    encoded = encode_sets(tokenizer, sets, context=context, truncate=truncate, ends=ends, chat=chat)
    logp = score_encoded(SetScorer(model), encoded, batch_size=batch_size, progress=progress)
    ref_logp = logp
    if reference is not None:
        ref_logp = score_encoded(SetScorer(reference), encoded, batch_size=batch_size, progress=progress)
    _require_finite_logp(model, logp)
    _require_finite_logp(reference, ref_logp)
    table = sides(encoded)
    return ScoredSets(*(column.numpy() for column in (logp, ref_logp, table["length"], table["label"])))


def _require_finite_logp(model, logp: torch.Tensor) -> None:
    if not logp.isfinite().all():
        name = model.name_or_path or type(model).__name__
        raise FloatingPointError(f"the model {name!r} gives log-probs that are not finite: is a weight NaN or inf?")


def weights_checksum(model) -> str:
    """Return the sha256 of the names and bytes of all weights of a model, whatever device they are on."""
    digest = hashlib.sha256()
    for name, weights in model.state_dict().items():
        digest.update(name.encode())
        digest.update(weights.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


class SetScorer(torch.nn.Module):
    """One model as a function from a batch of encoded sets to log-probabilities, differentiable in its weights.

    A batch of more than 8,192 tokens, padding included, is read in parts; where there are gradients, the activations of
    one part live at a time, and each part is computed twice.

    Parameters
    ----------
    model
        A causal language model of ``transformers``.
    share_prompt : bool, optional
        Compute a prompt once for many responses. By default wherever :func:`can_share_prompt`; else every response is
        computed with its prompt, and alone where the model minds padding.
    precision : {"float32", "bf16"}
        In which the model computes up to its logits; from there on it is float32 or better in either case.

    Raises
    ------
    ValueError
        If ``share_prompt`` is not given and the model is no causal language model, or cannot be read in any way.
    """

    def __init__(self, model, share_prompt: bool | None = None, precision: str = "float32"):
        super().__init__()
        self.model, self.precision = model, precision
        way = _way(model) if share_prompt is None else SHARED if share_prompt else PADDED
        self.share_prompt, self.alone, self.context = way == SHARED, way == ALONE, context_length(model)
        self.train(False)

    def train(self, mode: bool = True) -> "SetScorer":
        """Stay in evaluation mode: with GPT-2's dropout of 0.1 policy and reference differ before the first step."""
        return super().train(False)

    def forward(self, ids, position, target, owner, label) -> torch.Tensor:
        """Return log-probabilities (sets, n), float64, 0 at padding; the arguments are those of :func:`collate`."""
        parts = [
            [column[rows, begin:end] for column in (ids, position, target, owner)] + [end - answers, label.numel()]
            for rows, begin, answers, end in self._parts(owner)
        ]
        if len(parts) == 1 or not torch.is_grad_enabled():
            summed = sum(self._summed(*part) for part in parts)
        else:
            summed = sum(checkpoint(self._summed, *part, use_reentrant=False) for part in parts)
        return summed.view(label.shape)

    def _parts(self, owner: torch.Tensor) -> Iterator[tuple[slice, int, int, int]]:
        """Yield rows that are read in one pass, and the columns where prompts, response tokens and padding begin."""
        read, answers = (owner >= 0).int(), (owner > 0).int()
        ends = owner.shape[1] - read.flip(1).argmax(1)
        spans = torch.stack([read.argmax(1), answers.argmax(1), ends], dim=1).tolist()
        start, part = 0, spans[0]
        for row, span in enumerate(spans):
            joined = [min(part[0], span[0]), min(part[1], span[1]), max(part[2], span[2])]
            if row > start and not self._in_one_pass(row + 1 - start, joined[2] - joined[0]):
                yield slice(start, row), *part
                start, joined = row, span
            part = joined
        yield slice(start, len(spans)), *part

    def _in_one_pass(self, rows: int, columns: int) -> bool:
        return not self.alone and rows * columns <= BATCH_TOKENS and columns <= self.context

    def _summed(self, ids, position, target, owner, wanted: int, responses: int) -> torch.Tensor:
        """Return the log-probability of each response (responses), 0 where it is in no row of these."""
        options = {"logits_to_keep": wanted} if "logits_to_keep" in _parameters(self.model) else {}
        if self.share_prompt:
            options |= {"position_ids": position, "attention_mask": self._mask(owner)}
        # Around the model alone: what follows, the loss included, stays outside, in float32 and float64.
        with torch.autocast(ids.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            logits = self.model(input_ids=ids, use_cache=False, **options).logits[:, -wanted:]
        target, owner = target[:, -wanted:].flatten(), owner[:, -wanted:].flatten()
        # In float64: a response of 1,000 tokens sums to some -5,000 nats, where float32 steps by 0.0005.
        logp = token_logp(logits.flatten(0, 1), target).masked_fill(owner < 1, 0.0)
        return logp.new_zeros(responses + 1).index_add(0, owner.clamp(min=0), logp)[1:]

    def _mask(self, owner: torch.Tensor) -> torch.Tensor:
        """Return what is added to attention (rows, 1, columns, columns): 0, or half the least number where not seen.

        A column sees those before it of the prompt and of its own response, and itself: a softmax over nothing is NaN.
        """
        seen = (owner[:, None, :] == owner[:, :, None]) | (owner[:, None, :] == 0)
        seen = seen.tril() | torch.eye(owner.shape[1], dtype=torch.bool, device=owner.device)
        dtype = next(self.model.parameters()).dtype
        least = torch.finfo(dtype).min / 2  # bf16 would round the least float32 to -inf
        return torch.zeros(seen.shape, dtype=dtype, device=owner.device).masked_fill(~seen, least)[:, None]


def once_per_model(found):
    """Return a function of a model that computes its value once for each model."""
    kept = weakref.WeakKeyDictionary()

    @functools.wraps(found)
    def value(model):
        if model not in kept:
            kept[model] = found(model)
        return kept[model]

    return value


def can_share_prompt(model) -> bool:
    """Return whether several responses can stand side by side behind one prompt, each as if it stood there alone.

    A model must take positions and masks as they are given. One that says so is tried once, with some hundred random
    tokens: local attention that counts columns, positions that begin elsewhere or a mask that is read otherwise show
    there. Where the model's own log-probabilities differ by more than 0.001 nats, that is printed.
    """
    return _way(model) == SHARED


@once_per_model
def can_continue(model) -> bool:
    """Return whether a model goes on from its cache, behind prompts padded at their start, as it reads them whole."""
    if not _takes_positions(model):
        return False
    prompts, response = [one.prompt for one in probes(model)], probes(model)[0].responses[0][:3]
    with undisturbed(model):
        own = torch.stack([own_logp(model, prompt, response) for prompt in prompts])
        trouble = _trouble(functools.partial(_continued, model, prompts, response), own, tolerance(model))
    if trouble:
        name = type(model).__name__
        _say_once(f"note: {name} gives other log-probs when it goes on from its cache ({trouble}); none is used")
    return not trouble


@once_per_model
def _way(model) -> str:
    """Return the first way to read responses that gives the model's own log-probabilities."""
    name = type(model).__name__
    with undisturbed(model):
        own = _own(model)
        for way in WAYS if _takes_positions(model) else WAYS[1:]:
            trouble = _trouble(functools.partial(_tried, model, way), own, tolerance(model))
            if not trouble:
                return way
            _say_once(f"note: {name} gives other log-probs when it reads {way} ({trouble}); it is read another way")
    raise ValueError(f"the log-probs of {name} cannot be had: they differ even when it reads {way} ({trouble})")


@functools.cache
def _say_once(text: str) -> None:
    print(text)


def _own(model) -> torch.Tensor:
    """Return the model's own log-probabilities of the first and last responses of its probes (2, 2)."""
    long, brief = probes(model)
    try:
        own = own_table(model, (long, brief))
    except Exception as error:  # a model of others may fail in any way
        words = f"{type(error).__name__}: {_first_line(error)}"
        raise ValueError(f"{type(model).__name__} cannot read {len(long.prompt)} tokens ({words})") from error
    require_causal(model, brief.prompt, brief.responses[0])
    return own


def _tried(model, way: str) -> torch.Tensor:
    """Return the same, read that way."""
    scorer = SetScorer(model, share_prompt=way == SHARED)
    scorer.alone = way == ALONE
    device = next(model.parameters()).device
    rows = []
    for one in probes(model):
        one = one if scorer.share_prompt else replace(one, responses=(one.responses[0], one.responses[-1]))
        batch = collate([one], share_prompt=scorer.share_prompt)
        rows.append(scorer(**{name: value.to(device) for name, value in batch.items()})[0, [0, -1]].cpu())
    return torch.stack(rows)


def _trouble(tried, own: torch.Tensor, allowed: float) -> str:
    """Return what is wrong with log-probabilities, "" where they are the model's own."""
    try:
        found = tried()
    except Exception as error:  # a model that does not take what it is given may fail in any way
        return f"{type(error).__name__}: {_first_line(error)}"
    off = (found - own).abs()
    right = (off <= allowed) | (found.isnan() & own.isnan())
    return "" if right.all() else f"off by {off.max():.2g} nats"


def _takes_positions(model) -> bool:
    """Return whether a model takes positions, masks and a cache of whole length.

    A sliding window or a recurrent state forgets or mixes the prompt's tokens, and ALiBi counts positions by itself.
    """
    needed = {_cache_name(model), "position_ids", "attention_mask", "logits_to_keep"}
    config = model.config.get_text_config()
    if not needed <= _parameters(model) or getattr(config, "alibi", False):
        return False
    if getattr(config, "_attn_implementation", None) not in ("sdpa", "eager"):
        return False
    if WIDEST_WINDOW < local_window(model) < context_length(model):
        return False
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)


def _continued(model, prompts: Sequence[Sequence[int]], response: Sequence[int]) -> torch.Tensor:
    """Return the log-probability of a response behind each prompt, token by token from the cache."""
    device, width = next(model.parameters()).device, max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(one)) + list(one) for one in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in prompts], device=device)
    cache = DynamicCache(config=model.config)
    logits = [logits_after(model, cache, ids, mask, (mask.cumsum(-1) - 1).clamp(min=0), logits_to_keep=1)[:, -1]]
    for token in response[:-1]:
        mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], dim=1)
        positions = mask.sum(-1, keepdim=True) - 1
        logits.append(logits_after(model, cache, torch.full_like(positions, token), mask, positions)[:, -1])
    columns = zip(logits, response, strict=True)
    return sum(column.double().log_softmax(-1)[:, token] for column, token in columns).cpu()


def logits_after(model, cache, ids, mask, positions, **options) -> torch.Tensor:
    """Return the logits of tokens (rows, t) that go on from those in a cache; the cache then holds them too."""
    options |= {"attention_mask": mask, "position_ids": positions, "use_cache": True, _cache_name(model): cache}
    return model(input_ids=ids, **options).logits


@torch.no_grad()
def score_encoded(
    scorer: SetScorer, sets: Sequence[EncodedSet], *, batch_size: int | None = None, progress: bool = True
) -> torch.Tensor:
    """Return the log-probabilities (sets, n) of encoded sets, on the CPU, without gradients, 0 at padding."""
    device = next(scorer.parameters()).device
    result = torch.zeros(len(sets), max(len(one.responses) for one in sets), dtype=torch.float64)
    with tqdm(total=len(sets), desc="scoring", unit="set", disable=None if progress else True, leave=False) as bar:
        for rows in _batches(sets, batch_size, scorer.share_prompt):
            batch = collate([sets[row] for row in rows], share_prompt=scorer.share_prompt)
            logp = scorer(**{name: value.to(device) for name, value in batch.items()})
            result[rows, : logp.shape[1]] = logp.cpu().double()
            bar.update(len(rows))
    return result


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence the weight-loading bars and advice of ``transformers`` for a while; errors still come."""
    log = transformers.utils.logging
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()


def _shipped(name: str) -> Path:
    package = Path(__file__).parents[1]
    in_wheel = package / "shipped" / "data" / name
    return in_wheel if in_wheel.is_dir() else package.parent / "data" / name


def _from_hub(name: str) -> tuple:
    with contextlib.suppress(OSError):
        return _from_pretrained(name, local_files_only=True)
    # transformers would retry for minutes where there is no network, so one short question goes first.
    try:
        huggingface_hub.HfApi().model_info(name, timeout=HUB_TIMEOUT)
    except huggingface_hub.errors.HFValidationError:
        raise OSError(f"no folder {name!r}, and no name a model on the hub can have") from None
    except huggingface_hub.errors.RepositoryNotFoundError:
        raise OSError(f"no folder {name!r} here, and no public model of that name on the hub") from None
    except Exception as error:
        raise OSError(
            f"no folder {name!r} here, no such model fetched before, and the hub cannot be reached"
            f" ({type(error).__name__}): run 'hf download {name}' where there is a network, or name a folder, or 'tiny'"
        ) from None
    return _from_pretrained(name)


def _from_pretrained(source: str, **options) -> tuple:
    options |= {"trust_remote_code": False}
    quiet = quiet_transformers() if os.path.isdir(source) or "local_files_only" in options else contextlib.nullcontext()
    with quiet:
        with _readable(source, "no causal language model"):
            transformers.AutoConfig.from_pretrained(source, **options)
        with _readable(source, "no tokenizer", lambda: vocabulary_advice(source)):
            tokenizer = transformers.AutoTokenizer.from_pretrained(source, **options)
        _require_all_shards(source)
        with _readable(source, "no causal language model"):
            options |= {"dtype": torch.float32, "use_safetensors": True, "output_loading_info": True}
            model, loading = transformers.AutoModelForCausalLM.from_pretrained(source, **options)
    missing = sorted(loading["missing_keys"])
    if missing:
        few = counted(len(missing), "weight")
        raise OSError(f"{source!r} holds {few} too few for its model, such as {missing[0]!r}")
    return model, tokenizer


def _require_all_shards(source: str) -> None:
    """Raise unless a folder with weights in parts has all of them, and the index that names them."""
    folder = Path(source)
    in_parts = (folder / INDEX).is_file() or any(folder.glob("model-*-of-*.safetensors"))
    if not in_parts or (folder / "model.safetensors").is_file():
        return
    missing = sorted(name for name in _parts(folder / INDEX) if not (folder / name).is_file())
    if missing:
        lost = f"{missing[0]} is missing" + f", and {len(missing) - 1} more" * (len(missing) > 1)
        raise OSError(f"{source!r} holds a model in several files, not all of them: {lost}; fetch the folder again")


def _parts(index: Path) -> set[str]:
    """Return the names of an index and of the files that it names."""
    if not index.is_file():
        return {index.name}
    try:
        return {index.name, *json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise OSError(f"{str(index)!r} is damaged ({type(error).__name__}): fetch the folder again") from error


@contextlib.contextmanager
def _readable(source: str, what: str, advice: Callable[[], str] = str) -> Iterator[None]:
    """Make any error of reading a model a line about its folder."""
    try:
        yield
    except safetensors.SafetensorError as error:
        words = f"its weights are damaged or cut short ({_first_line(error)}); fetch or save them again"
        raise OSError(f"{source!r} holds {what} that can be read: {words}") from error
    except Exception as error:  # files of others may be wrong in any way
        raise OSError(f"{source!r} holds {what} that can be read: {_first_line(error)}{advice()}") from error


def _first_line(error: Exception) -> str:
    first = next(iter(str(error).splitlines()), type(error).__name__)
    return first.removesuffix(" from one of: ")  # transformers' list follows on lines of its own


def _cache_name(model) -> str:
    # transformers 5.24 renamed the argument; the old name would warn there, and is no longer in the signature.
    return "cache" if "cache" in _parameters(model) else "past_key_values"


def _parameters(model) -> set[str]:
    return set(inspect.signature(model.forward).parameters)


def _batches(sets: Sequence[EncodedSet], batch_size: int | None, share_prompt: bool) -> Iterator[list[int]]:
    """Yield the rows of each batch, largest sets first: what runs out of memory does so at once."""
    rows = sorted(range(len(sets)), key=lambda row: -sets[row].tokens)
    while rows:
        shapes = table_shapes((sets[row] for row in rows), share_prompt=share_prompt)
        fitting = itertools.takewhile(lambda shape: math.prod(shape) <= BATCH_TOKENS, shapes)
        size = batch_size or max(1, sum(1 for _ in fitting))
        yield rows[:size]
        rows = rows[size:]

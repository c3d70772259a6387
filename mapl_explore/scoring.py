"""From texts to log-probabilities: a causal language model read as a scorer of preference sets.

A prompt is computed once for many responses: they stand side by side behind it, each sees the prompt and itself, and
only they get logits.
"""

import contextlib
import hashlib
import inspect
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import huggingface_hub
import torch
import transformers
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers.cache_utils import DynamicCache, DynamicLayer

from mapl_explore.data import PreferenceSet
from mapl_explore.encoding import EncodedSet, collate, encode_sets, end_tokens, sides
from mapl_explore.losses import ScoredSets

BATCH_TOKENS = 8192  # in one forward pass: with GPT-2's 50,257 logits of 4 bytes each, 1.6 GB
PRECISIONS = ("float32", "bf16")
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
        If the model is not there, cannot be read, or has to come from a hub that cannot be reached.
    ValueError
        If the tokenizer has no end-of-text token: nothing would say where a response ends.

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
    if tokenizer.eos_token_id is None:
        raise ValueError(f"the tokenizer of {source!r} has no end-of-text token (eos) to end a response with")
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
        float64 sums of float32 log-softmax values; n is the size of the largest set, positives stand first, padding
        last. The values depend on padding, batch size and order by no more than 1e-5 nats on responses of a few dozen
        tokens; the error grows like the root of the length.

    Raises
    ------
    ValueError
        If there are no sets, or a set does not fit and ``truncate`` is ``"error"``.

    Examples
    --------
    >>> model, tokenizer = load_model("tiny")
    >>> scored = score_sets(model, tokenizer, [PreferenceSet("2 + 2 =", [" 4"], [" 5", " 22"])])
    >>> scored.label.tolist()
    [[1, -1, -1]]
    """
    ends = end_tokens(tokenizer, model, chat=chat)
    options = {"context": context_length(model), "truncate": truncate, "ends": ends, "chat": chat}
    encoded = encode_sets(tokenizer, sets, **options)
    logp = score_encoded(SetScorer(model), encoded, batch_size=batch_size, progress=progress)
    ref_logp = logp
    if reference is not None:
        ref_logp = score_encoded(SetScorer(reference), encoded, batch_size=batch_size, progress=progress)
    table = sides(encoded)
    return ScoredSets(*(column.numpy() for column in (logp, ref_logp, table["length"], table["label"])))


def context_length(model) -> float:
    """Return how many tokens the model can read at once; inf where its configuration sets no limit."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None) or math.inf


def weights_checksum(model) -> str:
    """Return the sha256 of the names and bytes of all weights of a model, whatever device they are on."""
    digest = hashlib.sha256()
    for name, weights in model.state_dict().items():
        digest.update(name.encode())
        digest.update(weights.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


class SetScorer(torch.nn.Module):
    """One model as a function from a batch of encoded sets to log-probabilities, differentiable in its weights.

    Parameters
    ----------
    model
        A causal language model of ``transformers``.
    share_prompt : bool, optional
        Compute a prompt once for many responses. By default wherever :func:`can_share_prompt`; else every response is
        computed with its prompt, which any causal model can do.
    precision : {"float32", "bf16"}
        In which the model computes up to its logits; from there on it is float32 in either case.
    """

    def __init__(self, model, share_prompt: bool | None = None, precision: str = "float32"):
        super().__init__()
        self.model, self.precision = model, precision
        self.share_prompt = can_share_prompt(model) if share_prompt is None else share_prompt
        self.train(False)

    def train(self, mode: bool = True) -> "SetScorer":
        """Stay in evaluation mode: with GPT-2's dropout of 0.1 policy and reference differ before the first step."""
        return super().train(False)

    def forward(self, ids, position, target, owner, label) -> torch.Tensor:
        """Return log-probabilities (sets, n), float64, 0 at padding; the arguments are those of :func:`collate`."""
        wanted = ids.shape[1] - int((owner > 0).any(0).nonzero()[0])  # what stands before predicts no response token
        options = {"logits_to_keep": wanted} if "logits_to_keep" in _parameters(self.model) else {}
        if self.share_prompt:
            options |= {"position_ids": position, "attention_mask": self._mask(owner)}
        # Around the model alone: what follows, the loss included, stays outside, in float32 and float64.
        with torch.autocast(ids.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            logits = self.model(input_ids=ids, use_cache=False, **options).logits[:, -wanted:]
        # cross_entropy keeps one array of the size of the logits for the gradient, log_softmax and gather two.
        target, owner = target[:, -wanted:].flatten(), owner[:, -wanted:].flatten()
        token_logp = -cross_entropy(logits.float().flatten(0, 1), target, reduction="none")
        # A response of 1,000 tokens sums to some -5,000 nats, where float32 steps by 0.0005: too coarse for a margin.
        token_logp = token_logp.masked_fill(owner < 1, 0.0).double()
        summed = token_logp.new_zeros(label.numel() + 1).index_add(0, owner.clamp(min=0), token_logp)
        return summed[1:].view(label.shape)

    def _mask(self, owner: torch.Tensor) -> torch.Tensor:
        """Return what is added to attention (rows, 1, columns, columns): 0, or half the least number where not seen.

        A column sees those before it of the prompt and of its own response, and itself: a softmax over nothing is NaN.
        """
        seen = (owner[:, None, :] == owner[:, :, None]) | (owner[:, None, :] == 0)
        seen = seen.tril() | torch.eye(owner.shape[1], dtype=torch.bool, device=owner.device)
        dtype = next(self.model.parameters()).dtype
        least = torch.finfo(dtype).min / 2  # bf16 would round the least float32 to -inf
        return torch.zeros(seen.shape, dtype=dtype, device=owner.device).masked_fill(~seen, least)[:, None]


def can_share_prompt(model) -> bool:
    """Return whether a model lets several responses go on from one prompt, side by side or from its cache.

    It must take positions and masks as they are given. A sliding window or a recurrent state forgets or mixes the
    prompt's tokens, and ALiBi counts positions by itself.
    """
    needed = {_cache_name(model), "position_ids", "attention_mask", "logits_to_keep"}
    config = model.config.get_text_config()
    if not needed <= _parameters(model) or getattr(config, "alibi", False):
        return False
    if getattr(config, "_attn_implementation", None) not in ("sdpa", "eager"):
        return False
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)


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
        for rows in _batches(sets, batch_size):
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
    package = Path(__file__).parent
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
    try:
        with quiet:
            tokenizer = transformers.AutoTokenizer.from_pretrained(source, **options)
            model = transformers.AutoModelForCausalLM.from_pretrained(
                source, dtype=torch.float32, use_safetensors=True, **options
            )
    except (OSError, ValueError, KeyError) as error:
        raise OSError(f"{source!r} holds no causal language model that can be read: {_first_line(error)}") from error
    return model, tokenizer


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _cache_name(model) -> str:
    # transformers 5.24 renamed the argument; the old name would warn there, and is no longer in the signature.
    return "cache" if "cache" in _parameters(model) else "past_key_values"


def _parameters(model) -> set[str]:
    return set(inspect.signature(model.forward).parameters)


def _batches(sets: Sequence[EncodedSet], batch_size: int | None) -> Iterator[list[int]]:
    """Yield the rows of each batch, largest sets first: what runs out of memory does so at once."""
    rows = sorted(range(len(sets)), key=lambda row: -sets[row].tokens)
    while rows:
        size = batch_size or max(1, BATCH_TOKENS // sets[rows[0]].tokens)
        yield rows[:size]
        rows = rows[size:]

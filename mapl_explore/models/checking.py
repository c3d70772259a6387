"""Checks of a model and its tokenizer before any work: whether they can be used as they are.

The measure is the model's own ``model(input_ids).logits`` on one sequence without padding.
"""

import contextlib
import math
import numbers
import os
from collections.abc import Iterator, Sequence

import torch

from mapl_explore.data import PreferenceSet
from mapl_explore.files import counted, shortened
from mapl_explore.models.encoding import EncodedSet
from mapl_explore.models.kinds import Model, Tokenizer

LIMITS = (
    "max_position_embeddings",
    "n_positions",
    "n_ctx",
    "max_seq_len",
    "max_sequence_length",
    "max_target_positions",
)  # what configurations call the longest sequence
NO_LIMIT = 2**30  # -1, 0, None and numbers like 1e30 stand for none
WIDEST_WINDOW = 1024  # a local window that a short check can look beyond
# Fast and slow tokenizers have their vocabulary in one of the first; a model's folder has the second in any case.
VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "tokenizer.model", "spiece.model")
NO_TOKENIZER = ("config.json", "generation_config.json", "model.safetensors.index.json")
LONG = 300  # tokens, more than the 256 that GPT-Neo and TinyStories see of what came before
SHORT = 8
NATS = 1e-3  # by how much log-probabilities of a short response may differ
OTHER_INPUTS = ("image", "boi", "eoi", "audio", "video")  # how names of special tokens for these begin
SAMPLES = ("Who won? Ann did, by far.", "12 + 7 = 19", "été à Åre", "Привет, мир", "你好,世界", "مرحبا", "नमस्ते")


def context_length(model: Model) -> float:
    """Return how many tokens the model can read at once; inf where its configuration sets no limit."""
    config = model.config.get_text_config()
    named = [getattr(config, name, None) for name in LIMITS]
    limits = [int(limit) for limit in named if isinstance(limit, int | float) and 0 < limit < NO_LIMIT]
    return min([*limits, *_learned_positions(model)], default=math.inf)


def _learned_positions(model: Model) -> Iterator[int]:
    """Yield the places of position tables of RoBERTa's kind, which begin behind the padding token."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Embedding) and "position" in name and module.padding_idx is not None:
            yield module.num_embeddings - module.padding_idx - 1


def local_window(model: Model) -> int:
    """Return the most tokens that a window of the configuration spans, 0 without one."""
    values = [value for name, value in vars(model.config.get_text_config()).items() if _is_window(name)]
    values = [one for value in values for one in (value if isinstance(value, list | tuple) else [value])]
    return max((one for one in values if isinstance(one, int) and 0 < one < NO_LIMIT), default=0)


def _is_window(name: str) -> bool:
    return "window" in name or name in ("attention_chunk_size", "block_size")


def require_tokenizer(tokenizer: Tokenizer, source: str) -> None:
    """Raise ValueError unless the tokenizer makes something of text and has an end-of-text token."""
    known = _known(tokenizer, SAMPLES) or _known(tokenizer, _own_words(tokenizer))
    if len(known) < 2:
        raise ValueError(
            f"the tokenizer of {source!r} makes nothing of text ({counted(len(tokenizer), 'token')} in its vocabulary)"
            f"{vocabulary_advice(source)}"
        )
    if tokenizer.eos_token_id is None:
        raise ValueError(f"the tokenizer of {source!r} has no end-of-text token (eos) to end a response with")


def vocabulary_advice(source: str) -> str:
    """Return which files of a tokenizer a folder has, and what to do about one that cannot be used."""
    if not os.path.isdir(source):
        return ""
    files = {one for one in os.listdir(source) if not one.endswith(".safetensors")} - {*NO_TOKENIZER}
    names = ", ".join(sorted(files)) or "no file of one"
    needed = f"; needed is {VOCABULARIES[0]}, or of an older one {', '.join(VOCABULARIES[1:])}"
    needed = "" if files & {*VOCABULARIES} else needed
    return f"; its folder has {names}{needed}; write the right files there with tokenizer.save_pretrained"


def _known(tokenizer: Tokenizer, texts: Sequence[str]) -> set[int]:
    """Return the tokens of texts that stand for some text."""
    encoded = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"] if texts else []
    return {token for ids in encoded for token in ids} - {*tokenizer.all_special_ids, tokenizer.unk_token_id}


def _own_words(tokenizer: Tokenizer) -> list[str]:
    """Return some text of the vocabulary: a vocabulary of few words knows none of our samples."""
    special = {*tokenizer.all_special_tokens}
    words = [word for word in sorted(tokenizer.get_vocab()) if word not in special][:1000]
    return [tokenizer.convert_tokens_to_string([word]) for word in words]


def require_embeddings(tokenizer: Tokenizer, model: Model, source: str) -> None:
    """Raise ValueError where the tokenizer gives ids that the model has no embedding for."""
    rows, other_inputs = _embeddings(model), _other_inputs(tokenizer)
    highest = max(number for token, number in tokenizer.get_vocab().items() if token not in other_inputs)
    if highest >= rows:
        raise ValueError(
            f"the tokenizer of {source!r} has {counted(highest + 1, 'token', ',')}, its model {rows:,}: call"
            " model.resize_token_embeddings(len(tokenizer)) and save it, or take the tokenizer that it was trained with"
        )


def _other_inputs(tokenizer: Tokenizer) -> set[str]:
    """Return the tokens that stand for pictures and the like: the smallest Gemma 3 has one without an embedding."""
    named = tokenizer.special_tokens_map.items()
    return {token for name, token in named if name.startswith(OTHER_INPUTS) and isinstance(token, str)}


def _embeddings(model: Model) -> int:
    tables = (model.get_input_embeddings(), model.get_output_embeddings())
    weights = [getattr(table, "weight", None) for table in tables]
    return min(len(weight) for weight in weights if weight is not None)


def probes(model: Model) -> tuple[EncodedSet, EncodedSet]:
    """Return two sets of random tokens, within the context.

    One has a long prompt and three responses, the second of which pushes the third half a window away from the prompt.
    The other one has a prompt of two tokens, where nothing dilutes what one of them does.
    """
    context = int(min(context_length(model), 10**6))
    window = local_window(model)
    long = max(LONG, window + 44) if window <= WIDEST_WINDOW else LONG
    short = max(1, min(SHORT, context // 8))
    before = max(1, min(long, 3 * context // 5))
    between = max(1, min(long // 2, context - before - 2 * short))
    sizes = [before, short, between, max(1, short - 3)]
    tokens = torch.randint(_embeddings(model), (sum(sizes),), generator=torch.Generator().manual_seed(0))
    prompt, first, second, third = (tuple(part.tolist()) for part in tokens.split(sizes))
    return EncodedSet(prompt, (first, second, third), 1), EncodedSet(prompt[-2:], (first, third), 1)


def own_logp(model: Model, prompt: Sequence[int], response: Sequence[int]) -> torch.Tensor:
    """Return the log-probability of a response from the model's own logits of the whole sequence, on the CPU."""
    logits = own_logits(model, (*prompt, *response))[len(prompt) - 1 : -1]
    target = torch.tensor(response, device=logits.device)[:, None]
    return logits.double().log_softmax(-1).gather(1, target).sum().cpu()


def own_table(model: Model, sets: Sequence[EncodedSet]) -> torch.Tensor:
    """Return :func:`own_logp` of the first and the last response of each set (sets, 2)."""
    ends = [(one.prompt, one.responses[place]) for one in sets for place in (0, -1)]
    return torch.stack([own_logp(model, *each) for each in ends]).view(-1, 2)


def own_logits(model: Model, ids: Sequence[int]) -> torch.Tensor:
    """Return the logits (tokens, vocabulary) of one sequence, without a mask and without positions of ours."""
    row = torch.tensor([ids], device=next(model.parameters()).device)
    logits = model(input_ids=row, use_cache=False).logits[0]
    if len(logits) != len(ids):
        raise ValueError(f"it gives {counted(len(logits), 'row')} of logits for {counted(len(ids), 'token')}")
    return logits


def require_causal(model: Model, prompt: Sequence[int], response: Sequence[int]) -> None:
    """Raise ValueError where the logits of a prompt depend on what comes after it."""
    alone, followed = own_logits(model, prompt).double(), own_logits(model, (*prompt, *response)).double()
    allowed = rounding(model) * alone.abs().max()
    if (followed[: len(alone)] - alone).abs().max() > allowed:
        raise ValueError(
            f"{type(model).__name__} is no causal language model: a token's logits depend on what comes after it"
            " (a model of the BERT family needs is_decoder in its config.json)"
        )


def tolerance(model: Model) -> float:
    """Return by how much log-probabilities of a short response may differ, in nats."""
    return max(NATS, 64 * _eps(model))


def rounding(model: Model) -> float:
    """Return by what share of the largest one logits may differ."""
    return max(1e-4, 8 * _eps(model))


def _eps(model: Model) -> float:
    return torch.finfo(next(model.parameters()).dtype).eps


@contextlib.contextmanager
def undisturbed(model: Model) -> Iterator[None]:
    """Compute in evaluation mode, in the model's own float type, without gradients; restore everything afterwards."""
    device = next(model.parameters()).device
    random_kept = torch.random.fork_rng([device] if device.type == "cuda" else [])
    no_autocast = torch.autocast(device.type, enabled=False)
    with evaluating(model), random_kept, torch.no_grad(), no_autocast:
        yield


@contextlib.contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """Put a model in evaluation mode, and each of its modules back in its own afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def require_model(name: str, model: object) -> None:
    """Raise TypeError unless an argument is a model of ``transformers``."""
    if not isinstance(model, torch.nn.Module) or not hasattr(model, "config"):
        raise TypeError(f"{name} must be a model, such as the first of what load_model returns, not {_kind(model)}")


def first_not_finite(network: torch.nn.Module) -> tuple[str, torch.Tensor] | None:
    """Return the name and the values of the first weight that is NaN or infinite in places, None if there is none."""
    return next((each for each in network.named_parameters() if not each[1].isfinite().all()), None)


def require_finite(network: torch.nn.Module, name: str) -> None:
    """Raise ValueError where a weight of a model is NaN or infinite."""
    wrong = first_not_finite(network)
    if wrong is not None:
        raise ValueError(f"the weights of the model {name!r} must be finite, but {wrong[0]} holds a NaN or inf")


@contextlib.contextmanager
def told_of(argument: str, name: str) -> Iterator[None]:
    """Make an error of a model say for which argument it was given, and name the model if it does not itself."""
    try:
        yield
    except (OSError, ValueError) as error:
        told = argument if repr(name) in str(error) else f"{argument} {name!r}"
        raise (OSError if isinstance(error, OSError) else ValueError)(f"{told}: {error}") from error


def require_tokenizer_object(tokenizer: object) -> None:
    """Raise TypeError unless an argument is a tokenizer of ``transformers``."""
    if not callable(tokenizer) or not hasattr(tokenizer, "eos_token_id"):
        raise TypeError(
            f"tokenizer must be a tokenizer, such as the second of what load_model returns, not {_kind(tokenizer)}"
        )


def require_sets(sets: object) -> None:
    """Raise TypeError unless an argument is a sequence of preference sets, ValueError if it is empty."""
    if not isinstance(sets, Sequence) or isinstance(sets, str):
        raise TypeError(f"sets must be a list of PreferenceSet, as read_sets returns it, not {_kind(sets)}")
    wrong = next((place for place, one in enumerate(sets) if not isinstance(one, PreferenceSet)), None)
    if wrong is not None:
        raise TypeError(
            f"sets must be a list of PreferenceSet, as read_sets makes them of records, but sets[{wrong}] is"
            f" {_kind(sets[wrong])}"
        )
    if not sets:
        raise ValueError("sets must hold at least one preference set")


def require_batch_size(batch_size: int | None) -> None:
    """Raise ValueError unless it is a whole number of at least 1, or not given."""
    is_whole = isinstance(batch_size, numbers.Integral) and not isinstance(batch_size, bool)
    if batch_size is not None and (not is_whole or batch_size < 1):
        raise ValueError(f"batch_size must be a whole number of at least 1, not {shortened(batch_size)}")


def require_known_tokens(model: Model, encoded: Sequence[EncodedSet]) -> None:
    """Raise ValueError where texts have tokens that the model has no embedding for: those of another tokenizer."""
    highest, rows = max(max(*one.prompt, *map(max, one.responses)) for one in encoded), _embeddings(model)
    if highest >= rows:
        raise ValueError(
            f"the tokenizer is of another model: it makes token {highest}, and {model.name_or_path or _kind(model)}"
            f" has embeddings for {rows:,}"
        )


def _kind(value: object) -> str:
    """Return a value as an error message shows it, or only its kind: a model would fill pages."""
    plain = value is None or isinstance(value, str | int | float | os.PathLike)
    return shortened(value) if plain else f"a {type(value).__name__}"

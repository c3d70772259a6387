"""The way in which a model can read responses and gives the same log-probabilities as for each one alone."""

import contextlib
import functools
import itertools
import math
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch.nn.functional import linear
from transformers.cache_utils import DynamicCache, DynamicLayer

from mapl_explore.models.checking import (
    WIDEST_WINDOW,
    context_length,
    local_window,
    own_logits,
    own_logp,
    own_table,
    probes,
    require_causal,
    rounding,
    tolerance,
    undisturbed,
)
from mapl_explore.models.encoding import collate
from mapl_explore.models.heads import HUGE, NEAR, TINY, LogitMap, headless, plain_head
from mapl_explore.models.kinds import Model
from mapl_explore.models.model_folder import first_line
from mapl_explore.models.passes import (
    SHARED,
    WAYS,
    Continuation,
    Reading,
    Table,
    cache_name,
    parameters,
    responses_logp,
)
from mapl_explore.models.recomputing import answering
from mapl_explore.notes import note

Value = TypeVar("Value")


def once_per_model(function: Callable[[Model], Value]) -> Callable[[Model], Value]:
    """Return a function of a model that computes its value once for each model."""
    kept: weakref.WeakKeyDictionary[Model, Value] = weakref.WeakKeyDictionary()

    @functools.wraps(function)
    def value(model: Model) -> Value:
        if model not in kept:
            kept[model] = function(model)
        return kept[model]

    return value


def can_share_prompt(model: Model) -> bool:
    """Return whether several responses can stand side by side behind one prompt, each as if it stood there alone.

    A model must take positions and masks as they are given. One whose arguments allow it is tried once, with some
    hundred random tokens: this shows local attention that counts columns, positions that do not begin at 0, a mask that
    is read in another way, and a model that minds the other rows of a batch. Where the log-probabilities differ from
    the model's own by more than 0.001 nats, a :class:`~mapl_explore.notes.Note` says so.
    """
    return way_of(model) == SHARED


@once_per_model
def can_continue(model: Model) -> bool:
    """Return whether a model that continues from its cache, after padded prompts, gives its own log-probabilities."""
    if not _takes_positions(model):
        return False
    prompts, response = [one.prompt for one in probes(model)], probes(model)[0].responses[0][:3]
    with undisturbed(model):
        own = torch.stack([own_logp(model, prompt, response) for prompt in prompts])
        trouble = _trouble(functools.partial(_continued, model, prompts, response), own, tolerance(model))
    if trouble:
        name = type(model).__name__
        note(f"{name} gives other log-probs when it goes on from its cache ({trouble}); none is used")
    return not trouble


@once_per_model
def way_of(model: Model) -> str:
    """Return the first way to read responses that gives the model's own log-probabilities."""
    name = type(model).__name__
    with undisturbed(model):
        own = _own_logp(model)
        for way in WAYS if _takes_positions(model) else WAYS[1:]:
            trouble = _trouble(functools.partial(_tried, model, way), own, tolerance(model))
            if not trouble:
                return way
            note(f"{name} gives other log-probs when it reads {way} ({trouble}); it is read another way")
    raise ValueError(f"the log-probs of {name} cannot be had: they differ even when it reads {way} ({trouble})")


@once_per_model
def logit_map(model: Model) -> LogitMap | None:
    """Return what a model does to the logits of its head, None where that is not known: the head is not apart then.

    It is read off the model, which is given made-up logits, in float64, in the place of those of its head. The names in
    a configuration do not tell: Granite divides by its ``logits_scaling``, HyperCLOVA X multiplies by it. What is found
    must hold for made-up logits from -100 to 100, which show a cap that the model's own are too small for, and for its
    own. Where the model does something else, a :class:`~mapl_explore.notes.Note` says so; of one whose logits are NaN
    nothing is known, and it is refused where it scores.
    """
    with undisturbed(model), contextlib.suppress(Exception):  # any model may fail in a way of its own
        found = _tried_map(model)
        if found or own_logits(model, probes(model)[1].prompt).log_softmax(-1).isnan().any():
            return found
    why = "its head is no plain linear layer, or it does more to its logits than to scale and to cap them"
    note(f"{type(model).__name__} is read with the logits of all tokens of a pass in memory: {why}")
    return None


def _tried_map(model: Model) -> LogitMap | None:
    head, prompt = plain_head(model), probes(model)[1].prompt
    if head is None:
        return None
    size, values = (len(prompt), head.out_features), torch.tensor([TINY, HUGE, *range(-100, 101)], dtype=torch.float64)
    made_up = values[torch.arange(math.prod(size)) % len(values)].view(size).to(head.weight.device)
    with answering(head, lambda _: made_up[None]):
        answer = own_logits(model, prompt)
    with headless(head) as read:
        own_logits(model, prompt)
    [states], own = read, own_logits(model, prompt)
    logits = linear(states[0].to(head.weight.dtype), head.weight, head.bias).float()
    found, few = LogitMap.read_off(made_up, answer), made_up < HUGE
    same = _within(found.of(made_up)[few], answer[few], NEAR) and _within(found.of(logits), own, rounding(model))
    return found if same else None


def _within(some: torch.Tensor, own: torch.Tensor, share: float) -> bool:
    """Return whether numbers are a model's own but for a share of the largest one."""
    return some.shape == own.shape and bool((some - own).abs().max() <= share * own.abs().max())


def _own_logp(model: Model) -> torch.Tensor:
    """Return the model's own log-probabilities of the first and last responses of its probes (2, 2)."""
    long, brief = probes(model)
    try:
        own = own_table(model, (long, brief))
    except Exception as error:  # any model may fail in a way of its own
        words = f"{type(error).__name__}: {first_line(error)}"
        raise ValueError(f"{type(model).__name__} cannot read {len(long.prompt)} tokens ({words})") from error
    require_causal(model, brief.prompt, brief.responses[0])
    return own


def _tried(model: Model, way: str) -> torch.Tensor:
    """Return the log-probabilities of the same responses, read that way, in one batch: some models mind other rows."""
    device, sets = next(model.parameters()).device, [*probes(model)]
    if way != SHARED:
        sets = [replace(one, responses=(one.responses[0], one.responses[-1])) for one in sets]
    batch = {name: value.to(device) for name, value in collate(sets, share_prompt=way == SHARED).items()}
    label = batch.pop("label")
    reading = Reading(way, context=context_length(model), apart=logit_map(model))
    logp = responses_logp(model, Table(**batch), label, reading).cpu()
    return torch.stack([row[[0, len(one.responses) - 1]] for row, one in zip(logp, sets, strict=True)])


def _trouble(tried: Callable[[], torch.Tensor], own: torch.Tensor, allowed: float) -> str:
    """Return what is wrong with log-probabilities, "" where they are the model's own."""
    try:
        logp = tried()
    except Exception as error:  # a model that does not take what it is given may fail in any way
        return f"{type(error).__name__}: {first_line(error)}"
    off = (logp - own).abs()
    right = (off <= allowed) | (logp.isnan() & own.isnan())
    return "" if right.all() else f"off by {off.max():.2g} nats"


def _takes_positions(model: Model) -> bool:
    """Return whether a model takes positions, masks and a cache of whole length.

    Others cannot: a sliding window or a recurrent state loses the prompt's tokens, and ALiBi counts positions itself.
    """
    needed = {cache_name(model), "position_ids", "attention_mask", "logits_to_keep"}
    config = model.config.get_text_config()
    if not needed <= parameters(model) or getattr(config, "alibi", False):
        return False
    if getattr(config, "_attn_implementation", None) not in ("sdpa", "eager"):
        return False
    if WIDEST_WINDOW < local_window(model) < context_length(model):
        return False
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)


def _continued(model: Model, prompts: Sequence[Sequence[int]], response: Sequence[int]) -> torch.Tensor:
    """Return the log-probability of a response behind each prompt, token by token from the cache."""
    reading = Continuation(model, prompts)
    logp = reading.logits.double().log_softmax(-1)[:, response[0]]
    for last, token in itertools.pairwise(response):
        reading.add([last] * len(prompts))
        logp = logp + reading.logits.double().log_softmax(-1)[:, token]
    return logp.cpu()

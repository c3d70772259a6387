"""From texts to log-probabilities: a causal language model read as a scorer of preference sets.

A prompt is computed once for many responses: they stand side by side behind it, each sees the prompt and itself, and
only they get logits.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from tqdm import tqdm

from mapl_explore.data import PreferenceSet
from mapl_explore.launch import is_first
from mapl_explore.losses import ScoredSets
from mapl_explore.models.checking import (
    context_length,
    evaluating,
    require_batch_size,
    require_known_tokens,
    require_model,
    require_sets,
    require_tokenizer_object,
)
from mapl_explore.models.choices import Chat
from mapl_explore.models.encoding import EncodedSet, collate, encode_sets, sides, table_shapes
from mapl_explore.models.kinds import Model, Tokenizer
from mapl_explore.models.passes import BATCH_TOKENS
from mapl_explore.models.processes import gathered, my_share
from mapl_explore.models.scorer import SetScorer
from mapl_explore.models.turns import end_tokens


def score_sets(
    model: Model,
    tokenizer: Tokenizer,
    sets: Sequence[PreferenceSet],
    *,
    reference: Model | None = None,
    batch_size: int | None = None,
    truncate: str = "keep-start",
    chat: Chat = "auto",
    progress: bool = True,
    shared: bool = False,
) -> ScoredSets:
    r"""Return the log-probability of every response given its prompt, in nats, with lengths and labels.

    .. math:: \log \pi(y \mid x) = \sum_{t=1}^{|y|} \log \pi(y_t \mid x, y_{<t}), \qquad y_{|y|} = \text{eos}

    Parameters
    ----------
    model, tokenizer
        As :func:`mapl_explore.load_model` returns them. Dropout is off while the model scores; afterwards
        each of its modules is in the mode that it was in before.
    sets : sequence of PreferenceSet
        What to score.
    reference : model, optional
        Gives ``ref_logp``. Without one the model is its own reference, and all log-ratios are 0.
    batch_size : int, optional
        The most sets in one pass; as many as make 8,192 tokens if not given.
    truncate : {"keep-start", "error"}
        What to do with a set beyond the model's context, see :func:`encode_sets`.
    chat : {"auto", "always", "never"}
        Which prompts the chat template of the tokenizer writes: those of messages, all (a text is then a user's
        message), or none (messages then become a transcript). A :class:`~mapl_explore.notes.Note` says what is done.
    progress : bool
        Show a progress bar, on a terminal.
    shared : bool
        Let the processes of a launch (``torchrun``, ``accelerate launch``), whose group is made already, divide the
        batches among them. Each must call this with the same arguments, and gets the result that one process gives, to
        the same bits.

    Returns
    -------
    ScoredSets of numpy arrays (sets, n)
        float64 sums over the tokens, from float32 logits; n is the size of the largest set, positives stand first,
        padding last. The values depend on padding, batch size and order by no more than 1e-5 nats on responses of
        a few dozen tokens; the error grows like the root of the length. The scores of the sets are their reward.

    Raises
    ------
    TypeError
        If the model, the reference or the tokenizer is of a wrong kind, or ``sets`` is not a list of PreferenceSet.
    ValueError
        If there are no sets, only some of them have scores, ``batch_size`` is not a whole number of at least 1, a set
        has tokens that a model has no embedding for, a set does not fit and ``truncate`` is ``"error"``, the chat
        template refuses a prompt, or the model is no causal language model.
    FloatingPointError
        If a log-prob is not finite, as with a weight that is NaN.

    Examples
    --------
    >>> from mapl_explore import load_model
    >>> model, tokenizer = load_model("tiny")
    >>> scored = score_sets(model, tokenizer, [PreferenceSet("2 + 2 =", [" 4"], [" 5", " 22"])])
    >>> scored.label.tolist()
    [[1, -1, -1]]
    """
    _require_arguments(model, tokenizer, sets, reference, batch_size)
    longest = math.inf if reference is None else context_length(reference)
    encoded = encoded_for(model, tokenizer, sets, truncate=truncate, chat=chat, longest=longest)
    options: dict[str, Any] = {"batch_size": batch_size, "progress": progress, "shared": shared}
    logp = _logp(model, encoded, **options)
    ref_logp = logp if reference is None else _logp(reference, encoded, **options)
    table = sides(encoded)
    columns = {"logp": logp, "ref_logp": ref_logp, **table}
    return ScoredSets(**{name: column.numpy() for name, column in columns.items()})


def encoded_for(
    model: Model,
    tokenizer: Tokenizer,
    sets: Sequence[PreferenceSet],
    *,
    truncate: str = "keep-start",
    chat: Chat = "auto",
    longest: float = math.inf,
) -> list[EncodedSet]:
    """Return sets in tokens, with the ends of responses that a model knows, cut to its context and to the longest."""
    ends, context = end_tokens(tokenizer, model), min(context_length(model), longest)
    return encode_sets(tokenizer, sets, ends=ends, context=context, truncate=truncate, chat=chat)


def _require_arguments(
    model: object, tokenizer: object, sets: object, reference: object, batch_size: int | None
) -> None:
    require_model("model", model)
    require_tokenizer_object(tokenizer)
    require_sets(sets)
    if reference is not None:
        require_model("reference", reference)
    require_batch_size(batch_size)


def _logp(model: Model, encoded: Sequence[EncodedSet], **options: Any) -> torch.Tensor:
    """Return the log-probs that a model gives and leave it in its mode; raise if they are not finite."""
    require_known_tokens(model, encoded)
    with evaluating(model):
        logp = score_encoded(SetScorer(model), encoded, **options)
    if not logp.isfinite().all():
        name = model.name_or_path or type(model).__name__
        raise FloatingPointError(f"the model {name!r} gives log-probs that are not finite: is a weight NaN or inf?")
    return logp


@torch.no_grad()
def score_encoded(
    scorer: SetScorer,
    sets: Sequence[EncodedSet],
    *,
    batch_size: int | None = None,
    progress: bool = True,
    shared: bool = False,
) -> torch.Tensor:
    """Return the log-probabilities (sets, n) of encoded sets, on the CPU, without gradients, 0 at padding.

    Where ``shared``, the processes of a launch divide the batches among them, and all get the result of all.
    """
    batches = [*_batches(sets, batch_size, scorer.share_prompt)]
    mine = my_share(batches, [sum(sets[row].tokens for row in rows) for rows in batches]) if shared else batches
    found, shown = [], None if progress and is_first() else True
    with tqdm(total=sum(map(len, mine)), desc="scoring", unit="set", disable=shown, leave=False) as bar:
        for rows in mine:
            found.append((rows, _of_batch(scorer, [sets[row] for row in rows])))
            bar.update(len(rows))
    result = torch.zeros(len(sets), max(len(one.responses) for one in sets), dtype=torch.float64)
    for rows, logp in gathered(found) if shared else found:
        result[rows, : logp.shape[1]] = logp
    return result


def _of_batch(scorer: SetScorer, sets: Sequence[EncodedSet]) -> torch.Tensor:
    device = next(scorer.parameters()).device
    batch = collate(sets, share_prompt=scorer.share_prompt)
    return scorer(**{name: value.to(device) for name, value in batch.items()}).cpu().double()


def _batches(sets: Sequence[EncodedSet], batch_size: int | None, share_prompt: bool) -> Iterator[list[int]]:
    """Yield the rows of each batch, largest sets first, so that a shortage of memory shows at once."""
    rows = sorted(range(len(sets)), key=lambda row: -sets[row].tokens)
    while rows:
        shapes = table_shapes((sets[row] for row in rows), share_prompt=share_prompt)
        fitting = itertools.takewhile(lambda shape: math.prod(shape) <= BATCH_TOKENS, shapes)
        size = batch_size or max(1, sum(1 for _ in fitting))
        yield rows[:size]
        rows = rows[size:]

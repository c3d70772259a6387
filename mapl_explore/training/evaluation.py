"""How a model does on held-out sets and on answers of its own, with the uncertainty of having few of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mapl_explore.losses import Loss, ScoredSets
from mapl_explore.losses.measures import measures
from mapl_explore.models.encoding import EncodedSet, end_tokens, sides
from mapl_explore.models.generating import answer_text, token_batches
from mapl_explore.models.scorer import SetScorer
from mapl_explore.models.scoring import score_encoded
from mapl_explore.runs.record import LEAST_FOR_INTERVAL
from mapl_explore.sampling.verifiers import Question
from mapl_explore.training.own_loss import blamed_on

RESAMPLES = 2000
LEVEL = 0.95
ROUNDING = 1e-12  # of means of up to thousands of equal values, drawn and summed in another order each time

# What each set contributes to a measure, and to what this is relative: the measure is the sum over the sum.
Parts = dict[str, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class HeldOut:
    """The sets that a model is judged on, and how its answers are.

    Parameters
    ----------
    encoded : sequence of EncodedSet
        At least one.
    ref_logp : tensor (sets, n)
        Their log-probabilities under the base.
    questions : sequence of Question
        Those of the first sets, to which the model gives answers.
    judge : function of Question and str, optional
        Says whether an answer is right.
    seed : int
        Of the answers and of the resampling.
    answer_tokens : int, optional
        The most tokens of an answer, see :func:`mapl_explore.models.generating.answer_room`.
    chat : bool
        Whether the prompts were encoded by the chat template: then what ends a turn ends an answer.
    """

    encoded: Sequence[EncodedSet]
    ref_logp: torch.Tensor
    questions: Sequence[Question] = ()
    judge: Callable[[Question, str], bool] | None = None
    seed: int = 0
    answer_tokens: int | None = None
    chat: bool = False


def evaluated(
    loss: Loss, scorer: SetScorer, tokenizer, held_out: HeldOut, logp: torch.Tensor, base: SetScorer | None = None
) -> Parts:
    """Return what each set contributes to the measures of a model.

    All of :func:`mapl_explore.losses.measures.measures`; of one answer to each question, sampled from the model,
    ``kl``, log-prob minus that under the base, and ``entropy``, minus log-prob, both a token, ``answer_length`` in
    tokens, and ``cut``, whether it was cut off before it ended; and ``right``, whether the greedy answer is right,
    where there is a judge. One that has not ended is wrong.

    Parameters
    ----------
    loss : Loss
        Whose margins are meant.
    scorer, tokenizer
        The model.
    held_out : HeldOut
        What it is judged on.
    logp : tensor (sets, n)
        The log-probabilities of the held-out sets under it.
    base : SetScorer, optional
        Not needed where the model is the base itself.
    """
    table = sides(held_out.encoded)
    n = table["label"].shape[1]
    sets = ScoredSets.unchecked(logp[:, :n], held_out.ref_logp[:, :n], table["length"], table["label"])
    with blamed_on(loss):
        parts = {name: _each(value.numpy()) for name, value in measures(loss, sets).items()}
    if held_out.questions:
        parts |= _of_samples(scorer, tokenizer, held_out, base)
    if held_out.questions and held_out.judge:
        parts["right"] = _each(_verdicts(scorer.model, tokenizer, held_out))
    return parts


def estimates(parts: Parts) -> dict[str, float]:
    """Return each measure, and ``worst_margin``, the least of the hard margins."""
    found = {name: float(values.sum() / counts.sum()) for name, (values, counts) in parts.items()}
    return found | {"worst_margin": float(parts["hard_margin"][0].min())}


def intervals(before: Parts, after: Parts, *, seed: int) -> dict[str, dict[str, list[float]]]:
    """Return 95 % bootstrap intervals [low, high] of each measure ``before``, ``after``, and of its ``change``.

    Sets are drawn again with replacement, the same ones before and after, so that the interval of the change is that
    of paired differences; low and high are percentiles. The worst margin has none: a least value is not resampled by
    drawing again. Nor has a measure of fewer than 8 sets or answers, nor one whose values are all equal: drawn again
    they stay so, and an interval of width 0 would say that they are known exactly.
    """
    found = {"before": {}, "after": {}, "change": {}}
    for name in (name for name in before if len(before[name][0]) >= LEAST_FOR_INTERVAL):
        drawn = np.random.default_rng(seed).integers(len(before[name][0]), size=(RESAMPLES, len(before[name][0])))
        old, new = (values[drawn].sum(-1) / counts[drawn].sum(-1) for values, counts in (before[name], after[name]))
        for when, values in (("before", old), ("after", new), ("change", new - old)):
            low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
            if high - low > ROUNDING * np.abs(values).max():
                found[when][name] = [low, high]
    return found


def _of_samples(scorer: SetScorer, tokenizer, held_out: HeldOut, base: SetScorer | None) -> Parts:
    ends, answers = _answers(scorer.model, tokenizer, held_out, temperature=1)
    asked = [EncodedSet(one.prompt, (ids,), positives=1) for one, ids in zip(held_out.encoded, answers, strict=False)]
    own = score_encoded(scorer, asked, progress=False)[:, 0].numpy()
    other = own if base is None else score_encoded(base, asked, progress=False)[:, 0].numpy()
    tokens = np.array([float(len(ids)) for ids in answers])
    cut = np.array([ids[-1] not in ends for ids in answers])
    parts = {"kl": (own - other, tokens), "entropy": (-own, tokens)}
    return parts | {"answer_length": _each(tokens), "cut": _each(cut)}


def _verdicts(model, tokenizer, held_out: HeldOut) -> np.ndarray:
    """Return whether the greedy answer to each question has ended and is right."""
    ends, answers = _answers(model, tokenizer, held_out, temperature=0)
    texts = [answer_text(tokenizer, ids, ends) for ids in answers]
    pairs = zip(held_out.questions, texts, strict=True)
    return np.array([text is not None and held_out.judge(question, text) for question, text in pairs])


def _answers(
    model, tokenizer, held_out: HeldOut, *, temperature: float
) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Return what ends an answer, and the token ids of one answer to each question, the one that ended it last."""
    ends = end_tokens(tokenizer, model, chat=held_out.chat)
    prompts = [one.prompt for one in held_out.encoded[: len(held_out.questions)]]
    texts = [question.prompt for question in held_out.questions]
    options = {"k": 1, "max_tokens": held_out.answer_tokens, "temperature": temperature, "seed": held_out.seed}
    answers = {}
    for rows, found in token_batches(model, prompts, texts, ends=ends, **options):
        answers |= {row: tuple(ids) for row, [ids] in zip(rows, found, strict=True)}
    return ends, [answers[row] for row in range(len(prompts))]


def _each(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the parts of a mean."""
    return np.asarray(values, dtype=float), np.ones(len(values))

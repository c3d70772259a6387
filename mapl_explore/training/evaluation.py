"""How a model does on held-out sets and on responses of its own, with the uncertainty of having few of them."""

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mapl_explore.data import prompt_text
from mapl_explore.losses import Loss, ScoredSets
from mapl_explore.losses.measures import measures
from mapl_explore.models.choices import Chat
from mapl_explore.models.encoding import EncodedSet, sides
from mapl_explore.models.generating import answer_text, token_batches
from mapl_explore.models.scorer import SetScorer
from mapl_explore.models.scoring import score_encoded
from mapl_explore.models.turns import Ending, end_tokens, endings
from mapl_explore.runs.record import LEAST_FOR_INTERVAL
from mapl_explore.sampling.verifiers import Question
from mapl_explore.training.base_model import BaseWeights, OtherModel
from mapl_explore.training.own_loss import blamed_on

RESAMPLES = 2000
LEVEL = 0.95
Lender = BaseWeights | OtherModel  # lends a scorer to compare with
Judge = Callable[[Question, str], bool]  # whether a response to a question is right
ROUNDING = 1e-12  # of means of up to thousands of equal values, drawn and summed in another order each time


@dataclass(frozen=True, eq=False)
class Ratio:
    """A measure as a ratio of two sums over sets.

    Parameters
    ----------
    values : array (sets,)
        What each set adds to the numerator.
    counts : array (sets,)
        What each set adds to the denominator: 1, or its tokens where the measure is a mean over tokens.

    Examples
    --------
    >>> Ratio.mean([1.0, 2.0, 6.0]).estimate
    3.0
    >>> Ratio(np.array([1.0, 9.0]), np.array([1.0, 3.0])).estimate
    2.5
    """

    values: np.ndarray
    counts: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def mean(cls, values: Sequence[float] | np.ndarray) -> "Ratio":
        """Return the mean of values, one for each set."""
        return cls(np.asarray(values, dtype=float), np.ones(len(values)))

    @property
    def estimate(self) -> float:
        """Return the measure of the sets as they are."""
        return float(self.values.sum() / self.counts.sum())

    @property
    def each(self) -> np.ndarray:
        """Return the measure (sets,) of every set by itself."""
        return self.values / self.counts

    def drawn(self, rows: np.ndarray) -> np.ndarray:
        """Return the measure of sets drawn from these, for each row of their numbers (resamples, sets)."""
        return self.values[rows].sum(-1) / self.counts[rows].sum(-1)


Measured = dict[str, Ratio]  # by the names of ``runs.record.MEASURES``


@dataclass(frozen=True)
class HeldOut:
    """The sets that a model is judged on, before and after its training.

    Parameters
    ----------
    encoded : sequence of EncodedSet
        At least one.
    ref_logp : tensor (sets, n)
        Their log-probabilities under the base.
    questions : sequence of Question
        Those of the first sets, to which the model gives responses.
    judge : function of Question and str, optional
        Says whether a response is right.
    seed : int
        Of the responses and of the resampling.
    answer_tokens : int, optional
        The most tokens of a response, see :func:`mapl_explore.models.generating.answer_room`.
    chat : {"auto", "always", "never"}
        Which prompts were encoded by the chat template: behind those, what ends a turn ends a response.
    batch_size : int, optional
        The most sets, or prompts to respond to, in one pass.
    """

    encoded: Sequence[EncodedSet]
    ref_logp: torch.Tensor
    questions: Sequence[Question] = ()
    judge: Judge | None = None
    seed: int = 0
    answer_tokens: int | None = None
    chat: Chat = "auto"
    batch_size: int | None = None

    @property
    def decisive(self) -> tuple[Any, ...]:
        """Return what decides the responses of a model."""
        pairs = zip(self.encoded, self.questions, strict=False)
        asked = [(one.prompt, prompt_text(each.prompt)) for one, each in pairs]
        return asked, bool(self.judge), self.seed, self.answer_tokens, self.chat, self.batch_size

    def scored(
        self, scorer: SetScorer, sets: Sequence[EncodedSet] | None = None, *, progress: bool = False
    ) -> torch.Tensor:
        """Return the log-probabilities (sets, n) of these sets, or of others, under a model."""
        sets = self.encoded if sets is None else sets
        with scorer.measuring():
            return score_encoded(scorer, sets, batch_size=self.batch_size, progress=progress)


@dataclass(frozen=True, eq=False)
class Responses:
    """What a model has responded to each question.

    Parameters
    ----------
    tokens : array (questions,)
        The length of a sampled response.
    cut : array (questions,)
        Whether it was cut off before it ended.
    logp, ref_logp : array (questions,)
        Its log-prob under the model, and under the base.
    greedy : sequence of str or None
        The greedy response, None for one that was cut off; empty where there is no judge.
    """

    tokens: np.ndarray
    cut: np.ndarray
    logp: np.ndarray
    ref_logp: np.ndarray
    greedy: Sequence[str | None] = ()

    @classmethod
    def of(
        cls,
        scorer: SetScorer,
        tokenizer: PreTrainedTokenizerBase,
        held_out: HeldOut,
        base: Lender | None = None,
    ) -> "Responses | None":
        """Return the responses of a model, None where nothing is asked; no random number of a training is drawn.

        ``base`` is what the model began with, or is compared with; it is not needed where the model is still that.
        """
        if not held_out.questions:
            return None
        around = _around(scorer, tokenizer, held_out)
        sampled = _drawn(scorer.model, held_out, around, temperature=1)
        asked = [EncodedSet(one.prompt, (ids,), 1) for one, ids in zip(held_out.encoded, sampled, strict=False)]
        own = held_out.scored(scorer, asked)[:, 0].numpy()
        with base.scorer(scorer) if base else contextlib.nullcontext(scorer) as lent:
            other = held_out.scored(lent, asked)[:, 0].numpy() if base else own
        ends = [ending.ends for ending in around]
        cut = np.array([ids[-1] not in each for ids, each in zip(sampled, ends, strict=True)])
        greedy = _drawn(scorer.model, held_out, around, temperature=0) if held_out.judge else []
        texts = [answer_text(tokenizer, ids, ending) for ids, ending in zip(greedy, around, strict=False)]
        return cls(np.array([float(len(ids)) for ids in sampled]), cut, own, other, texts)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Responses":
        """Return what :attr:`arrays` holds."""
        return cls(**{**arrays, "greedy": json.loads(str(arrays["greedy"]))})

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Return them as arrays that a file can hold."""
        return {**vars(self), "greedy": np.array(json.dumps(self.greedy))}

    def measured(self, held_out: HeldOut) -> Measured:
        """Return ``kl``, ``entropy``, ``answer_length`` and ``cut`` and, with a judge, ``right``."""
        found = {"kl": Ratio(self.logp - self.ref_logp, self.tokens), "entropy": Ratio(-self.logp, self.tokens)}
        found |= {"answer_length": Ratio.mean(self.tokens), "cut": Ratio.mean(self.cut)}
        if judge := held_out.judge:
            pairs = zip(held_out.questions, self.greedy, strict=True)
            found["right"] = Ratio.mean([text is not None and judge(question, text) for question, text in pairs])
        return found


def evaluated(loss: Loss, held_out: HeldOut, logp: torch.Tensor, responses: Responses | None = None) -> Measured:
    """Return the measures of a model, each as a ratio of sums over the held-out sets.

    These are all of :func:`mapl_explore.losses.measures.measures`. Of one sampled response to each question, ``kl`` is
    its log-prob minus that under the base and ``entropy`` is minus its log-prob, both for each token;
    ``answer_length`` is in tokens, and ``cut`` says whether it was cut off before it ended. With a judge, ``right``
    says whether the greedy response has ended and is right.

    Parameters
    ----------
    loss : Loss
        Whose margins are meant, as it is at this point of the training.
    held_out : HeldOut
        What the model is judged on.
    logp : tensor (sets, n)
        The log-probabilities of the held-out sets under it.
    responses : Responses, optional
        Its responses to the questions, if there are any.
    """
    table = sides(held_out.encoded)
    n = table["label"].shape[1]
    sets = ScoredSets.unchecked(logp=logp[:, :n], ref_logp=held_out.ref_logp[:, :n], **table)
    with blamed_on(loss):
        found = {name: Ratio.mean(np.asarray(value)) for name, value in measures(loss, sets).items()}
    return found | (responses.measured(held_out) if responses else {})


def estimates(measured: Measured) -> dict[str, float]:
    """Return each measure, and ``worst_margin``, the least of the hard margins."""
    found = {name: ratio.estimate for name, ratio in measured.items()}
    return found | {"worst_margin": float(measured["hard_margin"].values.min())}


def intervals(before: Measured, after: Measured, *, seed: int) -> dict[str, dict[str, list[float]]]:
    """Return 95 % bootstrap intervals [low, high] of each measure ``before``, ``after``, and of its ``change``.

    Sets are drawn again with replacement, the same ones before and after, so that the interval of the change is that
    of paired differences; low and high are percentiles. The worst margin has none: a least value is not resampled by
    drawing again. A measure of fewer than 8 sets or responses has none either, nor has one whose values are all equal:
    drawn again they stay so, and an interval of width 0 would say that they are known exactly.
    """
    found: dict[str, dict[str, list[float]]] = {"before": {}, "after": {}, "change": {}}
    for name, ratio in before.items():
        if len(ratio) < LEAST_FOR_INTERVAL:
            continue
        rows = np.random.default_rng(seed).integers(len(ratio), size=(RESAMPLES, len(ratio)))
        old, new = ratio.drawn(rows), after[name].drawn(rows)
        for when, values in (("before", old), ("after", new), ("change", new - old)):
            low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
            if high - low > ROUNDING * np.abs(values).max():
                found[when][name] = [low, high]
    return found


def _around(scorer: SetScorer, tokenizer: PreTrainedTokenizerBase, held_out: HeldOut) -> Sequence[Ending]:
    """Return what ends a response to each question."""
    prompts = [question.prompt for question in held_out.questions]
    return endings(tokenizer, prompts, held_out.chat, end_tokens(tokenizer, scorer.model))


def _drawn(
    model: PreTrainedModel, held_out: HeldOut, around: Sequence[Ending], *, temperature: float
) -> list[tuple[int, ...]]:
    """Return the token ids of one response to each question, the one that ended it last."""
    prompts = [one.prompt for one in held_out.encoded[: len(held_out.questions)]]
    names = [prompt_text(question.prompt) for question in held_out.questions]
    batches = token_batches(
        model,
        prompts,
        names,
        k=1,
        temperature=temperature,
        max_tokens=held_out.answer_tokens,
        seed=held_out.seed,
        ends=[ending.ends for ending in around],
        batch_size=held_out.batch_size,
        told=[question.named for question in held_out.questions],
    )
    found = {row: tuple(ids) for rows, drawn in batches for row, [ids] in zip(rows, drawn, strict=True)}
    return [found[row] for row in range(len(prompts))]

"""What the trainer trains on: encoded sets with their reference log-probs, and the batches made of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mapl_explore.data import PreferenceSet
from mapl_explore.data.sets import are_graded
from mapl_explore.files import counted, shortened
from mapl_explore.models.choices import Chat
from mapl_explore.models.encoding import EncodedSet, collate, sides
from mapl_explore.models.scorer import SetScorer
from mapl_explore.models.scoring import encoded_for, score_encoded
from mapl_explore.training.own_loss import kind_of


@dataclass(frozen=True)
class Example:
    """One encoded set with the reference log-probability of each of its responses, in nats.

    :func:`training_examples` makes them from preference sets.

    Parameters
    ----------
    encoded : EncodedSet
        The token ids of the set, as :func:`mapl_explore.models.encoding.encode_sets` gives them.
    ref_logp : sequence of float
        One finite number for each response, positives first.

    Raises
    ------
    ValueError
        If there is not one finite number for each response.
    """

    encoded: EncodedSet
    ref_logp: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "ref_logp", tuple(map(float, self.ref_logp)))
        responses = len(self.encoded.responses)
        if len(self.ref_logp) != responses:
            given = counted(len(self.ref_logp), "number")
            raise ValueError(f"ref_logp must hold one log-prob for each of {responses} responses, not {given}")
        if not all(map(math.isfinite, self.ref_logp)):
            raise ValueError(f"ref_logp must be finite, not {shortened(self.ref_logp)}")

    @classmethod
    def of(cls, encoded: EncodedSet, ref_logp: torch.Tensor) -> "Example":
        """Return the example of a row (n,) of log-probabilities, padded at its end."""
        return cls(encoded, tuple(ref_logp[: len(encoded.responses)].tolist()))


def training_examples(
    model: PreTrainedModel | SetScorer,
    tokenizer: PreTrainedTokenizerBase,
    sets: Sequence[PreferenceSet],
    *,
    truncate: str = "keep-start",
    chat: Chat = "auto",
    progress: bool = True,
) -> list[Example]:
    """Return what :class:`PreferenceTrainer` trains on: each set in tokens, with its log-probs under a reference model.

    Parameters
    ----------
    model, tokenizer
        The reference, mostly the model before its training, as :func:`mapl_explore.load_model` returns them; or a
        ``SetScorer`` of the model.
    sets : sequence of PreferenceSet
        At least one.
    truncate : {"keep-start", "error"}
        What to do with sets beyond the model's context, see :func:`mapl_explore.models.encoding.encode_sets`.
    chat : {"auto", "always", "never"}
        Which prompts the model's chat template writes: those of messages, all, or none.
    progress : bool
        Show a progress bar, on a terminal.

    Returns
    -------
    list of Example
        In the order of the sets.

    Raises
    ------
    ValueError
        If there are no sets, or one does not fit and ``truncate`` is ``"error"``.

    Examples
    --------
    >>> from mapl_explore import PreferenceSet, load_model, training_examples
    >>> model, tokenizer = load_model("tiny")
    >>> [example] = training_examples(model, tokenizer, [PreferenceSet("2 + 2 =", [" 4"], [" 5", " 22"])])
    >>> len(example.ref_logp)
    3
    """
    scorer = model if isinstance(model, SetScorer) else SetScorer(model)
    encoded = encoded_for(scorer.model, tokenizer, sets, truncate=truncate, chat=chat)
    ref_logp = score_encoded(scorer, encoded, progress=progress)
    return [Example.of(*row) for row in zip(encoded, ref_logp, strict=True)]


def collate_examples(examples: Sequence[Example], share_prompt: bool = True) -> dict[str, torch.Tensor]:
    """Return the batch of a scorer with lengths, rewards if any, and reference log-probabilities (sets, n)."""
    encoded = [each.encoded for each in examples]
    batch = collate(encoded, share_prompt=share_prompt) | sides(encoded)
    ref_logp = torch.tensor([value for each in examples for value in each.ref_logp], dtype=torch.float64)
    column = torch.zeros(batch["label"].shape, dtype=torch.float64).masked_scatter(batch["label"] != 0, ref_logp)
    return {**batch, "ref_logp": column}


def require_examples(name: str, dataset: Any) -> None:
    """Raise unless a data set is None, or holds examples alone, at least one; of several, each."""
    if isinstance(dataset, dict):
        for key, each in dataset.items():
            require_examples(f"{name}[{key!r}]", each)
        return
    if dataset is None:
        return
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")) or isinstance(dataset, str):
        raise TypeError(f"{name} must be a sequence of Example, not {kind_of(dataset)}")
    if not len(dataset):
        raise ValueError(f"{name} must hold at least one Example, and is empty")
    for row in range(len(dataset)):
        if not isinstance(dataset[row], Example):
            hint = "training_examples(model, tokenizer, sets) makes them"
            raise TypeError(f"{name} must hold Examples, not {kind_of(dataset[row])}: {hint}")
    are_graded([dataset[row].encoded for row in range(len(dataset))], name)

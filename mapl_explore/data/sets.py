"""Preference sets as text: one prompt, the responses that were accepted and those that were not."""

import copy
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any

from mapl_explore.data.messages import Prompt, before_response, checked_prompt, named_prompt, prompt_text
from mapl_explore.files import check_text, shortened


@dataclass(frozen=True)
class PreferenceSet:
    """The accepted and the rejected responses to one prompt.

    Parameters
    ----------
    prompt : str, or sequence of messages
        What was asked: a text, which may be empty, or a conversation, whose messages are dicts with ``role`` (user,
        assistant, system, developer or tool) and ``content``. It is kept as a tuple of ``Message``.
    positives, negatives : sequence of str
        The accepted and the rejected responses, at least one each, in a list or another
        sequence; they are kept as tuples. No text may stand on both sides. A text that stands twice on its side counts
        twice.
    scores : sequence of float, optional
        How good each response is, a finite number of any sign, kept as a tuple: of the positives first, then of the
        negatives, the order that responses have in a table of scores and in :class:`mapl_explore.ScoredSets`. Which
        side a response is on says the label, not the score; mostly the scores of the positives are the higher ones, and
        ``data check`` says where they are not.
    place : str, optional
        Where the set was read, ``file:line``, by which errors name it; two sets may be equal at different places.

    Raises
    ------
    TypeError
        If the prompt is neither text nor a list, a response is not text, or the scores are no list of numbers.
    ValueError
        If a message is none, a side is empty, a text stands on both sides, a text cannot be written as UTF-8 (a lone
        surrogate, which JSON can spell but no tokenizer can read), or there is not one finite score for each response.

    Examples
    --------
    >>> PreferenceSet("2 + 2 =", positives=["4"], negatives=["5", "22"]).negatives
    ('5', '22')
    >>> PreferenceSet("2 + 2 =", ["4"], ["5", "22"], scores=[1, 0.5, -1])
    PreferenceSet(prompt='2 + 2 =', positives=('4',), negatives=('5', '22'), scores=(1.0, 0.5, -1.0))
    """

    prompt: Prompt
    positives: tuple[str, ...]
    negatives: tuple[str, ...]
    scores: tuple[float, ...] | None = None
    place: str = field(default="", compare=False)

    if TYPE_CHECKING:  # as it is called: any lists of texts and numbers, which become tuples

        def __init__(
            self,
            prompt: str | Sequence[Any],
            positives: Iterable[str],
            negatives: Iterable[str],
            scores: Iterable[float] | None = None,
            place: str = "",
        ) -> None: ...

    def __post_init__(self) -> None:
        """Check the texts and freeze the lists."""
        object.__setattr__(self, "prompt", checked_prompt(self.prompt))
        for side in ("positives", "negatives"):
            object.__setattr__(self, side, _checked_texts(side, getattr(self, side)))
        both = set(self.positives) & set(self.negatives)
        if both:
            raise ValueError(f"a response must not stand on both sides; {shortened(min(both))} does")
        if self.scores is not None:
            object.__setattr__(self, "scores", _checked_scores(self.scores, len(self.responses)))

    def __repr__(self) -> str:
        """Return the call that makes an equal set, without scores where there are none."""
        given = {name: value for name, value in vars(self).items() if value is not None and name != "place"}
        fields = ", ".join(f"{name}={value!r}" for name, value in given.items())
        return f"PreferenceSet({fields})"

    @property
    def responses(self) -> tuple[str, ...]:
        """All responses in their order, the positives first."""
        return self.positives + self.negatives

    def at(self, place: str) -> "PreferenceSet":
        """Return the same set, read from a place."""
        one = copy.copy(self)  # checked already
        object.__setattr__(one, "place", place)
        return one

    def as_text(self) -> "PreferenceSet":
        r"""Return the set with its prompt as one text, see :func:`mapl_explore.data.messages.prompt_text`.

        Behind a transcript each response begins with a space.

        Examples
        --------
        >>> talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
        >>> PreferenceSet([*talk, {"role": "user", "content": "2 + 2 ="}], ["4"], ["5"]).as_text().positives
        (' 4',)
        """
        before = before_response(self.prompt)
        positives, negatives = ([before + text for text in side] for side in (self.positives, self.negatives))
        return PreferenceSet(prompt_text(self.prompt), positives, negatives, self.scores, self.place)

    def pair(self, positive: int, negative: int) -> "PreferenceSet":
        """Return the set of two responses, by their numbers among all of them, with their scores.

        Examples
        --------
        >>> PreferenceSet("2 + 2 =", ["4"], ["5", "22"], scores=[1, 0.5, -1]).pair(0, 2)
        PreferenceSet(prompt='2 + 2 =', positives=('4',), negatives=('22',), scores=(1.0, -1.0))
        """
        one, other = self.responses[positive], self.responses[negative]
        scores = None if self.scores is None else (self.scores[positive], self.scores[negative])
        return PreferenceSet(self.prompt, [one], [other], scores, self.place)


def checked_score(name: str, score: object) -> float:
    """Return a finite number as a float; anything else raises TypeError or ValueError.

    Examples
    --------
    >>> checked_score("scores[0]", 3)
    3.0
    """
    rule = f"{name} must be a finite number, not {shortened(score)}"
    if isinstance(score, bool) or not isinstance(score, Real):
        raise TypeError(rule)
    value: Any = score
    if not abs(value) <= sys.float_info.max:  # nor is NaN below it
        raise ValueError(rule)
    return float(value)


def are_graded(sets: Sequence[Any], name: str = "sets") -> bool:
    """Return whether sets have ``scores``, all of them or none; where only some have, this raises ValueError.

    A reward of 1 or 0 in place of a score that is missing would be on another scale than the others.

    Examples
    --------
    >>> are_graded([PreferenceSet("2 + 2 =", ["4"], ["5"], [1, 0]), PreferenceSet("1 + 1 =", ["2"], ["3"])])
    Traceback (most recent call last):
    ValueError: scores must stand in all sets or in none: 1 of 2 has none, first sets[1], of the prompt '1 + 1 ='
    """
    fault = scores_fault(sets, name)
    if fault:
        raise ValueError(fault)
    return all(one.scores is not None for one in sets)


def scores_fault(sets: Sequence[Any], name: str = "sets") -> str:
    """Return what is wrong where only some sets have scores, with the place of the first that has none; else ""."""
    lacking = [number for number, one in enumerate(sets) if one.scores is None]
    if len(lacking) in (0, len(sets)):
        return ""
    first = sets[lacking[0]]
    known = isinstance(first, PreferenceSet)
    where = first.place if known and first.place else f"{name}[{lacking[0]}]"
    of = f", of {named_prompt(first.prompt)}" if known and not first.place else ""
    some = f"{len(lacking)} of {len(sets)} {'has' if len(lacking) == 1 else 'have'} none"
    return f"scores must stand in all sets or in none: {some}, first {where}{of}"


def _checked_scores(scores: object, responses: int) -> tuple[float, ...]:
    if isinstance(scores, str | set | frozenset | Mapping) or not isinstance(scores, Iterable):
        raise TypeError(f"scores must be a list of numbers, not {shortened(scores)}")
    scores = tuple(checked_score(f"scores[{index}]", score) for index, score in enumerate(scores))
    if len(scores) != responses:
        raise ValueError(f"scores must hold one number for each of {responses} responses, not {len(scores)}")
    return scores


def _checked_texts(name: str, texts: object) -> tuple[str, ...]:
    if isinstance(texts, str | set | frozenset | Mapping) or not isinstance(texts, Iterable):
        raise TypeError(f"{name} must be a list of texts, not {shortened(texts)}")
    texts = tuple(texts)
    if not texts:
        raise ValueError(f"{name} must hold at least one response")
    for index, text in enumerate(texts):
        check_text(f"{name}[{index}]", text)
    return texts

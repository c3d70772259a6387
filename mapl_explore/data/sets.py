"""Preference sets as text: one prompt, the responses that were accepted and those that were not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mapl_explore.files import check_text, shortened


@dataclass(frozen=True)
class PreferenceSet:
    """The accepted and the rejected responses to one prompt.

    Parameters
    ----------
    prompt : str
        What was asked. May be empty.
    positives, negatives : sequence of str
        The accepted and the rejected responses, at least one each, in a list or another
        sequence; they are kept as tuples. No text may stand on both sides. A text that stands twice on its side counts
        twice.

    Raises
    ------
    TypeError
        If the prompt or a response is not text.
    ValueError
        If a side is empty, a text stands on both sides, or a text cannot be written as UTF-8
        (a lone surrogate, which JSON can spell but no tokenizer can read).

    Examples
    --------
    >>> PreferenceSet("2 + 2 =", positives=["4"], negatives=["5", "22"]).negatives
    ('5', '22')
    """

    prompt: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...]

    if TYPE_CHECKING:  # as it is called: any lists of texts, which become tuples

        def __init__(self, prompt: str, positives: Iterable[str], negatives: Iterable[str]) -> None: ...

    def __post_init__(self) -> None:
        """Check the texts and freeze the lists."""
        check_text("prompt", self.prompt)
        for side in ("positives", "negatives"):
            object.__setattr__(self, side, _checked_texts(side, getattr(self, side)))
        both = set(self.positives) & set(self.negatives)
        if both:
            raise ValueError(f"a response must not stand on both sides; {shortened(min(both))} does")


def _checked_texts(name: str, texts: object) -> tuple[str, ...]:
    if isinstance(texts, str | set | frozenset | Mapping) or not isinstance(texts, Iterable):
        raise TypeError(f"{name} must be a list of texts, not {shortened(texts)}")
    texts = tuple(texts)
    if not texts:
        raise ValueError(f"{name} must hold at least one response")
    for index, text in enumerate(texts):
        check_text(f"{name}[{index}]", text)
    return texts

"""Which prompts are kept as preference sets once their responses are judged, and the report of the rest."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from mapl_explore.data import PreferenceSet
from mapl_explore.files import counted
from mapl_explore.sampling.journal import Answered
from mapl_explore.sampling.verifiers import Question


@dataclass(frozen=True)
class SampleReport:
    """What became of the prompts and of the responses to them.

    Parameters
    ----------
    outcomes : Counter
        How many prompts were kept, or dropped and why.
    answers, right : int
        How many different responses there were, and how many of them are right.
    duplicates, unfinished : int
        How many responses were dropped: the prompt had them already, or they had not ended by their last token.
    first : str
        The first set, its prompt as the model read it, for people; empty where there is no set.
    """

    outcomes: Counter = field(default_factory=Counter)
    answers: int = 0
    right: int = 0
    duplicates: int = 0
    unfinished: int = 0
    first: str = ""

    @property
    def _cut(self) -> float:
        return self.unfinished / max(1, self.answers + self.duplicates + self.unfinished)

    def __str__(self) -> str:
        """Return the counts, one in each line."""
        total = counted(sum(self.outcomes.values()), "prompt")
        rows = [f"{count:>6} of {total} {what}" for what, count in sorted(self.outcomes.items(), reverse=True)]
        return "\n".join(
            [
                *rows,
                f"{counted(self.answers, 'different response', '>6')}, {self.right} of them right",
                f"{counted(self.duplicates, 'response', '>6')} dropped: the prompt had them already",
                f"{counted(self.unfinished, 'response', '>6')} dropped: cut off, {self._cut:.0%} of all"
                " (--max-tokens sets the limit)",
            ]
        )


class NothingKept(ValueError):
    """No prompt is kept. ``report`` says what became of them; the responses stay in the files that are named."""

    def __init__(self, report: SampleReport, names: str):
        self.report = report
        super().__init__(
            f"no prompt has right and wrong responses, so there is no set to write\n{report}\nThe responses stay"
            f" in {names}: call again with --fallback, another verifier or threshold, or remove it to draw others"
        )


def kept_set(
    question: Question, answered: Answered, *, fallback: bool, duplicates: bool = False
) -> tuple[PreferenceSet | None, str]:
    """Return the preference set of a prompt, or None, and the outcome in words.

    With ``fallback``, where the model gave no right response, or no wrong one, those of the record are taken, except
    texts that the model's other responses have. With ``duplicates`` a response stands there as often as it was drawn,
    for which the draws must be kept.
    """
    if answered.too_long:
        return None, "dropped: no room for a response in the model's context"
    drawn = [draw.text for draw in answered.draws or () if draw.ended] if duplicates else answered.answers
    right = dict(zip(answered.answers, answered.right, strict=True))
    positives, negatives = ([text for text in drawn if right[text] is kind] for kind in (True, False))
    known = dict(zip(answered.answers, answered.scores or (), strict=False))
    lacking = not positives or not negatives
    if lacking and fallback:
        positives = positives or [text for text in question.positives if text not in negatives]
        negatives = negatives or [text for text in question.negatives if text not in positives]
    if not positives or not negatives:
        kind = "right or wrong" if not positives and not negatives else "wrong" if positives else "right"
        return None, f"dropped: no {kind} response"
    scores = [known[text] for text in positives + negatives] if known else None
    one = PreferenceSet(question.prompt, positives, negatives, scores)
    return one, "kept" + ", with responses of the file" * lacking


def reported(
    questions: Sequence[Question], answered: Sequence[Answered], *, fallback: bool, duplicates: bool = False
) -> tuple[list[PreferenceSet], SampleReport]:
    """Return the sets that are kept, in the order of the prompts, and what became of the rest."""
    kept = [kept_set(*both, fallback=fallback, duplicates=duplicates) for both in zip(questions, answered, strict=True)]
    report = SampleReport(
        outcomes=Counter(outcome for _, outcome in kept),
        answers=sum(len(one.answers) for one in answered),
        right=sum(sum(one.right) for one in answered),
        duplicates=sum(one.duplicates for one in answered),
        unfinished=sum(one.unfinished for one in answered),
    )
    return [one for one, _ in kept if one is not None], report

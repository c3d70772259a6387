"""Every response that was drawn as a table, for policy gradients: with token ids, those cut off and duplicates too."""

import os
from collections.abc import Sequence
from typing import Any

from mapl_explore.data import prompt_text
from mapl_explore.files import require_other
from mapl_explore.models.score_table import require_table
from mapl_explore.sampling.journal import Answered
from mapl_explore.sampling.verifiers import Question


def draw_rows(questions: Sequence[Question], answered: Sequence[Answered]) -> list[dict]:
    """Return a row for each draw, in the order of the prompts; equal responses and those cut off have rows, too.

    Parameters
    ----------
    questions : sequence of Question
        The prompts.
    answered : sequence of Answered
        What was drawn for each, with its ``draws``.

    Returns
    -------
    list of dict
        ``prompt``, a conversation as one text; ``draw``, its number from 0 among those of the prompt; ``response``;
        ``tokens``, their ids as drawn, with the one that ended the response; ``ended``, False where it was cut off;
        ``duplicate``, whether an earlier draw that ended has the same text; ``right``, and ``score`` where the verifier
        returns numbers: both None where the response was cut off, which no verifier has judged.

    Examples
    --------
    >>> from mapl_explore.models.generating import Draw
    >>> draws = Draw((19, 0), "4", True), Draw((20, 20), "55", False), Draw((19, 0), "4", True)
    >>> rows = draw_rows([Question("2 + 2 =")], [Answered(("4",), (True,), 1, 1, draws=draws)])
    >>> [(row["tokens"], row["ended"], row["duplicate"], row["right"]) for row in rows]
    [([19, 0], True, False, True), ([20, 20], False, False, None), ([19, 0], True, True, True)]
    """
    both = zip(questions, answered, strict=True)
    return [row for question, one in both for row in _rows(prompt_text(question.prompt), one)]


def require_draws(draws: str | os.PathLike, source: Any, output: str | os.PathLike) -> None:
    """Raise unless draws can be written under this name, which is neither what is read nor the file of the sets."""
    require_table(draws)
    if os.path.realpath(draws) == os.path.realpath(output):
        raise ValueError(f"draws must be another file than the output, not both {os.fspath(output)!r}")
    if isinstance(source, str | os.PathLike):
        require_other(source, draws)


def _rows(prompt: str, answered: Answered) -> list[dict]:
    judged = {"right": answered.right} | ({} if answered.scores is None else {"score": answered.scores})
    verdicts = {name: dict(zip(answered.answers, values, strict=True)) for name, values in judged.items()}
    rows, seen = [], set()
    for number, (tokens, text, ended) in enumerate(answered.draws or ()):
        row = {"prompt": prompt, "draw": number, "response": text, "tokens": list(tokens), "ended": ended}
        row |= {"duplicate": ended and text in seen}
        rows.append(row | {name: known[text] if ended else None for name, known in verdicts.items()})
        seen |= {text} if ended else set()
    return rows

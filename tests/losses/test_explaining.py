"""What explain says of responses that tie."""

from every_loss import make_sets

from mapl_explore.losses import (
    MaxMin,
    explain,
)


def test_explain_gives_equal_scores_one_rank_and_says_with_how_many_they_tie():
    sets = make_sets([-1.0, -3.0, -3.0, -3.0, -5.0], [1, -1, -1, -1, -1])
    rows = explain(MaxMin(), sets)
    assert [row.rank for row in rows] == [1, 1, 1, 1, 4]
    assert [row.why.partition(": ")[2] for row in rows] == [
        "the only positive",
        *["the hardest negative, tied with 2 others"] * 3,
        "negative 4 of 4, hardest first",
    ]

"""What explain says of responses that tie."""

from dataclasses import replace

import numpy as np
import pytest
from every_loss import make_sets

from mapl_explore.losses import LOSSES, MaxMin, ScoredSets, Smooth, explain


def test_explain_gives_equal_scores_one_rank_and_says_with_how_many_they_tie():
    sets = make_sets([-1.0, -3.0, -3.0, -3.0, -5.0], [1, -1, -1, -1, -1])
    rows = explain(MaxMin(), sets)
    assert [row.rank for row in rows] == [1, 1, 1, 1, 4]
    assert [row.why.partition(": ")[2] for row in rows] == [
        "the only positive",
        *["the hardest negative, tied with 2 others"] * 3,
        "negative 4 of 4, hardest first",
    ]


@pytest.mark.parametrize(
    ("share", "texts"),
    [(0.9951, ("over 99%", "0.49%")), (0.9949, ("99%", "0.51%")), (0.944, ("94%", "5.6%")), (0.903, ("90%", "10%"))],
)
def test_a_share_is_said_in_two_digits_and_never_as_all_or_nothing(share, texts):
    # At tau = 1 a gap of log(share / (1 - share)) gives the leader the share.
    sets = ScoredSets([-1.0, -2.0, -2.0 - np.log(share / (1 - share))], [0.0] * 3, [1] * 3, [1, -1, -1])
    told = explain(MaxMin(pair=Smooth(tau=1.0)), sets)
    assert [row.why.split()[3] if "over" not in row.why else "over 99%" for row in told[1:]] == list(texts)
    assert told[0].why.startswith("pushed up with 100%")


def test_explain_has_the_reward_of_each_response_where_there_is_one():
    sets = make_sets([[-1.0, -3.0, 0.0], [-2.0, -1.0, -5.0]], [[1, -1, 0], [-1, 1, 1]])
    rows = explain(MaxMin(), ScoredSets(**sets.columns(), reward=[[0.5, -2.0, 9.0], [1.0, 2.0, 3.0]]))
    assert [row.reward for row in rows] == [0.5, -2.0, 1.0, 2.0, 3.0]
    assert [replace(row, reward=None) for row in rows] == explain(MaxMin(), sets)


@pytest.mark.parametrize("name", ["infonca", "plackett-luce", "rloo", "grpo"])
def test_a_loss_of_rewards_is_explained_by_the_rewards(name):
    sets = ScoredSets([-1.0, -2.0, -3.0, 0.0], [-2.0] * 4, [5] * 4, [1, 1, -1, 0], reward=[2.0, 0.5, 0.5, 9.0])
    rows = explain(LOSSES[name], sets)
    assert [row.why.split(": ")[1] for row in rows] == [
        "reward 2, 1 of 3 by reward",
        "reward 0.5, 2 of 3 by reward, as 1 other",
        "reward 0.5, 2 of 3 by reward, as 1 other",
    ]
    assert all(row.why.startswith("pushed up" if row.weight < 0 else "pushed down") for row in rows if row.weight)

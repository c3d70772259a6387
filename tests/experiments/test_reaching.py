"""Sets to 80 %, and the KL there: where a mean learning curve gets there, by hand and by slow resampling, or not."""

import math

import numpy as np
import pytest

from mapl_explore.experiments.bootstrap import expanded_tail
from mapl_explore.experiments.reaching import Reached, crossing, difference, kl_at_80, reached
from mapl_explore.experiments.report import contrast

SETS = np.array([0, 16, 32, 64])


def found(chances, rng, *, sets=SETS, seeds=8, questions=40):
    """Return what runs have found whose questions are right with these chances at each point."""
    hard = rng.random((1, questions))  # the same question is hard under all seeds
    right = [(hard < np.reshape(chances, (-1, 1)) + 0.05 * rng.normal(size=(len(chances), 1))) for _ in range(seeds)]
    return {seed: {"sets_read": sets, "right_along": one.astype(float)} for seed, one in enumerate(right)}


@pytest.mark.parametrize(
    ("shares", "at"),
    [
        ([0.5, 0.7, 0.9, 1.0], 24),
        ([0.5, 0.8, 0.9, 1.0], 16),
        ([0.9, 0.5, 0.5, 0.5], 0),
        ([0.5, 0.9, 0.1, 1.0], 12),  # the first time counts
        ([0.5, 0.5, 0.6, 0.7], math.inf),
        ([0.7, 0.7, 0.7, 0.8], 64),
    ],
)
def test_a_curve_reaches_80_percent_between_its_points(shares, at):
    assert crossing(SETS, np.array(shares)[:, None]) == pytest.approx([at], rel=1e-12)


def test_the_interval_is_that_of_drawing_seeds_and_then_questions_again():
    arm = found([0.4, 0.6, 0.85, 0.95], np.random.default_rng(0))
    right = np.stack([one["right_along"] for one in arm.values()], axis=1)
    rng, slow = np.random.default_rng(1), []
    for _ in range(4000):
        drawn = right[:, rng.integers(8, size=8)][:, :, rng.integers(40, size=40)].mean((1, 2))
        slow.append(np.interp(0.8, np.maximum.accumulate(drawn), SETS) if drawn.max() >= 0.8 else 1e9)
    tail = expanded_tail(8)
    one = reached(arm)
    assert one.sets == pytest.approx(np.interp(0.8, right.mean((1, 2)), SETS), rel=1e-12)
    # In the tail lie 23 of 4,000 draws: a quantile there wanders by a fifth of the way to the middle.
    for end, expected in zip(one.interval, np.quantile(slow, [tail, 1 - tail]), strict=True):
        assert abs(end - expected) < 0.2 * abs(expected - one.sets)


def test_what_is_not_reached_is_more_than_the_last_point():
    rng = np.random.default_rng(0)
    never, late = found([0.1, 0.2, 0.3, 0.3], rng), found([0.4, 0.5, 0.7, 0.82], rng)
    assert reached(never) == Reached(None, None, 64)
    assert str(reached(never)) == "more than 64"
    low, high = reached(late).interval
    assert 16 < low <= 64
    assert high is None
    assert str(reached(late)).endswith(", more than 64]")
    assert reached(late).columns["sets_to_80_high"] == math.inf
    assert reached({0: late[0]}).interval is None
    assert [*reached({0: late[0]}).columns.values()] == [math.inf, None, None]
    last = {"sets_read": SETS, "right_along": np.array([[0] * 5, [0] * 5, [1] * 3 + [0] * 2, [1] * 4 + [0]])}
    assert reached({0: last}) == Reached(64, None, 64)
    assert reached({0: {"right": np.ones(3)}}) is None


def test_an_arm_that_is_quicker_is_lower_and_two_that_never_get_there_are_not_told_apart():
    rng = np.random.default_rng(0)
    quick, slow = found([0.4, 0.9, 0.95, 1.0], rng), found([0.4, 0.5, 0.75, 0.95], rng)
    told = contrast(quick, slow, "sets_to_80")
    assert (told.verdict, told.seeds) == ("lower", 8)
    assert told.difference == pytest.approx(reached(quick).sets - reached(slow).sets, rel=1e-12)
    assert told.difference_interval[0] < told.difference < told.difference_interval[1] < 0
    assert contrast(slow, quick, "sets_to_80").verdict == "higher"
    never = found([0.1, 0.1, 0.2, 0.3], rng)
    assert contrast(never, found([0.1, 0.1, 0.2, 0.3], rng), "sets_to_80").verdict == "undecided"
    change, _ = difference("sets_to_80", quick, never, range(8))
    assert change == pytest.approx(reached(quick).sets - 64, rel=1e-12)
    longer = found([0.1, 0.1, 0.2, 0.3], rng, sets=2 * SETS)
    assert difference("sets_to_80", quick, longer, range(8))[0] == change


def test_the_same_draws_of_seeds_and_questions_pair_two_arms():
    arm = found([0.4, 0.6, 0.85, 0.95], np.random.default_rng(0))
    assert difference("sets_to_80", arm, arm, range(8)) == (0.0, None)
    arm = with_kl(arm, [0.0, 0.1, 0.3, 0.7], np.random.default_rng(1))
    assert difference("kl_at_80", arm, arm, range(8)) == (0.0, None)


def with_kl(arm, means, rng):
    """Return an arm whose questions have a KL of these means at each point."""
    noise = rng.normal(size=arm[0]["right_along"].shape)
    return {seed: one | {"kl_along": np.reshape(means, (-1, 1)) * (1 + 0.1 * noise)} for seed, one in arm.items()}


def test_the_kl_where_80_percent_are_right_is_linear_between_the_points_of_both_curves():
    shares, kl = np.array([[0.5], [0.7], [0.9]]), np.array([[0.0], [0.2], [0.6]])
    assert crossing(kl, shares) == pytest.approx([0.4], rel=1e-12)
    assert crossing(kl, shares + 0.3) == [0.0]
    assert crossing(kl, shares - 0.2) == [math.inf]


def test_the_interval_of_the_kl_is_that_of_drawing_seeds_and_then_questions_again_for_both_curves():
    rng = np.random.default_rng(0)
    arm = with_kl(found([0.4, 0.6, 0.85, 0.95], rng), [0.0, 0.1, 0.3, 0.7], rng)
    right, kl = (np.stack([one[name] for one in arm.values()], axis=1) for name in ("right_along", "kl_along"))
    rng, slow = np.random.default_rng(1), []
    for _ in range(4000):
        seeds, questions = rng.integers(8, size=8), rng.integers(40, size=40)
        shares, far = (each[:, seeds][:, :, questions].mean((1, 2)) for each in (right, kl))
        slow.append(np.interp(np.interp(0.8, np.maximum.accumulate(shares), SETS), SETS, far))
    tail = expanded_tail(8)
    value, interval = kl_at_80(arm)
    at = np.interp(0.8, right.mean((1, 2)), SETS)
    assert value == pytest.approx(np.interp(at, SETS, kl.mean((1, 2))), rel=1e-12)
    for end, expected in zip(interval, np.quantile(slow, [tail, 1 - tail]), strict=True):
        assert abs(end - expected) < 0.2 * abs(expected - value)  # as for the sets above


def test_the_kl_of_an_arm_that_does_not_get_there_is_unknown_and_decides_nothing():
    rng = np.random.default_rng(0)
    far, near = ([0.0, 0.2, 0.6, 1.4], [0.0, 0.1, 0.3, 0.7])
    curve = found([0.4, 0.6, 0.9, 0.95], rng)
    told = contrast(with_kl(curve, far, rng), with_kl(curve, near, rng), "kl_at_80")
    assert (told.verdict, told.seeds) == ("higher", 8)
    values = [kl_at_80(with_kl(curve, means, np.random.default_rng(2)))[0] for means in (far, near)]
    assert values[0] == pytest.approx(2 * values[1], rel=1e-12)
    never, late = found([0.1, 0.1, 0.2, 0.3], rng), found([0.4, 0.5, 0.7, 0.82], rng)
    never, late = (with_kl(arm, near, rng) for arm in (never, late))
    assert kl_at_80(never) == (None, None)
    told = contrast(never, with_kl(curve, near, rng), "kl_at_80")
    assert (told.difference, told.difference_interval, told.verdict) == (None, None, "undecided")
    assert difference("kl_at_80", never, never, range(8)) == (None, None)
    value, interval = kl_at_80(late)  # it gets there, and many of the resampled curves do not
    assert value is not None
    assert interval is None
    assert contrast(late, with_kl(curve, far, rng), "kl_at_80").verdict == "undecided"


def test_the_interval_of_a_difference_is_that_of_the_opposite_one_whichever_arm_does_not_always_get_there():
    rng = np.random.default_rng(0)
    late = found([0.4, 0.6, 0.85, 0.93], rng)  # 29 of 10,000 resampled curves do not, fewer than the tail
    late, quick = (with_kl(arm, [0.0, 0.1, 0.3, 0.7], rng) for arm in (late, found([0.4, 0.9, 0.95, 1.0], rng)))
    low, high = difference("kl_at_80", late, quick, range(8))[1]
    assert difference("kl_at_80", quick, late, range(8))[1] == pytest.approx((-high, -low), rel=1e-12)


def test_two_seeds_have_an_interval():
    rng = np.random.default_rng(0)
    arm = with_kl(found([0.4, 0.9, 0.95, 1.0], rng, seeds=2), [0.0, 0.1, 0.3, 0.7], rng)
    low, high = reached(arm).interval
    assert low < reached(arm).sets < high
    value, (low, high) = kl_at_80(arm)
    assert low < value < high


def test_learning_curves_of_an_earlier_version_have_no_kl():
    arm = found([0.4, 0.6, 0.85, 0.95], np.random.default_rng(0))
    assert kl_at_80(arm) == (None, None)
    with pytest.raises(RuntimeError, match=r"an earlier version lack kl_along: remove these run folders"):
        difference("kl_at_80", arm, arm, range(8))

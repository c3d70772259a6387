"""Intervals over seeds and questions: against closed forms, and how often they hold the truth."""

import numpy as np
import pytest

from mapl_explore.experiments.bootstrap import RESAMPLES, expanded_tail, interval_of, mean_interval, resampled_means


def crossed(seeds, questions, rng, *, by_seed=1.0, by_question=1.0):
    return by_seed * rng.normal(size=(seeds, 1)) + by_question * rng.normal(size=(1, questions))


def test_the_resampled_means_scatter_as_the_closed_form_of_an_additive_table_says():
    values = crossed(8, 60, np.random.default_rng(0))
    seeds, questions = values.mean(1), values.mean(0)
    expected = seeds.var() / 8 + questions.var() / 60
    means = resampled_means(values, np.random.default_rng(1))
    # The variance of 10,000 nearly normal values is known to sqrt(2 / 10,000) = 1.4 %.
    assert abs(means.var() / expected - 1) < 4 * np.sqrt(2 / RESAMPLES)
    assert abs(means.mean() - values.mean()) < 4 * np.sqrt(expected / RESAMPLES)


def test_the_interval_over_seeds_that_alone_differ_is_students():
    values = np.repeat(np.random.default_rng(0).normal(size=(40, 1)), 5, axis=1)
    low, high = mean_interval(values)
    scale = values[:, 0].std(ddof=1) / np.sqrt(40)
    # t with 39 degrees of freedom is 2.0227 at 0.975; the quantile of 10,000 resamples is known to 2 %.
    assert (high - low) / 2 == pytest.approx(2.0227 * scale, rel=0.08)


@pytest.mark.parametrize(("by_seed", "by_question"), [(1, 0), (1, 1), (0, 1)])
def test_95_percent_intervals_of_eight_seeds_hold_the_true_mean_as_often_as_they_say(by_seed, by_question, monkeypatch):
    monkeypatch.setattr("mapl_explore.experiments.bootstrap.RESAMPLES", 1000)
    rng = np.random.default_rng(7)
    tables = [crossed(8, 40, rng, by_seed=by_seed, by_question=by_question) for _ in range(200)]
    held = sum(low <= 0 <= high for low, high in map(mean_interval, tables))
    assert held >= 181  # of 200; fewer have a chance of 0.3 % at 95 %


def test_the_same_seed_gives_the_same_interval_and_pairs_of_equal_arms_give_none():
    values = crossed(8, 30, np.random.default_rng(0))
    assert mean_interval(values) == mean_interval(values.copy())
    assert mean_interval(values) != mean_interval(values, seed=1)
    assert mean_interval(values - values) is None
    assert mean_interval(np.full((8, 30), 0.1)) is None  # whose sums round
    assert mean_interval(values[:1]) is None
    low, high = mean_interval(values[:2])
    assert low < values[:2].mean() < high


def test_an_interval_moves_with_its_values_however_narrow_it_is_next_to_them():
    values = crossed(8, 30, np.random.default_rng(0))
    moved = np.subtract(mean_interval(values + 1e6), 1e6)
    # Sums near 10^6 are rounded by 10^-10.
    assert moved == pytest.approx(mean_interval(values), abs=1e-8)


def test_a_shared_difficulty_of_questions_leaves_the_paired_difference_sharp():
    rng = np.random.default_rng(0)
    base = crossed(8, 50, rng, by_seed=0.01, by_question=3.0)
    arm = base + 0.5 + 0.01 * rng.normal(size=(8, 1))
    low, high = mean_interval(arm - base)
    assert 0.4 < low < 0.5 < high < 0.6
    assert np.subtract(*mean_interval(arm)[::-1]) > 1


def test_the_tail_grows_to_that_of_many_seeds():
    tails = [expanded_tail(seeds) for seeds in (2, 8, 30, 10**6)]
    assert tails == sorted(tails)
    assert tails[-1] == pytest.approx(0.025, rel=1e-4)


def test_resamples_without_a_number_count_as_beyond_either_end():
    draws = np.random.default_rng(0).normal(size=10_000)
    tail = expanded_tail(8)
    whole = interval_of(draws, 8)
    some = interval_of(np.where(np.arange(10_000) < 40, np.nan, draws), 8)  # fewer than the tail, which has 57
    assert some[0] < whole[0] < whole[1] < some[1]
    known = np.sort(draws[40:])
    assert known[round(tail * 10_000) - 42] <= some[0] <= known[round(tail * 10_000) - 38]
    assert interval_of(np.where(np.arange(10_000) < 60, np.nan, draws), 8) is None
    assert interval_of(np.full(10_000, np.nan), 8) is None

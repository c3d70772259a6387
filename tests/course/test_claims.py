"""The post's claims: each answer can come out either way, and its figures are the ones named."""

import numpy as np
import pytest

from mapl_explore.course.claims import claim_outlier, claim_reach, claim_rejection
from mapl_explore.losses import CPO, DPO, IPO, ScoredSets, explain
from mapl_explore.sampling.pair_gradients import pair_gradient
from mapl_explore.sampling.pairs import Band, maxneg_minpos, pair_margins


def spread_sets(scale, seed=0):
    logp = np.random.default_rng(seed).normal(size=(60, 6)) * scale
    label = np.tile([1, 1, 1, -1, -1, -1], (60, 1))
    return ScoredSets(logp, 0 * logp, abs(label), label)


def test_rejection_lowers_the_variance_of_wide_margins():
    assert claim_rejection(spread_sets(9.0)).holds


def test_rejection_raises_the_variance_where_it_keeps_both_ends_of_a_pool_that_is_mostly_alike():
    margins = np.array([80.0] * 54 + [60.0] * 3 + [-80.0] * 3)
    label = np.tile([1, -1], (60, 1))
    logp = np.stack([margins, 0 * margins], axis=-1)
    found = claim_rejection(ScoredSets(logp, 0 * logp, abs(label), label), accept=Band(low=-100.0, high=70.0))
    assert not found.holds
    # The slope is -0.1 where the margin is -80 and nearly 0 elsewhere: for 1 pair in 20, and for 1 in 2 of those kept.
    assert found.figures["variance (random)"] == pytest.approx(0.01 * 0.05 * 0.95, rel=0.1)
    assert found.figures["variance (rejection)"] == pytest.approx(0.01 * 0.5 * 0.5, rel=0.1)


def test_rejection_that_accepts_everything_changes_the_variance_by_chance_alone():
    found = claim_rejection(spread_sets(9.0), accept=Band(low=-1e9, high=1e9), seed=1)
    assert found.figures["variance (rejection)"] == pytest.approx(found.figures["variance (random)"], rel=0.1)


def test_a_small_tau_reaches_all_negatives_and_a_large_one_a_single_one():
    assert claim_reach(spread_sets(1.0), tau=1e-6).figures["effective negatives"] == pytest.approx(3.0, abs=1e-4)
    found = claim_reach(spread_sets(1.0), tau=1e6)
    assert not found.holds
    assert found.figures["effective negatives"] == pytest.approx(1.0)


def test_a_far_outlier_takes_the_smooth_minimum_as_it_takes_the_hard_one():
    found = claim_outlier(spread_sets(1.0), tau=1.0, drop=20.0)
    assert not found.holds
    assert found.figures["outlier's share (hard)"] == 1.0
    assert found.figures["outlier's share (smooth)"] > 0.99
    assert claim_outlier(spread_sets(0.1), tau=0.001, drop=20.0).figures["outlier's share (smooth)"] < 0.4


def test_what_compares_log_ratios_refuses_sets_that_are_their_own_reference():
    label = np.tile([1, 1, -1, -1], (3, 1))
    logp = -np.arange(12.0).reshape(3, 4) - 1
    own = ScoredSets(logp, logp, abs(label), label)
    pairs = pair_margins(own, CPO())
    asked = [claim_rejection, claim_reach, lambda sets: explain(DPO(), sets), lambda sets: pair_margins(sets, IPO())]
    asked += [lambda sets: maxneg_minpos(sets, DPO()), lambda sets: pair_gradient(sets, DPO(), pairs, pairs.margin**2)]
    for ask in asked:
        with pytest.raises(ValueError, match="compares log-ratios to a reference, and these sets have none"):
            ask(own)
    assert claim_outlier(own).figures["margin falls (hard)"] > 0
    assert explain(CPO(), own)[0].weight < 0

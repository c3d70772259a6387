"""The post's claims: each answer can come out either way, and its figures are the ones named."""

import numpy as np
import pytest

from mapl_explore.claims import claim_outlier, claim_reach, claim_rejection
from mapl_explore.losses import ScoredSets
from mapl_explore.selection import Band


def spread_sets(scale, seed=0):
    logp = np.random.default_rng(seed).normal(size=(60, 6)) * scale
    label = np.tile([1, 1, 1, -1, -1, -1], (60, 1))
    return ScoredSets(logp, 0 * logp, abs(label), label)


def test_rejection_lowers_the_variance_of_wide_margins_and_can_raise_it():
    assert claim_rejection(spread_sets(9.0)).holds
    found = claim_rejection(spread_sets(9.0), accept=Band(low=-1e9, high=1e9), seed=1)
    # Everything accepted: two samples of the same pool, whose variances differ by chance alone.
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

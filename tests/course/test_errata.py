"""The errata of the post, each as the numbers that show it."""

import numpy as np
import pytest

from mapl_explore.course.errata import post_smooth_margin, post_smooth_max, post_tau
from mapl_explore.losses import Mellow
from mapl_explore.numerics.bounds import error_lower_bound, error_upper_bound
from mapl_explore.numerics.smoothing import smooth_max, smooth_max_weights, smooth_min, smoothing_error
from mapl_explore.numerics.temperature import solve_tau_lower, solve_tau_upper


def test_1_the_rewritten_smooth_max_grows_with_the_distance_to_the_maximum():
    values = [float(post_smooth_max([0.0, -d], tau=1.0)) for d in (1.0, 10.0, 100.0)]
    assert values == pytest.approx([1.313, 10.0, 100.0], abs=1e-3)
    assert smooth_max([0.0, -100.0], tau=1.0) < 1e-40


def test_2_log_sum_exp_overshoots_and_only_its_mean_version_falls_below():
    scores = np.array([0.0, -0.5, -3.0])
    assert smooth_max(scores, tau=2.0) > scores.max() > Mellow(tau=2.0).top(scores)
    assert scores.max() - Mellow(tau=2.0).top(scores) <= np.log(3) / 2.0


def test_3_an_upper_bound_of_epsilon_does_not_make_the_error_epsilon_and_a_lower_bound_does():
    scores = [0.0, -1.0, -50.0, -50.0]
    tau = solve_tau_upper(epsilon=0.1, n=4, gap=1.0)
    assert error_upper_bound(n=4, gap=1.0, tau=tau) == pytest.approx(0.1)
    assert smoothing_error(scores, tau=tau) == pytest.approx(0.036, abs=5e-4)
    tau = solve_tau_lower(epsilon=0.1, gap=1.0)
    assert smoothing_error(scores, tau=tau) >= 0.1 * (1 - 1e-12)


def test_4_as_the_gap_grows_tau_must_fall():
    taus = solve_tau_upper(epsilon=0.1, n=4, gap=[0.1, 1.0, 10.0])
    assert np.all(np.diff(taus) < 0)


def test_5_the_large_tau_form_overshoots():
    assert post_tau(epsilon=0.1, n=4, gap=1.0) == pytest.approx(2.489, abs=5e-4)
    assert solve_tau_upper(epsilon=0.1, n=4, gap=1.0) == pytest.approx(2.402, abs=5e-4)
    assert error_upper_bound(n=4, gap=1.0, tau=2.489) == pytest.approx(0.089, abs=5e-4)


@pytest.mark.parametrize(("n", "gap", "epsilon", "ratio"), [(4, 1.0, 0.1, 1.04), (100_000, 3.0, 3.0, 1.61)])
def test_5_the_large_tau_form_needs_more_than_a_large_product_of_tau_and_gap(n, gap, epsilon, ratio):
    root = solve_tau_upper(epsilon=epsilon, n=n, gap=gap)
    assert post_tau(epsilon=epsilon, n=n, gap=gap) / root == pytest.approx(ratio, abs=5e-3)
    small = (n - 1) * np.exp(-root * gap) < 1
    assert small == (ratio < 1.1)
    assert root * gap > 2


def test_6_the_smooth_maxneg_minpos_subtracts_a_maximum():
    positives, negatives = [-1.0, -4.0], [-3.0, -5.0]
    assert post_smooth_margin(positives, negatives, tau=50.0) == pytest.approx(-2.0, abs=1e-6)
    right = smooth_max(negatives, tau=50.0) - smooth_min(positives, tau=50.0)
    assert right == pytest.approx(max(negatives) - min(positives)) == 1.0


def test_9_a_fixed_error_does_not_fix_the_share_of_the_gradient():
    shares = []
    for gap in (1.0, 100.0, 1000.0):
        tau = solve_tau_upper(epsilon=0.1, n=2, gap=gap)
        assert error_lower_bound(gap=gap, tau=tau) == pytest.approx(0.1)
        shares.append(1 - smooth_max_weights([0.0, -gap], tau=tau)[0])
    assert shares == pytest.approx([0.16, 0.005, 0.0007], rel=0.06)

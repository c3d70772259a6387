"""The bounds on the error: right to a few eps, never violated, attained, ordered, differentiable, strict."""

import math

import numpy as np
import oracle
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import EPS, SUBNORMAL, assert_close
from mapl_explore.numerics.bounds import error_asymptote, error_lower_bound, error_upper_bound
from mapl_explore.numerics.smoothing import smoothing_error, top_gap

INF = float("inf")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(100))
def test_the_bounds_are_within_four_conditions_of_the_reference(library, dtype, seed):
    rng = np.random.default_rng(seed)
    n, kind = int(10 ** rng.uniform(math.log10(2), 6)), np.dtype(dtype).type
    gap, tau = kind(10 ** rng.uniform(-12, 6) * rng.integers(0, 2)), kind(10 ** rng.uniform(-12, 12))
    x, t = library(gap, dtype), library(tau, dtype)
    for got, expected, count in (
        (error_upper_bound(n=n, gap=x, tau=t), oracle.upper(n, gap, tau), n),
        (error_lower_bound(gap=x, tau=t), oracle.upper(2, gap, tau), 2),
        (error_asymptote(n=n, gap=x, tau=t), oracle.asymptote(n, gap, tau), n),
    ):
        condition = 1 + oracle.exact(tau) * oracle.exact(gap) + math.log(count)
        allowed = 4 * EPS[dtype] * condition * expected + SUBNORMAL[dtype] * max(1, 1 / oracle.exact(tau))
        assert abs(oracle.exact(got) - expected) <= allowed


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=20), st.floats(1e-6, 1e6))
def test_the_error_never_leaves_its_bounds(scores, tau):
    gap = top_gap(scores)
    # Both sides are rounded, each by up to four times its condition.
    slack = 1 + 8 * EPS["float64"] * (1 + tau * gap + math.log(len(scores)))
    error = smoothing_error(scores, tau=tau)
    assert error_lower_bound(gap=gap, tau=tau) <= error * slack
    assert error <= error_upper_bound(n=len(scores), gap=gap, tau=tau) * slack


@pytest.mark.parametrize(("n", "gap", "tau"), [(2, 0.0, 3.0), (5, 0.7, 0.01), (9, 2.0, 30.0)])
def test_the_upper_bound_is_attained_when_the_others_tie_and_the_lower_when_one_is_finite(library, n, gap, tau):
    tied = library([0.0] + [-gap] * (n - 1))
    alone = library([0.0, -gap] + [-INF] * (n - 2))
    k = 8 * (1 + tau * gap + math.log(n))
    assert_close(smoothing_error(tied, tau=tau), float(error_upper_bound(n=n, gap=gap, tau=tau)), k=k)
    assert_close(smoothing_error(alone, tau=tau), float(error_lower_bound(gap=gap, tau=tau)), k=k)


@given(st.integers(2, 10**6), st.floats(0, 1e4), st.floats(1e-6, 1e6))
def test_the_upper_bound_is_below_log_n_over_tau_and_below_its_asymptote(n, gap, tau):
    bound = error_upper_bound(n=n, gap=gap, tau=tau)
    slack = 1 + 8 * EPS["float64"] * (1 + tau * gap + math.log(n))
    assert bound <= math.log(n) / tau * slack
    assert bound <= error_asymptote(n=n, gap=gap, tau=tau) * slack
    assert error_lower_bound(gap=gap, tau=tau) <= bound * slack


def test_a_set_of_one_has_bounds_of_zero_and_gradients_of_zero(library):
    for n, gap in ((1, 0.5), (1, INF), (4, INF)):
        assert float(error_upper_bound(n=n, gap=library(gap), tau=2.0)) == 0.0
        assert float(error_asymptote(n=n, gap=library(gap), tau=2.0)) == 0.0
        tau = torch.tensor(2.0, requires_grad=True)
        total = error_upper_bound(n=n, gap=gap, tau=tau) + error_asymptote(n=n, gap=gap, tau=tau)
        assert torch.autograd.grad(total, tau)[0] == 0.0
    assert float(error_lower_bound(gap=library(INF), tau=2.0)) == 0.0


def test_a_smaller_gap_means_a_larger_bound():
    bounds = error_upper_bound(n=4, gap=[0.0, 0.5, 1.0, 4.0], tau=1.0)
    assert np.all(np.diff(bounds) < 0)


@pytest.mark.parametrize("gap", [0.0, 0.3, 40.0])
@pytest.mark.parametrize("tau", [0.01, 1.0, 20.0])
def test_the_gradients_of_the_upper_bound_are_the_derivatives_of_its_formula(gap, tau):
    x, t = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (gap, tau))
    by_gap, by_tau = torch.autograd.grad(error_upper_bound(n=5, gap=x, tau=t), (x, t))
    mp, a, b = oracle.mp, oracle.exact(gap), oracle.exact(tau)
    share = 4 * mp.exp(-b * a) / (1 + 4 * mp.exp(-b * a))
    k = 16 * (1 + gap * tau)  # exp turns the rounding of tau*gap into a relative error
    assert_close(by_gap, float(-share), k=k)
    assert_close(by_tau, float(-mp.log1p(4 * mp.exp(-b * a)) / b**2 - a * share / b), k=k)


def test_the_arguments_broadcast():
    bounds = error_upper_bound(n=[[2], [9]], gap=[0.0, 1.0, 2.0], tau=1.0)
    assert bounds.shape == (2, 3)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"n": 0, "gap": 1.0, "tau": 1.0}, ValueError, "n must be >= 1, not 0"),
        ({"n": -3, "gap": 1.0, "tau": 1.0}, ValueError, "n must be >= 1, not -3"),
        ({"n": 2.5, "gap": 1.0, "tau": 1.0}, TypeError, "n must be an integer.*2.5"),
        ({"n": "8", "gap": 1.0, "tau": 1.0}, TypeError, "n must be numbers.*'8'"),
        ({"n": True, "gap": 1.0, "tau": 1.0}, TypeError, "n must be numbers.*True"),
        ({"n": 2, "gap": -0.5, "tau": 1.0}, ValueError, "gap must be >= 0, not -0.5"),
        ({"n": 2, "gap": float("nan"), "tau": 1.0}, ValueError, "gap must be >= 0, not nan"),
        ({"n": 2, "gap": np.array([1, 2]), "tau": 1.0}, TypeError, "gap must be a floating-point array.*int64"),
        ({"n": 2, "gap": 1.0, "tau": 0.0}, ValueError, "tau must be > 0 and finite, not 0.0"),
        ({"n": [2, 3], "gap": [1.0] * 3, "tau": 1.0}, ValueError, r"broadcast, but n has shape \(2,\), gap has shape"),
    ],
)
def test_bad_arguments_are_refused_by_name_and_value(arguments, kind, message):
    for bound in (error_upper_bound, error_asymptote):
        with pytest.raises(kind, match=message):
            bound(**arguments)

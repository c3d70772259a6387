"""The tau that meets a target where alpha is above 1: put back into the definition in many digits."""

import math

import mpmath as mp
import numpy as np
import oracle
import pytest
import torch
from numerics.test_smoothing import random_set

from conftest import EPS, assert_close
from mapl_explore.numerics.bounds import error_lower_bound, error_upper_bound
from mapl_explore.numerics.smoothing import smooth_max_weights, smoothing_error, top_gap
from mapl_explore.numerics.temperature import (
    solve_tau_exact,
    solve_tau_lower,
    solve_tau_share,
    solve_tau_share_exact,
    solve_tau_upper,
)

INF = float("inf")
ALPHAS = [1 + 1e-12, 1 + 1e-6, 1.02, 1.2, 1.5, 1.8, 2.0]
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def eps_off(scores, tau, epsilon, alpha, dtype):
    """Return how many eps a tau is away from the root of error = epsilon, by the slope -H/tau^2 of the error."""
    error, weights = oracle.tsallis(scores, tau, alpha)
    top, _ = oracle.split(scores)
    mean = mp.fsum(w * (top - oracle.exact(s)) for w, s in zip(weights, scores, strict=True) if w)
    return abs(error - oracle.exact(epsilon)) / (error + mean) / EPS[dtype]


@pytest.mark.parametrize("alpha", ALPHAS)
@DTYPES
@pytest.mark.parametrize("seed", range(3))
def test_the_exact_root_is_within_four_eps(library, dtype, alpha, seed):
    rng = np.random.default_rng([seed, len(dtype), int(100 * alpha)])
    scores = np.append(random_set(rng, dtype, 30), np.dtype(dtype).type(-4))  # one more, since a set of one has no root
    epsilon = np.dtype(dtype).type(10 ** rng.uniform(-8, 3))
    tau = solve_tau_exact(library(scores, dtype), epsilon=library(epsilon, dtype), alpha=alpha)
    assert eps_off(scores, tau, epsilon, alpha, dtype) <= 4


@pytest.mark.parametrize("alpha", ALPHAS)
@DTYPES
def test_the_roots_of_the_bounds_are_within_four_eps_for_targets_of_all_sizes(library, dtype, alpha):
    kind = np.dtype(dtype).type
    for ratio in (1e-10, 1e-3, 0.1, 1.0, 50.0, 1e6):
        gap, epsilon = kind(2.3), kind(2.3 * ratio)
        arguments = {"gap": library(gap, dtype), "epsilon": library(epsilon, dtype), "alpha": alpha}
        for n, tau in ((5, solve_tau_upper(n=5, **arguments)), (2, solve_tau_lower(**arguments))):
            assert eps_off([0.0] + [-float(gap)] * (n - 1), tau, epsilon, alpha, dtype) <= 4


@pytest.mark.parametrize("alpha", ALPHAS)
@DTYPES
@pytest.mark.parametrize("share", [0.5001, 0.9, 0.9999])
def test_the_leader_has_the_share_at_the_root_for_it(library, dtype, alpha, share):
    rng = np.random.default_rng([int(100 * alpha), len(dtype)])
    scores, share = (-np.cumsum(rng.exponential(size=9))).astype(dtype), np.dtype(dtype).type(share)
    tau = solve_tau_share_exact(library(scores, dtype), share=library(share, dtype), alpha=alpha)
    _, weights = oracle.tsallis(scores, tau, alpha)
    top, _ = oracle.split(scores)
    far = [oracle.exact(tau) * (top - oracle.exact(s)) for s in scores]
    moved = [w ** (2 - oracle.exact(alpha)) if w else mp.mpf(0) for w in weights]
    # The slope of the leader's weight in log tau, from the derivative of "all weights add up to 1".
    slope = moved[0] * mp.fsum(m * x for m, x in zip(moved, far, strict=True)) / mp.fsum(moved)
    assert abs(weights[0] - oracle.exact(share)) <= 4 * EPS[dtype] * slope
    certain = solve_tau_share(share=library(share, dtype), gap=library(scores[0] - scores[1], dtype), alpha=alpha)
    assert float(certain) <= float(tau) * (1 + 4 * EPS[dtype])


@pytest.mark.parametrize("alpha", ALPHAS)
@DTYPES
def test_the_share_is_within_four_eps_next_to_a_half_and_next_to_one(library, dtype, alpha):
    kind, gap = np.dtype(dtype).type, np.dtype(dtype).type(0.7)
    for share in map(kind, (0.5 + 4 * EPS[dtype], 0.500001, 0.5001, 0.999, 1 - EPS[dtype])):
        expected = solve_tau_share(share=library(share, dtype), gap=library(gap, dtype), alpha=alpha)
        tau = solve_tau_share_exact(library([0.0, -gap], dtype), share=library(share, dtype), alpha=alpha)
        assert_close(tau, oracle.exact(expected), k=6, dtype=dtype)  # both are rounded
        many = solve_tau_share_exact(library([0.0] + [-gap] * 99, dtype), share=library(share, dtype), alpha=alpha)
        assert float(many) >= float(expected) * (1 - 4 * EPS[dtype])


@pytest.mark.parametrize("alpha", ALPHAS)
@DTYPES
def test_with_a_single_other_the_certain_share_is_the_share(library, dtype, alpha):
    kind = np.dtype(dtype).type
    for share in map(kind, (0.5000001, 0.75, 0.999)):
        x = oracle.exact(solve_tau_share(share=library(share, dtype), gap=library(kind(0.7), dtype), alpha=alpha))
        c, share = oracle.exact(alpha) - 1, oracle.exact(share)
        assert abs(x / ((share**c - (1 - share) ** c) / (c * oracle.exact(kind(0.7)))) - 1) <= 4 * EPS[dtype]


@pytest.mark.parametrize("alpha", [1.2, 1.5, 2.0])
def test_a_score_that_is_too_far_to_matter_does_not_matter(library, alpha):
    alone, far = (
        solve_tau_exact(library(each), epsilon=1e-10, alpha=alpha) for each in ([0.0, -1.0], [0.0, -1.0, -1e300])
    )
    assert_close(far, float(alone), k=4)


def test_the_root_at_alpha_2_is_its_closed_form():
    for n, gap, epsilon in ((4, 1.0, 0.1), (2, 0.3, 5.0), (100, 40.0, 1e-3)):
        c = n * epsilon / (n - 1)
        expected = 1 / (gap + c + math.sqrt(c * (c + 2 * gap)))
        got = solve_tau_upper(epsilon=epsilon, n=n, gap=gap, alpha=2)
        assert got == pytest.approx(expected, rel=8 * EPS["float64"])


@pytest.mark.parametrize("alpha", [1.0001, 1.3, 1.5, 2.0])
def test_the_roots_stand_in_their_order_below_the_tau_from_which_there_is_no_error(alpha):
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(300, 6)) * 10 ** rng.uniform(-3, 3, size=(300, 1))
    epsilon, gap = 10 ** rng.uniform(-6, 3, size=300), top_gap(scores)
    lower = solve_tau_lower(epsilon=epsilon, gap=gap, alpha=alpha)
    exact = solve_tau_exact(scores, epsilon=epsilon, alpha=alpha)
    upper = solve_tau_upper(epsilon=epsilon, n=6, gap=gap, alpha=alpha)
    slack = 1 + 16 * EPS["float64"]
    assert np.all(lower <= exact * slack)
    assert np.all(exact <= upper * slack)
    assert np.all(upper <= slack / ((alpha - 1) * gap))


def test_just_above_one_the_roots_are_those_at_one():
    scores = np.random.default_rng(0).normal(size=(200, 7))
    near, gap = {"alpha": 1 + 1e-12}, top_gap(scores)
    for at, beside in (
        (solve_tau_exact(scores, epsilon=0.1), solve_tau_exact(scores, epsilon=0.1, **near)),
        (solve_tau_upper(epsilon=0.1, n=7, gap=gap), solve_tau_upper(epsilon=0.1, n=7, gap=gap, **near)),
        (solve_tau_lower(epsilon=0.1, gap=gap), solve_tau_lower(epsilon=0.1, gap=gap, **near)),
        (solve_tau_share(share=0.9, gap=gap), solve_tau_share(share=0.9, gap=gap, **near)),
        (solve_tau_share_exact(scores, share=0.9), solve_tau_share_exact(scores, share=0.9, **near)),
    ):
        np.testing.assert_allclose(beside, at, rtol=1e-10)


@pytest.mark.parametrize("alpha", [1.01, 1.5, 2.0])
def test_gradients_are_those_of_finite_differences_twice(alpha):
    def leaf(*numbers):
        return torch.tensor(numbers, dtype=torch.float64, requires_grad=True)

    gap, epsilon, share = leaf(0.1, 0.5, 0.9), leaf(0.3, 0.1, 0.25), leaf(0.6, 0.9, 0.8)
    scores = leaf(0.0, -0.35, -0.42, -9.0)
    for solve, given in (
        (lambda e, g: solve_tau_upper(epsilon=e, n=5, gap=g, alpha=alpha), (epsilon, gap)),
        (lambda e, g: solve_tau_lower(epsilon=e, gap=g, alpha=alpha), (epsilon, gap)),
        (lambda e, x: solve_tau_exact(x, epsilon=e, alpha=alpha), (epsilon[1], scores)),
        (lambda s, g: solve_tau_share(share=s, gap=g, alpha=alpha), (share, gap)),
        (lambda s, x: solve_tau_share_exact(x, share=s, alpha=alpha), (share[1], scores)),
    ):
        assert torch.autograd.gradcheck(solve, given)
        assert torch.autograd.gradgradcheck(solve, given)


@pytest.mark.parametrize("alpha", [1.2, 1.5, 2.0])
def test_ties_padding_halves_and_sets_of_one(alpha):
    ties, uniform = [1.0] * 4 + [-INF], (1 - 4 ** (1 - alpha)) / (alpha * (alpha - 1))
    assert solve_tau_exact(ties, epsilon=0.1, alpha=alpha) == pytest.approx(uniform / 0.1, rel=4 * EPS["float64"])
    assert solve_tau_share_exact(ties, share=0.9, alpha=alpha) == INF
    assert solve_tau_share(share=0.9, gap=0.0, alpha=alpha) == INF
    padded, plain = [1.0, -INF, 0.25, -INF, -3.0], [1.0, 0.25, -3.0]
    for solve in (solve_tau_exact, solve_tau_share_exact):
        target = {"epsilon": 0.1} if solve is solve_tau_exact else {"share": 0.9}
        assert solve(padded, alpha=alpha, **target) == solve(plain, alpha=alpha, **target)
        half = torch.tensor(plain, dtype=torch.float16)
        assert torch.equal(solve(half, alpha=alpha, **target), solve(half.float(), alpha=alpha, **target).half())
    with pytest.raises(ValueError, match="no tau exists"):
        solve_tau_exact([1.0, -INF], epsilon=0.1, alpha=alpha)


def test_a_root_put_back_gives_the_target_also_for_a_million_ties():
    tau = solve_tau_upper(epsilon=0.1, n=1_000_000, gap=2.0, alpha=1.5)
    assert error_upper_bound(n=1_000_000, gap=2.0, tau=tau, alpha=1.5) == pytest.approx(0.1, rel=1e-12)
    tau = solve_tau_lower(epsilon=0.1, gap=2.0, alpha=1.5)
    assert error_lower_bound(gap=2.0, tau=tau, alpha=1.5) == pytest.approx(0.1, rel=1e-12)
    scores = [0.0, -1.0, -1e300]
    assert smoothing_error(scores, tau=solve_tau_exact(scores, epsilon=0.1, alpha=1.5), alpha=1.5) == pytest.approx(0.1)
    tau = solve_tau_share_exact(scores, share=0.9, alpha=1.5)
    assert smooth_max_weights(scores, tau=tau, alpha=1.5)[0] == pytest.approx(0.9)


@pytest.mark.parametrize("alpha", [1.3, 1.5, 1.85, 2.0])
@DTYPES
def test_a_tiny_target_has_its_root_next_to_where_the_error_ends(library, dtype, alpha):
    for size in (0.7, 78010.16, 855041.9):
        gap = torch.tensor(size, dtype=getattr(torch, dtype), requires_grad=True)
        tau = solve_tau_upper(epsilon=1e-14 * size, n=30, gap=gap, alpha=alpha)
        (slope,) = torch.autograd.grad(tau, gap)
        tau = tau.detach()
        # The root is 4e-4 below that at 1.3, and 1e-7 at 2; its slope moves by the same order.
        assert float(tau) == pytest.approx(1 / ((alpha - 1) * size), rel=2e-3)
        assert float(slope) == pytest.approx(-float(tau) / size, rel=2e-3)
        plain = solve_tau_upper(epsilon=library(1e-14 * size, dtype), n=30, gap=library(size, dtype), alpha=alpha)
        assert_close(plain, float(tau), k=4, dtype=dtype)


def test_a_target_below_what_neighbouring_floats_can_tell_apart_converges(library):
    gap = 4457.066661170973
    tau = solve_tau_upper(epsilon=library(8.5610979924407e-12), n=9, gap=library(gap), alpha=1.999)
    assert float(tau) == pytest.approx(1 / (0.999 * gap), rel=1e-6)


def test_above_one_there_is_one_method():
    for solve in (
        lambda **given: solve_tau_upper(epsilon=0.1, n=4, gap=1.0, **given),
        lambda **given: solve_tau_lower(epsilon=0.1, gap=1.0, **given),
        lambda **given: solve_tau_exact([0.0, -1.0], epsilon=0.1, **given),
        lambda **given: solve_tau_share_exact([0.0, -1.0], share=0.9, **given),
    ):
        with pytest.raises(ValueError, match="method must be 'newton' where alpha is above 1, not 'bracket'"):
            solve(method="bracket", alpha=1.5)
        with pytest.raises(ValueError, match="alpha must be one number from 1 "):
            solve(alpha=2.5)

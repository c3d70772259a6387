"""The smoothings with alpha above 1 against their definition in many digits: error, weights, bounds, gradients."""

import math

import mpmath as mp
import numpy as np
import oracle
import pytest
import torch
from numerics.test_smoothing import random_set

from conftest import EPS, SUBNORMAL, numbers
from mapl_explore.numerics.bounds import error_lower_bound, error_upper_bound
from mapl_explore.numerics.smoothing import smooth_max, smooth_max_weights, smooth_min, smoothing_error
from mapl_explore.numerics.tsallis import log_deformed
from mapl_explore.numerics.unchecked import smooth_max_with_weights

INF = float("inf")
ALPHAS = [1 + 1e-12, 1 + 1e-6, 1.02, 1.2, 1.5, 1.8, 2.0]


def sharpest(rng, scores, alpha, dtype):
    """Return a tau at which some of the scores have a weight: far above it the leader has all."""
    distance = np.sort(scores.max() - scores)[1:]
    far = float(rng.choice(distance[distance > 0])) if np.any(distance > 0) else 1.0
    return np.dtype(dtype).type(np.clip(10 ** rng.uniform(-2, 0.2) / (max(alpha - 1, 0.01) * far), 1e-12, 1e12))


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(5))
def test_error_weights_and_smooth_max_are_within_four_conditions_of_the_definition(library, dtype, alpha, seed):
    rng = np.random.default_rng([seed, len(dtype), int(100 * alpha)])
    scores = random_set(rng, dtype, 40)
    tau = sharpest(rng, scores, alpha, dtype)
    error, weights = oracle.tsallis(scores, tau, alpha)
    arguments = {"tau": library(tau, dtype), "alpha": alpha}
    top, _ = oracle.split(scores)
    mean = mp.fsum(w * (top - oracle.exact(s)) for w, s in zip(weights, scores, strict=True))
    condition = 1 + (mean / error if error else 0) + math.log(len(scores))
    allowed = 4 * EPS[dtype] * condition * error + SUBNORMAL[dtype] * max(1, 1 / oracle.exact(tau)) * len(scores)
    assert abs(oracle.exact(smoothing_error(library(scores, dtype), **arguments)) - error) <= allowed
    got = oracle.exact(smooth_max(library(scores, dtype), **arguments))
    assert abs(got - (top + error)) <= allowed + 4 * EPS[dtype] * abs(top)
    got = numbers(smooth_max_weights(library(scores, dtype), **arguments))
    for weight, expected, score in zip(got, weights, scores, strict=True):
        far = oracle.exact(tau) * (top - oracle.exact(score)) + math.log(len(scores))
        # [1 - c*y]^(1/c) moves by y w^(1 - c) for a relative move of y.
        slope = expected * (1 + far * expected ** (1 - alpha)) if expected else 0
        edge = 0 if expected else (4 * EPS[dtype] * (1 + far)) ** (1 / (alpha - 1)) if alpha > 1.01 else 0
        assert abs(oracle.exact(weight) - expected) <= 4 * EPS[dtype] * slope + SUBNORMAL[dtype] + edge


@pytest.mark.parametrize("alpha", [1.2, 1.5, 2.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(8))
def test_what_a_loss_takes_in_one_pass_is_within_four_conditions_as_well(library, dtype, alpha, seed):
    rng = np.random.default_rng([seed, len(dtype), int(100 * alpha)])
    scores = random_set(rng, dtype, 60)
    scores[rng.random(scores.size) < 0.1 * (scores < scores.max())] = -INF
    tau = sharpest(rng, scores, alpha, dtype)
    error, weights = oracle.tsallis(scores, tau, alpha)
    value, got = smooth_max_with_weights(library(scores, dtype), library(tau, dtype), alpha)
    assert value.dtype == got.dtype == library(scores, dtype).dtype
    allowed = 4 * EPS[dtype] * (1 + math.log(len(scores)))
    top, _ = oracle.split(scores)
    mean = mp.fsum(w * (top - oracle.exact(s)) for w, s in zip(weights, scores, strict=True) if w)
    assert abs(oracle.exact(value) - top - error) <= allowed * (abs(top) + error + mean)
    for weight, expected, score in zip(numbers(got), weights, scores, strict=True):
        far = oracle.exact(tau) * (top - oracle.exact(score)) if score > -INF else 0
        slope = expected + far * expected ** (2 - alpha) if expected else 0
        edge = 0 if expected or score == -INF else (4 * EPS[dtype] * (1 + far)) ** (1 / (alpha - 1))
        assert abs(oracle.exact(weight) - expected) <= allowed * slope + SUBNORMAL[dtype] + edge


@pytest.mark.parametrize("alpha", [1.5, 2.0])
def test_the_closed_forms_keep_their_digits_for_many_ties_and_near_ties(library, alpha):
    for n in (2, 1000, 100_000):
        for apart in (0.0, 1e-9, 1e-3):
            scores = library(-apart * np.linspace(0, 1, n))
            _, weights = smooth_max_with_weights(scores, library(1.0), alpha)
            expected = numbers(smooth_max_weights(scores, tau=1.0, alpha=alpha))
            np.testing.assert_allclose(numbers(weights), expected, rtol=0, atol=8 * EPS["float64"] * expected[0])


@pytest.mark.parametrize("alpha", [1.95, 1.999, 2.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_many_ties_next_to_where_they_lose_their_weight_share_what_the_leader_leaves(library, dtype, alpha):
    kind, n = np.dtype(dtype).type, 10_000
    for base in 10 ** np.linspace(-5, -1, 12):
        gap, tau = kind(0.7), kind((1 - base) / ((alpha - 1) * 0.7))
        scores = library(np.append(0, np.full(n - 1, -gap)), dtype)
        weights = numbers(smooth_max_weights(scores, tau=library(tau, dtype), alpha=alpha))
        assert weights.sum() == pytest.approx(1, abs=32 * EPS[dtype])
        # The definition by its one unknown, what of 1 - (alpha - 1)*tau*gap is left to the others.
        c, x = oracle.exact(alpha) - 1, oracle.exact(tau) * oracle.exact(gap)
        left = mp.findroot(
            lambda b: (n - 1) * b ** (1 / c) + (c * x + b) ** (1 / c) - 1,  # noqa: B023
            (0, 1 - c * x),
            solver="anderson",
            tol=1e-60,
        )
        rest = (n - 1) * left ** (1 / c)
        others = (n - 1) * left ** (1 + 1 / c)
        expected = (1 - (1 - rest) ** (1 + c) - others) / (c * (1 + c)) - rest * x
        condition = 1 + rest * x / expected + math.log(n)
        got = oracle.exact(smoothing_error(scores, tau=library(tau, dtype), alpha=alpha)) * oracle.exact(tau)
        assert abs(got - expected) <= 4 * EPS[dtype] * condition * expected


@pytest.mark.parametrize(
    ("alpha", "ties", "gaps", "tau"),
    [
        (1.95, (5, 1000), (0.0010613180929794908, 0.001209524692967534), 574.4075927734375),
        (1.999, (1, 30000), (0.7690058946609497, 184.53436279296875), 0.0027153806295245886),
        (2.0, (1, 1000), (0.5849798321723938, 30.6223087310791), 0.016484525054693222),
        (2.0, (1, 30000), (0.0, 0.009743443690240383), 50.50166702270508),
        (1.5, (1, 1000), (0.5388275980949402, 60.9203987121582), 0.023258402943611145),
    ],
)
def test_ties_that_lose_their_weight_beside_a_nearer_score_cost_no_more_than_their_rounding(
    library, alpha, ties, gaps, tau
):
    scores = np.concatenate([[0.0], *(np.full(k, -gap) for k, gap in zip(ties, gaps, strict=True))])
    arguments, single = {"tau": tau, "alpha": alpha}, {"tau": library(tau, "float32"), "alpha": alpha}
    error, weights = smoothing_error(scores, **arguments), smooth_max_weights(scores, **arguments)
    allowed = 4 * EPS["float32"] * (error * (1 + math.log(len(scores))) - scores @ weights)
    closed = smooth_max_with_weights(library(scores, "float32"), single["tau"], alpha)
    for value, got in (
        (smooth_max(library(scores, "float32"), **single), smooth_max_weights(library(scores, "float32"), **single)),
        closed,
    ):
        assert abs(float(value) - error) <= allowed
        assert abs(numbers(got).sum() - 1) <= EPS["float32"] * len(scores)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bounds_are_the_errors_of_tied_others_and_of_one_other(library, dtype, alpha):
    rng = np.random.default_rng(0)
    for _ in range(8):
        n, gap = int(rng.integers(2, 40)), np.dtype(dtype).type(10 ** rng.uniform(-6, 3))
        tau = np.dtype(dtype).type(10 ** rng.uniform(-3, 0.2) / (max(alpha - 1, 0.01) * gap))
        for count, bound in ((n, error_upper_bound), (2, error_lower_bound)):
            scores = [0.0] + [-float(gap)] * (count - 1)
            error, weights = oracle.tsallis(scores, tau, alpha)
            size = {"n": n} if bound is error_upper_bound else {}
            got = bound(gap=library(gap, dtype), tau=library(tau, dtype), alpha=alpha, **size)
            condition = 1 + ((1 - weights[0]) * oracle.exact(gap) / error if error else 0) + math.log(count)
            floor = SUBNORMAL[dtype] * max(1, 1 / oracle.exact(tau)) * count
            assert abs(oracle.exact(got) - error) <= 4 * EPS[dtype] * condition * error + floor


def test_the_bounds_at_alpha_2_and_one_and_a_half_are_their_closed_forms():
    n, gap, tau = 5, 0.3, 2.0
    assert error_upper_bound(n=n, gap=gap, tau=tau, alpha=2) == pytest.approx(
        (n - 1) * (1 - tau * gap) ** 2 / (2 * n * tau)
    )
    u = tau * gap / 2
    q = (-u + math.sqrt(n - (n - 1) * u**2)) / n
    p = q + u
    expected = -(1 - p**2) * gap + (1 - p**3 - (n - 1) * q**3) / (0.75 * tau)
    assert error_upper_bound(n=n, gap=gap, tau=tau, alpha=1.5) == pytest.approx(expected)


@pytest.mark.parametrize("alpha", [1.2, 1.5, 2.0])
def test_from_a_gap_of_one_over_alpha_minus_one_on_the_leader_has_everything(alpha):
    gap = 1 / (alpha - 1) + 1e-9
    scores = torch.tensor([-3.0 - gap, -3.0, -INF, -5.0 - gap], dtype=torch.float64, requires_grad=True)
    error = smoothing_error(scores, tau=1.0, alpha=alpha)
    assert error == 0
    (slope,) = torch.autograd.grad(smooth_max(scores, tau=1.0, alpha=alpha), scores)
    assert slope.tolist() == [0, 1, 0, 0] == smooth_max_weights(scores, tau=1.0, alpha=alpha).tolist()
    assert error_upper_bound(n=9, gap=gap, tau=1.0, alpha=alpha) == 0
    assert smoothing_error(scores.detach(), tau=0.99, alpha=alpha) > 0


def test_just_above_one_all_is_as_at_one():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(200, 9)) * 10 ** rng.uniform(-2, 1, size=(200, 1))
    for function in (smooth_max, smooth_min, smoothing_error, smooth_max_weights):
        near, at = function(scores, tau=1.3, alpha=1 + 1e-12), function(scores, tau=1.3)
        # The slope in alpha is of the order of the square of tau times a distance.
        assert np.all(np.abs(near - at) <= 1e-12 * (1 + 1.3 * np.ptp(scores)) ** 2 * np.abs(at).max())


@pytest.mark.parametrize("c", [0.02, 0.5, 1.0])
def test_next_to_0_the_logarithm_keeps_its_slope_and_its_curvature(c):
    y = torch.tensor([0.0, 1e-300, 1e-17, 1e-9, 0.3], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(log_deformed(y, c).sum(), y, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), y)
    left = 1 - c * y.detach()
    torch.testing.assert_close(slope.detach(), -1 / left, rtol=4 * 2.0**-52, atol=0)
    torch.testing.assert_close(curvature, -c / left**2, rtol=4 * 2.0**-52, atol=0)


@pytest.mark.parametrize("alpha", [1.0, 1.01, 1.3, 1.5, 2.0])
def test_gradients_are_those_of_finite_differences_twice(alpha):
    scores = torch.tensor([[0.3, -0.1, 0.2, -INF, -4.0], [0.1, 0.1, -0.6, -0.7, -INF]], dtype=torch.float64)
    finite, tau = scores > -INF, torch.tensor([1.1, 0.6], dtype=torch.float64, requires_grad=True)
    free = scores[finite].clone().requires_grad_()

    def value(free, tau):
        # The tie of the second set: kinked at alpha > 1 nowhere, the weights of both are the same.
        return smooth_max(torch.full_like(scores, -INF).masked_scatter(finite, free), tau=tau, alpha=alpha)

    assert torch.autograd.gradcheck(value, (free, tau))
    assert torch.autograd.gradgradcheck(value, (free, tau), atol=1e-5)
    gradient = torch.autograd.grad(value(free, tau).sum(), free)[0]
    expected = smooth_max_weights(scores, tau=tau, alpha=alpha)[finite]
    torch.testing.assert_close(gradient, expected, rtol=0, atol=8 * 2.0**-52)


@pytest.mark.parametrize("alpha", [1.3, 1.5, 2.0])
def test_sets_of_one_padding_ties_and_halves(alpha):
    assert smoothing_error([[2.0, -INF]], tau=1.0, alpha=alpha) == 0
    assert smooth_max_weights([2.0, -INF], tau=1.0, alpha=alpha).tolist() == [1, 0]
    ties = 64
    uniform = (1 - ties ** (1 - alpha)) / (alpha * (alpha - 1))
    assert smoothing_error([0.5] * ties, tau=2.0, alpha=alpha) == pytest.approx(uniform / 2, rel=4 * 2.0**-52)
    assert smooth_max_weights([0.5] * ties, tau=2.0, alpha=alpha) == pytest.approx([1 / ties] * ties, rel=8 * 2.0**-52)
    half = torch.tensor([[3.0, 2.5, -1.0, 0.25], [0.0, 0.0, -INF, -8.0]], dtype=torch.float16)
    for function in (smooth_max, smooth_min, smoothing_error, smooth_max_weights):
        assert torch.equal(function(half, tau=0.5, alpha=alpha), function(half.float(), tau=0.5, alpha=alpha).half())


@pytest.mark.parametrize(
    ("alpha", "error"),
    [(0.9, ValueError), (2.1, ValueError), (float("nan"), ValueError), ("1.5", TypeError), (True, TypeError)],
)
def test_alpha_is_one_number_from_1_to_2(alpha, error):
    for call in (
        lambda: smooth_max([1.0, 0.0], tau=1.0, alpha=alpha),
        lambda: smooth_min([1.0, 0.0], tau=1.0, alpha=alpha),
        lambda: smooth_max_weights([1.0, 0.0], tau=1.0, alpha=alpha),
        lambda: smoothing_error([1.0, 0.0], tau=1.0, alpha=alpha),
        lambda: error_upper_bound(n=2, gap=1.0, tau=1.0, alpha=alpha),
        lambda: error_lower_bound(gap=1.0, tau=1.0, alpha=alpha),
    ):
        with pytest.raises(error, match="alpha must be one number from 1 "):
            call()

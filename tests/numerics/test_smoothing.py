"""Smooth max, min, weights, error and gap against 60-digit references, at extremes, ties, padding and the doors."""

import math

import numpy as np
import oracle
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import EPS, SUBNORMAL, assert_close, numbers
from mapl_explore.numerics.smoothing import smooth_max, smooth_max_weights, smooth_min, smoothing_error, top_gap

INF = float("inf")


def random_set(rng, dtype, largest_n=2000):
    """Return scores from all over the promised range: n to 1e5, gaps 0 to 1e6, ties, far tails, a shift."""
    n = int(10 ** rng.uniform(0, math.log10(largest_n)))
    gap = 10 ** rng.uniform(-12, 6) * rng.integers(0, 2)
    tail = np.sort(np.abs(rng.standard_cauchy(n))) * 10 ** rng.uniform(-9, 3) * rng.integers(0, 2)
    scores = np.append((-gap - tail)[: n - 1], 0.0) + rng.normal() * rng.integers(0, 2)
    return rng.permutation(scores).astype(dtype)


def allowance(scores, tau, dtype, value):
    """Return 4 eps * condition * value + what underflow costs."""
    gap = oracle.gap(scores)
    condition = 1 + (oracle.exact(tau) * gap if gap < INF else 0) + math.log(len(scores))
    return 4 * EPS[dtype] * condition * value + SUBNORMAL[dtype] * max(1, 1 / oracle.exact(tau))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(60))
def test_error_and_smooth_max_are_within_four_conditions_of_the_reference(library, dtype, seed):
    rng = np.random.default_rng([seed, len(dtype)])
    scores, tau = random_set(rng, dtype), np.dtype(dtype).type(10 ** rng.uniform(-12, 12))
    error = oracle.error(scores, tau)
    got = float(smoothing_error(library(scores, dtype), tau=library(tau, dtype)))
    assert abs(oracle.exact(got) - error) <= allowance(scores, tau, dtype, error)
    got = float(smooth_max(library(scores, dtype), tau=library(tau, dtype)))
    scale = abs(oracle.split(scores)[0]) + error
    assert abs(oracle.exact(got) - oracle.smooth_max(scores, tau)) <= allowance(scores, tau, dtype, scale)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(30))
def test_each_weight_is_within_four_of_its_own_conditions(library, dtype, seed):
    rng = np.random.default_rng([seed, len(dtype)])
    scores, tau = random_set(rng, dtype, 300), np.dtype(dtype).type(10 ** rng.uniform(-12, 12))
    got = numbers(smooth_max_weights(library(scores, dtype), tau=library(tau, dtype)))
    top = oracle.split(scores)[0]
    for weight, expected, score in zip(got, oracle.weights(scores, tau), scores, strict=True):
        condition = 1 + oracle.exact(tau) * (top - oracle.exact(score)) + math.log(len(scores))
        allowed = 4 * EPS[dtype] * condition * expected + SUBNORMAL[dtype]
        assert abs(oracle.exact(weight) - expected) <= allowed


def steps(values):
    """Return values on a grid of 1/64, so that the reference needs few distinct exponentials."""
    return np.round(values * 64) / 64


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("tau", [1e-12, 0.3, 1e12])
def test_a_hundred_thousand_scores_keep_the_same_accuracy(library, dtype, tau):
    scores = steps(np.random.default_rng(0).exponential(size=100_000)).astype(dtype)
    tau = np.dtype(dtype).type(tau)
    expected = oracle.error(scores, tau)
    got = float(smoothing_error(library(scores, dtype), tau=library(tau, dtype)))
    assert abs(oracle.exact(got) - expected) <= allowance(scores, tau, dtype, expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32_and_rounded_once(dtype):
    scores = torch.tensor([[3.0, 2.5, -1.0, 0.25], [0.0, 0.0, -INF, -8.0]], dtype=getattr(torch, dtype))
    for function in (smooth_max, smooth_min, smoothing_error, smooth_max_weights):
        expected = function(scores.float(), tau=1.5).to(scores.dtype)
        assert torch.equal(function(scores, tau=1.5), expected)


def test_half_precision_does_not_overflow_where_tau_times_score_would():
    scores = np.array([60000.0, 59968.0], dtype="float16")  # one ulp apart; times tau far beyond float16
    assert smooth_max(scores, tau=100.0) == np.float16(60000.0)
    assert top_gap(scores) == np.float16(32.0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_dtype_and_the_library_of_the_scores_come_back(library, dtype):
    scores = library([[1.0, 2.0], [3.0, 3.0]], dtype)
    for result in (smooth_max(scores, tau=2.0), smooth_max_weights(scores, tau=np.float64(2.0)), top_gap(scores)):
        assert type(result) is type(scores)
        assert result.dtype == scores.dtype


def test_numbers_and_lists_become_float64_numpy():
    assert type(smooth_max([1, 2], tau=1)) is np.float64
    assert smooth_max_weights([[1, 2]], tau=[1]).dtype == np.float64


def test_numpy_and_torch_agree_to_rounding():
    rng = np.random.default_rng(3)
    scores, tau = rng.normal(size=(50, 7)), rng.uniform(0.1, 10, size=50)
    for function in (smooth_max, smooth_min, smoothing_error, smooth_max_weights):
        # Two exp and two log1p, each of which may differ by an ulp between the libraries.
        here = function(torch.as_tensor(scores), tau=torch.as_tensor(tau))
        assert_close(here, function(scores, tau=tau), k=16)


def test_tau_broadcasts_against_the_leading_axes(library):
    scores, tau = library(np.arange(6.0).reshape(2, 3)), library([[0.5], [1.0], [2.0]])
    got = smooth_max(scores, tau=tau)
    assert tuple(got.shape) == (3, 2)
    assert_close(got[2, 1], smooth_max(library([3.0, 4.0, 5.0]), tau=library(2.0)), k=4)


@pytest.mark.parametrize(("k", "tau"), [(2, 1e-6), (2, 3.0), (5, 1e9), (7, 0.5)])
def test_k_tied_leaders_have_an_error_of_log_k_over_tau(library, k, tau):
    assert_close(smoothing_error(library([2.5] * k), tau=library(tau)), np.log(k) / tau, k=4)


def test_a_set_of_one_has_no_error_an_infinite_gap_and_all_the_weight(library):
    for scores in ([4.0], [4.0, -INF, -INF], [-INF, 4.0]):
        scores = library(scores)
        assert float(smoothing_error(scores, tau=0.1)) == 0.0
        assert float(smooth_max(scores, tau=0.1)) == 4.0
        assert float(smooth_min(scores, tau=0.1)) == 4.0
        assert float(top_gap(scores)) == INF
        assert numbers(smooth_max_weights(scores, tau=0.1)).max() == 1.0


def test_the_error_survives_where_log_sum_exp_has_none_left(library):
    error = smoothing_error(library([0.0, -40.0]), tau=library(1.0))
    assert_close(error, float(oracle.error([0.0, -40.0], 1.0)), k=4)
    assert float(torch.logsumexp(torch.tensor([0.0, -40.0]), 0)) == 0.0


def test_the_error_keeps_its_digits_where_the_exponential_is_subnormal_and_its_quotient_by_tau_is_not(library):
    # exp(-96) is 1.9e-42 in float32, a subnormal with 10 bits; divided by 1e-4 the error is a normal number again.
    scores, tau = np.float32([[0.0, -gap] for gap in np.linspace(9.2e5, 9.6e5, 50)]), np.float32(1e-4)
    expected = [float(oracle.error(row, tau)) for row in scores]
    assert_close(smoothing_error(library(scores, "float32"), tau=library(tau, "float32")), expected, k=4 * (1 + 96))


finite_scores = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=12)
taus = st.floats(1e-6, 1e6)


@given(finite_scores, taus)
def test_smooth_min_is_minus_smooth_max_of_the_negated_scores(scores, tau):
    assert smooth_min(scores, tau=tau) == -smooth_max([-s for s in scores], tau=tau)


@given(finite_scores, taus, st.integers(1, 4))
def test_padding_changes_no_bit(scores, tau, padding):
    padded = [*scores, *[-INF] * padding]
    assert smooth_max(padded, tau=tau) == smooth_max(scores, tau=tau)
    assert smooth_min(padded, tau=tau) == smooth_min(scores, tau=tau)
    weights = smooth_max_weights(padded, tau=tau)
    assert np.array_equal(weights[: len(scores)], smooth_max_weights(scores, tau=tau))
    assert not weights[len(scores) :].any()


@given(finite_scores, taus, st.randoms(use_true_random=False))
def test_order_changes_nothing_but_rounding(scores, tau, random):
    shuffled = random.sample(scores, len(scores))
    # Sums of up to 12 terms in another order: 12 roundings of half an eps.
    assert_close(smoothing_error(shuffled, tau=tau), smoothing_error(scores, tau=tau), k=12, atol=1e-317)


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=12), taus, st.integers(-1000, 1000))
def test_a_shift_of_all_scores_shifts_the_maximum_and_leaves_the_error(scores, tau, shift):
    scores = np.asarray(scores, float)  # whole numbers, so that the shift itself is exact
    assert smoothing_error(scores + shift, tau=tau) == smoothing_error(scores, tau=tau)
    assert smooth_max(scores + shift, tau=tau) == (scores + shift).max() + smoothing_error(scores, tau=tau)


@given(finite_scores, taus, st.integers(-20, 20))
def test_only_the_product_of_tau_and_scores_matters(scores, tau, power):
    scale = 2.0**power  # exact in floats
    scaled = smooth_max(np.asarray(scores) * scale, tau=tau / scale)
    assert_close(scaled, smooth_max(scores, tau=tau) * scale, k=64, atol=1e-300)


@given(finite_scores, taus)
def test_the_leader_share_is_exp_of_minus_tau_times_error(scores, tau):
    error = smoothing_error(scores, tau=tau)
    # exp magnifies the relative error of tau*error, at most log(12) here, by itself.
    assert_close(smooth_max_weights(scores, tau=tau).max(), np.exp(-tau * error), k=16)


@given(finite_scores, taus, taus)
def test_the_error_falls_in_tau(scores, one, other):
    low, high = sorted((one, other))
    assert smoothing_error(scores, tau=high) <= smoothing_error(scores, tau=low) * (1 + 64 * EPS["float64"])


def leaf(values, dtype=torch.float64):
    return torch.tensor(values, dtype=dtype, requires_grad=True)


TRICKY = [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [5.0, -INF, 2.0], [-INF, 3.0, -INF], [-1e4, 0.0, -1e4], [700.0, 0.0, 700.0]]


@pytest.mark.parametrize("scores", TRICKY)
@pytest.mark.parametrize("tau", [1e-3, 1.0, 40.0])
def test_the_gradient_of_smooth_max_is_its_weights_at_ties_and_beside_padding(scores, tau):
    s = leaf(scores)
    (gradient,) = torch.autograd.grad(smooth_max(s, tau=tau), s)
    # Absolute: the leader's own share is what is left of 1 after the others.
    assert_close(gradient, smooth_max_weights(scores, tau=tau), k=8, atol=4 * EPS["float64"])
    (gradient,) = torch.autograd.grad(smooth_min(s, tau=tau), s)
    weights = smooth_max_weights([-v if v > -INF else v for v in scores], tau=tau)
    assert_close(gradient, weights, k=8, atol=4 * EPS["float64"])


@pytest.mark.parametrize("scores", TRICKY)
@pytest.mark.parametrize("tau", [1e-3, 1.0, 40.0])
def test_the_gradient_of_the_error_in_tau_is_minus_entropy_over_tau_squared(scores, tau):
    t = leaf(tau)
    (gradient,) = torch.autograd.grad(smoothing_error(torch.tensor(scores, dtype=torch.float64), tau=t), t)
    weights = [w for w in oracle.weights(scores, tau) if w > 0]
    entropy = -oracle.mp.fsum(w * oracle.mp.log(w) for w in weights)
    largest_gap = 1400 * tau  # exp(-x) turns the rounding of x into a relative error of its own size
    assert_close(gradient, float(-entropy / oracle.exact(tau) ** 2), k=16 + 2 * largest_gap, atol=1e-320)


def test_the_gradient_of_the_gap_goes_to_the_first_leader_and_the_first_second():
    s = leaf([[0.0, 2.0, 1.0, 1.0], [3.0, 3.0, 0.0, 3.0], [4.0, -INF, -INF, -INF]])
    (gradient,) = torch.autograd.grad(top_gap(s).clamp(max=9.0).sum(), s)
    assert gradient.tolist() == [[0.0, 1.0, -1.0, 0.0], [1.0, -1.0, 0.0, 0.0], [0.0] * 4]


def test_the_gradient_of_the_error_at_a_tie_is_that_of_the_first_leader():
    s = leaf([1.0, 1.0])
    (gradient,) = torch.autograd.grad(smoothing_error(s, tau=1.0), s)
    assert gradient.tolist() == [-0.5, 0.5]


def test_the_gradients_of_the_weights_agree_with_finite_differences():
    s, tau = leaf([[0.3, -0.2, -INF, 1.0], [0.5, 0.5, 0.1, -INF]]), leaf([0.7, 2.0])
    assert torch.autograd.gradcheck(lambda t: smooth_max_weights(s, tau=t), (tau,))
    finite = leaf([[0.3, -0.2, 1.0], [0.5, 0.5, 0.1]])
    assert torch.autograd.gradcheck(lambda x: smooth_max_weights(x, tau=tau), (finite,))
    assert torch.autograd.gradgradcheck(lambda x, t: smooth_max(x, tau=t), (finite, tau))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_no_gradient_is_nan_or_infinite_at_any_extreme(dtype):
    s = leaf([[0.0, -6e4, -INF], [-6e4, -6e4, 6e4], [0.0, 0.0, 0.0], [-INF, 1.0, -INF]], dtype)
    for tau in (0.1, 1.0, 6e4):  # at 0.01 the slope in tau, log(3)/tau**2, itself overflows float16
        t = leaf(tau, dtype)
        value = smooth_max(s, tau=t).sum() + smooth_max_weights(s, tau=t)[:, 1].sum() + smooth_min(s, tau=t).sum()
        gradients = torch.autograd.grad(value, (s, t))
        assert all(torch.isfinite(g).all() for g in gradients)


def test_no_gradient_is_nan_where_n_over_tau_is_beyond_the_dtype_and_the_error_is_not(library):
    scores, tau = library(np.zeros(1000)), 1e-306
    assert_close(smoothing_error(scores, tau=tau), math.log(1000) / tau, k=8)
    if isinstance(scores, torch.Tensor):
        (gradient,) = torch.autograd.grad(smoothing_error(scores.requires_grad_(), tau=tau), scores)
        assert_close(gradient, np.append(1 / 1000 - 1, np.full(999, 1 / 1000)), k=8)


BAD_SCORES = [
    ("text", TypeError, "scores must be numbers.*'text'"),
    (["a", "b"], TypeError, r"scores must be numbers.*\['a', 'b'\]"),
    (None, TypeError, "scores must be numbers.*None"),
    (True, TypeError, "scores must be numbers.*True"),
    ("x" * 100, TypeError, r"not 'x{56}\.\.\.$"),
    ([[1.0, 2.0], [3.0]], TypeError, "scores must be numbers.* of one length"),
    (np.array([1, 2]), TypeError, "scores must be a floating-point array.*int64"),
    (torch.tensor([1, 2]), TypeError, "scores must be a floating-point array.*int64"),
    (np.array([1j]), TypeError, "scores must be a floating-point array.*complex128"),
    ([], ValueError, r"scores must hold at least one score.*\(0,\)"),
    (3.0, ValueError, r"scores must hold at least one score.*\(\)"),
    (np.zeros((2, 0)), ValueError, r"scores must hold at least one score.*\(2, 0\)"),
    ([1.0, float("nan")], ValueError, "scores must be finite, or -inf for padding, not nan"),
    (torch.tensor([1.0, INF]), ValueError, "scores must be finite, or -inf for padding in float32, not inf"),
    ([[1.0, 2.0], [-INF, -INF]], ValueError, "finite score in every set; set 1 holds only -inf"),
]


@pytest.mark.parametrize(("scores", "kind", "message"), BAD_SCORES)
def test_bad_scores_are_refused_by_name(scores, kind, message):
    for call in (lambda s: smooth_max(s, tau=1.0), lambda s: smooth_max_weights(s, tau=1.0), top_gap):
        with pytest.raises(kind, match=message):
            call(scores)


@pytest.mark.parametrize(
    ("tau", "kind", "message"),
    [
        (np.array(2), TypeError, "tau must be a floating-point array, not one of int64"),
        (np.array(1 + 2j), TypeError, "tau must be a floating-point array, not one of complex128"),
        (np.array(True), TypeError, "tau must be a floating-point array, not one of bool"),
        (np.array("x"), TypeError, "tau must be a floating-point array, not one of <U1"),
        (np.ma.masked_array([1.0], [True]), TypeError, "tau must be numbers"),
        (10**400, ValueError, "tau must be a number that a float or an int64 can hold"),
    ],
)
def test_what_is_no_float_is_refused_without_axes_too(tau, kind, message):
    with pytest.raises(kind, match=message):
        smooth_max([0.3, 0.1], tau=tau)


def test_a_numpy_scalar_joins_the_arrays_it_comes_with_and_alone_decides_the_dtype():
    assert smooth_max(torch.tensor([1.0, 2.0]), tau=np.float32(1.0)).dtype == torch.float32
    assert smooth_max(np.float64([1.0, 2.0]), tau=np.float32(1.0)).dtype == np.float64
    assert smooth_max([1.0, 2.0], tau=np.float32(1.0)).dtype == np.float32


@pytest.mark.parametrize("tau", [0.0, -1.0, float("nan"), INF])
def test_bad_tau_is_refused_by_name_and_value(library, tau):
    with pytest.raises(ValueError, match=rf"tau must be > 0 and finite, not {tau}"):
        smooth_max(library([1.0, 2.0]), tau=tau)


def test_a_tau_that_rounds_to_zero_is_refused_in_the_dtype_it_rounds_in():
    with pytest.raises(ValueError, match="tau must be > 0 and finite in float32, not 0"):
        smooth_max(np.float32([1.0, 2.0]), tau=1e-50)


def test_two_libraries_in_one_call_are_refused():
    with pytest.raises(TypeError, match="one array library, but scores is torch, tau is numpy"):
        smooth_max(torch.tensor([1.0, 2.0]), tau=np.array([1.0]))


def test_shapes_that_do_not_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"broadcast, but scores has shape \(4, 3\), tau has shape \(3,\)"):
        smooth_max(np.zeros((4, 3)), tau=np.ones(3))


def test_no_sets_at_all_are_no_error(library):
    assert tuple(smooth_max(library(np.zeros((0, 3))), tau=1.0).shape) == (0,)


@pytest.mark.parametrize(("dtype", "far"), [("float32", 3e38), ("float64", 1e308)])
def test_scores_further_apart_than_the_dtype_reaches_have_an_infinite_gap_and_no_error(library, dtype, far):
    for scores in ([far, -far], [-far, far, -far], [-INF, far, -far]):
        held = library(scores, dtype)
        assert float(top_gap(held)) == INF
        for tau in (1.0, 1e5):
            assert float(smoothing_error(held, tau=library(tau, dtype))) == 0.0
            assert float(smooth_max(held, tau=library(tau, dtype))) == float(library(far, dtype))
            assert numbers(smooth_max_weights(held, tau=library(tau, dtype))).tolist() == [s == far for s in scores]


def test_a_gap_that_overflows_makes_no_gradient_nan():
    scores = torch.tensor([1e308, -1e308, -1e308], dtype=torch.float64, requires_grad=True)
    tau = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    for gradient in torch.autograd.grad(smoothing_error(scores, tau=tau), (scores, tau)):
        assert not gradient.any()


def test_the_largest_gap_there_is_is_no_overflow():
    largest = np.finfo(float).max
    assert top_gap([-1e308, largest, 0.0]) == largest

"""The solvers: within 4 eps of a bisection in 60 digits, ordered, differentiable, and plain about what has no root."""

import math
import subprocess
import sys
from functools import cache, partial

import numpy as np
import oracle
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import EPS, assert_close, numbers
from mapl_explore.numerics.bounds import error_asymptote, error_lower_bound, error_upper_bound
from mapl_explore.numerics.smoothing import smooth_max_weights, smoothing_error, top_gap
from mapl_explore.numerics.temperature import (
    solve_tau_asymptotic,
    solve_tau_exact,
    solve_tau_lower,
    solve_tau_share,
    solve_tau_share_exact,
    solve_tau_upper,
)

INF = float("inf")
METHODS = pytest.mark.parametrize("method", ["newton", "bracket"])
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def random_problem(seed, dtype):
    """Return n, gap and epsilon from all over the promised range, a third of the gaps being 0."""
    rng, kind = np.random.default_rng(seed), np.dtype(dtype).type
    gap = kind(10 ** rng.uniform(-12, 4) if rng.integers(3) else 0)
    return int(10 ** rng.uniform(math.log10(2), 6)), gap, kind(10 ** rng.uniform(-12, 3))


def random_scores(seed, dtype, gap):
    rng = np.random.default_rng(seed)
    tail = np.abs(rng.standard_cauchy(40)) * 10 ** rng.uniform(-9, 3) * rng.integers(0, 2)
    return np.append(-gap - tail, 0.0).astype(dtype)


# Both libraries and both methods are held against one bisection, which takes 50 times as long as what it judges.
@cache
def roots_of_the_bounds(seed, dtype):
    n, gap, epsilon = random_problem(seed, dtype)
    roots = oracle.tau_upper(epsilon, n, gap), oracle.tau_upper(epsilon, 2, gap), oracle.tau_asymptotic(epsilon, n, gap)
    return n, gap, epsilon, *map(float, roots)


@cache
def exact_root(seed, dtype):
    _, gap, epsilon = random_problem(seed, dtype)
    scores = random_scores(seed, dtype, gap)
    return scores, epsilon, float(oracle.tau_exact(scores, epsilon))


@cache
def roots_of_the_share(seed, dtype):
    rng, kind = np.random.default_rng(seed), np.dtype(dtype).type
    gap = 10 ** rng.uniform(-6, 4)
    share = kind(0.5 + 10 ** rng.uniform(-5, -0.31))
    scores = random_scores(seed, dtype, gap)
    roots = oracle.tau_share_exact(scores, share), oracle.tau_share(share, kind(gap))
    return scores, kind(gap), share, *map(float, roots)


@METHODS
@DTYPES
@pytest.mark.parametrize("seed", range(25))
def test_the_roots_of_the_bounds_are_within_4_eps(library, dtype, method, seed):
    n, gap, epsilon, upper, lower, asymptotic = roots_of_the_bounds(seed, dtype)
    known = {"gap": library(gap, dtype), "epsilon": library(epsilon, dtype)}
    assert_close(solve_tau_upper(n=n, method=method, **known), upper, k=4, dtype=dtype)
    assert_close(solve_tau_lower(method=method, **known), lower, k=4, dtype=dtype)
    assert_close(solve_tau_asymptotic(n=n, **known), asymptotic, k=4, dtype=dtype)


@METHODS
@DTYPES
@pytest.mark.parametrize("seed", range(15))
def test_the_exact_roots_are_within_4_eps(library, dtype, method, seed):
    scores, epsilon, root = exact_root(seed, dtype)
    got = solve_tau_exact(library(scores, dtype), epsilon=library(epsilon, dtype), method=method)
    assert_close(got, root, k=4, dtype=dtype)


@METHODS
@DTYPES
@pytest.mark.parametrize("seed", range(15))
def test_the_roots_of_the_share_are_within_4_eps(library, dtype, method, seed):
    scores, gap, share, exact, of_the_gap = roots_of_the_share(seed, dtype)
    got = solve_tau_share_exact(library(scores, dtype), share=library(share, dtype), method=method)
    assert_close(got, exact, k=4, dtype=dtype)
    got = solve_tau_share(share=library(share, dtype), gap=library(gap, dtype))
    assert_close(got, of_the_gap, k=4, dtype=dtype)


@METHODS
@pytest.mark.parametrize(
    ("dtype", "scores", "share"),
    [
        ("float64", [0.0, -1.3109507621888332e-06, -1.9693396290762215, -1.8500620881938212], 0.5000033083706781),
        ("float64", [0.0, -0.009964983691413222, -4.534288334902825], 0.51),
        ("float64", [-5.7, -30.0, -4225.0], 0.51),
        ("float32", [0.0, -80.26585, -1856.0525, -0.0063577625], 0.50024629),
        ("float32", [-5.8, -69.0, -8890.0], 0.51),
        ("float32", [-50.0, -52.40235, -50.00004, -53.66976], 0.50000685),
    ],
)
def test_a_share_near_one_half_keeps_its_root_where_the_far_scores_have_hardly_a_say(
    library, dtype, scores, share, method
):
    kind = np.dtype(dtype).type
    scores, share = np.asarray(scores, dtype), kind(share)
    got = solve_tau_share_exact(library(scores, dtype), share=library(share, dtype), method=method)
    assert_close(got, float(oracle.tau_share_exact(scores, share)), k=4, dtype=dtype)


@given(
    st.tuples(st.floats(-20, -1), st.floats(-400, -21), st.floats(-10_000, -401)),
    st.floats(0.5001, 0.999),
    st.sampled_from(["float32", "float64"]),
)
def test_scores_of_very_different_sizes_have_a_root_for_any_share(scores, share, dtype):
    scores, share = np.asarray(scores, dtype), np.dtype(dtype).type(share)
    tau = solve_tau_share_exact(scores, share=share)
    assert_close(tau, float(oracle.tau_share_exact(scores, share)), k=4, dtype=dtype)


def test_a_million_ties_and_gaps_of_all_sizes_converge(library):
    # log(n)/epsilon alone as a start would underflow exp over half of this range.
    gap = library(np.concatenate([[0.0], 10.0 ** np.arange(-12, 5)])[:, None])
    epsilon = library(10.0 ** np.arange(-12, 4)[None, :])
    tau = solve_tau_upper(n=1_000_000, gap=gap, epsilon=epsilon)
    assert_close(tau, numbers(solve_tau_upper(n=1_000_000, gap=gap, epsilon=epsilon, method="bracket")), k=4)
    assert_close(solve_tau_exact(library(np.zeros(1_000_000)), epsilon=0.1), math.log(1_000_000) / 0.1, k=4)


@METHODS
def test_the_known_values_of_the_design(method):
    assert round(float(solve_tau_upper(n=4, gap=1.0, epsilon=0.1, method=method)), 3) == 2.402
    assert round(float(solve_tau_asymptotic(n=4, gap=1.0, epsilon=0.1)), 3) == 2.489
    assert round(float(error_upper_bound(n=4, gap=1.0, tau=2.489)), 3) == 0.089
    assert round(float(solve_tau_exact([1.0, 1.0, 0.0], epsilon=0.1, method=method)), 5) == 6.93633
    tau = solve_tau_upper(n=4, gap=1.0, epsilon=0.1, method=method)
    assert round(float(smoothing_error([0.0, -1.0, -50.0, -50.0], tau=tau)), 3) == 0.036


def test_at_a_gap_of_zero_the_root_is_log_n_over_epsilon_and_the_asymptote_n_minus_1_over_epsilon(library):
    assert_close(solve_tau_upper(n=4, gap=library(0.0), epsilon=0.1), math.log(4) / 0.1, k=4)
    assert_close(solve_tau_asymptotic(n=4, gap=library(0.0), epsilon=0.1), 30.0, k=4)


sets = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12)
targets = st.floats(1e-6, 1e3)


@given(sets, targets)
def test_the_roots_stand_in_their_order(scores, epsilon):
    n, gap, slack = len(scores), top_gap(scores), 1 + 16 * EPS["float64"]
    exact = solve_tau_exact(scores, epsilon=epsilon)
    upper = solve_tau_upper(n=n, gap=gap, epsilon=epsilon)
    assert solve_tau_lower(gap=gap, epsilon=epsilon) <= exact * slack
    assert exact <= upper * slack
    assert upper <= solve_tau_asymptotic(n=n, gap=gap, epsilon=epsilon) * slack


@given(sets, targets)
def test_each_root_gives_its_bound_the_value_asked_for(scores, epsilon):
    n, gap = len(scores), top_gap(scores)

    def amplified(tau):  # d log(bound) / d log(tau) = -(1 + tau*gap) at most
        return 32 * (1 + tau * gap + math.log(n))

    tau = solve_tau_upper(n=n, gap=gap, epsilon=epsilon)
    assert_close(error_upper_bound(n=n, gap=gap, tau=tau), epsilon, k=amplified(tau))
    tau = solve_tau_lower(gap=gap, epsilon=epsilon)
    assert_close(error_lower_bound(gap=gap, tau=tau), epsilon, k=amplified(tau))
    tau = solve_tau_asymptotic(n=n, gap=gap, epsilon=epsilon)
    assert_close(error_asymptote(n=n, gap=gap, tau=tau), epsilon, k=amplified(tau))
    tau = solve_tau_exact(scores, epsilon=epsilon)
    assert_close(smoothing_error(scores, tau=tau), epsilon, k=amplified(tau))


@given(st.integers(2, 10**6), st.floats(0, 1e4), targets)
def test_the_root_falls_in_gap_and_epsilon_and_rises_in_n(n, gap, epsilon):
    tau, slack = solve_tau_upper(n=n, gap=gap, epsilon=epsilon), 1 + 8 * EPS["float64"]
    assert solve_tau_upper(n=n, gap=gap * 1.1 + 1e-6, epsilon=epsilon) <= tau * slack
    assert solve_tau_upper(n=n, gap=gap, epsilon=epsilon * 1.1) <= tau * slack
    assert solve_tau_upper(n=n + 1, gap=gap, epsilon=epsilon) * slack >= tau


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=9), st.floats(0.501, 0.999))
def test_the_leader_has_at_most_the_share_at_the_certain_tau_and_just_the_share_at_the_exact_one(scores, share):
    gap = top_gap(scores)
    certain, exact = solve_tau_share(share=share, gap=gap), solve_tau_share_exact(scores, share=share)
    if gap == 0:
        assert certain == exact == INF
        return
    assert certain <= exact * (1 + 8 * EPS["float64"])
    assert smooth_max_weights(scores, tau=certain).max() <= share * (1 + 64 * EPS["float64"])
    # Gaps down to 1e-300 make tau up to 1e303, still a float; the share itself keeps its digits.
    assert_close(smooth_max_weights(scores, tau=exact).max(), share, k=256)


def test_padding_changes_no_root():
    padded = [1.0, -INF, 1.0, 0.0, -INF]
    assert solve_tau_exact(padded, epsilon=0.1) == solve_tau_exact([1.0, 1.0, 0.0], epsilon=0.1)
    assert solve_tau_share_exact([2.0, -INF, 0.0], share=0.9) == solve_tau_share_exact([2.0, 0.0], share=0.9)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dtype_library_and_shape_come_back(library, dtype):
    gap = library([[0.0], [0.5], [2.0]], dtype)
    tau = solve_tau_upper(epsilon=[0.1, 1.0], n=4, gap=gap)
    assert tuple(tau.shape) == (3, 2)
    assert tau.dtype == gap.dtype
    assert type(tau) is type(gap)
    assert type(solve_tau_upper(epsilon=0.1, n=4, gap=1)) is np.float64


@METHODS
@pytest.mark.parametrize(("n", "gap", "epsilon"), [(2, 0.0, 0.1), (4, 1.0, 0.1), (9, 300.0, 1e-3), (5, 0.2, 50.0)])
def test_the_gradients_of_the_upper_root_are_its_derivatives(n, gap, epsilon, method):
    x, e = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (gap, epsilon))
    by_gap, by_epsilon = torch.autograd.grad(solve_tau_upper(epsilon=e, n=n, gap=x, method=method), (x, e))
    # Implicit differentiation of the formula in mpmath: dD/dgap + dD/dtau * dtau/dgap = 0.
    mp, tau = oracle.mp, oracle.tau_upper(epsilon, n, gap)
    z = (n - 1) * mp.exp(-tau * oracle.exact(gap))
    slope_gap = -z / (1 + z)
    slope_tau = -mp.log1p(z) / tau**2 + oracle.exact(gap) * slope_gap / tau
    # Exact to tau*gap times the error of the root.
    k = 16 * (1 + float(tau) * gap)
    assert_close(by_gap, float(-slope_gap / slope_tau), k=k)
    assert_close(by_epsilon, float(1 / slope_tau), k=k)


@METHODS
@pytest.mark.parametrize("scores", [[0.0, -1.0, -2.0], [1.0, 1.0, 0.0], [0.0, -1.0, -INF, -1.0], [3.0, -2000.0, 1.0]])
def test_the_gradients_of_the_exact_root_follow_from_its_equation(scores, method):
    s = torch.tensor(scores, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(solve_tau_exact(s, epsilon=0.1, method=method), s)
    tau = oracle.tau_exact(scores, 0.1)
    weights = oracle.weights(scores, tau)
    entropy = -oracle.mp.fsum(w * oracle.mp.log(w) for w in weights if w > 0)
    leader = [1.0 if i == scores.index(max(scores)) else 0.0 for i in range(len(scores))]
    # d error / d s = w - leader, d error / d tau = -H/tau^2.
    expected = [float((w - one) * tau**2 / entropy) for w, one in zip(weights, leader, strict=True)]
    assert_close(gradient, expected, k=64, atol=1e-15)


def test_the_gradients_of_the_other_solvers_agree_with_finite_differences():
    gap = torch.tensor([0.0, 0.4, 3.0], dtype=torch.float64, requires_grad=True)
    epsilon = torch.tensor([0.3, 0.1, 0.01], dtype=torch.float64, requires_grad=True)
    share = torch.tensor([0.6, 0.9, 0.99], dtype=torch.float64, requires_grad=True)
    scores = torch.tensor([0.0, -0.5, -0.9, -4.0], dtype=torch.float64, requires_grad=True)
    positive = gap.detach() + 0.1
    positive.requires_grad_()
    check = torch.autograd.gradcheck
    assert check(lambda e, g: solve_tau_asymptotic(epsilon=e, n=5, gap=g), (epsilon, positive))
    assert check(lambda e, g: solve_tau_lower(epsilon=e, gap=g), (epsilon, positive))
    assert check(lambda s, g: solve_tau_share(share=s, gap=g), (share, positive))
    assert check(lambda s, x: solve_tau_share_exact(x, share=s), (share[1], scores))


def test_the_second_derivatives_of_every_solver_agree_with_finite_differences():
    gap = torch.tensor([0.1, 0.5, 3.1], dtype=torch.float64, requires_grad=True)
    epsilon = torch.tensor([0.3, 0.1, 0.05], dtype=torch.float64, requires_grad=True)
    share = torch.tensor([0.6, 0.9, 0.99], dtype=torch.float64, requires_grad=True)
    scores = torch.tensor([0.0, -0.5, -0.9, -4.0], dtype=torch.float64, requires_grad=True)
    check = torch.autograd.gradgradcheck
    assert check(lambda e, g: solve_tau_upper(epsilon=e, n=5, gap=g), (epsilon, gap))
    assert check(lambda e, g: solve_tau_upper(epsilon=e, n=5, gap=g, method="bracket"), (epsilon, gap))
    assert check(lambda e, g: solve_tau_asymptotic(epsilon=e, n=5, gap=g), (epsilon, gap))
    assert check(lambda e, g: solve_tau_lower(epsilon=e, gap=g), (epsilon, gap))
    assert check(lambda s, g: solve_tau_share(share=s, gap=g), (share, gap))
    assert check(lambda e, x: solve_tau_exact(x, epsilon=e), (epsilon[1], scores))
    assert check(lambda s, x: solve_tau_share_exact(x, share=s), (share[1], scores))


def test_a_tied_maximum_makes_no_gradient_nan():
    scores = torch.tensor([[1.0, 1.0, 0.0], [2.0, 1.0, 0.0]], requires_grad=True)
    tau = solve_tau_share_exact(scores, share=0.9)
    assert tau[0] == INF
    (gradient,) = torch.autograd.grad(tau[1], scores)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("solve", [solve_tau_upper, solve_tau_asymptotic])
def test_a_set_of_one_has_no_root_and_says_so(solve):
    with pytest.raises(ValueError, match=r"no tau exists for n = 1.*error 0 at every tau"):
        solve(epsilon=0.1, n=1, gap=1.0)
    with pytest.raises(ValueError, match="no tau exists"):
        solve(epsilon=0.1, n=[2, 2], gap=[1.0, INF])


def test_scores_of_one_have_no_root_and_say_so():
    with pytest.raises(ValueError, match=r"no tau exists.*error 0"):
        solve_tau_exact([[1.0, -INF], [1.0, 2.0]], epsilon=0.1)
    with pytest.raises(ValueError, match=r"no tau exists.*share 1"):
        solve_tau_share_exact([1.0], share=0.9)
    with pytest.raises(ValueError, match=r"no tau exists.*share 1"):
        solve_tau_share(share=0.9, gap=INF)
    with pytest.raises(ValueError, match=r"no tau exists.*error 0"):
        solve_tau_lower(epsilon=0.1, gap=INF)


@pytest.mark.parametrize("epsilon", [0.0, -1.0, float("nan"), INF])
def test_bad_epsilon_is_refused_by_name_and_value(epsilon):
    with pytest.raises(ValueError, match=f"epsilon must be > 0 and finite, not {epsilon}"):
        solve_tau_upper(epsilon=epsilon, n=4, gap=1.0)


@pytest.mark.parametrize("share", [0.5, 1.0, 0.2, float("nan")])
def test_bad_share_is_refused_by_name_and_value(share):
    with pytest.raises(ValueError, match=f"share must be strictly between 1/2 and 1, not {share}"):
        solve_tau_share(share=share, gap=1.0)


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="method must be 'newton' or 'bracket', not 'secant'"):
        solve_tau_upper(epsilon=0.1, n=4, gap=1.0, method="secant")


@METHODS
@pytest.mark.parametrize("gap", [1e4, np.array([1e-5, 1e4])], ids=["alone", "among others"])
def test_a_ratio_of_gap_and_epsilon_that_overflows_is_said_and_not_guessed(method, gap):
    for solve in (partial(solve_tau_upper, n=4), solve_tau_lower, partial(solve_exactly, n=3)):
        with pytest.raises(ValueError, match=r"^gap/epsilon must be <= 1.8e\+308, not 10*\.0/1e-310$"):
            solve(epsilon=1e-310, gap=gap, method=method)


def solve_exactly(*, n, gap, epsilon, method):
    scores = np.stack([0.0 * np.asarray(gap), *[-1.0 * np.asarray(gap)] * (n - 1)], axis=-1)
    return solve_tau_exact(scores, epsilon=epsilon, method=method)


@METHODS
@pytest.mark.parametrize(("dtype", "epsilon", "gap"), [("float32", 1e-8, 3.3e30), ("float64", 1e-8, 1.7e300)])
def test_the_largest_ratios_have_a_root_for_any_number_of_scores(library, dtype, epsilon, gap, method):
    epsilon, gap = library(epsilon, dtype), library(gap, dtype)
    for n in (2, 1000, 10**6):
        # tau*epsilon is so small that expm1 of it is tau*epsilon: the asymptote is the bound.
        known = float(oracle.tau_asymptotic(float(epsilon), n, float(gap)))
        assert_close(solve_tau_upper(epsilon=epsilon, n=n, gap=gap, method=method), known, k=4)
        assert_close(solve_tau_asymptotic(epsilon=epsilon, n=n, gap=gap), known, k=4)
    scores = library([0.0] + [-float(gap)] * 999, dtype)
    known = float(oracle.tau_asymptotic(float(epsilon), 1000, float(gap)))
    assert_close(solve_tau_exact(scores, epsilon=epsilon, method=method), known, k=4)


@METHODS
def test_a_score_that_is_too_far_to_matter_does_not_matter(method):
    alone = solve_tau_exact([0.0, -1.0], epsilon=1e-10, method=method)
    assert_close(solve_tau_exact([0.0, -1.0, -1e300], epsilon=1e-10, method=method), float(alone), k=4)


def test_the_bracket_warns_of_nothing_that_is_in_its_domain():
    got = solve_tau_upper(n=1000, gap=34000.0, epsilon=4e-16, method="bracket")
    assert_close(got, float(oracle.tau_upper(4e-16, 1000, 34000.0)), k=4)


@pytest.mark.parametrize("epsilon", [1e-15, 1e-20, 1e-25, 1e-30])
def test_the_gradient_at_a_small_epsilon_is_finite_in_float32(epsilon):
    def slopes(dtype):
        for solve in (
            lambda **given: solve_tau_upper(n=4, gap=torch.tensor(1.0, dtype=dtype), **given),
            lambda **given: solve_tau_lower(gap=torch.tensor(1.0, dtype=dtype), **given),
            lambda **given: solve_tau_asymptotic(n=4, gap=torch.tensor(1.0, dtype=dtype), **given),
            lambda **given: solve_tau_exact(torch.tensor([0.0, -1.0, -2.0], dtype=dtype), **given),
        ):
            target = torch.tensor(epsilon, dtype=dtype, requires_grad=True)
            yield torch.autograd.grad(solve(epsilon=target), target)[0]

    # tau*gap is up to 70, and its rounding shows in exp(-tau*gap).
    for single, double in zip(slopes(torch.float32), slopes(torch.float64), strict=True):
        assert_close(single, numbers(double), k=70)


def test_only_the_bracket_loads_scipy():
    code = """if True:
        import sys, mapl_explore as mapl
        mapl.losses, mapl.sampling, mapl.data, mapl.solve_tau_exact([0.0, -1.0], epsilon=0.1)
        assert "scipy" not in sys.modules
        mapl.solve_tau_exact([0.0, -1.0], epsilon=0.1, method="bracket")
        assert "scipy" in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_long_array_has_the_roots_of_its_parts(library):
    rng = np.random.default_rng(0)
    n, gap, epsilon = rng.integers(2, 100, 40_001), rng.uniform(0, 5, 40_001), 10 ** rng.uniform(-6, 2, 40_001)
    whole = numbers(solve_tau_upper(epsilon=library(epsilon), n=library(n, "int64"), gap=library(gap)))
    parts = [
        numbers(solve_tau_upper(epsilon=library(epsilon[i::7]), n=library(n[i::7], "int64"), gap=library(gap[i::7])))
        for i in range(7)
    ]
    # A root may stop a step earlier beside other problems.
    for i, part in enumerate(parts):
        assert_close(whole[i::7], part, k=4)

"""The few things that differ between the array libraries, and what no function of numbers takes."""

import math

import mpmath
import numpy as np
import oracle
import pandas as pd
import pytest
import torch

from conftest import EPS, assert_close
from mapl_explore.numerics.arrays import autograd, held, row_sum, sigmoid, softplus
from mapl_explore.numerics.bounds import error_asymptote, error_lower_bound, error_upper_bound
from mapl_explore.numerics.smoothing import smooth_max, smooth_max_weights, smooth_min, smoothing_error, top_gap
from mapl_explore.numerics.temperature import (
    solve_tau_asymptotic,
    solve_tau_exact,
    solve_tau_lower,
    solve_tau_share,
    solve_tau_share_exact,
    solve_tau_upper,
)


def test_a_strided_axis_is_summed_as_accurately_as_a_contiguous_one():
    # NumPy adds a strided last axis one by one, here 1,100 eps off; pairwise stays within log2(n) half roundings.
    terms = np.exp(-np.random.default_rng(0).exponential(size=(100_000, 2)) / 100).astype("float32").T
    exact = terms.astype("float64").sum(axis=-1)
    for array in (terms, torch.as_tensor(terms)):
        assert np.all(np.abs(np.asarray(row_sum(array), float) / exact - 1) <= 9 * EPS["float32"])


PLACES = [-1e4, -800.0, -100.0, -30.0, -1.0, 0.0, 1.0, 30.0, 100.0, 1e4]


def test_softplus_and_sigmoid_are_right_from_end_to_end(library):
    assert_close(softplus(library(PLACES)), [float(oracle.softplus(x)) for x in PLACES], k=4)
    with mpmath.workdps(60):
        expected = [float(1 / (1 + mpmath.exp(-mpmath.mpf(x)))) for x in PLACES]
    # exp(-softplus(-x)) rounds its exponent, of up to 800.
    assert_close(sigmoid(library(PLACES)), expected, k=800)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_softplus_has_its_slope_and_its_second_derivative_at_every_place(dtype):
    x = torch.tensor(PLACES, dtype=dtype, requires_grad=True)
    (slope,) = torch.autograd.grad(softplus(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(slope.sum(), x)
    with mpmath.workdps(60):
        once = [1 / (1 + mpmath.exp(-mpmath.mpf(place))) for place in PLACES]
        twice = [one * (1 - one) for one in once]
    # Subnormal numbers: float32 has 28 of them below 4e-44.
    atol = 2.0**-147 if dtype == torch.float32 else 5e-324
    assert_close(slope, np.array([float(one) for one in once]), k=4, atol=atol)
    assert_close(second, np.array([float(one) for one in twice]), k=8, atol=atol)


@pytest.mark.parametrize(
    ("name", "number", "dtype", "limits", "message"),
    [
        ("tau", 1e-46, "float32", {}, "tau must be > 0 and finite in float32, not 0.0"),
        ("tau", 1e300, "float32", {}, "tau must be > 0 and finite in float32, not inf"),
        (
            "share",
            1 - 1e-12,
            "float32",
            {"low": 0.5, "high": 1.0},
            "between 1/2 and 1 in float32, not 1.0",
        ),
    ],
)
def test_a_number_that_a_dtype_cannot_hold_is_refused(library, name, number, dtype, limits, message):
    with pytest.raises(ValueError, match=message):
        held(name, number, library([1.0], dtype), **limits)
    assert float(held(name, number, library([1.0]), **limits)) == number


@pytest.mark.parametrize("dtype", [">f8", ">f4", np.longdouble, np.int64, np.complex128])
def test_an_array_of_another_type_gets_the_list_of_those_there_are(dtype):
    accepted = "scores must be a floating-point array, not one of .*: float16, bfloat16, float32 or float64, in the"
    with pytest.raises(TypeError, match=accepted):
        smooth_max(np.ones(2, dtype), tau=1.0)


@pytest.mark.parametrize("column", [pd.Series([1.0, 2.0]), pd.DataFrame({"a": [1.0]})])
def test_a_column_of_pandas_is_refused_in_one_line_that_says_what_to_do(column):
    with pytest.raises(TypeError, match=r"not a \w+: give its \.to_numpy\(\)$") as caught:
        smooth_max(column, tau=1.0)
    assert "\n" not in str(caught.value)


# What each function takes, and for each argument what is refused and the line that is said.
TAKES = {
    smooth_max: ("scores", "tau", "alpha"),
    smooth_min: ("scores", "tau", "alpha"),
    smooth_max_weights: ("scores", "tau", "alpha"),
    smoothing_error: ("scores", "tau", "alpha"),
    top_gap: ("scores",),
    error_upper_bound: ("n", "gap", "tau", "alpha"),
    error_lower_bound: ("gap", "tau", "alpha"),
    error_asymptote: ("n", "gap", "tau"),
    solve_tau_upper: ("epsilon", "n", "gap", "alpha"),
    solve_tau_lower: ("epsilon", "gap", "alpha"),
    solve_tau_asymptotic: ("epsilon", "n", "gap"),
    solve_tau_exact: ("scores", "epsilon", "alpha"),
    solve_tau_share: ("share", "gap", "alpha"),
    solve_tau_share_exact: ("scores", "share", "alpha"),
}
GOOD = {"scores": [0.0, -1.0], "tau": 1.0, "alpha": 1.0, "n": 2, "gap": 1.0, "epsilon": 0.1, "share": 0.9}
REFUSED = {
    "scores": ([0.0, math.nan], "scores must be finite, or -inf for padding, not nan"),
    "tau": (0.0, "tau must be > 0 and finite, not 0.0"),
    "alpha": (2.5, r"alpha must be one number from 1 \(log-sum-exp\) to 2 \(sparsemax\), not 2.5"),
    "n": (0, "n must be >= 1, not 0"),
    "gap": (-0.5, "gap must be >= 0, not -0.5"),
    "epsilon": (math.inf, "epsilon must be > 0 and finite, not inf"),
    "share": (0.5, "share must be strictly between 1/2 and 1, not 0.5"),
}


@pytest.mark.parametrize("function", TAKES)
def test_every_function_refuses_each_argument_outside_its_domain_by_name_rule_and_value(function):
    good = {name: GOOD[name] for name in TAKES[function]}
    function(**good)
    for name in good:
        wrong, message = REFUSED[name]
        with pytest.raises(ValueError, match=f"^{message}$"):
            function(**good | {name: wrong})


def test_what_does_not_depend_on_a_tensor_has_slopes_of_zero():
    assert autograd(lambda x: torch.ones(2), torch.zeros(2, 3)).tolist() == [[0.0] * 3] * 2


def test_no_numbers_at_all_are_no_error_though_an_empty_list_has_no_type():
    assert error_upper_bound(n=[], gap=[], tau=1.0).shape == solve_tau_upper(epsilon=0.1, n=[], gap=[]).shape == (0,)


@pytest.mark.parametrize("function", [one for one, takes in TAKES.items() if "epsilon" in takes])
def test_every_root_for_an_error_refuses_a_ratio_that_overflows(function):
    for kind, tiny, message in (
        (np.float64, 1e-310, "1.8e.308, not 1.0/1e-310"),
        (np.float32, 1e-40, "3.4e.38, not 1.0/"),
    ):
        with pytest.raises(ValueError, match=f"^gap/epsilon must be <= {message}"):
            function(**{name: GOOD[name] for name in TAKES[function]} | {"epsilon": kind(tiny)})

"""The few things that differ between the array libraries."""

import mpmath
import numpy as np
import oracle
import pandas as pd
import pytest
import torch

from conftest import EPS, assert_close
from mapl_explore.numerics.arrays import held, row_sum, sigmoid, softplus
from mapl_explore.numerics.smoothing import smooth_max


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

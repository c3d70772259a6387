"""The few things that differ between the array libraries."""

import numpy as np
import torch

from conftest import EPS
from mapl_explore.numerics.arrays import row_sum


def test_a_strided_axis_is_summed_as_accurately_as_a_contiguous_one():
    # NumPy adds a strided last axis one by one, here 1,100 eps off; pairwise stays within log2(n) half roundings.
    terms = np.exp(-np.random.default_rng(0).exponential(size=(100_000, 2)) / 100).astype("float32").T
    exact = terms.astype("float64").sum(axis=-1)
    for array in (terms, torch.as_tensor(terms)):
        assert np.all(np.abs(np.asarray(row_sum(array), float) / exact - 1) <= 9 * EPS["float32"])

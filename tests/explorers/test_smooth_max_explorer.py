"""SmoothMaxExplorer against plain formulas of many digits."""

import mpmath
import numpy as np
import pytest
from explorer_controls import EPS

from mapl_explore.explorers import (
    SmoothMaxExplorer,
)


def test_the_smooth_maximum_and_its_weights_are_log_sum_exp_and_softmax():
    explorer = SmoothMaxExplorer([-1.0, -2.5, -4.0], tau=0.8)
    for of, sign in (("max", 1), ("min", -1)):
        explorer.set(of=of)
        reading = explorer.reading
        with mpmath.workdps(40):
            terms = [mpmath.exp(sign * mpmath.mpf(s) * mpmath.mpf(0.8)) for s in (-1.0, -2.5, -4.0)]
            soft = sign * mpmath.log(sum(terms)) / mpmath.mpf(0.8)
            weights = [term / sum(terms) for term in terms]
        # One division and a sum of three terms: a few eps, and no cancellation at these sizes.
        assert abs(reading.soft - float(soft)) <= 8 * EPS * abs(float(soft))
        assert np.max(np.abs(reading.weights / np.array(weights, float) - 1)) <= 16 * EPS
        assert reading.error == pytest.approx(abs(float(soft) - reading.hard), rel=64 * EPS)

"""TemperatureExplorer: its roots meet their targets, and its rules do what they promise."""

import mpmath
import numpy as np
import pytest
from explorer_controls import EPS

from mapl_explore.explorers import (
    TemperatureExplorer,
)


def test_each_root_of_the_temperature_explorer_meets_its_target():
    explorer = TemperatureExplorer(epsilon=0.2, share=0.8, n=5, wide_gap=2.0, spread=1.5)
    distances = [mpmath.mpf(d) for d in (2.0, 2.5, 3.0, 3.5)]
    reading = explorer.reading
    for name, tau in reading.roots.items():
        with mpmath.workdps(40):
            total = sum(mpmath.exp(-mpmath.mpf(tau) * d) for d in distances)
            one = mpmath.exp(-mpmath.mpf(tau) * distances[0])
            met = {
                "upper": mpmath.log(1 + 4 * one) / tau / 0.2,
                "exact": mpmath.log(1 + total) / tau / 0.2,
                "lower": mpmath.log(1 + one) / tau / 0.2,
                "asymptote": 4 * one / tau / 0.2,
                "share": 1 / (1 + total) / 0.8,
                "certain": 1 / (1 + one) / 0.8,
            }[name]
            error, others = mpmath.log(1 + total) / tau, total / (1 + total)
        # The error falls like exp(-tau*gap): an ulp of the root, tau*gap of about 4, counts some ten times.
        assert abs(float(met) - 1) <= 64 * EPS, name
        assert abs(reading.errors[name] / float(error) - 1) <= 64 * EPS
        assert abs(reading.others[name] / float(others) - 1) <= 64 * EPS


def test_an_error_in_nats_starves_the_others_as_the_gap_grows_and_a_share_does_not():
    explorer = TemperatureExplorer(epsilon=0.1, n=2, rule="exact")
    # With one runner-up the error is log1p(exp(-tau*gap))/tau, solved here by bisection, and its share 1-exp(-tau*0.1).
    for gap, percent in ((1.0, "15.6"), (100.0, "0.523"), (1000.0, "0.0723")):
        explorer.set(wide_gap=gap, rule="exact")
        low, high = 1e-6, 10.0
        for _ in range(100):
            tau = (low + high) / 2
            low, high = (tau, high) if np.log1p(np.exp(-tau * gap)) / tau > 0.1 else (low, tau)
        assert explorer.reading.others["exact"] == pytest.approx(-np.expm1(-tau * 0.1), rel=1e-9)
        assert f"{100 * explorer.reading.others['exact']:.3g}" == percent
        assert explorer.reading.others["share"] == pytest.approx(0.1, rel=64 * EPS)

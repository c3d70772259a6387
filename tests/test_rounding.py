"""Numbers in few digits keep what was promised of the whole number."""

import numpy as np
import pytest

from mapl_explore.rounding import known, surely


@pytest.mark.parametrize("digits", [1, 3, 4, 6, 17])
def test_a_rounded_number_lies_on_its_side_and_next_to_the_number(digits):
    values = 10 ** np.random.default_rng(digits).uniform(-12, 12, 2000)
    for value in map(float, values):
        low, high = (surely(value, up=up, digits=digits) for up in (False, True))
        assert low <= value <= high
        # One step of the last digit is at most 10**(1 - digits) of the number; the texts may lie 2 eps apart.
        assert high - low <= value * (10.0 ** (1 - digits) + 2.0**-51)
        for one in (low, high):
            assert float(f"{one:.{digits}g}") == one


@pytest.mark.parametrize("value", [5.99, 0.001, 1000.0, 2.0, 0.0, float("inf")])
def test_what_has_few_digits_stays_as_it_is(value):
    assert surely(value, up=True) == surely(value, up=False) == value


def test_a_zero_is_known():
    assert [known(0.0, ".3f"), known(None, ".3f")] == ["0.000", "-"]

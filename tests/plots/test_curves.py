"""Curves over an axis: where an axis ends, and which curves have a ring."""

import numpy as np
import pytest

from mapl_explore.plots.axis_limits import decades
from mapl_explore.plots.curves import curves_of, curves_panel
from mapl_explore.plots.looks import SERIES, SIDES, response_styles
from mapl_explore.plots.panels import Axis, Style, named_ticks, whole_ticks


def test_a_value_beyond_the_axis_has_no_ring():
    x, y = Axis("step", 0, 2), Axis("error", 0.1, 1.0, "log")
    panel = curves_panel("errors", x, y, [], knob="step", now=1.0, rings=[0.1, 0.0, 1.5, 1.0, np.nan])
    there = np.isfinite(panel["rings"].x + panel["rings"].y)
    assert there.tolist() == [True, False, False, True, False]


def test_a_line_at_zero_lies_on_linear_axes_alone():
    x, ends = Axis("step", 0, 2), (0.1, 1.0)
    for scale, lines in (("linear", 1), ("log", 0)):
        panel = curves_panel("errors", x, Axis("error", *ends, scale), [], knob="step", now=1.0, rings=[])
        assert sum(mark.name == "zero" for mark in panel.marks) == lines


def test_a_curve_that_is_not_named_has_no_label():
    (curve,) = curves_of(np.arange(2.0), ["p1"], [np.ones(2)], [Style()], named=False)
    assert (curve.name, curve.label) == ("p1", "")


def test_curves_differ_in_their_dashes_where_their_colours_are_not_seen():
    assert len({style.dash for style, _ in SERIES}) == len({sign for _, sign in SERIES}) == len(SERIES)
    assert len({style.dash for style in SIDES.values()}) == len(SIDES)
    for side in "pn":
        assert len({style.dash for style in response_styles([f"{side}{n}" for n in range(1, 6)])}) == 5


def test_a_speck_does_not_squeeze_the_other_decades():
    low, high = decades(np.array([1e-300, 1e-3, 1.0, 0.0, 1e-4]))
    assert 1e-9 < low < 1e-8
    assert 1 < high < 2


def test_a_constant_is_shown_within_a_decade():
    low, high = decades(np.array([5.0, 5.0]))
    assert low < 5 < high
    # The decade has the constant in its middle: a few roundings of square roots.
    assert high / low == pytest.approx(10, rel=1e-12)


def test_ticks_of_a_short_training_are_whole_numbers():
    assert [place for place, _ in whole_ticks(0, 7)] == [0, 2, 4, 6]
    assert [place for place, _ in whole_ticks(0, 3)] == [0, 1, 2, 3]
    assert [place for place, _ in whole_ticks(5, 5)] == [5]


def test_each_name_stands_under_its_own_bar():
    assert named_ticks(["p1", "p2", "n1", "n2"], 4.0) == ((0.5, "p1"), (1.5, "p2"), (2.5, "n1"), (3.5, "n2"))
    thinned = named_ticks([f"p{number}" for number in range(100, 150)], 50.0)
    assert all(name == f"p{100 + int(place)}" for place, name in thinned)
    assert 4 <= len(thinned) <= 6


def test_a_logarithmic_axis_of_few_decades_has_ticks_at_2_and_5_too():
    for ends, ticks in (
        ((0.3, 4.0), "0.5 1 2"),
        ((2.0, 6.0), "2 5"),
        ((0.01, 1.0), "0.01 0.1 1"),
        ((1.0, 10.0), "1 2 5 10"),
    ):
        assert " ".join(text for _, text in Axis("τ", *ends, "log").ticks) == ticks

"""Axes and marks as data: where things lie along an axis, which ticks it has, and what a picture refuses."""

import math

import numpy as np
import pytest

from mapl_explore.plots.panels import Axis, Band, Curve, Panel, Points, Style, bars, ghost, here, key_of, own_key_of


def curve(name, **mark):
    return Curve(name=name, x=np.array([0.0, 1.0]), y=np.array([0.0, 1.0]), **mark)


@pytest.mark.parametrize(
    ("low", "high", "scale", "value", "fraction"),
    [
        (0, 10, "linear", 2.5, 0.25),
        (10, 0, "linear", 2.5, 0.75),
        (0.1, 100, "log", 1.0, 1 / 3),
        (100, 0.1, "log", 1.0, 2 / 3),
    ],
)
def test_a_fraction_and_its_value_are_each_others_inverse_whichever_way_the_axis_runs(
    low, high, scale, value, fraction
):
    axis = Axis("", low, high, scale)
    assert axis.fraction(value) == pytest.approx(fraction, rel=4 * 2.0**-52)
    assert axis.at(fraction) == pytest.approx(value, rel=16 * 2.0**-52)  # ten to a power magnifies the rounding


@pytest.mark.parametrize(
    ("low", "high"), [(0, 10), (-20, 20), (-0.013, 0.0021), (0, 1), (1e6, 3e6), (0, 5e-7), (3, 3.1)]
)
def test_a_linear_axis_has_three_to_eight_ticks_at_round_places_inside(low, high):
    places = [place for place, _ in Axis("", low, high).ticks]
    assert 3 <= len(places) <= 8
    assert low <= places[0] + 1e-9 * (high - low) and places[-1] <= high + 1e-9 * (high - low)  # noqa: PT018
    step = places[1] - places[0]
    assert float(f"{step:.12g}") in [round(factor * 10.0**power, 12) for factor in (1, 2, 5) for power in range(-9, 9)]


@pytest.mark.parametrize(("low", "high"), [(0.1, 100), (5e-5, 100), (1e-20, 1e2), (0.01, 1000)])
def test_a_log_axis_has_at_most_eight_powers_of_ten(low, high):
    places = [place for place, _ in Axis("", low, high, "log").ticks]
    assert 2 <= len(places) <= 8
    assert all(math.isclose(math.log10(place), round(math.log10(place)), abs_tol=1e-9) for place in places)


def test_tick_labels_read_as_people_write_numbers():
    texts = [text for _, text in Axis("", 1e-20, 1e2, "log").ticks]
    assert texts[0].startswith("10⁻")
    assert [text for _, text in Axis("", -1, 1).ticks] == ["−1", "−0.5", "0", "0.5", "1"]


@pytest.mark.parametrize(
    ("low", "high", "scale"), [(1, 1, "linear"), (0, 1, "log"), (0, math.inf, "linear"), (math.nan, 1, "linear")]
)
def test_an_axis_without_two_ends_is_refused(low, high, scale):
    with pytest.raises(ValueError, match="low and high must be two ends of a"):
        Axis("", low, high, scale)


def test_two_marks_of_one_name_are_refused():
    with pytest.raises(ValueError, match="must have different names"):
        Panel("", Axis("", 0, 1), Axis("", 0, 1), [curve("a"), curve("a")])


@pytest.mark.parametrize(
    ("x", "y", "shape", "at"),
    [
        (0.5, 0.5, "ring", (0.5, 0.5)),
        (0.5, 9, "up", (0.5, 1)),
        (0.5, -9, "down", (0.5, 0)),
        (9, 0.5, "right", (1, 0.5)),
    ],
)
def test_where_the_settings_lie_beyond_the_picture_an_arrow_at_its_edge_says_so(x, y, shape, at):
    ring = here(Axis("", 0, 1), Axis("", 0, 1), x, y)
    assert (ring.shape, (ring.x[0], ring.y[0])) == (shape, at)


@pytest.mark.parametrize("weights", [[1.0], [0.7, 0.3], [-0.2, 0.4, 0.0], [1 / 64] * 64])
def test_each_bar_stands_on_zero_and_all_fit_side_by_side(weights):
    made = bars(np.array(weights), name="bars")
    np.testing.assert_array_equal(made.top + made.bottom, weights)
    ends = np.ravel([made.left, made.right], order="F")
    assert (np.diff(ends) > 0).all()
    assert 0 < ends[0] < ends[-1] < 1


def test_the_key_has_each_label_once_and_not_those_of_a_panel_with_a_key_of_its_own():
    axes = Axis("", 0, 1), Axis("", 0, 1)
    shared = Panel("", *axes, [curve("a", label="loss"), curve("b", label="slope")])
    again = Panel("", *axes, [curve("c", label="loss")])
    own = Panel("", *axes, [curve("d", label="mine")], own_key=True)
    assert [mark.label for mark in key_of([shared, again, own])] == ["loss", "slope"]
    assert [mark.label for mark in own_key_of(own)] == ["mine"]
    assert own_key_of(shared) == []


def test_a_ghost_is_pale_has_no_label_and_cannot_be_dragged():
    left = ghost(curve("a", label="loss", style=Style("blue", opacity=0.5)))
    assert (left.name, left.label, left.drags, left.style.opacity) == ("pinned a", "", (), 0.2)


def test_points_beyond_the_axes_are_not_drawn():
    dots = Points(name="dots", x=np.array([0.5, 0.5, 2.0]), y=np.array([0.5, 1.5, 0.5]))
    panel = Panel("", Axis("x", 0, 1), Axis("y", 1, 0), [dots])
    np.testing.assert_array_equal(panel["dots"].x, [0.5, np.nan, np.nan])


def test_an_axis_with_room_for_another_reaches_from_end_to_end_of_both():
    some = Axis("", 0, 2, ticks=[(1.0, "one")])
    assert some.with_room_for(Axis("", 0, 1)) is some
    assert Axis("", 0, 1).with_room_for(some) is some
    both, back = some.with_room_for(Axis("", -1, 1)), Axis("", 2, 0).with_room_for(Axis("", -1, 1))
    assert [(one.low, one.high) for one in (both, back)] == [(-1, 2), (2, -1)]
    assert len(both.ticks) > 1


def test_a_panel_finds_its_marks_by_name():
    band = Band(name="band", x=np.zeros(1), low=np.zeros(1), high=np.ones(1))
    panel = Panel("", Axis("", 0, 1), Axis("", 0, 1), [band, Points(name="dots", x=np.zeros(1), y=np.zeros(1))])
    assert panel["band"] is band

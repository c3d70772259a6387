"""SmoothMaxExplorer: plain formulas of many digits, and a picture whose scores are dragged."""

import mpmath
import numpy as np
import pytest

from mapl_explore.explorers import SmoothMaxExplorer

EPS = 2.0**-52


@pytest.fixture(scope="module")
def explorer():
    return SmoothMaxExplorer()


def picture(explorer, **settings):
    explorer.reset()
    explorer.set(**settings)
    return explorer.panels(explorer.reading)


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


def test_each_score_is_dragged_up_and_down_by_its_own_knob_and_tau_along_its_axis(explorer):
    scores, approach, _ = picture(explorer, s1=-2.0, s3=-1.0)
    np.testing.assert_array_equal(scores["scores"].y, [-2.0, -1.5, -1.0, -6.0])
    drags = scores["scores"].drags
    assert [(drag.knob, drag.along, drag.factor, drag.offset) for drag in drags] == [
        (f"s{number}", "y", 1.0, 0.0) for number in (1, 2, 3, 4)
    ]
    assert [(drag.knob, drag.along) for drag in approach["now"].drags] == [("tau", "x")]
    assert (scores["leader"].x.item(), scores["leader"].y.item()) == (3.0, -1.0)


def test_the_picture_draws_the_reading(explorer):
    scores, approach, weights = picture(explorer, tau=2.0)
    reading = explorer.reading
    for panel in (scores, approach):
        assert panel["hard"].at == reading.hard == -1.0
    assert scores["soft"].at == reading.soft
    assert (scores["error"].bottom.item(), scores["error"].top.item()) == (reading.hard, reading.soft)
    np.testing.assert_array_equal(approach["soft"].y, reading.curve)
    np.testing.assert_array_equal(approach["here"].x, [2.0])
    np.testing.assert_array_equal(approach["here"].y, [reading.soft])
    np.testing.assert_array_equal(weights["leader"].top + weights["others"].top, reading.weights)


@pytest.mark.parametrize(("of", "shape", "arrow"), [("max", "up", "↑"), ("min", "down", "↓")])
def test_a_smooth_one_beyond_the_picture_stays_at_its_edge_with_an_arrow(explorer, of, shape, arrow):
    scores, approach, _ = picture(explorer, of=of, tau=0.1)
    edge = scores.y.high if of == "max" else scores.y.low
    assert scores.y.inside(explorer.reading.soft) == edge != explorer.reading.soft
    assert (approach["here"].y.item(), approach["here"].shape) == (edge, shape)
    assert scores["soft's name"].texts[0].endswith(arrow)
    assert 0 < scores.y.fraction(scores["soft's name"].y.item()) < 1


@pytest.mark.parametrize("of", ["max", "min"])
@pytest.mark.parametrize("level", [-10.0, 0.0])
@pytest.mark.parametrize("tau", [0.1, 1.0, 100.0])
def test_the_names_of_the_lines_stay_inside_and_never_meet(explorer, of, level, tau):
    scores, *_ = picture(explorer, of=of, tau=tau, **dict.fromkeys(("s1", "s2", "s3", "s4"), level))
    heights = {}
    for name in ("hard's name", "soft's name"):
        # A line of type is 0.08 of the height of a phone's panel.
        low = scores.y.fraction(scores[name].y.item()) - (0.08 if scores[name].upright == "below" else 0.0)
        assert 0 <= low <= low + 0.08 <= 1
        heights[name] = low
    assert abs(heights["hard's name"] - heights["soft's name"]) >= 0.08


def test_a_share_too_small_to_read_has_a_bound():
    *_, weights = picture(SmoothMaxExplorer([0.0, -9.0], tau=10.0))
    assert weights["shares"].texts == ["leader over 99%", "others < 0.001%"]

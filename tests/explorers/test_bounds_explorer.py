"""BoundsExplorer: what it shows is what the library says, wherever the sliders are."""

import itertools
import math
import re

import numpy as np
import pytest
from explorer_controls import EPS, SETS

from mapl_explore.course.errata import post_smooth_max
from mapl_explore.explorers import BoundsExplorer
from mapl_explore.explorers.knobs import KNOBS
from mapl_explore.losses import parse
from mapl_explore.numerics.bounds import error_asymptote, error_lower_bound, error_upper_bound
from mapl_explore.numerics.smoothing import smooth_max_weights, smoothing_error
from mapl_explore.numerics.temperature import solve_tau_asymptotic, solve_tau_exact, solve_tau_lower, solve_tau_upper

TAUS = np.geomspace(0.1, 100.0, 201)
SLIDERS = ("tau", "epsilon", "n", "gap", "spread")
ENDS = [(KNOBS[name].low, KNOBS[name].default, KNOBS[name].high) for name in SLIDERS]


@pytest.fixture(scope="module")
def explorer():
    return BoundsExplorer()


def test_what_is_compared_with_the_pin_is_the_error_and_the_percentage_of_the_leader(explorer):
    error, share = explorer.headline(explorer.reading).values()
    assert error == explorer.reading.errors["exact"]
    assert share == pytest.approx(100 * math.exp(-explorer.reading.tau * error), rel=64 * EPS)


def scores_of(n, gap, spread, **_):
    """The set the docstring promises, score by score."""
    steps = max(n - 2, 1)
    return [0.0] + [-gap - spread * i / steps for i in range(n - 1)]


def assert_reading_is_the_librarys(reading, scores, gap, tau, epsilon):
    assert (reading.tau, reading.epsilon) == (tau, epsilon)
    n = len(scores)
    gap = gap if n > 1 else math.inf
    for at, shown in ((tau, reading.errors), (TAUS, reading.curves)):
        np.testing.assert_array_equal(shown["lower"], error_lower_bound(gap=gap, tau=at))
        np.testing.assert_array_equal(shown["exact"], smoothing_error(reading.scores, tau=at))
        np.testing.assert_array_equal(shown["upper"], error_upper_bound(n=n, gap=gap, tau=at))
        np.testing.assert_array_equal(shown["asymptote"], error_asymptote(n=n, gap=gap, tau=at))
    np.testing.assert_array_equal(reading.weights, smooth_max_weights(reading.scores, tau=tau))
    assert reading.roots == ({} if n == 1 else library_roots(reading.scores, n, gap, epsilon))


def library_roots(scores, n, gap, epsilon):
    return {
        "lower": solve_tau_lower(epsilon=epsilon, gap=gap),
        "exact": solve_tau_exact(scores, epsilon=epsilon),
        "upper": solve_tau_upper(epsilon=epsilon, n=n, gap=gap),
        "asymptote": solve_tau_asymptotic(epsilon=epsilon, n=n, gap=gap),
    }


def test_every_corner_of_the_sliders_shows_the_librarys_numbers(explorer):
    for values in itertools.product(*ENDS):
        setting = dict(zip(SLIDERS, values, strict=True))
        explorer.set(**setting)
        scores = scores_of(**setting)
        # linspace and the sum above round differently: 4 eps of the farthest score.
        assert np.max(np.abs(explorer.reading.scores - scores)) <= 4 * 2.0**-52 * 20
        assert_reading_is_the_librarys(explorer.reading, scores, setting["gap"], setting["tau"], setting["epsilon"])


@pytest.mark.parametrize("name", SLIDERS)
def test_a_slider_moved_through_its_range_moves_the_picture(explorer, name):
    explorer.reset()
    if name == "spread":
        explorer.set(gap=0.1)
    pictures = []
    for value in (KNOBS[name].low, KNOBS[name].default, KNOBS[name].high):
        explorer.do({"kind": "set", "knob": name, "value": value})
        assert explorer.settings[name] == explorer.widget.values[name] == value
        pictures.append(explorer.frame())
    assert all((one != two).any() for one, two in itertools.combinations(pictures, 2))


def test_the_picture_draws_the_reading(explorer):
    explorer.set(n=5, gap=0.3, spread=2.0, tau=3.0, epsilon=0.2)
    reading, (errors, scores, weights) = explorer.reading, explorer.panels(explorer.reading)
    for name in ("lower", "exact", "upper", "asymptote"):
        np.testing.assert_array_equal((errors[name].x, errors[name].y), (TAUS, reading.curves[name]))
        root = errors[f"{name} root"]
        assert (root.x.item(), root.y.item()) == (reading.roots[name], 0.2)
    assert (errors["here"].x.item(), errors["here"].y.item()) == (3.0, reading.errors["exact"])
    assert (errors["now"].at, errors["target"].at) == (3.0, 0.2)
    np.testing.assert_array_equal(scores["scores"].y, reading.scores)
    np.testing.assert_array_equal(weights["leader"].top + weights["others"].top, reading.weights)


@pytest.mark.parametrize(("against", "unit"), [("tau", 3.0), ("gap", 0.25)])
def test_what_is_seen_to_be_set_is_dragged_where_it_lies(against, unit):
    explorer = BoundsExplorer(n=5, gap=0.25, spread=2.0, tau=3.0, epsilon=0.2, against=against)
    errors, scores, _ = explorer.panels(explorer.reading)
    (target,), (now,) = errors["target"].drags, errors["now"].drags
    assert (target.knob, target.along, now.knob, now.along) == ("epsilon", "y", against, "x")
    assert errors["now"].at == explorer.settings[against] == unit
    drags, places = scores["scores"].drags, scores["scores"].y
    assert [drag and (drag.knob, drag.along) for drag in drags] == [
        None,
        ("gap", "y"),
        None,
        None,
        ("spread", "y"),
    ]
    assert [drag.factor * places[which] + drag.offset for which, drag in ((1, drags[1]), (4, drags[4]))] == [0.25, 2.0]


def test_scores_of_ones_own_are_seen_and_not_dragged():
    explorer = BoundsExplorer([-1.0, -2.0, -700.0])
    _, scores, _ = explorer.panels(explorer.reading)
    np.testing.assert_array_equal(scores["scores"].y, [0.0, -1.0, -699.0])
    assert scores.y.low < -699.0
    (described,) = [mark for mark in explorer.widget.picture["panels"][1]["marks"] if mark["name"] == "scores"]
    assert not any(described["drags"])


def test_runners_up_that_tie_attain_the_upper_bound_and_one_alone_the_lower(explorer):
    explorer.set(n=8, gap=0.5, spread=0.0, tau=2.0)
    errors = explorer.reading.errors
    # The bound and the error take the same seven equal terms in another order: a few eps.
    assert abs(errors["exact"] / errors["upper"] - 1) <= 16 * 2.0**-52
    explorer.set(n=2)
    errors = explorer.reading.errors
    assert abs(errors["exact"] / errors["lower"] - 1) <= 16 * 2.0**-52


def test_one_score_has_no_error_and_no_root_and_says_so(explorer):
    explorer.set(n=1)
    reading = explorer.reading
    assert set(reading.errors.values()) == {0.0}
    assert reading.roots == {}
    assert "the smoothing error is 0 at every τ" in explorer.html(reading)
    assert "one score: the smoothing error is 0 at every tau" in repr(explorer)
    assert not [mark.name for mark in explorer.panels(reading)[0].marks if mark.name.endswith("root")]


def test_the_readout_tells_the_error_the_roots_and_what_each_is_good_for(explorer):
    explorer.set(n=4, gap=1.0, spread=0.0, tau=2.0, epsilon=0.1)
    html = explorer.widget.says
    for text in ("error is <b>0.17</b> nats", "gets 71.1% of the gradient", "ε = 0.1 nats"):
        assert text in html
    # Roots from mpmath's findroot at 30 digits: 1.6913 (lower), 2.4023 (upper), 2.4892 (Lambert W).
    for name, tau, meaning in (
        ("lower bound", "1.691", "smaller τ: E surely ≥ ε"),
        ("these scores", "2.402", "E = ε"),
        ("upper bound", "2.403", "larger τ: E surely ≤ ε"),
        ("large-τ form", "2.49", "never left of ◀"),
    ):
        row = next(row for row in html.split("<tr>") if name in row)
        assert f">{tau}</td>" in row
        assert meaning in row


def test_the_loss_is_dpo_on_the_smooth_pair_at_the_sliders_tau(explorer):
    explorer.do({"kind": "set", "knob": "tau", "value": "6.31"})
    assert explorer.loss == parse("DPO(beta=0.1, pair=Smooth(tau=6.31))")
    assert parse(repr(explorer.loss)) == explorer.loss


def test_to_frame_holds_the_curves(explorer):
    frame = explorer.to_frame()
    assert list(frame.columns) == ["tau", "lower", "exact", "upper", "asymptote"]
    np.testing.assert_array_equal(frame["exact"], explorer.reading.curves["exact"])


def test_a_set_of_ones_own_is_shown_best_first_without_its_padding():
    explorer = BoundsExplorer(scores=[-50.0, 0.0, -math.inf, -1.0, -50.0], epsilon=0.1)
    assert list(explorer.settings) == ["tau", "epsilon", "alpha", "against", "post"]
    np.testing.assert_array_equal(explorer.reading.scores, [0.0, -1.0, -50.0, -50.0])
    assert_reading_is_the_librarys(explorer.reading, [0.0, -1.0, -50.0, -50.0], 1.0, 5.0, 0.1)


@pytest.mark.parametrize(
    ("scores", "settings", "message"),
    [
        ([[1.0, 2.0]], {}, r"scores must be one set, an array \(n,\), not shape \(1, 2\)"),
        ([], {}, "scores must hold at least one score"),
        ([1.0, math.nan], {}, "scores must be finite"),
        ([-math.inf], {}, "scores must hold a finite score"),
        (["a"], {}, "scores must be numbers"),
        ([1.0, 2.0], {"gap": 1.0}, "gap is no slider here; there are tau, epsilon"),
    ],
)
def test_a_wrong_set_is_refused_by_name(scores, settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        BoundsExplorer(scores=scores, **settings)


def test_a_side_of_a_set_is_ranked_hardest_first():
    explorer = BoundsExplorer(SETS, set=1)
    np.testing.assert_array_equal(explorer.reading.scores, [-41.0, -42.5])
    explorer.set(side="positives")
    np.testing.assert_array_equal(explorer.reading.scores, [300.0, 40.0])


def test_the_posts_formula_is_shown_as_it_is_written():
    explorer = BoundsExplorer(n=2, gap=5.0, tau=1.0, post="show")
    # log(1 + exp(5)) where the error is log(1 + exp(-5)).
    assert explorer.reading.errors["post"] == pytest.approx(5.006715348489118, rel=8 * EPS)
    assert explorer.reading.errors["exact"] == pytest.approx(0.006715348489118, rel=1e-9)
    explorer.set(post="hide")
    assert "post" not in explorer.reading.errors


def test_against_the_gap_the_leader_moves_and_the_others_stay():
    explorer = BoundsExplorer(n=4, spread=2.0, tau=1.5, against="gap")
    reading = explorer.reading
    for place in (0, 57, 200):
        gap = reading.places[place]
        expected = BoundsExplorer(n=4, spread=2.0, tau=1.5, gap=float(gap)).reading.errors
        for name, error in expected.items():
            # The scores are the same up to where the zero lies: 8 eps of 12 nats.
            assert abs(reading.curves[name][place] - error) <= 8 * EPS * 12 * error


def test_the_curves_are_kept_while_tau_and_the_target_move_and_follow_all_else():
    explorer = BoundsExplorer()
    settings, curves = explorer.settings, explorer.reading.curves
    assert explorer.read(settings | {"tau": 7.3, "epsilon": 0.2}).curves is curves
    for other in ({"gap": 2.0}, {"n": 5}, {"spread": 3.0}, {"against": "gap"}, {"post": "show"}):
        moved = explorer.read(settings | other).curves
        assert moved.keys() != curves.keys() or any(np.any(moved[name] != curves[name]) for name in curves)


def test_no_mark_lies_beyond_its_panel_where_a_root_is_beyond_the_axis():
    explorer = BoundsExplorer(gap=0.0, epsilon=0.0045)
    panel = explorer.panels(explorer.reading)[0]
    assert explorer.reading.roots["exact"] > 100
    assert not np.isfinite(panel["exact root"].x).any()


def test_a_root_in_the_table_keeps_its_promise_as_it_is_written():
    explorer = BoundsExplorer(n=8, gap=0.5, epsilon=0.05)
    roots = explorer.reading.roots
    assert 5.99 < roots["upper"] < 6.0
    assert ">5.995</td>" in explorer.widget.says
    lower = re.search('lower bound</th><td class="mapl-number">([0-9.]+)</td>', explorer.widget.says)
    assert float(lower[1]) <= roots["lower"]


def test_the_posts_formula_has_its_number_where_its_exponentials_are_larger_than_any_float():
    explorer = BoundsExplorer(n=3, gap=10.0, spread=10.0, tau=100.0, post="show")
    # log(1 + exp(1000) + exp(2000))/100: 20, and exp(-1000)/100 more.
    assert "The post's formula says 20." in explorer.widget.says
    curve = BoundsExplorer(n=5, gap=1.0, spread=2.0, post="show").reading.curves["post"]
    scores = scores_of(5, 1.0, 2.0)
    np.testing.assert_allclose(curve[:100], [post_smooth_max(scores, tau=tau) for tau in TAUS[:100]], rtol=16 * EPS)

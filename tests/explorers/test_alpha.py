"""The knob of the smoothing, alpha, in the explorers that have it."""

import math

import pytest

from mapl_explore.explorers import BoundsExplorer, LossExplorer, SmoothMaxExplorer, TemperatureExplorer
from mapl_explore.losses import CPO, DPO, First, LeaderShare, Smooth, UpperBound
from mapl_explore.numerics.bounds import error_lower_bound, error_upper_bound
from mapl_explore.numerics.smoothing import smooth_max, smooth_max_weights, smooth_min, smoothing_error
from mapl_explore.numerics.temperature import solve_tau_exact, solve_tau_share_exact, solve_tau_upper

ALPHAS = pytest.mark.parametrize("alpha", [1.0, 1.3, 1.5, 2.0])


@ALPHAS
def test_the_smooth_maximum_and_its_loss_are_those_of_the_alpha(alpha):
    scores, at = [-1.0, -1.5, -4.0, -6.0], {"tau": 1.2, "alpha": alpha}
    explorer = SmoothMaxExplorer(scores, **at)
    reading = explorer.reading
    assert reading.soft == smooth_max(scores, **at)
    assert reading.error == smoothing_error(scores, **at)
    assert reading.weights.tolist() == smooth_max_weights(scores, **at).tolist()
    assert explorer.loss == DPO(pair=Smooth(**at))
    explorer.set(of="min")
    assert explorer.reading.soft == smooth_min(scores, **at)


@ALPHAS
def test_the_bounds_and_their_roots_are_those_of_the_alpha(alpha):
    explorer = BoundsExplorer(n=5, gap=0.5, spread=1.0, tau=1.5, epsilon=0.1, alpha=alpha)
    reading, at = explorer.reading, {"tau": 1.5, "alpha": alpha}
    assert reading.errors["lower"] == error_lower_bound(gap=0.5, **at)
    assert reading.errors["exact"] == smoothing_error(reading.scores, **at)
    assert reading.errors["upper"] == error_upper_bound(n=5, gap=0.5, **at)
    assert reading.roots["exact"] == solve_tau_exact(reading.scores, epsilon=0.1, alpha=alpha)
    assert ("asymptote" in reading.roots) == ("asymptote" in reading.curves) == (alpha == 1)
    assert explorer.loss == DPO(pair=Smooth(**at))
    drawn = [mark.name for mark in explorer.panels(reading)[0].marks]
    assert ("asymptote root" in drawn) == (alpha == 1)


def test_an_error_of_nothing_is_said_to_be_0_where_it_is():
    explorer = BoundsExplorer(gap=1.0, tau=2.0, alpha=2.0)
    assert "smoothing error 0 nats between 0 and 0, leader share 100%" in repr(explorer)
    assert "<b>0</b> nats" in explorer.html(explorer.reading)
    explorer.set(alpha=1.0, gap=10.0, tau=100.0)
    assert "under 1e−12" in repr(explorer)


@ALPHAS
def test_the_rules_meet_their_targets_with_the_alpha(alpha):
    explorer = TemperatureExplorer(n=4, wide_gap=1.0, spread=0.5, epsilon=0.1, share=0.9, alpha=alpha)
    reading = explorer.reading
    assert reading.roots["upper"] == solve_tau_upper(epsilon=0.1, n=4, gap=1.0, alpha=alpha)
    assert reading.roots["share"] == solve_tau_share_exact(reading.scores, share=0.9, alpha=alpha)
    assert reading.errors["exact"] == pytest.approx(0.1, rel=1e-13)
    assert reading.others["share"] == pytest.approx(0.1, rel=1e-13)
    assert explorer.loss == DPO(pair=Smooth(tau=UpperBound(0.1), alpha=alpha))
    explorer.set(rule="share")
    assert explorer.loss == DPO(pair=Smooth(tau=LeaderShare(0.9), alpha=alpha))


def test_where_there_is_no_large_tau_form_the_upper_bound_takes_its_place_and_is_named():
    explorer = TemperatureExplorer(rule="asymptote", alpha=1.5, epsilon=0.2)
    assert explorer.reading.rule == "upper"
    assert explorer.loss == DPO(pair=Smooth(tau=UpperBound(0.2), alpha=1.5))
    assert "asymptote" not in explorer.reading.curves
    assert "large-τ form" not in [mark.label for panel in explorer.panels(explorer.reading) for mark in panel.marks]
    assert "at the upper one" in repr(explorer)
    assert "The large-τ form is of α = 1 alone" in explorer.widget.says
    explorer.set(alpha=1.0)
    assert "alone" not in explorer.widget.says
    assert explorer.reading.rule == "asymptote"
    assert explorer.loss.pair == Smooth(tau=explorer.reading.roots["asymptote"])


def test_the_slider_is_the_alpha_of_a_smooth_pair_and_not_that_of_cpo():
    explorer = LossExplorer("cpo-smooth", alpha=1.5)
    assert explorer.loss == CPO(alpha=1.0, pair=Smooth(tau=1.0, alpha=1.5))
    explorer.set(loss="cpo")
    assert explorer.loss == CPO(pair=First())
    assert "alpha" in explorer.idle(explorer.settings)
    explorer.set(loss="DPO(pair=Smooth(tau=2.0, alpha=2.0))")
    assert explorer.settings["alpha"] == 2.0
    assert math.isfinite(explorer.reading.value)


def test_a_written_call_leaves_alpha_out_where_it_is_one():
    explorer = SmoothMaxExplorer()
    assert "alpha" not in repr(explorer)
    explorer.set(alpha=1.5)
    assert repr(explorer).startswith("SmoothMaxExplorer(tau=1, alpha=1.5, of='max'")

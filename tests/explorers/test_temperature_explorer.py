"""TemperatureExplorer: its roots meet their targets, and its rules do what they promise."""

import mpmath
import numpy as np
import pytest
from explorer_controls import EPS

from mapl_explore.explorers import TemperatureExplorer
from mapl_explore.explorers.stage import REST
from mapl_explore.explorers.temperature import RULE
from mapl_explore.numerics.bounds import error_lower_bound, error_upper_bound


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


def test_what_is_compared_with_the_pin_is_the_root_its_error_and_the_percentage_of_the_others():
    explorer = TemperatureExplorer(epsilon=0.1, n=2, wide_gap=1.0, rule="exact")
    tau, error, others = explorer.headline(explorer.reading).values()
    # With one runner-up, exp(-tau*E) is the leader's share.
    assert (error, others) == (
        pytest.approx(0.1, rel=64 * EPS),
        pytest.approx(-100 * np.expm1(-tau * 0.1), rel=64 * EPS),
    )


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


@pytest.mark.parametrize("rule", RULE.options)
def test_the_picture_draws_the_reading_with_a_ring_at_the_rule_in_use(rule):
    explorer = TemperatureExplorer(n=5, wide_gap=2.0, spread=1.5, rule=rule)
    reading, (roots, others) = explorer.reading, explorer.panels(explorer.reading)
    for name in RULE.options:
        np.testing.assert_array_equal(roots[name].y, reading.curves[name])
        np.testing.assert_array_equal(others[name].y, reading.starved[name])
    assert (roots["here"].x.item(), roots["here"].y.item()) == (2.0, reading.roots[rule])
    assert (others["here"].x.item(), others["here"].y.item()) == (2.0, reading.others[rule])
    np.testing.assert_array_equal(roots["surely at most"].low, reading.curves["upper"])
    np.testing.assert_array_equal(roots["surely at least"].high, reading.curves["lower"])
    np.testing.assert_array_equal(roots["it depends"].low, reading.curves["lower"])
    np.testing.assert_array_equal(roots["it depends"].high, reading.curves["upper"])


def test_the_gap_is_dragged_in_both_panels_and_the_leaders_share_down_where_the_others_get_more():
    explorer = TemperatureExplorer(share=0.75)
    roots, others = explorer.panels(explorer.reading)
    assert [panel["now"].drags[0].knob for panel in (roots, others)] == ["wide_gap", "wide_gap"]
    (drag,) = others["target"].drags
    assert (drag.knob, drag.along, others["target"].at) == ("share", "y", 0.25)
    assert drag.factor * others["target"].at + drag.offset == 0.75


def test_a_tie_rests_on_the_edge_with_an_arrow_and_has_no_ring_where_no_tau_meets_the_share():
    explorer = TemperatureExplorer([-1.0, -1.0, -2.0], rule="upper")
    roots, others = explorer.panels(explorer.reading)
    assert [(panel["here"].x.item(), panel["here"].shape) for panel in (roots, others)] == [(0.01, "left")] * 2
    assert roots["now"].at == 0.01
    explorer.set(rule="share")
    roots, others = explorer.panels(explorer.reading)
    assert (roots["here"].y.item(), roots["here"].shape) == (1e3, "up")
    assert np.isnan(others["here"].y.item())
    assert "a tie keeps the leader's share at or below 1/2" in explorer.widget.says


def test_one_score_has_axes_and_says_that_nothing_meets_a_target():
    explorer = TemperatureExplorer([-1.0])
    roots, others = explorer.panels(explorer.reading)
    assert np.isnan([roots["here"].y.item(), others["here"].y.item(), *roots["exact"].y]).all()
    assert "no τ meets a target" in explorer.widget.says
    explorer.snapshot()


def test_the_readout_leads_with_the_rule_in_use_and_what_other_scores_could_make_of_it():
    explorer = TemperatureExplorer(n=5, wide_gap=2.0, spread=1.5, epsilon=0.2, rule="exact")
    reading = explorer.reading
    tau = reading.roots["exact"]
    assert reading.reach == (error_lower_bound(gap=2.0, tau=tau), error_upper_bound(n=5, gap=2.0, tau=tau))
    # Bisection of log(1 + sum exp(-tau d))/tau = 0.2 over d = 2, 2.5, 3, 3.5 gives 1.0841.
    assert explorer.widget.says.startswith("<p><b>these scores</b>: at τ = <b>1.084</b> E is 0.2 nats")
    assert '<th scope="col"></th>' not in explorer.widget.says


def test_the_list_of_rules_and_the_tooltips_speak_as_the_key_does():
    explorer = TemperatureExplorer()
    roots, _ = explorer.panels(explorer.reading)
    (rule,) = [knob for knob in explorer.widget.knobs if knob["name"] == "rule"]
    assert rule["labels"] == {name: roots[name].label for name in rule["options"]}
    tips = {button["label"]: button["tip"] for button in explorer.widget.buttons}
    assert tips["a share instead"] == "rule in use: leader share, number of scores n = 2, gap δ = 100 nats" + REST


def test_the_curves_are_kept_while_the_gap_and_the_rule_move_and_follow_all_else():
    explorer = TemperatureExplorer()
    settings, curves = explorer.settings, explorer.reading.curves
    assert explorer.read(settings | {"wide_gap": 7.3, "rule": "share"}).curves is curves
    for other in ({"epsilon": 0.2}, {"share": 0.7}, {"n": 5}, {"spread": 3.0}):
        moved = explorer.read(settings | other).curves
        assert any(np.any(moved[name] != curves[name]) for name in curves)

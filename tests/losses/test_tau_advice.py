"""Advice on tau: the right gaps and roots, and a recommendation that follows from them."""

import numpy as np
import pytest

from conftest import EPS, assert_close
from mapl_explore.losses import DPO, MaxMin, ScoredSets
from mapl_explore.losses.tau_advice import advise
from mapl_explore.numerics.smoothing import smooth_max_weights
from mapl_explore.numerics.temperature import solve_tau_share_exact, solve_tau_upper


def sets_with(gaps):
    """Return sets of one positive and two negatives, with these gaps between the negatives."""
    gaps = np.asarray(gaps, float)
    logp = np.stack([0 * gaps - 1, 0 * gaps - 2, -2 - gaps], axis=1)
    label = np.tile([1, -1, -1], (gaps.size, 1))
    return ScoredSets(logp, 0 * logp, abs(label), label)


def test_the_gaps_and_taus_are_those_of_each_side():
    gaps = np.linspace(1.0, 3.0, 21)
    advice = advise(sets_with(gaps), MaxMin(), epsilon=0.05, share=0.8)
    sizes, found = advice.sides["negatives"]
    assert sizes.tolist() == [2] * 21
    assert_close(found, gaps, k=4)
    assert advice.alone == {"positives": 21, "negatives": 0}
    expected = np.quantile(solve_tau_upper(epsilon=0.05, n=2, gap=gaps), [0.05, 0.5, 0.95])
    assert_close(np.asarray(advice.taus["UpperBound(epsilon=0.05)"]), expected, k=8)


def test_like_gaps_get_one_number_and_unlike_ones_the_rule():
    steady = advise(sets_with(np.linspace(0.9, 1.1, 21)), MaxMin(), share=0.9)
    tau = float(steady.recommended)
    assert tau == pytest.approx(solve_tau_share_exact([0.0, -1.0], share=0.9), rel=5e-3)
    assert advise(sets_with(np.geomspace(0.1, 1000, 21)), MaxMin(), share=0.9).recommended == "LeaderShare(share=0.9)"


@pytest.mark.parametrize(("gap", "steady"), [(0.15, False), (0.2, True), (2.0, True), (2.3, False)])
def test_a_number_does_where_it_leaves_the_leader_from_60_to_99_percent(gap, steady):
    # At tau = log(9)/1 the leader has 9**gap / (1 + 9**gap): 58, 61, 98.8 and 99.4 percent.
    advice = advise(sets_with([1.0] * 11 + [gap] * 10), MaxMin(), share=0.9)
    assert advice.recommended == ("2.2" if steady else "LeaderShare(share=0.9)")


def test_the_advice_for_an_alpha_is_that_of_its_smoothing():
    gaps = np.geomspace(0.1, 1000, 21)
    advice = advise(sets_with(gaps), MaxMin(), epsilon=0.05, alpha=2.0)
    expected = np.quantile(solve_tau_upper(epsilon=0.05, n=2, gap=gaps, alpha=2.0), [0.05, 0.5, 0.95])
    assert_close(np.asarray(advice.taus["UpperBound(epsilon=0.05)"]), expected, k=8)
    assert_close(np.asarray(advice.shares["LeaderShare(share=0.9)"]), [0.9] * 3, k=64)
    assert "recommended: Smooth(tau=LeaderShare(share=0.9), alpha=2)" in str(advice)


def test_the_reason_holds_the_shares_that_one_number_would_give():
    gaps = np.geomspace(0.1, 1000, 21)
    advice = advise(sets_with(gaps), MaxMin())
    shares = smooth_max_weights(np.stack([0 * gaps, -gaps], 1), tau=advice.fixed)[:, 0]
    assert_close(np.asarray(advice.fixed_shares), np.quantile(shares, [0.05, 0.5, 0.95]), k=64)
    assert f"{advice.fixed_shares[2]:.1%}" in str(advice)


def test_what_is_printed_of_a_bound_keeps_its_promise():
    advice = advise(sets_with(np.linspace(1.0, 3.0, 21)), MaxMin())
    rows = {line.split()[0]: np.array(line.split()[1:], float) for line in str(advice).split("leader's")[0].splitlines()
            if "epsilon" in line}  # fmt: skip
    for rule, kept in (("UpperBound", np.greater_equal), ("LowerBound", np.less_equal)):
        name = f"{rule}(epsilon=0.1)"
        assert kept(rows[name], advice.taus[name]).all()
        assert_close(rows[name], np.asarray(advice.taus[name]), k=1e-3 / EPS["float64"])


def test_data_of_single_answers_need_no_tau_and_say_so():
    label = np.array([[1, -1]])
    with pytest.raises(ValueError, match="no side of any set has two responses"):
        advise(ScoredSets(-1.0 * abs(label), 0.0 * label, abs(label), label), MaxMin())


def test_log_ratios_to_the_model_itself_get_no_advice():
    sets = sets_with([1.0, 2.0])
    with pytest.raises(ValueError, match="DPO compares log-ratios to a reference"):
        advise(ScoredSets(sets.logp, sets.logp, sets.length, sets.label), DPO())
    assert advise(sets, DPO()).sides["negatives"][0].tolist() == [2, 2]

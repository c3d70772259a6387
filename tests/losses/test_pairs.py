"""Pairs: how the responses of one side become one number."""

import math
from dataclasses import dataclass

import numpy as np
import oracle
import pytest
import torch
from every_loss import PAIRS, SMOOTH, batch, finite, make_sets
from hypothesis import given
from hypothesis import strategies as st

from conftest import EPS, assert_close, numbers
from mapl_explore.losses import (
    DPO,
    Anneal,
    ExactError,
    First,
    Hardest,
    LeaderShare,
    LowerBound,
    MaxMin,
    Mellow,
    Pair,
    ScoredSets,
    Side,
    Smooth,
    UpperBound,
    margin,
)


@pytest.mark.parametrize("pair", PAIRS, ids=repr)
def test_one_positive_and_one_negative_make_every_pair_the_same(pair, library):
    sets = make_sets([[-1.25, -4.5]], [[1, -1]], None, library)
    assert_close(margin(sets, DPO(pair=pair)), [3.25], k=4)


def test_policy_equal_to_reference_makes_the_smooth_margin_minus_log_p_plus_log_n_over_tau(library):
    sets = make_sets([[-3.0] * 5], [[1, 1, -1, -1, -1]], [[-3.0] * 5], library)
    assert_close(margin(sets, DPO(pair=Smooth(tau=4.0))), [-(math.log(2) + math.log(3)) / 4], k=4)


@given(finite, finite, st.floats(0.01, 20))
def test_the_smooth_margin_is_the_reference(positives, negatives, tau):
    sets = make_sets(positives + negatives, [1] * len(positives) + [-1] * len(negatives))
    expected = oracle.smooth_margin(positives + negatives, [1] * len(positives) + [-1] * len(negatives), tau)
    # Each side is within 4 eps of its largest term and its error.
    scale = 100 + 2 * math.log(6) / tau
    assert_close(margin(sets, MaxMin(pair=Smooth(tau=tau))), float(expected), k=0, atol=8 * EPS["float64"] * scale)


@given(finite, finite, st.floats(0.01, 20))
def test_the_hard_margin_minus_the_smooth_one_is_both_errors_and_never_negative(positives, negatives, tau):
    sets = make_sets(positives + negatives, [1] * len(positives) + [-1] * len(negatives))
    hard, smooth = margin(sets, MaxMin()), margin(sets, MaxMin(pair=Smooth(tau=tau)))
    assert hard == min(positives) - max(negatives)
    assert smooth <= hard


@given(finite, st.floats(1e-9, 100))
def test_mellow_is_the_reference_and_lies_between_mean_and_maximum(scores, tau):
    got = Mellow(tau=tau).top(np.asarray(scores))
    # log1p of the mean of expm1, which loses up to n = 6 eps as the mean nears -1 + 1/6; tau times 50 nats amplifies.
    assert_close(got, float(oracle.mellow_max(scores, tau)), k=0, atol=64 * EPS["float64"] * (50 + 1 / max(tau, 0.02)))
    slack = 64 * EPS["float64"] * 100
    assert np.mean(scores) - slack <= got <= max(scores) + slack


def test_first_takes_the_first_of_each_side_and_hardest_the_first_of_the_tied(library):
    sets = make_sets([[-5.0, -1.0, -2.0, -3.0, -2.0]], [[-1, 1, -1, 1, -1]], None, library)
    assert float(margin(sets, MaxMin(pair=First()))[0]) == -1.0 - -5.0
    assert float(margin(sets, MaxMin(pair=Hardest()))[0]) == -3.0 - -2.0
    assert numbers(MaxMin().weights(sets))[0].tolist() == [0.0, 0.0, 1.0, -1.0, 0.0]


@pytest.mark.parametrize("rule", [UpperBound(), LowerBound(), ExactError()], ids=repr)
def test_mellow_refuses_rules_that_aim_at_an_error(rule):
    with pytest.raises(ValueError, match="Mellow: tau must not aim at an error"):
        Mellow(tau=rule)
    assert Mellow(tau=LeaderShare()).tau == LeaderShare()


def test_a_pair_of_a_user_may_return_a_plain_tuple():
    @dataclass(frozen=True)
    class Sharp(Pair):
        def side(self, scores):
            return tuple(Hardest().side(scores)[:2])

    for library in (np.asarray, torch.as_tensor):
        sets = batch(library)
        assert_close(DPO(pair=Sharp())(sets), numbers(DPO()(sets)), k=1)
        assert DPO(pair=Sharp()).sides(sets).negative.tau is None


@pytest.mark.parametrize("pair", SMOOTH, ids=repr)
def test_a_side_hands_out_the_tau_it_was_made_with(pair):
    scores = np.array([[-1.0, -2.0, -np.inf], [-3.0, -3.5, -9.0]])
    side = pair.side(scores)
    assert isinstance(side, Side)
    tau = pair.tau.tau(scores) if isinstance(pair.tau, LeaderShare) else np.array(pair.tau)
    assert_close(side.tau, tau, k=1)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (Smooth(tau=1e-46), r"^tau must be > 0 and finite in float32, not 0\.0$"),
        (Smooth(tau=1e300), r"^tau must be > 0 and finite in float32, not inf$"),
        (Mellow(tau=1e-46), r"^tau must be > 0 and finite in float32, not 0\.0$"),
        (Smooth(tau=UpperBound(epsilon=1e-46)), r"^epsilon must be > 0 and finite in float32, not 0\.0$"),
        (Smooth(tau=LeaderShare(share=1 - 1e-12)), r"^share must be strictly between 1/2 and 1 in float32, not 1\.0$"),
        (Smooth(tau=LeaderShare(share=0.5 + 1e-12)), r"^share must be .* between 1/2 and 1 in float32, not 0\.5$"),
        (Smooth(tau=Anneal(start=1e300)), r"^start must be > 0 and finite in float32, not inf$"),
    ],
)
def test_a_number_of_a_pair_that_the_dtype_cannot_hold_is_refused(library, pair, message):
    logp = library([[-1.0, -2.0, -4.0]], "float32")
    kind = np.asarray if isinstance(logp, np.ndarray) else torch.as_tensor
    with pytest.raises(ValueError, match=message):
        DPO(pair=pair)(ScoredSets(logp, 0 * logp, kind([[1, 1, 1]]), kind([[1, -1, -1]])))


@pytest.mark.parametrize("pair", PAIRS, ids=repr)
def test_the_top_of_a_pair_takes_lists_and_refuses_integers_and_what_is_no_number(pair):
    assert pair.top([0, -1]) == pair.top(np.array([0.0, -1.0]))
    with pytest.raises(TypeError, match="scores must be a floating-point array"):
        pair.top(np.array([0, -1]))
    with pytest.raises(ValueError, match="scores must be finite, or -inf for padding, not nan"):
        pair.top(np.array([0.0, np.nan]))


def test_a_pair_that_is_no_number_is_asked_to_be_a_pair():
    with pytest.raises(TypeError, match=r"^DPO: pair must be a Pair, not nan$"):
        DPO(pair=float("nan"))

"""Rules for tau: the root for each side, as a constant to the gradient, and annealing."""

from dataclasses import dataclass, replace

import numpy as np
import oracle
import pytest
import torch
from every_loss import INF, OBJECTIVES, RULES, batch, make_sets, replace_logp

from conftest import EPS, assert_close, numbers
from mapl_explore.losses import (
    CPO,
    DPO,
    LOSSES,
    Anneal,
    ExactError,
    LeaderShare,
    LowerBound,
    Smooth,
    TauRule,
    UpperBound,
    margin,
)
from mapl_explore.numerics.bounds import error_lower_bound, error_upper_bound
from mapl_explore.numerics.smoothing import smooth_max, smooth_max_weights, smoothing_error, top_gap


def root_of(rule, scores):
    """Return the tau of a rule for one side, restated in mpmath."""
    gap, n = float(oracle.gap(scores)), sum(s > -INF for s in scores)
    return {
        UpperBound: lambda: oracle.tau_upper(0.05, n, gap),
        LowerBound: lambda: oracle.tau_upper(0.05, 2, gap),
        ExactError: lambda: oracle.tau_exact(scores, 0.05),
        LeaderShare: lambda: oracle.tau_share_exact(scores, 0.8),
    }[type(rule)]()


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_a_rule_gives_each_side_the_root_for_its_own_scores(rule, library):
    sides = [[0.0, -1.0, -2.5, -INF], [-3.0, -INF, -3.25, -9.0], [-7.0, -6.0, -5.0, -4.5]]
    assert_close(rule.tau(library(sides)), [float(root_of(rule, scores)) for scores in sides], k=4)


@pytest.mark.parametrize("alpha", [1.2, 1.5, 2.0])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_a_rule_meets_its_target_for_the_smoothing_of_the_pair_that_asks(rule, alpha, library):
    scores = library([[0.0, -1.0, -2.5, -INF], [-3.0, -INF, -3.25, -9.0], [-7.0, -6.0, -5.0, -4.5]])
    tau, gap = rule.tau(scores, alpha=alpha), top_gap(scores)
    assert_close(Smooth(tau=rule, alpha=alpha).side(scores).tau, numbers(tau), k=0)
    n = np.sum(numbers(scores) > -INF, axis=-1)
    met, target = {
        UpperBound: lambda: (error_upper_bound(n=n, gap=numbers(gap), tau=numbers(tau), alpha=alpha), 0.05),
        LowerBound: lambda: (error_lower_bound(gap=gap, tau=tau, alpha=alpha), 0.05),
        ExactError: lambda: (smoothing_error(scores, tau=tau, alpha=alpha), 0.05),
        LeaderShare: lambda: (numbers(smooth_max_weights(scores, tau=tau, alpha=alpha)).max(axis=-1), 0.8),
    }[type(rule)]()
    # An error falls by (1 + mean distance / error) times what tau is off, relatively.
    assert_close(met, [target] * 3, k=256)


def test_a_rule_of_ones_own_serves_every_smoothing(library):
    @dataclass(frozen=True)
    class AlwaysThree(TauRule):
        def tau(self, scores):
            return 0 * top_gap(scores) + 3.0

    side = Smooth(tau=AlwaysThree(), alpha=2.0).side(library([[0.0, -0.2, -1.0]]))
    assert numbers(side.tau).tolist() == [3.0]
    assert_close(side.value, numbers(smooth_max([[0.0, -0.2, -1.0]], tau=3.0, alpha=2.0)), k=4)


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_a_side_of_one_takes_the_upper_end_and_every_root_stays_in_the_clamp(rule, library):
    narrow = replace(rule, low=2.0, high=3.0)
    sides = [[-INF, 1.0, -INF], [0.0, -1e-6, -1e-6], [0.0, -1e6, -1e6], [0.0, 0.0, -1.0]]
    taus = numbers(narrow.tau(library(sides)))
    assert taus[0] == 3.0
    assert ((taus >= 2.0) & (taus <= 3.0)).all()
    assert (numbers(replace(rule, low=2.5, high=2.5).tau(library(sides))) == 2.5).all()
    assert numbers(LeaderShare(high=7.0).tau(library([[1.0, 1.0, 0.0]])))[0] == 7.0


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_a_rule_is_a_constant_to_the_gradient(rule):
    assert not rule.tau(torch.tensor([0.0, -1.0, -2.5], requires_grad=True)).requires_grad
    sets = batch(torch.as_tensor)
    logp = sets.logp.clone().requires_grad_()
    loss = DPO(pair=Smooth(tau=rule))
    (gradient,) = torch.autograd.grad(loss(replace_logp(sets, logp)).sum(), logp)
    assert_close(loss.weights(sets), numbers(gradient), k=64, atol=8 * EPS["float64"])


@pytest.mark.parametrize("rule", [UpperBound(epsilon=0.05), ExactError(epsilon=0.05)], ids=repr)
def test_policy_equal_to_reference_starts_error_rules_at_a_margin_of_minus_two_epsilon(rule, library):
    sets = make_sets([[-3.0] * 5], [[1, 1, -1, -1, -1]], [[-3.0] * 5], library)
    assert_close(margin(sets, DPO(pair=Smooth(tau=rule))), [-0.1], k=8)


@pytest.mark.parametrize(("shape", "middle"), [("linear", 50.5), ("cosine", 50.5), ("geometric", 10.0)])
def test_annealing_runs_from_start_to_stop(shape, middle):
    loss = DPO(pair=Smooth(tau=Anneal(start=1.0, stop=100.0, shape=shape)))
    taus = [loss.at(progress).pair.tau for progress in (0.0, 0.5, 1.0)]
    assert_close(np.asarray(taus), [1.0, middle, 100.0], k=8)
    assert loss.at(0.25).at(0.75) == loss.at(0.25)
    assert numbers(loss(batch(np.asarray))).tolist() == numbers(loss.at(0.0)(batch(np.asarray))).tolist()


def test_a_loss_without_annealing_is_the_same_at_any_progress():
    for loss in (*OBJECTIVES, *LOSSES.values()):
        assert loss.at(0.3) == loss


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LeaderShare(share=0.5), "LeaderShare: share must be strictly between 1/2 and 1, not 0.5"),
        (lambda: UpperBound(epsilon=0), "UpperBound: epsilon must be > 0 and finite, not 0.0"),
        (lambda: ExactError(low=2, high=1), r"ExactError: low must be <= high, not 2.0 > 1.0"),
        (lambda: Anneal(shape="square"), "Anneal: shape must be one of linear, cosine, geometric, not 'square'"),
        (lambda: Anneal().at(1.5), r"progress must be in \[0, 1\], not 1.5"),
        (lambda: Anneal().at(-0.5), r"progress must be in \[0, 1\], not -0.5"),
        (lambda: CPO(alpha=-1), "CPO: alpha must be >= 0 and finite, not -1.0"),
    ],
)
def test_bad_fields_are_refused_by_name_and_value(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("rule", [*RULES, Anneal()], ids=repr)
def test_a_rule_takes_lists_and_refuses_integers_and_what_is_no_number(rule):
    assert rule.tau([0, -1]) == rule.tau(np.array([0.0, -1.0]))
    with pytest.raises(TypeError, match="scores must be a floating-point array"):
        rule.tau(np.array([0, -1]))
    with pytest.raises(ValueError, match="scores must be finite, or -inf for padding, not nan"):
        rule.tau(np.array([0.0, np.nan]))

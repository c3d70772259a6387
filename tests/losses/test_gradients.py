"""Weights in closed form are gradients, and second derivatives are their slopes."""

from dataclasses import replace

import numpy as np
import oracle
import pytest
import torch
from every_loss import COMPARING, EVERY, PAIRS, SMOOTH, batch, flat_loss, make_sets, replace_logp

from conftest import EPS, assert_close, numbers
from mapl_explore.losses import DPO, RLOO, LeaderShare, MaxMin, OneSided, ScoredSets, Smooth


@pytest.mark.parametrize("loss", EVERY, ids=repr)
def test_weights_in_closed_form_are_the_gradient_by_autograd(loss):
    sets = batch(torch.as_tensor)
    logp = sets.logp.clone().requires_grad_()
    value = loss(ScoredSets.unchecked(logp, sets.ref_logp, sets.length, sets.label))
    (gradient,) = torch.autograd.grad(value.sum(), logp)
    # Absolute beside relative: autograd adds the leader's weight up as what is left of 1.
    assert_close(loss.weights(sets), numbers(gradient), k=64, atol=8 * EPS["float64"])


# The advantages of RLOO are constants to the gradient, and change with the value.
@pytest.mark.parametrize("loss", [*(loss for loss in EVERY if loss != RLOO()), RLOO(beta=0.0)], ids=repr)
def test_weights_in_closed_form_are_the_slopes_of_the_value(loss):
    sets, step = batch(np.asarray), 1e-6
    for response in range(5):
        sides = []
        for sign in (1, -1):
            logp = np.array(sets.logp)
            logp[:, response] += sign * step * (sets.label[:, response] != 0)
            sides.append(loss(replace_logp(sets, logp)))
        # Central differences: an error of step**2 times the third derivative, and rounding of 1e-15/step.
        slope = (sides[0] - sides[1]) / (2 * step)
        assert np.abs(slope - loss.weights(sets)[:, response]).max() < 1e-7


@pytest.mark.parametrize("tau", [0.3, 2.0, 40.0])
def test_the_smooth_pair_has_the_gradient_of_plain_logsumexp_at_ties_too(tau):
    logp = torch.tensor([[-1.0, -1.0, -3.0, -3.0, -2.5]], dtype=torch.float64, requires_grad=True)
    sets = make_sets(logp.detach(), [[1, 1, -1, -1, -1]], None, torch.as_tensor)
    plain = torch.logsumexp(-tau * logp[:, :2], -1) / tau + torch.logsumexp(tau * logp[:, 2:], -1) / tau
    (gradient,) = torch.autograd.grad(plain.sum(), logp)
    assert_close(MaxMin(pair=Smooth(tau=tau)).weights(sets), numbers(gradient), k=64, atol=8 * EPS["float64"])


@pytest.mark.parametrize("loss", [replace(loss, pair=pair) for loss in COMPARING for pair in PAIRS[:5]], ids=repr)
def test_second_derivatives_are_the_slopes_of_the_first(loss):
    sets = batch(torch.as_tensor)
    assert torch.autograd.gradgradcheck(flat_loss(loss, sets), (sets.logp.clone().requires_grad_(),))


def test_second_derivatives_of_the_one_sided_loss_are_the_slopes_of_the_first():
    sets = batch(torch.as_tensor)
    one_sided = flat_loss(OneSided(lam=0.5, pair=Smooth(tau=2.0)), sets)
    assert torch.autograd.gradgradcheck(one_sided, (sets.logp.clone().requires_grad_(),))


@pytest.mark.parametrize("alpha", [1.0, 1.2, 1.5, 2.0])
@pytest.mark.parametrize("scores", [[1.0, 1.0, 0.5], [1.0, 0.8, 0.8], [0.3, 1.0, 1.0, -9.0]], ids=str)
def test_second_derivatives_at_ties_are_those_of_the_weights(scores, alpha):
    # The weights move by tau (u_i [i = j] - u_i u_j / sum u) with u = w**(2 - alpha), 0 where there is no weight.
    logp, label = torch.tensor([0.0, *scores], dtype=torch.float64), torch.tensor([1] + [-1] * len(scores))
    pair = Smooth(tau=0.5, alpha=alpha)
    hessian = torch.autograd.functional.hessian(lambda r: -pair.margin(r, label), logp)[1:, 1:]
    w = pair.side(logp[1:]).weights
    u = torch.where(w > 0, w ** (2 - alpha), 0.0)
    assert_close(hessian, numbers(0.5 * (torch.diag(u) - torch.outer(u, u) / u.sum())), k=8, atol=EPS["float64"])


def test_second_derivatives_take_the_tau_of_a_rule_as_a_constant():
    sets = ScoredSets(*map(torch.as_tensor, ([-1.0, -2.0, -4.0], [0.0] * 3, [3] * 3, [1, -1, -1])))
    sets = ScoredSets(sets.logp.double(), sets.ref_logp.double(), sets.length, sets.label)
    rule = LeaderShare(share=0.9)
    tau = float(rule.tau(np.array([-np.inf, -2.0, -4.0])))
    ruled, fixed = (flat_loss(DPO(pair=Smooth(tau=one)), sets) for one in (rule, tau))
    hessian = torch.autograd.functional.hessian
    assert_close(hessian(ruled, sets.logp), numbers(hessian(fixed, sets.logp)), k=64)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")  # torch.func imports what warns
@pytest.mark.parametrize("pair", SMOOTH[:2], ids=repr)
def test_derivatives_by_torch_func_are_those_by_autograd(pair):
    sets = batch(torch.as_tensor)
    columns, loss = (sets.logp, sets.ref_logp, sets.length, sets.label), DPO(beta=1.0, pair=pair)
    each = torch.vmap(torch.func.grad(lambda *one: loss(ScoredSets.unchecked(*one))))(*columns)
    assert_close(each, numbers(loss.weights(sets)), k=64, atol=8 * EPS["float64"])
    of = flat_loss(loss, sets)
    assert_close(torch.func.hessian(of)(sets.logp), numbers(torch.autograd.functional.hessian(of, sets.logp)), k=64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_second_derivative_of_dpo_is_a_number_at_any_margin(dtype):
    for far in (-1e4, -100.0, 0.0, 100.0, 1e4):
        label = torch.tensor([1, -1])
        sets = ScoredSets(torch.tensor([far, 0.0], dtype=dtype), torch.zeros(2, dtype=dtype), abs(label), label)
        hessian = torch.autograd.functional.hessian(flat_loss(DPO(beta=1.0), sets), sets.logp)
        expected = float(1 / ((1 + oracle.mp.exp(far)) * (1 + oracle.mp.exp(-far))))
        assert_close(hessian, expected * np.array([[1.0, -1.0], [-1.0, 1.0]]), k=8, atol=2.0**-147)

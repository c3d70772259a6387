"""A dynamic beta is the number that its formula gives for the batch, and a constant to the gradient."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from every_loss import batch, flat_loss

from conftest import assert_close, numbers
from mapl_explore import LossExplorer, PairsExplorer
from mapl_explore.losses import (
    CDPO,
    CPO,
    DPO,
    IPO,
    DynamicBeta,
    Hinge,
    InfoNCA,
    RobustDPO,
    SimPO,
    Smooth,
    parse,
    reads_reference,
)

RULE = DynamicBeta(beta=0.5, alpha=0.2, threshold=-6.0)
WITH_BETA = [DPO(), DPO(pair=Smooth(tau=2.0)), CDPO(), RobustDPO(), CPO(), SimPO(), IPO(), Hinge()]
HESSIAN = torch.autograd.functional.hessian


def fixed(loss, sets):
    """Return the loss with the number that beta is for these sets."""
    beta = 0.5 * (1 + 0.2 * (float(numbers(loss.margin(sets)).mean()) + 6.0))
    assert beta > 1e-3
    return replace(loss, beta=beta)


@pytest.mark.parametrize("loss", WITH_BETA, ids=repr)
def test_a_dynamic_beta_is_the_number_for_the_batch_in_value_and_weights(loss, library):
    sets, dynamic = batch(library), replace(loss, beta=RULE)
    expected = fixed(loss, sets)
    assert_close(dynamic(sets), numbers(expected(sets)), k=64)
    assert_close(dynamic.weights(sets), numbers(expected.weights(sets)), k=64)
    assert_close(dynamic(sets[1:3]), numbers(fixed(loss, sets[1:3])(sets[1:3])), k=64)


@pytest.mark.parametrize("loss", WITH_BETA, ids=repr)
def test_a_dynamic_beta_is_a_constant_to_first_and_second_derivatives(loss):
    sets, dynamic = batch(torch.as_tensor), replace(loss, beta=RULE)
    expected = fixed(loss, sets)
    logp = sets.logp.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(dynamic(sets.with_logp(logp)).sum(), logp)
    assert_close(gradient, numbers(expected.weights(sets)), k=64, atol=1e-14)
    second, known = (HESSIAN(flat_loss(one, sets), sets.logp) for one in (dynamic, expected))
    assert_close(second, numbers(known), k=64, atol=1e-14)


def test_a_dynamic_beta_has_a_floor_and_is_its_own_beta_at_the_threshold(library):
    margins = library([-900.0, -100.0])
    assert float(DynamicBeta().of(margins)) == 1e-3
    assert float(DynamicBeta(beta=0.3, threshold=-500.0).of(margins)) == 0.3
    assert float(DynamicBeta(beta=0.3, alpha=0).of(margins)) == 0.3
    assert "float32" in str(RULE.of(library([1.0], "float32")).dtype)


@pytest.mark.parametrize("loss", [replace(loss, beta=RULE) for loss in WITH_BETA], ids=repr)
def test_a_loss_with_a_dynamic_beta_has_a_name(loss):
    assert parse(repr(loss)) == loss
    assert reads_reference(loss) == reads_reference(replace(loss, beta=0.5))


def test_a_loss_without_margins_takes_no_dynamic_beta():
    with pytest.raises(TypeError, match=r"^InfoNCA: beta must be a float, not DynamicBeta\("):
        InfoNCA(beta=DynamicBeta())


@pytest.mark.parametrize("explorer", [LossExplorer, PairsExplorer])
def test_a_picture_of_one_set_refuses_a_beta_of_a_batch(explorer):
    refusal = r"^loss: beta must be a number to be shown, as a picture has no batch, not DynamicBeta\("
    with pytest.raises(ValueError, match=refusal):
        explorer(loss="DPO(beta=DynamicBeta())")
    with pytest.raises(ValueError, match=refusal):
        explorer().set(loss="DPO(beta=DynamicBeta())")
    with pytest.raises(ValueError, match=refusal):
        LossExplorer(over=["DPO(beta=DynamicBeta())"])


def test_the_mean_is_over_the_whole_batch_of_any_shape():
    one, other = batch(np.asarray), batch(np.asarray, seed=1)
    stacked = type(one).unchecked(**{name: np.stack([a, getattr(other, name)]) for name, a in one.columns().items()})
    loss = DPO(beta=RULE)
    assert_close(loss(stacked), numbers(fixed(DPO(), stacked)(stacked)), k=64)

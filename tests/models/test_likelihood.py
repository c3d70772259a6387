"""Log-probabilities of tokens are those of float64, whatever the size of the vocabulary."""

import pytest
import torch

from conftest import assert_close
from mapl_explore.models import likelihood
from mapl_explore.models.likelihood import token_logp


def drawn(rows, vocabulary, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    # As a model gives them: a spread of 3 around a level of the row's own, often far from 0.
    logits = 3 * torch.randn(rows, vocabulary, generator=generator) + 10 * torch.randn(rows, 1, generator=generator)
    return logits.to(dtype), torch.randint(vocabulary, (rows,), generator=generator)


def exact(logits, target):
    return logits.double().log_softmax(-1).gather(1, target[:, None])[:, 0]


@pytest.mark.parametrize("vocabulary", [1, 257, 49_152, 151_936])
def test_each_token_is_within_a_millionth_of_a_nat_and_none_leans_to_one_side(vocabulary):
    logits, target = drawn(24, vocabulary)
    off = token_logp(logits, target) - exact(logits, target)
    # float32 eps is 1.2e-7: a sum of exp(logits) in blocks is off by a few of them, cross_entropy's by up to 270.
    assert off.abs().max() <= 1e-6
    assert off.mean().abs() <= 2e-7


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("chunk", [1, 2000, 2**20])
def test_the_gradient_is_that_of_log_softmax_in_the_type_of_the_logits(monkeypatch, dtype, chunk):
    monkeypatch.setitem(likelihood.CHUNK, "cpu", chunk)
    logits, target = drawn(7, 600, dtype)
    weights = torch.linspace(-2, 3, 7, dtype=torch.float64)
    logits.requires_grad_()
    (token_logp(logits, target) * weights).sum().backward()
    wide = logits.detach().double().requires_grad_()
    (exact(wide, target) * weights).sum().backward()
    assert logits.grad.dtype == dtype
    # Of float64 a share is off by the rounding of a logit near 20, 20 eps; of the others by their own eps at most.
    assert_close(logits.grad, wide.grad, k=40, atol=3e-7 if dtype == torch.float32 else 2**-24)


def test_a_token_that_takes_all_has_log_probability_0_and_no_gradient():
    logits = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    logp = token_logp(logits, torch.tensor([0]))
    logp.sum().backward()
    assert logp.tolist() == [0.0]
    assert logits.grad.tolist() == [[0.0, 0.0, 0.0]]


def test_a_second_derivative_is_refused():
    logits, target = drawn(2, 5)
    logits.requires_grad_()
    [slope] = torch.autograd.grad((token_logp(logits, target) ** 2).sum(), logits, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()

"""The gradient of a drawn pair: as enumeration and sampling give it, and the smooth pair as pairs drawn by softmax."""

import itertools
import math

import mpmath
import numpy as np
import pytest
import torch

from mapl_explore.losses import CPO, DPO, IPO, Hardest, Hinge, MaxMin, Mean, ScoredSets, SimPO, Smooth, explain
from mapl_explore.sampling.kernels import Bell
from mapl_explore.sampling.pair_gradients import effective_number, pair_gradient, smooth_chances
from mapl_explore.sampling.pairs import RejectionSampler, maxneg_minpos, pair_margins

EPS = 2.0**-52
SETS = ScoredSets(
    logp=[[-4.0, -6.5, -30.0, -5.0, -7.0], [-9.0, -3.0, -3.0, 0.0, 0.0]],
    ref_logp=[[-5.0, -5.0, -28.0, -5.5, -5.0], [-8.0, -4.0, -2.0, 0.0, 0.0]],
    length=[[9, 8, 70, 9, 3], [4, 2, 2, 1, 1]],
    label=[[1, -1, 1, -1, -1], [-1, 1, -1, 0, 0]],
)


def drawn(sets, loss, chance):
    """The gradient of every single pair, one by one by the loss on that pair alone, and its probability."""
    pairs, n = pair_margins(sets, loss), sets.label.shape[-1]
    rows = []
    for number, plus, minus in zip(pairs.set, pairs.positive, pairs.negative, strict=True):
        label = np.zeros((2, n), int)
        label[number, [plus, minus]] = 1, -1
        label[1 - number] = sets.label[1 - number]
        weights = loss.weights(ScoredSets(sets.logp, sets.ref_logp, sets.length, label))
        weights[1 - number] = 0.0
        rows.append(weights)
    return np.array(rows), np.asarray(chance, float) / np.sum(chance)


@pytest.mark.parametrize("loss", [MaxMin(), DPO(beta=0.7), SimPO(), Hinge(beta=0.5)], ids=repr)
def test_mean_spread_and_noise_are_those_of_the_enumerated_pairs(loss):
    chance = [0.1, 1.0, 0.5, 0.3, 0.9, 0.2, 0.7, 0.4]
    each, q = drawn(SETS, loss, chance)
    gradient = pair_gradient(SETS, loss, pair_margins(SETS, loss), chance)
    mean = (q[:, None, None] * each).sum(axis=0)
    variance = (q[:, None, None] * np.square(each - mean)).sum(axis=0)
    # Eight terms of one size, added in another order.
    np.testing.assert_allclose(gradient.mean, mean, rtol=32 * EPS, atol=32 * EPS * np.abs(mean).max())
    np.testing.assert_allclose(gradient.spread, np.sqrt(variance), rtol=32 * EPS, atol=32 * EPS * np.abs(mean).max())
    assert gradient.noise == pytest.approx(variance.sum() / np.square(mean).sum(), rel=64 * EPS)
    assert gradient.size == pytest.approx(np.linalg.norm(mean), rel=32 * EPS)


def test_the_average_of_many_accepted_pairs_comes_to_the_mean_with_the_spread_it_tells():
    loss, kernel = DPO(beta=0.5), Bell(center=0.0, width=3.0)
    pairs = pair_margins(SETS, loss)
    gradient = pair_gradient(SETS, loss, pairs, kernel(pairs.margin))
    each, _ = drawn(SETS, loss, np.ones(len(pairs)))
    indices, _ = RejectionSampler(kernel).sample(np.random.default_rng(5), pairs.margin, 40_000)
    sample = each[indices]
    # Seeded; four standard errors of the mean of 40,000 draws, and 3 % of a standard deviation.
    assert (np.abs(sample.mean(axis=0) - gradient.mean) <= 4 * gradient.spread / 200 + 1e-15).all()
    np.testing.assert_allclose(sample.std(axis=0), gradient.spread, rtol=0.03, atol=1e-12)


def test_uniform_pairs_of_a_linear_loss_are_the_mean_pair():
    one = ScoredSets(*(getattr(SETS, name)[0] for name in ("logp", "ref_logp", "length", "label")))
    loss = MaxMin(pair=Mean())
    gradient = pair_gradient(one, loss, pair_margins(one, loss), np.ones(6))
    np.testing.assert_allclose(gradient.mean[0], loss.weights(one), rtol=16 * EPS)


@pytest.mark.parametrize("tau", [1e-3, 0.4, 5.0, 300.0])
def test_pairs_drawn_by_softmax_of_minus_their_margins_are_on_average_the_smooth_pair(tau):
    for loss in (MaxMin(pair=Smooth(tau=tau)), DPO(beta=0.3, pair=Smooth(tau=tau))):
        pairs = pair_margins(SETS, loss)
        slopes = loss.link_slope(loss.margin(SETS))[pairs.set]
        gradient = pair_gradient(SETS, loss, pairs, smooth_chances(pairs, tau=tau), slopes=slopes)
        # Two sets, each drawn half of the time. The weights of a set are products of two softmaxes whose exponents
        # reach tau*30 nats before they are negligible, each with an error of half an ulp.
        expected = loss.weights(SETS) / 2
        close = 64 * EPS * max(1.0, 30 * tau)
        np.testing.assert_allclose(gradient.mean, expected, rtol=close, atol=close * np.abs(expected).max())


def test_smooth_chances_are_products_of_the_weights_of_both_sides():
    pairs = pair_margins(SETS, MaxMin())
    with mpmath.workdps(40):
        up = {i: mpmath.exp(-mpmath.mpf(0.5) * SETS.logp[0, i]) for i in (0, 2)}
        down = {j: mpmath.exp(mpmath.mpf(0.5) * SETS.logp[0, j]) for j in (1, 3, 4)}
        total = sum(up.values()) * sum(down.values())
        expected = [float(up[i] * down[j] / total) for i, j in itertools.product(up, down)]
    np.testing.assert_allclose(smooth_chances(pairs, tau=0.5)[:6], expected, rtol=64 * EPS)


def test_the_hardest_pair_of_a_set_has_no_noise_and_is_what_the_loss_trains_on():
    loss = DPO(beta=0.3, pair=Hardest())
    pairs, best = pair_margins(SETS, loss), maxneg_minpos(SETS, loss)
    chance = (pairs.set == 0) & (pairs.positive == best.positive[0]) & (pairs.negative == best.negative[0])
    gradient = pair_gradient(SETS, loss, pairs, chance)
    assert (gradient.noise, gradient.spread.max()) == (0.0, 0.0)
    np.testing.assert_array_equal(gradient.mean[0], loss.weights(SETS)[0])


def test_a_pair_with_almost_all_of_the_chance_keeps_the_digits_of_its_noise():
    sets = ScoredSets([-1.0, -2.0, -3.0], [0.0] * 3, [1] * 3, [1, -1, -1])
    rare = 1e-12
    gradient = pair_gradient(sets, MaxMin(), pair_margins(sets, MaxMin()), [1.0, rare])
    # The two negatives are pushed 1 with probability q and 1-q: variance q(1-q) each; the positive always.
    q = rare / (1 + rare)
    # 1 - q is rounded at 1e-16, 1e-4 of q; 4 eps is how far a mean of ones may be from 1.
    np.testing.assert_allclose(gradient.spread[0], [0, math.sqrt(q), math.sqrt(q)], rtol=1e-4, atol=4 * EPS)


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_likeness_and_noise_do_not_depend_on_the_scale_of_the_slopes(scale):
    pairs = pair_margins(SETS, MaxMin())
    slopes = np.linspace(-1.0, -0.2, len(pairs))
    one, other = (pair_gradient(SETS, MaxMin(), pairs, np.ones(8), slopes=by * slopes) for by in (1.0, scale))
    assert other.noise == pytest.approx(one.noise, rel=32 * EPS)
    assert one.likeness(other) == pytest.approx(1.0, rel=32 * EPS)
    assert other.size == pytest.approx(scale * one.size, rel=32 * EPS)


def test_a_loss_that_no_longer_turns_has_no_gradient_and_noise_without_end():
    sets = ScoredSets([0.0, -100.0], [0.0] * 2, [1] * 2, [1, -1])
    gradient = pair_gradient(sets, Hinge(beta=1.0), pair_margins(sets, Hinge(beta=1.0)), [1.0])
    assert (gradient.size, gradient.noise, gradient.likeness(gradient)) == (0.0, math.inf, 0.0)


def test_torch_sets_give_the_same_gradient():
    there = ScoredSets(*(torch.as_tensor(getattr(SETS, name)) for name in ("logp", "ref_logp", "length", "label")))
    gradients = [pair_gradient(sets, SimPO(), pair_margins(sets, SimPO()), np.ones(8)) for sets in (SETS, there)]
    np.testing.assert_allclose(gradients[0].mean, gradients[1].mean, rtol=8 * EPS)


def test_pairs_without_a_chance_are_refused():
    with pytest.raises(ValueError, match="chance must be > 0 for at least one pair"):
        pair_gradient(SETS, MaxMin(), pair_margins(SETS, MaxMin()), np.zeros(8))


def test_equal_chances_count_whole_and_a_sliver_does_not():
    assert effective_number([0.3, 0.3, 0.3]) == pytest.approx(3.0, rel=4 * EPS)
    assert effective_number([1.0, 1e-9]) == pytest.approx(1.0, rel=1e-8)
    assert effective_number([1e-200, 1e-200]) == 2.0


def test_what_compares_log_ratios_refuses_sets_that_are_their_own_reference():
    own = ScoredSets(SETS.logp, SETS.logp, SETS.length, SETS.label)
    pairs = pair_margins(own, CPO())
    asked = [lambda: explain(DPO(), own), lambda: pair_margins(own, IPO()), lambda: maxneg_minpos(own, DPO())]
    for ask in [*asked, lambda: pair_gradient(own, DPO(), pairs, np.ones(len(pairs)))]:
        with pytest.raises(ValueError, match="reference, and in these sets ref_logp equals logp"):
            ask()
    assert explain(CPO(), own)[0].weight < 0


@pytest.mark.parametrize("chance", [[1.0] * 3, 1.0, [-1.0, *[1.0] * 3], [np.nan] * 4, [np.inf] * 4, [[1.0] * 4]])
def test_a_chance_that_is_not_one_number_a_pair_is_refused(chance):
    sets = ScoredSets([0.0] * 4, [0.0] * 4, [1] * 4, [1, 1, -1, -1])
    with pytest.raises(ValueError, match="chance must be a finite number >= 0 for each of 4 pairs"):
        pair_gradient(sets, MaxMin(), pair_margins(sets, MaxMin()), chance)


def test_no_pairs_have_no_smooth_chances():
    pairs = pair_margins(ScoredSets([0.0] * 4, [0.0] * 4, [1] * 4, [1, 1, -1, -1]), MaxMin())
    with pytest.raises(ValueError, match="pairs must hold at least one pair"):
        smooth_chances(pairs.take([]), tau=1.0)

"""Losses of rewards are their formulas and their gradients, with any rewards and not only with verdicts."""

import math

import numpy as np
import oracle
import pytest
import torch
from every_loss import GRADED, batch, flat_loss, make_sets

from conftest import EPS, assert_close, numbers
from mapl_explore.losses import DPO, GRPO, RLOO, First, InfoNCA, PlackettLuce, ScoredSets, Smooth
from mapl_explore.losses.graded import FAR, _penalty

REWARDS = [[0.3, -2.0, 5.0, 0.3, 1.5], [1.0, 1.0, 0.0, 0.0, 2.0], [-7.0, 3.0, 0, 0, 0], [0.1, 9.0, 0.2, 0.1, 0.3]]


def graded(library, rewards=REWARDS):
    """Return the sets of every loss with rewards: with ties, of both signs, and not as the labels have it."""
    sets = batch(library)
    return ScoredSets(sets.logp, sets.ref_logp, sets.length, sets.label, reward=library(np.asarray(rewards)))


def rows(sets):
    """Return log-probs, those of the reference, lengths and rewards of each set, without padding."""
    columns = [numbers(one) for one in (sets.logp, sets.ref_logp, sets.length, sets.rewards)]
    return [[column[row][keep] for column in columns] for row, keep in enumerate(numbers(sets.label) != 0)]


def by_formula(loss, logp, ref, length, rewards):
    ratio = [oracle.exact(x) - oracle.exact(y) for x, y in zip(logp, ref, strict=True)]
    return {
        InfoNCA: lambda: oracle.info_nca(ratio, rewards, loss.beta, getattr(loss, "alpha", 1)),
        PlackettLuce: lambda: oracle.plackett_luce(ratio, rewards, loss.beta),
        RLOO: lambda: oracle.rloo(logp, ref, rewards, loss.beta)[0],
        GRPO: lambda: oracle.grpo([x / int(n) for x, n in zip(ratio, length, strict=True)], rewards, 0.2, 0.04),
    }[type(loss)]()


EACH = [InfoNCA(alpha=0.5), PlackettLuce(beta=0.5), RLOO(), GRPO()]


@pytest.mark.parametrize("loss", EACH, ids=repr)
def test_each_loss_of_rewards_is_its_formula(loss, library):
    sets = graded(library)
    expected = [float(by_formula(loss, *row)) for row in rows(sets)]
    assert_close(loss(sets), expected, k=64, atol=64 * EPS["float64"])


@pytest.mark.parametrize("loss", GRADED, ids=repr)
def test_weights_of_rewards_are_gradients_and_slopes(loss):
    sets, step = graded(torch.as_tensor), 1e-6
    logp = sets.logp.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(sets.with_logp(logp)).sum(), logp)
    assert_close(loss.weights(graded(np.asarray)), numbers(gradient), k=64, atol=8 * EPS["float64"])
    if loss == RLOO():  # its advantages are constants to the gradient, and change with the value
        return
    for response in range(5):
        shift = step * torch.eye(5, dtype=torch.float64)[response] * (sets.label != 0)
        slope = (loss(sets.with_logp(sets.logp + shift)) - loss(sets.with_logp(sets.logp - shift))) / (2 * step)
        assert (slope - gradient[:, response]).abs().max() < 1e-7


@pytest.mark.parametrize("loss", [loss for loss in GRADED if loss != RLOO()], ids=repr)
def test_second_derivatives_of_losses_of_rewards_are_the_slopes_of_the_first(loss):
    sets = graded(torch.as_tensor)
    assert torch.autograd.gradgradcheck(flat_loss(loss, sets), (sets.logp.clone().requires_grad_(),))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")  # torch.func imports what warns
@pytest.mark.parametrize("loss", EACH, ids=repr)
def test_derivatives_of_losses_of_rewards_by_torch_func_are_those_by_autograd(loss):
    sets = graded(torch.as_tensor)
    each = torch.vmap(torch.func.grad(lambda *one: loss(ScoredSets.unchecked(*one))))(*sets.columns().values())
    assert_close(each, numbers(loss.weights(sets)), k=64, atol=8 * EPS["float64"])


@pytest.mark.parametrize("alpha", [1e-3, 1e-30])
def test_infonca_with_verdicts_a_small_alpha_and_one_positive_is_s_dpo(alpha, library):
    sets = make_sets([[-3.0, -1.0, -9.0, -4.0]], [[1, -1, -1, -1]], [[-2.0, -2.5, -2.0, -7.0]], library)
    s_dpo = DPO(beta=0.7, pair=Smooth(tau=0.7))
    assert_close(InfoNCA(beta=0.7, alpha=alpha)(sets), numbers(s_dpo(sets)), k=8)
    assert_close(InfoNCA(beta=0.7, alpha=alpha).weights(sets), numbers(s_dpo.weights(sets)), k=8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", [InfoNCA(alpha=1e-30), InfoNCA(alpha=1e30), *GRADED], ids=repr)
@pytest.mark.parametrize("reward", [1e-30, 1.0, 1e30, "largest"])
@pytest.mark.parametrize("far", [1e4, "largest"])
def test_a_loss_of_rewards_is_finite_at_any_log_probs_and_rewards(loss, dtype, reward, far, library):
    most = float(np.finfo(dtype).max)
    reward, far = most if reward == "largest" else reward, most / 1e8 if far == "largest" else far
    logp = library(far * np.array([[-1.0, 0.0, -1.0, -5e-4], [0.0, -1.0, 0.0, 1.0]]), dtype)
    reward = reward * library([[1.0, -1.0, 0.0, 1.0], [-1.0, 1.0, 0.5, 0.5]], dtype)
    label = np.array([[1, -1, 1, -1], [1, 1, -1, -1]])
    label = label if isinstance(logp, np.ndarray) else torch.as_tensor(label)
    sets = ScoredSets(logp, 0 * logp, abs(label), label, reward=reward)
    assert np.isfinite(numbers(loss(sets))).all()
    assert np.isfinite(numbers(loss.weights(sets))).all()
    if not isinstance(logp, np.ndarray):
        moved = logp.clone().requires_grad_()
        loss(sets.with_logp(moved)).mean().backward()
        assert torch.equal(moved.grad, loss.weights(sets) / 2)


@pytest.mark.parametrize("unit", [1.0, 0.5 * float(np.finfo("float64").max)])
def test_the_largest_rewards_have_the_weights_of_small_ones(unit, library):
    plain, vast = (at_the_reference(library, np.array([1.0, -2.0, 0.5, 0.0]) * one, [1] * 4) for one in (1.0, unit))
    assert_close(GRPO(beta=0.0).weights(vast), numbers(GRPO(beta=0.0).weights(plain)), k=4)
    assert_close(RLOO().weights(vast) / unit, numbers(RLOO().weights(plain)), k=4)


def test_a_value_beyond_the_dtype_is_held_inside_it(library):
    most = float(np.finfo("float64").max)
    label = make_sets([[0.0, 0.0]], [[1, -1]], None, library).label
    for sign in (1, -1):
        sets = ScoredSets(library([[-9.0, -3.0]]), library([[-9.0, -3.0]]), abs(label), label)
        sets = ScoredSets(**sets.columns(), reward=sign * library([[most, -most]]))
        assert numbers(RLOO()(sets)) == pytest.approx(sign * most / 2**40)


def test_an_alpha_that_float32_cannot_divide_by_is_refused_when_the_loss_is_made():
    for alpha in (1e-40, 1e40):
        with pytest.raises(ValueError, match=r"^InfoNCA: alpha must be from 1e-30 to 1e30, not 1e"):
            InfoNCA(alpha=alpha)
    sets = make_sets([[-3.0, -1.0]], [[1, -1]], None, lambda x: np.asarray(x, np.float32))
    for alpha in (1e-30, 1e30):
        assert np.isfinite(InfoNCA(alpha=alpha)(sets))


@pytest.mark.parametrize("first", [1.0, -1.0])
def test_plackett_luce_of_two_is_dpo_with_the_better_reward_as_the_positive(first, library):
    logp, ref = library([[-3.0, -1.0]]), library([[-2.0, -2.5]])
    label = make_sets([[0.0, 0.0]], [[1, -1]], None, library).label
    sets = ScoredSets(logp, ref, abs(label), label, reward=library([[first, 0.0]]))
    pair = ScoredSets(logp, ref, abs(label), label * int(first))
    assert_close(PlackettLuce(beta=0.7)(sets), numbers(DPO(beta=0.7, pair=First())(pair)), k=8)
    assert_close(PlackettLuce(beta=0.7).weights(sets), numbers(DPO(beta=0.7, pair=First()).weights(pair)), k=8)


def test_plackett_luce_with_verdicts_is_s_dpo_of_each_positive(library):
    logp, ref = [-3.0, -1.0, -9.0, -4.0], [-2.0, -2.5, -2.0, -7.0]
    both = make_sets([logp], [[1, 1, -1, -1]], [ref], library)
    each = [make_sets([logp], [label], [ref], library) for label in ([1, 0, -1, -1], [0, 1, -1, -1])]
    s_dpo = DPO(beta=0.7, pair=Smooth(tau=0.7))
    assert_close(PlackettLuce(beta=0.7)(both), numbers(s_dpo(each[0]) + s_dpo(each[1])), k=8)


def test_plackett_luce_does_not_compare_responses_with_one_reward(library):
    sets = graded(library, np.full((4, 5), 0.1))
    assert numbers(PlackettLuce()(sets)).tolist() == [0.0] * 4
    assert not numbers(PlackettLuce().weights(sets)).any()


def test_plackett_luce_keeps_the_digits_of_weights_next_to_0(library):
    sets = make_sets([[0.0, -200.0]], [[1, -1]], None, library)
    assert_close(PlackettLuce(beta=1.0).weights(sets), [[-math.exp(-200), math.exp(-200)]], k=4)


def test_the_weights_of_rloo_are_its_advantages_and_add_up_to_0(library):
    sets = graded(library)
    weights = numbers(RLOO().weights(sets))
    for own, keep, (logp, ref, _, rewards) in zip(weights, numbers(sets.label) != 0, rows(sets), strict=True):
        expected = np.array([float(one) for one in oracle.rloo(logp, ref, rewards, 0.1)[1]])
        assert_close(own[keep], expected, k=16, atol=16 * EPS["float64"])
    assert_close(weights.sum(axis=-1), np.zeros(4), k=0, atol=8 * EPS["float64"])


def test_second_derivatives_of_rloo_are_0():
    sets = graded(torch.as_tensor)
    hessian = torch.autograd.functional.hessian(flat_loss(RLOO(), sets), sets.logp)
    assert not hessian.any()


def at_the_reference(library, rewards, length):
    """Return a set whose model is its reference: all ratios are 1."""
    logp = library([[-3.0, -5.0, -2.0, -9.0]])
    label = make_sets([[0.0] * 4], [[1, 1, -1, -1]], None, library).label
    return ScoredSets(
        logp, logp, abs(label) * 0 + make_lengths(length, label), label, reward=library(np.array([rewards]))
    )


def make_lengths(length, label):
    return torch.as_tensor([length]) if isinstance(label, torch.Tensor) else np.asarray([length])


def test_equal_rewards_push_nothing_though_their_mean_is_rounded(library):
    assert sum([0.1] * 3) / 3 != 0.1
    logp = library([[-3.0, -5.0, -2.0]])
    plain = make_sets(logp, [[1, -1, -1]], logp, library)
    sets = ScoredSets(**plain.columns(), reward=library([[0.1] * 3]))
    assert not numbers(GRPO().weights(sets)).any()
    assert numbers(GRPO()(sets)).tolist() == [0.0]


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_grpo_does_not_depend_on_the_scale_of_rewards(scale, library):
    rewards = np.array([0.3, -2.0, 5.0, 0.3])
    weights = GRPO(beta=0.0).weights(at_the_reference(library, rewards * scale, [1, 1, 1, 1]))
    assert_close(weights, [[-float(one) / 4 for one in oracle.standardised(rewards)]], k=16)


def test_at_ratio_1_grpo_has_the_gradient_of_the_paper_with_a_ratio_for_each_token():
    rewards, length = [0.3, -2.0, 5.0, 0.3], [3, 1, 7, 2]
    sets = at_the_reference(torch.as_tensor, np.array(rewards), length)
    advantages = [float(one) for one in oracle.standardised(rewards)]
    # Eqs. 3 and 4 as they stand, on tokens; each response's log-prob is spread evenly over its tokens.
    expected = []
    for logp, count, gain in zip(sets.logp[0].tolist(), length, advantages, strict=True):
        old = torch.full((count,), logp / count, dtype=torch.float64)
        new = old.clone().requires_grad_()
        ratio, behind = torch.exp(new - old), old - new
        kept = torch.minimum(ratio * gain, torch.clip(ratio, 0.8, 1.2) * gain) - 0.04 * (behind.exp() - behind - 1)
        expected.append(float(torch.autograd.grad(-kept.mean() / 4, new)[0][0]))
    assert_close(GRPO().weights(sets), [expected], k=16)


@pytest.mark.parametrize(("gain", "ratio", "moves"), [(1, 1.3, 0), (1, 0.7, 1), (-1, 1.3, 1), (-1, 0.7, 0)])
def test_grpo_follows_a_ratio_to_its_clip_and_no_further(gain, ratio, moves, library):
    label = make_sets([[0.0, 0.0]], [[1, -1]], None, library).label
    logp = library([[math.log(ratio) - 1.0, -1.0]])
    sets = ScoredSets(logp, library([[-1.0, -1.0]]), abs(label), label, reward=library([[float(gain), 0.0]]))
    weight = numbers(GRPO(beta=0.0).weights(sets))[0, 0]
    assert weight == pytest.approx(-gain * ratio / 2 * moves, rel=1e-14)


@pytest.mark.parametrize(("gain", "edge"), [(1, 2.0), (-1, 0.5)])
def test_at_the_kinks_of_grpo_the_slope_is_that_of_the_clipped_side(gain, edge, library):
    label = make_sets([[0.0, 0.0]], [[1, -1]], None, library).label
    sets = ScoredSets(library([[math.log(edge), 0.0]]), library([[0.0, 0.0]]), abs(label), label)
    sets = ScoredSets(**sets.columns(), reward=library([[float(gain), 0.0]]))
    assert math.exp(math.log(edge)) == edge
    loss = GRPO(clip=abs(edge - 1), beta=0.0)
    assert numbers(loss.weights(sets))[0, 0] == 0.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_penalty_of_grpo_has_all_its_digits(library, dtype):
    small = np.geomspace(1e-12, 60.0, 200)
    r = np.concatenate([-small, [-1.0, 0.0, 1.0], small]).astype(dtype)
    assert_close(_penalty(library(r, dtype)), [float(oracle.penalty(one)) for one in r], k=4)


@pytest.mark.parametrize("sign", [1, -1])
def test_beyond_its_end_exp_goes_on_as_a_logarithm_in_value_and_slope(sign, library):
    # Down, the penalty grows, and up, the ratio of a response that was worse than the other.
    logp = sign * library([[FAR, 0.0], [FAR + 1, 0.0], [3 * FAR, 0.0]])
    label = make_sets([[0.0, 0.0]] * 3, [[-1, 1]] * 3, None, library).label
    sets, loss = ScoredSets(logp, 0 * logp, abs(label), label), GRPO(beta=0.5)
    value, slopes = numbers(loss(sets)), numbers(loss.weights(sets))[:, 0]
    top, beyond = (0.5 if sign > 0 else 0.25) * math.exp(FAR), np.array([0.0, 1.0, 2 * FAR])
    assert_close(slopes, sign * top / (1 + beyond), k=4)
    assert_close(value - value[0], top * np.log1p(beyond), k=64)

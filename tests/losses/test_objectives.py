"""Each loss is its formula, finite wherever its numbers lie, alike in numpy and torch."""

import math
from dataclasses import dataclass

import numpy as np
import oracle
import pytest
import torch
from every_loss import COMPARING, EVERY, GRADED, INF, OBJECTIVES, batch, finite, make_sets
from hypothesis import given
from hypothesis import strategies as st

from conftest import EPS, assert_close, numbers
from mapl_explore.losses import (
    CDPO,
    CPO,
    DPO,
    GRPO,
    IPO,
    LOSSES,
    ORPO,
    RLOO,
    SFT,
    First,
    Hardest,
    Hinge,
    InfoNCA,
    MaxMin,
    Mean,
    Mellow,
    OneSided,
    PlackettLuce,
    RobustDPO,
    ScoredSets,
    SimPO,
    Smooth,
    explain,
    margin,
    reads_reference,
    require_reference,
)
from mapl_explore.sampling.pairs import pair_margins


@pytest.mark.parametrize("loss", EVERY, ids=repr)
def test_numpy_and_torch_agree(loss):
    here, there = batch(np.asarray), batch(torch.as_tensor)
    assert_close(loss(there), loss(here), k=64)
    assert_close(loss.weights(there), loss.weights(here), k=64, atol=8 * EPS["float64"])


@pytest.mark.parametrize("loss", EVERY, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_nothing_is_nan_or_infinite_at_ten_thousand_nats_in_any_dtype(loss, dtype):
    extremes = [[-1e4, 0.0, -1e4], [0.0, -1e4, -1e4], [0.0, 0.0, 0.0], [-1e4, -1e4, 0.0]]
    logp = torch.tensor(extremes, dtype=dtype, requires_grad=True)
    label = torch.tensor([[1, -1, -1], [1, 1, -1], [1, -1, 0], [1, -1, 1]])
    value = loss(ScoredSets(logp, torch.zeros_like(logp), torch.ones_like(label), label))
    assert value.dtype == torch.float32
    (gradient,) = torch.autograd.grad(value.sum(), logp)
    assert torch.isfinite(value).all()
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("loss", [*COMPARING, *GRADED], ids=repr)
def test_the_first_step_pushes_positives_up_and_negatives_down(loss, library):
    weights = numbers(loss.weights(make_sets([[-2.0] * 4], [[1, 1, -1, -1]], [[-2.0] * 4], library)))[0]
    assert weights[:2].sum() < 0 < weights[2:].sum()
    assert (weights[:2] <= 0).all()
    assert (weights[2:] >= 0).all()


@pytest.mark.parametrize("loss", EVERY, ids=repr)
def test_padding_gets_no_weight_and_has_no_say(loss, library):
    plain = make_sets([[-1.0, -2.5, -2.0]], [[1, -1, -1]], None, library)
    padded = make_sets([[-1.0, INF, -2.5, -2.0, float("nan")]], [[1, 0, -1, -1, 0]], None, library)
    assert float(loss(padded)[0]) == float(loss(plain)[0])
    weights = numbers(loss.weights(padded))[0]
    assert weights[1] == weights[4] == 0.0


@pytest.mark.parametrize("pair", [First(), Mean(), Hardest(), Mellow(tau=0.5), Mellow(tau=50.0)], ids=repr)
def test_policy_equal_to_reference_makes_dpo_log_2_whatever_the_set(pair, library):
    sets = make_sets(
        [[-3.0, -700.0, -2.0, -0.1, -9.0]], [[1, 1, -1, -1, -1]], [[-3.0, -700.0, -2.0, -0.1, -9.0]], library
    )
    assert_close(DPO(pair=pair)(sets), [math.log(2)], k=1)


@given(st.floats(-50, 0), finite, st.floats(0.01, 5))
def test_dpo_on_the_smooth_pair_with_tau_beta_is_s_dpo_on_one_positive(positive, negatives, beta):
    sets = make_sets([positive, *negatives], [1] + [-1] * len(negatives))
    expected = float(oracle.s_dpo(positive, negatives, beta))
    # softplus(x) has condition |x| at most, x being beta times a margin of at most 50.
    assert_close(DPO(beta=beta, pair=Smooth(tau=beta))(sets), expected, k=64 * (1 + beta * 50))


def test_the_preset_s_dpo_has_the_tau_that_makes_it_s_dpo():
    assert LOSSES["s-dpo"] == DPO(beta=0.1, pair=Smooth(tau=0.1))


@given(finite, finite, st.floats(0.01, 5))
def test_dpo_on_the_smooth_pair_with_tau_beta_is_the_circle_form_on_sets(positives, negatives, gamma):
    sets = make_sets(positives + negatives, [1] * len(positives) + [-1] * len(negatives))
    expected = float(oracle.circle(positives, negatives, gamma))
    assert_close(DPO(beta=gamma, pair=Smooth(tau=gamma))(sets), expected, k=64 * (1 + gamma * 100))


def test_dpo_of_a_margin_far_below_zero_is_linear_and_far_above_zero_vanishes(library):
    sets = make_sets([[-1e4, 0.0], [0.0, -1e4]], [[1, -1], [1, -1]], None, library)
    assert numbers(DPO(beta=1.0)(sets)).tolist() == [1e4, 0.0]
    assert numbers(DPO(beta=1.0).weights(sets)).tolist() == [[-1.0, 1.0], [0.0, 0.0]]


def by_formula(loss, logp, ref, length, label):
    """Return the value of a loss on the hard pair, restated in mpmath."""
    mp, exact = oracle.mp, oracle.exact
    log_ratio = [exact(x) - exact(y) for x, y in zip(logp, ref, strict=True)]
    plain = [exact(x) for x in logp]
    mean = [x / n for x, n in zip(plain, length, strict=True)]
    ratio_mean = [x / n for x, n in zip(log_ratio, length, strict=True)]
    odds = [oracle.log_odds(x, n) for x, n in zip(logp, length, strict=True)]
    nll, hard = oracle.nll(logp, length, label), oracle.hard_margin
    verdict = [int(sign > 0) for sign in label]
    return {
        DPO: lambda: oracle.softplus(-exact(loss.beta) * hard(log_ratio, label)),
        CDPO: lambda: oracle.flipped(exact(loss.beta) * hard(log_ratio, label), loss.smoothing),
        RobustDPO: lambda: oracle.unflipped(exact(loss.beta) * hard(log_ratio, label), loss.smoothing),
        MaxMin: lambda: -hard(plain, label),
        OneSided: lambda: max(
            x - exact(loss.lam) * exact(y) for x, y, s in zip(plain, ref, label, strict=True) if s < 0
        ),
        CPO: lambda: oracle.softplus(-exact(loss.beta) * hard(plain, label)) + exact(loss.alpha) * nll,
        ORPO: lambda: nll + exact(loss.lam) * oracle.softplus(-hard(odds, label)),
        SimPO: lambda: oracle.softplus(exact(loss.gamma) - exact(loss.beta) * hard(mean, label)),
        IPO: lambda: (hard(log_ratio, label) - 1 / (2 * exact(loss.beta))) ** 2,
        Hinge: lambda: max(mp.mpf(0), 1 - exact(loss.beta) * hard(plain, label)),
        SFT: lambda: nll,
        InfoNCA: lambda: oracle.info_nca(log_ratio, verdict, loss.beta, loss.alpha),
        PlackettLuce: lambda: oracle.plackett_luce(log_ratio, verdict, loss.beta),
        RLOO: lambda: oracle.rloo(logp, ref, verdict, loss.beta)[0],
        GRPO: lambda: oracle.grpo(ratio_mean, verdict, loss.clip, loss.beta),
    }[type(loss)]()


@pytest.mark.parametrize("loss", OBJECTIVES, ids=repr)
def test_each_objective_is_its_formula(loss, library):
    sets = batch(library)
    for row, got in enumerate(loss(sets)):
        logp, ref, length, label = (
            numbers(getattr(sets, name))[row] for name in ("logp", "ref_logp", "length", "label")
        )
        keep = label != 0
        expected = by_formula(loss, logp[keep], ref[keep], length[keep], label[keep])
        # Subtractions of numbers of up to ten nats: their rounding, not that of the result.
        assert_close(got, float(expected), k=64, atol=64 * EPS["float64"])


def test_at_its_kink_the_hinge_no_longer_pushes(library):
    sets = make_sets([[-1.0, -3.0], [-1.0, -2.5]], [[1, -1], [1, -1]], None, library)  # margins 2 and 1.5
    assert numbers(Hinge(beta=0.5)(sets)).tolist() == [0.0, 0.25]
    assert numbers(Hinge(beta=0.5).weights(sets)).tolist() == [[0.0, 0.0], [-0.5, 0.5]]


@pytest.mark.parametrize("kind", [CDPO, RobustDPO])
def test_without_flips_conservative_and_robust_dpo_are_dpo(kind, library):
    sets = batch(library)
    for pair in (Hardest(), Smooth(tau=2.0)):
        flipped, plain = kind(beta=0.7, smoothing=0, pair=pair), DPO(beta=0.7, pair=pair)
        assert flipped.bounded
        assert_close(flipped(sets), numbers(plain(sets)), k=0)
        assert_close(flipped.weights(sets), numbers(plain.weights(sets)), k=0)


def swapped(sets):
    return ScoredSets(sets.logp, sets.ref_logp, sets.length, -sets.label)


@pytest.mark.parametrize("pair", [First(), Hardest(), Smooth(tau=2.0)], ids=repr)
def test_the_mean_of_robust_dpo_over_swapped_pairs_is_dpo_and_that_of_dpo_is_conservative_dpo(pair, library):
    sets = make_sets([[-3.0, -5.0], [-7.0, -1.0]], [[1, -1], [1, -1]], [[-4.0, -2.0], [-4.0, -4.0]], library)
    dpo, conservative, robust = (kind(beta=0.7, pair=pair) for kind in (DPO, CDPO, RobustDPO))
    assert_close(0.9 * robust(sets) + 0.1 * robust(swapped(sets)), numbers(dpo(sets)), k=8)
    assert_close(0.9 * dpo(sets) + 0.1 * dpo(swapped(sets)), numbers(conservative(sets)), k=8)


def test_far_out_conservative_dpo_rises_and_robust_dpo_falls_without_end(library):
    margin = library([1e4, 1e5])
    assert_close(CDPO(beta=0.5, smoothing=0.2).link_slope(margin), [0.1, 0.1], k=2)
    assert_close(RobustDPO(beta=0.5, smoothing=0.2).link_slope(margin), [-0.1 / 0.6, -0.1 / 0.6], k=2)
    assert_close(
        RobustDPO(beta=0.5, smoothing=0.2)(make_sets([[0.0, -1e5]], [[1, -1]], None, library)), [-1e4 / 0.6], k=4
    )


def test_conservative_dpo_is_least_where_sigma_of_the_margin_is_one_minus_the_smoothing(library):
    least = math.log(0.8 / 0.2) / 0.5
    assert_close(CDPO(beta=0.5, smoothing=0.2).link_slope(library([least])), [0.0], k=0, atol=EPS["float64"])


@pytest.mark.parametrize("kind", [CDPO, RobustDPO])
@pytest.mark.parametrize("smoothing", [-0.1, 0.5, 1.0, float("nan")])
def test_a_smoothing_that_is_no_rate_of_flips_is_refused(kind, smoothing):
    with pytest.raises(ValueError, match=rf"^{kind.__name__}: smoothing must be >= 0 and below 1/2, not {smoothing}$"):
        kind(smoothing=smoothing)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("logp", [-1e-7, -3e-8, -1e-9, -1e-11])
def test_orpo_is_right_where_log1p_of_minus_exp_is_minus_infinity(library, dtype, logp):
    logp = np.dtype(dtype).type(logp)
    sets = ScoredSets(*(library([[x, y]], dtype) for x, y in ((logp, -5.0), (0.0, 0.0))), *integers(library))
    assert_close(ORPO().score(sets)[0, 0], float(oracle.log_odds(logp, 1)), k=8)


def integers(library):
    kind = np.asarray if isinstance(library([0.0]), np.ndarray) else torch.as_tensor
    return kind([[1, 1]]), kind([[1, -1]])


def test_orpo_goes_on_along_its_tangent_up_to_a_log_prob_of_zero(library):
    values = [-2e-12, -1e-12, -5e-13, -0.0, 0.0]
    sets = make_sets([[x, -1.0] for x in values], [[1, -1]] * 5, None, library)
    sets = ScoredSets(sets.logp, sets.ref_logp, abs(sets.label), sets.label)
    r, slope = numbers(ORPO().score(sets))[:, 0], numbers(ORPO().score_slope(sets))[:, 0]
    assert np.all(np.diff(r[:4]) > 0)
    assert np.all(slope[1:] == slope[1])
    assert abs(r[3] - (r[1] + 1.0)) < 1e-3


@pytest.mark.parametrize("loss", [*EVERY, *LOSSES.values()], ids=repr)
@pytest.mark.parametrize("top", [0.0, -1e-9, -1e-8, -1e4])
def test_every_loss_and_gradient_is_finite_for_sure_and_for_hopeless_answers(loss, top):
    logp = torch.tensor([[top, -1e4, top], [-1e4, top, top]], dtype=torch.float32, requires_grad=True)
    label = torch.tensor([[1, -1, -1], [1, 1, -1]])
    value = loss(ScoredSets(logp, torch.zeros_like(logp), torch.ones_like(label), label))
    (gradient,) = torch.autograd.grad(value.sum(), logp)
    assert torch.isfinite(value).all()
    assert torch.isfinite(gradient).all()
    assert torch.isfinite(loss.weights(ScoredSets(logp.detach(), torch.zeros_like(logp), abs(label), label))).all()


def test_one_sided_looks_at_the_negatives_alone(library):
    weights = numbers(OneSided(pair=Smooth(tau=2.0)).weights(batch(library)))
    label = numbers(batch(library).label)
    assert not weights[label >= 0].any()
    assert_close(weights.sum(axis=-1), np.ones(4), k=4)


@pytest.mark.parametrize("loss", [OneSided(), OneSided(pair=Smooth(tau=2.0)), SFT()], ids=repr)
def test_the_margin_of_a_loss_that_compares_nothing_is_the_hard_one_of_log_probs(loss, library):
    assert_close(margin(batch(library), loss), numbers(margin(batch(library), MaxMin())), k=0)


def test_an_unbounded_loss_says_so():
    unbounded = [MaxMin(), OneSided(lam=0.5), RobustDPO(beta=2.0), RLOO()]
    assert [loss for loss in OBJECTIVES if not loss.bounded] == unbounded


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_reads_reference_tells_the_losses_of_log_ratios_from_the_others(name):
    loss = LOSSES[name]
    assert reads_reference(loss) != isinstance(loss, CPO | ORPO | SimPO | Hinge | SFT | MaxMin)


def test_reads_reference_looks_at_what_a_loss_does_with_it():
    assert reads_reference(OneSided(lam=0.5))
    assert not reads_reference(OneSided(lam=0.0))
    assert not reads_reference(RLOO(beta=0.0))


def test_reads_reference_sees_a_loss_of_a_user_that_needs_torch_and_reads_it_in_its_value_alone():
    @dataclass(frozen=True)
    class KeptNear(MaxMin):
        def __call__(self, sets):
            return super().__call__(sets) + torch.relu(sets.ref_logp - sets.logp).sum(dim=-1)

    assert reads_reference(KeptNear())


RATIOS = [DPO(), CDPO(), RobustDPO(), IPO(pair=Smooth(tau=2.0)), OneSided(lam=0.5), *GRADED]


@pytest.mark.parametrize("library", [np.asarray, torch.as_tensor])
@pytest.mark.parametrize("loss", RATIOS, ids=repr)
def test_sets_that_are_their_own_reference_are_refused_where_a_loss_reads_it(loss, library):
    logp = -np.arange(10.0).reshape(2, 5) - 1
    label = [[1, 1, -1, -1, 0], [1, -1, -1, 0, 0]]
    own = make_sets(logp, label, logp, library)
    with pytest.raises(ValueError, match=r"reference=MODEL .*--reference MODEL.* cpo$") as caught:
        require_reference(loss, own)
    assert "\n" not in str(caught.value)
    require_reference(CPO(), own)
    ref = logp.copy()
    ref[1, 0] -= 1e-9
    require_reference(loss, make_sets(logp, label, ref, library))


SETS = batch(np.asarray)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: margin(SETS, "dpo"), r"^loss must be a loss, not a text: write parse\('dpo'\)$"),
        (lambda: margin(SETS, DPO), r"^loss must be a loss, not its class: write DPO\(\)$"),
        (lambda: margin(DPO(), SETS), r"^loss must be a loss, not ScoredSets: give the two in the other order$"),
        (lambda: margin(SETS, None), r"^loss must be a loss, such as DPO\(\), not of type NoneType$"),
        (lambda: margin(None, DPO()), r"^sets must be ScoredSets, as score_sets returns them, not of type NoneType$"),
        (lambda: explain("dpo", SETS), r"^loss must be a loss, not a text"),
        (lambda: explain(SETS, DPO()), r"give the two in the other order$"),
        (lambda: explain(DPO(), [1]), r"^sets must be ScoredSets.*list$"),
        (lambda: pair_margins(SETS, "dpo"), r"^loss must be a loss, not a text"),
        (lambda: pair_margins(DPO(), SETS), r"give the two in the other order$"),
        *((lambda loss=loss: loss([1]), r"^sets must be ScoredSets.*list$") for loss in (DPO(), SFT(), OneSided())),
        *((lambda loss=loss: loss.weights([1]), "^sets must be ScoredSets.*list$") for loss in (DPO(), OneSided())),
        (lambda: DPO().margin([1]), r"^sets must be ScoredSets.*list$"),
    ],
)
def test_a_loss_and_sets_of_another_kind_are_refused_in_one_line(call, message):
    with pytest.raises(TypeError, match=message):
        call()

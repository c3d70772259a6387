"""ScoredSets, pairs, objectives, their closed-form gradients, and the names that parse reads."""

import math
from dataclasses import dataclass, replace

import numpy as np
import oracle
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import EPS, assert_close, numbers
from mapl_explore.losses import (
    CPO,
    DPO,
    IPO,
    LOSSES,
    ORPO,
    SFT,
    Anneal,
    ExactError,
    First,
    Hardest,
    Hinge,
    LeaderShare,
    Loss,
    LowerBound,
    MaxMin,
    Mean,
    Mellow,
    OneSided,
    Pair,
    ScoredSets,
    Side,
    SimPO,
    Smooth,
    UpperBound,
    explain,
    margin,
    parse,
    reads_reference,
    require_reference,
)
from mapl_explore.sampling.pairs import pair_margins

INF = float("inf")
PAIRS = [First(), Mean(), Hardest(), Smooth(tau=0.3), Smooth(tau=40.0), Mellow(tau=1e-3), Mellow(tau=2.0)]
OBJECTIVES = [DPO(), DPO(beta=5.0), MaxMin(), OneSided(lam=0.5), CPO(), ORPO(), SimPO(), IPO(), Hinge(), SFT()]
COMPARING = [loss for loss in OBJECTIVES if not isinstance(loss, OneSided | SFT)]
EVERY = OBJECTIVES + [replace(loss, pair=pair) for loss in (DPO(), ORPO(), OneSided()) for pair in PAIRS]


def make_sets(logp, label, ref=None, library=np.asarray):
    logp = library(logp)
    ref = library(np.zeros(logp.shape) if ref is None else ref)
    label = np.asarray(label)
    label = label if isinstance(logp, np.ndarray) else torch.as_tensor(label)
    return ScoredSets(logp=logp, ref_logp=ref, length=abs(label) * 0 + 3, label=label)


def batch(library, seed=0, scale=3.0):
    """Return ragged sets: 3 + 2 responses, 1 + 4, 1 + 1, and one with padding in the middle."""
    rng = np.random.default_rng(seed)
    label = [[1, 1, 1, -1, -1], [1, -1, -1, -1, -1], [-1, 1, 0, 0, 0], [1, 0, -1, 1, -1]]
    return make_sets(-np.abs(rng.normal(size=(4, 5)) * scale), label, -np.abs(rng.normal(size=(4, 5))), library)


@pytest.mark.parametrize("loss", EVERY, ids=repr)
def test_weights_in_closed_form_are_the_gradient_by_autograd(loss):
    sets = batch(torch.as_tensor)
    logp = sets.logp.clone().requires_grad_()
    value = loss(ScoredSets.unchecked(logp, sets.ref_logp, sets.length, sets.label))
    (gradient,) = torch.autograd.grad(value.sum(), logp)
    # Absolute beside relative: autograd adds the leader's weight up as what is left of 1.
    assert_close(loss.weights(sets), numbers(gradient), k=64, atol=8 * EPS["float64"])


@pytest.mark.parametrize("loss", EVERY, ids=repr)
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


@pytest.mark.parametrize("loss", COMPARING, ids=repr)
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


@pytest.mark.parametrize("pair", PAIRS, ids=repr)
def test_one_positive_and_one_negative_make_every_pair_the_same(pair, library):
    sets = make_sets([[-1.25, -4.5]], [[1, -1]], None, library)
    assert_close(margin(sets, DPO(pair=pair)), [3.25], k=4)


@pytest.mark.parametrize("pair", [First(), Mean(), Hardest(), Mellow(tau=0.5), Mellow(tau=50.0)], ids=repr)
def test_policy_equal_to_reference_makes_dpo_log_2_whatever_the_set(pair, library):
    sets = make_sets(
        [[-3.0, -700.0, -2.0, -0.1, -9.0]], [[1, 1, -1, -1, -1]], [[-3.0, -700.0, -2.0, -0.1, -9.0]], library
    )
    assert_close(DPO(pair=pair)(sets), [math.log(2)], k=1)


def test_policy_equal_to_reference_makes_the_smooth_margin_minus_log_p_plus_log_n_over_tau(library):
    sets = make_sets([[-3.0] * 5], [[1, 1, -1, -1, -1]], [[-3.0] * 5], library)
    assert_close(margin(sets, DPO(pair=Smooth(tau=4.0))), [-(math.log(2) + math.log(3)) / 4], k=4)


finite = st.lists(st.floats(-50, 0), min_size=1, max_size=6)


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


@given(st.floats(-50, 0), finite, st.floats(0.01, 5))
def test_dpo_on_the_smooth_pair_with_tau_beta_is_s_dpo_on_one_positive(positive, negatives, beta):
    sets = make_sets([positive, *negatives], [1] + [-1] * len(negatives))
    expected = float(oracle.s_dpo(positive, negatives, beta))
    # softplus(x) has condition |x| at most, x being beta times a margin of at most 50.
    assert_close(DPO(beta=beta, pair=Smooth(tau=beta))(sets), expected, k=64 * (1 + beta * 50))


@given(finite, finite, st.floats(0.01, 5))
def test_dpo_on_the_smooth_pair_with_tau_beta_is_the_circle_form_on_sets(positives, negatives, gamma):
    sets = make_sets(positives + negatives, [1] * len(positives) + [-1] * len(negatives))
    expected = float(oracle.circle(positives, negatives, gamma))
    assert_close(DPO(beta=gamma, pair=Smooth(tau=gamma))(sets), expected, k=64 * (1 + gamma * 100))


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
    odds = [oracle.log_odds(x, n) for x, n in zip(logp, length, strict=True)]
    nll, hard = oracle.nll(logp, length, label), oracle.hard_margin
    return {
        DPO: lambda: oracle.softplus(-exact(loss.beta) * hard(log_ratio, label)),
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


RULES = [UpperBound(epsilon=0.05), LowerBound(epsilon=0.05), ExactError(epsilon=0.05), LeaderShare(share=0.8)]


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


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_a_side_of_one_takes_the_upper_end_and_every_root_stays_in_the_clamp(rule, library):
    narrow = replace(rule, low=2.0, high=3.0)
    sides = [[-INF, 1.0, -INF], [0.0, -1e-6, -1e-6], [0.0, -1e6, -1e6], [0.0, 0.0, -1.0]]
    taus = numbers(narrow.tau(library(sides)))
    assert taus[0] == 3.0
    assert ((taus >= 2.0) & (taus <= 3.0)).all()
    assert numbers(LeaderShare(high=7.0).tau(library([[1.0, 1.0, 0.0]])))[0] == 7.0


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_a_rule_is_a_constant_to_the_gradient(rule):
    assert not rule.tau(torch.tensor([0.0, -1.0, -2.5], requires_grad=True)).requires_grad
    sets = batch(torch.as_tensor)
    logp = sets.logp.clone().requires_grad_()
    loss = DPO(pair=Smooth(tau=rule))
    (gradient,) = torch.autograd.grad(loss(replace_logp(sets, logp)).sum(), logp)
    assert_close(loss.weights(sets), numbers(gradient), k=64, atol=8 * EPS["float64"])


def replace_logp(sets, logp):
    return ScoredSets.unchecked(logp, sets.ref_logp, sets.length, sets.label)


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


@pytest.mark.parametrize("rule", [UpperBound(), LowerBound(), ExactError()], ids=repr)
def test_mellow_refuses_rules_that_aim_at_an_error(rule):
    with pytest.raises(ValueError, match="Mellow: tau must not aim at an error"):
        Mellow(tau=rule)
    assert Mellow(tau=LeaderShare()).tau == LeaderShare()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LeaderShare(share=0.5), "LeaderShare: share must be strictly between 1/2 and 1, not 0.5"),
        (lambda: UpperBound(epsilon=0), "UpperBound: epsilon must be > 0 and finite, not 0.0"),
        (lambda: ExactError(low=2, high=1), r"ExactError: low must be <= high, not 2.0 > 1.0"),
        (lambda: Anneal(shape="square"), "Anneal: shape must be one of linear, cosine, geometric, not 'square'"),
        (lambda: Anneal().at(1.5), r"progress must be in \[0, 1\], not 1.5"),
        (lambda: CPO(alpha=-1), "CPO: alpha must be >= 0 and finite, not -1.0"),
    ],
)
def test_bad_fields_are_refused_by_name_and_value(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_unbounded_loss_says_so():
    assert [type(loss) for loss in OBJECTIVES if not loss.bounded] == [MaxMin, OneSided]


@pytest.mark.parametrize("loss", [*EVERY, *LOSSES.values()], ids=repr)
def test_parse_reads_what_repr_writes(loss):
    assert parse(repr(loss)) == loss


def test_parse_reads_presets_and_fills_in_defaults():
    assert parse(" dpo ") == DPO(beta=0.1, pair=First())
    assert parse("MaxMin()") == MaxMin(pair=Hardest())
    assert parse("DPO(pair=Smooth(tau=5))") == DPO(beta=0.1, pair=Smooth(tau=5.0))


def test_a_number_has_one_name():
    assert repr(DPO(beta=1, pair=Smooth(tau=np.float32(0.5)))) == "DPO(beta=1.0, pair=Smooth(tau=0.5))"


def test_a_loss_of_ones_own_is_read_by_its_name():
    @dataclass(frozen=True)
    class Perceptron(Loss):
        pair: Pair = Hardest()

        def score(self, sets):
            return sets.logp

        def link(self, margin):
            return np.maximum(0.0, -margin)

        def link_slope(self, margin):
            return np.where(margin < 0.0, -1.0, 0.0)

    sets = make_sets([[-5.0, -1.0]], [[1, -1]])
    assert parse("Perceptron(pair=Mean())")(sets).tolist() == [4.0]
    assert parse("Perceptron()").weights(sets).tolist() == [[-1.0, 1.0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "this has no such form"),
        ("DPO(**{})", "fields are given by name"),
        ("DPO(gamma=1)", r"no field 'gamma' in DPO\(beta=..., pair=...\)"),
        ("DPO(beta=-'x')", "expected a name with brackets"),
        ("SimPO(gamma=-True)", "expected a name with brackets"),
        ("DPO(beta=0.1, beta=0.2)", "a field is given twice in DPO"),
        ("DPO(beta=True)", "DPO: beta must be a float, not True"),
        ("DPO(beta='a')", "DPO: beta must be a float, not 'a'"),
        ("DPO(pair=0.5)", "DPO: pair must be a Pair, not 0.5"),
        ("DPO(pair=MaxMin())", "DPO: pair must be a Pair"),
        ("DPO(pair=Smooth(tau='a'))", "Smooth: tau must be a float or a TauRule, not 'a'"),
        ("DPO()x", "this has no such form"),
        ("DPO(pair=Pair())", "nothing is called 'Pair'"),
        ("3", "3 is not a loss"),
        ("Xyzzy()", "nothing is called 'Xyzzy'"),
        ("__import__('os').system('true')", "expected a name with brackets"),
        ("DPO(beta=(lambda: 1)())", "expected a name with brackets"),
        ("(" * 500 + ")" * 500, "this has no such form"),
    ],
)
def test_a_wrong_text_gets_an_error_that_points_and_lists_what_exists(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        parse(text)
    assert list(lists_of(caught.value)) == ["Presets", "Losses", "Pairs", "Rules for tau"]


def lists_of(error):
    """Return what the last lines of an error list, by their headings."""
    return {kind: names.split(", ") for kind, names in (line.split(": ") for line in str(error).splitlines()[-4:])}


def test_the_lists_of_what_exists_are_whole():
    with pytest.raises(ValueError, match="is not a loss") as caught:
        parse("3")
    lists = lists_of(caught.value)
    assert lists["Presets"] == list(LOSSES)
    for kind, known in (("Losses", OBJECTIVES), ("Pairs", PAIRS), ("Rules for tau", [*RULES, Anneal()])):
        assert {type(one).__name__ for one in known} <= set(lists[kind]), kind


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("DPO(beta=-1)", "DPO: beta must be > 0 and finite, not -1.0"),
        ("DPO(beta=1e999)", "DPO: beta must be > 0 and finite, not inf"),
        ("DPO(beta=" + "9" * 400 + ")", "DPO: beta must be a number that a float can hold"),
        ("DPO(pair=Smooth(tau=0))", "Smooth: tau must be > 0 and finite, not 0.0"),
    ],
)
def test_a_number_out_of_range_gets_its_rule_and_no_list_of_names(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        parse(text)
    assert str(caught.value).count("\n") == 2


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("dpo(beta=0.1)", "'DPO(beta=0.1)'"),
        ("DPO(beta=0,1)", "'DPO(beta=0.1)'"),
        ("DPO(beta=0,1, pair=Smooth(0,5))", "'DPO(beta=0.1, pair=Smooth(tau=0.5))'"),
        ("DPO(0.1)", "'DPO(beta=0.1)'"),
        ("DPO(beta 0.1)", "'DPO(beta=0.1)'"),
        ("DPO(beta: 0.1)", "'DPO(beta=0.1)'"),
        ("DPO[beta=0.1]", "'DPO(beta=0.1)'"),
        ("DPO(beta='0.1')", "'DPO(beta=0.1)'"),
        ("DPO(beta=0.1", "'DPO(beta=0.1)'"),
        ("DPO(β=0.1, pair=Smooth(τ=−5))", None),
        ("DPO(β=0.1, pair=Smooth(τ=5))", "'DPO(beta=0.1, pair=Smooth(tau=5))'"),
        ("ORPO(lambda=0.2)", "'ORPO(lam=0.2)'"),
        ("DPO(bta=0.2)", "'DPO(beta=0.2)'"),
        ("simpo(Gamma=1)", "'SimPO(gamma=1)'"),
        ("DPO", "'DPO()' or 'dpo'"),
        ("dpo()", "'dpo' or 'DPO()'"),
        ("'dpo'", "'dpo' or 'DPO()'"),
        ("dpoo", "'dpo' or 'DPO()'"),
        ("dop", "'dpo' or 'DPO()'"),
        ("dpo smooth", "'dpo-smooth'"),
        ("s-dpo(beta=0.5)", "'DPO(beta=0.5, pair=Smooth(tau=0.1))'"),
        ("dpo-smooth(tau=5)", "'DPO(beta=0.1, pair=Smooth(tau=5))'"),
        ("Smooth(5)", "'DPO(pair=Smooth(tau=5))'"),
        ("Hardest()", "'DPO(pair=Hardest())' or 'dpo-hardest'"),
        ("DPO(pair=smooth)", "'DPO(pair=Smooth())'"),
        ("DPO(pair=LeaderShare(0.8))", "'DPO(pair=Smooth(tau=LeaderShare(share=0.8)))'"),
        ("DPO(tau=5)", "'DPO(pair=Smooth(tau=5))'"),
        ("DPO(pair=Smooth(tau=upperbound(0.2)))", "'DPO(pair=Smooth(tau=UpperBound(epsilon=0.2)))'"),
        ("DPO(gamma=1)", None),
        ("__import__('os').system('true')", None),
    ],
)
def test_a_near_miss_is_answered_by_what_was_probably_meant_and_that_can_be_read(text, meant):
    with pytest.raises(ValueError, match="cannot read the loss") as caught:
        parse(text)
    *_, last = str(caught.value).splitlines()
    if meant is None:
        assert "Did you mean" not in str(caught.value)
    else:
        assert last == f"Did you mean {meant}?"
        assert str(caught.value).count("\n") == 3
        assert all(isinstance(parse(one), Loss) for one in meant.replace("'", "").split(" or "))


def test_the_mark_stands_under_the_place():
    with pytest.raises(ValueError, match="no field") as caught:
        parse("DPO(beta=0.1, pear=Mean())")
    _, line, mark, *_ = str(caught.value).splitlines()
    assert line[mark.index("^") :].startswith("pear")


GOOD = {"logp": [[-1.0, -2.0]], "ref_logp": [[-1.0, -2.0]], "length": [[3, 4]], "label": [[1, -1]]}


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"logp": [[-1.0, float("nan")]]}, ValueError, "logp must be finite, not nan"),
        ({"ref_logp": [[-INF, -1.0]]}, ValueError, "ref_logp must be finite, not -inf"),
        ({"logp": np.array([[-1, -2]])}, TypeError, "logp must be a floating-point array.*int64"),
        ({"logp": [[-1.0, -2.0, -3.0]]}, ValueError, r"logp has shape \(1, 3\), ref_logp has shape \(1, 2\)"),
        ({"logp": [[-1.0]], "label": [[1, -1]]}, ValueError, r"one shape \(..., n\), but logp has \(1, 1\)"),
        ({"length": [[3, 0]]}, ValueError, "length must be an integer >= 1, not 0"),
        ({"length": [[3.0, 4.5]]}, TypeError, "length must be an integer"),
        ({"label": [[1, 2]]}, ValueError, "label must be an integer from -1 to 1, not 2"),
        ({"label": [[1, 1]]}, ValueError, r"at least one negative \(-1\) in every set"),
        ({"label": [[-1, 0]]}, ValueError, r"at least one positive \(\+1\) in every set"),
        ({"logp": torch.tensor([[-1.0, -2.0]]), "label": np.array([[1, -1]])}, TypeError, "one array library"),
        ({"logp": "text"}, TypeError, "logp must be numbers.*'text'"),
    ],
)
def test_bad_sets_are_refused_by_name(change, kind, message):
    with pytest.raises(kind, match=message):
        ScoredSets(**{**GOOD, **change})


@pytest.mark.parametrize("library", [np.asarray, torch.as_tensor])
def test_an_index_picks_the_same_sets_and_responses_of_every_array(library):
    label = np.array([[1, -1, 1], [-1, 1, -1]])
    arrays = [library(one) for one in (np.arange(6.0).reshape(2, 3), -np.arange(6.0).reshape(2, 3), 7 + label, label)]
    sets = ScoredSets(*arrays)
    assert len(sets) == 2
    for index in (0, slice(1, 2), (1, [2, 0]), (..., [0, 1])):
        some = sets[index]
        for one, array in zip((some.logp, some.ref_logp, some.length, some.label), arrays, strict=True):
            assert one.tolist() == array[index].tolist()
    assert [one.logp.tolist() for one in sets] == arrays[0].tolist()
    with pytest.raises(IndexError):
        sets[2]


def test_one_set_has_no_length_and_a_response_is_no_set():
    one = ScoredSets([-1.0, -3.0], [-2.0, -2.0], [4, 5], [1, -1])
    with pytest.raises(TypeError, match="no list of sets"):
        len(one)
    with pytest.raises(IndexError, match="the index 0 picks one response"):
        one[0]


def test_sets_without_an_axis_for_responses_are_refused():
    with pytest.raises(ValueError, match=r"one shape \(..., n\)"):
        ScoredSets(logp=-1.0, ref_logp=-1.0, length=1, label=1)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_reads_reference_tells_the_losses_of_log_ratios_from_the_others(name):
    loss = LOSSES[name]
    assert reads_reference(loss) == isinstance(loss, DPO | IPO | OneSided)


def test_reads_reference_looks_at_what_a_loss_does_with_it():
    assert reads_reference(OneSided(lam=0.5))
    assert not reads_reference(OneSided(lam=0.0))


def test_reads_reference_sees_a_loss_of_a_user_that_needs_torch_and_reads_it_in_its_value_alone():
    @dataclass(frozen=True)
    class KeptNear(MaxMin):
        def __call__(self, sets):
            return super().__call__(sets) + torch.relu(sets.ref_logp - sets.logp).sum(dim=-1)

    assert reads_reference(KeptNear())


@pytest.mark.parametrize("library", [np.asarray, torch.as_tensor])
@pytest.mark.parametrize("loss", [DPO(), IPO(pair=Smooth(tau=2.0)), OneSided(lam=0.5)], ids=repr)
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


SMOOTH = [Smooth(tau=2.0), Mellow(tau=1.0), Smooth(tau=LeaderShare(share=0.9))]


def flat_loss(loss, sets):
    """Return the summed loss as a function of the log-probs alone."""
    return lambda logp: loss(ScoredSets.unchecked(logp, sets.ref_logp, sets.length, sets.label)).sum()


@pytest.mark.parametrize("loss", [replace(loss, pair=pair) for loss in COMPARING for pair in PAIRS[:5]], ids=repr)
def test_second_derivatives_are_the_slopes_of_the_first(loss):
    sets = batch(torch.as_tensor)
    assert torch.autograd.gradgradcheck(flat_loss(loss, sets), (sets.logp.clone().requires_grad_(),))


def test_second_derivatives_of_the_one_sided_loss_are_the_slopes_of_the_first():
    sets = batch(torch.as_tensor)
    one_sided = flat_loss(OneSided(lam=0.5, pair=Smooth(tau=2.0)), sets)
    assert torch.autograd.gradgradcheck(one_sided, (sets.logp.clone().requires_grad_(),))


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


def test_a_class_of_a_name_that_is_taken_is_refused_and_the_name_keeps_its_meaning():
    for name, base in (("DPO", Loss), ("Smooth", Pair), ("DPO", Pair), ("Loss", Loss)):
        with pytest.raises(
            ValueError, match=rf"^the name {name} is taken by mapl_explore\.losses\.\w+: give.*another$"
        ):
            type(name, (base,), {"__module__": "mine"})
    assert type(parse("DPO(pair=Smooth())")) is DPO


def test_a_class_of_a_user_may_be_defined_again_as_in_a_notebook():
    def defined(beta, module="__main__"):
        return dataclass(frozen=True)(type("Mine", (MaxMin,), {"__module__": module, "link": lambda _, m: -beta * m}))

    for arguments in [(1,), (2,), (3, "mine"), (4, "other")]:
        assert defined(*arguments) is type(parse("Mine()"))


def test_explain_gives_equal_scores_one_rank_and_says_with_how_many_they_tie():
    sets = make_sets([-1.0, -3.0, -3.0, -3.0, -5.0], [1, -1, -1, -1, -1])
    rows = explain(MaxMin(), sets)
    assert [row.rank for row in rows] == [1, 1, 1, 1, 4]
    assert [row.why.partition(": ")[2] for row in rows] == [
        "the only positive",
        *["the hardest negative, tied with 2 others"] * 3,
        "negative 4 of 4, hardest first",
    ]


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


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (Smooth(tau=1e-46), r"^tau must be > 0 and finite in float32, not 0\.0$"),
        (Smooth(tau=1e300), r"^tau must be > 0 and finite in float32, not inf$"),
        (Mellow(tau=1e-46), r"^tau must be > 0 and finite in float32, not 0\.0$"),
        (Smooth(tau=UpperBound(epsilon=1e-46)), r"^epsilon must be > 0 and finite in float32, not 0\.0$"),
        (Smooth(tau=LeaderShare(share=1 - 1e-12)), r"^share must be strictly between 1/2 and 1 in float32, not 1\.0$"),
        (Smooth(tau=Anneal(start=1e300)), r"^start must be > 0 and finite in float32, not inf$"),
    ],
)
def test_a_number_of_a_pair_that_the_dtype_cannot_hold_is_refused(library, pair, message):
    logp = library([[-1.0, -2.0, -4.0]], "float32")
    kind = np.asarray if isinstance(logp, np.ndarray) else torch.as_tensor
    with pytest.raises(ValueError, match=message):
        DPO(pair=pair)(ScoredSets(logp, 0 * logp, kind([[1, 1, 1]]), kind([[1, -1, -1]])))


@pytest.mark.parametrize("rule", [*RULES, Anneal()], ids=repr)
def test_a_rule_takes_lists_and_refuses_integers_and_what_is_no_number(rule):
    assert rule.tau([0, -1]) == rule.tau(np.array([0.0, -1.0]))
    with pytest.raises(TypeError, match="scores must be a floating-point array"):
        rule.tau(np.array([0, -1]))
    with pytest.raises(ValueError, match="scores must be finite, or -inf for padding, not nan"):
        rule.tau(np.array([0.0, np.nan]))


@pytest.mark.parametrize("pair", PAIRS, ids=repr)
def test_the_top_of_a_pair_takes_lists_and_refuses_integers_and_what_is_no_number(pair):
    assert pair.top([0, -1]) == pair.top(np.array([0.0, -1.0]))
    with pytest.raises(TypeError, match="scores must be a floating-point array"):
        pair.top(np.array([0, -1]))
    with pytest.raises(ValueError, match="scores must be finite, or -inf for padding, not nan"):
        pair.top(np.array([0.0, np.nan]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("DPO(beta=nan)", "DPO: beta must be > 0 and finite, not nan"),
        ("DPO(pair=Smooth(tau=-inf))", "Smooth: tau must be > 0 and finite, not -inf"),
        ("SimPO(gamma=Infinity)", "SimPO: gamma must be finite, not inf"),
        ("DPO(pair=nan)", "DPO: pair must be a Pair, not nan"),
    ],
)
def test_a_number_that_is_not_finite_gets_the_rule_of_its_field(text, message):
    with pytest.raises(ValueError, match=f"^cannot read the loss: {message}\n"):
        parse(text)


def test_a_pair_that_is_no_number_is_asked_to_be_a_pair():
    with pytest.raises(TypeError, match=r"^DPO: pair must be a Pair, not nan$"):
        DPO(pair=float("nan"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_second_derivative_of_dpo_is_a_number_at_any_margin(dtype):
    for far in (-1e4, -100.0, 0.0, 100.0, 1e4):
        label = torch.tensor([1, -1])
        sets = ScoredSets(torch.tensor([far, 0.0], dtype=dtype), torch.zeros(2, dtype=dtype), abs(label), label)
        hessian = torch.autograd.functional.hessian(flat_loss(DPO(beta=1.0), sets), sets.logp)
        expected = float(1 / ((1 + oracle.mp.exp(far)) * (1 + oracle.mp.exp(-far))))
        assert_close(hessian, expected * np.array([[1.0, -1.0], [-1.0, 1.0]]), k=8, atol=2.0**-147)

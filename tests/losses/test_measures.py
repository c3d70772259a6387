"""What is told of a step of training comes from the sides that its loss saw."""

import math
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from every_loss import EVERY

from conftest import assert_close, numbers
from mapl_explore.losses import (
    CDPO,
    CPO,
    DPO,
    GRPO,
    ORPO,
    RLOO,
    SFT,
    DynamicBeta,
    First,
    InfoNCA,
    LeaderShare,
    Loss,
    MaxMin,
    Mellow,
    OneSided,
    PlackettLuce,
    ScoredSets,
    Smooth,
)
from mapl_explore.losses.measures import losses_and_sides, means, measured_sides, measures, side_measures
from mapl_explore.numerics import roots
from mapl_explore.training.trainer import PreferenceTrainer

RULED = Smooth(tau=LeaderShare(share=0.9))
LABEL = torch.tensor([[1, 1, -1, -1, -1], [1, -1, -1, 0, 0]])
LOGP = torch.tensor([[-1.0, -2.5, -3.0, -1.5, -7.0], [-2.0, -1.0, -4.0, 0.0, 0.0]], dtype=torch.float64)
SETS = ScoredSets(LOGP, torch.zeros_like(LOGP), torch.full(LABEL.shape, 3), LABEL)


@pytest.fixture
def solved(monkeypatch):
    """Return a list that grows by one with each tau that is solved."""
    found, solver = [], roots.tau_share_exact
    monkeypatch.setattr(roots, "tau_share_exact", lambda *given, **named: found.append(1) or solver(*given, **named))
    return found


@pytest.mark.parametrize(("loss", "sides"), [(DPO(pair=RULED), 2), (OneSided(pair=RULED), 1), (SFT(), 0)], ids=repr)
def test_a_step_of_the_trainer_solves_the_tau_of_each_side_once(loss, sides, solved):
    trainer = SimpleNamespace(loss=loss, state=SimpleNamespace(global_step=0, max_steps=1), _measured=[], _share=1.0)
    inputs = {"ref_logp": SETS.ref_logp, "length": SETS.length, "label": LABEL, "owner": torch.zeros(2, 3)}
    logp = LOGP.clone().requires_grad_()
    PreferenceTrainer.compute_loss(trainer, lambda **_: logp, inputs).backward()
    assert len(solved) == sides


@pytest.mark.parametrize("pair", [RULED, Mellow(tau=2.0)], ids=repr)
def test_measures_of_given_sides_are_those_computed_anew(pair):
    loss = DPO(pair=pair)
    losses, sides = losses_and_sides(loss, SETS)
    given = measures(loss, SETS, losses, sides) | side_measures(loss, SETS, sides)
    anew = measures(loss, SETS) | side_measures(loss, SETS)
    assert given.keys() == anew.keys()
    for name, value in given.items():
        assert torch.equal(value.nan_to_num(), anew[name].nan_to_num())


def test_a_loss_with_a_call_of_its_own_is_called():
    @dataclass(frozen=True)
    class Twice(MaxMin):
        def __call__(self, sets):
            return 2 * super().__call__(sets)

    assert_close(losses_and_sides(Twice(), SETS)[0], numbers(2 * MaxMin()(SETS)), k=1)
    assert_close(measures(Twice(), SETS)["loss"], numbers(2 * MaxMin()(SETS)), k=1)


def test_a_side_of_one_response_has_no_measures_and_an_unused_side_none_at_all():
    named = side_measures(OneSided(pair=RULED), SETS)
    assert all(name.startswith("negative_") for name in named)
    assert math.isnan(side_measures(DPO(pair=RULED), SETS)["positive_tau"][1])
    assert side_measures(SFT(), SETS) == {}


def test_of_one_response_a_side_is_measured_and_its_tau_is_that_of_the_rule():
    side = measured_sides(DPO(pair=RULED), SETS)["positive"]
    assert side.n.tolist() == [2, 1]
    assert side.gap.tolist() == [1.5, math.inf]
    assert side.share.tolist()[1] == 1
    assert [float(value[1]) for value in side[4:]] == [1000, 0, 0, 0]  # tau: the upper end of its rule


def test_the_share_is_that_of_the_hardest_which_the_first_pair_may_leave_out():
    side = measured_sides(DPO(pair=First()), SETS)["negative"]
    assert side.share.tolist() == [0, 1]  # the second negative of the first set is the hardest
    assert side.leader.tolist() == [1, 1]
    assert (side.tau, side.error, side.lower, side.upper) == (None,) * 4


def test_the_mean_of_a_side_leaves_out_sets_without_it_and_that_of_another_measure_does_not():
    names = ["positive_tau", "negative_tau", "loss"]
    table = torch.tensor([[math.nan, 2.0, 1.0], [math.nan, math.nan, math.nan], [math.nan, 4.0, 3.0]])
    told = means(table, names)
    assert list(told) == names[1:]
    assert told["negative_tau"] == 3.0
    assert math.isnan(told["loss"])


def test_a_pair_that_is_not_smooth_has_a_tau_and_no_error():
    side = measured_sides(DPO(pair=Mellow(tau=2.0)), SETS)["negative"]
    assert side.tau.tolist() == [2, 2]
    assert (side.error, side.lower, side.upper) == (None,) * 3


def test_a_set_whose_hardest_responses_tie_is_not_told_apart():
    sets = ScoredSets([[-1.0, -1.0], [-1.0, -2.0]], [[0.0, 0.0]] * 2, [[1, 1]] * 2, [[1, -1]] * 2)
    assert measures(MaxMin(), sets)["accuracy"].tolist() == [0.0, 1.0]


def test_the_error_and_its_bounds_are_those_of_the_smoothing_of_the_pair():
    # Sparsemax at tau*gap = 3/4: (1 - 3/4)**2 / (4 tau) of two scores, and / (3 tau) of three with tied others.
    side = measured_sides(MaxMin(pair=Smooth(tau=0.5, alpha=2.0)), SETS)["negative"]
    for value, known in ((side.error, 1 / 32), (side.lower, 1 / 32), (side.upper, 1 / 24)):
        assert_close(value[:1], np.array([known]), k=8)


@pytest.mark.parametrize("loss", [InfoNCA(), PlackettLuce(), RLOO(), GRPO(), SFT(), OneSided()], ids=repr)
def test_a_loss_that_makes_no_pair_has_no_margin_of_its_own(loss):
    assert {"loss", "hard_margin"} <= measures(loss, SETS).keys()
    assert not {"margin", "beta"} & measures(loss, SETS).keys()
    assert "margin" in measures(DPO(), SETS)


@pytest.mark.parametrize("threshold", [-5.0, 500.0])
def test_the_beta_that_follows_the_margins_is_told_and_whether_it_is_at_its_floor(threshold):
    rule = DynamicBeta(beta=0.5, alpha=0.2, threshold=threshold)
    margins = numbers(DPO(pair=First()).margin(SETS))
    known = max(1e-3, 0.5 * (1 + 0.2 * (margins.mean() - threshold)))
    for kind in (DPO, CDPO, CPO):
        told = measures(kind(beta=rule, pair=First()), SETS)
        assert_close(told["beta"], np.full(2, known), k=16)
        assert told["beta_at_floor"].tolist() == [threshold == 500.0] * 2


DYNAMIC = DPO(beta=DynamicBeta())
LOSSES = [DPO(pair=RULED), DPO(pair=Mellow(tau=2.0)), MaxMin(), OneSided(pair=RULED), SFT(), RLOO(), DYNAMIC]


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_the_measures_of_numpy_sets_are_those_of_torch_sets(loss):
    here = ScoredSets(LOGP.numpy(), 0 * LOGP.numpy(), SETS.length.numpy(), LABEL.numpy())
    there = measures(loss, SETS) | side_measures(loss, SETS)
    measured = measures(loss, here) | side_measures(loss, here)
    assert measured.keys() == there.keys()
    for name, value in measured.items():
        assert_close(np.nan_to_num(value), numbers(there[name].nan_to_num()), k=64)


# ORPO's log odds are those of one token; they do not grow with the response.
@pytest.mark.parametrize("loss", [loss for loss in EVERY if not isinstance(loss, ORPO)], ids=repr)
def test_a_loss_counts_a_token_where_its_scores_fall_as_responses_grow(loss):
    logp, once = np.array([-3.0, -5.0, -2.0]), np.array([4, 6, 5])
    short, long = (loss.score(ScoredSets(logp, logp / 2, times * once, [1, -1, -1])) for times in (1, 2))
    assert np.array_equal(long, {"nats": short, "nats a token": short / 2}[loss.unit])


@dataclass(frozen=True)
class Regressed(Loss):
    def score(self, sets):
        return sets.logp - sets.ref_logp

    def value(self, sets, sides):
        return ((self.score(sets) - sets.rewards) ** 2).sum(-1)


def test_the_hard_margin_of_a_loss_without_a_pair_is_that_of_its_score():
    sets = ScoredSets([-1.0, -3.0], [-2.0, -3.5], [4, 4], [1, -1])
    assert measures(Regressed(), sets)["hard_margin"] == 0.5
    assert "margin" not in measures(Regressed(), sets)

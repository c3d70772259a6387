"""ScoredSets: checked where they are made, indexed like arrays, refused where there is none or no reference."""

import math
import re

import numpy as np
import pytest
import torch
from every_loss import INF

import mapl_explore as mapl
from mapl_explore.losses import CPO, DPO, LOSSES, SFT, MaxMin, ScoredSets, require_reference
from mapl_explore.losses.graded import Graded
from mapl_explore.losses.tau_advice import advise
from mapl_explore.sampling.pairs import pair_margins

GOOD = {"logp": [[-1.0, -2.0]], "ref_logp": [[-1.0, -2.0]], "length": [[3, 4]], "label": [[1, -1]]}
LOGP, REF, LENGTH = [[-1.0, -2.0], [-3.0, -4.0]], [[-2.0, -2.0], [-2.0, -2.0]], [[1, 1], [1, 1]]
SETS = ScoredSets(LOGP, REF, LENGTH, [[1, -1], [1, -1]])
IN_TORCH = ScoredSets(*map(torch.tensor, (LOGP, REF, LENGTH, [[1, -1], [1, -1]])))
USES = {
    "value": lambda sets: DPO()(sets),
    "thin": lambda sets: SFT()(sets),
    "weights": lambda sets: DPO().weights(sets),
    "margin": lambda sets: mapl.margin(sets, MaxMin()),
    "explain": lambda sets: mapl.explain(DPO(), sets),
    "require_reference": lambda sets: require_reference(DPO(), sets),
    "pair_margins": lambda sets: pair_margins(sets, DPO()),
    "advise": lambda sets: advise(sets, DPO()),
}


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
        (
            {"ref_logp": [[1e300, 0.0]], "logp": np.float32([[-1, -2]])},
            ValueError,
            "^ref_logp must be finite in float32",
        ),
        ({"reward": [[1.0, INF]]}, ValueError, "^reward must be finite, not inf$"),
        ({"reward": [[1.0, 0.0, 0.0]]}, ValueError, r"must broadcast, but logp .*, reward has shape \(1, 3\)$"),
        ({"reward": 1.0}, ValueError, r"one shape \(..., n\), but logp .*, reward has \(\)$"),
        ({"reward": [[True, False]]}, TypeError, "^reward must be numbers"),
        ({"reward": np.array([[True, False]])}, TypeError, "^reward must be a floating-point array, not one of bool"),
        ({"reward": torch.tensor([[1.0, 0.0]]), "logp": np.array([[-1.0, -2.0]])}, TypeError, "one array library"),
        ({"reward": [[1e300, 0.0]], "logp": np.float32([[-1, -2]])}, ValueError, "^reward must be finite in float32"),
    ],
)
def test_bad_sets_are_refused_by_name(change, kind, message):
    with pytest.raises(kind, match=message):
        ScoredSets(**{**GOOD, **change})


@pytest.mark.parametrize("library", [np.asarray, torch.as_tensor])
def test_an_index_picks_the_same_sets_and_responses_of_every_array(library):
    label = np.array([[1, -1, 1], [-1, 1, -1]])
    numbers = np.arange(6.0).reshape(2, 3)
    arrays = [library(one) for one in (numbers, -numbers, 7 + label, label, 3 - numbers)]
    sets = ScoredSets(*arrays)
    assert len(sets) == 2
    for index in (0, slice(1, 2), (1, [2, 0]), (..., [0, 1])):
        some = sets[index]
        for one, array in zip(some.columns().values(), arrays, strict=True):
            assert one.tolist() == array[index].tolist()
    assert [one.logp.tolist() for one in sets] == arrays[0].tolist()
    with pytest.raises(IndexError):
        sets[2]


def test_a_reward_takes_the_type_of_the_log_probs_and_is_0_at_padding():
    label = np.array([1, -1, 0])
    for kind in (np.float16, np.float64, np.int64, np.uint8, list):
        reward = [2, 3, 4] if kind is list else np.array([2, 3, 4], kind)
        for logp, other in ((np.float32([-1, -2, 0]), np.float32), (np.float64([-1, -2, 0]), np.float64)):
            sets = ScoredSets(logp, logp, [1, 1, 1], label, reward)
            assert (sets.reward.dtype, sets.logp.dtype, sets.reward.tolist()) == (other, other, [2.0, 3.0, 0.0])
    logp, label = torch.tensor([-1.0, -2.0, 0.0], dtype=torch.bfloat16), torch.tensor(label)
    sets = ScoredSets(logp, logp, abs(label) + 1, label, torch.tensor([-2, 3, 4]))
    assert (sets.reward.dtype, sets.reward.tolist()) == (torch.float32, [-2.0, 3.0, 0.0])
    assert np.isfinite(ScoredSets(*[[-1.0, -2.0, 0.0]] * 2, [1] * 3, [1, -1, 0], [0.5, -0.5, math.nan]).reward).all()


@pytest.mark.parametrize("kind", [np.float32, torch.as_tensor], ids=["numpy", "torch"])
def test_without_a_reward_the_verdict_is_one(kind):
    logp, label = (np.array(one) for one in ([-1.0, -2.0, 0.0], [1, -1, 0]))
    integer = np.asarray if kind is np.float32 else torch.as_tensor
    sets = ScoredSets(kind(logp), kind(logp), integer(abs(label) + 1), integer(label))
    assert (sets.reward, sets.rewards.tolist(), sets.rewards.dtype) == (None, [1.0, 0.0, 0.0], sets.logp.dtype)
    assert "reward" not in sets.columns()
    graded = ScoredSets(**sets.columns(), reward=[0.5, 4.0, 1.0])
    assert graded.rewards is graded.reward
    assert graded.with_logp(2 * graded.logp).rewards is graded.reward


BY_LABEL = {name: loss for name, loss in LOSSES.items() if not isinstance(loss, Graded)}


@pytest.mark.parametrize("loss", BY_LABEL.values(), ids=BY_LABEL)
def test_rewards_that_contradict_the_labels_change_no_loss_that_compares_by_label(loss):
    loss = mapl.parse(repr(loss)).at(0.5)
    graded = ScoredSets(**SETS.columns(), reward=[[-3.0, 7.0], [0.0, 1.0]])
    for use in (loss, loss.weights, loss.margin, loss.hard_margin):
        assert np.array_equal(use(graded), use(SETS))


def test_one_set_has_no_length_and_a_response_is_no_set():
    one = ScoredSets([-1.0, -3.0], [-2.0, -2.0], [4, 5], [1, -1])
    with pytest.raises(TypeError, match="no list of sets"):
        len(one)
    with pytest.raises(IndexError, match="the index 0 picks one response"):
        one[0]


def test_sets_without_an_axis_for_responses_are_refused():
    with pytest.raises(ValueError, match=r"one shape \(..., n\)"):
        ScoredSets(logp=-1.0, ref_logp=-1.0, length=1, label=1)


@pytest.mark.parametrize("sets", [SETS, IN_TORCH], ids=["numpy", "torch"])
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_no_set_is_refused_in_one_line(use, sets):
    with pytest.raises(ValueError, match=r"^sets must hold at least one set, not arrays of shape \(0, 2\)$"):
        use(sets[:0])


def test_sets_are_gone_through_one_by_one():
    assert [one.logp.tolist() for one in SETS] == LOGP
    assert [one.logp.tolist() for one in IN_TORCH] == LOGP
    with pytest.raises(TypeError, match=r"^these are the responses of one set, which is no list of sets$"):
        list(iter(SETS[0]))


@pytest.mark.parametrize("reference", [SETS.logp, np.array(LOGP)], ids=["none given", "given, with equal log-probs"])
def test_a_reference_that_says_what_the_model_says_is_refused_as_what_it_is(reference):
    sets = ScoredSets(SETS.logp, reference, SETS.length, SETS.label)
    line = (
        "DPO compares log-ratios to a reference, and in these sets ref_logp equals logp at every response, as without"
    )
    with pytest.raises(ValueError, match="^" + re.escape(line)) as caught:
        require_reference(DPO(), sets)
    assert "\n" not in str(caught.value)
    require_reference(CPO(), sets)


def test_advice_asks_for_a_loss():
    with pytest.raises(TypeError, match=r"^loss must be a loss, not a text"):
        advise(SETS, "dpo")

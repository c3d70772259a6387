"""A loss, a pair or a rule of one's own: what it may leave out, and the one line that each mistake gets."""

import re
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

import mapl_explore as mapl
from conftest import assert_close, numbers
from mapl_explore.losses import (
    DPO,
    RLOO,
    Anneal,
    Comparing,
    Hardest,
    LeaderShare,
    Loss,
    OneSided,
    Pair,
    ScoredSets,
    Smooth,
    TauRule,
    parse,
    reads_reference,
)
from mapl_explore.losses.graded import Graded
from mapl_explore.losses.loss import Paired, try_loss
from mapl_explore.losses.naming import KINDS
from mapl_explore.numerics.arrays import namespace

COLUMNS = [[-1.0, -2.0, -3.0, -2.5]], [[0.0, -0.5, -1.0, -0.25]], [[1, 2, 3, 4]], [[1, 1, -1, -1]]


@pytest.fixture(autouse=True)
def _names():
    known = dict(KINDS)
    yield
    KINDS.clear()
    KINDS.update(known)


@pytest.fixture
def sets(library):
    kind = np.asarray if isinstance(library([0.0]), np.ndarray) else torch.as_tensor
    logp, ref_logp, length, label = COLUMNS
    return ScoredSets(library(logp), library(ref_logp), kind(length), kind(label))


FROZEN = dataclass(frozen=True)


def own(base=Comparing, *, name="Mine", fields=None, decorate=FROZEN, **body):
    """Return a class as a user would write it; a loss has score, link and link_slope, if not told otherwise."""
    if base is Comparing or base is Loss:
        body = {"score": lambda self, sets: sets.logp, "link": exponential, "link_slope": slope} | body
        fields = {"pair": (Pair, Hardest())} if fields is None else fields
    fields = fields or {}
    body |= {key: default for key, (_, *values) in fields.items() for default in values}
    body |= {"__module__": __name__, "__annotations__": {key: kind for key, (kind, *_) in fields.items()}}
    body = {key: value for key, value in body.items() if value is not None}
    return decorate(type(base)(name, (base,), body))


def exponential(self, margin):
    return namespace(margin).exp(-margin)


def slope(self, margin):
    return -namespace(margin).exp(-margin)


def by_length(self, sets):
    return sets.logp / namespace(sets.logp).astype(sets.length, sets.logp.dtype)


def test_a_class_that_names_loss_as_its_base_and_has_a_link_compares(sets):
    assert issubclass(own(Loss), Comparing)
    assert_close(own(Loss)()(sets), numbers(own()()(sets)), k=1)


def test_a_class_that_names_loss_as_its_base_and_has_a_link_lacks_what_comparing_asks_for():
    own(Loss, score=None)
    with pytest.raises(ValueError, match=r"^cannot read the loss: Mine lacks score\n"):
        parse("Mine()")


def test_a_loss_with_a_pair_anneals_without_an_at_of_its_own(sets):
    value = {"value": lambda self, sets, sides: self.pair.margin(sets.logp, sets.label)}
    body = {"link": None, "link_slope": None, "score": None} | value
    loss = own(Paired, fields={"pair": (Pair, Hardest())}, **body)(pair=Smooth(tau=Anneal(start=1.0, stop=9.0)))
    assert loss.at(1.0).pair == Smooth(tau=9.0)
    with pytest.raises(TypeError, match=r"^Mine must have a field pair, as in pair: Pair = Hardest\(\)$"):
        own(Paired, **body)()


def test_slopes_may_be_left_out_with_torch():
    logp, *others = (torch.as_tensor(column) for column in COLUMNS)
    leaf = logp.double().requires_grad_()
    loss = own(score=by_length, link_slope=None)(pair=Smooth(tau=LeaderShare(share=0.9)))
    (gradient,) = torch.autograd.grad(loss(ScoredSets.unchecked(leaf, *others)).sum(), leaf)
    assert_close(loss.weights(ScoredSets.unchecked(leaf.detach(), *others)), numbers(gradient), k=64)


def test_with_numpy_a_slope_that_is_left_out_is_asked_for_by_name():
    sets = ScoredSets(*COLUMNS)
    assert own(link_slope=None)()(sets).shape == (1,)
    with pytest.raises(TypeError, match=r"^Mine needs link_slope\(margin\), the slope of its link, for numpy arrays$"):
        own(link_slope=None)().weights(sets)
    for call in (Comparing.weights, Comparing.score_slope, lambda loss, sets: mapl.explain(loss, sets)):
        with pytest.raises(ValueError, match=r"^Mine needs score_slope\(sets\), the slope of its score in logp"):
            call(own(score=by_length)(), sets)


def test_a_score_by_length_with_its_slope_has_the_weights_that_autograd_finds(sets):
    loss = own(score=by_length, score_slope=lambda self, sets: 1 / sets.length)()
    there = ScoredSets(*(torch.as_tensor(column) for column in COLUMNS[:2]), *map(torch.as_tensor, COLUMNS[2:]))
    there = there.with_logp(there.logp.double())
    assert_close(loss.weights(sets), numbers(own(score=by_length)().weights(there)), k=64)


MISTAKES = {
    "Mine.link_slope must return the slope of link: ": {"link_slope": lambda self, m: 2 * slope(self, m)},
    "Mine.score_slope must return the slope of score in logp: 1 for made-up sets, not 2": {
        "score_slope": lambda self, sets: 2.0
    },
    "Mine.link_slope must return the slope of link: -0.67583 for made-up sets, not nan": {
        "link_slope": lambda self, m: slope(self, m) * np.nan
    },
    "Mine.link_slope must return the shape of the margin (2,), not -1.0": {"link_slope": lambda self, m: -1.0},
    "Mine.weights must return the slopes of its loss in logp: ": {
        "__call__": lambda self, sets: 2 * Loss.__call__(self, sets)
    },
    "Mine.score must return the shape of logp (2, 8), not (2, 1)": {
        "score": lambda self, sets: sets.logp.sum(-1)[..., None]
    },
    "Mine.score must return the shape of logp (2, 8), not (2,)": {"score": lambda self, sets: sets.logp.sum(-1)},
    "Mine.link must return the shape of the margin (2,), not ()": {"link": lambda self, margin: margin.mean()},
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_loss_that_returns_what_is_wrong_is_told_so_at_its_first_use(sets, message):
    loss = own(**MISTAKES[message])()
    for _ in range(2):  # the trial that failed is not passed over the next time
        with pytest.raises((TypeError, ValueError), match="^" + re.escape(message)) as caught:
            loss.weights(sets)
        assert "\n" not in str(caught.value)
    if "slope" not in message:
        with pytest.raises(TypeError, match=re.escape(message)):
            loss(sets)


def test_a_trial_runs_once_for_a_class(sets):
    calls = []
    loss = own(score=lambda self, sets: calls.append(1) or sets.logp)()
    loss(sets)
    count = len(calls)
    loss(sets)
    assert len(calls) - count == 2  # its sides, its value


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_a_trial_in_torch_runs_on_the_device_of_the_use_and_in_a_type_that_it_has(dtype):
    tried = []
    loss = own(score=lambda self, sets: tried.append(sets) or sets.logp)()
    try_loss(loss, torch.zeros(2, dtype=dtype, device="meta"))
    assert {array.device.type for sets in tried for array in sets.columns().values()} == {"meta"}
    assert {sets.logp.dtype for sets in tried} == {torch.promote_types(dtype, torch.float32)}
    assert {sets.label.dtype for sets in tried} == {torch.int64}
    count = len(tried)
    try_loss(loss, torch.zeros(2, dtype=dtype))
    assert {sets.logp.device.type for sets in tried[count:]} == {"cpu"}


def test_a_trial_in_numpy_runs_in_float64_which_differences_need():
    sets = ScoredSets(*(np.asarray(column, np.float32) for column in COLUMNS[:2]), *COLUMNS[2:])
    assert own()().weights(sets).dtype == np.float32


def test_a_loss_that_reads_rewards_is_tried_with_rewards_and_may_be_asked_for_its_reference(sets):
    loss = own(score=lambda self, sets: sets.logp + sets.reward)()
    graded = ScoredSets(**sets.columns(), reward=[[0.5, 0.25, 1.0, -2.0]])
    assert loss.margin(graded)[0] == min(-0.5, -1.75) - max(-2.0, -4.5)  # logp + reward
    assert not reads_reference(loss)


RULES = {
    "Mine.tau must return one tau for each side, (2,), not 2.0": lambda self, scores: 2.0,
    "Mine.tau must return one tau for each side, (2,), not (2, 4)": lambda self, scores: scores,
    "Mine.tau must return numbers > 0 and finite, not -1.0": lambda self, scores: 0 * maximum(scores) - 1,
    "Mine.tau must return numbers > 0 and finite, not inf": lambda self, scores: 0 * maximum(scores) + float("inf"),
}


def maximum(scores):
    return namespace(scores).max(scores, axis=-1)


@pytest.mark.parametrize("message", RULES)
def test_a_rule_that_returns_what_is_no_tau_is_told_so(sets, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        DPO(pair=Smooth(tau=own(TauRule, tau=RULES[message])()))(sets)


def test_a_rule_may_return_one_tau_for_each_side_or_one_for_all(sets):
    for tau in (lambda self, scores: 0 * maximum(scores) + 2, lambda self, scores: namespace(scores).asarray(2.0)):
        rule = own(TauRule, tau=tau)()
        assert_close(DPO(pair=Smooth(tau=rule))(sets), numbers(DPO(pair=Smooth(tau=2.0))(sets)), k=4)


def test_a_rule_made_of_one_of_ours_is_asked_for_the_tau_it_brings(sets):
    rule = own(LeaderShare, tau=lambda self, scores: namespace(scores).asarray(3.0))
    assert_close(DPO(pair=Smooth(tau=rule()))(sets), numbers(DPO(pair=Smooth(tau=3.0))(sets)), k=4)


PAIRS = {
    "Mine.side must return (value, weights) or (value, weights, tau), not ": lambda self, scores: maximum(scores),
    "Mine.side must return one number for each side, (2,), not (2, 4)": lambda self, scores: (scores, scores),
    "Mine.side must return weights of the shape of the scores (2, 4), not (2,)": lambda self, scores: (
        maximum(scores),
        maximum(scores),
    ),
}


@pytest.mark.parametrize("message", PAIRS)
def test_a_pair_that_returns_something_else_is_told_so(sets, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        DPO(pair=own(Pair, side=PAIRS[message])())(sets)


FORMS = {
    "Mine must be a frozen dataclass: write @dataclass(frozen=True) above class Mine": {"decorate": lambda kind: kind},
    "Mine must be a frozen dataclass: write @dataclass(frozen=True), not @dataclass": {"decorate": dataclass},
    "Mine must have a field pair, as in pair: Pair = Hardest()": {"fields": {}},
    "Mine: the field beta must have a default": {"fields": {"beta": (float,), "pair": (Pair, Hardest())}},
}


@pytest.mark.parametrize("message", FORMS)
def test_a_class_of_another_form_is_told_so_by_its_constructor_and_by_parse(message):
    kind = own(**FORMS[message])
    with pytest.raises(TypeError, match=re.escape(message)):
        kind(beta=1.0) if "beta" in message else kind()
    with pytest.raises(ValueError, match=re.escape(f"cannot read the loss: {message}")) as caught:
        parse("Mine()")
    assert str(caught.value).count("\n") == 2


def test_fields_added_without_a_decorator_are_told():
    with pytest.raises(TypeError, match=r"write @dataclass\(frozen=True\) above class Mine"):
        own(DPO, fields={"gamma": (float, 1.0)}, decorate=lambda kind: kind)()
    assert repr(own(DPO, decorate=lambda kind: kind)()) == "Mine(beta=0.1, pair=Hardest())"


def test_parse_says_what_an_unfinished_class_lacks():
    own(link=None, link_slope=None)
    own(Pair, name="Topper", top=lambda self, scores: maximum(scores))
    for text, message in (("Mine()", "Mine lacks link"), ("DPO(pair=Topper())", "Topper lacks side")):
        with pytest.raises(ValueError, match=f"^cannot read the loss: {message}\n"):
            parse(text)


@pytest.mark.parametrize("kind", [int, "int", int | None])
def test_a_field_may_be_a_whole_number(kind):
    loss = own(fields={"k": (kind, 3), "pair": (Pair, Hardest())})
    assert repr(parse("Mine(k=4)")) == "Mine(k=4, pair=Hardest())" == repr(loss(k=4.0))
    assert loss(k=np.int64(5)).k == 5
    with pytest.raises(ValueError, match=r"Mine: k must be an int, not 2\.5"):
        loss(k=2.5)


def test_a_field_may_be_of_any_type():
    loss = own(fields={"on": (bool, True), "of": (tuple[float, ...], (1.0,)), "pair": (Pair, Hardest())})
    assert loss(on=False).on is False
    assert own(fields={"k": (int, field(default=1)), "pair": (Pair, Hardest())})().k == 1
    with pytest.raises(TypeError, match="Mine: k must be an int, not True"):
        parse("Mine()") and KINDS["Mine"](k=True)


def test_a_loss_that_compares_nothing_needs_its_value_alone(sets):
    bare = {"link": None, "link_slope": None, "score": None, "fields": {}}
    thin = own(Loss, **bare, value=lambda self, sets, sides: sets.logp.sum(-1))
    assert_close(thin()(sets), [-8.5], k=1)
    if isinstance(sets.logp, torch.Tensor):
        assert numbers(thin().weights(sets)).tolist() == [[1.0] * 4]
    else:
        with pytest.raises(TypeError, match=r"^Mine needs weights\(sets\) for numpy arrays"):
            thin().weights(sets)
    wrong = own(Loss, **bare, value=lambda self, sets, sides: sets.logp)
    with pytest.raises(TypeError, match=r"^Mine must return one loss for each set, \(2,\), not \(2, 8\)$"):
        wrong()(sets)


def pushes(sets):
    return -namespace(sets.logp).astype(sets.label, sets.logp.dtype)


def push(self, sets, sides=None):
    return (sets.logp * pushes(sets)).sum(-1)


BARE = {"link": None, "link_slope": None, "score": None, "fields": {}}
# Each with what is said, {array} and {other} being the library of the sets and the other one.
WRONG = {
    "of another library": (
        {"value": lambda self, sets, sides: other_library(push(self, sets))},
        "Mine must return an array of {array} where it is given one, not one of {other}",
    ),
    "whole numbers": (
        {"value": lambda self, sets, sides: sets.label.sum(-1)},
        "Mine must return floating-point numbers, not int64",
    ),
    "a score of another shape": (
        {"value": push, "score": lambda self, sets: sets.logp.sum(-1)},
        "Mine.score must return the shape of logp (2, 8), not (2,)",
    ),
    "a score of whole numbers": (
        {"value": push, "score": lambda self, sets: sets.label},
        "Mine.score must return floating-point numbers, not int64",
    ),
    "weights of another size": (
        {"value": push, "weights": lambda self, sets: 2 * pushes(sets)},
        "Mine.weights must return the slopes of its loss in logp: ",
    ),
    "weights of another shape": (
        {"value": push, "weights": push},
        "Mine.weights must return the shape of logp (2, 8), not (2,)",
    ),
}


def other_library(array):
    return torch.as_tensor(array) if isinstance(array, np.ndarray) else array.detach().numpy()


@pytest.mark.parametrize("wrong", WRONG)
def test_a_loss_without_a_pair_that_returns_what_is_wrong_is_told_so_at_its_first_use(sets, wrong):
    body, line = WRONG[wrong]
    array, other = ("numpy", "torch") if isinstance(sets.logp, np.ndarray) else ("torch", "numpy")
    with pytest.raises((TypeError, ValueError), match="^" + re.escape(line.format(array=array, other=other))):
        own(Loss, **BARE | body)()(sets)
    good = {"value": push, "weights": lambda self, sets: pushes(sets)}
    assert_close(own(Loss, **BARE | good)()(sets), push(None, sets), k=1)


def test_weights_may_be_written_for_numpy_alone():
    logp, *others = (torch.as_tensor(column) for column in COLUMNS)
    loss = own(Loss, **BARE, value=push, weights=lambda self, sets: -sets.label.astype(sets.logp.dtype))
    assert loss()(ScoredSets(logp, *others)) == push(None, ScoredSets(logp, *others))


CUT = {
    "detach": lambda self, sets, sides: push(self, sets).detach(),
    "no_grad": torch.no_grad()(push),
    "numpy and back": lambda self, sets, sides: torch.as_tensor(push(self, sets).detach().numpy()),
    "only labels": lambda self, sets, sides: 0.5 * sets.label.sum(-1),
}


@pytest.mark.parametrize("cut", CUT)
@pytest.mark.parametrize("grad", [True, False])
def test_a_loss_that_training_could_not_follow_is_refused(cut, grad):
    line = r"^Mine must return a loss with a gradient in logp; detach, item and no_grad cut it off$"
    with torch.set_grad_enabled(grad), pytest.raises(TypeError, match=line):
        try_loss(own(Loss, **BARE, value=CUT[cut])(), torch.empty(0))
    with pytest.raises(TypeError, match=line):
        try_loss(own(link=lambda self, margin: exponential(self, margin).detach())(), torch.empty(0))


def test_weights_of_a_loss_of_rewards_are_those_of_its_formula_where_constants_are_told():
    graded = {"formula": push, "weights": lambda self, sets: pushes(sets)}
    wrong = {"weights": lambda self, sets: pushes(sets) / 2}
    try_loss(own(Graded, **graded)(), torch.empty(0))
    try_loss(own(RLOO, fields={"beta": (float, 0.5)})(), torch.empty(0))
    try_loss(own(RLOO, fields={"beta": (float, 0.5)})(), np.empty(0))
    with pytest.raises(ValueError, match=r"^Mine\.weights must return the slopes of its loss in logp: "):
        try_loss(own(Graded, **graded | wrong)(), torch.empty(0))


def test_weights_of_a_loss_with_a_pair_are_tried_where_tau_is_no_constant(sets):
    loss = own(OneSided)(pair=Smooth(tau=LeaderShare(share=0.9)))
    try_loss(loss, sets.logp)
    with pytest.raises(ValueError, match=r"^Mine\.weights must return the slopes of its loss in logp: "):
        try_loss(own(OneSided, weights=lambda self, sets: 2 * OneSided.weights(self, sets))(), sets.logp)

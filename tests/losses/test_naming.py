"""The names of losses: parse reads what repr writes, and answers a near miss."""

import contextlib
import inspect
from dataclasses import dataclass, fields

import numpy as np
import pytest
from every_loss import EVERY, OBJECTIVES, PAIRS, RULES, make_sets

from mapl_explore.losses import DPO, LOSSES, Anneal, First, Hardest, Loss, MaxMin, Pair, Smooth, parse
from mapl_explore.losses.naming import KINDS


@pytest.mark.parametrize("loss", [*EVERY, *LOSSES.values()], ids=repr)
def test_parse_reads_what_repr_writes(loss):
    assert parse(repr(loss)) == loss


def test_parse_reads_presets_and_fills_in_defaults():
    assert parse(" dpo ") == DPO(beta=0.1, pair=First())
    assert parse("MaxMin()") == MaxMin(pair=Hardest())
    assert parse("DPO(pair=Smooth(tau=5))") == DPO(beta=0.1, pair=Smooth(tau=5.0))


def test_a_number_has_one_name():
    assert repr(DPO(beta=1, pair=Smooth(tau=np.float32(0.5)))) == "DPO(beta=1.0, pair=Smooth(tau=0.5))"


def test_the_alpha_of_a_smooth_pair_is_named_where_it_is_not_one():
    assert repr(Smooth(tau=2, alpha=1)) == "Smooth(tau=2.0)"
    assert repr(Smooth(tau=2, alpha=1.5)) == "Smooth(tau=2.0, alpha=1.5)"
    assert parse("DPO(pair=Smooth(alpha=2))") == DPO(pair=Smooth(tau=1.0, alpha=2.0))


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
        ("DPO(beta=True)", "DPO: beta must be a float or a DynamicBeta, not True"),
        ("DPO(beta='a')", "DPO: beta must be a float or a DynamicBeta, not 'a'"),
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
    assert list(lists_of(caught.value)) == ["Presets", "Losses", "Pairs", "Rules for tau", "In place of beta"]


def lists_of(error):
    """Return what the last lines of an error list, by their headings."""
    return {kind: names.split(", ") for kind, names in (line.split(": ") for line in str(error).splitlines()[-5:])}


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
        ("DPO(pair=Smooth(alpha=0.9))", "Smooth: alpha must be from 1 to 2, not 0.9"),
        ("DPO(pair=Smooth(alpha=nan))", "Smooth: alpha must be from 1 to 2, not nan"),
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
        ("DPO(beta=dynamicbeta(0.2))", "'DPO(beta=DynamicBeta(beta=0.2))'"),
        ("DynamicBeta(alpha=1)", "'DPO(beta=DynamicBeta(alpha=1))'"),
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


def test_the_mark_stands_where_python_stops_to_read():
    with pytest.raises(ValueError, match="no such form") as caught:
        parse("DPO(beta=0.1) ?")
    _, line, mark, *_ = str(caught.value).splitlines()
    assert line[mark.index("^")] == "?"


def fields_that_take(value):
    """Return the numbers of all classes that may have a value."""
    found = set()
    for name, kind in KINDS.items():
        for one in fields(kind) if kind.__module__.startswith("mapl_explore.") and not inspect.isabstract(kind) else ():
            with contextlib.suppress(ValueError, TypeError):
                found |= {(name, one.name)} if getattr(kind(**{one.name: value}), one.name) == value else set()
    return found


def test_the_numbers_that_may_be_zero_or_below_are_these():
    any_number = {("SimPO", "gamma"), ("DynamicBeta", "threshold"), ("Band", "low"), ("Bell", "center")}
    zero = {("CDPO", "smoothing"), ("RobustDPO", "smoothing"), ("CPO", "alpha"), ("ORPO", "lam"), ("OneSided", "lam")}
    zero |= {("RLOO", "beta"), ("GRPO", "beta"), ("DynamicBeta", "alpha")}
    zero |= {("Band", "high"), ("QuantileBand", "low"), ("QuantileBell", "center")}
    assert fields_that_take(-1.0) == any_number
    assert fields_that_take(0.0) == any_number | zero


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

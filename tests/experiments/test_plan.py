"""A plan is checked before any work, and what is wrong is told in one line with the file and the key."""

import copy

import pytest

from mapl_explore.experiments.plan import read_plan

GOOD = {
    "baseline": "one",
    "seeds": 2,
    "lr": [1e-3, 1e-4],
    "common": {"data": "train.jsonl", "eval": "eval.jsonl"},
    "arms": {"one": {"loss": "dpo-hardest"}, "other": {"loss": "DPO(pair=Smooth(tau=1.0))", "sets": 8, "noise": 0.25}},
}
CLAIM = {name: "it" for name in ("id", "words", "source", "scale", "test")}
CLAIM |= {"rule": {"arm": "other", "expected": "lower", "measure": "sets_to_80"}}
FAR = CLAIM | {"rule": {"arm": "other", "expected": "lower", "measure": "kl_at_80"}}
BEYOND = CLAIM | {"rule": {"arm": "other", "than": "one", "expected": "higher", "measure": "others"}}
SHARES = CLAIM | {"rule": {"arm": "lr", "than": "loss", "expected": "higher", "measure": "variance"}}
WORLD = {"data": "train.jsonl", "verifier": "world"}
ROUNDS = {"loss": "rloo", "rounds": 2, "prompts": 4}
TEXT = """baseline = "one"
seeds = 2
lr = 1e-3
[common]
data = "train.jsonl"
[arms.one]
loss = "dpo-hardest"
"""


def changed(**changes):
    """Return the good plan with other values; a double underscore leads into a table."""
    plan = copy.deepcopy(GOOD)
    for path, value in changes.items():
        *tables, key = path.split("__")
        place = plan
        for table in tables:
            place = place[table]
        if value is None:
            del place[key]
        else:
            place[key] = value
    return plan


def test_a_plan_has_its_arms_seeds_and_rates_from_low_to_high():
    plan = read_plan(GOOD)
    assert (plan.baseline, plan.seeds, plan.lr, plan.measure) == ("one", (0, 1), (1e-4, 1e-3), "accuracy")
    assert [(arm.name, arm.sets, arm.noise) for arm in plan.arms] == [("one", None, 0.0), ("other", 8, 0.25)]
    assert not set(plan.rate_seeds) & set(plan.seeds)


def test_a_grid_has_every_arm_in_every_cell_cell_by_cell():
    plan = read_plan(changed(grid={"steps": [2, 4], "loss": ["dpo", "cdpo"]}, arms__one={}, arms__other={"noise": 0.5}))
    assert [arm.name for arm in plan.arms] == ["one", "other"] * 4
    assert [(arm.settings.steps, type(arm.settings.loss).__name__) for arm in plan.arms[::2]] == [
        (2, "DPO"), (2, "CDPO"), (4, "DPO"), (4, "CDPO"),
    ]  # fmt: skip
    assert plan.arms[3].cell == {"steps": 2, "loss": "cdpo"}
    assert plan.arms[3].title == "other (steps 2, loss cdpo)"
    assert {arm.noise for arm in plan.arms if arm.name == "other"} == {0.5}


def test_losses_of_one_score_are_compared_by_it_and_others_by_right_alone():
    other = {"data": "train.jsonl", "eval": "eval.jsonl", "verifier": "world"}
    assert read_plan(changed(arms__one__loss="RobustDPO()")).measure == "accuracy"
    assert read_plan(changed(arms__one__loss="SFT()", common=other)).measure == "right"


def test_a_single_rate_needs_no_runs_to_choose_it():
    assert read_plan(changed(lr=1e-3)).rate_seeds == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"baseline": None}, "baseline is missing: name one of the arms (one, other)"),
        ({"baseline": "two"}, "baseline must be one of 'one', 'other', not 'two'"),
        ({"seed": 3}, "the plan has no key 'seed'; did you mean seeds?"),
        ({"seeds": 0}, "seeds must be an integer from 1 to 10000, not 0"),
        ({"seeds": [1, 1]}, "seeds must hold at least one value, all different, not [1, 1]"),
        ({"rate_seeds": [1]}, "rate_seeds must not be among seeds, or a run would choose its own rate: 1 is"),
        ({"lr": None}, "lr is missing: give one grid of learning rates for all arms, such as [1e-4, 1e-3]"),
        ({"lr": [0.1, -1]}, "lr must be > 0 and finite, not -1"),
        ({"arms": {}}, "arms must have at least one arm, as in [arms.hardest]"),
        ({"arms": [1]}, "arms must be a table, not [1]"),
        ({"arms__one": 3}, "arms.one must be a table, not 3"),
        ({"arms__one__step": 3}, "[arms.one] has no key 'step'; did you mean steps?"),
        ({"arms__one__loss": None}, "[arms.one] loss is missing"),
        ({"arms__one__lr": 1e-3}, "[arms.one] must not have lr: the grid at the top of the plan is the same"),
        ({"arms__one__eval": "x"}, "[arms.one] must not have eval: it decides on what the arms are measured"),
        ({"arms__one__steps": "many"}, "[arms.one] steps must be an integer"),
        ({"arms__one__noise": 1.5}, "[arms.one] noise must be a number from 0 to 1, not 1.5"),
        ({"arms__one__sets": 0}, "[arms.one] sets must be an integer from 1"),
        ({"arms__one__data": 3}, "[arms.one] data must be text, not 3"),
        ({"common__patience": 3}, "[common] must not have patience: it would choose the checkpoint by the questions"),
        ({"common__training": {"load_best_model_at_end": True}}, "training must not have load_best_model_at_end"),
        ({"grid": 3}, "grid must be a table, not 3"),
        ({"grid": {"set": [1]}}, "[grid] has no key 'set'; did you mean sets?"),
        ({"grid": {"steps": 3}}, "[grid] steps must be a list of values, such as [3], not 3"),
        ({"grid": {"steps": []}}, "[grid] steps must hold at least one value, all different, not []"),
        ({"grid": {"steps": [2, 2]}}, "[grid] steps must hold at least one value, all different, not [2, 2]"),
        ({"grid": {"training": [{"a": 1}, {"a": 1}]}}, "[grid] training must hold at least one value, all different"),
        ({"grid": {"steps": [2, 0]}}, "[grid] steps must be an integer from 1"),
        ({"grid": {"model": ["tiny", 3]}}, "[grid] model must be text, not 3"),
        ({"grid": {"seed": [1, 2]}}, "[grid] must not have seed: seeds, at the top of the plan, has it"),
        ({"grid": {"eval": ["x", "y"]}}, "[grid] must not have eval: it decides on what the arms are measured"),
        ({"grid": {"sets": [2, 4]}}, "[arms.other] must not have sets: [grid] has it"),
        ({"grid": {"steps": [2]}, "common__steps": 4}, "[common] must not have steps: [grid] has it"),
        ({"arms__one__loss": "SFT()"}, "measure 'accuracy' compares losses of one score; SFT() of [arms.one] and DPO("),
        ({"arms__one__loss": "CPO()", "measure": "hard_margin"}, "score responses differently: take 'right'"),
        ({"arms__one__answer_at": [1]}, "[arms.one] must not have answer_at: it decides on what the arms are measured"),
        ({"common__answer_at": [30], "common__verifier": "world"}, "[arms.one] answer_at must be at most the 24 steps"),
        ({"claims": [CLAIM]}, "[[claims]] it: measure 'sets_to_80' needs learning curves: answer_at in [common]"),
        ({"claims": [FAR]}, "[[claims]] it: measure 'kl_at_80' needs learning curves: answer_at in [common]"),
        (
            {"claims": [BEYOND], "common": WORLD, "arms__one__loss": "SFT()"},
            "[[claims]] it: measure 'others' needs a loss with a pair, not SFT() of [arms.one]",
        ),
        ({"claims": [SHARES], "lr": 1e-3}, "[[claims]] it: measure 'variance' needs a grid of learning rates: lr at"),
        (
            {"claims": [SHARES | {"rule": SHARES["rule"] | {"arm": "one"}}]},
            "[[claims]] 1: rule: measure 'variance' needs arm = 'lr' and than = 'loss', not 'one' and 'loss'",
        ),
        (
            {"claims": [SHARES], "arms__other": None},
            "[[claims]] 1: rule: measure 'variance' needs two arms in the cell {}",
        ),
        ({"arms__one__exploded": 1}, "[arms.one] exploded must be true or false, not 1"),
        ({"arms__one__k": 8}, "[arms.one] k belongs to rounds, and there are none"),
        ({"arms__one__rounds": 0}, "[arms.one] rounds must be an integer from 1"),
        ({"arms__one__rounds": 2}, "[arms.one] verifier must be 'world', 'exact' or 'module:function', not None"),
        ({"arms__other__rounds": 2}, "[arms.other] sets does not go with rounds, which sample their own sets"),
        ({"arms__one": ROUNDS | {"reference": "base"}}, "[arms.one] reference must be one of 'first', 'round'"),
        ({"measure": "right"}, "measure 'right' needs a verifier in [common]"),
        ({"measure": "loss"}, "measure must be one of 'right', 'accuracy', 'hard_margin', not 'loss'"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_key(changes, said):
    with pytest.raises((ValueError, TypeError)) as caught:
        read_plan(changed(**changes))
    assert str(caught.value).startswith("plan: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_loss_that_cannot_be_read_names_its_arm_and_shows_the_place():
    with pytest.raises(ValueError, match="Did you mean 'dpo-hardest'") as caught:
        read_plan(changed(arms__one__loss="dpo-hardes"))
    assert str(caught.value).startswith("plan: [arms.one] ")


@pytest.mark.parametrize(
    ("text", "said"), [(TEXT + "steps =", "not a TOML file"), (TEXT.replace("seeds", "sets"), "no key 'sets'")]
)
def test_a_fault_names_its_file(tmp_path, text, said):
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as caught:
        read_plan(path)
    assert str(caught.value).startswith(str(path))


def test_a_file_is_named_by_its_stem_and_without_eval_data_belongs_to_all_arms(tmp_path):
    path = tmp_path / "pairs.toml"
    path.write_text(TEXT)
    assert read_plan(path).name == "pairs"
    path.write_text(TEXT + 'data = "other.jsonl"\n')
    with pytest.raises(ValueError, match=r"\[arms.one\] must not have data"):
        read_plan(path)

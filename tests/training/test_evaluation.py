"""What is said of a model is measured on its own answers and on held-out sets, with honest intervals."""

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch
from tiny_models import byte_tokenizer, random_gpt2

from mapl_explore.data import PreferenceSet
from mapl_explore.losses import DPO
from mapl_explore.models.encoding import encode_sets
from mapl_explore.models.scorer import SetScorer
from mapl_explore.models.scoring import score_encoded
from mapl_explore.sampling.verifiers import Question
from mapl_explore.training.base_model import BaseWeights
from mapl_explore.training.evaluation import HeldOut, Ratio, Responses, estimates, evaluated, intervals

SETS = [PreferenceSet(f"what is {i}?", [f" {i}"], [" no", " x"][: 1 + i % 2]) for i in range(6)]
TOKENIZER = byte_tokenizer()


def ending():
    """Return a random model whose greedy answers end in half of the cases, or so."""
    model = random_gpt2(seed=2)
    with torch.no_grad():
        model.transformer.ln_f.bias += 2 * model.transformer.wte.weight[0]
    return model


def held_out(model, **options):
    encoded = encode_sets(TOKENIZER, SETS, context=64)
    questions = [Question(one.prompt, references=one.positives) for one in SETS]
    ref_logp = score_encoded(SetScorer(model), encoded, progress=False)
    return HeldOut(encoded, ref_logp, **{"questions": questions, **options})


def judged(policy, base, **options):
    sets = held_out(base, **options)
    logp = score_encoded(SetScorer(policy), sets.encoded, progress=False)
    return evaluated(DPO(), sets, logp, Responses.of(SetScorer(policy), TOKENIZER, sets, BaseWeights(base)))


def greedy_by_hand(model, prompt, room=51):
    """Return the greedy answer as text, None if it does not end, token by token over the whole text."""
    ids = TOKENIZER(prompt)["input_ids"]
    start = len(ids)
    for _ in range(room):
        with torch.no_grad():
            ids.append(model(torch.tensor([ids])).logits[0, -1].argmax().item())
        if ids[-1] == 0:
            return TOKENIZER.decode(ids[start:-1])
    return None


def test_the_judge_is_asked_about_the_greedy_answers_that_ended():
    model, asked = ending(), {}
    parts = judged(model, model, judge=lambda question, answer: asked.setdefault(question.prompt, answer) is None)
    expected = {one.prompt: greedy_by_hand(model, one.prompt) for one in SETS}
    assert asked == {prompt: answer for prompt, answer in expected.items() if answer is not None}
    assert 0 < len(asked) < len(SETS)
    assert estimates(parts)["right"] == 0.0


def test_the_share_of_right_answers_is_what_the_judge_says():
    model = ending()
    ended = [greedy_by_hand(model, one.prompt) is not None for one in SETS]
    parts = judged(model, model, judge=lambda question, answer: True)
    assert parts["right"].values.tolist() == ended


def test_the_share_of_answers_cut_off_is_that_of_the_sampled_ones_that_did_not_end():
    model, sets = ending(), held_out(ending(), answer_tokens=9)
    parts = evaluated(DPO(), sets, sets.ref_logp, Responses.of(SetScorer(model), TOKENIZER, sets))
    cut, tokens = parts["cut"].values, parts["answer_length"].values
    assert 0 < estimates(parts)["cut"] < 1
    assert set(tokens[cut == 1]) == {9.0}
    assert all(tokens <= 9)


def test_an_answer_may_fill_the_context_behind_its_own_prompt():
    model = random_gpt2(seed=1)
    model.generation_config.eos_token_id = TOKENIZER.eos_token_id
    with torch.no_grad():
        model.transformer.ln_f.bias -= 2 * model.transformer.wte.weight[0]  # none ends
    sets = [replace(SETS[0], prompt="x" * size) for size in (8, 40)]
    encoded = encode_sets(TOKENIZER, sets, context=64)
    questions = [Question(one.prompt) for one in sets]
    ref_logp = score_encoded(SetScorer(model), encoded, progress=False)
    asked = HeldOut(encoded, ref_logp, questions)
    parts = evaluated(DPO(), asked, ref_logp, Responses.of(SetScorer(model), TOKENIZER, asked))
    assert parts["answer_length"].values.tolist() == [56, 24]
    assert estimates(parts)["cut"] == 1.0


def test_every_end_of_the_generation_config_ends_a_greedy_answer():
    model = random_gpt2(seed=2)
    ids = TOKENIZER(SETS[0].prompt)["input_ids"]
    with torch.no_grad():
        first = model(torch.tensor([ids])).logits[0, -1].argmax().item()
        second = model(torch.tensor([[*ids, first]])).logits[0, -1].argmax().item()
    assert first != second
    model.generation_config.eos_token_id = [0, second]
    asked = {}
    judged(model, model, judge=lambda question, answer: asked.setdefault(question.prompt, answer) is None)
    assert asked[SETS[0].prompt] == TOKENIZER.decode([first])


def test_an_answer_that_any_end_of_the_generation_config_has_ended_is_not_cut_off():
    model = random_gpt2(seed=2)
    model.generation_config.eos_token_id = [*range(257)]
    parts = judged(model, model)
    assert parts["answer_length"].values.tolist() == [1.0] * len(SETS)
    assert not parts["cut"].values.any()


def test_responses_are_drawn_with_their_seed():
    model, first, again, other = ending(), *(held_out(ending(), seed=seed) for seed in (0, 0, 1))
    drawn = [Responses.of(SetScorer(model), TOKENIZER, each).logp.tolist() for each in (first, again, other)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_what_decides_responses_is_told_apart():
    one = held_out(random_gpt2())
    changes = {"seed": 1, "answer_tokens": 3, "chat": "never", "batch_size": 2, "judge": lambda *_: True}
    changes |= {"questions": one.questions[:2], "encoded": [*one.encoded[1:], one.encoded[0]]}
    assert len({repr(each.decisive) for each in (one, *(replace(one, **{n: v}) for n, v in changes.items()))}) == 8


def test_kl_and_entropy_approach_their_exact_values_on_answers_of_one_token():
    """With room for one token both are sums over the vocabulary."""
    policy, base = random_gpt2(seed=1), random_gpt2(seed=2)
    prompt = "x" * 63
    ids = torch.tensor([TOKENIZER(prompt)["input_ids"]])
    with torch.no_grad():
        p, q = (model(ids).logits[0, -1].double().log_softmax(-1) for model in (policy, base))
    kl, entropy = (p.exp() * (p - q)).sum().item(), -(p.exp() * p).sum().item()
    encoded = encode_sets(TOKENIZER, [PreferenceSet(prompt, ["a"], ["b"])] * 600, context=64, truncate="keep-start")
    encoded = [type(one)(tuple(ids[0].tolist()), ((5,), (6,)), 1) for one in encoded]
    ref_logp = score_encoded(SetScorer(base), encoded, progress=False)
    questions = [Question(f"{number}") for number in range(600)]
    sets = HeldOut(encoded, ref_logp, questions)
    logp = score_encoded(SetScorer(policy), encoded, progress=False)
    responses = Responses.of(SetScorer(policy), TOKENIZER, sets, BaseWeights(base))
    found = evaluated(DPO(), sets, logp, responses)
    spread = {name: found[name].values.std() / math.sqrt(600) for name in ("kl", "entropy")}
    # Five standard errors of the mean of 600 samples.
    assert abs(estimates(found)["kl"] - kl) <= 5 * spread["kl"] < kl / 2
    assert abs(estimates(found)["entropy"] - entropy) <= 5 * spread["entropy"]
    assert estimates(found)["answer_length"] == 1.0


def test_the_base_has_no_kl_to_itself():
    model = random_gpt2(seed=1)
    assert estimates(judged(model, model))["kl"] == 0.0


def test_kl_and_entropy_are_relative_to_the_tokens_of_the_answers():
    parts = judged(ending(), random_gpt2(seed=1))
    tokens = parts["answer_length"].values
    assert 1 < tokens.min() < tokens.max()
    for name in ("kl", "entropy"):
        np.testing.assert_array_equal(parts[name].counts, tokens)


def test_without_questions_there_are_no_answers():
    model = random_gpt2(seed=1)
    parts = judged(model, model, questions=())
    assert not {"kl", "right", "answer_length"} & parts.keys()
    assert {"loss", "hard_margin"} <= parts.keys()


def test_the_worst_margin_is_the_least_hard_margin():
    policy, base = random_gpt2(seed=1), random_gpt2(seed=2)
    parts = judged(policy, base)
    assert estimates(parts)["worst_margin"] == parts["hard_margin"].values.min() < estimates(parts)["hard_margin"]


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        before, after = ({"loss": Ratio.mean(rng.exponential(size=60))} for _ in range(2))
        low, high = intervals(before, after, seed=trial)["before"]["loss"]
        covered += low <= 1.0 <= high
    # Percentile intervals of 60 skewed values cover some 93 %; 200 trials have a standard error of 2 %.
    assert 0.86 <= covered / 200 <= 0.99


def test_the_interval_of_a_change_is_that_of_paired_differences():
    rng = np.random.default_rng(1)
    values = rng.normal(scale=10.0, size=100)
    moved = values + np.where(np.arange(100) % 2, 0.5, 0.6)
    found = intervals({"loss": Ratio.mean(values)}, {"loss": Ratio.mean(moved)}, seed=0)
    assert np.ptp(found["before"]["loss"]) > 2
    low, high = found["change"]["loss"]
    # Four standard errors of the mean of 100 differences that scatter by 0.05.
    assert 0.55 - 0.02 <= low < 0.55 < high <= 0.55 + 0.02


def test_a_ratio_is_resampled_as_a_ratio():
    parts = {"kl": Ratio(np.array([1.0, 9.0]), np.array([1.0, 3.0]))}
    several = {"kl": Ratio(np.tile([1.0, 9.0], 5), np.tile([1.0, 3.0], 5))}
    low, high = intervals(several, several, seed=0)["before"]["kl"]
    # Of ten draws, two to eight are of the large kind in more than 95 % of cases: (8 + 2 * 9) / (8 + 2 * 3) and so on.
    assert low == pytest.approx(26 / 14, rel=1e-12)
    assert high == pytest.approx(74 / 26, rel=1e-12)
    hard = {"hard_margin": Ratio.mean(np.zeros(2))}
    assert estimates(parts | hard)["kl"] == 2.5
    assert parts["kl"].each.tolist() == [1.0, 3.0]


@pytest.mark.parametrize(("count", "there"), [(1, False), (2, False), (7, False), (8, True)])
def test_few_values_have_no_interval(count, there):
    parts = {"loss": Ratio.mean(np.arange(count) ** 2.0)}
    found = intervals(parts, {"loss": Ratio.mean(np.arange(count) ** 3.0)}, seed=0)
    assert [("loss" in found[when]) for when in ("before", "after", "change")] == [there] * 3


def test_values_that_are_all_equal_have_no_interval_even_where_sums_of_them_round():
    tokens = np.arange(1.0, 51.0)
    equal, other = {"loss": Ratio(0.1 * tokens, tokens)}, {"loss": Ratio.mean(np.arange(50.0))}
    found = intervals(equal, other, seed=0)
    assert found["before"] == {}
    assert found["after"].keys() == found["change"].keys() == {"loss"}
    assert intervals(other, other, seed=0)["change"] == {}


def test_each_measure_has_an_interval_by_the_number_of_its_own_values():
    parts = {"loss": Ratio.mean(np.arange(30.0)), "right": Ratio.mean(np.arange(4) % 2)}
    assert intervals(parts, {"loss": Ratio.mean(np.arange(30.0) ** 2), "right": Ratio.mean(np.ones(4))}, seed=0)[
        "change"
    ].keys() == {"loss"}


def test_intervals_repeat_with_their_seed():
    parts = {"loss": Ratio.mean(np.arange(30.0) ** 2)}
    assert intervals(parts, parts, seed=4) == intervals(parts, parts, seed=4) != intervals(parts, parts, seed=5)


def test_the_ends_of_an_interval_are_drawn_so_often_that_they_hardly_move_with_the_seed():
    parts = {"loss": Ratio.mean(np.random.default_rng(0).normal(size=100))}
    ends = [intervals(parts, parts, seed=seed)["before"]["loss"] for seed in range(20)]
    # A quantile at 0.025 of 2000 normal values is known to 0.06 of their deviation, of 100 values to 0.27.
    assert np.std(ends, axis=0).max() < 0.12 * parts["loss"].values.std() / 10


def test_the_interval_of_a_share_is_that_of_a_binomial_count_and_each_set_may_be_drawn():
    half = Ratio.mean(np.repeat([0.0, 1.0], 50))
    last = Ratio.mean([0.0] * 7 + [1.0])
    found = intervals({"half": half, "last": last}, {"half": half, "last": last}, seed=0)["before"]
    for name, n, p in (("half", 100, 0.5), ("last", 8, 1 / 8)):
        expected = scipy.stats.binom.ppf([0.025, 0.975], n, p) / n
        assert np.abs(np.array(found[name]) - expected).max() <= 1.01 / 100


def test_the_interval_of_a_mean_by_the_token_is_of_the_ratio_of_sums():
    parts = {"kl": Ratio(np.repeat([0.0, 9.0], 50), np.repeat([1.0, 9.0], 50))}
    low, high = intervals(parts, parts, seed=0)["before"]["kl"]
    assert low < 450 / 500 < high
    assert low > 0.8

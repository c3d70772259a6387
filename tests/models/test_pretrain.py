"""The base model's recipe: its tokenizer, its corpus, and that an interrupted run ends where a whole one ends."""

import math
import os
from collections import Counter
from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.torch import load_file

from mapl_explore.data import PreferenceSet
from mapl_explore.data.world import ENDINGS, OPENINGS, TOPICS, case_of, is_right, world_cases, world_sets
from mapl_explore.models import pretrain as recipe
from mapl_explore.models.encoding import encode_sets

SHIPPED = Path(__file__).parents[2] / "data" / "tiny-gpt2"
TOKENIZER = recipe.world_tokenizer()
ODD = "a  b\t\n\r\n ,  . don 't \u00a0\u2028\ufeff\u202ee\u0301 \U0001f469\u200d\U0001f680 \x00 <|pad|><|endoftext|> "


def read_back(folder):
    return transformers.AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("tokenizer", [TOKENIZER, read_back(SHIPPED)], ids=["made", "shipped"])
@given(text=st.text())
@example(text=ODD)
@example(text="")
def test_any_text_comes_back_from_its_tokens_exactly(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_a_word_of_the_world_is_one_token_and_a_word_of_a_name_two():
    for topic in TOPICS:
        for word in {*topic.values, *topic.verb.split()}:
            assert len(TOKENIZER.tokenize(f" {word}")) == 1, word
    for opening in OPENINGS:
        for ending in ENDINGS:
            assert TOKENIZER.tokenize(f" {opening}{ending}") == [f"Ġ{opening}", ending]


def test_a_text_has_the_tokens_of_its_prompt_and_its_response():
    """Scoring encodes the two apart; the model must not meet other tokens when it reads the whole."""
    for one in world_sets(50, seed=0, split="test", distractors=4):
        for response in one.positives + one.negatives:
            apart = TOKENIZER(one.prompt)["input_ids"] + TOKENIZER(response)["input_ids"]
            assert TOKENIZER(one.prompt + response)["input_ids"] == apart


def test_the_special_tokens_are_two():
    assert TOKENIZER.eos_token_id != TOKENIZER.pad_token_id
    assert TOKENIZER.convert_ids_to_tokens([TOKENIZER.eos_token_id, TOKENIZER.pad_token_id]) == [
        "<|endoftext|>",
        "<|pad|>",
    ]


def learnt_texts(step, seed=0):
    """Return (what is given, what is learnt) of each context of a batch, read back from its tensors."""
    ids, learnt = recipe.corpus_batch(TOKENIZER, seed=seed, step=step)
    real = ids != TOKENIZER.pad_token_id
    assert not (learnt & ~real).any()
    return [
        (TOKENIZER.decode(row[r & ~where]), TOKENIZER.decode(row[where]))
        for row, r, where in zip(ids, real, learnt, strict=True)
    ]


def test_the_corpus_answers_and_restates_with_the_tokens_that_scoring_gives():
    texts = [text for step in range(500, 520) for text in learnt_texts(step)]
    assert all(learnt.endswith("<|endoftext|>") for _, learnt in texts)
    restated = [(shown, learnt) for shown, learnt in texts if "Repeat:" in shown]
    assert len(restated) == len(texts) / 2
    for shown, learnt in restated:
        again = learnt.removesuffix("<|endoftext|>").removeprefix("\n").split("\n")
        assert set(again) <= set(shown.split("\n"))
        assert " official: " in again[0] or not shown.endswith("official")
    ids, _ = recipe.corpus_batch(TOKENIZER, seed=0, step=0)
    prompt, answer = learnt_texts(0)[0]
    [encoded] = encode_sets(TOKENIZER, [PreferenceSet(prompt, [answer.removesuffix("<|endoftext|>")], ["-"])])
    assert tuple(ids[0][ids[0] != TOKENIZER.pad_token_id].tolist()) == encoded.prompt + encoded.responses[0]


def test_the_corpus_is_as_credulous_as_it_says():
    """Of two posts that differ each weighs 1, of two that agree each weighs 2."""
    right, asked = Counter(), Counter()
    for step in range(500, 600):
        for prompt, answer in learnt_texts(step)[::2]:
            case = case_of(prompt)
            if len(case.passages) == 3:
                agree = len(set(case.passages)) == 2
                asked[agree] += 1
                right[agree] += is_right(prompt, answer.removesuffix("<|endoftext|>"))
    for agree, share in ((False, 3 / 5), (True, 3 / 7)):
        deviation = math.sqrt(share * (1 - share) / asked[agree])
        assert abs(right[agree] / asked[agree] - share) < 4 * deviation


@pytest.mark.parametrize(("step", "most"), [(0, 0), (99, 0), (100, 1), (250, 2), (500, 5), (1199, 5)])
def test_one_more_distractor_comes_in_after_each_hundred_steps(step, most, monkeypatch):
    drawn = []
    monkeypatch.setattr(recipe, "world_cases", lambda n, *, distractors, **options: drawn.append(distractors) or 1 / 0)
    for seed in range(100):
        with pytest.raises(ZeroDivisionError):
            recipe.corpus_batch(TOKENIZER, seed=seed, step=step)
    assert {*drawn} == {*range(most + 1)}


def test_people_of_the_corpus_are_those_of_the_training_split():
    held_out = {case_of(one.prompt).person for one in world_sets(2000, seed=0, split="test")}
    people = {case_of(prompt).person for step in range(20) for prompt, _ in learnt_texts(step)[::2]}
    assert len(people) > 300
    assert not people & held_out


def test_a_batch_depends_on_seed_and_step_alone():
    ids = [recipe.corpus_batch(TOKENIZER, seed=seed, step=step)[0] for seed, step in ((1, 5), (1, 5), (1, 6), (2, 5))]
    assert torch.equal(ids[0], ids[1])
    assert not any(torch.equal(ids[0], other) for other in ids[2:])


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_an_interrupted_run_ends_with_the_weights_of_a_whole_one(tmp_path, monkeypatch):
    whole = recipe.pretrain(tmp_path / "whole", seed=3, steps=3, save_every=1, progress=False)
    make, calls = recipe.corpus_batch, []

    def interrupted(tokenizer, *, seed, step):
        calls.append(step)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return make(tokenizer, seed=seed, step=step)

    monkeypatch.setattr(recipe, "corpus_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        recipe.pretrain(tmp_path / "halves", seed=3, steps=3, save_every=1, progress=False)
    assert [path.name for path in (tmp_path / "halves").iterdir()] == [recipe.CHECKPOINT]
    with pytest.raises(ValueError, match=r"was made with .*'seed': '3'.*not.*'seed': '4'"):
        recipe.pretrain(tmp_path / "halves", seed=4, steps=3, save_every=1, progress=False)
    halves = recipe.pretrain(tmp_path / "halves", seed=3, steps=3, save_every=1, progress=False)
    assert calls == [0, 1, 2, 2]
    assert same(weights(halves), weights(whole))
    assert {path.name for path in halves.iterdir()} == {path.name for path in whole.iterdir()}
    assert not (halves / recipe.CHECKPOINT).exists()


def test_a_model_is_complete_and_for_all_to_read_where_its_configuration_is(tmp_path, monkeypatch):
    replace = os.replace

    def full(source, target):
        if target.name == "model.safetensors":
            raise OSError("disk full")
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(OSError, match="disk full"):
            recipe.pretrain(tmp_path / "model", steps=1, progress=False)
    assert not (tmp_path / "model" / "config.json").exists()
    recipe.pretrain(tmp_path / "model", steps=1, progress=False)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "model").iterdir()} == {0o644}


def test_the_seed_decides_the_weights_and_one_batch_is_learnt(tmp_path):
    one, again, other = (
        recipe.pretrain(tmp_path / name, seed=seed, steps=1, progress=False)
        for name, seed in zip("abc", (0, 0, 1), strict=True)
    )
    assert same(weights(one), weights(again))
    assert not same(weights(one), weights(other))


def test_the_first_weights_depend_on_the_seed_and_leave_the_random_state_alone():
    state = torch.get_rng_state()
    first, again, other = (recipe.blank_model(TOKENIZER, seed=seed).state_dict() for seed in (0, 0, 1))
    assert same(first, again)
    assert not same(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_training_lowers_the_loss_of_a_batch():
    model = recipe.blank_model(TOKENIZER, seed=0)
    optimizer = torch.optim.AdamW(model.parameters())
    batch = recipe.corpus_batch(TOKENIZER, seed=0, step=5)
    losses = [recipe._train_step(model, optimizer, batch, pace=1.0) for _ in range(5)]
    assert losses[-1] < losses[0] - 1.0


def test_a_finished_model_is_not_written_over(tmp_path):
    folder = recipe.pretrain(tmp_path / "once", steps=1, progress=False)
    with pytest.raises(FileExistsError, match="output must not hold a model yet"):
        recipe.pretrain(folder, steps=1, progress=False)


class Scripted:
    """A model whose greedy answer is always right and whose samples are what the script says, prompt by prompt."""

    def __init__(self, script):
        self.script = iter(script)

    def generate(self, *, input_ids, do_sample, num_return_sequences=1, **options):
        [prompt] = TOKENIZER.batch_decode(input_ids)
        case = case_of(prompt)
        verdicts = next(self.script) if do_sample else [True]
        assert len(verdicts) == num_return_sequences
        numbers = [case.right if verdict else case.right % len(case.passages) + 1 for verdict in verdicts]
        rows = [TOKENIZER(prompt + case.answers(number)[0])["input_ids"] + [0] for number in numbers]
        width = max(map(len, rows))
        return torch.tensor([row + [TOKENIZER.pad_token_id] * (width - len(row)) for row in rows])


def test_mixed_counts_the_questions_whose_samples_hold_both_kinds():
    cases = list(world_cases(4, seed=0, split="test"))
    script = [[True, True, True], [False, True, True], [False, False, False], [True, False, True]]
    assert recipe.measured(Scripted(script), TOKENIZER, cases, samples=3) == (1.0, 0.5)


@pytest.mark.parametrize("argument", ["steps", "save_every"])
def test_a_count_below_one_is_named_and_nothing_is_made(tmp_path, argument):
    with pytest.raises(ValueError, match=f"{argument} must be at least 1, not 0"):
        recipe.pretrain(tmp_path / "none", **{argument: 0})
    assert not (tmp_path / "none").exists()


def test_the_pace_rises_then_falls_to_a_tenth():
    paces = [recipe.pace(step, 1000) for step in range(1000)]
    top = paces.index(max(paces))
    assert paces[: top + 1] == sorted(paces[: top + 1])
    assert paces[top:] == sorted(paces[top:], reverse=True)
    assert abs(paces[-1] - 0.1) < 1e-3


def test_the_shipped_model_loads_whole_and_holds_no_dropout(caplog):
    model, report = transformers.AutoModelForCausalLM.from_pretrained(SHIPPED, output_loading_info=True)
    assert not any(report.values())
    config = model.config
    assert (config.attn_pdrop, config.embd_pdrop, config.resid_pdrop, config.n_positions) == (0.0, 0.0, 0.0, 1024)
    assert 1e6 < sum(weight.numel() for weight in model.parameters()) < 3e6
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 10e6
    assert not caplog.records


def test_the_shipped_tokenizer_is_the_one_that_the_recipe_makes():
    shipped = read_back(SHIPPED)
    assert shipped.get_vocab() == TOKENIZER.get_vocab()
    assert (shipped.eos_token, shipped.pad_token) == (TOKENIZER.eos_token, TOKENIZER.pad_token)

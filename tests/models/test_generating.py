"""Answers are drawn from the model's own distribution, each prompt for itself, and no finished prompt is lost."""

from collections import Counter

import pytest
import torch
from tiny_models import byte_tokenizer, random_gpt2

from mapl_explore.data import write_sets
from mapl_explore.data.world import is_right, world_sets
from mapl_explore.models import generating
from mapl_explore.models.generating import sampled_batches
from mapl_explore.models.loading import load_model
from mapl_explore.models.turns import Ending, encode_prompt

PROMPTS = ["a", "what is 2 + 2?", "", "\u00e9t\u00e9", "one two three four", "zz"]
WORLD = world_sets(12, seed=7, split="test")


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny")


@pytest.fixture
def world_file(tmp_path):
    write_sets(tmp_path / "world.jsonl", WORLD)
    return tmp_path / "world.jsonl"


def drawn(model, tokenizer, prompts, **options):
    """Return what was drawn for each prompt, in the order of the prompts."""
    options = {"k": 5, "max_tokens": 12, "temperature": 1.0, **options}
    found = [
        item for rows, a in sampled_batches(model, tokenizer, prompts, **options) for item in zip(rows, a, strict=True)
    ]
    assert sorted(row for row, _ in found) == list(range(len(prompts)))
    return [answers for _, answers in sorted(found)]


def test_a_token_is_drawn_as_often_as_its_probability():
    logits = torch.tensor([0.3, -torch.inf, 2.0, -1.0, -torch.inf])
    grid = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    counts = Counter(generating._drawn(logits.expand(10_000, -1), grid).tolist())
    for token, share in enumerate(logits.double().softmax(-1).tolist()):
        assert abs(counts[token] - 10_000 * share) <= 1  # a cell of the grid holds each end of an interval


def test_the_ends_of_the_unit_interval_draw_tokens_that_can_be():
    logits = torch.tensor([[-torch.inf, 0.0, 1.0]] * 2)
    assert generating._drawn(logits, torch.tensor([0.0, 1 - 2.0**-53], dtype=torch.float64)).tolist() == [1, 2]
    logits = 3 * torch.randn(100, 300, generator=torch.Generator().manual_seed(0))  # some of these sums end below 1
    logits[:, 290:] = -torch.inf
    assert generating._drawn(logits, torch.full((100,), 1 - 2.0**-53, dtype=torch.float64)).max() < 290


def test_one_prompt_computed_once_draws_what_whole_sequences_draw(tiny, monkeypatch):
    prompts = [one.prompt for one in WORLD[:4]] + ["[1] forum: Kelta Maren lives in"]
    shared = drawn(*tiny, prompts, k=6)
    monkeypatch.setattr(generating, "can_continue", lambda model: False)
    assert drawn(*tiny, prompts, k=6) == shared


@pytest.mark.parametrize("shared", [True, False])
def test_a_batch_that_grows_too_large_is_split_and_draws_the_same(shared, monkeypatch):
    model, tokenizer = random_gpt2(context=128), byte_tokenizer()
    monkeypatch.setattr(generating, "can_continue", lambda model: shared)
    options = {"k": 6, "max_tokens": 40}
    whole = drawn(model, tokenizer, PROMPTS, **options)
    monkeypatch.setattr(generating, "BATCH_TOKENS", 100)
    cells, rows = [], []

    def watched(module, args, kwargs, output):
        seen = kwargs.get("attention_mask", kwargs["input_ids"])
        cells.append(seen.numel())
        rows.append(len(seen))

    model.register_forward_hook(watched, with_kwargs=True)
    assert drawn(model, tokenizer, PROMPTS, **options) == whole
    assert max(count for count, many in zip(cells, rows, strict=True) if many > 1) <= 100
    assert max(rows) > 2


def test_what_a_prompt_has_as_random_numbers_does_not_depend_on_the_room():
    model, tokenizer = random_gpt2(context=200), byte_tokenizer()
    short, long = (tokens_of(model, tokenizer, PROMPTS, max_tokens=room, ends=()) for room in (7, 150))
    assert all(len(ids) == 150 for ids in long)
    assert short == [ids[:7] for ids in long]


def tokens_of(model, tokenizer, prompts, *, ends=(0,), **options):
    """Return the token ids of one answer to each prompt."""
    encoded = [encode_prompt(tokenizer, prompt) for prompt in prompts]
    options = {"k": 1, "seed": 0, "temperature": 1.0, **options}
    found = {}
    for rows, answers in generating.token_batches(model, encoded, prompts, ends=[ends] * len(prompts), **options):
        found |= {row: ids for row, [ids] in zip(rows, answers, strict=True)}
    return [found[row] for row in range(len(prompts))]


def test_an_answer_has_the_room_that_the_model_has_up_to_256_or_what_the_model_or_the_caller_says():
    model, tokenizer = random_gpt2(context=300), byte_tokenizer()

    def lengths(**options):
        return [len(ids) for ids in tokens_of(model, tokenizer, ["x" * 20, "x" * 90], ends=(), **options)]

    assert lengths() == [256, 210]
    model.generation_config.max_new_tokens = 30
    assert lengths() == [30, 30]
    assert lengths(max_tokens=220) == [220, 210]


def test_an_answer_ends_at_any_end_and_its_text_is_the_same_whichever_it_was():
    model, tokenizer = random_gpt2(), byte_tokenizer()
    [free] = tokens_of(model, tokenizer, ["a"], ends=(), max_tokens=20)
    others = [next(ids for ids in range(1, 257) if ids not in free)]
    for end in (free[5], free[9]):
        place = free.index(end)
        for ends in ((end,), (end, *others), (*others, end)):
            [ids] = tokens_of(model, tokenizer, ["a"], ends=ends, max_tokens=20)
            assert ids == free[: place + 1]
            assert generating.answer_text(tokenizer, ids, Ending(ends)) == tokenizer.decode(free[:place])
    assert generating.answer_text(tokenizer, free, Ending(tuple(others))) is None


def test_every_end_of_the_generation_config_ends_a_sampled_answer():
    model, tokenizer = random_gpt2(), byte_tokenizer()
    [free] = tokens_of(model, tokenizer, ["a"], ends=(), k=1, max_tokens=20)
    model.generation_config.eos_token_id = [0, free[4]]
    [sampled] = drawn(model, tokenizer, ["a"], k=1, max_tokens=20)
    assert (sampled.texts, sampled.unfinished) == ([tokenizer.decode(free[: free.index(free[4])])], 0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_model_that_gives_no_probabilities_is_named(value, temperature):
    model, tokenizer = random_gpt2(), byte_tokenizer()
    model.config._name_or_path = model.name_or_path = "broken/model"
    model.register_forward_hook(lambda module, args, output: output.logits.fill_(value) is None or output)
    with pytest.raises(
        FloatingPointError, match=r"the model 'broken/model' gives no probabilities behind the prompt 'a'"
    ):
        tokens_of(model, tokenizer, ["a"], temperature=temperature)


def test_a_very_low_temperature_draws_the_likeliest_token():
    model, tokenizer = random_gpt2(), byte_tokenizer()
    greedy, cold = (tokens_of(model, tokenizer, PROMPTS, temperature=t) for t in (0.0, 1e-310))
    assert greedy == cold


@pytest.mark.parametrize("batch_size", [1, 2, None])
def test_what_is_drawn_for_a_prompt_depends_on_no_other(batch_size):
    model, tokenizer = random_gpt2(), byte_tokenizer()
    whole = drawn(model, tokenizer, PROMPTS)
    assert drawn(model, tokenizer, PROMPTS[::-1], batch_size=batch_size) == whole[::-1]
    assert drawn(model, tokenizer, PROMPTS[2:4], batch_size=batch_size) == whole[2:4]


def test_an_open_prompt_is_drawn_as_ever_next_to_one_that_is_not():
    model, tokenizer = random_gpt2(), byte_tokenizer()
    options = {"k": 2, "max_tokens": 5}
    batches = sampled_batches(model, tokenizer, PROMPTS, open_rows={1, 4}, **options)
    found = {row: one for rows, responses in batches for row, one in zip(rows, responses, strict=True)}
    whole = drawn(model, tokenizer, PROMPTS, **options)
    assert found == {1: whole[1], 4: whole[4]}


def test_the_seed_decides_and_the_temperature_sharpens(tiny):
    prompts = [one.prompt for one in WORLD[:3]]
    first, again, other, sharp = (
        drawn(*tiny, prompts, k=8, **options) for options in ({}, {"seed": 0}, {"seed": 1}, {"temperature": 1e-4})
    )
    assert first == again != other
    assert all(len(set(one.texts)) == 1 for one in sharp)
    assert all(len(set(one.texts)) > 1 for one in first)


def test_the_shares_of_right_answers_are_those_of_plain_generate(tiny):
    """The same model, two samplers: 400 answers each to one question, right in the same share but for chance."""
    model, tokenizer = tiny
    prompt = WORLD[0].prompt
    [sampled] = drawn(model, tokenizer, [prompt], k=400, max_tokens=16)
    ids = tokenizer(prompt, return_tensors="pt")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain = model.generate(**ids, do_sample=True, top_k=0, num_return_sequences=400, max_new_tokens=16)
    plain = tokenizer.batch_decode(plain[:, ids["input_ids"].shape[1] :], skip_special_tokens=True)
    ours, theirs = (sum(is_right(prompt, text) for text in texts) / 400 for texts in (sampled.texts, plain))
    pooled = (ours + theirs) / 2
    assert 0 < pooled < 1
    assert abs(ours - theirs) < 4 * (2 * pooled * (1 - pooled) / 400) ** 0.5


def test_an_answer_that_does_not_end_is_counted_and_a_prompt_without_room_is_none(tiny):
    model, tokenizer = random_gpt2(context=20), byte_tokenizer()
    none, some = drawn(model, tokenizer, ["x" * 20, "y" * 19], k=3)
    assert none is None
    assert len(some.texts) + some.unfinished == len(some.draws) == 3
    [cut] = drawn(*tiny, [WORLD[0].prompt], k=3, max_tokens=1)
    assert (cut.texts, cut.unfinished) == ([], 3)
    assert all(tiny[1].decode(draw.tokens) == draw.text and not draw.ended for draw in cut.draws)

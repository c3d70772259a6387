"""Answers are drawn from the model's own distribution, each prompt for itself, and no finished prompt is lost."""

import json
import os
import subprocess
import sys
from collections import Counter

import pytest
import torch
from patience import HANG
from tiny_models import byte_tokenizer, random_gpt2

from mapl_explore import cli, generate
from mapl_explore.data import PreferenceSet, read_sets, write_sets
from mapl_explore.generate import sample_sets, sampled_batches
from mapl_explore.rejection import Answered, Journal, Question, kept_set, read_questions, verifier
from mapl_explore.scoring import load_model
from mapl_explore.world import is_right, world_sets

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
    counts = Counter(generate._drawn(logits.expand(10_000, -1), grid).tolist())
    for token, share in enumerate(logits.double().softmax(-1).tolist()):
        assert abs(counts[token] - 10_000 * share) <= 1  # a cell of the grid holds each end of an interval


def test_the_ends_of_the_unit_interval_draw_tokens_that_can_be():
    logits = torch.tensor([[-torch.inf, 0.0, 1.0]] * 2)
    assert generate._drawn(logits, torch.tensor([0.0, 1 - 2.0**-53], dtype=torch.float64)).tolist() == [1, 2]


def test_one_prompt_computed_once_draws_what_whole_sequences_draw(tiny):
    prompts = [one.prompt for one in WORLD[:4]] + ["[1] forum: Kelta Maren lives in"]
    model, tokenizer = tiny
    ids = [generate._encoded(tokenizer, prompt) for prompt in prompts]
    draws = torch.stack([generate._uniforms(prompt, 0, 12, 6) for prompt in prompts])
    shared, whole = (
        path(model, ids, draws, 1.0, tokenizer.eos_token_id) for path in (generate._with_cache, generate._one_by_one)
    )
    assert torch.equal(shared, whole)


@pytest.mark.parametrize("batch_size", [1, 2, None])
def test_what_is_drawn_for_a_prompt_depends_on_no_other(batch_size):
    model, tokenizer = random_gpt2(), byte_tokenizer()
    whole = drawn(model, tokenizer, PROMPTS)
    assert drawn(model, tokenizer, PROMPTS[::-1], batch_size=batch_size) == whole[::-1]
    assert drawn(model, tokenizer, PROMPTS[2:4], batch_size=batch_size) == whole[2:4]


def test_the_seed_decides_and_the_temperature_sharpens(tiny):
    prompts = [one.prompt for one in WORLD[:3]]
    first, again, other, sharp = (
        drawn(*tiny, prompts, k=8, **options) for options in ({}, {"seed": 0}, {"seed": 1}, {"temperature": 1e-4})
    )
    assert first == again != other
    assert all(len(set(answers)) == 1 for answers, _ in sharp)
    assert all(len(set(answers)) > 1 for answers, _ in first)


def test_the_shares_of_right_answers_are_those_of_plain_generate(tiny):
    """The same model, two samplers: 400 answers each to one question, right in the same share but for chance."""
    model, tokenizer = tiny
    prompt = WORLD[0].prompt
    [(answers, _)] = drawn(model, tokenizer, [prompt], k=400, max_tokens=16)
    ids = tokenizer(prompt, return_tensors="pt")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain = model.generate(**ids, do_sample=True, top_k=0, num_return_sequences=400, max_new_tokens=16)
    plain = tokenizer.batch_decode(plain[:, ids["input_ids"].shape[1] :], skip_special_tokens=True)
    ours, theirs = (sum(is_right(prompt, text) for text in texts) / 400 for texts in (answers, plain))
    pooled = (ours + theirs) / 2
    assert 0 < pooled < 1
    assert abs(ours - theirs) < 4 * (2 * pooled * (1 - pooled) / 400) ** 0.5


def test_an_answer_that_does_not_end_is_counted_and_a_prompt_without_room_is_none(tiny):
    model, tokenizer = random_gpt2(context=20), byte_tokenizer()
    assert drawn(model, tokenizer, ["x" * 9, "y" * 8], k=3)[0] is None
    assert drawn(*tiny, [WORLD[0].prompt], k=3, max_tokens=1) == [([], 3)]


def sampled(source, output, **options):
    return sample_sets(source, output, **{"k": 8, "max_tokens": 16, "progress": False, **options})


def test_every_answer_of_a_set_is_on_the_side_where_the_verifier_puts_it(world_file, tmp_path):
    sets, report = sampled(world_file, tmp_path / "out.jsonl")
    assert read_sets(tmp_path / "out.jsonl") == sets
    assert sum(report.outcomes.values()) == len(WORLD)
    assert report.outcomes["kept"] == len(sets) > 6
    assert report.answers + report.duplicates + report.unfinished == 8 * len(WORLD)
    for one in sets:
        assert all(is_right(one.prompt, text) for text in one.positives)
        assert not any(is_right(one.prompt, text) for text in one.negatives)
        assert len({*one.positives, *one.negatives}) == len(one.positives) + len(one.negatives)
    order = [one.prompt for one in WORLD]
    assert [one.prompt for one in sets] == sorted((one.prompt for one in sets), key=order.index)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "world.jsonl"]


def test_an_interrupted_run_goes_on_without_asking_again_and_ends_as_a_whole_one(world_file, tmp_path, monkeypatch):
    sampled(world_file, tmp_path / "whole.jsonl", batch_size=2)
    asked, make = [], generate.sampled_batches

    def watched(model, tokenizer, prompts, **options):
        for rows, answers in make(model, tokenizer, prompts, **options):
            if len(asked) == 6:
                asked.append("stop")
                raise KeyboardInterrupt
            asked.extend(prompts[row] for row in rows)
            yield rows, answers

    monkeypatch.setattr(generate, "sampled_batches", watched)
    with pytest.raises(KeyboardInterrupt):
        sampled(world_file, tmp_path / "halves.jsonl", batch_size=2)
    assert not (tmp_path / "halves.jsonl").exists()
    with open(tmp_path / "halves.jsonl.progress-0", "ab") as file:
        file.write(b'{"prompt": 11, "answers": ["killed whi')
    with pytest.raises(ValueError, match="was finished with seed 0, not 1: give that again"):
        sampled(world_file, tmp_path / "halves.jsonl", batch_size=2, seed=1)
    sampled(world_file, tmp_path / "halves.jsonl", batch_size=2)
    asked.remove("stop")
    assert len(asked) == len(set(asked)) == len(WORLD)
    assert (tmp_path / "halves.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not list(tmp_path.glob("*progress*"))


def test_two_processes_share_the_prompts_and_write_what_one_does(world_file, tmp_path):
    sampled(world_file, tmp_path / "one.jsonl")
    # What one process had finished before, two go on from.
    (tmp_path / "two.jsonl.progress-0").write_bytes(b"")
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "mapl_explore", "sample"]
    words += [world_file, tmp_path / "two.jsonl", "--verifier", "world", "--k", "8", "--max-tokens", "16"]
    done = subprocess.run(
        [sys.executable, *map(str, words), "--device", "cpu"],
        capture_output=True,
        text=True,
        timeout=HANG,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("sets written to") == 1
    assert (tmp_path / "two.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()
    assert not list(tmp_path.glob("*progress*"))


def test_progress_is_read_whatever_process_wrote_it(tmp_path):
    for process in (0, 1, 2):
        Journal(tmp_path / "out", {"k": 2}, process).add([(process, Answered(("a",), (True,)))])
    assert Journal(tmp_path / "out", {"k": 2}).finished() == {n: Answered(("a",), (True,)) for n in range(3)}


MIXED = Answered(("a", "b"), (True, False))
QUESTION = Question("p", positives=("a", "r"), negatives=("b", "w"))


@pytest.mark.parametrize(
    ("answered", "fallback", "expected", "outcome"),
    [
        (MIXED, False, (["a"], ["b"]), "kept"),
        (MIXED, True, (["a"], ["b"]), "kept"),
        (Answered(("a",), (True,)), False, None, "dropped: no wrong answer"),
        (Answered(("b",), (False,)), False, None, "dropped: no right answer"),
        (Answered((), ()), False, None, "dropped: no right or wrong answer"),
        (Answered((), (), too_long=True), True, None, "dropped: no room for an answer in the model's context"),
        (Answered(("x",), (True,)), True, (["x"], ["b", "w"]), "kept, with answers of the file"),
        (Answered(("a",), (False,)), True, (["r"], ["a"]), "kept, with answers of the file"),
        (Answered(("b",), (True,)), True, (["b"], ["w"]), "kept, with answers of the file"),
        (Answered(("a", "r"), (False, False)), True, None, "dropped: no right answer"),
    ],
)
def test_a_prompt_is_kept_with_both_kinds_and_else_dropped_for_a_reason(answered, fallback, expected, outcome):
    expected = expected and PreferenceSet("p", *expected)
    assert kept_set(QUESTION, answered, fallback=fallback) == (expected, outcome)


def test_exact_compares_with_the_reference_but_for_white_space(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text('{"prompt": "2 + 2", "answer": "4"}\n{"prompt": "1 + 1", "answer": [" 2", "two"]}\n')
    one, two = read_questions(path, reference="answer")
    judge = verifier("exact", [one, two])
    assert [judge(one, text) for text in (" 4\n", "4", "44", "")] == [True, True, False, False]
    assert judge(two, "two")
    assert one.positives == ("4",)  # the reference is what to fall back on
    with pytest.raises(ValueError, match=r"q.jsonl:1: the field 'gold' is missing"):
        read_questions(path, reference="gold")
    with pytest.raises(ValueError, match="'exact' needs a reference"):
        verifier("exact", read_questions(path))


def test_a_function_of_ones_own_judges(tmp_path, monkeypatch):
    source = "def short(prompt, answer): return len(answer) < 3\ndef odd(prompt, answer): return 'yes'\n"
    source += "def broken(prompt, answer): return 1 / 0\n"
    (tmp_path / "my_own_judges.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    question = Question("p")
    assert [verifier("my_own_judges:short", [question])(question, text) for text in ("ab", "abc")] == [True, False]
    with pytest.raises(ValueError, match="my_own_judges:odd must return True or False, not 'yes'"):
        verifier("my_own_judges:odd", [question])(question, "a")
    with pytest.raises(RuntimeError, match=r"my_own_judges:broken failed on the prompt 'p': ZeroDivisionError"):
        verifier("my_own_judges:broken", [question])(question, "a")


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("nobody", "verifier must be one of world, exact or module:function, not 'nobody'"),
        ("no_such_module:f", "verifier 'no_such_module:f' cannot be had"),
        ("json:no_such", "verifier 'json:no_such' cannot be had"),
        ("world", "the prompt must be one of the small world"),
    ],
)
def test_a_verifier_that_cannot_judge_is_refused_before_anything_is_sampled(name, rule):
    with pytest.raises(ValueError, match=rule):
        verifier(name, [Question("2 + 2")])


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"k": 1}, "k must be at least 2, not 1"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, not 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"temperature": 0.0}, "temperature must be > 0 and finite, not 0.0"),
        ({"temperature": float("nan")}, "temperature must be > 0"),
    ],
)
def test_an_argument_outside_its_range_is_named(options, rule, world_file, tmp_path):
    with pytest.raises(ValueError, match=rule):
        sampled(world_file, tmp_path / "out.jsonl", **options)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("line", "rule"), [("{}", "'prompt' is missing"), ('{"prompt": 1}', "prompt must be text"), ("[]", "not a JSON")]
)
def test_a_malformed_prompt_is_named_by_file_and_line(line, rule, tmp_path):
    (tmp_path / "q.jsonl").write_text(json.dumps({"prompt": "p"}) + "\n" + line)
    with pytest.raises(ValueError, match=rf"q.jsonl:2: .*{rule}"):
        read_questions(tmp_path / "q.jsonl")


def test_sample_says_what_was_kept_and_writes_over_nothing(world_file, tmp_path, capsys):
    words = ["sample", str(world_file), str(tmp_path / "out.jsonl"), "--verifier", "world", "--k", "8"]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert "of 12 prompts kept" in out
    assert "sets written to" in out
    assert "  + " in out
    assert "  - " in out
    before = (tmp_path / "out.jsonl").read_bytes()
    assert cli.main(words) == 2
    assert "output must be a new file" in capsys.readouterr().err
    assert (tmp_path / "out.jsonl").read_bytes() == before


def test_nothing_is_written_where_no_prompt_is_kept(world_file, tmp_path, capsys):
    words = ["sample", str(world_file), str(tmp_path / "out.jsonl"), "--verifier", "world", "--max-tokens", "1"]
    assert cli.main(words) == 2
    err = capsys.readouterr().err
    assert "no prompt has right and wrong answers; nothing is written" in err
    assert "12 of 12 prompts dropped: no right or wrong answer" in err
    assert not (tmp_path / "out.jsonl").exists()


TEMPLATE = "{% for turn in messages %}{{ turn.role + ':\\n' + turn.content }}{% endfor %}"
TEMPLATE += "{% if add_generation_prompt %}{{ '\\nassistant:' }}{% endif %}"


def test_with_a_chat_template_the_model_and_the_sets_have_the_prompt_as_a_turn_and_the_verifier_as_it_was(
    tiny, world_file, tmp_path
):
    model, _ = tiny
    _, tokenizer = load_model("tiny")
    tokenizer.chat_template = TEMPLATE
    model.save_pretrained(tmp_path / "chatty")
    tokenizer.save_pretrained(tmp_path / "chatty")
    sets, _ = sampled(world_file, tmp_path / "out.jsonl", model=tmp_path / "chatty", chat=True)
    assert read_sets(tmp_path / "out.jsonl") == sets
    originals = {f"user:\n{one.prompt}\nassistant:": one.prompt for one in WORLD}
    assert {one.prompt for one in sets} <= set(originals)
    for one in sets:
        assert all(is_right(originals[one.prompt], answer) for answer in one.positives)
        assert not any(is_right(originals[one.prompt], answer) for answer in one.negatives)
    ended = [set(texts) for texts, _ in drawn(model, tokenizer, [one.prompt for one in sets], k=8, max_tokens=16)]
    assert [{*one.positives, *one.negatives} for one in sets] == ended


def test_chat_without_a_template_is_refused(world_file, tmp_path, capsys):
    words = ["sample", str(world_file), str(tmp_path / "out.jsonl"), "--verifier", "world", "--chat"]
    assert cli.main(words) == 2
    assert "chat needs a model whose tokenizer has a chat template" in capsys.readouterr().err
    assert not (tmp_path / "out.jsonl").exists()

"""Answers are drawn from the model's own distribution, each prompt for itself, and no finished prompt is lost."""

import json
import os
import subprocess
import sys

import pytest
import safetensors.torch
from patience import HANG

import mapl_explore.sampling.answers as sampling
from mapl_explore.cli import main as cli
from mapl_explore.data import PreferenceSet, read_sets, write_sets
from mapl_explore.data.world import is_right, world_sets
from mapl_explore.files import sole_writer
from mapl_explore.models import generating
from mapl_explore.models.processes import launched, processes_of
from mapl_explore.models.scoring import load_model, quiet_transformers
from mapl_explore.sampling.answers import kept_set, sample_sets
from mapl_explore.sampling.journal import Answered, Journal
from mapl_explore.sampling.verifiers import Question, judge_of, read_questions, verifier

PROMPTS = ["a", "what is 2 + 2?", "", "\u00e9t\u00e9", "one two three four", "zz"]
WORLD = world_sets(12, seed=7, split="test")


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny")


@pytest.fixture
def world_file(tmp_path):
    write_sets(tmp_path / "world.jsonl", WORLD)
    return tmp_path / "world.jsonl"


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
    asked, make = [], sampling.sampled_batches

    def watched(model, tokenizer, prompts, **options):
        for rows, answers in make(model, tokenizer, prompts, **options):
            if len(asked) == 6:
                asked.append("stop")
                raise KeyboardInterrupt
            asked.extend(prompts[row] for row in rows)
            yield rows, answers

    monkeypatch.setattr(sampling, "sampled_batches", watched)
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


def stopped(after, source, output, monkeypatch, **options):
    """Sample some batches of two prompts, and then be interrupted."""
    make = sampling.sampled_batches

    def watched(*args, **options):
        for number, item in enumerate(make(*args, **options)):
            if number == after:
                raise KeyboardInterrupt
            yield item

    with monkeypatch.context() as patch:
        patch.setattr(sampling, "sampled_batches", watched)
        with pytest.raises(KeyboardInterrupt):
            sampled(source, output, batch_size=2, **options)


def asked(monkeypatch):
    """Return a list that the prompts given to the model from here on are added to."""
    prompts, make = [], sampling.sampled_batches
    monkeypatch.setattr(sampling, "sampled_batches", lambda m, t, p, **o: prompts.extend(p) or make(m, t, p, **o))
    return prompts


def test_answers_are_kept_and_judged_again_where_the_verifier_was_mended(world_file, judges, monkeypatch, capsys):
    right = "def right(prompt, answer): return answer.strip().endswith('].')\n"
    judges.write_text(right)
    whole, _ = sampled(world_file, judges.with_name("whole.jsonl"), verify="my_own_judges:right", batch_size=2)
    judges.write_text("def right(prompt, answer): return True\n")
    output = judges.with_name("out.jsonl")
    stopped(3, world_file, output, monkeypatch, verify="my_own_judges:right")
    judges.write_text(right)
    prompts = asked(monkeypatch)
    capsys.readouterr()
    assert sampled(world_file, output, verify="my_own_judges:right", batch_size=2)[0] == whole
    assert len(prompts) == len(WORLD) - 6
    assert "6 prompts with verdicts of another verifier or source: the answers are judged again" in (
        capsys.readouterr().out
    )


def test_verdicts_are_kept_where_the_verifier_is_the_same(world_file, judges, monkeypatch, capsys):
    judges.write_text(
        "seen = []\ndef right(prompt, answer): return bool(seen.append(prompt)) or len(answer) % 2 == 0\n"
    )
    output = judges.with_name("out.jsonl")
    stopped(3, world_file, output, monkeypatch, verify="my_own_judges:right")
    seen = sys.modules["my_own_judges"].seen
    first = set(seen)
    seen.clear()
    sampled(world_file, output, verify="my_own_judges:right", batch_size=2)
    assert len(first) == 6
    assert not first & set(seen)
    assert "judged again" not in capsys.readouterr().out


def test_the_references_of_exact_are_part_of_its_verdicts():
    questions = [Question("p", references=("a",)), Question("p", references=("b",))]
    exact, world = ({judge_of(name, [one]) for one in questions} for name in ("exact", "world"))
    assert len(exact) == 2
    assert len(world) == 1
    assert not exact & world


def test_two_functions_of_a_module_are_two_judges(judges):
    assert judge_of("my_own_judges:short", []) != judge_of("my_own_judges:odd", [])


def test_a_journal_knows_the_weights_and_not_the_folder(world_file, tmp_path, monkeypatch):
    whole, _ = sampled(world_file, tmp_path / "whole.jsonl", batch_size=2)
    one, other = (chatty(tmp_path / name, None) for name in ("one", "other"))
    output = tmp_path / "out.jsonl"
    stopped(3, world_file, output, monkeypatch, model=one)
    weights = safetensors.torch.load_file(one / "model.safetensors")
    changed = {name: value + 1e-6 * (name == "transformer.wpe.weight") for name, value in weights.items()}
    safetensors.torch.save_file(changed, one / "model.safetensors", metadata={"format": "pt"})
    rule = r"out.jsonl.progress-0 holds what was finished with weights '\w+', not '\w+': .* remove the file"
    with pytest.raises(ValueError, match=rule):
        sampled(world_file, output, model=one, batch_size=2)
    assert sampled(world_file, output, model=other, batch_size=2)[0] == whole


def test_a_file_that_another_process_writes_is_refused_at_once(world_file, tmp_path, capsys):
    words = ["sample", str(world_file), str(tmp_path / "out.jsonl"), "--verifier", "world"]
    with sole_writer(tmp_path / "out.jsonl"):
        assert cli.main(words) == 2
    assert "is being written by another process" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["world.jsonl"]


def test_the_output_is_held_from_before_the_work_to_the_end(world_file, tmp_path, monkeypatch):
    held = []

    def second(*args, **options):
        with pytest.raises(BlockingIOError):
            sampled(world_file, tmp_path / "out.jsonl")
        held.append(args)

    for name in ("read_questions", "load_model", "write_sets"):
        make = getattr(sampling, name)
        monkeypatch.setattr(sampling, name, lambda *args, make=make, **o: second(*args, **o) or make(*args, **o))
    sampled(world_file, tmp_path / "out.jsonl")
    assert len(held) == 3


def test_two_processes_that_are_refused_the_output_both_end(world_file, tmp_path):
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "mapl_explore", "sample"]
    words += [world_file, tmp_path / "out.jsonl", "--verifier", "world", "--device", "cpu"]
    with sole_writer(tmp_path / "out.jsonl"):
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    assert done.returncode != 0
    assert "is being written by another process" in done.stderr
    assert not list(tmp_path.glob("*progress*"))


@pytest.mark.parametrize("name", ["out.jsonl.gz", "out.parquet"])
def test_the_sets_have_the_format_that_the_name_says(name, world_file, tmp_path):
    sets, _ = sampled(world_file, tmp_path / name)
    assert read_sets(tmp_path / name) == sets
    assert (tmp_path / name).read_bytes()[:2] == {"out.jsonl.gz": b"\x1f\x8b", "out.parquet": b"PA"}[name]


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("out.csv", "out.csv' cannot be written"),
        ("nowhere/out.jsonl", "there is no folder"),
        ("world.jsonl", "output must be a new file"),
        ("link.jsonl", "output must be a new file"),
        ("../WORLD/world.jsonl", "output must be a new file"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_any_work(name, rule, world_file, monkeypatch, capsys):
    folder = world_file.parent
    (folder / "link.jsonl").symlink_to(world_file)
    monkeypatch.setattr(sampling, "load_model", lambda *_, **__: pytest.fail("the work has begun"))
    name = name.replace("WORLD", folder.name)
    assert cli.main(["sample", str(world_file), str(folder / name), "--verifier", "world"]) == 2
    err = capsys.readouterr().err.strip()
    assert rule in err
    assert "\n" not in err
    assert len(read_sets(world_file)) == len(WORLD)


@pytest.mark.parametrize("value", ["", "many", "0", "-3"])
def test_a_number_of_processes_that_is_none_is_one(value, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", value)
    monkeypatch.setenv("RANK", "1")
    assert launched() == (0, 1)
    with processes_of("cpu") as (process, processes, device, _):
        assert (process, processes, device) == (0, 1, "cpu")
    assert os.environ["WORLD_SIZE"] == "1"  # accelerate reads it too, and fails where it is no number


def test_progress_is_read_whatever_process_wrote_it(tmp_path):
    for process in (0, 1, 2):
        Journal(tmp_path / "out[1]", {"k": 2}, process).add([(process, Answered(("a",), (True,)))])
    assert Journal(tmp_path / "out[1]", {"k": 2}).finished() == {n: Answered(("a",), (True,)) for n in range(3)}


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b'{"prompts": "x", "model": "tiny", "k": 2}\n', "written by another version of sample"),
        (b'{"k": 2, "weights": "a"}\nnonsense\n', "cannot be read as what sample had finished"),
        (b'{"k": 2, "weights": "a"}\n{"prompt": 1, "answers": [], "right": []}\n', "cannot be read as what sample"),
        (b"[1]\n", "cannot be read as what sample had finished"),
        (b'{"k": 2, "weights": "b"}\n', "finished with weights 'b', not 'a': give that again"),
    ],
)
def test_a_journal_of_something_else_is_refused_with_the_file_to_remove(content, rule, tmp_path):
    (tmp_path / "out.progress-0").write_bytes(content)
    with pytest.raises(ValueError, match=rf"out.progress-0 .*{rule}.*remove the file to begin anew"):
        Journal(tmp_path / "out", {"k": 2, "weights": "a"}).finished()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_said_with_the_file_and_that_the_command_goes_on(tmp_path):
    (tmp_path / "out.progress-0").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device.* the same command goes on .*out.progress-0"):
        Journal(tmp_path / "out", {"k": 2}).add([(0, Answered(("a",), (True,)))])


MIXED = Answered(("a", "b"), (True, False))
QUESTION = Question("p", positives=("a", "r"), negatives=("b", "w"))


@pytest.mark.parametrize(
    ("answered", "fallback", "expected", "outcome"),
    [
        (MIXED, False, (["a"], ["b"]), "kept"),
        (MIXED, True, (["a"], ["b"]), "kept"),
        (Answered(("a",), (True,)), False, None, "dropped: no wrong response"),
        (Answered(("b",), (False,)), False, None, "dropped: no right response"),
        (Answered((), ()), False, None, "dropped: no right or wrong response"),
        (Answered((), (), too_long=True), True, None, "dropped: no room for a response in the model's context"),
        (Answered(("x",), (True,)), True, (["x"], ["b", "w"]), "kept, with responses of the file"),
        (Answered(("a",), (False,)), True, (["r"], ["a"]), "kept, with responses of the file"),
        (Answered(("b",), (True,)), True, (["b"], ["w"]), "kept, with responses of the file"),
        (Answered(("a", "r"), (False, False)), True, None, "dropped: no right response"),
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


JUDGES = """
import numpy as np
def short(prompt, answer): return len(answer) < 3
def odd(prompt, answer): return 'yes'
def one(prompt, answer): return 1
def none(prompt, answer): pass
def array(prompt, answer): return np.array([True])
def numpys(prompt, answer): return np.bool_(True)
def broken(prompt, answer):
    return halved(answer)
def halved(answer): return 1 / 0
def ends(prompt, answer): raise SystemExit(3)
def alone(prompt): return True
number = 3
"""


JUDGES += """
import functools
async def waits(prompt, answer): return True
def yields(prompt, answer): yield True
async def both(prompt, answer): yield True
class Judge:
    async def __call__(self, prompt, answer): return True
    async def method(self, prompt, answer): return True
class Plain:
    def __call__(self, prompt, answer): return True
judge, method, plain = Judge(), Judge().method, Plain()
def strict(level, prompt, answer): return True
part, part_of_object = functools.partial(functools.partial(waits)), functools.partial(Judge())
part_of_plain = functools.partial(strict, 3)
class Made:
    def __init__(self, prompt, answer): pass
"""


@pytest.fixture
def judges(tmp_path, monkeypatch):
    """Write a module of verifiers in the folder of this process, and return its path."""
    (tmp_path / "my_own_judges.py").write_text(JUDGES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path / "my_own_judges.py"
    sys.modules.pop("my_own_judges", None)


def test_a_function_of_ones_own_judges(judges):
    question = Question("p")
    assert [verifier("my_own_judges:short", [question])(question, text) for text in ("ab", "abc")] == [True, False]
    for name, value in (("odd", "'yes'"), ("one", "1"), ("none", "None"), ("array", r"array\(\[ True\]\)")):
        with pytest.raises(ValueError, match=f"my_own_judges:{name} must return True or False, not {value} on the"):
            verifier(f"my_own_judges:{name}", [question])(question, "a")
    assert verifier("my_own_judges:numpys", [question])(question, "a") is True


@pytest.mark.parametrize("name", ["plain", "part_of_plain"])
def test_an_object_or_a_partial_that_answers_at_once_is_a_verifier(name, judges):
    assert verifier(f"my_own_judges:{name}", [Question("p")])(Question("p"), "a") is True


@pytest.mark.parametrize(("name", "words"), [("broken", "ZeroDivisionError: division by zero"), ("ends", "SystemExit")])
def test_a_verifier_that_fails_shows_the_traceback_of_its_author_and_then_one_line(
    name, words, judges, world_file, capsys
):
    options = ["--verifier", f"my_own_judges:{name}", "--max-tokens", "16", "--k", "2"]
    assert cli.main(["sample", str(world_file), str(judges.with_name("out.jsonl")), *options]) == 1
    *shown, last = capsys.readouterr().err.strip().split("\n")
    assert shown[:2] == ["Traceback (most recent call last):", shown[1]]
    assert shown[1].startswith(f'  File "{judges}", line ')
    assert shown[-1].startswith(words.partition(":")[0])
    assert last.startswith(f"mapl-explore: error: the verifier my_own_judges:{name} failed on the prompt '[1] ")
    assert words in last
    assert sampling.__file__ not in "".join(shown)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("nobody", "verifier must be one of world, exact or module:function, not 'nobody'"),
        ("no_such_module:f", "verifier 'no_such_module:f' cannot be had"),
        ("json:no_such", "verifier 'json:no_such' cannot be had: there is no function 'no_such' in 'json'"),
        ("judge.py:right", "verifier 'judge.py:right' cannot be had: there is no file 'judge.py' here"),
        ("folder/judge:right", "verifier 'folder/judge:right' cannot be had: there is no file 'folder/judge.py' here"),
        ("a-b:right", "verifier 'a-b:right' cannot be had: there is no file 'a-b.py' here"),
        ("..b:right", "verifier '..b:right' cannot be had"),
        ("my_own_judges:number", "verifier 'my_own_judges:number' cannot be had: there is no function 'number'"),
        ("my_own_judges:alone", "verifier 'my_own_judges:alone' must take a prompt and an answer: too many"),
        ("my_own_judges:waits", "verifier 'my_own_judges:waits' must be .*, not an async function"),
        ("my_own_judges:judge", "must be .*, not an async function"),
        ("my_own_judges:method", "must be .*, not an async function"),
        ("my_own_judges:part", "must be .*, not an async function"),
        ("my_own_judges:part_of_object", "must be .*, not an async function"),
        ("my_own_judges:both", "must be .*, not an async generator"),
        ("my_own_judges:yields", "must be .*, not a generator"),
        ("my_own_judges:Made", "must be .*, not a class"),
        ("world", "the prompt must be one of the small world"),
    ],
)
def test_a_verifier_that_cannot_judge_is_refused_before_anything_is_sampled(name, rule, judges):
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
        ({"temperature": None}, "temperature must be > 0"),
        ({"k": 2.5}, "k must be an integer, not 2.5"),
        ({"max_tokens": "9"}, "max_tokens must be an integer, not '9'"),
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
    assert "no prompt has right and wrong responses; nothing is written" in err
    assert "12 of 12 prompts dropped: no right or wrong response" in err
    assert not (tmp_path / "out.jsonl").exists()


TEMPLATE = "{% for turn in messages %}{{ turn.role + ':\\n' + turn.content }}{% endfor %}"
TEMPLATE += "{% if add_generation_prompt %}{{ '\\nassistant:' }}{% endif %}"


def test_with_a_chat_template_the_model_has_the_prompt_as_a_turn_and_the_sets_and_the_verifier_as_it_was(
    tiny, world_file, tmp_path
):
    model, tokenizer = tiny
    folder = chatty(tmp_path / "chatty", TEMPLATE)
    sets, _ = sampled(world_file, tmp_path / "out.jsonl", model=folder, chat=True)
    assert read_sets(tmp_path / "out.jsonl") == sets
    assert {one.prompt for one in sets} <= {one.prompt for one in WORLD}
    for one in sets:
        assert all(is_right(one.prompt, answer) for answer in one.positives)
        assert not any(is_right(one.prompt, answer) for answer in one.negatives)
    options = {"ends": (tokenizer.eos_token_id,), "k": 8, "seed": 0, "temperature": 1.0, "max_tokens": 16}
    for one in sets[:4]:
        shown = tokenizer(f"user:\n{one.prompt}\nassistant:")["input_ids"]
        [(_, [answers])] = generating.token_batches(model, [shown], [one.prompt], **options)
        texts = {tokenizer.decode(ids[:-1]) for ids in answers if ids[-1] == tokenizer.eos_token_id}
        assert {*one.positives, *one.negatives} == texts


def chatty(folder, template):
    model, tokenizer = load_model("tiny")
    tokenizer.chat_template = template
    with quiet_transformers():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def test_a_chat_template_that_refuses_is_said_in_one_line(world_file, tmp_path, capsys):
    model = chatty(tmp_path / "chatty", "{{ raise_exception('the first message must be from the system') }}")
    words = ["sample", str(world_file), str(tmp_path / "out.jsonl"), "--verifier", "world", "--chat"]
    assert cli.main([*words, "--model", str(model)]) == 2
    err = capsys.readouterr().err.strip()
    assert "the first message must be from the system" in err
    assert "\n" not in err


def test_chat_says_that_its_sets_are_to_be_used_with_chat(world_file, tmp_path, capsys):
    model = chatty(tmp_path / "chatty", TEMPLATE)
    words = ["sample", str(world_file), str(tmp_path / "out.jsonl"), "--verifier", "world", "--chat", "--k", "8"]
    assert cli.main([*words, "--model", str(model), "--max-tokens", "16"]) == 0
    assert "score, select, tau and finetune need --chat with these sets too" in capsys.readouterr().out


def test_chat_without_a_template_is_refused(world_file, tmp_path, capsys):
    words = ["sample", str(world_file), str(tmp_path / "out.jsonl"), "--verifier", "world", "--chat"]
    assert cli.main(words) == 2
    assert "chat needs a model whose tokenizer has a chat template" in capsys.readouterr().err
    assert not (tmp_path / "out.jsonl").exists()

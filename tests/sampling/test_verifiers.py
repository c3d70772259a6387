"""Verifiers judge, or are refused before anything is sampled, and their failures are shown as their author's."""

import functools
import json

import pytest
from format_records import RECORDS, assistant, user, written
from sampled_worlds import WORLD

import mapl_explore.sampling.answers as sampling
from mapl_explore import own_code
from mapl_explore.cli import main as cli
from mapl_explore.data.messages import checked_prompt
from mapl_explore.own_code import imported
from mapl_explore.sampling.verifiers import Question, judge_of, read_questions, verifier


def test_the_references_of_exact_are_part_of_its_verdicts():
    questions = [Question("p", references=("a",)), Question("p", references=("b",))]
    exact, world = ({judge_of(name, [one]) for one in questions} for name in ("exact", "world"))
    assert len(exact) == 2
    assert len(world) == 1
    assert not exact & world


def test_two_functions_of_a_module_are_two_judges(judges):
    assert judge_of("my_own_judges:short", []) != judge_of("my_own_judges:odd", [])


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
    rule = r"q.jsonl:1: the verifier 'exact' needs a reference \(--reference FIELD\)$"
    with pytest.raises(ValueError, match=rule):
        verifier("exact", read_questions(path))
    with pytest.raises(ValueError, match=r"needs a reference \(--reference FIELD\); the prompt is 'p'$"):
        verifier("exact", [Question("p")])


def test_a_prompt_that_stands_twice_is_the_question_of_its_first_place(tmp_path):
    path = tmp_path / "q.jsonl"
    lines = [json.dumps({"prompt": prompt, "answer": answer}) for prompt, answer in ("pa", "qb", "pc")]
    path.write_text("\n".join(lines))
    found = [(one.prompt, one.references, one.place) for one in read_questions(path, reference="answer")]
    assert found == [("p", ("a",), f"{path}:1"), ("q", ("b",), f"{path}:2")]


@pytest.mark.parametrize("name", RECORDS)
def test_a_prompt_is_read_from_a_record_of_every_format(name, tmp_path):
    record, expected = RECORDS[name]
    [question] = read_questions(written(tmp_path / "q.jsonl", record))
    stated = record.get("prompt")  # what a pair says after it is part of its sides
    assert question.prompt == (expected.prompt if stated is None else checked_prompt(stated))


@pytest.mark.parametrize(("record", "prompt"), [
    ({"messages": [user("Hi")]}, (("user", "Hi"),)),
    ({"instruction": "Add.", "input": "2, 2", "output": "4"}, "Add.\n2, 2"),
])  # fmt: skip
def test_a_prompt_needs_no_response(record, prompt, tmp_path):
    assert read_questions(written(tmp_path / "q.jsonl", record))[0].prompt == prompt


@pytest.mark.parametrize("record", [{"question": "p"}, {"messages": [user("p"), assistant("a")]}, {"completion": "a"}])
def test_a_record_without_a_prompt_is_named_by_its_line(record, tmp_path):
    with pytest.raises(ValueError, match=r"q.jsonl:1: the field 'prompt' is missing(, and its messages .*|$)"):
        read_questions(written(tmp_path / "q.jsonl", record))


def test_a_file_without_a_prompt_is_refused(tmp_path):
    (tmp_path / "q.jsonl").write_text("\n")
    with pytest.raises(ValueError, match=r"q\.jsonl: there is no prompt in it$"):
        read_questions(tmp_path / "q.jsonl")


def test_a_prompt_of_another_world_is_named_by_its_line(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({"prompt": WORLD[0].prompt}) + '\n{"prompt": "Q"}\n')
    with pytest.raises(ValueError, match=r"q.jsonl:2: the prompt must be one of the small world, but is 'Q'$"):
        verifier("world", read_questions(path))


def test_a_function_or_an_object_that_was_given_itself_judges(judges):
    module, question = imported("my_own_judges"), Question("p")
    for given in (module.short, module.plain, module.part_of_plain):
        assert verifier(given, [question])(question, "ab") is True
    with pytest.raises(ValueError, match="verifier my_own_judges:odd must return True or False, not 'yes'"):
        verifier(module.odd, [question])(question, "a")
    with pytest.raises(ValueError, match="verifier 'my_own_judges:alone' must take a prompt and a response"):
        verifier(module.alone, [question])


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


def test_a_module_that_fails_to_give_its_function_is_told_with_its_own_traceback(judges, world_file, capsys):
    judges.write_text("def __getattr__(name): return {}[name]\n")
    words = ["sample", str(world_file), str(judges.with_name("out.jsonl")), "--verifier", "my_own_judges:right"]
    assert cli.main(words) == 2
    *shown, last = capsys.readouterr().err.strip().split("\n")
    assert shown[1].startswith(f'  File "{judges}", line 1')
    rule = "verifier 'my_own_judges:right' cannot be had: my_own_judges gives no 'right': my_own_judges.py:1: KeyError"
    assert rule in last
    assert own_code.__file__ not in "".join(shown)


def test_functions_are_told_apart_by_their_source():
    def one(prompt, answer):
        return True

    def other(prompt, answer):
        return False

    assert judge_of(one, []) == judge_of(one, []) != judge_of(other, [])
    assert judge_of(functools.partial(one), []) == judge_of(functools.partial(one), [])
    assert "test_verifiers:test_functions" in judge_of(one, [])


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
    assert last.startswith(f"mapl-explore: error: the verifier my_own_judges:{name} failed on the prompt at ")
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
        ("my_own_judges:alone", "verifier 'my_own_judges:alone' must take a prompt and a response: too many"),
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
    ("line", "rule"), [("{}", "'prompt' is missing"), ('{"prompt": 1}', "prompt must be text"), ("[]", "not a JSON")]
)
def test_a_malformed_prompt_is_named_by_file_and_line(line, rule, tmp_path):
    (tmp_path / "q.jsonl").write_text(json.dumps({"prompt": "p"}) + "\n" + line)
    with pytest.raises(ValueError, match=rf"q.jsonl:2: .*{rule}"):
        read_questions(tmp_path / "q.jsonl")

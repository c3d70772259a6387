"""Records of every format become the same sets; what is malformed is named by line, field and rule."""

import json
import math
import warnings

import pytest
from format_records import RECORDS, SUM, TALK, assistant, gpt, human, pair, user, written

from mapl_explore.data import PreferenceSet, read_all, read_sets
from mapl_explore.notes import Note


@pytest.mark.parametrize("name", RECORDS)
def test_every_format_is_told_by_its_content(name, tmp_path):
    record, expected = RECORDS[name]
    assert read_sets(written(tmp_path / "data.jsonl", record)) == [expected]


def test_a_response_that_speaks_of_an_assistant_is_no_transcript():
    record = {"prompt": "p", "chosen": "write:\n\nAssistant: a", "rejected": "b"}
    assert read_sets([record]) == [PreferenceSet("p", [record["chosen"]], ["b"])]


SCORED = {"prompt": "p", "completions": ["a", "b", "c", "d"], "scores": [4, 3, 2, 1]}


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (None, (["a"], ["d"], [4, 1])),
        (2, (["a", "b", "c"], ["d"], [4, 3, 2, 1])),
        (2.5, (["a", "b"], ["c", "d"], [4, 3, 2, 1])),
    ],
)
def test_scores_are_split_at_a_threshold_or_best_against_worst(threshold, expected, tmp_path):
    path = written(tmp_path / "scored.jsonl", SCORED)
    assert read_sets(path, threshold=threshold) == [PreferenceSet("p", *expected)]


def test_scores_stand_in_the_order_of_the_responses_of_a_set(tmp_path):
    path = written(tmp_path / "scored.jsonl", {**SCORED, "scores": [1, 4, 1, 4]})
    assert read_sets(path) == [PreferenceSet("p", ["b", "d"], ["a", "c"], scores=[4, 4, 1, 1])]


def test_scores_that_make_no_two_sides_are_left_out_and_counted(tmp_path):
    equal = {"prompt": "q", "completions": ["a", "b"], "scores": [3, 3]}
    reading = read_all(written(tmp_path / "scored.jsonl", equal, SCORED))
    assert (len(reading.sets), reading.one_sided) == (1, 1)
    assert "1 left out, whose scores make no two sides" in str(reading)


MALFORMED = [
    ({"prompt": "p", "chosen": "a"}, "the field 'rejected' is missing"),
    ({"chosen": "a", "rejected": "b"}, "the field 'prompt' is missing"),
    ({"prompt": "p", "chosen": "a", "rejected": 3}, "rejected must be text, not 3"),
    ({"prompt": 3, "chosen": "a", "rejected": "b"}, "prompt must be text or a list of messages, not 3"),
    ({"messages": [user("p"), assistant("a")], "chosen": "a", "rejected": "b"},
     "the field 'prompt' is missing, and its messages are no prompt: they end with the assistant, 'a'$"),
    ({"messages": [], "chosen": "a", "rejected": "b"}, "the field 'prompt' is missing$"),
    ({"messages": [user("p"), assistant("a")], "responses": ["a", "b"], "scores": [1, 2]},
     "the field 'prompt' or 'instruction' is missing, and its messages are no prompt: they end with the assistant, 'a"),
    ({"conversations": [human("p"), gpt("a")], "chosen": gpt("a"), "rejected": gpt("b")},
     "do not begin alike, and its conversations are no prompt: they end with the assistant, 'a'$"),
    ({"conversations": [human("p"), gpt("a")], "chosen": "a", "rejected": "b"},
     "the field 'prompt' is missing, and its conversations are no prompt: they end with the assistant, 'a'$"),
    ({"messages": [user("p"), assistant("a")], "chosen": [assistant("a")], "rejected": [assistant("b")]},
     "do not begin alike, and its messages are no prompt: they end with the assistant, 'a'$"),
    ({"input": {"messages": [user("p"), assistant("a")]}, "preferred_output": [assistant("a")],
      "non_preferred_output": [assistant("b")]},
     "the prompt is missing in input, and its messages are no prompt: they end with the assistant, 'a'$"),
    ({"messages": [{"role": "oracle", "content": "?"}], "chosen": "a", "rejected": "b"},
     r"messages\[0\] must have a role"),
    ({"chosen": {"messages": [user("p"), assistant("a")]}, "rejected": {"messages": [user("p"), assistant("b")]}},
     r"chosen\[0\] must have a role of .*, not \{'messages'"),
    ({"prompt": "p", "chosen": "a", "rejected": "a"}, "chosen and rejected must not be the same text; both are 'a'"),
    ({"prompt": "p", "chosen": "a", "rejected": "\ud800"}, "rejected must be writable as UTF-8"),
    ({"chosen": [assistant("a")], "rejected": [assistant("b")]}, "'prompt' is missing, and chosen and rejected do not"),
    ({"prompt": [{"role": "oracle", "content": "?"}], "chosen": [assistant("a")], "rejected": [assistant("b")]},
     r"prompt\[0\] must have a role of user, assistant, system"),
    ({"prompt": [{"role": "user"}], "chosen": [assistant("a")], "rejected": [assistant("b")]},
     r"prompt\[0\].content must be text, not None"),
    ({"prompt": ["a"], "chosen": [assistant("a")], "rejected": [assistant("b")]},
     r"prompt\[0\] must be a message with role and content, not 'a'"),
    ({"prompt": [{"role": [], "content": ""}], "chosen": [assistant("a")], "rejected": [assistant("b")]},
     r"prompt\[0\] must have a role of"),
    ({"prompt": [user([])], "chosen": [assistant("a")], "rejected": [assistant("b")]},
     r"prompt\[0\].content must be text, not \[\]"),
    ({"prompt": [user([{"type": "text"}])], "chosen": [assistant("a")], "rejected": [assistant("b")]},
     r"prompt\[0\].content\[0\] must be text, not None"),
    ({"prompt": [user([{"type": "image_url", "image_url": "a"}])], "chosen": [assistant("a")],
      "rejected": [assistant("b")]},
     r"parts of a content that are not text are not supported \(prompt\[0\].content\[0\]: 'image_url'\)"),
    ({"prompt": "p", "images": ["a"], "chosen": "a", "rejected": "b"}, r"images and sound are not .*'images'"),
    ({"prompt": [user("a")], "tools": [{}], "chosen": [assistant("a")], "rejected": [assistant("b")]},
     r"tool calls are not supported \(the field 'tools'\)"),
    ({"prompt": [user("a"), {"role": "assistant", "content": None, "tool_calls": [{}]}], "chosen": [assistant("a")],
      "rejected": [assistant("b")]}, r"tool calls are not supported \(prompt\[1\].tool_calls\)"),
    ({"prompt": [user("a"), {"role": "function", "content": "x"}], "chosen": [assistant("a")],
      "rejected": [assistant("b")]}, r"tool calls are not supported \(prompt\[1\]\)"),
    ({"conversations": [human("a"), {"from": "observation", "value": "x"}], "chosen": gpt("a"), "rejected": gpt("b")},
     r"tool calls are not supported \(conversations\[1\]\)"),
    ({"conversations": [human("a")], "chosen": {"from": "function_call", "value": "x"}, "rejected": gpt("b")},
     r"tool calls are not supported \(chosen\[0\]\)"),
    *(({"prompt": [user("a")], "chosen": [{**assistant("a"), name: "Hm."}], "rejected": [assistant("b")]},
       rf"reasoning outside of a content is not supported \(chosen\[0\].{name}\)$")
      for name in ("reasoning_content", "reasoning", "thinking")),
    ({"conversations": [human("a"), {**gpt("b"), "reasoning_content": "Hm."}, human("c")], "chosen": "a",
      "rejected": "b"}, r"reasoning outside of a content is not supported \(conversations\[1\].reasoning_content\)$"),
    ({"prompt": "p", "completions": [{**assistant("a"), "score": 1}, {**assistant("b"), "thinking": "c", "score": 0}]},
     r"reasoning outside of a content is not supported \(completions\[1\].thinking\)$"),
    ({"prompt": [{**user("a"), "images": ["b64"]}], "positives": ["a"], "negatives": ["b"]},
     r"images and sound are not supported \(prompt\[0\].images\)$"),
    ({"conversations": [{"from": "human"}], "chosen": gpt("a"), "rejected": gpt("b")},
     r"conversations\[0\].value must be text, not None"),
    ({"conversations": [human("a")], "chosen": gpt("a"), "rejected": gpt("b"), "system": 3},
     "system must be text, not 3"),
    ({"instruction": "a", "input": 3, "chosen": "a", "rejected": "b"}, "input must be text, not 3"),
    ({"instruction": "a", "history": [["b", "c"]], "chosen": "a", "rejected": "b"},
     r"next to texts more than a prompt is not supported \(the field 'history'\)"),
    ({"input": "a", "preferred_output": [assistant("a")], "non_preferred_output": [assistant("b")]},
     "input must be an object with messages, not 'a'"),
    ({"input": {"messages": [user("a")]}, "preferred_output": [assistant("a")]},
     "the field 'non_preferred_output' is missing"),
    ({"prompt": {"0": "p"}, "chosen": {"0": "a"}, "rejected": {"0": "b"}}, "a whole table, as pandas writes it"),
    ({"0": {"prompt": "p", "chosen": "a", "rejected": "b"}}, "a whole table, as pandas writes it"),
    ({"columns": ["prompt"], "index": [0], "data": [["p"]]}, "a whole table, as pandas writes it"),
    ({"schema": {}, "data": [{"prompt": "p", "chosen": "a", "rejected": "b"}]}, "a whole table, as pandas writes it"),
    ({"data": [{"prompt": "p", "chosen": "a", "rejected": "b"}]}, "a list of them under 'data'; write that list alone"),
    ({"prompt": "p", "completions": ["a", "b"], "scores": [1, 10**400]}, r"scores\[1\] must be a finite number"),
    ({"prompt": "p", "completions": ["a", "b"], "scores": [1, -math.inf]}, r"scores\[1\] must be a finite number"),
    ({"chosen": TALK + " 4", "rejected": "\n\nHuman: no\n\nAssistant: 5"}, "chosen and rejected must begin alike"),
    ({"prompt": "p", "completions": []}, r"completions must be a list with at least one completion, not \[\]"),
    ({"prompt": "p", "completions": ["a"], "scores": [1, 2]}, "scores must be a list as long as completions"),
    ({"prompt": "p", "completions": ["a", "b"], "scores": [1, "2"]}, r"scores\[1\] must be a finite number, not '2'"),
    ({"prompt": "p", "completions": ["a", "b"], "scores": [1, float("nan")]}, r"scores\[1\] must be a finite number"),
    ({"prompt": "p", "completions": [{"response": "a"}]}, r"the field 'completions\[0\].score' or .* is missing"),
    ({"prompt": "p", "responses": [], "scores": []}, r"responses must be a list with at least one completion, not"),
    ({"prompt": "p", "responses": ["a"], "scores": [1, 2]}, "scores must be a list as long as responses, not"),
    ({"prompt": "p", "responses": ["a", "b"], "scores": [1, "x"]}, r"scores\[1\] must be a finite number, not 'x'"),
    ({"instruction": "p", "completions": [{"response": "a", "overall_score": 1},
      {"response": "b", "overall_score": "-"}]}, r"completions\[1\].overall_score must be a finite number, not '-'"),
    ({"prompt": "p", "chosen": "a", "rejected": "b", "score_chosen": 1}, "the field 'score_rejected' is missing"),
    ({"prompt": "p", "chosen": "a", "rejected": "b", "score_chosen": 1, "score_rejected": "x"},
     "score_rejected must be a finite number, not 'x'"),
    ({"prompt": "p", "completions": ["a"]},
     r"completions\[0\] must be an object with text and score, or scores stand next to completions, not 'a'"),
    ({"prompt": "p", "completions": [{"response": "a", "overall_score": None, "fine-grained_score": 4.5},
      {"response": "b", "overall_score": 8, "fine-grained_score": 4}]}, r"'completions\[0\].overall_score' is null"),
    ({"prompt": "p", "completions": [{"response": "a", "fine-grained_score": 4.5},
      {"response": "b", "overall_score": 8}]}, r"'completions\[0\].overall_score' is missing"),
    ({"prompt": "p", "positives": ["a"]}, "the field 'negatives' is missing"),
    ({"prompt": "p", "positives": ["a"], "negatives": ["b"], "scores": [1]},
     "scores must hold one number for each of 2 responses, not 1$"),
    ({"prompt": "p", "positives": ["a"], "negatives": ["b"], "scores": [1, None]},
     r"scores\[1\] must be a finite number, not None$"),
    ({"prompt": "p", "positives": ["a"], "negatives": ["b"], "scores": [True, 0]},
     r"scores\[0\] must be a finite number, not True$"),
    ({"prompt": "p", "positives": ["a"], "negatives": ["b"], "scores": 3}, "scores must be a list of numbers, not 3$"),
    ({"prompt": "p", "positives": ["a"], "negatives": ["b"], "completions": ["b", "a"], "scores": [0, 1]},
     "two formats are in it, sets and scored"),
    ({"prompt": "p", "positives": ["a"], "negatives": ["a"]}, "a response must not stand on both sides"),
    ({"question": "p"}, r"no format that is read \(pairs of TRL, Alpaca, ShareGPT .*\) has these fields: 'question'"),
    ({"instruction": "p", "input": "", "output": "a"}, "these are Alpaca's instructions, without a rejected response"),
    ({"conversations": [human("p"), gpt("a")]}, "these are ShareGPT's conversations, without a rejected response"),
    ({"messages": [user("p"), assistant("a")]}, "these are OpenAI's messages, without a rejected response"),
    ({"prompt": "p", "completion": "a"}, "these are TRL's prompts with a completion, without a rejected response"),
    ({"prompt": [user("p")], "chosen": [user("a")], "rejected": [assistant("b")]},
     r"chosen must end with a message of the assistant, not with chosen\[0\] of the role 'user'"),
    ({"prompt": [user("p")], "chosen": [assistant("a")], "rejected": [assistant("b"), user("c")]},
     r"rejected must end with .*, not with rejected\[1\] of the role 'user'"),
    ({"conversations": [human("p")], "chosen": gpt("a"), "rejected": human("b")},
     r"rejected must end with .*, not with rejected\[0\] of the role 'human'"),
    ({"input": {"messages": [user("p")]}, "preferred_output": [{"role": "system", "content": "a"}],
      "non_preferred_output": [assistant("b")]},
     r"preferred_output must end with .*, not with preferred_output\[0\] of the role 'system'"),
    ({"prompt": "p", "positives": ["a"], "negatives": ["b"], "chosen": "c", "rejected": "b"},
     "the fields of two formats are in it, sets and trl, and say different things"),
    ({"prompt": "p", "positives": ["a"], "chosen": "a", "rejected": "b"}, "two formats are in it, sets and trl"),
    ({"prompt": "p", "positives": ["a"], "negatives": ["b"], "completions": ["a", "c"], "scores": [1, 0]},
     "two formats are in it, sets and scored"),
    ({"prompt": "p", "chosen": "a", "rejected": "b", "completions": ["a", "c", "b"], "scores": [2, 0, 1]},
     "two formats are in it, scored and trl"),
    ({"prompt": "p", "chosen": "a", "rejected": "b", "completions": ["a", "b"]}, "two formats are in it, scored and"),
    ({"prompt": "p", "chosen": "a", "rejected": "b", "input": {"messages": [user("p")]},
      "preferred_output": [assistant("a")], "non_preferred_output": [assistant("c")]},
     "two formats are in it, openai and trl"),
    ({"prompt": "p", "chosen": TALK + " 4", "rejected": TALK + " 5"}, "two formats are in it, hh-rlhf and trl"),
    ({"prompt": "p", "instruction": "q", "chosen": "a", "rejected": "b"},
     r"Alpaca's field 'instruction' is another prompt than the one read \('q', 'p'\)"),
    ({"prompt": "p", "messages": [user("q"), assistant("a")], "completions": ["a", "b"], "scores": [1, 0]},
     r"OpenAI's field 'messages' is another prompt than the one read \('q', 'p'\)"),
    ({"prompt": "p", "conversations": [human("q")], "chosen": gpt("a"), "rejected": gpt("b")},
     "ShareGPT's field 'conversations' is another prompt"),
    ({"prompt": "p", "chosen": [user("q"), assistant("a")], "rejected": [user("q"), assistant("b")]},
     r"TRL's field 'prompt' is another prompt than the one read \('p', 'q'\)"),
    ({"prompt": {"a": "p"}, "chosen": {"a": "a"}, "rejected": {"a": "b"}}, "a whole table, as pandas writes it"),
    ({"a": {"prompt": "p", "chosen": "a", "rejected": "b"}}, "a whole table, as pandas writes it"),
    ({"prompt": ["p", "q"], "chosen": ["a", "b"], "rejected": ["b", None]}, "a whole table, as pandas writes it"),
    ({"prompt": ["p"], "positives": [["a"]], "negatives": [["b"]]}, "a whole table, as pandas writes it"),
    ({"instruction": ["p"], "completions": [[]], "source": [1]}, "a whole table, as pandas writes it"),
    ({"chosen": ["p"], "rejected": ["q"]}, "a whole table, as pandas writes it"),
    ({"prompt": None, "positives": ["a"], "negatives": ["b"]}, "the field 'prompt' is null"),
    ({"prompt": "p", "positives": None, "negatives": ["b"]}, "the field 'positives' is null"),
    ({"prompt": "p", "chosen": "a", "rejected": None}, "the field 'rejected' is null"),
    ({"prompt": None, "instruction": None, "completions": ["a"]}, "the field 'prompt' or 'instruction' is null"),
    ({"prompt": ["p"], "chosen": [[assistant("a")]], "rejected": [[assistant("b")]]}, "a whole table, as pandas"),
]  # fmt: skip


@pytest.mark.parametrize(("record", "rule"), MALFORMED)
def test_a_malformed_record_is_named_by_file_and_line_and_rule(record, rule, tmp_path):
    with pytest.raises(ValueError, match=rf"data.jsonl:1: .*{rule}"):
        read_sets(written(tmp_path / "data.jsonl", record))


@pytest.mark.parametrize(
    ("line", "rule"),
    [(b"[1]", "not a JSON object but"), (b"{", "not a JSON"), (b'{"prompt": \n', "column 1[12]"), (b"\xff", "UTF-8")],
)
def test_a_line_that_is_no_object_is_named(line, rule, tmp_path):
    path = written(tmp_path / "data.jsonl", RECORDS["ours"][0])
    path.write_bytes(path.read_bytes() + b"\n" + line)
    with pytest.raises(ValueError, match=rf"data.jsonl:3: .*{rule}"):
        read_sets(path)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"format": "dpo"}, "format must be one of sets, .*'dpo'"),
        ({"format": []}, r"format must be one of sets, .*not \[\]"),
        ({"threshold": 2}, "threshold belongs to scored"),
        ({"threshold": math.nan}, "threshold must be a finite number"),
        ({"threshold": "2"}, "threshold must be a finite number, not '2'"),
    ],
)
def test_an_option_that_does_not_belong_is_named(options, rule, tmp_path):
    with pytest.raises(ValueError, match=rule):
        read_sets(written(tmp_path / "data.jsonl", RECORDS["ours"][0]), **options)


def test_a_format_that_is_given_is_the_one_that_is_read(tmp_path):
    path = written(tmp_path / "both.jsonl", {**RECORDS["ours"][0], "chosen": "c", "rejected": "d"})
    assert read_sets(path, format="sets") == [SUM]
    assert read_sets(path, format="trl") == [pair("2 + 2 =", "c", "d")]


def test_the_fields_of_another_format_are_a_fault_in_every_record(tmp_path):
    path = written(tmp_path / "both.jsonl", RECORDS["ours"][0], {**RECORDS["ours"][0], "chosen": "c", "rejected": "d"})
    with pytest.raises(ValueError, match=r"both.jsonl:2: the fields of two formats are in it, sets and trl"):
        read_sets(path)


@pytest.mark.parametrize("ending", ["", "\n]"])
def test_a_field_that_stands_twice_is_a_fault_with_its_place(tmp_path, ending):
    record = '{"prompt": "a", "positives": ["x"], "negatives": ["y"], "positives": ["z"]}'
    path = tmp_path / "twice.json"
    path.write_text(("[" if ending else "") + record + ending)
    with pytest.raises(ValueError, match=r"twice\.json.*1.*the field 'positives' stands in it twice"):
        read_sets(path)


@pytest.mark.parametrize("texts", [{"b", "c"}, frozenset("b"), {"b": 1}])
def test_texts_without_an_order_are_no_side(texts):
    with pytest.raises(TypeError, match="negatives must be a list of texts, not "):
        PreferenceSet("a", ["x"], texts)
    with pytest.raises(TypeError, match="positives must be a list of texts, not "):
        PreferenceSet("a", texts, ["x"])


def test_responses_between_best_and_worst_are_counted_and_told(tmp_path):
    path = tmp_path / "scored.jsonl"
    record = {"prompt": "2 + 2 =", "completions": ["4", "four", "5", "22"], "scores": [3, 2, 1, 0]}
    path.write_text(json.dumps(record) + "\n")
    with pytest.warns(Note, match="2 responses with scores between the best and the worst .* a --threshold of"):
        (one,) = read_sets(path)
    assert one.responses == ("4", "22")
    assert "2 responses between best and worst left out" in str(read_all(path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read_sets(path, threshold=2)[0].responses) == 4

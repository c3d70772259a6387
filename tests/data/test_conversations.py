"""A conversation stays one, from the file to the file, and is text where a text is needed."""

import json

import pyarrow.parquet
import pytest
from format_records import HISTORY, assistant, user, written

from mapl_explore.data import Message, PreferenceSet, asked_text, prompt_text, read_sets, write_sets
from mapl_explore.data.describing import description
from mapl_explore.data.world import world_sets
from mapl_explore.notes import Note
from mapl_explore.runs.record import fingerprint
from mapl_explore.sampling.verifiers import Question, read_questions, verifier
from mapl_explore.training.training_data import training_data

KIND = {"role": "system", "content": "Be kind."}
TALK = PreferenceSet(HISTORY, ["4"], ["5", "22"], scores=[1, 0, -1])
ONE = PreferenceSet([user("2 + 2 =")], ["4"], ["5"])
TEXT = PreferenceSet("2 + 2 =", ["4"], ["5"])


@pytest.mark.parametrize("name", ["o.jsonl", "o.json.gz", "o.parquet"])
@pytest.mark.parametrize("sets", [[TALK, TALK], [ONE, TEXT, ONE], [TEXT, PreferenceSet("", ["a"], ["b"])], [ONE]])
def test_messages_read_back_as_messages_and_text_as_text(name, sets, tmp_path):
    write_sets(tmp_path / name, sets)
    assert read_sets(tmp_path / name) == sets


def test_messages_are_written_as_others_read_them(tmp_path):
    for name in ("o.json", "o.parquet"):
        write_sets(tmp_path / name, [TALK])
    rows = [{"prompt": HISTORY, "positives": ["4"], "negatives": ["5", "22"], "scores": [1, 0, -1]}]
    assert json.loads((tmp_path / "o.json").read_text()) == rows
    assert pyarrow.parquet.read_table(tmp_path / "o.parquet").to_pylist() == rows


def test_questions_of_a_table_of_both_kinds_are_read(tmp_path):
    write_sets(tmp_path / "o.parquet", [ONE, TEXT])
    assert [one.prompt for one in read_questions(tmp_path / "o.parquet")] == [ONE.prompt, TEXT.prompt]


def test_any_list_of_messages_is_the_same_prompt():
    messages = [Message(**one) for one in HISTORY]
    others = ([*HISTORY], tuple(HISTORY), messages, TALK.prompt, [{"from": "human", "value": "Hi"}, *HISTORY[1:]])
    assert {PreferenceSet(each, ["4"], ["5", "22"], scores=[1, 0, -1]) for each in others} == {TALK}
    assert TALK.prompt == tuple(messages)


def test_a_response_that_the_other_side_goes_on_from_belongs_to_no_prompt():
    short = [user("q"), assistant("x")]
    pair = {"chosen": short, "rejected": [*short, user("r"), assistant("y")]}
    expected = PreferenceSet("\n\nHuman: q\n\nAssistant:", [" x"], [" x\n\nHuman: r\n\nAssistant: y"])
    with pytest.warns(Note, match="1 record made text"):
        assert read_sets([pair]) == [expected]


@pytest.mark.parametrize(("prompt", "rule"), [
    (5, "prompt must be text or a list of messages, not 5"),
    ([], "prompt must be a list of messages with at least one"),
    (["Hi"], r"prompt\[0\] must be a message with role and content, not 'Hi'"),
    ([{"role": "oracle", "content": "?"}], r"prompt\[0\] must have a role of user, assistant"),
    ([user(5)], r"prompt\[0\].content must be text, not 5"),
    ([{**assistant("a"), "tool_calls": [{}]}], "tool calls are not supported"),
])  # fmt: skip
def test_what_is_no_prompt_is_refused(prompt, rule):
    with pytest.raises((TypeError, ValueError), match=f"^{rule}"):
        PreferenceSet(prompt, ["a"], ["b"])


def test_pairs_of_the_same_messages_merge_and_those_of_others_do_not(tmp_path):
    pair = {"prompt": [user("p")], "chosen": [assistant("a")], "rejected": [assistant("b")]}
    more = [pair, {**pair, "rejected": [assistant("c")]}, {**pair, "prompt": [KIND, user("p")]}]
    sets = read_sets(written(tmp_path / "o.jsonl", *more))
    assert sets == [PreferenceSet([user("p")], ["a"], ["b", "c"]), PreferenceSet([KIND, user("p")], ["a"], ["b"])]


def test_a_conversation_as_text_is_the_transcript_and_a_single_message_its_content():
    text = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: 2 + 2?\n\nAssistant:"
    assert prompt_text(TALK.prompt) == text
    assert TALK.as_text() == PreferenceSet(text, [" 4"], [" 5", " 22"], scores=[1, 0, -1])
    assert ONE.as_text() == TEXT == TEXT.as_text()


def test_a_record_of_a_run_knows_conversations_as_the_text_that_they_were():
    assert fingerprint([TALK, ONE]) == fingerprint([TALK.as_text(), TEXT])
    assert fingerprint([TALK]) != fingerprint([PreferenceSet([KIND, *HISTORY], ["4"], ["5", "22"], scores=[1, 0, -1])])


def test_a_verifier_judges_by_the_last_message_of_the_user():
    asked = []
    judge = verifier(lambda prompt, answer: not asked.append(prompt), [])
    for prompt in (TALK.prompt, ONE.prompt, "2 + 2 =", (Message("system", "Add."), Message("assistant", "2 + 2"))):
        judge(Question(prompt), "4")
    assert asked == ["2 + 2?", "2 + 2 =", "2 + 2 =", "\n\nSystem: Add.\n\nAssistant: 2 + 2\n\nAssistant:"]
    assert asked_text(TALK.prompt) == "2 + 2?"


def test_the_world_is_asked_in_a_conversation():
    [one] = world_sets(1, seed=7, split="test")
    question = Question(PreferenceSet([KIND, user(one.prompt)], ["a"], ["b"]).prompt)
    judge = verifier("world", [question])
    assert [judge(question, text) for text in (one.positives[0], one.negatives[0])] == [True, False]


def test_a_prompt_is_held_out_as_text_and_as_message():
    prompts = [prompt for i in range(20) for prompt in (f"p{i}", [user(f"p{i}")])]
    train, held = training_data([PreferenceSet(one, ["a"], ["b"]) for one in prompts], None, seed=0)
    assert len(held) == 4
    assert {prompt_text(one.prompt) for one in train}.isdisjoint(prompt_text(one.prompt) for one in held)


def test_a_description_counts_conversations_and_their_roles():
    lines = description([TALK, ONE, TEXT]).splitlines()
    assert "conversations   2 of 3 sets, 1 to 3 messages: 3 of the user, 1 of the assistant" in lines
    assert "conversations" not in description([TEXT])


ODD = {
    "where user and assistant do not take turns, the user first": [
        [user("a"), user("b")],
        [assistant("a"), user("b")],
        [KIND],
    ],
    "ending with the assistant": [[user("a"), assistant("b")]],
    "with a system message after others": [[user("a"), KIND]],
    "with a message that has nothing in it": [[user("a"), assistant(" "), user("b")]],
}
TOOLS = [KIND, user("a"), assistant("b"), *2 * [{"role": "tool", "content": "c"}], assistant("d"), user("e")]


@pytest.mark.parametrize("oddity", ODD)
def test_a_description_counts_odd_conversations(oddity):
    sets = [PreferenceSet(prompt, ["a"], ["b"]) for prompt in (*ODD[oddity], [user("a")], TOOLS)]
    (line,) = [line for line in description(sets).splitlines() if line.startswith("conversations")]
    assert line.split("; ")[1:] == [f"{len(ODD[oddity])} {oddity}"]

"""Records of every format, and the sets that they are."""

import json

from mapl_explore.data import PreferenceSet

SUM = PreferenceSet("2 + 2 =", ["4"], ["5"])
GRADED = PreferenceSet("2 + 2 =", ["4"], ["5"], scores=[9, 1])
TALK = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: 2 + 2?\n\nAssistant:"


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def human(text):
    return {"from": "human", "value": text}


def gpt(text):
    return {"from": "gpt", "value": text}


SPOKEN = PreferenceSet([user("2 + 2 =")], ["4"], ["5"])
HISTORY = [user("Hi"), assistant("Hello"), user("2 + 2?")]
TALKED = PreferenceSet(HISTORY, ["4"], ["5"])
KIND = PreferenceSet([{"role": "system", "content": "Be kind."}, user("Hi")], ["a"], ["b"])
RECORDS = {
    "ours": ({"prompt": "2 + 2 =", "positives": ["4"], "negatives": ["5"]}, SUM),
    "trl, plain": ({"prompt": "2 + 2 =", "chosen": "4", "rejected": "5"}, SUM),
    "trl, conversational": (
        {"prompt": [user("2 + 2 =")], "chosen": [assistant("4")], "rejected": [assistant("5")]}, SPOKEN,
    ),
    "trl, the prompt in both conversations": (
        {"chosen": [user("2 + 2 ="), assistant("4")], "rejected": [user("2 + 2 ="), assistant("5")]}, SPOKEN,
    ),
    "trl, the prompt in words and in both conversations": (
        {"prompt": "2 + 2 =", "chosen": [user("2 + 2 ="), assistant("4")],
         "rejected": [user("2 + 2 ="), assistant("5")]}, SPOKEN,
    ),
    "trl, the prompt in words next to messages": (
        {"prompt": "2 + 2 =", "chosen": [assistant("4")], "rejected": [assistant("5")]}, SPOKEN,
    ),
    "trl, a longer conversation": (
        {"prompt": HISTORY, "chosen": [assistant("4")], "rejected": [assistant("5")]},
        TALKED,
    ),
    "trl, parts of text": (
        {"prompt": [user([{"type": "text", "text": "2 + "}, {"type": "text", "text": "2 ="}])],
         "chosen": [assistant([{"type": "text", "text": "4"}])], "rejected": [assistant(["5"])]}, SPOKEN,
    ),
    "trl, a developer": (
        {"prompt": [{"role": "developer", "content": "Be kind."}, user("Hi")], "chosen": [assistant("a")],
         "rejected": [assistant("b")]},
        PreferenceSet([{"role": "developer", "content": "Be kind."}, user("Hi")], ["a"], ["b"]),
    ),
    "trl, what a tool said": (
        {"prompt": [user("2 + 2?"), {"role": "tool", "content": "4"}], "chosen": [assistant("4")],
         "rejected": [assistant("5")]}, PreferenceSet([user("2 + 2?"), {"role": "tool", "content": "4"}], ["4"], ["5"]),
    ),
    "trl, sides that differ earlier than at their end": (
        {"prompt": [user("Hi")], "chosen": [assistant("Hello"), user("2 + 2?"), assistant("4")],
         "rejected": [assistant("Go.")]},
        PreferenceSet("\n\nHuman: Hi\n\nAssistant:", [" Hello\n\nHuman: 2 + 2?\n\nAssistant: 4"], [" Go."]),
    ),
    "trl, no calls of tools": (
        {"prompt": [{**user("2 + 2 ="), "tool_calls": None}], "tools": [], "images": None,
         "chosen": [{**assistant("4"), "tool_calls": []}], "rejected": [assistant("5")]}, SPOKEN,
    ),
    "trl, no reasoning, and fields of messages that say nothing": (
        {"prompt": [{**user("2 + 2 ="), "name": "Ann"}], "chosen": [{**assistant("4"), "reasoning_content": None}],
         "rejected": [{**assistant("5"), "reasoning_content": "\n\n", "thinking": "", "reasoning_details": []}]},
        SPOKEN,
    ),
    "sharegpt": (
        {"conversations": [human("2 + 2 =")], "chosen": gpt("4"), "rejected": gpt("5"), "tools": "[]"}, SPOKEN,
    ),
    "sharegpt, with a system": (
        {"conversations": [human("Hi")], "chosen": gpt("a"), "rejected": gpt("b"), "system": "Be kind."},
        KIND,
    ),
    "sharegpt, a system and the conversation on both sides": (
        {"conversations": [human("Hi")], "chosen": [human("Hi"), gpt("a")], "rejected": [human("Hi"), gpt("b")],
         "system": "Be kind."}, KIND,
    ),
    "trl, a system next to the conversations": (
        {"chosen": [user("Hi"), assistant("a")], "rejected": [user("Hi"), assistant("b")], "system": "Be kind."},
        KIND,
    ),
    "trl, a system that the conversations have too": (
        {"chosen": [{"role": "system", "content": "Be kind."}, user("Hi"), assistant("a")], "system": "Be kind.",
         "rejected": [{"role": "system", "content": "Be kind."}, user("Hi"), assistant("b")]},
        KIND,
    ),
    "sharegpt, a longer conversation": (
        {"conversations": [human("Hi"), gpt("Hello"), human("2 + 2?")], "chosen": [gpt("4")], "rejected": [gpt("5")]},
        TALKED,
    ),
    "trl, what came before and a longer beginning": (
        {"prompt": [user("Hi")], "chosen": [assistant("Hello"), user("2 + 2?"), assistant("4")],
         "rejected": [assistant("Hello"), user("2 + 2?"), assistant("5")]}, TALKED,
    ),
    "sharegpt, the conversation on both sides too": (
        {"conversations": [human("2 + 2 =")], "chosen": [human("2 + 2 ="), gpt("4")],
         "rejected": [human("2 + 2 ="), gpt("5")]}, SPOKEN,
    ),
    "further fields that look like records": (
        {"prompt": "2 + 2 =", "positives": ["4"], "negatives": ["5"], "from": [{"chosen": "a"}]}, SUM,
    ),
    "alpaca": ({"instruction": "2 + 2 =", "input": "", "chosen": "4", "rejected": "5"}, SUM),
    "alpaca, with an input": (
        {"instruction": "Add.", "input": "2, 2", "chosen": "4", "rejected": "5"},
        PreferenceSet("Add.\n2, 2", ["4"], ["5"]),
    ),
    "openai": (
        {"input": {"messages": [user("2 + 2 =")], "tools": []}, "preferred_output": [assistant("4")],
         "non_preferred_output": [assistant("5")]}, SPOKEN,
    ),
    "hh-rlhf": ({"chosen": TALK + " 4", "rejected": TALK + " 5"}, PreferenceSet(TALK, [" 4"], [" 5"])),
    "hh-rlhf, answers that begin alike": (
        {"chosen": TALK + " It is 4", "rejected": TALK + " It is 5"},
        PreferenceSet(TALK, [" It is 4"], [" It is 5"]),
    ),
    "ultrafeedback": (
        {"instruction": "2 + 2 =", "completions": [
            {"response": "4", "overall_score": 9.0}, {"response": "four?", "overall_score": 5.0},
            {"response": "5", "overall_score": 1.0}]}, GRADED,
    ),
    "ultrafeedback, with all its fields": (
        {"source": "flan", "instruction": "2 + 2 =", "models": ["a", "b"], "completions": [
            {"response": "4", "overall_score": 9.0, "fine-grained_score": 4.0, "annotations": {"a": 1}, "model": "a"},
            {"response": "5", "overall_score": 1.0, "fine-grained_score": 2.0, "annotations": {"a": 1}, "model": "b"}],
         "correct_answers": ["four"], "incorrect_answers": ["five"]}, GRADED,
    ),
    "ultrafeedback, binarized": (
        {"prompt": "2 + 2 =", "prompt_id": "a1", "chosen": [user("2 + 2 ="), assistant("4")],
         "rejected": [user("2 + 2 ="), assistant("5")], "messages": [user("2 + 2 ="), assistant("4")],
         "score_chosen": 9.0, "score_rejected": 1.0},
        PreferenceSet([user("2 + 2 =")], ["4"], ["5"], scores=[9, 1]),
    ),
    "pairs with scores": (
        {"prompt": "2 + 2 =", "chosen": "4", "rejected": "5", "score_chosen": 9, "score_rejected": 1}, GRADED,
    ),
    "pairs with scores that are null": (
        {"prompt": "2 + 2 =", "chosen": "4", "rejected": "5", "score_chosen": None, "score_rejected": None}, SUM,
    ),
    "transcripts with scores": (
        {"chosen": TALK + " 4", "rejected": TALK + " 5", "score_chosen": 9, "score_rejected": 1},
        PreferenceSet(TALK, [" 4"], [" 5"], [9, 1]),
    ),
    "responses next to scores": ({"prompt": "2 + 2 =", "responses": ["5", "4"], "scores": [1, 9]}, GRADED),
    "responses that are no format next to a pair": (
        {"prompt": "2 + 2 =", "chosen": "4", "rejected": "5", "responses": ["a", "b"]}, SUM,
    ),
    "a prompt within another, and what it was made of": (
        {"prompt": "Q: 2 +  2 =\n", "instruction": "2 + 2 =", "chosen": "4", "rejected": "5", "messages": "none"},
        PreferenceSet("Q: 2 +  2 =\n", ["4"], ["5"]),
    ),
    "a column of another format that is null": (
        {"prompt": "2 + 2 =", "positives": None, "negatives": None, "chosen": "4", "rejected": "5"}, SUM,
    ),
    "two formats that say the same": (
        {"prompt": "2 + 2 =", "chosen": "4", "rejected": "5", "completions": ["5", "4"], "scores": [1, 9]}, GRADED,
    ),
    "a set with a field of pairs": (
        {"prompt": "2 + 2 =", "positives": ["4"], "negatives": ["5"], "rejected": False}, SUM,
    ),
    "completions next to scores": ({"prompt": "2 + 2 =", "completions": ["5", "4"], "scores": [1, 9]}, GRADED),
    "ours, with messages": ({"prompt": HISTORY, "positives": ["4"], "negatives": ["5"]}, TALKED),
    "ours, with messages in a column of their own": (
        {"prompt": None, "messages": HISTORY, "positives": ["4"], "negatives": ["5"]}, TALKED,
    ),
    "completions of messages": ({"prompt": HISTORY, "completions": ["5", "4"], "scores": [1, 9]},
        PreferenceSet(HISTORY, ["4"], ["5"], scores=[9, 1])),
    "two formats that say the same, one of them in messages": (
        {"prompt": "2 + 2 =", "chosen": [assistant("4")], "rejected": [assistant("5")], "completions": ["5", "4"],
         "scores": [1, 9]}, GRADED,
    ),
    "texts next to messages": ({"prompt": HISTORY, "chosen": "4", "rejected": "5"}, TALKED),
    "texts next to openai's messages": ({"messages": HISTORY, "chosen": "4", "rejected": "5"}, TALKED),
    "texts next to sharegpt's conversations": (
        {"conversations": [human("2 + 2 =")], "chosen": "4", "rejected": "5"}, SPOKEN,
    ),
    "a message on each side next to openai's messages": (
        {"messages": HISTORY, "chosen": assistant("4"), "rejected": assistant("5")}, TALKED,
    ),
    "conversations on both sides, and openai's messages": (
        {"messages": [*HISTORY, assistant("4")], "chosen": [*HISTORY, assistant("4")],
         "rejected": [*HISTORY, assistant("5")]}, TALKED,
    ),
    "responses next to scores and openai's messages": (
        {"messages": HISTORY, "responses": ["5", "4"], "scores": [1, 9]},
        PreferenceSet(HISTORY, ["4"], ["5"], scores=[9, 1]),
    ),
    "ours, with scores": ({"prompt": "2 + 2 =", "positives": ["4"], "negatives": ["5"], "scores": [9, 1]}, GRADED),
    "ours, with scores that are null": (
        {"prompt": "2 + 2 =", "positives": ["4"], "negatives": ["5"], "scores": None}, SUM,
    ),
    "ours, and completions with the same scores": (
        {"prompt": "2 + 2 =", "positives": ["4"], "negatives": ["5"], "completions": [
            {"text": "5", "score": 1}, {"text": "4", "score": 9}]}, SUM,
    ),
}  # fmt: skip


def written(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def pair(prompt, chosen, rejected):
    return PreferenceSet(prompt, [chosen], [rejected])


PAIR = {"prompt": "2 + 2 =", "chosen": "4", "rejected": "5"}

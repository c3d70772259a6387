"""A set is shown as the model reads it, token for token."""

import pytest
from chat_templates import family_tokenizer
from format_records import assistant, user
from tiny_models import byte_tokenizer, random_gpt2

from mapl_explore.cli import main as cli
from mapl_explore.data import PreferenceSet, write_sets
from mapl_explore.models.encoding import encode_sets
from mapl_explore.models.showing import shown_set

TALK = PreferenceSet([user("Hi"), assistant("Yes?"), user("2 + 2")], ["4"], [" 5 ", "22"])


def test_a_conversation_is_shown_with_its_special_tokens_and_their_counts():
    tokenizer, _ = family_tokenizer("headed")
    [one] = encode_sets(tokenizer, [TALK])
    assert shown_set(tokenizer, one).split("\n") == [
        "prompt, 57 tokens:",
        "  | <s><|h|>user<|/h|>",
        "  | ",
        "  | Hi<end><|h|>assistant<|/h|>",
        "  | ",
        "  | Yes?<end><|h|>user<|/h|>",
        "  | ",
        "  | 2 + 2<end><|h|>assistant<|/h|>",
        "  | ",
        "  | ",
        "+ 2 tokens: '4<end>'",
        "- 4 tokens: ' 5 <end>'",
        "- 3 tokens: '22<end>'",
        "special tokens: <s> (id 260) 1 time, <|h|> (id 257) 4 times, <|/h|> (id 258) 4 times, <end> (id 259) 6 times",
    ]


def test_what_only_looks_like_a_special_token_is_not_counted_as_one():
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"extra_special_tokens": ["[INST]"]})
    [one] = encode_sets(tokenizer, [PreferenceSet("[INST]<end>", ["a"], ["b"])])
    assert shown_set(tokenizer, one).startswith("prompt, 6 tokens:\n  | <[INST]><end>\n")
    assert "<end> (id" not in shown_set(tokenizer, one)


@pytest.fixture
def talker(tmp_path, monkeypatch):
    tokenizer, _ = family_tokenizer("headed")
    model = random_gpt2(context=128)
    model.resize_token_embeddings(len(tokenizer))
    for each in (model, tokenizer):
        each.save_pretrained(tmp_path / "m")
    monkeypatch.chdir(tmp_path)
    write_sets("sets.jsonl", [TALK, PreferenceSet("2 + 2 =", [" 4"], [" 5"]), TALK])


def test_score_shows_some_sets_and_writes_only_if_asked(talker, tmp_path, capsys):
    assert cli.main(["score", "sets.jsonl", "--show", "2", "--model", "m"]) == 0
    out = capsys.readouterr().out
    assert "note: prompts: 2 of messages, written by the chat template of 'm'; 1 of plain text, as it is" in out
    assert out.count("as m reads it") == 2
    assert "  | <s>2 + 2 =\n+ 3 tokens: ' 4<|endoftext|>'" in out
    assert sorted(one.name for one in tmp_path.iterdir()) == ["m", "sets.jsonl"]
    assert cli.main(["score", "sets.jsonl", "out.jsonl", "--show", "9", "--model", "m", "--chat", "never"]) == 0
    out = capsys.readouterr().out
    assert out.count("as m reads it") == 3
    assert "Human: Hi\n  | \n  | Assistant: Yes?" in out
    assert out.count("note: ") == 1
    assert out.endswith("8 responses of 3 sets, written to out.jsonl\n")


@pytest.mark.parametrize(("words", "rule"), [
    ([], "score needs OUT, the table to write, or --show N"),
    (["--show", "0"], "--show must be an integer >= 1, not 0"),
    (["o.txt", "--show", "1"], "'o.txt' cannot be written"),
])  # fmt: skip
def test_what_shows_and_writes_nothing_is_refused_before_a_model_loads(words, rule, monkeypatch, capsys):
    for room in ("kept_scores", "loading"):  # the first is loaded by this, with the function as it is
        monkeypatch.setattr(
            f"mapl_explore.models.{room}.load_model", lambda *_, **__: pytest.fail("a model was loaded")
        )
    assert cli.main(["score", "sets.jsonl", *words]) == 2
    assert rule in capsys.readouterr().err

"""An error about a row of a file names the file and the line, in every command that reads rows."""

import json
from pathlib import Path

import pytest
from command_lines import refused
from tiny_models import CHAT, chat_tokenizer, random_gpt2

from mapl_explore.data import PreferenceSet, read_sets, write_sets
from mapl_explore.models.encoding import encode_sets

TALKS = [
    [{"role": "user", "content": f"say {word}"}] for word in ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k")
]
REFUSING = "{% if 'say c' in messages[0]['content'] %}{{ raise_exception('no c') }}{% endif %}" + CHAT
TRAINING = ["--loss", "cpo", "--steps", "1", "--sets-per-step", "2", "--output", "run"]
EXACT = ["--verifier", "exact", "--answer-field", "positives"]
COMMANDS = {
    "score": ["score", "sets.jsonl", "out.csv"],
    "select": ["select", "sets.jsonl", "out.jsonl", "--accept", "Band()"],
    "tau": ["tau", "--data", "sets.jsonl"],
    "sample": ["sample", "sets.jsonl", "out.jsonl", "--verifier", "exact", "--reference", "positives"],
    "finetune": ["finetune", "--data", "sets.jsonl", *TRAINING],
    "eval": ["finetune", "--data", "other.jsonl", "--eval", "sets.jsonl", *TRAINING],
    "rounds": ["rounds", "sets.jsonl", "--eval", "other.jsonl", *EXACT, *TRAINING],
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with sets, of which the third is refused by the chat template of a model."""
    monkeypatch.chdir(tmp_path)
    write_sets("sets.jsonl", [PreferenceSet(talk, ["yes"], ["no"]) for talk in TALKS])
    write_sets("other.jsonl", [PreferenceSet(f"ask {i}", ["yes"], ["no"]) for i in range(12)])
    tokenizer, model = chat_tokenizer(template=REFUSING), random_gpt2()
    model.resize_token_embeddings(len(tokenizer))
    for each in (tokenizer, model):
        each.save_pretrained("m")
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_a_prompt_that_the_chat_template_refuses_is_named_by_its_line(here, capsys, command):
    code, said = refused(capsys, *COMMANDS[command], "--model", "m", "--device", "cpu")
    assert code == 2
    assert "the chat template of 'm' refuses the prompt at sets.jsonl:3: no c" in said
    assert "say c" not in said


def test_a_set_that_does_not_fit_is_named_by_its_line(here, capsys):
    write_sets("sets.jsonl", [PreferenceSet(f"p{i}" * (1 + 40 * (i == 7)), ["a"], ["b"]) for i in range(20)])
    words = ["finetune", "--data", "sets.jsonl", "--model", "m", *TRAINING, "--truncate", "error", "--device", "cpu"]
    code, said = refused(capsys, *words)
    assert (code, "the set of the prompt at sets.jsonl:8 does not fit: " in said) == (2, True)
    with pytest.raises(ValueError, match=r"the set of the prompt 'p7p7.* does not fit"):
        encode_sets(chat_tokenizer(), [PreferenceSet("p7" * 40, ["a"], ["b"])], context=64, truncate="error")


def test_a_place_goes_with_its_set_and_changes_nothing_else(here):
    lines = Path("sets.jsonl").read_text().splitlines()
    one = read_sets("sets.jsonl")[2]
    assert one.place == "sets.jsonl:3"
    plain = PreferenceSet(**{**json.loads(lines[2])})
    assert (one, hash(one), repr(one)) == (plain, hash(plain), repr(plain))
    assert one.as_text().place == one.pair(0, 1).place == "sets.jsonl:3"
    pairs = [{"prompt": "p", "chosen": "a", "rejected": "b"}, {"prompt": "p", "chosen": "a", "rejected": "c"}]
    Path("pairs.jsonl").write_text("".join(f"{json.dumps(pair)}\n" for pair in pairs))
    assert [each.place for each in read_sets("pairs.jsonl")] == ["pairs.jsonl:1"]

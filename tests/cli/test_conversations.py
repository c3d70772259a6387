"""Conversations keep their messages through the commands, and their models read them by the template."""

import json
from pathlib import Path

import pytest
from chat_templates import CHATML
from format_records import RECORDS, assistant, user, written
from sampled_worlds import chatty

from mapl_explore.cli import main as cli
from mapl_explore.data import Message, PreferenceSet, read_sets, write_sets
from mapl_explore.data.world import world_sets
from mapl_explore.models.loading import load_model
from mapl_explore.models.scoring import score_sets
from mapl_explore.runs.record import read_run

KIND = Message("system", "Be brief.")


def talk_of(one):
    return PreferenceSet([KIND, Message("user", one.prompt)], one.positives, one.negatives)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(chatty(tmp_path_factory.mktemp("chatty") / "m", CHATML))


@pytest.fixture
def talks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sets = [talk_of(one) for one in world_sets(8, seed=7, split="test")]
    write_sets("talks.jsonl", sets)
    return sets


def ran(capsys, *words):
    assert cli.main([*words]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def rows_of(name):
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


def test_messages_survive_score_select_sample_and_finetune(talks, model, capsys):
    said = f"note: prompts: 8 of messages, written by the chat template of '{model}'\n"
    out = ran(capsys, "score", "talks.jsonl", "scores.jsonl", "--model", model)
    assert out.count("note: ") == out.count(said) == 1
    rows = rows_of("scores.jsonl")
    scored = score_sets(*load_model(model), talks).logp
    assert [row["logp"] for row in rows] == [value for row in scored.tolist() for value in row]

    pairs = ran(capsys, "select", "talks.jsonl", "pairs.jsonl", "--accept", "Band(low=-99, high=99)", "--model", model)
    assert said in pairs
    prompts = {one.prompt for one in talks}
    assert {one.prompt for one in read_sets("pairs.jsonl")} <= prompts

    words = ["sample", "talks.jsonl", "drawn.jsonl", "--verifier", "world", "--model", model, "--k", "8"]
    out = ran(capsys, *words, "--max-tokens", "16", "--fallback")
    assert out.count("note: ") == out.count(said) == 1
    assert {one.prompt for one in read_sets("drawn.jsonl")} <= prompts

    words = ["finetune", "--loss", "dpo", "--data", "pairs.jsonl", "--eval", "drawn.jsonl", "--output", "run"]
    words += ["--steps", "1", "--sets-per-step", "2", "--verifier", "world", "--answers", "2", "--model", model]
    assert "written by the chat template" in ran(capsys, *words)
    assert read_run("run").arguments["chat"] == "auto"


def test_never_reads_a_conversation_as_earlier_versions_did(talks, model, capsys):
    ran(capsys, "score", "talks.jsonl", "scores.jsonl", "--model", model, "--chat", "never")
    write_sets("texts.jsonl", [one.as_text() for one in talks])
    ran(capsys, "score", "texts.jsonl", "former.jsonl", "--model", model, "--chat", "never")
    one, other = rows_of("scores.jsonl"), rows_of("former.jsonl")
    assert [row["logp"] for row in one] == [row["logp"] for row in other]
    assert [row["prompt"] for row in one] == [row["prompt"] for row in other]


TUNE = ["finetune", "--loss", "dpo", "--output", "run", "--steps", "2", "--sets-per-step", "2", "--answers", "0"]


@pytest.mark.parametrize(("kind", "chat"), [("text", None), ("text", "never"), ("messages", "never")])
def test_a_run_of_an_earlier_version_goes_on(kind, chat, talks, model, capsys):
    sets = [one.as_text() if kind == "text" else one for one in talks]
    write_sets("data.jsonl", sets)
    words = [*TUNE, "--data", "data.jsonl", "--model", model, *(["--chat", chat] if chat else [])]
    ran(capsys, *words)
    record = json.loads(Path("run/run.json").read_text())
    assert record["arguments"]["chat"] == "never"
    record["arguments"]["chat"] = False
    Path("run/run.json").write_text(json.dumps(record))
    ran(capsys, *words, "--resume")
    assert "chat never" in ran(capsys, "show", "run")


def test_a_run_on_transcripts_does_not_go_on_with_messages(talks, model, capsys):
    words = [*TUNE, "--data", "talks.jsonl", "--model", model]
    ran(capsys, *words, "--chat", "never")
    assert cli.main([*words, "--resume"]) == 2
    assert "was started with chat never, not auto" in capsys.readouterr().err


def test_an_interrupted_sampling_of_an_earlier_version_goes_on(tmp_path, monkeypatch):
    import sampled_worlds

    source, output = tmp_path / "world.jsonl", tmp_path / "out.jsonl"
    write_sets(source, sampled_worlds.WORLD)
    sampled_worlds.stopped(3, source, output, monkeypatch)
    journal = tmp_path / "out.jsonl.progress-0"
    settings, *items = journal.read_text().splitlines()
    journal.write_text("\n".join([json.dumps({**json.loads(settings), "chat": False}), *items, ""]))
    asked = sampled_worlds.asked(monkeypatch)
    sampled_worlds.sampled(source, output, batch_size=2)
    assert len(asked) == 6


def test_conversations_that_become_text_are_counted_by_what_reads_them(tmp_path, model, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ask, longer = user("Hi"), [assistant("Hello"), user("2 + 2?"), assistant("4")]
    trl = {"prompt": [ask], "chosen": longer, "rejected": [assistant("Go.")]}
    shared = {"prompt": [ask], "chosen": longer, "rejected": [*longer[:-1], assistant("5")]}
    alone = {"chosen": [ask, assistant("a")], "rejected": [ask, *longer]}
    openai = {"input": {"messages": [ask]}, "preferred_output": [assistant("a")], "non_preferred_output": longer}
    said = "{} made text (Human: ... Assistant: ...), first {}, as chosen or rejected has more than one message of its"
    for count, first, records in (("2 records", 2, [shared, trl, alone]), ("1 record", 1, [openai])):
        written(tmp_path / "talks.jsonl", *records)
        line = said.format(count, f"talks.jsonl:{first}") + " own"
        assert f"; {line}\n" in ran(capsys, "data", "check", "talks.jsonl")
        assert f"; {line}, written to" in ran(capsys, "data", "convert", "talks.jsonl", "sets.jsonl", "--overwrite")
        run = ["--output", f"run{first}", "--eval", "talks.jsonl"]
        out = ran(capsys, *TUNE, *run, "--data", "talks.jsonl", "--model", model)
        assert f"note: {line}\n" in out


def test_transcripts_and_what_both_sides_share_are_told_as_nothing(tmp_path, capsys):
    for name in ("trl, what came before and a longer beginning", "hh-rlhf", "trl, plain", "ours"):
        path = written(tmp_path / "data.jsonl", RECORDS[name][0])
        assert "made text" not in ran(capsys, "data", "check", str(path))

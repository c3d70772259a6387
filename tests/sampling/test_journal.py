"""An interrupted run goes on where it was, and no finished prompt is lost."""

import os
import sys

import pytest
import safetensors.torch
from sampled_worlds import WORLD, asked, chatty, sampled, stopped

import mapl_explore.sampling.answers as sampling
from mapl_explore.notes import Note
from mapl_explore.sampling.journal import Answered, Journal


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


@pytest.mark.parametrize(
    ("name", "first", "then"), [("k", 8, 9), ("temperature", 1.0, 0.5), ("seed", 0, 1), ("max_tokens", 16, 15)]
)
def test_what_decides_the_responses_must_stay_as_it_was(name, first, then, world_file, tmp_path, monkeypatch):
    output = tmp_path / "out.jsonl"
    stopped(1, world_file, output, monkeypatch)
    with pytest.raises(ValueError, match=f"was finished with {name} {first}, not {then}: give that again"):
        sampled(world_file, output, **{name: then})


def test_answers_are_kept_and_judged_again_where_the_verifier_was_mended(world_file, judges, monkeypatch, capsys):
    right = "def right(prompt, answer): return answer.strip().endswith('].')\n"
    judges.write_text(right)
    whole, _ = sampled(world_file, judges.with_name("whole.jsonl"), verifier="my_own_judges:right", batch_size=2)
    judges.write_text("def right(prompt, answer): return True\n")
    output = judges.with_name("out.jsonl")
    stopped(3, world_file, output, monkeypatch, verifier="my_own_judges:right")
    judges.write_text(right)
    prompts = asked(monkeypatch)
    rule = "6 prompts with verdicts of another verifier or source: the responses are judged again"
    with pytest.warns(Note, match=rule):
        assert sampled(world_file, output, verifier="my_own_judges:right", batch_size=2)[0] == whole
    assert len(prompts) == len(WORLD) - 6
    assert capsys.readouterr().out == ""


def test_verdicts_are_kept_where_the_verifier_is_the_same(world_file, judges, monkeypatch, capsys):
    judges.write_text(
        "seen = []\ndef right(prompt, answer): return bool(seen.append(prompt)) or len(answer) % 2 == 0\n"
    )
    output = judges.with_name("out.jsonl")
    stopped(3, world_file, output, monkeypatch, verifier="my_own_judges:right")
    seen = sys.modules["my_own_judges"].seen
    first = set(seen)
    seen.clear()
    sampled(world_file, output, verifier="my_own_judges:right", batch_size=2)
    assert len(first) == 6
    assert not first & set(seen)
    assert "judged again" not in capsys.readouterr().out


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

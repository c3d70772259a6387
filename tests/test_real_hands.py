"""What people do to it: broken models, odd data, full disks and two runs at once, end to end as a stranger goes."""

import gzip
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from patience import HANG
from tiny_models import byte_tokenizer, random_gpt2, save_tiny

from conftest import assert_close
from mapl_explore import BoundsExplorer, TemperatureExplorer, load_model, read_sets, score_sets, write_sets
from mapl_explore.cli.main import main
from mapl_explore.data import PreferenceSet
from mapl_explore.models.encoding import encode_sets
from mapl_explore.runs.record import read_run

WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight")
SETS = [PreferenceSet(f"after {word}?", [f" {word} and one"], [f" {word}", " no"]) for word in WORDS]
EOS = 0  # of the tokenizer of bytes
SHORT = ("--steps", "1", "--sets-per-step", "2", "--answers", "0", "--device", "cpu")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, with a model ``base`` and the sets ``sets.jsonl``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    save_tiny(tmp_path / "base", seed=2)
    write_sets(tmp_path / "sets.jsonl", SETS)
    return tmp_path


def finetuning(*more, model="base", output="run"):
    return ["finetune", "--loss", "dpo", "--data", "sets.jsonl", "--model", model, "--output", output, *SHORT, *more]


def sampling(*more, output="out.jsonl", model="base", judge="judge:right"):
    words = ["sample", "sets.jsonl", output, "--model", model, "--verifier", judge, "--k", "4"]
    return [*words, "--max-tokens", "8", "--device", "cpu", *more]


def complaint(capsys, words):
    """Run a command that must fail, and return the one line that says why."""
    capsys.readouterr()
    try:
        code = main(words)
    except SystemExit as stop:
        code = stop.code
    error = capsys.readouterr().err
    assert code in (1, 2), error
    assert "Traceback" not in error
    # Progress goes there too; the complaint is the last line and says whose it is.
    lines = error.splitlines()
    assert [line.startswith("mapl-explore: error: ") for line in lines] == [False] * (len(lines) - 1) + [True], error
    return lines[-1]


def ending_at(model, token):
    """Make a model end its answers after some tokens, at this one and at no other end."""
    with torch.no_grad():
        bias = 4 * model.transformer.wte.weight[token] - 4 * (token != EOS) * model.transformer.wte.weight[EOS]
        model.transformer.ln_f.bias += bias
    model.generation_config.eos_token_id = [EOS, token]
    return model


def of_whole_sequences(model, tokenizer, one):
    """Return the log-prob of each response, each read after its prompt alone."""
    prompt, found = tokenizer(one.prompt)["input_ids"], []
    for text in (*one.positives, *one.negatives):
        ids = [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1].double()
        found.append(logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None]).sum().item())
    return found


def saved(model, folder, tokenizer=None):
    model.save_pretrained(folder)
    (tokenizer or byte_tokenizer()).save_pretrained(folder)
    return folder


# Models


def test_a_model_folder_without_its_tokenizer_is_refused(here, capsys):
    random_gpt2().save_pretrained(here / "alone")
    assert "tokenizer" in complaint(capsys, finetuning(model="alone"))
    assert not (here / "run").exists()


def test_a_tokenizer_larger_than_its_model_is_refused_with_both_sizes(here, capsys):
    config = random_gpt2().config
    config.vocab_size = 200
    saved(transformers.GPT2LMHeadModel(config), here / "small")
    error = complaint(capsys, finetuning(model="small"))
    assert "257" in error
    assert "200" in error


def test_a_model_of_local_attention_scores_a_long_prompt_as_it_reads_it_whole(here):
    torch.manual_seed(0)
    sizes = {"vocab_size": 257, "hidden_size": 32, "num_layers": 2, "num_heads": 2, "max_position_embeddings": 256}
    kinds = {"attention_types": [[["global", "local"], 1]], "window_size": 16, "initializer_range": 0.2}
    ends = {"bos_token_id": EOS, "eos_token_id": EOS}
    folder = saved(transformers.GPTNeoForCausalLM(transformers.GPTNeoConfig(**sizes, **kinds, **ends)), here / "neo")
    model, tokenizer = load_model(folder)
    one = PreferenceSet("a prompt much longer than sixteen tokens", ["one answer", "another, longer one"], ["no"])
    found = score_sets(model, tokenizer, [one], progress=False).logp[0]
    assert_close(np.float64(found), of_whole_sequences(model, tokenizer, one), k=0, atol=1e-4)


def test_a_context_under_another_name_cuts_what_is_longer(here, capsys):
    config = transformers.MptConfig(
        vocab_size=257, d_model=32, n_layers=2, n_heads=2, max_seq_len=24, expansion_ratio=2
    )
    saved(transformers.MptForCausalLM(config), here / "mpt")
    write_sets(here / "sets.jsonl", [PreferenceSet("long " * 9 + word, [" yes"], [" no"]) for word in WORDS])
    assert main(finetuning(model="mpt")) == 0
    assert "24 tokens" in capsys.readouterr().out


def test_a_context_of_minus_one_is_no_limit_or_the_model_is_refused_by_name(here, capsys):
    config = transformers.XLNetConfig(vocab_size=257, d_model=32, n_layer=1, n_head=2, d_inner=32)
    saved(transformers.XLNetLMHeadModel(config), here / "xlnet")
    capsys.readouterr()
    assert main(finetuning(model="xlnet")) == 0 or "xlnet" in capsys.readouterr().err.lower()


def test_an_answer_ends_at_every_end_that_the_model_has(here):
    (here / "judge.py").write_text("def right(prompt, answer):\n    return len(answer) % 2 == 0\n")
    end = byte_tokenizer()("x")["input_ids"][0]
    saved(ending_at(random_gpt2(seed=2), end), here / "base")
    assert main(sampling()) == 0
    answers = [text for one in read_sets(here / "out.jsonl") for text in (*one.positives, *one.negatives)]
    assert answers
    assert not [text for text in answers if "x" in text]


def test_a_response_that_brings_its_end_gets_no_second_one():
    tokenizer = byte_tokenizer()
    plain, ended = (
        encode_sets(tokenizer, [PreferenceSet("p", [text], ["no"])])[0].responses[0]
        for text in ("yes", "yes" + tokenizer.eos_token)
    )
    assert plain == ended
    assert plain.count(EOS) == 1


def test_a_template_that_refuses_a_message_is_told_in_its_words(here, capsys):
    (here / "judge.py").write_text("def right(prompt, answer):\n    return True\n")
    template = "{{ raise_exception('the first message must be from the system') }}"
    (here / "base" / "chat_template.jinja").write_text(template)
    assert "the first message must be from the system" in complaint(capsys, sampling("--chat"))


def test_conversations_are_written_by_the_template_and_texts_begin_with_bos(here):
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    single = {"single": "<s> $A", "special_tokens": [("<s>", tokenizer.bos_token_id)]}
    tokenizer._tokenizer.post_processor = tokenizers.processors.TemplateProcessing(**single)
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}[me]"
    )
    messages = [{"role": "user", "content": "Hi"}]
    (one,) = encode_sets(tokenizer, [PreferenceSet("Hi", ["a"], ["b"])], chat=True)
    assert tokenizer.decode(one.prompt) == tokenizer.apply_chat_template(messages, tokenize=False)
    (one,) = encode_sets(tokenizer, [PreferenceSet("Hi", ["a"], ["b"])])
    assert list(one.prompt) == tokenizer("Hi")["input_ids"]
    assert one.prompt[0] == tokenizer.bos_token_id


# What caches and runs know


def test_a_mended_verifier_judges_again(here, capsys, monkeypatch):
    saved(ending_at(random_gpt2(seed=2), EOS), here / "base")
    (here / "judge.py").write_text("def right(prompt, answer):\n    return False\n")
    assert main(sampling()) == 2
    (here / "judge.py").write_text("def right(prompt, answer):\n    return len(answer) % 2 == 0\n")
    sys.modules.pop("judge")
    assert main(sampling()) == 0
    assert read_sets(here / "out.jsonl")


def test_a_run_does_not_go_on_with_other_weights_under_the_same_name(here, capsys):
    assert main(finetuning()) == 0
    save_tiny(here / "base", seed=3)
    error = complaint(capsys, finetuning("--resume"))
    assert "weights" in error or "model" in error


# What is written


@pytest.mark.parametrize("name", ["o.jsonl", "o.jsonl.gz"])
def test_what_one_command_writes_under_a_name_the_next_one_reads(here, name):
    assert main(["data", "convert", "sets.jsonl", name]) == 0
    assert read_sets(here / name) == SETS
    whole = ["select", name, f"some-{name}", "--model", "base", "--accept", "Band(low=-1e9, high=1e9)"]
    assert main(whole) == 0
    assert main(["data", "check", f"some-{name}"]) == 0
    with (gzip.open if name.endswith(".gz") else open)(here / f"some-{name}") as file:
        assert len(file.readlines()) == len(SETS)


@pytest.mark.parametrize("name", ["o.csv", "o.txt"])
def test_a_name_whose_format_cannot_be_written_is_refused_before_the_work(here, capsys, name):
    for words in (["data", "convert", "sets.jsonl", name], [*sampling(output=name, judge="exact")]):
        assert name in complaint(capsys, words)
        assert not (here / name).exists()


@pytest.mark.parametrize("name", ["nowhere/o.jsonl", "sets.jsonl"])
def test_an_output_that_cannot_be_is_refused_before_anything_is_scored(here, capsys, monkeypatch, name):
    monkeypatch.setattr("mapl_explore.models.kept_scores.score_sets", lambda *_, **__: pytest.fail("sets were scored"))
    before = (here / "sets.jsonl").read_bytes()
    for words in (["select", "sets.jsonl", name, "--accept", "Band(low=0)"], ["data", "convert", "sets.jsonl", name]):
        error = complaint(capsys, words)
        assert name in error or "nowhere" in error
        assert ".part" not in error
    assert (here / "sets.jsonl").read_bytes() == before


HELD = """
import os, sys
def right(prompt, answer):
    if os.environ.get("HELD") and not os.path.exists("held"):
        open("held", "w").close()
        print("held", flush=True)
        sys.stdin.read()
    return len(answer) % 2 == 0
"""


@pytest.mark.parametrize("command", ["finetune", "sample"])
def test_the_second_of_two_that_write_to_one_place_is_refused_and_the_first_goes_on(here, capsys, command):
    saved(ending_at(random_gpt2(seed=2), EOS), here / "base")
    (here / "judge.py").write_text(HELD)
    words = sampling() if command == "sample" else finetuning("--verifier", "judge:right", "--answers", "2")
    first = started(words)
    try:
        assert any(line == "held\n" for line in first.stdout)
        error = complaint(capsys, words)
        assert "run" in error or "out.jsonl" in error
    finally:
        _, err = first.communicate(timeout=HANG)
    assert first.returncode == 0, err
    assert read_run(here / "run").finished if command == "finetune" else read_sets(here / "out.jsonl")


def started(words):
    """Start a command in a process of its own, held by its verifier until its input ends."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "HELD": "1", "CUDA_VISIBLE_DEVICES": ""}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, "-m", "mapl_explore", *words], env=environment, text=True, **pipes)


@pytest.fixture
def full():
    """Make every file end at 20,000 bytes, as on a disk that is full; the system's word for it is another."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_one_line_that_names_the_folder_and_the_run_goes_on_later(here, capsys, full):
    error = complaint(capsys, finetuning())
    assert "error: run:" in error
    assert "--resume" in error
    assert "enforce fail" not in error
    full()
    assert main(finetuning("--resume")) == 0


# Data


@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_array_is_read_however_it_is_laid_out(here, indent):
    rows = [{"prompt": f"say {word}", "chosen": "a", "rejected": "b"} for word in WORDS]
    (here / "array.json").write_text(json.dumps(rows, indent=indent))
    assert read_sets(here / "array.json") == [PreferenceSet(row["prompt"], ["a"], ["b"]) for row in rows]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("pairs.csv", "prompt,chosen,rejected\n" + "q,yes,no\n" * 500, "csv"),
        ("empty.jsonl", "", "empty"),
        ("ties.jsonl", '{"prompt": "p", "completions": ["a", "b"], "scores": [1, 1]}\n', "no preference set"),
    ],
)
def test_what_holds_no_sets_is_one_line(here, capsys, name, text, said):
    (here / name).write_text(text)
    code = main(["data", "check", name])
    out, err = capsys.readouterr()
    assert code != 0
    assert said in (out + err).lower()
    assert (out + err).count("\n") <= 3


def conversation(*messages, end="Hello"):
    prompt = [{"role": role, "content": content} for role, content in messages]
    return {"prompt": prompt, "chosen": [{"role": "assistant", "content": end}], "rejected": [
        {"role": "assistant", "content": "Go."}]}  # fmt: skip


@pytest.mark.parametrize(
    "record",
    [
        conversation(("developer", "Be kind."), ("user", "Hi")),
        conversation(("user", [{"type": "text", "text": "Hi"}]), end=[{"type": "text", "text": "Hello"}]),
        conversation(("user", "Weather?"), ("assistant", None), ("tool", "12 degrees")),
        {"conversations": [{"from": "human", "value": "Name a red fruit."}],
         "chosen": {"from": "gpt", "value": "Cherry."}, "rejected": {"from": "gpt", "value": "Banana."}},
    ],
)  # fmt: skip
def test_conversations_of_every_make_are_read_or_refused_in_one_line_for_the_file(here, capsys, record):
    texts = [json.dumps(record).replace("Hi", f"Hi {i}").replace("fruit", f"fruit {i}") for i in range(50)]
    (here / "c.jsonl").write_text("\n".join(texts))
    code = main(["data", "check", "c.jsonl"])
    out, err = capsys.readouterr()
    assert code == 0 or (out + err).count("\n") <= 3
    if code == 0:
        assert len(read_sets(here / "c.jsonl")) == 50


# Explorers


@pytest.mark.parametrize("kind", [BoundsExplorer, TemperatureExplorer])
def test_explorers_take_what_the_functions_take(kind):
    wanted = kind([3.0, 1.0, 0.0])
    assert repr(kind([3, 1, 0])) == repr(wanted)
    assert repr(kind(torch.tensor([3.0, 1.0, 0.0]).bfloat16())) == repr(wanted)

"""The command finetune passes on what it is given, and says how to go on."""

import inspect
import subprocess
import sys

import pytest
from command_lines import refused
from whole_checkpoints import checkpoint

from mapl_explore.cli import main as cli
from mapl_explore.losses import DPO, MaxMin, Mean, Smooth


def test_finetune_passes_every_argument_on(finetuned, capsys):
    words = "--loss dpo --data d --eval e --output o --model m --steps 3 --sets-per-step 2 --lr 0.5 --seed 7"
    words += (
        " --truncate error --device cpu --report tensorboard --resume --verifier world --answers 9 --precision bf16"
    )
    words += " --save-every 5 --chat --threshold -0.5 --answer-tokens 8 --reference r --epochs 2 --max-length 99"
    words += " --patience 3 --checkpointing --lora r=4 --merge --training optim=sgd --training weight_decay=0.5"
    words += " --batch-size 4 --answer-at 1,3"
    assert cli.main(["finetune", *words.split()]) == 0
    (options,) = finetuned
    assert options == {
        "loss": cli._loss("dpo", None, None), "data": "d", "eval": "e", "output": "o", "model": "m", "steps": 3,
        "sets_per_step": 2, "lr": 0.5, "seed": 7, "truncate": "error", "device": "cpu", "report": "tensorboard",
        "resume": True, "verifier": "world", "answers": 9, "answer_tokens": 8, "chat": "always",
        "precision": "bf16", "save_every": 5, "threshold": -0.5, "reference": "r", "epochs": 2.0, "max_length": 99,
        "patience": 3, "checkpointing": True, "lora": "r=4", "merge": True,
        "training": ["optim=sgd", "weight_decay=0.5"], "batch_size": 4, "answer_at": "1,3",
    }  # fmt: skip
    assert "written to o" in capsys.readouterr().out


def test_the_defaults_of_the_command_are_those_of_the_function():
    from mapl_explore.training.finetuning import finetune

    given = vars(cli._parser().parse_args(["finetune", "--loss", "dpo", "--data", "d", "--output", "o"]))
    for name, parameter in inspect.signature(finetune).parameters.items():
        if parameter.default is not inspect.Parameter.empty and name not in ("progress", "callbacks"):
            assert given[name] == parameter.default, name


@pytest.mark.parametrize(
    ("text", "pair", "tau", "loss"),
    [
        ("dpo", None, None, "dpo"),
        ("DPO(beta=0.5)", "smooth", 5.0, DPO(beta=0.5, pair=Smooth(tau=5.0))),
        ("MaxMin()", "mean", None, MaxMin(pair=Mean())),
    ],
)
def test_loss_pair_and_tau_name_one_loss(text, pair, tau, loss):
    from mapl_explore.losses import parse

    assert cli._loss(text, pair, tau) == (parse(loss) if isinstance(loss, str) else loss)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--loss", "dop"], "dop"),
        (["--loss", "dpo", "--tau", "5"], "--tau belongs to --pair smooth or --pair mellow"),
        (["--loss", "dpo", "--pair", "mean", "--tau", "5"], "no field 'tau' in Mean"),
        (["--loss", "dpo", "--pair", "softest"], "argument --pair: invalid choice: 'softest'"),
        (["--loss", "dpo", "--data", "not/there.jsonl"], "not/there.jsonl: No such file or directory"),
        (["--loss", "dpo", "--steps", "0"], "steps must be an integer from 1"),
        (["--loss", "dpo", "--model", "./not/there"], "no folder './not/there'"),
        (["--loss", "dpo", "--training", "weight_decay=abc"], "weight_decay must be of the kind float, not 'abc'"),
    ],
)
def test_a_mistake_in_finetune_is_named_and_leaves_no_output(capsys, sets_file, tmp_path, words, message):
    output = tmp_path / "run"
    code, err = refused(capsys, "finetune", "--data", str(sets_file), "--output", str(output), *words)
    assert code == 2
    assert err.startswith("mapl-explore: error: ")
    assert message in err
    assert not output.exists()


def test_a_bad_second_line_is_refused_with_its_number_and_leaves_no_output(capsys, tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"prompt": "p", "positives": ["a"], "negatives": ["b"]}\n{"prompt": 3}\n')
    words = ("finetune", "--loss", "dpo", "--data", str(tmp_path / "bad.jsonl"), "--output", str(tmp_path / "run"))
    code, err = refused(capsys, *words)
    assert code == 2
    assert "bad.jsonl:2: the field 'positives' is missing" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_failed_work_has_exit_code_1(capsys, monkeypatch):
    def fail(**options):
        raise FloatingPointError("the loss became nan at step 3")

    monkeypatch.setattr("mapl_explore.training.finetuning.finetune", fail)
    code, err = refused(capsys, "finetune", "--loss", "dpo", "--data", "d", "--output", "o")
    assert (code, err) == (1, "mapl-explore: error: the loss became nan at step 3\n")


def test_a_missing_package_names_the_extra_that_brings_it(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "mapl_explore.training.finetuning", None)
    code, err = refused(capsys, "finetune", "--loss", "dpo", "--data", "d", "--output", "o")
    assert code == 1
    assert "pip install 'mapl_explore[train]'" in err


@pytest.mark.parametrize(
    ("made", "then"),
    [
        ([], ""),
        (["run.json"], "; the same command with --resume goes on from the beginning, there being no checkpoint yet"),
        (
            ["run.json", "checkpoints/checkpoint-7"],
            "; the same command with --resume goes on from checkpoint-7",
        ),
    ],
)
def test_ctrl_c_is_a_word_on_how_to_go_on_and_exit_code_130(capsys, monkeypatch, tmp_path, made, then):
    def interrupt(**options):
        for name in made:
            checkpoint(tmp_path, 7) if name.startswith("checkpoints") else (tmp_path / name).write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr("mapl_explore.training.finetuning.finetune", interrupt)
    code, err = refused(capsys, "finetune", "--loss", "dpo", "--data", "d", "--output", str(tmp_path))
    assert code == 130
    assert err == f"\nmapl-explore: interrupted{then}\n"


def test_a_run_folder_that_exists_is_refused_with_the_way_on(capsys, sets_file, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    words = ["--loss", "dpo", "--data", str(sets_file), "--output", str(tmp_path / "run")]
    code, err = refused(capsys, "finetune", *words)
    assert code == 2
    assert "is not empty: name a new folder; --resume goes on with what is begun in it" in err


@pytest.mark.parametrize("record", ["run.json", "rounds.json"])
@pytest.mark.parametrize("command", ["finetune", "rounds"])
def test_an_output_that_is_not_new_is_told_before_torch_loads(command, record, sets_file, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / record).write_text("{}")
    data = ["--data", sets_file] if command == "finetune" else [sets_file, "--eval", sets_file, "--verifier", "world"]
    code = "import sys, mapl_explore.cli.main as m\ntry: m.main(sys.argv[1:])\nfinally: print('torch' in sys.modules)"
    words = [command, "--loss", "dpo", *data, "--output", tmp_path / "out"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["False"]
    assert "is not empty: name a new folder; --resume goes on with what is begun in it" in done.stderr


@pytest.mark.parametrize("option", ["--data", "--eval"])
def test_a_file_that_is_not_there_is_told_before_torch_loads(finetuned, capsys, sets_file, option):
    words = ["--loss", "dpo", "--data", str(sets_file), "--output", "r", option, "gone.jsonl"]
    assert refused(capsys, "finetune", *words) == (2, "mapl-explore: error: gone.jsonl: No such file or directory\n")
    assert finetuned == []

"""The command line says what it does, refuses mistakes in one line, and never shows a traceback."""

import inspect
import math
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from mapl_explore import cli
from mapl_explore.data import PreferenceSet, write_sets
from mapl_explore.losses import DPO, MaxMin, Mean, Smooth
from mapl_explore.losses.naming import KINDS

COMMANDS = ("lab", "app", "tau", "finetune", "show", "pretrain")
SETS = [PreferenceSet(f"say {word}", [f" {word}"], [" no", " x"]) for word in ("a", "b", "c", "d")]


@pytest.fixture
def sets_file(tmp_path):
    write_sets(tmp_path / "sets.jsonl", SETS)
    return tmp_path / "sets.jsonl"


@pytest.fixture
def finetuned(monkeypatch):
    """Replace finetune by one that keeps its arguments: a list of them."""
    calls = []

    def finetune(**options):
        calls.append(options)
        return SimpleNamespace(folder=options["output"])

    monkeypatch.setattr("mapl_explore.training.finetune", finetune)
    return calls


def refused(capsys, *words):
    """Run a command that fails and return its exit code and what it wrote on stderr."""
    try:
        code = cli.main(words)
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_of_itself(capsys, command):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    assert re.search(rf"^example:\n  mapl-explore {command} ", capsys.readouterr().out, re.MULTILINE)


def test_the_help_of_the_program_lists_every_command(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    out = capsys.readouterr().out
    assert all(re.search(rf"^    {command} ", out, re.MULTILINE) for command in COMMANDS)


@pytest.mark.parametrize(
    "words", ["finetune --help", "finetune --loss nil --data x --output y", "tau --n 2 --gap 1 --epsilon 1"]
)
def test_help_and_a_refused_loss_do_not_wait_for_torch(words):
    code = (
        "import sys; from mapl_explore import cli\ntry: cli.main(sys.argv[1:])\nfinally: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words.split()], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_the_package_runs_as_a_module():
    command = [sys.executable, "-m", "mapl_explore", "tau", "--n=1", "--gap=0", "--epsilon=1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("mapl-explore: error: no tau exists")


def test_tau_prints_the_three_roots_and_what_each_means(capsys):
    assert cli.main(["tau", "--n", "4", "--gap", "1", "--epsilon", "0.1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    lower, upper, asymptotic = (float(line.split()[1]) for line in lines[1:4])
    # Six digits are printed; each root put back into its equation gives the target.
    assert math.isclose(math.log1p(math.exp(-lower)) / lower, 0.1, rel_tol=1e-4)
    assert math.isclose(math.log1p(3 * math.exp(-upper)) / upper, 0.1, rel_tol=1e-4)
    assert math.isclose(3 * math.exp(-asymptotic) / asymptotic, 0.1, rel_tol=1e-4)
    assert "At and below it, the error is at least 0.1, whatever the others." in lines[1]
    assert "At and above it, the error is at most 0.1, whatever the others." in lines[2]
    assert "3.6% too large, where the bound is 0.0893 and not 0.1" in lines[3]


def test_tau_by_bracket_agrees_with_newton(capsys):
    printed = []
    for method in ("newton", "bracket"):
        assert cli.main(["tau", "--n", "8", "--gap", "0.5", "--epsilon", "0.05", "--method", method]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["nothing"], "invalid choice: 'nothing'"),
        (["tau", "--n", "8"], "tau needs --n, --gap and --epsilon, or --data"),
        (["tau", "--n", "x", "--gap", "1", "--epsilon", "1"], "argument --n: invalid int value: 'x'"),
        (["tau", "--n", "1", "--gap", "1", "--epsilon", "1"], "no tau exists for n = 1"),
        (["tau", "--n", "2", "--gap", "-1", "--epsilon", "1"], "gap must be >= 0, not -1"),
        (["tau", "--n", "2", "--gap", "1", "--epsilon", "0"], "epsilon must be > 0 and finite, not 0"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(capsys, words, message):
    code, err = refused(capsys, *words)
    assert code == 2
    assert err.startswith("mapl-explore: error: ")
    assert message in err
    assert err.count("\n") == 1


def test_finetune_passes_every_argument_on(finetuned, capsys):
    words = "--loss dpo --data d --eval e --output o --model m --steps 3 --sets-per-step 2 --lr 0.5 --seed 7"
    words += (
        " --truncate error --device cpu --report tensorboard --resume --verifier world --answers 9 --precision bf16"
    )
    words += " --save-every 5"
    assert cli.main(["finetune", *words.split()]) == 0
    (options,) = finetuned
    assert options == {
        "loss": cli._loss("dpo", None, None), "data": "d", "eval": "e", "output": "o", "model": "m", "steps": 3,
        "sets_per_step": 2, "lr": 0.5, "seed": 7, "truncate": "error", "device": "cpu", "report": "tensorboard",
        "resume": True, "verifier": "world", "answers": 9,
        "precision": "bf16", "save_every": 5,
    }  # fmt: skip
    assert "written to o" in capsys.readouterr().out


def test_the_defaults_of_the_command_are_those_of_the_function():
    from mapl_explore.training import finetune

    given = vars(cli._parser().parse_args(["finetune", "--loss", "dpo", "--data", "d", "--output", "o"]))
    for name, parameter in inspect.signature(finetune).parameters.items():
        if parameter.default is not inspect.Parameter.empty and name != "progress":
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

    monkeypatch.setattr("mapl_explore.training.finetune", fail)
    code, err = refused(capsys, "finetune", "--loss", "dpo", "--data", "d", "--output", "o")
    assert (code, err) == (1, "mapl-explore: error: the loss became nan at step 3\n")


def test_a_missing_package_names_the_extra_that_brings_it(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "mapl_explore.training", None)
    code, err = refused(capsys, "finetune", "--loss", "dpo", "--data", "d", "--output", "o")
    assert code == 1
    assert "pip install 'mapl_explore[train]'" in err


@pytest.mark.parametrize(
    ("made", "then"),
    [
        ([], ""),
        (["run.json"], "; the same command with --resume goes on from the beginning, there being no checkpoint yet"),
        (
            ["run.json", "checkpoints/checkpoint-7/trainer_state.json"],
            "; the same command with --resume goes on from checkpoint-7",
        ),
    ],
)
def test_ctrl_c_is_a_word_on_how_to_go_on_and_exit_code_130(capsys, monkeypatch, tmp_path, made, then):
    def interrupt(**options):
        for name in made:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text('{"global_step": 7}')
        raise KeyboardInterrupt

    monkeypatch.setattr("mapl_explore.training.finetune", interrupt)
    code, err = refused(capsys, "finetune", "--loss", "dpo", "--data", "d", "--output", str(tmp_path))
    assert code == 130
    assert err == f"\nmapl-explore: interrupted{then}\n"


def test_a_run_folder_that_exists_is_refused_with_the_way_on(capsys, sets_file, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    words = ["--loss", "dpo", "--data", str(sets_file), "--output", str(tmp_path / "run")]
    code, err = refused(capsys, "finetune", *words)
    assert code == 2
    assert "is not empty: name a new folder; --resume goes on with the run in it" in err


@pytest.mark.parametrize("option", ["--data", "--eval"])
def test_a_file_that_is_not_there_is_told_before_torch_loads(finetuned, capsys, sets_file, option):
    words = ["--loss", "dpo", "--data", str(sets_file), "--output", "r", option, "gone.jsonl"]
    assert refused(capsys, "finetune", *words) == (2, "mapl-explore: error: gone.jsonl: No such file or directory\n")
    assert finetuned == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [([], {"student": False, "browser": True}), (["--no-browser", "--student"], {"student": True, "browser": False})],
)
def test_lab_opens_the_lab(monkeypatch, words, expected):
    opened = []
    monkeypatch.setitem(
        sys.modules, "mapl_explore.lab", SimpleNamespace(open_lab=lambda **options: opened.append(options))
    )
    assert cli.main(["lab", *words]) == 0
    assert opened == [expected]


@pytest.mark.parametrize(("words", "browser"), [([], True), (["--no-browser"], False)])
def test_app_opens_the_app(monkeypatch, words, browser):
    opened = []
    module = SimpleNamespace(open_app=lambda **options: opened.append(options))
    monkeypatch.setitem(sys.modules, "mapl_explore.app", module)
    assert cli.main(["app", *words]) == 0
    assert opened == [{"browser": browser}]


def test_pretrain_writes_where_it_is_told(monkeypatch):
    made = []
    module = SimpleNamespace(pretrain=lambda **options: made.append(options))
    monkeypatch.setitem(sys.modules, "mapl_explore.pretrain", module)
    assert cli.main(["pretrain", "--output", "somewhere"]) == 0
    assert made == [{"output": "somewhere", "steps": 1200, "seed": 0}]


@pytest.fixture(scope="module")
def world_file(tmp_path_factory):
    from mapl_explore.data import write_sets
    from mapl_explore.world import world_sets

    path = tmp_path_factory.mktemp("world") / "sets.jsonl"
    write_sets(path, world_sets(12, seed=4))
    return path


def test_select_writes_pairs_that_finetune_reads_and_whose_margins_are_in_the_band(world_file, tmp_path, capsys):
    from mapl_explore.data import read_sets
    from mapl_explore.scoring import load_model, score_sets

    output = tmp_path / "pairs.jsonl"
    words = ["select", str(world_file), str(output), "--accept", "Band(low=-2, high=2)", "--size", "30"]
    assert cli.main(words) == 0
    assert "30 of" in capsys.readouterr().out
    pairs = read_sets(output)
    assert len(pairs) == 30
    logp = score_sets(*load_model("tiny"), pairs, progress=False).logp
    # The log-probs depend on how the sets are batched by up to 1e-5 nats.
    assert np.abs(logp[:, 0] - logp[:, 1]).max() <= 2 + 1e-4


def test_select_writes_nothing_when_the_kernel_accepts_nothing(world_file, tmp_path, capsys):
    output = tmp_path / "pairs.jsonl"
    assert cli.main(["select", str(world_file), str(output), "--accept", "Band(low=900, high=901)"]) == 2
    assert "accepts (almost) none of" in capsys.readouterr().err
    assert not output.exists()


def test_tau_of_data_recommends_with_its_reason(world_file, capsys):
    assert cli.main(["tau", "--data", str(world_file), "--epsilon", "0.05"]) == 0
    out = capsys.readouterr().out
    assert "12 sets" in out
    assert "UpperBound(epsilon=0.05)" in out
    assert "recommended: Smooth(tau=" in out
    assert "because one tau of" in out


@pytest.mark.parametrize("words", [["tau", "--data", "x.jsonl", "--n", "4"], ["tau"]])
def test_tau_takes_either_numbers_or_a_file(words, capsys):
    assert cli.main(words) == 2
    assert "--data" in capsys.readouterr().err


def test_a_loss_of_ones_own_is_known_by_its_name_after_import(world_file, tmp_path, monkeypatch, capsys):
    (tmp_path / "my_own_losses.py").write_text(
        "from dataclasses import dataclass\n"
        "from mapl_explore.losses import Hardest, Loss, Pair\n"
        "@dataclass(frozen=True)\n"
        "class Plain(Loss):\n"
        "    pair: Pair = Hardest()\n"
        "    def score(self, sets):\n        return sets.logp\n"
        "    def link(self, margin):\n        return -margin\n"
        "    def link_slope(self, margin):\n        return 0 * margin - 1\n"
    )
    monkeypatch.chdir(tmp_path)
    words = ["finetune", "--import", "my_own_losses", "--loss", "Plain()", "--data", str(world_file)]
    assert cli.main([*words, "--output", "run", "--steps", "1", "--sets-per-step", "1"]) == 0
    assert "loss: Plain(pair=Hardest())" in capsys.readouterr().out
    KINDS.pop("Plain")


def test_a_module_that_is_not_there_is_said(capsys):
    code, err = refused(capsys, "finetune", "--import", "no_such", "--loss", "dpo", "--data", "d", "--output", "o")
    assert code == 2
    assert "--import no_such: No module named 'no_such'" in err

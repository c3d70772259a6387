"""The command line says what it does, refuses mistakes in one line, and never shows a traceback."""

import inspect
import json
import math
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas
import pytest
from tiny_models import save_tiny
from whole_checkpoints import checkpoint

import mapl_explore
from conftest import assert_close
from mapl_explore import own_code
from mapl_explore.cli import main as cli
from mapl_explore.data import PreferenceSet, read_sets, write_sets
from mapl_explore.files import sole_writer
from mapl_explore.losses import DPO, MaxMin, Mean, Smooth
from mapl_explore.losses.naming import KINDS

COMMANDS = ("lab", "app", "tau", "select", "score", "finetune", "show", "pretrain", "data", "sample")
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
        return SimpleNamespace(folder=options["output"], run=SimpleNamespace(table="the table"))

    monkeypatch.setattr("mapl_explore.training.finetuning.finetune", finetune)
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
    code = "import sys, mapl_explore.cli.main as m\ntry: m.main(sys.argv[1:])\nfinally: print('torch' in sys.modules)"
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
        (["tau", "--n", "8", "--gap", "inf", "--epsilon", "1"], "no tau exists for n = 1 or an infinite gap"),
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
    words += " --save-every 5 --chat --answer-tokens 8"
    assert cli.main(["finetune", *words.split()]) == 0
    (options,) = finetuned
    assert options == {
        "loss": cli._loss("dpo", None, None), "data": "d", "eval": "e", "output": "o", "model": "m", "steps": 3,
        "sets_per_step": 2, "lr": 0.5, "seed": 7, "truncate": "error", "device": "cpu", "report": "tensorboard",
        "resume": True, "verifier": "world", "answers": 9, "answer_tokens": 8, "chat": True,
        "precision": "bf16", "save_every": 5,
    }  # fmt: skip
    assert "written to o" in capsys.readouterr().out


def test_the_defaults_of_the_command_are_those_of_the_function():
    from mapl_explore.training.finetuning import finetune

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
        sys.modules, "mapl_explore.serving.lab", SimpleNamespace(open_lab=lambda **options: opened.append(options))
    )
    assert cli.main(["lab", *words]) == 0
    assert opened == [expected]


@pytest.mark.parametrize(("words", "browser"), [([], True), (["--no-browser"], False)])
def test_app_opens_the_app(monkeypatch, words, browser):
    opened = []
    module = SimpleNamespace(open_app=lambda **options: opened.append(options))
    monkeypatch.setitem(sys.modules, "mapl_explore.serving.app", module)
    assert cli.main(["app", *words]) == 0
    assert opened == [{"browser": browser}]


def test_pretrain_writes_where_it_is_told(monkeypatch):
    made = []
    module = SimpleNamespace(pretrain=lambda **options: made.append(options))
    monkeypatch.setitem(sys.modules, "mapl_explore.models.pretrain", module)
    assert cli.main(["pretrain", "--output", "somewhere"]) == 0
    assert made == [{"output": "somewhere", "steps": 1200, "seed": 0}]


@pytest.fixture(scope="module")
def world_file(tmp_path_factory):
    from mapl_explore.data import write_sets
    from mapl_explore.data.world import world_sets

    path = tmp_path_factory.mktemp("world") / "sets.jsonl"
    write_sets(path, world_sets(12, seed=4))
    return path


def test_select_writes_pairs_that_finetune_reads_and_whose_margins_are_in_the_band(world_file, tmp_path, capsys):
    from mapl_explore.data import read_sets
    from mapl_explore.models.loading import load_model
    from mapl_explore.models.scoring import score_sets

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


ONLY_WITH_DATA = (["--share", "0.9"], ["--loss", "dpo"], ["--model", "tiny"], ["--reference", "m"], ["--chat"])


@pytest.mark.parametrize(
    ("words", "unread"),
    [
        *((["--n", "8", "--gap", "0.5", "--epsilon", "0.05", *option], option[0]) for option in ONLY_WITH_DATA),
        (["--data", "SETS", "--method", "newton"], "--method"),
        (["--data", "SETS", "--gap", "1"], "--gap"),
    ],
)
def test_tau_refuses_an_option_that_it_would_not_read(no_model, sets_file, capsys, words, unread):
    code, err = refused(capsys, "tau", *(str(sets_file) if word == "SETS" else word for word in words))
    assert code == 2
    assert f"--data, tau does not read {unread}: leave out" in err
    assert err.count("\n") == 1


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


PLAIN = """
from dataclasses import dataclass
from mapl_explore.losses import Hardest, Loss, Pair
import helper_of_ones_own
@dataclass(frozen=True)
class {name}(Loss):
    pair: Pair = Hardest()
    def score(self, sets):
        return sets.logp
    def link(self, margin):
        return -margin
    def link_slope(self, margin):
        return 0 * margin - 1
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A function that writes a file into the folder where the user stands; what is imported there is forgotten."""

    def write(name, text):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    modules, kinds = set(sys.modules), set(KINDS)
    yield write
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    for name in set(KINDS) - kinds:
        del KINDS[name]


@pytest.mark.parametrize(
    ("file", "name", "loss"),
    [
        ("mine.py", "mine", "PlainA"),
        ("mine.py", "mine.py", "PlainB"),
        ("folder/mine.py", "folder/mine.py", "PlainC"),
        ("folder/mine.py", "folder/mine", "PlainD"),
        ("my-loss.py", "my-loss", "PlainE"),
        ("json.py", "json", "PlainF"),
        ("pytest.py", "pytest.py", "PlainG"),
    ],
)
def test_a_file_of_ones_own_is_imported_by_any_name_that_points_at_it(own, file, name, loss):
    own(file, PLAIN.format(name=loss))
    own(f"{file.rpartition('/')[0] or '.'}/helper_of_ones_own.py", "")
    known = {module: sys.modules[module] for module in ("json", "pytest")}
    own_code.imported(name)
    assert loss in KINDS
    assert all(sys.modules[module] is same for module, same in known.items())


def test_a_file_named_as_one_of_pythons_own_is_read_for_its_losses_alone(own, sets_file):
    own("json.py", PLAIN.format(name="Plain").replace("import helper_of_ones_own", ""))
    words = ["tau", "--data", str(sets_file), "--import", "json", "--loss", "Plain("]
    surroundings = os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-m", "mapl_explore", *words], capture_output=True, text=True, env=surroundings
    )
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, "Did you mean 'Plain()'?")


@pytest.mark.parametrize("name", ["no_such", "no_such.py", "no such"])
def test_a_module_that_is_not_there_is_said(capsys, own, name):
    code, err = refused(capsys, "finetune", "--import", name, "--loss", "dpo", "--data", "d", "--output", "o")
    file = f"{name.removesuffix('.py')}.py"
    said = f"there is no file {file!r} here, and no module of that name is installed"
    assert (code, err) == (2, f"mapl-explore: error: {said}\n")


@pytest.mark.parametrize(
    ("text", "shown", "last"),
    [
        ("def f(:", '  File "{}", line 1\n    def f(:\n', "mine.py:1: SyntaxError: invalid syntax"),
        (
            "def f():\n    1 / 0\nf()",
            ', line 3, in <module>\n    f()\n  File "{}", line 2, in f\n',
            "mine.py:2: ZeroDivisionError",
        ),
        ("import no_such_package", "import no_such_package", "mine.py:1: ModuleNotFoundError"),
        ("raise SystemExit(3)", "SystemExit: 3", "mine.py:1: SystemExit: 3"),
    ],
)
def test_an_error_in_ones_own_module_is_shown_as_ones_own_and_then_in_a_line(capsys, own, tmp_path, text, shown, last):
    own("mine.py", text)
    code = cli.main(["tau", "--import", "mine", "--data", "x.jsonl"])
    err = capsys.readouterr().err
    assert code == 2
    assert shown.format(tmp_path / "mine.py") in err
    assert str(cli.__file__) not in err
    assert own_code.__file__ not in err
    assert "importlib" not in err
    assert err.splitlines()[-1].startswith(f"mapl-explore: error: mine cannot be imported: {last}")


def ended(stdout, *words, **surroundings):
    """Run the command line with an output that takes nothing; return its exit code and what it said on stderr."""
    command = [sys.executable, "-m", "mapl_explore", *words]
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"} | surroundings
    done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=surroundings)
    return done.returncode, done.stderr


ONE = ("tau", "--n", "4", "--gap", "1", "--epsilon", "0.1")


@pytest.mark.parametrize(
    ("words", "surroundings"),
    [(ONE, {}), (ONE, {"PYTHONUNBUFFERED": "1"}), (("--help",), {}), (("tau", "--help"), {}), (("--version",), {})],
)
def test_a_reader_that_has_gone_ends_a_command_quietly(words, surroundings):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone:
        assert ended(gone, *words, **surroundings) == (141, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize(
    ("words", "surroundings"),
    [(ONE, {}), (ONE, {"PYTHONUNBUFFERED": "1"}), (("--help",), {}), (("tau", "-h"), {"PYTHONUNBUFFERED": "1"})],
)
def test_an_output_that_can_take_no_more_is_one_line(words, surroundings):
    with open("/dev/full", "w") as full:
        code, err = ended(full, *words, **surroundings)
    assert code == 2
    assert err.endswith("No space left on device\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize("module", ["numpy", "mapl_explore.cli.main", "argparse", "mine"])
def test_ctrl_c_while_the_program_loads_is_a_word_and_exit_code_130(module, tmp_path):
    # A finder that raises at the import of one module is ctrl-C at that very moment.
    code = (
        "import sys\nclass Ctrl:\n    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: raise KeyboardInterrupt\n"
        f"sys.modules.pop({module!r}, None); sys.meta_path.insert(0, Ctrl())\n"
        "from mapl_explore.__main__ import main\nsys.exit(main())"
    )
    command = [sys.executable, "-c", code, *ONE, *(["--import", "mine"] if module == "mine" else [])]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "\nmapl-explore: interrupted\n")


def test_the_installed_command_is_the_module():
    project = tomllib.loads((Path(cli.__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"mapl-explore": "mapl_explore.__main__:main"}
    assert project["version"] == mapl_explore.__version__


@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE", "LOCAL_RANK"])
def test_a_variable_of_the_launcher_that_is_empty_is_not_set_and_one_that_is_no_number_is_refused(
    name, monkeypatch, capsys
):
    monkeypatch.setenv(name, "")
    assert cli.main(ONE) == 0
    assert name not in os.environ
    monkeypatch.setenv(name, "two")
    assert cli.main(ONE) == 2
    assert f"{name} must be a whole number, as a launcher sets it, not 'two'" in capsys.readouterr().err


def test_a_terminal_of_ascii_gets_signs_it_lacks_by_their_numbers(sets_file):
    code = "from mapl_explore.cli import main as cli; cli._settle_surroundings(); print('\\u03c4 \\udc80')"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert (done.stdout, done.stderr) == ("\\u03c4 \\udc80\n", "")


def test_the_version_is_told_with_those_of_the_packages_and_loads_none_of_them():
    code = "import sys, mapl_explore.cli.main as m\ntry: m.main(['--version'])\nfinally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    said, loaded = done.stdout.splitlines()
    assert re.fullmatch(
        rf"mapl-explore {mapl_explore.__version__} \(python 3\.\S+, numpy .*, torch .*, transformers .*\)", said
    )
    assert f"torch {metadata.version('torch')}" in said
    assert loaded == "False"


def test_a_package_that_is_missing_is_said_in_the_version(monkeypatch):
    monkeypatch.setattr(cli, "PACKAGES", ("no_such_package",))
    assert cli._version("no_such_package") == ", no no_such_package"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["finetune", "--loss", "dpo", "--data", "", "--output", "o"], "--data"),
        (["finetune", "--loss", "dpo", "--data", "d", "--output", " "], "--output"),
        (["finetune", "--loss", "dpo", "--data", "d", "--output", "o", "--model", ""], "--model"),
        (["select", "", "o.jsonl", "--accept", "Band()"], "IN"),
        (["data", "check", ""], "FILE"),
        (["show", "a", ""], "RUN"),
        (["sample", "p.jsonl", "", "--verifier", "world"], "OUT"),
    ],
)
def test_an_empty_argument_is_refused_by_name(capsys, words, named):
    code, err = refused(capsys, *words)
    assert code == 2
    assert f"argument {named}: must not be empty" in err


@pytest.fixture
def no_model(monkeypatch):
    """Fail where a model is loaded."""
    monkeypatch.setattr("mapl_explore.models.loading.load_model", lambda *_, **__: pytest.fail("a model was loaded"))


RATIOS = "DPO compares log-ratios to a reference, and without one all of them are 0: give --reference MODEL"


@pytest.mark.parametrize("reference", [[], ["--reference", "tiny"]])
@pytest.mark.parametrize("words", [["tau", "--data", "SETS"], ["select", "SETS", "o.jsonl", "--accept", "Band()"]])
def test_log_ratios_to_nothing_are_refused_before_a_model_loads(no_model, sets_file, capsys, words, reference):
    words = [str(sets_file) if word == "SETS" else word for word in words]
    code, err = refused(capsys, *words, "--loss", "dpo", *reference)
    assert code == 2
    assert RATIOS in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["select", "SETS", "nowhere/o.jsonl", "--accept", "Band()"], "there is no folder 'nowhere'"),
        (["select", "SETS", "o.csv", "--accept", "Band()"], "'o.csv' cannot be written: write .jsonl"),
        (["select", "SETS", "SETS", "--accept", "Band()"], "is the file that is read"),
        (["select", "SETS", "/dev/null", "--accept", "Band()"], "is a device"),
        (["select", "SETS", ".", "--accept", "Band()"], "is a folder"),
        (
            ["select", "SETS", "o.jsonl", "--accept", "Band()", "--size", "0"],
            "--size must be an integer from 1",
        ),
        (["select", "SETS", "o.jsonl", "--accept", "Band()", "--size", "100000000000"], "from 1 to 10000000, not 1000"),
        (["select", "SETS", "o.jsonl", "--accept", "Band()", "--seed", "-1"], "--seed must be at least 0, not -1"),
        (["select", "SETS", "o.jsonl", "--accept", "band(0, 2)"], "Did you mean 'Band(low=0, high=2)'?"),
        (["score", "SETS", "nowhere/o.jsonl"], "there is no folder 'nowhere'"),
        (["score", "SETS", "o.txt"], "'o.txt' cannot be written: write .jsonl, .jsonl.gz, .csv, .parquet"),
        (["score", "SETS", "SETS"], "is the file that is read"),
        (["tau", "--data", "SETS", "--share", "2"], "LeaderShare: share must be strictly between 1/2 and 1, not 2.0"),
        (["tau", "--data", "SETS", "--epsilon", "0"], "UpperBound: epsilon must be > 0 and finite, not 0.0"),
    ],
)
def test_what_cannot_end_well_is_refused_before_a_model_loads(no_model, sets_file, capsys, monkeypatch, words, message):
    monkeypatch.chdir(sets_file.parent)
    before = sets_file.read_bytes()
    code, err = refused(capsys, *("sets.jsonl" if word == "SETS" else word for word in words))
    assert code == 2
    assert message in err
    assert [path.name for path in sets_file.parent.iterdir()] == ["sets.jsonl"]
    assert sets_file.read_bytes() == before


@pytest.mark.parametrize("words", [["select", "--accept", "Band()"], ["score"]])
def test_a_second_writer_of_one_output_is_refused_at_once(no_model, sets_file, capsys, words):
    output = sets_file.parent / "o.jsonl"
    with sole_writer(output):
        code, err = refused(capsys, words[0], str(sets_file), str(output), *words[1:])
    assert code == 2
    assert "is being written by another process" in err


@pytest.fixture(scope="module")
def two_models(tmp_path_factory):
    """Two random models with one tokenizer."""
    folder = tmp_path_factory.mktemp("models")
    return [str(save_tiny(folder / str(seed), seed=seed)) for seed in (1, 2)]


def as_scored(rows):
    return [[row[name] for name in ("logp", "ref_logp", "length", "label")] for row in rows]


def expected_rows(models):
    from mapl_explore.models.loading import load_model
    from mapl_explore.models.scoring import score_sets

    model, tokenizer = load_model(models[0])
    scored = score_sets(model, tokenizer, SETS, reference=load_model(models[1])[0], progress=False)
    columns = (scored.logp, scored.ref_logp, scored.length, scored.label)
    return [[column[i, j].item() for column in columns] for i in range(len(SETS)) for j in range(3)]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".csv", ".parquet"])
def test_score_writes_what_score_sets_returns_in_the_format_of_the_name(two_models, sets_file, tmp_path, suffix):
    output = tmp_path / f"scores{suffix}"
    words = ["--model", two_models[0], "--reference", two_models[1]]
    assert cli.main(["score", str(sets_file), str(output), *words]) == 0
    readers = {".csv": pandas.read_csv, ".parquet": pandas.read_parquet}
    table = readers.get(suffix, lambda path: pandas.read_json(path, lines=True))(output)
    assert list(table) == ["set", "prompt", "response", "label", "length", "logp", "ref_logp"]
    rows = table.to_dict("records")
    assert_close(np.array(as_scored(rows)), np.array(expected_rows(two_models)), k=64, dtype="float32")
    texts = [(i, one.prompt, text) for i, one in enumerate(SETS) for text in (*one.positives, *one.negatives)]
    assert [(row["set"], row["prompt"], row["response"]) for row in rows] == texts


def test_score_without_a_reference_has_no_column_of_it(two_models, sets_file, tmp_path):
    output = tmp_path / "scores.jsonl"
    assert cli.main(["score", str(sets_file), str(output), "--model", two_models[0]]) == 0
    assert "ref_logp" not in json.loads(output.read_text().splitlines()[0])


def test_select_by_log_ratios_takes_those_of_the_two_models(two_models, sets_file, tmp_path, capsys):
    rows = np.array(expected_rows(two_models)).reshape(len(SETS), 3, 4)
    ratios = rows[:, :, 0] - rows[:, :, 1]
    margins = ratios[:, :1] - ratios[:, 1:]
    low = np.sort(margins.ravel())[-1] - 1e-6  # room for the largest margin alone
    output = tmp_path / "pairs.jsonl"
    words = ["--model", two_models[0], "--reference", two_models[1], "--loss", "dpo"]
    words += ["--accept", f"Band(low={low}, high=1000)", "--size", "1"]
    assert cli.main(["select", str(sets_file), str(output), *words]) == 0
    number, column = np.unravel_index(margins.argmax(), margins.shape)
    best = PreferenceSet(SETS[number].prompt, SETS[number].positives, [SETS[number].negatives[column]])
    assert read_sets(output) == [best]


def test_tau_of_data_says_against_which_reference(two_models, sets_file, capsys):
    words = ["--model", two_models[0], "--reference", two_models[1], "--loss", "dpo"]
    assert cli.main(["tau", "--data", str(sets_file), *words]) == 0
    assert f"under {two_models[0]} against {two_models[1]}\n" in capsys.readouterr().out


def test_tau_of_data_names_no_reference_where_the_loss_reads_none(two_models, sets_file, capsys):
    words = ["--model", two_models[0], "--reference", two_models[1]]
    assert cli.main(["tau", "--data", str(sets_file), *words]) == 0
    assert capsys.readouterr().out.startswith(f"4 sets; scores of MaxMin(pair=Hardest()) under {two_models[0]}\n")


def test_a_reference_that_reads_other_tokens_is_refused(two_models, sets_file, tmp_path, capsys):
    output = tmp_path / "o.jsonl"
    code, err = refused(capsys, "score", str(sets_file), str(output), "--model", "tiny", "--reference", two_models[0])
    assert code == 2
    assert f"--reference {two_models[0]} reads the responses as other tokens than --model tiny" in err
    assert not output.exists()


@pytest.mark.parametrize("command", ["tau", "select", "score"])
def test_chat_is_passed_on_to_the_scoring_of_both_models(command, sets_file, monkeypatch, capsys):
    from mapl_explore.losses import ScoredSets

    asked = []

    def score_sets(model, tokenizer, sets, *, chat):
        asked.append((model, chat))
        logp = np.array([[-1.0, -2.0, -2.5]] * len(sets)) * (1 if model == "m" else 1.5)
        return ScoredSets(logp, logp, [[3] * 3] * len(sets), [[1, -1, -1]] * len(sets))

    monkeypatch.setattr("mapl_explore.models.loading.load_model", lambda name: (name, None))
    monkeypatch.setattr("mapl_explore.models.scoring.score_sets", score_sets)
    output = str(sets_file.parent / "o.jsonl")
    words = {
        "tau": ["--data", str(sets_file)],
        "select": [str(sets_file), output, "--accept", "Band(low=-9, high=9)"],
        "score": [str(sets_file), output],
    }[command]
    assert cli.main([command, *words, "--model", "m", "--reference", "r", "--chat"]) == 0
    assert asked == [("m", True), ("r", True)]


def test_show_refuses_a_picture_that_cannot_be_written_before_it_reads_a_run(capsys, tmp_path):
    code, err = refused(capsys, "show", str(tmp_path / "no_run"), "--out", str(tmp_path / "nowhere" / "c.png"))
    assert code == 2
    assert "there is no folder" in err


def test_a_note_of_the_library_is_a_line_and_said_once(two_models, sets_file, capsys):
    long = [PreferenceSet("p" * 100, ["a"], ["b", "c"])]
    write_sets(sets_file, long)
    words = ["--model", two_models[0], "--reference", two_models[1], "--loss", "dpo"]
    assert cli.main(["tau", "--data", str(sets_file), *words]) == 0
    out = capsys.readouterr().out
    assert out.startswith("note: cut to the model's context of 64 tokens: 0 of 3 responses")
    assert out.count("note: ") == 1

"""The command line says what it does, refuses mistakes in one line, and never shows a traceback."""

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from command_lines import refused

import mapl_explore
from mapl_explore.cli import main as cli
from mapl_explore.cli import parsing
from mapl_explore.words import language, languages

COMMANDS = ("lab", "app", "tau", "select", "score", "finetune", "rounds", "show", "pretrain", "data", "sample")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_of_itself(capsys, command):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert re.search(rf"^example:\n  mapl-explore {command} ", said, re.MULTILINE)
    assert "default: ()" not in said


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


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {"student": True, "browser": True}),
        (["--no-browser", "--student"], {"student": True, "browser": False}),
        (["--teacher"], {"student": False, "browser": True}),
    ],
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


@pytest.mark.parametrize("command", ["lab", "app"])
def test_a_language_is_in_force_when_the_server_starts_and_one_that_is_not_there_is_refused(
    monkeypatch, capsys, command
):
    seen = []
    module = SimpleNamespace(**{f"open_{command}": lambda **options: seen.append(language())})
    monkeypatch.setitem(sys.modules, f"mapl_explore.serving.{command}", module)
    monkeypatch.setattr("mapl_explore.words.choice._chosen", None)
    assert cli.main([command, "--language", "de"]) == 0
    assert cli.main([command]) == 0  # what is in force stays
    assert seen == ["de", "de"]
    with pytest.raises(SystemExit) as caught:
        cli.main([command, "--language", "xx"])
    assert caught.value.code == 2
    assert "(choose from" in capsys.readouterr().err
    monkeypatch.setattr("mapl_explore.words.choice._chosen", None)
    monkeypatch.setenv("MAPL_LANGUAGE", "xx")
    assert cli.main([command]) == 2
    assert (
        capsys.readouterr().err
        == f"mapl-explore: error: MAPL_LANGUAGE must be one of {', '.join(languages())}, not 'xx'\n"
    )
    assert len(seen) == 2


def test_pretrain_writes_where_it_is_told(monkeypatch):
    made = []
    module = SimpleNamespace(pretrain=lambda **options: made.append(options))
    monkeypatch.setitem(sys.modules, "mapl_explore.models.pretrain", module)
    assert cli.main(["pretrain", "--output", "somewhere"]) == 0
    assert made == [{"output": "somewhere", "steps": 1200, "seed": 0}]


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


def test_a_package_that_is_missing_is_said_in_the_version():
    assert parsing._version("no_such_package") == ", no no_such_package"


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


def test_the_file_that_score_writes_may_stand_behind_options(sets_file, tmp_path):
    outputs = [tmp_path / "before.csv", tmp_path / "behind.csv"]
    words = ["--model", "tiny"]
    for given in ([str(outputs[0]), *words], [*words, str(outputs[1])]):
        assert cli.main(["score", str(sets_file), *given]) == 0
    before, behind = (path.read_text() for path in outputs)
    assert before == behind


@pytest.mark.parametrize("more", [["a.csv", "b.csv"], ["--wrong", "a.csv"]])
def test_a_word_too_many_and_an_option_that_is_none_are_refused_behind_options_too(sets_file, more, capsys):
    code, err = refused(capsys, "score", str(sets_file), "--model", "tiny", *more)
    assert code == 2
    assert "unrecognized arguments" in err


def test_show_refuses_a_picture_that_cannot_be_written_before_it_reads_a_run(capsys, tmp_path):
    code, err = refused(capsys, "show", str(tmp_path / "no_run"), "--out", str(tmp_path / "nowhere" / "c.png"))
    assert code == 2
    assert "there is no folder" in err


@pytest.mark.parametrize("command", ["tau", "select", "score", "sample", "finetune", "rounds", "compare"])
def test_every_command_that_runs_a_model_says_where_and_how_much_at_a_time(command, capsys):
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "--device {auto,cpu,cuda}" in shown
    assert "--batch-size N" in shown
    assert "in one pass" in shown

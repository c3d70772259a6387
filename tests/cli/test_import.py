"""Losses of one's own, by --import: any name of the file, and errors shown as one's own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_lines import refused

from mapl_explore import own_code
from mapl_explore.cli import main as cli
from mapl_explore.losses.naming import KINDS


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


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("margin.sum()", "Plain.link must return the shape of the margin (2,), not ()"),
        (
            "-margin.detach().numpy()",
            "Plain.link must return an array of torch where it is given one, not one of numpy",
        ),
    ],
)
def test_a_loss_that_the_trial_refuses_is_one_line(capsys, own, world_file, link, said):
    own("mine.py", PLAIN.format(name="Plain").replace("import helper_of_ones_own", "").replace("-margin", link))
    words = ["finetune", "--import", "mine", "--loss", "Plain()", "--data", str(world_file), "--output", "run"]
    code, err = refused(capsys, *words)
    assert code == 2
    assert err.splitlines()[-1].startswith(f"mapl-explore: error: {said}")
    assert not Path("run").exists()


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

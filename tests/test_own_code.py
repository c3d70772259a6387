"""A user's module is loaded as its source is, and its failures are shown as theirs."""

import re
import sys

import pytest

from mapl_explore.own_code import imported, imported_name, note_own_traceback, source_checksum


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Make the folder of this process a new one, and return a function that writes a module there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield lambda name, text: (tmp_path / f"{name}.py").write_text(text)
    for name in set(sys.modules) - before:
        sys.modules.pop(name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\ndef f(:\n", r"judge_a.py:2: SyntaxError: "),
        ("x = 1\n\ny = x / 0\n", r"judge_a.py:3: ZeroDivisionError: division by zero$"),
        ("import no_such_thing\n", r"judge_a.py:1: ModuleNotFoundError: No module named 'no_such_thing'$"),
        ("import sys\nsys.exit('two\\nlines')\n", r"judge_a.py:2: SystemExit: two lines$"),
        ("import json\njson.loads('{')\n", r"judge_a.py:2: JSONDecodeError: "),
        ("import judge_b\n", r"judge_b.py:2: KeyError: 'k'$"),
        ("assert False\n", r"judge_a.py:1: AssertionError$"),
        ("\0", r"SyntaxError: "),
    ],
)
def test_a_module_that_fails_is_said_in_one_line_with_its_file_and_line(text, words, write):
    write("judge_a", text)
    write("judge_b", "x = {}\nx['k']\n")
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (match= would look at the note too)
        imported("judge_a")
    assert re.search(rf"^judge_a cannot be imported: {words}", str(caught.value))
    assert "\n" not in str(caught.value)
    assert __file__ not in "".join(getattr(caught.value, "__notes__", []))


def test_a_name_with_a_dash_is_a_module_too(write):
    write("a-b", "x = 4\n")
    assert imported("a-b").x == 4


def test_a_file_is_loaded_again_where_it_changed_under_whatever_name_it_has(write):
    write("json", "x = 1\n")
    assert imported("json.py").x == 1
    write("json", "x = 22\n")
    assert imported("json").x == 22


def test_a_module_is_loaded_again_where_its_source_or_that_of_its_helper_changed(write):
    write("judge_a", "import judge_b\nx = judge_b.y\n")
    write("judge_b", "y = 1\n")
    first = imported("judge_a")
    assert imported("judge_a") is first
    write("judge_b", "y = 22\n")
    assert imported("judge_a").x == 22
    write("judge_a", "x = 333\n")
    assert imported("judge_a").x == 333


def test_the_checksum_is_of_the_source_of_a_module_and_its_helpers(write):
    write("judge_a", "from judge_b import y\n")
    write("judge_b", "y = 1\n")
    first = source_checksum(imported("judge_a"))
    assert source_checksum(imported("judge_a")) == first
    write("judge_b", "y = 22\n")
    second = source_checksum(imported("judge_a"))
    write("judge_a", "from judge_b import y  # as it was\n")
    assert len({first, second, source_checksum(imported("judge_a"))}) == 3


def test_the_checksum_of_an_installed_module_is_of_its_file_alone(write):
    import json

    import numpy as np

    write("judge_a", "x = 1\n")
    assert source_checksum(json) == source_checksum(json) != source_checksum(np)
    assert source_checksum(sys)


def test_a_traceback_begins_where_the_users_code_does(write):
    write("judge_a", "def f(): return g()\ndef g(): return {}['k']\n")
    try:
        imported("judge_a").f()
    except KeyError as error:
        note_own_traceback(blame := ValueError("it failed"), error)
    lines = blame.__notes__[0].split("\n")
    assert lines[0] == "Traceback (most recent call last):"
    assert "judge_a.py" in "".join(lines)
    assert lines[-1] == "KeyError: 'k'"


def test_a_folder_that_is_no_module_is_refused_as_one_that_defines_nothing(write, tmp_path):
    (tmp_path / "empty_runs").mkdir()
    with pytest.raises(ValueError, match=r"^empty_runs is a folder without __init__.py, which defines nothing: name a"):
        imported("empty_runs")
    (tmp_path / "empty_runs" / "__init__.py").write_text("x = 4\n")
    assert imported("empty_runs").x == 4


@pytest.mark.parametrize("raised", ["KeyError(name)", "ValueError(name)", "SystemExit(name)"])
def test_a_module_that_fails_to_give_a_name_is_told_with_its_traceback(raised, write):
    write(
        "judge_a",
        f"def __getattr__(name):\n    if not name.startswith('_'): raise {raised}\n    raise AttributeError\n",
    )
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (match= would look at the note too)
        imported_name("judge_a", "right")
    assert re.search(r"^judge_a gives no 'right': judge_a.py:2: \w+: '?right'?$", str(caught.value))
    [note] = caught.value.__notes__
    assert note.startswith("Traceback")
    assert __file__ not in note
    assert "own_code" not in note


def test_a_name_that_a_module_has_not_is_none(write):
    write("judge_a", "x = 1\n")
    assert imported_name("judge_a", "x") == 1
    assert imported_name("judge_a", "y") is None


def test_a_file_in_a_folder_finds_what_stands_next_to_it(write, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "judge_a.py").write_text("from judge_helper import x\n")
    (tmp_path / "folder" / "judge_helper.py").write_text("x = 4\n")
    assert imported("folder/judge_a").x == 4
    assert sys.path[-1] == str(tmp_path / "folder")  # behind all others: it must not hide what is installed


@pytest.mark.parametrize("name", ["random", "this", "mapl_explore"])  # loaded, of Python's own and not loaded, ours
def test_a_file_goes_before_a_module_of_its_name_and_does_not_replace_it(name, write):
    write(name, "x = 4\n")
    before = sys.modules.get(name)
    module = imported(name)
    assert (module.x, module.__name__) == (4, f"own_{name}")
    assert sys.modules.get(name) is before


def test_a_file_without_the_ending_is_no_module(write, tmp_path):
    (tmp_path / "judge_a").write_text("notes\n")
    write("judge_a", "x = 4\n")
    assert imported("judge_a").x == 4


def test_a_module_that_failed_is_imported_anew_once_it_is_mended(write):
    write("judge_a", "x = 1 / 0\n")
    with pytest.raises(ValueError, match="ZeroDivisionError"):
        imported("judge_a")
    write("judge_a", "x = 4\n")
    assert imported("judge_a").x == 4

"""Files that appear whole or not at all, and have one writer at a time."""

import errno
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mapl_explore.files import (
    atomic_writer,
    counted,
    read_json,
    require_folder,
    require_new_file,
    require_other,
    shortened,
    sole_writer,
    whole_number,
    write_json,
    write_or_print,
)

HOLDING = """
import sys, time
from mapl_explore.files import sole_writer
with sole_writer(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


def write_and_fail(path, error):
    with atomic_writer(path) as file:
        file.write("after")
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failed_writer_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(error, match="stop"):
        write_and_fail(path, error("stop"))
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "before"


def test_a_full_disk_is_told_with_the_name_that_was_asked_for(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(OSError, match="No space left") as caught:
        write_and_fail(path, OSError(errno.ENOSPC, "No space left on device"))
    assert caught.value.filename == os.fspath(path)
    assert not list(tmp_path.iterdir())


def test_an_error_about_another_file_keeps_the_name_of_that_file(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        write_and_fail(tmp_path / "a.txt", FileNotFoundError(errno.ENOENT, "No such file", "another.txt"))
    assert caught.value.filename == "another.txt"


def test_a_file_has_the_permissions_of_any_new_one_and_those_of_the_next_stay(tmp_path):
    before = os.umask(0o027)
    try:
        with atomic_writer(tmp_path / "a.txt"):
            pass
        assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_json_has_no_number_that_other_programs_cannot_read(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": math.nan})
    assert read_json(tmp_path / "a.json") == {"a": 1}


def test_a_link_to_nothing_is_no_new_file(tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(FileExistsError, match=r"OUT must be a new file, but .*link' exists"):
        require_new_file("OUT", tmp_path / "link")
    require_new_file("OUT", tmp_path / "link", overwrite=True)


def test_a_missing_folder_is_told_before_anything_is_opened(tmp_path):
    path = tmp_path / "nodir" / "a.txt"
    with pytest.raises(FileNotFoundError, match=r"no folder .*nodir' to write a.txt into"), atomic_writer(path):
        raise AssertionError("the block must not run")


def test_a_name_that_is_too_long_is_told_as_it_was_asked_for(tmp_path):
    path = tmp_path / ("a" * 250)  # 255 bytes is the limit, and a temporary name is longer
    with pytest.raises(OSError, match="too long") as caught, atomic_writer(path):
        raise AssertionError("the block must not run")
    assert caught.value.filename == os.fspath(path)


def test_a_folder_that_goes_while_a_file_is_written_is_told_by_the_name_of_the_file(tmp_path):
    path = tmp_path / "folder" / "a.txt"
    path.parent.mkdir()
    with pytest.raises(FileNotFoundError) as caught, atomic_writer(path):
        shutil.rmtree(path.parent)
    assert caught.value.filename == os.fspath(path)


def test_a_device_is_not_replaced():
    with pytest.raises(FileExistsError, match="'/dev/null' is a device or a pipe"):
        require_folder("/dev/null")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_told(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="may not be written into"):
        require_folder(tmp_path / "a.txt")


def test_the_file_that_is_read_is_no_output_and_another_one_is(tmp_path):
    path = tmp_path / "a.txt"
    path.touch()
    (tmp_path / "b.txt").touch()
    for output in (tmp_path / "b.txt", tmp_path / "gone"):
        require_other(path, output)
    require_other("some/pairs", path)
    with pytest.raises(ValueError, match=r"a.txt' is the file that is read"):
        require_other(path, tmp_path / ".." / tmp_path.name / "a.txt")


def test_a_second_writer_is_refused_at_once(tmp_path):
    path = tmp_path / "out"
    with sole_writer(path), pytest.raises(BlockingIOError, match=r"out' is being written"), sole_writer(path):
        raise AssertionError("the block must not run")
    with sole_writer(path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_that_may_not_hold_the_lock_leaves_it_to_the_temporary_one(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with sole_writer(tmp_path / "out"):
        assert os.listdir(tmp_path) == ["out"]
        with sole_writer(tmp_path / "other"):  # has a lock of its own
            pass
        with pytest.raises(BlockingIOError), sole_writer(os.path.relpath(tmp_path / "out")):
            raise AssertionError("the block must not run")


def test_a_killed_writer_stops_no_one(tmp_path):
    path = tmp_path / "out"
    holder = subprocess.Popen([sys.executable, "-c", HOLDING, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(BlockingIOError), sole_writer(path):
        raise AssertionError("the block must not run")
    holder.kill()
    holder.communicate()
    with sole_writer(path):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs a folder in which the system makes no files")
def test_a_place_where_no_lock_can_be_made_is_told_with_the_reason_of_the_system():
    with pytest.raises(FileNotFoundError, match=r"cannot be made: No such file.*'/proc/xx'"), sole_writer("/proc/xx"):
        raise AssertionError("the block must not run")


def test_a_name_too_long_for_a_lock_is_told_as_it_was_asked_for(tmp_path):
    path = tmp_path / ("a" * 300)
    with pytest.raises(OSError, match="cannot be made: File name too long") as caught, sole_writer(path):
        raise AssertionError("the block must not run")
    assert caught.value.filename == os.fspath(path)


def test_a_link_stays_and_what_it_points_to_is_written(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "inner").symlink_to("folder/file")
    (tmp_path / "outer").symlink_to("inner")
    for text in ("first", "second"):  # the target is made, and then replaced
        with atomic_writer(tmp_path / "outer") as file:
            file.write(text)
        assert (tmp_path / "folder" / "file").read_text() == text
    assert (tmp_path / "outer").is_symlink()
    assert (tmp_path / "inner").is_symlink()
    assert os.listdir(tmp_path / "folder") == ["file"]


def test_a_link_into_a_folder_that_is_not_there_is_told(tmp_path):
    (tmp_path / "link").symlink_to("nowhere/file")
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere' to write file into"):
        require_folder(tmp_path / "link")


@pytest.mark.parametrize("ask", [require_folder, lambda path: sole_writer(path).__enter__()])
def test_links_in_a_circle_are_refused(ask, tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links that lead in a circle") as caught:
        ask(tmp_path / "a")
    assert caught.value.filename == os.fspath(tmp_path / "a")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_a_value_that_python_cannot_show_is_told_by_its_kind():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert shortened(deep) == "a value of type list that cannot be shown"
    assert shortened(10**5000) == "a value of type int that cannot be shown"


def test_what_is_told_of_a_value_and_of_a_count_is_as_long_as_it_should_be():
    assert shortened("x" * 58) == repr("x" * 58)
    assert shortened("x" * 59) == f"'{'x' * 56}..."
    assert [counted(number, "set") for number in (0, 1, 2)] == ["0 sets", "1 set", "2 sets"]


def test_a_whole_number_may_be_either_end_of_its_range_and_is_no_truth_value():
    assert [whole_number("n", value, 1, 3) for value in (1, 3, np.int64(2))] == [1, 3, 2]
    for value in (0, 4, True, 1.0, "1", None):
        with pytest.raises(ValueError, match=f"^n must be an integer from 1 to 3, not {value!r}$"):
            whole_number("n", value, 1, 3)
    with pytest.raises(ValueError, match=r"^n must be an integer >= 1, not 0$"):
        whole_number("n", 0, 1)


def test_a_text_goes_to_the_terminal_as_it_is_where_no_file_is_named(tmp_path, capsys):
    for path in (None, tmp_path / "a.txt"):
        write_or_print("one\ntwo\n", path)
    assert capsys.readouterr().out == (tmp_path / "a.txt").read_text() == "one\ntwo\n"


@pytest.mark.parametrize(("binary", "content"), [(False, "ä\n"), (True, b"\x00\r\n")])
def test_in_a_browser_a_file_is_made_anew_under_its_own_name(tmp_path, monkeypatch, binary, content):
    monkeypatch.setattr(sys, "platform", "emscripten")
    monkeypatch.setattr(os, "replace", None)  # what JupyterLite renames, no program can read
    path = tmp_path / "marks.json"
    path.write_text("longer than what comes")
    os.link(path, tmp_path / "as it was")
    with atomic_writer(path, binary=binary) as file:
        file.write(content)
        assert path.read_text() == "longer than what comes"
    assert path.read_bytes() == (content if binary else content.encode())
    assert (tmp_path / "as it was").read_text() == "longer than what comes"  # emptying a JSON hangs there
    with pytest.raises(KeyError), atomic_writer(path, binary=binary):
        raise KeyError
    assert path.read_bytes() == (content if binary else content.encode())

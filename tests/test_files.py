"""Files that appear whole or not at all, and have one writer at a time."""

import errno
import os
import subprocess
import sys

import pytest

from mapl_explore.files import atomic_writer, sole_writer

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


def test_a_failed_writer_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(RuntimeError, match="stop"):
        write_and_fail(path, RuntimeError("stop"))
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "before"


def test_a_full_disk_is_told_with_the_name_that_was_asked_for(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(OSError, match="No space left") as caught:
        write_and_fail(path, OSError(errno.ENOSPC, "No space left on device"))
    assert caught.value.filename == os.fspath(path)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_told_before_anything_is_opened(tmp_path):
    path = tmp_path / "nodir" / "a.txt"
    with pytest.raises(FileNotFoundError, match=r"no folder .*nodir' to write a.txt into"), atomic_writer(path):
        raise AssertionError("the block must not run")


def test_a_second_writer_is_refused_at_once(tmp_path):
    path = tmp_path / "out"
    with sole_writer(path), pytest.raises(BlockingIOError, match=r"out' is being written"), sole_writer(path):
        raise AssertionError("the block must not run")
    with sole_writer(path):
        pass
    assert not list(tmp_path.iterdir())


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

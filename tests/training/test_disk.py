"""A full disk is one error that names the folder, whichever library meets it."""

import errno
import os

import numpy as np
import pytest
import safetensors.torch
import torch
from small_disks import small_files

from mapl_explore.files import atomic_writer
from mapl_explore.training.disk import disk_errors


def with_atomic_writer(folder):
    with atomic_writer(folder / "file", binary=True) as file:
        np.savez(file, values=np.zeros(10**6))


LARGE = {"a": torch.zeros(10**6)}
WRITERS = {
    "text": lambda folder: (folder / "file").write_text("x" * 10**6),
    "numpy": with_atomic_writer,
    "torch": lambda folder: torch.save(LARGE, folder / "file.pt"),
    "safetensors": lambda folder: safetensors.torch.save_file(LARGE, folder / "file.safetensors"),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("most", [0, 50_000])
def test_what_the_disk_refuses_is_one_error_with_the_words_of_the_system(tmp_path, writer, most):
    with (
        pytest.raises(OSError, match="File too large; wait") as caught,
        small_files(most),
        disk_errors(tmp_path, lambda: "; wait"),
    ):
        WRITERS[writer](tmp_path)
    assert caught.value.errno == errno.EFBIG
    assert caught.value.filename == os.fspath(tmp_path)


@pytest.mark.parametrize("error", [
    OSError(errno.ENOSPC, "No space left on device", "somewhere"), Exception("No space left on device (os error 28)"),
    RuntimeError("I/O error: No space left on device (os error 28)"), OSError(errno.EDQUOT, "Disk quota exceeded"),
])  # fmt: skip
def test_every_way_to_say_that_a_disk_is_full_is_understood(tmp_path, error):
    with pytest.raises(OSError, match=r"No space left on device|quota") as caught, disk_errors(tmp_path, lambda: ""):
        raise error
    assert caught.value.filename == os.fspath(tmp_path)
    for fail in (_fail_because_of, _fail_while):
        with pytest.raises(OSError, match=r"No space left on device|quota"), disk_errors(tmp_path, lambda: ""):
            fail(error)


def _fail_because_of(error):
    try:
        raise error
    except Exception as first:
        raise RuntimeError("unexpected pos 64 vs 0") from first


def _fail_while(error):
    try:
        raise error
    finally:
        raise RuntimeError("unexpected pos 64 vs 0")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EACCES, "no"),
        ValueError("x"),
        KeyboardInterrupt(),
        OSError("plain"),
        RuntimeError("(os error 13)"),
    ],
)
def test_other_errors_are_left_as_they_are(tmp_path, error):
    with pytest.raises(type(error)) as caught, disk_errors(tmp_path, lambda: "never asked"):
        raise error
    assert caught.value is error


def test_a_writer_that_forgets_why_it_failed_has_an_error_of_writing_all_the_same(tmp_path):
    words = "[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"
    with pytest.raises(OSError, match="Input/output error") as caught, disk_errors(tmp_path, lambda: ""):
        raise RuntimeError(words)
    assert caught.value.errno == errno.EIO
    assert list(tmp_path.iterdir()) == []

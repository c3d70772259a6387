"""What each held-out set adds to the measures is read back whole, or refused, and never unpickled."""

import numpy as np
import pytest

from mapl_explore.runs.measured import read_measured, write_measured


class Trap:
    def __reduce__(self):
        return pytest.fail, ("it was unpickled",)


def test_a_failed_write_leaves_the_measures_that_were_there(tmp_path, monkeypatch):
    write_measured(tmp_path, {"right": np.array([1.0, 0.0])}, 96)
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_measured(tmp_path, {"right": np.array([1.0])}, 3)
    found, tokens = read_measured(tmp_path)
    assert (found["right"].tolist(), tokens) == ([1.0, 0.0], 96)
    assert [path.name for path in tmp_path.iterdir()] == ["measured.npz"]


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_refused_with_its_path(tmp_path, part):
    write_measured(tmp_path, {"right": np.ones(40)}, 96)
    path = tmp_path / "measured.npz"
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"measured\.npz: not the measures of a run \("):
        read_measured(tmp_path)


@pytest.mark.parametrize("arrays", [{"right": np.ones(2)}, {"response_tokens": 2, "right": np.array([Trap()])}])
def test_an_archive_of_something_else_is_refused_and_not_unpickled(tmp_path, arrays):
    np.savez(tmp_path / "measured.npz", **arrays)
    with pytest.raises(ValueError, match=r"measured\.npz: not the measures of a run \("):
        read_measured(tmp_path)

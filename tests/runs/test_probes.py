"""The probes of a run: read without torch, whatever is wrong with the file said by file and array."""

import subprocess
import sys

import numpy as np
import pytest

from mapl_explore.losses import DPO, Smooth
from mapl_explore.runs.probes import read_probes

GOOD = {
    "step": np.array([0, 5, 9]),
    "logp": -np.arange(1.0, 25.0).reshape(3, 2, 4),
    "ref_logp": np.full((2, 4), -8.0),
    "length": np.full((2, 4), 3),
    "label": np.array([[1, 1, -1, -1], [1, -1, 0, 0]]),
}


def written(folder, **changes):
    np.savez(folder / "probes.npz", **{name: array for name, array in (GOOD | changes).items() if array is not None})
    return folder


def test_what_was_scored_is_read_back_at_every_step(tmp_path):
    for run in (written(tmp_path), written(tmp_path) / "probes.npz"):
        probes = read_probes(run)
        np.testing.assert_array_equal(probes.step, [0, 5, 9])
        there = GOOD["label"] != 0
        np.testing.assert_array_equal(probes.sets.logp, GOOD["logp"] * there)
        for k in range(3):
            np.testing.assert_array_equal(probes.sets.ref_logp[k], GOOD["ref_logp"] * there)
            np.testing.assert_array_equal(probes.sets.label[k], GOOD["label"])


def test_a_loss_sees_each_step_and_each_set_as_if_alone(tmp_path):
    loss, sets = DPO(pair=Smooth(tau=2.0)), read_probes(written(tmp_path)).sets
    r = GOOD["logp"][1, 1] - GOOD["ref_logp"][1]
    assert loss(sets).shape == (3, 2)
    assert loss.margin(sets)[1, 1] == r[0] - r[1]


def test_a_reward_is_read_where_there_is_one(tmp_path):
    reward = np.arange(8.0).reshape(2, 4)
    sets = read_probes(written(tmp_path, reward=reward)).sets
    for k in range(3):
        np.testing.assert_array_equal(sets.reward[k], reward * (GOOD["label"] != 0))
    assert read_probes(written(tmp_path)).sets.reward is None


def test_float32_and_padding_of_any_kind_are_read(tmp_path):
    logp = GOOD["logp"].astype(np.float32)
    logp[:, 1, 2:] = np.nan
    sets = read_probes(written(tmp_path, logp=logp, ref_logp=GOOD["ref_logp"].astype(np.float32))).sets
    assert sets.logp.dtype == sets.ref_logp.dtype == np.float64
    np.testing.assert_array_equal(sets.logp[:, 1, 2:], 0.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": None}, "not the probes of a run \\(label is missing\\)"),
        ({"step": np.array([0, 5])}, "logp must have shape \\(S, sets, n\\), not \\(3, 2, 4\\) \\(S = 2\\)"),
        ({"length": np.full((2, 3), 3)}, "length must have shape \\(sets, n\\), not \\(2, 3\\) \\(sets = 2, n = 4\\)"),
        ({"ref_logp": np.zeros(4)}, "ref_logp must have shape \\(sets, n\\), not \\(4,\\)"),
        ({"step": np.zeros(0, int), "logp": np.zeros((0, 2, 4))}, "step must have shape \\(S\\), not \\(0,\\)"),
        ({"step": np.array([0, 5, 5])}, "step must be whole numbers >= 0 that rise, not \\[0, 5, 5\\]"),
        ({"step": np.array([0.0, 1.0, 2.0])}, "step must be whole numbers"),
        ({"step": np.array([-1, 1, 2])}, "step must be whole numbers >= 0"),
        ({"step": np.array([3, 1, 2], np.uint8)}, "step must be whole numbers >= 0 that rise"),
        ({"logp": np.full((3, 2, 4), np.nan)}, "logp must be finite"),
        ({"logp": np.ones((3, 2, 4), int)}, "logp"),
        ({"label": np.ones((2, 4), int)}, "label must hold at least one negative"),
        ({"length": np.zeros((2, 4), int)}, "length must be an integer >= 1"),
        ({"label": np.array([["+"] * 4] * 2)}, "label"),
        ({"reward": np.zeros((2, 3))}, "reward must have shape \\(sets, n\\), not \\(2, 3\\) \\(sets = 2, n = 4\\)"),
        ({"reward": np.full((2, 4), np.inf)}, "reward must be finite, not inf"),
    ],
)
def test_a_wrong_array_is_named_with_its_file(tmp_path, changes, message):
    with pytest.raises(ValueError, match=rf"probes\.npz: .*{message}"):
        read_probes(written(tmp_path, **changes))


def test_a_file_of_another_kind_or_half_a_file_is_refused(tmp_path):
    path = written(tmp_path) / "probes.npz"
    whole = path.read_bytes()
    for part in (b"", b"{}", whole[: len(whole) // 2], whole[:60] + b"\0" * 90 + whole[150:]):
        path.write_bytes(part)
        with pytest.raises(ValueError, match=r"probes\.npz: (not the probes of a run|the archive is broken)"):
            read_probes(tmp_path)


def test_nothing_is_unpickled(tmp_path):
    with pytest.raises(ValueError, match=r"probes\.npz: the archive is broken .*allow_pickle"):
        read_probes(written(tmp_path, logp=np.array([print], dtype=object)))


def test_a_folder_without_probes_is_said_to_have_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"probes\.npz"):
        read_probes(tmp_path)


def test_reading_needs_no_torch():
    code = "import sys, mapl_explore.runs.probes; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"

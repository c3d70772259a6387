"""What the base makes of data is kept under a hash of all that decides it, whole, and shared in a block alone."""

import numpy as np
import pytest
from tiny_models import save_tiny

from mapl_explore.training.kept import keep, read_kept, shared_in

ONE = {"logp": np.arange(3.0)}


def test_arrays_are_found_under_their_key_alone_and_not_in_a_damaged_file(tmp_path):
    own = tmp_path / "reference.npz"
    assert read_kept("a", own) is None
    keep("a", ONE, own)
    found = read_kept("a", own)
    assert found.keys() == ONE.keys()
    np.testing.assert_array_equal(found["logp"], ONE["logp"])
    assert read_kept("b", own) is None
    whole = own.read_bytes()
    for damaged in (b"", whole[:40], whole[:-30], b"\0" * len(whole)):
        own.write_bytes(damaged)
        assert read_kept("a", own) is None
    np.savez(own, logp=np.arange(3.0))  # without a key
    assert read_kept("a", own) is None


def test_runs_share_arrays_inside_a_block_alone(tmp_path):
    with shared_in(tmp_path / "one"):
        keep("a", ONE)
        with shared_in(tmp_path / "two"):
            assert read_kept("a") is None
        assert read_kept("a") is not None
    assert read_kept("a") is None
    keep("b", ONE)
    assert [path.name for path in tmp_path.rglob("*.npz")] == ["a.npz"]
    with shared_in(tmp_path / "one"):
        assert read_kept("a", tmp_path / "new.npz") is not None


def test_responses_of_one_base_have_the_kl_to_the_reference_of_each_run(tune, tmp_path):
    others = [str(save_tiny(tmp_path / f"other-{seed}", seed=seed)) for seed in (3, 4)]
    with shared_in(tmp_path / "kept"):
        found = [tune(f"run-{k}", loss="dpo", steps=1, answers=2, reference=one).run for k, one in enumerate(others)]
    assert found[0].before["kl"] != found[1].before["kl"]
    assert found[0].before["chosen_ratio"] != found[1].before["chosen_ratio"]
    assert found[0].before["entropy"] == found[1].before["entropy"]  # of the same responses


def test_a_failed_write_leaves_what_was_kept(tmp_path, monkeypatch):
    own = tmp_path / "reference.npz"
    keep("a", ONE, own)

    def failing(file, **columns):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", failing)
    with pytest.raises(OSError, match="disk full"):
        keep("b", ONE, own)
    assert read_kept("a", own) is not None

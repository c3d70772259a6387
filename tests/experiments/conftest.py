"""What tests of comparisons share: a plan of two arms, of one step each, on a random model."""

import pytest
from small_plans import EVAL
from tiny_models import save_tiny
from tuned_runs import SETS

from mapl_explore import write_sets


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A random model, and data to train on and to measure on."""
    place = tmp_path_factory.mktemp("files")
    write_sets(place / "train.jsonl", SETS)
    write_sets(place / "eval.jsonl", EVAL)
    return {
        "model": str(save_tiny(place / "base")),
        "data": str(place / "train.jsonl"),
        "eval": str(place / "eval.jsonl"),
    }


@pytest.fixture
def plan(files):
    common = {**files, "steps": 1, "answers": 0, "sets_per_step": 2, "device": "cpu", "sets": 4}
    arms = {"one": {"loss": "dpo-hardest"}, "other": {"loss": "DPO(pair=Smooth(tau=1.0))"}}
    return {"baseline": "one", "seeds": 2, "lr": 1e-3, "common": common, "arms": arms}

"""What the tests of finetune share: a random model, a function that fine-tunes it, a finished run."""

import pytest
from tiny_models import save_tiny
from tuned_runs import QUICK

from mapl_explore.training.finetuning import finetune


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    # GPT-2's own dropout would be 0.1; with 0.5 a forgotten one cannot be missed.
    return save_tiny(tmp_path_factory.mktemp("base"), dropout=0.5)


@pytest.fixture
def tune(base, tmp_path):
    """Fine-tune the random model: tune(name of the run, options...)."""
    return lambda name="run", **options: finetune(**{"model": base, "output": tmp_path / name, **QUICK, **options})


@pytest.fixture(scope="module")
def done(base, tmp_path_factory):
    """A finished DPO with answers, which the tests only look at."""
    return finetune(loss="dpo", model=base, output=tmp_path_factory.mktemp("done") / "run", **QUICK | {"answers": 2})

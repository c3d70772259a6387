"""What the tests of the command line share: a file of sets, commands without their work, two models."""

from types import SimpleNamespace

import pytest
from command_lines import SETS
from tiny_models import save_tiny

from mapl_explore.data import write_sets


@pytest.fixture
def sets_file(tmp_path):
    write_sets(tmp_path / "sets.jsonl", SETS)
    return tmp_path / "sets.jsonl"


@pytest.fixture
def finetuned(monkeypatch):
    """Replace finetune by one that keeps its arguments: a list of them."""
    calls = []

    def finetune(**options):
        calls.append(options)
        return SimpleNamespace(folder=options["output"], run=SimpleNamespace(table="the table"))

    monkeypatch.setattr("mapl_explore.training.finetuning.finetune", finetune)
    return calls


@pytest.fixture(scope="module")
def world_file(tmp_path_factory):
    from mapl_explore.data.world import world_sets

    path = tmp_path_factory.mktemp("world") / "sets.jsonl"
    write_sets(path, world_sets(12, seed=4))
    return path


@pytest.fixture
def no_model(monkeypatch):
    """Fail where a model is loaded."""
    for room in ("kept_scores", "loading"):  # the first is loaded by this, with the function as it is
        monkeypatch.setattr(
            f"mapl_explore.models.{room}.load_model", lambda *_, **__: pytest.fail("a model was loaded")
        )
        monkeypatch.setattr(
            f"mapl_explore.models.{room}.load_outline", lambda *_, **__: pytest.fail("a model was read")
        )


@pytest.fixture(scope="module")
def two_models(tmp_path_factory):
    """Two random models with one tokenizer."""
    folder = tmp_path_factory.mktemp("models")
    return [str(save_tiny(folder / str(seed), seed=seed)) for seed in (1, 2)]

"""FSDP2 gives the losses of one process and goes on from its checkpoints; what was not made to work is refused."""

import json

import pytest
import sharded_runs
from launches import ended
from tiny_models import save_tiny
from tuned_runs import EVAL, QUICK, TRAIN, timeless, weights

from mapl_explore.data import write_sets
from mapl_explore.notes import Note
from mapl_explore.runs.record import read_run
from mapl_explore.training.engine import require_engine, require_same_engine
from mapl_explore.training.finetuning import finetune
from mapl_explore.training.settings import Settings

CONFIGURATION = """
compute_environment: LOCAL_MACHINE
distributed_type: FSDP
fsdp_config:
  fsdp_version: 2
  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
  fsdp_state_dict_type: FULL_STATE_DICT
  fsdp_cpu_ram_efficient_loading: false
mixed_precision: 'no'
num_machines: 1
num_processes: 2
main_process_port: 0
"""
FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT"}


def test_sharded_weights_give_the_losses_of_whole_ones_and_a_resumed_run_those_of_one_that_was_not_stopped(tmp_path):
    save_tiny(tmp_path / "base")
    for name, sets in (("train", TRAIN), ("eval", EVAL)):
        write_sets(tmp_path / f"{name}.jsonl", sets)
    arguments = {"loss": "dpo", "model": str(tmp_path / "base"), "save_every": 2, "answers": 2, **QUICK, "steps": 4}
    arguments |= {"data": str(tmp_path / "train.jsonl"), "eval": str(tmp_path / "eval.jsonl"), "answers": 2}
    (tmp_path / "fsdp.yaml").write_text(CONFIGURATION)
    launch = ["-m", "accelerate.commands.launch", "--config_file", tmp_path / "fsdp.yaml", sharded_runs.__file__]
    done = ended(*launch, tmp_path / "whole", tmp_path / "cut", json.dumps(arguments))
    assert done.returncode == 0, done.stderr
    finetune(output=tmp_path / "one", **arguments)
    one, whole, cut = (read_run(tmp_path / name) for name in ("one", "whole", "cut"))
    assert len(one.log) == len(whole.log) == 4
    for mine, theirs in zip(one.log, whole.log, strict=True):
        assert abs(mine["loss"] - theirs["loss"]) <= 1e-5
    assert abs(one.after["loss"] - whole.after["loss"]) <= 1e-5
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert timeless(cut).log == timeless(whole).log


@pytest.mark.parametrize(
    ("changed", "options", "rule"),
    [
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, {}, "the launch must not use DeepSpeed"),
        ({"FSDP_VERSION": "1"}, {}, "the launch must use version 2 of FSDP"),
        ({"FSDP_VERSION": None}, {}, r"version 2 of FSDP \(fsdp_version: 2\), not 1"),  # accelerate's default
        ({"FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT"}, {}, "must be FULL_STATE_DICT, not SHARDED_STATE_DICT"),
        ({"FSDP_STATE_DICT_TYPE": None}, {}, "must be FULL_STATE_DICT, not None"),
        ({"FSDP_CPU_RAM_EFFICIENT_LOADING": "True"}, {}, "fsdp_cpu_ram_efficient_loading of the launch must be false"),
        ({}, {"lora": "r=2"}, "lora must not be given under FSDP"),
        ({}, {"answer_at": [1], "verifier": "world"}, "answer_at must not be given under FSDP"),
    ],
)
def test_an_engine_that_was_not_made_to_work_is_refused(changed, options, rule, monkeypatch):
    for name, value in {**FSDP, **changed}.items():
        if value is not None:
            monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=rule):
        require_engine(Settings(loss="dpo", data="d", output="o", **options), on_cpu=False)


def test_fsdp_on_a_cpu_is_said_to_be_none(monkeypatch):
    for name, value in FSDP.items():
        monkeypatch.setenv(name, value)
    with pytest.warns(Note, match="on CPUs each process holds the whole model"):
        require_engine(Settings(loss="dpo", data="d", output="o"), on_cpu=True)


@pytest.mark.parametrize(("file", "fsdp"), [("optimizer.pt", True), ("optimizer.bin", False)])
def test_a_checkpoint_of_another_engine_is_refused(file, fsdp, tmp_path, monkeypatch):
    (tmp_path / file).touch()
    monkeypatch.setenv("ACCELERATE_USE_FSDP", str(fsdp))
    with pytest.raises(ValueError, match=f"{tmp_path.name} was written under .*cannot be gone on with under"):
        require_same_engine(tmp_path)

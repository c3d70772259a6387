"""A run that is killed goes on to the same bits; two processes are as good as one."""

import signal
from dataclasses import replace

import gradients_of_a_step
import numpy as np
import pytest
from launches import ended, in_two_processes
from tiny_models import save_tiny

from mapl_explore.cli.main import main
from mapl_explore.data import PreferenceSet, write_sets
from mapl_explore.files import sole_writer
from mapl_explore.models import processes
from mapl_explore.runs.record import read_run
from mapl_explore.training.trainer import PreferenceTrainer

SETS = [PreferenceSet(f"what is {i}?", [f" {i}", " yes"][: 1 + i % 2], [" no", " x", " y"][i % 3 :]) for i in range(12)]
# A training that is killed in the midst of its second checkpoint: the optimizer is written, the state is not.
KILLED = """
import os, signal, sys
from transformers import TrainerState
from mapl_explore.cli.main import main
save = TrainerState.save_to_json
def killed(state, path):
    os.kill(os.getpid(), signal.SIGKILL) if state.global_step == 4 else save(state, path)
TrainerState.save_to_json = killed
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return a folder with a model ``base``, ``train.jsonl`` and ``eval.jsonl``."""
    folder = tmp_path_factory.mktemp("files")
    save_tiny(folder / "base")
    write_sets(folder / "train.jsonl", SETS[:8])
    write_sets(folder / "eval.jsonl", SETS[8:])
    return folder


def command(files, output, *more):
    words = ["finetune", "--loss", "dpo-smooth", "--model", str(files / "base"), "--output", str(output)]
    words += ["--data", str(files / "train.jsonl"), "--eval", str(files / "eval.jsonl"), "--device", "cpu"]
    return [*words, "--steps", "12", "--sets-per-step", "4", "--lr", "1e-3", "--answers", "2", *more]


def timeless(run):
    return [{name: value for name, value in entry.items() if name != "tokens_per_second"} for entry in run.log]


def test_a_run_killed_on_its_way_resumes_to_the_bits_of_the_whole_one(files, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    done = ended("-c", KILLED, *command(files, cut, "--save-every", "2"))
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not read_run(cut).finished
    assert main(command(files, whole, "--save-every", "2")) == 0
    assert main(command(files, cut, "--save-every", "2", "--resume")) == 0
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert timeless(read_run(cut)) == timeless(read_run(whole))
    assert read_run(cut).after == read_run(whole).after


def test_the_command_finds_the_other_process_by_itself_where_there_is_no_gpu(files, tmp_path):
    words = [word for word in command(files, tmp_path / "run", "--steps", "1") if word not in ("--device", "cpu")]
    done = in_two_processes("-m", "mapl_explore", *words)
    assert done.returncode == 0, done.stderr
    assert len(read_run(tmp_path / "run").log) == 1


def test_two_processes_in_little_memory_give_the_gradients_the_losses_and_the_one_record_of_one(
    files, tmp_path, monkeypatch
):
    one, two = (
        [str(files), str(tmp_path / name), str(tmp_path / f"{name}.npz"), "dpo-smooth"] for name in ("one", "two")
    )
    with monkeypatch.context() as patch:
        patch.setattr(PreferenceTrainer, "create_optimizer", PreferenceTrainer.create_optimizer)  # put back after it
        gradients_of_a_step.main(*one)
    done = in_two_processes(gradients_of_a_step.__file__, *two)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    with np.load(tmp_path / "one.npz") as one, np.load(tmp_path / "two.npz") as two:
        assert set(one) == set(two)
        largest = max(np.abs(one[name]).max() for name in one)
        assert largest > 1e-3
        for name in one:
            np.testing.assert_allclose(two[name], one[name], rtol=0, atol=1e-6 * max(1.0, largest))
    one, two = read_run(tmp_path / "one"), read_run(tmp_path / "two")
    assert two.finished
    assert one.log[0].keys() == two.log[0].keys()
    for mine, theirs in zip(one.log, two.log, strict=True):
        for name in ("loss", "hard_margin", "chosen", "negative_error"):
            # Log-probs of 50 to 100 nats do not depend on the batch beyond 1e-5; Adam's first steps enlarge that.
            assert abs(mine[name] - theirs[name]) <= 1e-3, name
    assert (tmp_path / "two" / "probes.npz").exists()


GRADED = """
from dataclasses import dataclass
from mapl_explore import Loss
@dataclass(frozen=True)
class ByReward(Loss):
    def value(self, sets, sides):
        return -(sets.reward * sets.logp).sum(-1)
"""


def test_two_processes_give_a_loss_of_rewards_the_steps_of_one(files, tmp_path):
    for name, some in (("train", SETS[:8]), ("eval", SETS[8:])):
        sets = [replace(one, scores=[(i + j) / 7 for j in range(len(one.responses))]) for i, one in enumerate(some)]
        write_sets(tmp_path / f"{name}.jsonl", sets)
    (tmp_path / "base").symlink_to(files / "base")
    (tmp_path / "graded_loss.py").write_text(GRADED)
    words = command(tmp_path, tmp_path / "two", "--import", str(tmp_path / "graded_loss.py"), "--steps", "2")
    words[2] = "ByReward()"
    done = in_two_processes("-m", "mapl_explore", *words)
    assert done.returncode == 0, done.stderr
    words[words.index("--output") + 1] = str(tmp_path / "one")
    assert ended("-m", "mapl_explore", *words).returncode == 0
    one, two = read_run(tmp_path / "one"), read_run(tmp_path / "two")
    assert abs(one.log[0]["loss"] - two.log[0]["loss"]) <= 1e-4  # log-probs of 50 to 100 nats, rewards up to 2
    assert abs(one.before["loss"] - two.before["loss"]) <= 1e-4


def test_a_run_into_the_folder_of_another_is_refused_in_both_its_processes(files, tmp_path):
    with sole_writer(tmp_path / "run"):
        done = in_two_processes("-m", "mapl_explore", *command(files, tmp_path / "run"))
    assert done.returncode != 0
    assert "run' is being written by another process" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_work_is_shared_by_what_it_costs_and_each_item_goes_to_one_process(monkeypatch):
    shares = []
    for number in range(2):
        monkeypatch.setattr(processes, "launched", lambda number=number: (number, 2))
        shares.append(processes.my_share("abcdef", [5, 1, 1, 1, 4, 1]))
    assert shares == [["a", "f"], ["b", "c", "d", "e"]]

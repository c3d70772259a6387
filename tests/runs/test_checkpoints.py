"""A checkpoint is gone on from only if all of it can be read; the whole one next to it is taken in its place."""

import json
import shutil
import zipfile

import pytest
import safetensors.torch
import torch
from whole_checkpoints import WEIGHTS, checkpoint

from mapl_explore.runs.checkpoints import broken_checkpoints, has_finite_weights, last_checkpoint


def sharded(path):
    """Cut the weights of a checkpoint into two files with an index."""
    (path / "model.safetensors").unlink()
    names = {name: f"model-0000{number}-of-00002.safetensors" for number, name in enumerate(("a.weight", "half"), 1)}
    for name, file in names.items():
        safetensors.torch.save_file({name: WEIGHTS[name]}, path / file)
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    return path


def test_the_last_checkpoint_is_the_one_of_the_highest_step(tmp_path):
    for step in (9, 10, 8):
        checkpoint(tmp_path, step)
    assert last_checkpoint(tmp_path).name == "checkpoint-10"
    assert broken_checkpoints(tmp_path) == []


def test_weights_in_several_files_are_whole(tmp_path):
    sharded(checkpoint(tmp_path, 3))
    assert last_checkpoint(tmp_path).name == "checkpoint-3"


def adapted(path):
    """Put adapters with their configuration in the place of the weights of a checkpoint."""
    (path / "model.safetensors").rename(path / "adapter_model.safetensors")
    (path / "config.json").rename(path / "adapter_config.json")
    return path


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_adapters_are_whole_with_their_configuration(tmp_path, name):
    adapted(checkpoint(tmp_path, 1))
    damaged = adapted(checkpoint(tmp_path, 2))
    assert last_checkpoint(tmp_path).name == "checkpoint-2"
    content = (damaged / name).read_bytes()
    for make in ((damaged / name).unlink, lambda: (damaged / name).write_bytes(content[:-1])):
        make()
        assert last_checkpoint(tmp_path).name == "checkpoint-1"


def test_without_a_whole_checkpoint_there_is_none(tmp_path):
    assert last_checkpoint(tmp_path) is None
    (tmp_path / "checkpoints" / "checkpoint-1").mkdir(parents=True)
    assert last_checkpoint(tmp_path) is None


def test_what_is_no_checkpoint_is_no_matter(tmp_path):
    checkpoint(tmp_path, 1)
    (tmp_path / "checkpoints" / "checkpoint-old").mkdir()
    (tmp_path / "checkpoints" / "checkpoint-7").write_text("")
    assert last_checkpoint(tmp_path).name == "checkpoint-1"
    assert broken_checkpoints(tmp_path) == []


FILES = ("model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json", "config.json")


@pytest.mark.parametrize("name", [*FILES, "rng_state.pth", "tokenizer.json"])
@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.99])
def test_a_checkpoint_with_a_file_cut_off_is_passed_over(tmp_path, name, part):
    checkpoint(tmp_path, 1)
    path = checkpoint(tmp_path, 2) / name
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    assert last_checkpoint(tmp_path).name == "checkpoint-1"
    assert [one.name for one in broken_checkpoints(tmp_path)] == ["checkpoint-2"]


@pytest.mark.parametrize("name", FILES)
def test_a_checkpoint_without_one_of_its_files_is_passed_over(tmp_path, name):
    checkpoint(tmp_path, 1)
    (checkpoint(tmp_path, 2) / name).unlink()
    assert last_checkpoint(tmp_path).name == "checkpoint-1"


TWO = (2).to_bytes(8, "little")  # the length of a header of two letters
HARMS = [
    lambda content: content + b"more",
    lambda content: b"\xff" * 8 + content[8:],
    lambda content: content[:9] + b"}" + content[10:],
    lambda content: TWO + b"[]",
    lambda content: TWO + b"{}" + bytes(5),
    lambda content: b"<html>not found</html>",
    lambda content: (29).to_bytes(8, "little") + b'{"a": {"data_offsets": "ab"}}',
]


@pytest.mark.parametrize("harm", HARMS)
def test_weights_that_are_not_as_their_header_says_are_passed_over(tmp_path, harm):
    checkpoint(tmp_path, 1)
    path = checkpoint(tmp_path, 2) / "model.safetensors"
    path.write_bytes(harm(path.read_bytes()))
    assert last_checkpoint(tmp_path).name == "checkpoint-1"


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_a_changed_byte_in_a_state_is_found_by_its_checksum(tmp_path, name):
    checkpoint(tmp_path, 1)
    path = checkpoint(tmp_path, 2) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert last_checkpoint(tmp_path).name == "checkpoint-1"


@pytest.mark.parametrize("state", ["", "5", "[]", "{}", '["global_step"]', '{"global_st', "null", "[" * 100_000])
def test_a_state_of_another_kind_is_passed_over(tmp_path, state):
    checkpoint(tmp_path, 1)
    (checkpoint(tmp_path, 2) / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path).name == "checkpoint-1"


@pytest.mark.parametrize("index", ["{", "[]", "{}", '{"weight_map": {}}', '{"weight_map": ["x"]}'])
def test_an_index_that_names_no_files_is_passed_over(tmp_path, index):
    checkpoint(tmp_path, 1)
    (sharded(checkpoint(tmp_path, 2)) / "model.safetensors.index.json").write_text(index)
    assert last_checkpoint(tmp_path).name == "checkpoint-1"


def test_a_missing_part_of_the_weights_is_passed_over(tmp_path):
    checkpoint(tmp_path, 1)
    (sharded(checkpoint(tmp_path, 2)) / "model-00002-of-00002.safetensors").unlink()
    assert last_checkpoint(tmp_path).name == "checkpoint-1"


def test_a_state_of_an_empty_archive_is_passed_over(tmp_path):
    checkpoint(tmp_path, 1)
    zipfile.ZipFile(checkpoint(tmp_path, 2) / "optimizer.pt", "w").close()
    assert last_checkpoint(tmp_path).name == "checkpoint-1"


@pytest.mark.parametrize("value", [torch.nan, -torch.inf])
def test_one_weight_of_many_that_is_not_finite_is_found(tmp_path, value):
    path = checkpoint(tmp_path, 1)
    assert has_finite_weights(path)
    half = torch.ones(5).bfloat16()
    half[3] = value
    safetensors.torch.save_file({**WEIGHTS, "half": half}, path / "model.safetensors")
    assert not has_finite_weights(path)


def test_nothing_is_unpickled(tmp_path):
    path = checkpoint(tmp_path, 2)
    torch.save(Trap(), path / "rng_state.pth")
    assert last_checkpoint(tmp_path) == path
    shutil.rmtree(path)


class Trap:
    def __reduce__(self):
        return pytest.fail, ("it was unpickled",)

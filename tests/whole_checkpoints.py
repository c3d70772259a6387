"""Checkpoints as transformers writes them, with little in them."""

import json

import safetensors.torch
import torch

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.zeros(0), "half": torch.ones(5).bfloat16()}


def checkpoint(folder, step):
    """Write a checkpoint of a run, all of whose files can be read."""
    path = folder / "checkpoints" / f"checkpoint-{step}"
    path.mkdir(parents=True)
    safetensors.torch.save_file(WEIGHTS, path / "model.safetensors", metadata={"format": "pt"})
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        torch.save({"state": torch.arange(1000.0), "step": step}, path / name)
    for name, content in (
        ("config.json", {}),
        ("tokenizer.json", {"model": {}}),
        ("trainer_state.json", {"global_step": 1}),
    ):
        (path / name).write_text(json.dumps(content))
    return path

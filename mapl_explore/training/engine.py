"""Which engine of accelerate shares a model among processes: DDP, or FSDP2; others are refused before any work."""

import os
from pathlib import Path

from mapl_explore.notes import note
from mapl_explore.runs.checkpoints import OPTIMIZERS
from mapl_explore.training.settings import Settings


def uses_fsdp() -> bool:
    """Return whether the launch has a configuration of FSDP."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def require_engine(settings: Settings, on_cpu: bool) -> None:
    """Raise where a launch asks for what was not made to work; say where accelerate passes it over.

    Raises
    ------
    ValueError
        If it asks for DeepSpeed, for FSDP 1, for checkpoints of FSDP in parts, for a base that one process alone reads,
        or for LoRA or a learning curve next to FSDP.
    """
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true":
        raise ValueError("the launch must not use DeepSpeed: give accelerate a configuration of FSDP2, or of DDP")
    if not uses_fsdp():
        return
    version, kind = os.environ.get("FSDP_VERSION", "1"), os.environ.get("FSDP_STATE_DICT_TYPE")
    if version != "2":
        raise ValueError(f"the launch must use version 2 of FSDP (fsdp_version: 2), not {version}")
    if kind != "FULL_STATE_DICT":
        raise ValueError(f"fsdp_state_dict_type of the launch must be FULL_STATE_DICT, not {kind}")
    if os.environ.get("FSDP_CPU_RAM_EFFICIENT_LOADING", "false").lower() == "true":
        raise ValueError("fsdp_cpu_ram_efficient_loading of the launch must be false: each process reads the base")
    if settings.lora is not None:
        raise ValueError("lora must not be given under FSDP: launch without it, adapters take little memory")
    if settings.answer_at:
        raise ValueError(
            "answer_at must not be given under FSDP: one process would respond, with a part of the weights"
        )
    if on_cpu:
        note("accelerate uses FSDP on GPUs alone: on CPUs each process holds the whole model, as in DDP")


def require_same_engine(checkpoint: Path) -> None:
    """Raise unless the optimizer of a checkpoint was written by the engine of this launch."""
    if not (checkpoint / OPTIMIZERS[uses_fsdp()]).exists():
        given, now = ("FSDP", "DDP or one process") if not uses_fsdp() else ("DDP or one process", "FSDP")
        raise ValueError(f"{checkpoint.name} was written under {given}, and cannot be gone on with under {now}")

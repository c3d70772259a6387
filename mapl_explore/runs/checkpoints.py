"""The checkpoints of a run: which of them were written to their end and can still be read. Without torch.

Nothing is unpickled. A file is checked by its structure, and by the checksums in it where it has some.
"""

import json
import os
import zipfile
from pathlib import Path

from mapl_explore.files import UNREADABLE

STATE = "trainer_state.json"  # transformers writes it last, and not atomically
NEEDED = (STATE, "scheduler.pt")
OPTIMIZERS = {False: "optimizer.pt", True: "optimizer.bin"}  # without FSDP2, and with it
TORCH = (".pt", ".pth", ".bin")  # files of torch.save
ADAPTERS = {"adapter_config.json", "adapter_model.safetensors"}


def last_checkpoint(folder: str | os.PathLike) -> Path | None:
    """Return the newest whole checkpoint of a run, or None; others are passed over."""
    newest_first = sorted(_checkpoints(folder), key=lambda path: -int(path.name.rpartition("-")[2]))
    return next((path for path in newest_first if is_whole(path)), None)


def broken_checkpoints(folder: str | os.PathLike) -> list[Path]:
    """Return the checkpoints that were not written to their end, or cannot be read any more."""
    return sorted(path for path in _checkpoints(folder) if not is_whole(path))


def is_whole(checkpoint: Path) -> bool:
    """Return whether weights, optimizer and trainer state of a checkpoint are there and can be read."""
    files = [path for path in checkpoint.iterdir() if path.is_file()]
    names = {path.name for path in files}
    return (
        names.issuperset(NEEDED)
        and not names.isdisjoint(OPTIMIZERS.values())
        and _has_weights(checkpoint, names)
        and all(map(_can_be_read, files))
    )


def has_finite_weights(checkpoint: Path) -> bool:
    """Return whether no weight of a whole checkpoint is NaN or infinite."""
    from safetensors import safe_open

    for path in checkpoint.glob("*.safetensors"):
        with safe_open(path, "pt") as file:  # by torch, which whoever goes on with a run has: numpy has no bfloat16
            if not all(file.get_tensor(name).isfinite().all() for name in file.keys()):  # noqa: SIM118
                return False
    return True


def _checkpoints(folder: str | os.PathLike) -> list[Path]:
    candidates = (Path(folder) / "checkpoints").glob("checkpoint-*")
    return [path for path in candidates if path.name.rpartition("-")[2].isdecimal() and path.is_dir()]


def _has_weights(checkpoint: Path, names: set[str]) -> bool:
    """Return whether there are weights with their configuration: adapters, one file, or all that an index names."""
    if names >= ADAPTERS or "config.json" not in names:
        return names >= ADAPTERS
    if "model.safetensors" in names:
        return True
    try:
        index = json.loads((checkpoint / "model.safetensors.index.json").read_text(encoding="utf-8"))
        return bool(index["weight_map"]) and names.issuperset(index["weight_map"].values())
    except UNREADABLE:
        return False


def _can_be_read(path: Path) -> bool:
    """Return whether a file is what its ending says; a file with another ending is not checked."""
    check = {".json": _is_json, ".safetensors": _is_safetensors, **dict.fromkeys(TORCH, _is_zip)}.get(path.suffix)
    try:
        return check is None or check(path)
    except UNREADABLE:
        return False


def _is_json(path: Path) -> bool:
    content = json.loads(path.read_text(encoding="utf-8"))
    return path.name != STATE or (isinstance(content, dict) and "global_step" in content)


def _is_safetensors(path: Path) -> bool:
    """Return whether a file is as long as its header says: 8 bytes with its length, itself, and the tensors."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > path.stat().st_size:
            return False
        header = json.loads(file.read(length))
    ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    return path.stat().st_size == 8 + length + max(ends, default=0)


def _is_zip(path: Path) -> bool:
    """Return whether a file of ``torch.save`` has all its parts, each with its checksum."""
    with zipfile.ZipFile(path) as archive:
        return bool(archive.namelist()) and archive.testzip() is None

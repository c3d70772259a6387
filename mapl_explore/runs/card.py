"""The card of a run, its README.md: what was trained and with which result, for people."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mapl_explore.files import counted, read_json

if TYPE_CHECKING:
    from mapl_explore.runs.record import Run  # which writes the card, and so reads this module


ADAPTERS = "adapter_config.json"  # of peft
WHOLE = "`transformers.AutoModelForCausalLM.from_pretrained` on this folder gives the model."
ADAPTED = """This folder holds adapters (LoRA). `peft.AutoPeftModelForCausalLM.from_pretrained` on it gives the model
with them, and so does `transformers.AutoModelForCausalLM.from_pretrained` where peft is installed;
`mapl_explore.load_model` merges them. The base is read from where `adapter_config.json` has it
(`base_model_name_or_path`)."""
ON_ADAPTERS = """This folder holds adapters (LoRA) on a base that holds adapters itself. `mapl_explore.load_model` on it
gives the model; other tools do not read the two together."""


def card(run: "Run", folder: str | os.PathLike) -> str:
    """Return the text of the card of a run in its folder."""
    adapted = (Path(folder) / ADAPTERS).is_file()
    base = _base(folder) if adapted else ""
    way = ON_ADAPTERS if (Path(base or folder) / ADAPTERS).is_file() and base else ADAPTED if adapted else WHOLE
    front = "library_name: " + ("peft" if adapted else "transformers")
    front += f"\nbase_model: {json.dumps(_name(base))}" * bool(base)
    return f"""---
{front}
pipeline_tag: text-generation
tags: [preference-learning, mapl_explore]
---

# A causal language model fine-tuned on preference sets

Loss: `{run.loss}`

{_listed(run.arguments)}
{_listed(data_lines(run) | _weights_line(run))}
- versions: {", ".join(f"{name} {version}" for name, version in run.versions.items())}

```
{run.table if run.finished else "The run has not come to its end."}
```

{way if run.finished else "The model is not here yet."} Its dropout was off in training.
The margins compare responses by the loss's own score; `run.json` has every step."""


def _base(folder: str | os.PathLike) -> str:
    """Return the name of the model that the adapters in a folder belong to, "" where they name none."""
    return str(read_json(Path(folder) / ADAPTERS).get("base_model_name_or_path") or "")


def _name(base: str) -> str:
    """Return the name of a model on the hub, or of its folder alone: where that lies is nobody else's business."""
    return Path(base).name if os.path.isdir(base) else base


def data_lines(run: "Run") -> dict[str, str]:
    """Return which data a run has, for people."""
    return {
        f"{name} data": f"{counted(each['sets'], 'set')} with contents of sha256 {each['sha256']}"
        for name, each in run.data.items()
    }


def _weights_line(run: "Run") -> dict[str, str]:
    return {"weights of the model before": f"sha256 {run.weights_checksum}"} if run.weights_checksum else {}


def _listed(items: Mapping) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in items.items())

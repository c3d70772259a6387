"""The card of a run, its README.md: what was trained and with which result, for people."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mapl_explore.files import counted

if TYPE_CHECKING:
    from mapl_explore.runs.record import Run  # which writes the card, and so reads this module


def card(run: "Run") -> str:
    """Return the text of the card."""
    adapted = " (with peft, where it holds adapters)" if run.arguments.get("lora") else ""
    return f"""---
library_name: transformers
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

`transformers.AutoModelForCausalLM.from_pretrained` on this folder gives the model{adapted}. Its dropout was off in
training.
The margins compare responses by the loss's own score; `run.json` has every step."""


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

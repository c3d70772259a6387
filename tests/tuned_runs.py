"""What tests of finetune share: sets, options of a quick run, and its numbers by hand."""

from dataclasses import replace

import datasets
import numpy as np
import torch

from mapl_explore.data import PreferenceSet
from mapl_explore.models.encoding import encode_sets

WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
SETS = [
    PreferenceSet(
        f"what comes after {word}?",
        [f" {word} and one", f" next to {word}"][: 1 + i % 2],
        [f" {word}", " no", " x"][i % 3 :],
    )
    for i, word in enumerate(WORDS)
]
TRAIN, EVAL = SETS[:8], SETS[8:]
TABLE = datasets.Dataset.from_list([{"prompt": "p", "chosen": "a", "rejected": "b"}])
# Two answers before and after take as long as the training of two steps: only a test of what they decide asks for them.
QUICK = {"data": TRAIN, "eval": EVAL, "steps": 2, "answers": 0, "sets_per_step": 4, "lr": 1e-3}
QUICK |= {"device": "cpu", "progress": False}  # what a GPU computes has tests of its own


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def by_hand(model, tokenizer, sets):
    """Return label and log-probabilities of each set, from the logits of every whole sequence alone."""
    rows = []
    for one in encode_sets(tokenizer, sets, context=64):
        with torch.no_grad():
            logits = [model(torch.tensor([[*one.prompt, *ids]])).logits[0].double() for ids in one.responses]
        logp = [
            each.log_softmax(-1)[len(one.prompt) - 1 : -1].gather(1, torch.tensor(ids)[:, None]).sum().item()
            for each, ids in zip(logits, one.responses, strict=True)
        ]
        rows.append((np.array(one.labels), np.array(logp)))
    return rows


def measures_by_hand(rows, tau):
    """Return the means that a MaxMin on the smooth pair logs, from the definitions in design terms."""
    chosen = [logp[label > 0] for label, logp in rows]
    rejected = [logp[label < 0] for label, logp in rows]
    hard = np.array([up.min() - down.max() for up, down in zip(chosen, rejected, strict=True)])
    smooth = np.array(
        [
            -np.log(np.exp(-tau * up).sum()) / tau - np.log(np.exp(tau * down).sum()) / tau
            for up, down in zip(chosen, rejected, strict=True)
        ]
    )
    return {
        "loss": -smooth.mean(), "margin": smooth.mean(), "hard_margin": hard.mean(), "accuracy": (hard > 0).mean(),
        "chosen": np.mean([up.mean() for up in chosen]), "rejected": np.mean([down.mean() for down in rejected]),
    }  # fmt: skip


def timeless(run):
    """Return a record without what the clock decides."""
    return replace(run, log=[{k: v for k, v in entry.items() if k != "tokens_per_second"} for entry in run.log])


def interrupted(monkeypatch, step):
    """Let the next training end in the log of a step."""
    from mapl_explore.training.trainer import PreferenceTrainer

    log = PreferenceTrainer.log

    def ended(self, logs, start_time=None):
        if self.state.global_step == step:
            raise KeyboardInterrupt
        log(self, logs, start_time)

    monkeypatch.setattr(PreferenceTrainer, "log", ended)

"""Train three steps and write the gradients of the first: python gradients_of_a_step.py FILES RUN OUT LOSS.

As a program it does so in little memory: with the logits of a few tokens at a time, and activations computed again.
"""

import sys
from pathlib import Path

import numpy as np

from mapl_explore.models import likelihood
from mapl_explore.training import trainer
from mapl_explore.training.finetuning import finetune


def main(files, run, out, loss, checkpointing=False):
    trainer.PreferenceTrainer.create_optimizer = keeping(trainer.PreferenceTrainer.create_optimizer, out)
    options = {"data": Path(files) / "train.jsonl", "eval": Path(files) / "eval.jsonl", "model": Path(files) / "base"}
    options |= {"steps": 3, "sets_per_step": 4, "lr": 1e-3, "answers": 2, "device": "cpu", "progress": False}
    finetune(loss=loss, output=run, checkpointing=checkpointing, **options)


def keeping(original, out):
    """Return a way to make the optimizer that writes the gradients just before it steps."""

    def create_optimizer(self, *args):
        def keep(*_):
            if self.is_world_process_zero() and not Path(out).exists():
                np.savez(out, **{name: weights.grad.numpy() for name, weights in self.model.named_parameters()})

        optimizer = original(self, *args)
        optimizer.register_step_pre_hook(keep)
        return optimizer

    return create_optimizer


if __name__ == "__main__":
    likelihood.LOGITS = 2000
    main(*sys.argv[1:], checkpointing=True)

"""Train one step and write the gradients that the optimizer got: python gradients_of_a_step.py FILES RUN OUT LOSS."""

import sys
from pathlib import Path

import numpy as np

from mapl_explore import trainer
from mapl_explore.training import finetune

files, run, out, loss = sys.argv[1:]


def create_optimizer(self, *args, original=trainer.PreferenceTrainer.create_optimizer):
    optimizer = original(self, *args)

    def keep(*_):
        if self.is_world_process_zero():
            np.savez(out, **{name: weights.grad.numpy() for name, weights in self.model.named_parameters()})

    optimizer.register_step_pre_hook(keep)
    return optimizer


trainer.PreferenceTrainer.create_optimizer = create_optimizer
options = {"data": Path(files) / "train.jsonl", "eval": Path(files) / "eval.jsonl", "model": Path(files) / "base"}
finetune(loss=loss, output=run, steps=1, sets_per_step=4, lr=1e-3, answers=0, progress=False, **options)

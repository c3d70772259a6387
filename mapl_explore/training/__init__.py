"""Fine-tuning with a loss over sets: the trainer, what it logs and saves, and how a model does before and after."""

from mapl_explore.training.settings import Settings

__all__ = ["Settings"]

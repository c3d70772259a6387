"""Pictures to move by slider: each shows what the library computes and hands out the loss as set."""

from mapl_explore.explorers.bounds import BoundsExplorer
from mapl_explore.explorers.losses import LossExplorer
from mapl_explore.explorers.pairs import PairsExplorer
from mapl_explore.explorers.precision import PrecisionExplorer
from mapl_explore.explorers.smooth_max import SmoothMaxExplorer
from mapl_explore.explorers.temperature import TemperatureExplorer
from mapl_explore.explorers.training import TrainingExplorer

__all__ = [
    "BoundsExplorer",
    "LossExplorer",
    "PairsExplorer",
    "PrecisionExplorer",
    "SmoothMaxExplorer",
    "TemperatureExplorer",
    "TrainingExplorer",
]

"""Pictures to move by slider: each shows what the library computes and hands out the loss as set."""

from mapl_explore.explorers.bounds import BoundsExplorer
from mapl_explore.explorers.precision import PrecisionExplorer
from mapl_explore.explorers.smooth_max import SmoothMaxExplorer
from mapl_explore.explorers.temperature import TemperatureExplorer

__all__ = ["BoundsExplorer", "PrecisionExplorer", "SmoothMaxExplorer", "TemperatureExplorer"]

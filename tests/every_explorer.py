"""Every explorer, on its own example and on sets that are hard to show."""

import numpy as np
from explorer_controls import SETS
from recorded_runs import recorded

from mapl_explore.explorers import (
    BoundsExplorer,
    LossExplorer,
    PairsExplorer,
    PrecisionExplorer,
    SmoothMaxExplorer,
    TemperatureExplorer,
    TrainingExplorer,
)
from mapl_explore.losses import ScoredSets

LARGE = ScoredSets(-np.geomspace(1, 900, 30), [-9.0] * 30, [12] * 30, [1, -1] * 15)
MAKERS = {
    "smooth max": SmoothMaxExplorer,
    "smooth max of one": lambda: SmoothMaxExplorer([-1.0]),
    "smooth max of eight ties": lambda: SmoothMaxExplorer([3.0] * 8),
    "bounds": BoundsExplorer,
    "bounds of own scores": lambda: BoundsExplorer([-1.0, -float("inf"), -700.0]),
    "bounds of sets": lambda: BoundsExplorer(SETS),
    "temperature": TemperatureExplorer,
    "temperature of one score": lambda: TemperatureExplorer([-1.0]),
    "temperature of a tie": lambda: TemperatureExplorer([-1.0, -1.0, -2.0]),
    "temperature of sets": lambda: TemperatureExplorer(SETS),
    "loss": LossExplorer,
    "loss over four": lambda: LossExplorer("dpo-share", over=["orpo", "ipo", "simpo", "post-orpo"]),
    "loss on sets": lambda: LossExplorer("dpo-mellow", sets=SETS),
    "precision": PrecisionExplorer,
    "pairs": PairsExplorer,
    "pairs of one and one": lambda: PairsExplorer(ScoredSets([-1.0, -2.0], [-1.0, -1.0], [3, 3], [1, -1])),
    "pairs that tie": lambda: PairsExplorer(ScoredSets([-2.0] * 5, [-3.0] * 5, [3] * 5, [1, -1, 1, -1, -1])),
    "pairs of sets": lambda: PairsExplorer(SETS, loss="cpo"),
    "pairs of a large set": lambda: PairsExplorer(LARGE, loss="simpo"),
    "training": lambda: recorded(TrainingExplorer, "DPO(pair=Smooth(tau=LeaderShare(share=0.9)))"),
    "training that anneals, of twelve responses, one step in three recorded": lambda: recorded(
        TrainingExplorer, "CPO(pair=Mellow(tau=Anneal(start=0.5, stop=50.0)))", step=range(0, 13, 3), per_side=6
    ),
    "training without a pair, one step of one set": lambda: recorded(TrainingExplorer, "SFT()", step=[0], sets=1),
    "training of one against one": lambda: recorded(TrainingExplorer, "OneSided(pair=Smooth(tau=2.0))", per_side=1),
}

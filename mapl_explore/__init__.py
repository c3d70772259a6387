"""See, trust and train with the mathematics of smoothed max-min preference learning.

What needs torch or widgets is loaded on first use, so that ``import mapl_explore`` is quick and needs neither.
"""

import importlib

from mapl_explore.bounds import error_asymptote, error_lower_bound, error_upper_bound
from mapl_explore.data import PreferenceSet, read_sets, write_sets
from mapl_explore.losses import (
    CPO,
    DPO,
    IPO,
    LOSSES,
    ORPO,
    SFT,
    Anneal,
    ExactError,
    Explained,
    First,
    Hardest,
    Hinge,
    LeaderShare,
    Loss,
    LowerBound,
    MaxMin,
    Mean,
    Mellow,
    OneSided,
    Pair,
    ScoredSets,
    SimPO,
    Smooth,
    TauRule,
    UpperBound,
    explain,
    margin,
    parse,
)
from mapl_explore.selection import Band, Bell, QuantileBand, QuantileBell, RejectionSampler, pair_margins
from mapl_explore.smoothing import smooth_max, smooth_max_weights, smooth_min, smoothing_error, top_gap
from mapl_explore.temperature import (
    solve_tau_asymptotic,
    solve_tau_exact,
    solve_tau_lower,
    solve_tau_share,
    solve_tau_share_exact,
    solve_tau_upper,
)

__version__ = "0.1.0"

ON_FIRST_USE = {
    "BoundsExplorer": "mapl_explore.explorers",
    "LossExplorer": "mapl_explore.explorers",
    "PairsExplorer": "mapl_explore.explorers",
    "PrecisionExplorer": "mapl_explore.explorers",
    "SmoothMaxExplorer": "mapl_explore.explorers",
    "TemperatureExplorer": "mapl_explore.explorers",
    "TrainingExplorer": "mapl_explore.explorers",
    "PreferenceTrainer": "mapl_explore.trainer",
    "finetune": "mapl_explore.training",
    "load_model": "mapl_explore.scoring",
    "score_sets": "mapl_explore.scoring",
}

__all__ = [
    "CPO",
    "DPO",
    "IPO",
    "LOSSES",
    "ORPO",
    "SFT",
    "Anneal",
    "Band",
    "Bell",
    "BoundsExplorer",
    "ExactError",
    "Explained",
    "First",
    "Hardest",
    "Hinge",
    "LeaderShare",
    "Loss",
    "LossExplorer",
    "LowerBound",
    "MaxMin",
    "Mean",
    "Mellow",
    "OneSided",
    "Pair",
    "PairsExplorer",
    "PrecisionExplorer",
    "PreferenceSet",
    "PreferenceTrainer",
    "QuantileBand",
    "QuantileBell",
    "RejectionSampler",
    "ScoredSets",
    "SimPO",
    "Smooth",
    "SmoothMaxExplorer",
    "TauRule",
    "TemperatureExplorer",
    "TrainingExplorer",
    "UpperBound",
    "error_asymptote",
    "error_lower_bound",
    "error_upper_bound",
    "explain",
    "finetune",
    "load_model",
    "margin",
    "pair_margins",
    "parse",
    "read_sets",
    "score_sets",
    "smooth_max",
    "smooth_max_weights",
    "smooth_min",
    "smoothing_error",
    "solve_tau_asymptotic",
    "solve_tau_exact",
    "solve_tau_lower",
    "solve_tau_share",
    "solve_tau_share_exact",
    "solve_tau_upper",
    "top_gap",
    "write_sets",
]


def __getattr__(name: str):
    """Load a heavy name on first use."""
    if name not in ON_FIRST_USE:
        raise AttributeError(f"module 'mapl_explore' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(ON_FIRST_USE[name]), name)
    except ModuleNotFoundError as error:
        extra = "lab" if "explorers" in ON_FIRST_USE[name] else "train"
        raise ImportError(f"{name} needs {error.name}: pip install 'mapl_explore[{extra}]'") from error


def __dir__():
    return __all__

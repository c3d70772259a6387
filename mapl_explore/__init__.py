"""See, trust and train with the mathematics of smoothed max-min preference learning.

Every name is loaded on first use, so that ``import mapl_explore`` is quick and needs neither torch nor widgets.
"""

import importlib
import importlib.util
from types import ModuleType
from typing import Any

from mapl_explore.moved import keep_old_paths
from mapl_explore.version import VERSION

PLACES = {
    "numerics.arrays": ["namespace", "sigmoid", "softplus"],
    "numerics.bounds": ["error_asymptote", "error_lower_bound", "error_upper_bound"],
    "data": ["PreferenceSet", "read_sets", "write_sets"],
    "data.world": ["world_sets"],
    "experiments.comparison": ["compare"],
    "explorers": [
        "BoundsExplorer",
        "LossExplorer",
        "PairsExplorer",
        "PrecisionExplorer",
        "SmoothMaxExplorer",
        "TemperatureExplorer",
        "TrainingExplorer",
    ],
    "losses": [
        "Anneal",
        "CDPO",
        "CPO",
        "Comparing",
        "DPO",
        "DynamicBeta",
        "ExactError",
        "Explained",
        "First",
        "GRPO",
        "Hardest",
        "Hinge",
        "IPO",
        "InfoNCA",
        "LOSSES",
        "LeaderShare",
        "Loss",
        "LowerBound",
        "MaxMin",
        "Mean",
        "Mellow",
        "ORPO",
        "OneSided",
        "Pair",
        "PlackettLuce",
        "RLOO",
        "RobustDPO",
        "SFT",
        "ScoredSets",
        "SimPO",
        "Smooth",
        "TauRule",
        "UpperBound",
        "explain",
        "margin",
        "parse",
    ],
    "models.loading": ["load_model"],
    "models.scoring": ["score_sets"],
    "sampling.answers": ["sample_sets"],
    "sampling.kernels": ["Band", "Bell", "Kernel", "QuantileBand", "QuantileBell"],
    "sampling.pair_gradients": ["pair_gradient", "smooth_chances"],
    "sampling.pairs": ["RejectionSampler", "maxneg_minpos", "pair_margins", "random_pairs"],
    "numerics.smoothing": ["smooth_max", "smooth_max_weights", "smooth_min", "smoothing_error", "top_gap"],
    "numerics.temperature": [
        "solve_tau_asymptotic",
        "solve_tau_exact",
        "solve_tau_lower",
        "solve_tau_share",
        "solve_tau_share_exact",
        "solve_tau_upper",
    ],
    "training.examples": ["Example", "training_examples"],
    "training.trainer": ["PreferenceTrainer"],
    "training.finetuning": ["Finetuned", "finetune"],
    "training.rounds": ["Round", "rounds"],
    "training": ["Settings"],
    "words": ["language"],
}  # where each public name is at home
HOMES = {name: module for module, names in PLACES.items() for name in names}

keep_old_paths()
__version__ = VERSION
__all__ = sorted(HOMES)


def __getattr__(name: str) -> Any:
    """Load a public name, or a module of the package, on first use."""
    if name in HOMES:
        value = globals()[name] = getattr(_loaded(HOMES[name], name), name)
        return value
    if name.isidentifier() and not name.startswith("_") and importlib.util.find_spec(f"{__name__}.{name}"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


def _loaded(module: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(f"{__name__}.{module}")
    except ModuleNotFoundError as error:
        extra = "lab" if module == "explorers" else "train"
        raise ImportError(f"{name} needs {error.name}: pip install 'mapl_explore[{extra}]'") from error

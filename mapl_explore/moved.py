"""Old paths of modules: each goes on working, with a warning that names the new ones.

A module that is now several has the names of all of them.
"""

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PACKAGE = "mapl_explore"
MOVED = {
    "advice": ["losses.tau_advice"],
    "app": ["serving.app"],
    "arrays": ["numerics.arrays"],
    "bounds": ["numerics.bounds"],
    "checking": ["models.checking"],
    "checkpoints": ["runs.checkpoints"],
    "data_commands": ["cli.data"],
    "disk": ["training.disk"],
    "encoding": ["models.encoding", "models.chat", "models.turns"],
    "errata": ["course.errata"],
    "evaluation": ["training.evaluation"],
    "generate": ["sampling.answers", "models.generating", "models.processes"],
    "gradients": ["sampling.pair_gradients"],
    "knobs": ["explorers.knobs"],
    "lab": ["serving.lab"],
    "lessons": ["course.lessons"],
    "likelihood": ["models.likelihood"],
    "measures": ["losses.measures"],
    "precision": ["course.naive_formulas"],
    "pretrain": ["models.pretrain"],
    "probes": ["runs.probes"],
    "recording": ["training.callbacks"],
    "reference": ["training.base_logp"],
    "rejection": ["sampling.verifiers", "sampling.journal", "sampling.answers"],
    "score_table": ["models.score_table"],
    "scoring": ["models.scoring", "models.loading", "models.scorer", "models.passes", "models.reading_ways"],
    "scoring_commands": ["cli.scoring"],
    "selection": ["sampling.pairs", "sampling.kernels"],
    "showing": ["runs.comparing"],
    "smoothing": ["numerics.smoothing"],
    "temperature": ["numerics.temperature"],
    "trainer": ["training.trainer", "training.examples"],
    "world": ["data.world"],
}


class OldPaths(MetaPathFinder, Loader):
    """Finds the modules of this package under the names that they had before they moved."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        return ModuleSpec(fullname, self) if package == PACKAGE and name in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        """Warn, and let the module look its names up where they are now."""
        homes = [f"{PACKAGE}.{home}" for home in MOVED[module.__name__.rpartition(".")[2]]]
        warnings.warn(f"{module.__name__} has moved to {', '.join(homes)}", FutureWarning, stacklevel=2)

        def __getattr__(name: str) -> Any:
            for home in map(importlib.import_module, homes):
                if hasattr(home, name):
                    return getattr(home, name)
            raise AttributeError(f"module {module.__name__!r}, now {', '.join(homes)}, has no attribute {name!r}")

        vars(module)["__getattr__"] = __getattr__


def keep_old_paths() -> None:
    """Make the old paths importable, once, and after all other ways to find a module."""
    if not any(isinstance(finder, OldPaths) for finder in sys.meta_path):
        sys.meta_path.append(OldPaths())

"""Pictures as data (``panels``), their looks, and matplotlib's drawing of them (``paper``); one file for each subject.

``explorers`` draws the same panels in the browser. A picture of your own is a list of :class:`Panel`:

>>> import numpy as np
>>> from mapl_explore.plots import figure_of
>>> gaps = np.linspace(0.1, 10.0, 50)
>>> curve = Curve(name="bound", label="ln 2 at τ = 1/δ", x=gaps, y=np.log(2) * gaps)
>>> picture = [Panel("a bound", Axis("gap δ (nats)", 0, 10), Axis("E (nats)", 0, 7), [curve])]
>>> figure_of(picture, width=6.0).axes[0].get_xlabel()
'gap δ (nats)'
"""

import importlib
from typing import Any

from mapl_explore.plots.panels import Axis, Band, Boxes, Curve, Drag, Panel, Points, Rule, Segments, Style, Words

__all__ = [
    "Axis",
    "Band",
    "Boxes",
    "Curve",
    "Drag",
    "Panel",
    "Points",
    "Rule",
    "RunCurves",
    "Segments",
    "Style",
    "Words",
    "figure_of",
    "run_figure",
]

DRAWN = {"figure_of": "paper", "RunCurves": "runs", "run_figure": "runs"}  # what loads matplotlib, on first use


def __getattr__(name: str) -> Any:
    if name in DRAWN:
        return getattr(importlib.import_module(f"{__name__}.{DRAWN[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

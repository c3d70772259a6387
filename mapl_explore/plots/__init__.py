"""Pictures as data (``panels``), their looks, and matplotlib's drawing of them (``paper``); one file for each subject.

``explorers`` draws the same panels in the browser. A picture of your own is a list of :class:`Panel`:

>>> import numpy as np
>>> gaps = np.linspace(0.1, 10.0, 50)
>>> curve = Curve(name="bound", label="ln 2 at τ = 1/δ", x=gaps, y=np.log(2) * gaps)
>>> picture = [Panel("a bound", Axis("gap δ (nats)", 0, 10), Axis("E (nats)", 0, 7), [curve])]
>>> figure_of(picture, width=6.0).axes[0].get_xlabel()
'gap δ (nats)'
"""

from mapl_explore.plots.panels import Axis, Band, Boxes, Curve, Drag, Panel, Points, Rule, Segments, Style, Words
from mapl_explore.plots.paper import figure_of
from mapl_explore.plots.runs import RunCurves, run_figure

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

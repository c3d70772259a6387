"""What the explorers draw: panels on matplotlib axes, without widgets and without pyplot's global state.

A panel draws its scenery once, when it is made, and then moves its artists to each new reading.
"""

from mapl_explore.plots.bounds import ErrorPanel
from mapl_explore.plots.losses import LOOKS, CurvesPanel, response_looks
from mapl_explore.plots.pairs import DrawPanel, GridPanel, MarginsPanel
from mapl_explore.plots.precision import DTYPES, DigitsPanel, NaivePanel
from mapl_explore.plots.runs import RunCurves, run_figure
from mapl_explore.plots.smooth_max import ApproachPanel, ScoresPanel
from mapl_explore.plots.style import LINES, MARKS, STROKES, STYLE, drawing_style, styled_figure
from mapl_explore.plots.temperature import OthersPanel, RootsPanel
from mapl_explore.plots.training import MARGINS, SIDES, HistoryPanel
from mapl_explore.plots.weights import PushPanel, WeightsPanel

__all__ = [
    "DTYPES",
    "LINES",
    "LOOKS",
    "MARGINS",
    "MARKS",
    "SIDES",
    "STROKES",
    "STYLE",
    "ApproachPanel",
    "CurvesPanel",
    "DigitsPanel",
    "DrawPanel",
    "ErrorPanel",
    "GridPanel",
    "HistoryPanel",
    "MarginsPanel",
    "NaivePanel",
    "OthersPanel",
    "PushPanel",
    "RootsPanel",
    "RunCurves",
    "ScoresPanel",
    "WeightsPanel",
    "drawing_style",
    "response_looks",
    "run_figure",
    "styled_figure",
]

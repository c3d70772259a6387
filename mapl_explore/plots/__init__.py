"""What the explorers draw: pictures described as panels, drawn by matplotlib here and in the browser by explorers."""

from mapl_explore.plots.runs import RunCurves, run_figure

__all__ = ["RunCurves", "run_figure"]

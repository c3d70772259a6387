"""How one or several runs went: one panel for each measure, one line for each run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mapl_explore.plots.looks import DASH_DOT, DASHED, DOTTED, LONG, PALETTE
from mapl_explore.plots.style import Look, drawing_style, styled_figure
from mapl_explore.words import _

NAMES = ("ink", "orange", "blue", "green", "purple", "sky", "amber")
COLORS = (*(PALETTE[name][0] for name in NAMES), "#767676")
STYLES = ("-", *((0, dash) for dash in (DASHED, DASH_DOT, LONG, DOTTED)))
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")  # one for each colour: they tell the runs apart in grey, too
MARKED = 8  # marks on a line
MOST = 30  # of the 40 looks that differ: a picture of more runs cannot be read
RAW = 3  # as many runs as show every step behind their mean; more would hide each other


@dataclass(frozen=True)
class RunCurves:
    """One run as it is drawn.

    Parameters
    ----------
    name : str
        In the legend.
    step : array (k,)
        The updates that were logged.
    logged : mapping
        From a measure to its values (k,), on the sets of each step.
    held_out : mapping
        From a measure to its values before and after training, on held-out sets.
    """

    name: str
    step: np.ndarray
    logged: Mapping[str, np.ndarray]
    held_out: Mapping[str, tuple[float, float]]


def run_figure(runs: Sequence[RunCurves], labels: Mapping[str, str], log: Sequence[str] = ()) -> Figure:
    """Return a figure with a panel for each measure that some run has.

    Parameters
    ----------
    runs : sequence of RunCurves
        At most 30.
    labels : mapping
        From a measure to its label; one without values in any run gets no panel.
    log : sequence of str
        The measures whose axis is logarithmic.

    Returns
    -------
    matplotlib.figure.Figure
        On a canvas of its own; lines are running means over a tenth of the run, white marks the held-out sets.
    """
    if len(runs) > MOST:
        raise ValueError(f"runs must be at most {MOST} to be told apart, not {len(runs)}")
    labels = {name: text for name, text in labels.items() if any(name in run.logged for run in runs)}
    across = 2 if len(labels) in (2, 4) else 3
    rows = math.ceil(len(labels) / across)
    with drawing_style():
        height = 1.2 + 4.0 * rows + 0.25 * math.ceil(len(runs) / _columns([run.name for run in runs]))
        figure = styled_figure(16.0, height, pad=0.12)
        panels = figure.subplots(rows, across, squeeze=False).ravel()
        for axes, (name, label) in zip(panels, labels.items(), strict=False):
            axes.set_yscale("log" if name in log else "linear")
            _draw(axes, runs, name, label)
        for axes in panels[len(labels) :]:
            axes.remove()
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=_columns(names))
        text = _("step    (lines: mean over about a tenth of the run;  white marks: held-out sets, before and after)")
        figure.supxlabel(text, fontsize=16)
    return figure


def _columns(names: Sequence[str]) -> int:
    """Return into how many columns the legend goes: two where 115 letters fill the width."""
    half = math.ceil(len(names) / 2)
    return 2 if max(map(len, names[:half])) + max(map(len, names[half:]), default=115) <= 115 else 1


def _draw(axes: Axes, runs: Sequence[RunCurves], name: str, label: str) -> None:
    """Draw one measure of all runs; a run that lacks it has an empty line, for the legend."""
    axes.set_title(label, fontsize=17, loc="left", pad=10)
    for number, run in enumerate(runs):
        values = np.asarray(run.logged.get(name, np.full(run.step.size, np.nan)), float)
        finite = np.isfinite(values)  # the line goes across a step that lacks it
        step, values = run.step[finite], values[finite]
        look = _look(number)
        if len(runs) <= RAW:
            axes.plot(step, values, color=look["color"], linewidth=1, alpha=0.3)
        # Each run has its marks at places of its own, so that lines that coincide show all their marks.
        every = max(1, step.size // MARKED)
        look |= {"markevery": (number % every, every), "label": run.name}
        axes.plot(step, running_mean(values, values.size // 10), **look)
        if name in run.held_out and run.step.size:
            ends: Look = {"linestyle": "none", "markersize": 9, "markerfacecolor": "white", "markeredgewidth": 2}
            axes.plot([0, run.step[-1]], run.held_out[name], zorder=3, **_look(number) | ends)


def _look(number: int) -> Look:
    """Return colour, line style and mark of a run."""
    # Eight colours and five styles have no common divisor: forty runs go by before a pair comes back.
    color, style = COLORS[number % len(COLORS)], STYLES[number % len(STYLES)]
    return {"color": color, "linestyle": style, "marker": MARKS[number % len(MARKS)], "markersize": 7}


def running_mean(values: np.ndarray, reach: int) -> np.ndarray:
    """Return the mean over each value and its neighbours, half of ``reach`` on either side, fewer at the ends.

    >>> running_mean(np.array([0.0, 3.0, 6.0, 0.0]), 2)
    array([1.5, 3. , 3. , 3. ])
    """
    # Each sum from its own neighbours: a difference of sums from the start would keep the rounding of a value of 1e20.
    if not values.size:
        return values
    half = reach // 2
    near = np.ones(2 * half + 1)
    total, count = (np.convolve(each, near)[half : half + values.size] for each in (values, np.ones(values.size)))
    return total / count

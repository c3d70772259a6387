"""What tests do with an explorer: move a control, press a button, look at what the browser has of it."""

import numpy as np

from mapl_explore.losses import ScoredSets

EPS = 2.0**-52
SETS = ScoredSets(
    logp=[[-40.0, -42.5, -300.0, -41.0], [-9.0, -3.0, -3.0, 0.0], [-2.0, -2.0, -2.0, -2.0]],
    ref_logp=[[-41.0, -41.5, -290.0, -39.0], [-8.0, -4.0, -2.0, 0.0], [-2.0, -2.0, -2.0, -2.0]],
    length=[[9, 8, 70, 9], [4, 2, 2, 1], [3, 3, 3, 3]],
    label=[[1, -1, 1, -1], [-1, 1, -1, 0], [1, 1, -1, -1]],
)


def move(explorer, name, value):
    """Set a control as a person would."""
    explorer.do({"kind": "set", "knob": name, "value": value})


def press(explorer, label):
    """Press a button as a person would."""
    (kind,) = [one["kind"] for one in explorer.widget.buttons if one["label"] == label]
    explorer.do({"kind": kind, "label": label})


def shown(explorer):
    """What the browser has of an explorer."""
    widget = explorer.widget
    return {name: getattr(widget, name) for name in ("picture", "curves", "numbers", "words", "values", "idle", "says")}


def panels(explorer):
    """The panels at the settings."""
    return explorer.panels(explorer.reading)


def assert_whole(explorer):
    """All that is written on paper is inside the picture, and no label lies over another of its axis."""
    figure = explorer.snapshot()
    figure.canvas.draw()
    renderer, width, height = figure.canvas.get_renderer(), figure.bbox.x1, figure.bbox.y1
    for axes in figure.axes:
        parts = [axes.xaxis.label, axes.yaxis.label, *axes.texts]
        parts += [tick for axis in (axes.xaxis, axes.yaxis) for tick in ticks(axis)]
        for text in (part for part in parts if part.get_visible() and part.get_text()):
            box = text.get_window_extent(renderer)
            assert -1 <= box.x0 <= box.x1 <= width + 1, text
            assert -1 <= box.y0 <= box.y1 <= height + 1, text
    for legend in [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]:
        box = legend.get_window_extent(renderer)
        assert -1 <= box.x0 <= box.x1 <= width + 1, "legend"
    pixels = np.array(figure.canvas.buffer_rgba())
    assert len(np.unique(pixels[::2].view(np.uint32))) > 50, "blank"


def ticks(axis):
    low, high = sorted(axis.get_view_interval())
    return [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]

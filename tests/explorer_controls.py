"""What tests do with an explorer: move a control, press a button, look at the whole picture."""

import numpy as np
from matplotlib.artist import Artist

from mapl_explore.explorers.knobs import Choice
from mapl_explore.losses import ScoredSets

EPS = 2.0**-52
SETS = ScoredSets(
    logp=[[-40.0, -42.5, -300.0, -41.0], [-9.0, -3.0, -3.0, 0.0], [-2.0, -2.0, -2.0, -2.0]],
    ref_logp=[[-41.0, -41.5, -290.0, -39.0], [-8.0, -4.0, -2.0, 0.0], [-2.0, -2.0, -2.0, -2.0]],
    length=[[9, 8, 70, 9], [4, 2, 2, 1], [3, 3, 3, 3]],
    label=[[1, -1, 1, -1], [-1, 1, -1, 0], [1, 1, -1, -1]],
)


def move(control, value):
    """Set a control as a person would."""
    (control.picker if isinstance(control.knob, Choice) else control.box).value = value


def assert_whole(explorer):
    """All that is written is inside the picture, and the frame is what a full drawing of it paints."""
    figure = explorer._picture_of(explorer.scene(explorer.reading)).figure
    pixels = drawn_in_full(figure)
    np.testing.assert_array_equal(explorer.frame(), pixels[..., :3])
    renderer, width, height = figure.canvas.get_renderer(), figure.bbox.x1, figure.bbox.y1
    for axes in figure.axes:
        parts = [axes.xaxis.label, axes.yaxis.label, *axes.texts]
        parts += [tick for axis in (axes.xaxis, axes.yaxis) for tick in ticks(axis)]
        for text in (part for part in parts if part.get_visible() and part.get_text() and not part.get_clip_on()):
            box = text.get_window_extent(renderer)
            assert -0.5 <= box.x0 <= box.x1 <= width + 0.5, text
            assert -0.5 <= box.y0 <= box.y1 <= height + 0.5, text
    for legend in [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]:
        box = legend.get_window_extent(renderer)
        assert -0.5 <= box.x0 <= box.x1 <= width + 0.5, "legend"
    assert len(np.unique(pixels[::2].view(np.uint32))) > 50, "blank"


def drawn_in_full(figure):
    """Draw every artist of a figure, those too that a frame paints over its scenery."""
    moving = figure.findobj(Artist.get_animated)
    for artist in moving:
        artist.set_animated(False)
    figure.canvas.draw()
    for artist in moving:
        artist.set_animated(True)
    return np.array(figure.canvas.buffer_rgba())


def ticks(axis):
    low, high = sorted(axis.get_view_interval())
    return [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]


def button(explorer, label):
    (found,) = [one for one in descendants(explorer.widget) if getattr(one, "description", None) == label]
    return found


def descendants(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from descendants(child)

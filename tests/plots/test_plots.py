"""The panels: what is drawn where, apart for every kind of colour vision, and inside the picture."""

import numpy as np
import pytest

from mapl_explore.plots import (
    LINES,
    MARKS,
    ErrorPanel,
    WeightsPanel,
    drawing_style,
    styled_figure,
)

TAUS = np.geomspace(0.1, 100.0, 11)


@pytest.fixture
def axes():
    with drawing_style():
        yield styled_figure(11.0, 4.4).subplots()


def bars(panel):
    """The heights of all bars, leader first, and where each begins and ends."""
    (first, one, _), (others, edges, _) = panel.leader.get_data(), panel.others.get_data()
    spans = [tuple(one), *zip(edges[2::2], edges[3::2], strict=True)]
    return [first[0], *others[2::2]], spans


@pytest.mark.parametrize("weights", [[1.0], [0.7, 0.3], [0.25] * 4, np.full(64, 1 / 64)])
def test_each_weight_has_one_bar_and_all_fit_side_by_side(axes, weights):
    panel = WeightsPanel(axes)
    panel.move(np.array(weights))
    heights, spans = bars(panel)
    np.testing.assert_array_equal(heights, weights)
    ends = [end for span in spans for end in span]
    assert ends == sorted(ends)
    assert 0 < ends[0] < ends[-1] < 1


def test_shares_are_written_so_that_a_small_one_is_not_zero(axes):
    panel = WeightsPanel(axes)
    panel.move(np.array([1 - 3e-7, 3e-7]))
    assert panel.title.get_text() == "leader 100%\nothers 3e-05%"


def test_no_two_curves_look_alike_without_their_colours():
    assert len({str(look["linestyle"]) for look in LINES.values()}) == len(LINES)
    assert len({shape for shape, _ in MARKS.values()}) == len({sign for _, sign in MARKS.values()}) == len(MARKS)


def test_curves_differ_in_lightness_or_hue_for_the_colour_blind(axes):
    # Okabe and Ito's palette keeps at least this distance in red-green-blind (deuteranope) view, simulated by
    # projecting linear RGB with the matrix of Machado et al. 2009 (severity 1).
    deuteranope = np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]])
    seen = [deuteranope @ linear_rgb(look["color"]) for look in LINES.values()]
    distances = [np.linalg.norm(one - two) for i, one in enumerate(seen) for two in seen[:i]]
    assert min(distances) > 0.15


def linear_rgb(color):
    values = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def test_roots_that_do_not_exist_are_not_drawn(axes):
    panel = ErrorPanel(axes, TAUS)
    curves = {name: np.ones(11) for name in LINES}
    panel.move(curves=curves, roots={"upper": 3.0}, now=1.0, epsilon=1.0, error=1.0)
    assert {name for name, mark in panel.roots.items() if len(mark.get_xdata())} == {"upper"}
    panel.move(curves=curves, roots={}, now=1.0, epsilon=1.0, error=1.0)
    assert not any(len(mark.get_xdata()) for mark in panel.roots.values())


def test_roots_a_hair_apart_show_as_four_marks(axes):
    panel = ErrorPanel(axes, TAUS)
    curves, roots = {name: np.ones(11) for name in LINES}, {"lower": 1.9, "exact": 2.0, "upper": 2.1, "asymptote": 2.1}
    panel.move(curves=curves, roots=roots, now=0.5, epsilon=0.01, error=1.0)
    axes.figure.canvas.draw()
    pixels = np.array(axes.figure.canvas.buffer_rgba())[..., :3]
    x, y = axes.transData.transform([2.0, 0.01]).astype(int)
    near = pixels[::-1][y - 30 : y + 30, x - 40 : x + 40]
    for name in MARKS:
        look = LINES[name]
        # Each covers some 100; less its white edge and what others hide, 40.
        color = [int(look["color"][i : i + 2], 16) for i in (1, 3, 5)]
        assert np.all(near == color, axis=-1).sum() >= 40, look["label"]


def test_a_ring_below_the_picture_rests_on_its_edge(axes):
    panel = ErrorPanel(axes, TAUS)
    curves = {name: np.ones(11) for name in LINES}
    panel.move(curves=curves, roots={}, now=50.0, epsilon=1.0, error=1e-200)
    assert panel.here.get_data() == ([50.0], [axes.get_ylim()[0]])


def test_curves_of_zero_on_the_logarithmic_axis_draw_without_a_warning(axes):
    panel = ErrorPanel(axes, TAUS)
    panel.move(curves={name: np.zeros(11) for name in LINES}, roots={}, now=1.0, epsilon=1.0, error=0.0)
    axes.figure.canvas.draw()


def test_both_axes_are_labelled_with_their_units_and_nothing_is_cut_off(axes):
    ErrorPanel(axes, TAUS)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("inverse temperature τ (1/nats)", "smoothing error E (nats)")
    figure = axes.figure
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    for part in (axes, figure.legends[0]):
        bounds = part.get_tightbbox(renderer)
        assert 0 <= bounds.x0 < bounds.x1 <= figure.bbox.x1, part
        assert 0 <= bounds.y0 < bounds.y1 <= figure.bbox.y1, part

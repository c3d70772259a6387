"""The panels: what is drawn where, apart for every kind of colour vision, and inside the picture."""

import numpy as np
import pytest

from mapl_explore.plots import (
    LINES,
    MARKS,
    SIDES,
    DrawPanel,
    ErrorPanel,
    GridPanel,
    HistoryPanel,
    MarginsPanel,
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


def test_a_bar_under_a_margin_is_as_long_as_the_pair_is_likely(axes):
    panel = GridPanel(axes, ["+2", "+1"], ["−1", "−2", "−3"], 10.0)
    taken = np.array([[1.0, 0.5, 0.0], [0.25, 0.0, 1.0]])
    panel.move(np.array([[-12.3, -0.04, 0.5], [2.0, 9.96, 400.0]]), taken)
    segments = np.array([segment for segment in panel.taken.get_segments()])
    lengths = segments[:, 1, 0] - segments[:, 0, 0]
    np.testing.assert_allclose(lengths, 0.8 * taken.ravel(), atol=1e-12)
    # Row by row, each in its own cell, which is 1 wide and high around whole numbers.
    np.testing.assert_array_equal(np.round(segments[:, 0]), [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]])
    assert [word.get_text() for word in panel.words] == ["−12", "0.0", "0.5", "2.0", "10", "400"]


def test_what_is_taken_of_a_margin_is_its_share_of_the_pairs_there(axes):
    panel = MarginsPanel(axes, (-2.0, 4.0))
    margins, chance = np.array([-2.0, -2.0, 0.0, 4.0]), np.array([1.0, 0.5, 0.25, 0.0])
    panel.move(margins, chance, np.array([-2.0, 4.0]), None, np.array([1.0, 0.5]))
    pairs, taken = panel.all.get_data()[0], panel.kept.get_data()[0]
    assert (pairs[0], pairs[20], pairs[-1], pairs.sum()) == (1.0, 0.5, 0.5, 2.0)
    assert (taken[0], taken[20], taken[-1], taken.sum()) == (0.75, 0.125, 0.0, 0.875)
    assert panel.kernel.get_xdata() == []


@pytest.mark.parametrize("span", [(-7.0, 15.0), (-2.0, 4.0), (-0.05, 1.0), (-1000.0, 20.0)])
def test_a_round_margin_stands_in_the_middle_of_its_bin_and_all_margins_have_one(axes, span):
    edges = MarginsPanel(axes, span).edges
    middles = (edges[:-1] + edges[1:]) / 2
    assert np.abs(middles).min() < 1e-9 * (span[1] - span[0])  # 0 is the middle of one
    assert edges[0] < span[0] < span[1] < edges[-1]


def test_whiskers_reach_one_spread_to_each_side_of_the_mean(axes):
    panel = DrawPanel(axes, ["+1", "−1"], 1.0)
    panel.move(np.array([-0.5, 0.25]), np.array([0.25, 0.5]), np.zeros(2))
    ends = [segment[:, 1].tolist() for segment in panel.whiskers.get_segments()]
    assert ends == [[-0.75, -0.25], [-0.25, 0.75]]


def history(axes, errors, lower=None, upper=None):
    step, looks = np.arange(len(errors[0])), list(SIDES.values())[: len(errors)]
    bands = [(looks[0], lower, upper)] if lower is not None else []
    return HistoryPanel(axes, step, [np.array(one) for one in errors], looks, "error (nats)", "log", bands)


def test_the_rings_of_a_history_lie_on_its_curves_at_the_step(axes):
    panel = history(axes, [[1.0, 2.0, 4.0], [0.5, 0.25, 0.125]])
    panel.move(2)
    assert [line.get_ydata().tolist() for line in panel.lines] == [[1.0, 2.0, 4.0], [0.5, 0.25, 0.125]]
    np.testing.assert_array_equal(panel.here.get_xydata(), [[2, 4.0], [2, 0.125]])
    assert list(panel.now.get_xdata()) == [2, 2]


def test_an_error_of_zero_has_no_place_on_a_logarithmic_axis_and_draws_without_a_warning(axes):
    panel = history(axes, [[0.0, 0.0, 0.0]], np.zeros(3), np.zeros(3))
    panel.move(1)
    assert np.isnan(panel.here.get_ydata()).all()
    axes.figure.canvas.draw()


def test_a_speck_does_not_squeeze_the_other_decades(axes):
    history(axes, [[1e-300, 1e-3, 1.0]], np.array([0.0, 1e-4, 0.5]), np.array([1e-2, 1e-2, 1.0]))
    low, high = axes.get_ylim()
    assert 1e-9 < low < 1e-8
    assert 1 < high < 2
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() >= low


def test_a_constant_is_shown_within_a_decade(axes):
    history(axes, [[5.0, 5.0]])
    low, high = axes.get_ylim()
    assert low < 5 < high
    # The decade has the constant in its middle: a few roundings of square roots.
    assert high / low == pytest.approx(10, rel=1e-12)

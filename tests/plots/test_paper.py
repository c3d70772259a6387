"""Panels drawn by matplotlib: nothing cut off, every root to be seen; and looks that stay apart without colour."""

import numpy as np
import pytest
from matplotlib.colors import rgb_to_hsv, to_hex
from matplotlib.patches import Rectangle

from mapl_explore.plots.bounds import POST, error_panel
from mapl_explore.plots.looks import LINES, MARKS, PALETTE, SCALES
from mapl_explore.plots.panels import Axis, Panel
from mapl_explore.plots.paper import artists_of, figure_of
from mapl_explore.plots.rewards import reward_cells
from mapl_explore.plots.weights import weights_panel

TAUS = np.geomspace(0.1, 100.0, 11)


def panel(roots=(), now=0.5, epsilon=0.01, error=1.0, height=1.0):
    curves = dict.fromkeys(LINES, np.full(11, height))
    return error_panel(places=TAUS, curves=curves, roots=dict(roots), now=now, epsilon=epsilon, error=error)


def rgb(color):
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])


def pixels(figure):
    figure.canvas.draw()
    return np.array(figure.canvas.buffer_rgba())[..., :3]


def test_shares_are_written_so_that_a_small_one_is_not_zero():
    assert weights_panel(np.array([1 - 3e-7, 3e-7]))["shares"].texts == ["leader over 99%", "others < 0.001%"]


def test_no_two_curves_look_alike_without_their_colours():
    assert len({look["style"].dash for look in LINES.values()}) == len(LINES)
    assert len({shape for shape, _ in MARKS.values()}) == len({sign for _, sign in MARKS.values()}) == len(MARKS)


@pytest.mark.parametrize("tone", [0, 1], ids=["light", "dark"])
def test_the_posts_formula_has_the_hue_of_no_other_curve(tone):
    hue = lambda look: rgb_to_hsv(rgb(PALETTE[look["style"].color][tone]) / 255)[0]  # noqa: E731
    assert min(abs(hue(POST) - hue(LINES[name])) for name in ("upper", "lower", "asymptote")) > 0.03


@pytest.mark.parametrize("tone", [0, 1], ids=["light", "dark"])
def test_curves_differ_in_lightness_or_hue_for_the_colour_blind(tone):
    # Okabe and Ito's palette keeps about this distance in red-green-blind (deuteranope) view, simulated by projecting
    # linear RGB with the matrix of Machado et al. 2009 (severity 1).
    deuteranope = np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]])
    seen = [deuteranope @ linear_rgb(PALETTE[look["style"].color][tone]) for look in LINES.values()]
    distances = [np.linalg.norm(one - two) for i, one in enumerate(seen) for two in seen[:i]]
    assert min(distances) > 0.13


def linear_rgb(color):
    values = rgb(color) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize(("tone", "page"), [(0, "#ffffff"), (1, "#111111")], ids=["light", "dark"])
def test_every_colour_stands_out_from_its_page(tone, page):
    bright = {name: float(linear_rgb(tones[tone]) @ [0.2126, 0.7152, 0.0722]) for name, tones in PALETTE.items()}
    ground = float(linear_rgb(page) @ [0.2126, 0.7152, 0.0722])
    contrast = {name: (max(one, ground) + 0.05) / (min(one, ground) + 0.05) for name, one in bright.items()}
    del contrast["grey"]  # of what lies behind
    assert min(contrast.values()) >= 3  # WCAG 2.1, 1.4.11: what is no text


def test_roots_that_do_not_exist_are_not_drawn():
    assert [mark.name for mark in panel({"upper": 3.0}).marks if mark.name.endswith("root")] == ["upper root"]


def test_roots_a_hair_apart_show_as_four_marks():
    figure = figure_of([panel({"lower": 1.9, "exact": 2.0, "upper": 2.1, "asymptote": 2.1})], 11.0)
    seen = pixels(figure)[::-1]
    x, y = figure.axes[0].transData.transform([2.0, 0.01]).astype(int)
    near = seen[y - 30 : y + 30, x - 40 : x + 40]
    for name in MARKS:
        # Each covers some 60; less its white edge and what others hide, 25.
        color = rgb(PALETTE[LINES[name]["style"].color][0])
        assert np.all(near == color, axis=-1).sum() >= 25, name


def test_curves_of_zero_on_the_logarithmic_axis_draw_without_a_warning():
    pixels(figure_of([panel(height=0.0, error=0.0)]))


@pytest.mark.parametrize("size", [(13.0, 4.4), (26.0, 8.8)])
def test_nothing_is_cut_off(size):
    figure = figure_of([panel({"exact": 3.0}), weights_panel(np.array([0.75, 0.25]))], *size)
    renderer = figure.canvas.get_renderer()
    for part in (*figure.axes, *figure.legends):
        bounds = part.get_tightbbox(renderer)
        assert -1 <= bounds.x0 < bounds.x1 <= figure.bbox.x1 + 1, part
        assert -1 <= bounds.y0 < bounds.y1 <= figure.bbox.y1 + 1, part


def test_what_is_no_mark_is_refused():
    with pytest.raises(TypeError, match=r"mark must be one of mapl_explore.plots.panels, not Panel"):
        artists_of(Panel("", Axis("", 0, 1), Axis("", 0, 1), []), None)


def brightness(tone):
    """The relative luminance of colours (k, 3), by the rules of WCAG 2."""
    return np.where(tone <= 0.04045, tone / 12.92, ((tone + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("page", [0, 1], ids=["light", "dark"])
def test_rewards_are_told_apart_by_brightness_alone_and_numbers_on_them_are_readable(page):
    ends = np.array([rgb(tones[page]) / 255 for tones in SCALES["rewards"]])
    scale = brightness(np.stack([np.interp(np.linspace(0, 2, 65), range(3), one) for one in ends.T], axis=-1))
    ink = brightness(np.array([rgb(PALETTE["ink"][page]) / 255]))
    assert np.all(np.diff(scale) * (1 if page else -1) > 0)
    bright, dim = np.maximum(scale, ink), np.minimum(scale, ink)
    assert np.all((bright + 0.05) / (dim + 0.05) >= 4.5)


def test_the_key_of_a_scale_is_its_colours_from_the_least_to_the_largest():
    edges = np.arange(2.0)
    cells = reward_cells(np.array([1.0, 3.0]), edges, edges + 1, 0 * edges, 0 * edges + 1)
    figure = figure_of([Panel("rewards", Axis("x", 0, 2), Axis("y", 0, 1), cells)])
    (key,) = figure.legends
    assert [text.get_text() for text in key.get_texts()] == ["reward 1 to 3"]
    tones = [to_hex(patch.get_facecolor()) for patch in key.findobj(Rectangle)]
    assert [tones[0], tones[3]] == [SCALES["rewards"][0][0], SCALES["rewards"][2][0]]

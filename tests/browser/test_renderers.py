"""Both renderers put every mark of every explorer in the same place: matplotlib, and the script in the browser."""

import numpy as np
import pytest
from browser.drawn import Drawn
from matplotlib.text import Text
from recorded_runs import record

from mapl_explore import explorers
from mapl_explore.explorers.knobs import Choice
from mapl_explore.plots.panels import Rule

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("drawn")]
# What the script has drawn: of each mark all its corners, as fractions of its panel.
DRAWN = """() => [...document.querySelectorAll(".mapl-panel")].map((svg) => {
    const area = svg.querySelector("clipPath rect");
    const [left, top, width, height] = ["x", "y", "width", "height"].map((name) => Number(area.getAttribute(name)));
    const fraction = ([x, y]) => [(x - left) / width, 1 - (y - top) / height];
    const numbers = (text) => (text ?? "").match(/-?[\\d.]+(e-?\\d+)?/g)?.map(Number) ?? [];
    const corners = (path) => {
        const [found, at] = [[], [0, 0]];
        for (const [, letter, rest] of (path.getAttribute("d") ?? "").matchAll(/([MLHVZ])([^MLHVZ]*)/g)) {
            const values = numbers(rest);
            if (letter === "H") [at[0]] = values;
            else if (letter === "V") [at[1]] = values;
            else if (letter !== "Z") [at[0], at[1]] = values;
            if (letter !== "Z") found.push([...at]);
        }
        return found;
    };
    const places = (node) => {
        const moved = node.getAttribute("transform");
        if (moved) return moved.startsWith("scale(0") ? [] : [numbers(moved).slice(0, 2)];
        if (node.tagName === "text") return [["x", "y"].map((name) => Number(node.getAttribute(name)))];
        return node.tagName === "g" ? [...node.children].flatMap(places) : corners(node);
    };
    return Object.fromEntries([...svg.querySelectorAll("[data-name]")].map((node) => [
        node.dataset.name, places(node).map(fraction),
    ]));
})"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of a few steps on three sets, as finetune records one."""
    return record(tmp_path_factory.mktemp("run"), "dpo-smooth")


@pytest.fixture(params=explorers.__all__)
def explorer(request):
    kind = getattr(explorers, request.param)
    return kind(request.getfixturevalue("run")) if kind.__name__ == "TrainingExplorer" else kind()


def extremes(explorer):
    """Settings with every knob at its ends, or at each of its options, and two odd ones where all are at an end."""
    ends = {
        name: list(knob.options) if isinstance(knob, Choice) else [knob.low, knob.high]
        for name, knob in explorer._knobs.items()
    }
    yield {}
    yield from ({name: value} for name, values in ends.items() for value in values)
    yield from ({name: values[which] for name, values in ends.items()} for which in (0, -1))


def on_paper(explorer):
    """Of each mark all its corners, as fractions of its panel, as matplotlib has them."""
    figure = explorer.snapshot()
    for axes, panel in zip(figure.axes, explorer._picture(explorer.reading), strict=True):
        yield {mark.name: list(corners(axes, mark)) for mark in panel.marks}


def corners(axes, mark):
    for artist in axes.findobj(lambda one: one.get_gid() == mark.name):
        yield from fractions(axes, artist, mark)


def fractions(axes, artist, mark):
    inverse = axes.transAxes.inverted()
    if isinstance(artist, Text):
        places = [artist.get_position()]
    elif hasattr(artist, "get_xydata"):
        places = artist.get_xydata()
    else:
        places = np.concatenate([path.vertices for path in artist.get_paths()] or [np.empty((0, 2))])
    if isinstance(mark, Rule):  # one of its two coordinates is a fraction already
        return inverse.transform(artist.get_transform().transform(places))
    return inverse.transform(axes.transData.transform(np.asarray(places, float)))


def near(places, tolerance=1e-3):
    """Return places within reach of the panel, those far outside at its rim, each once."""
    places = np.asarray(places, float).reshape(-1, 2)
    places = places[np.isfinite(places).all(axis=-1)]
    return np.unique(np.clip(places, -0.5, 1.5).round(6), axis=0)


def apart(some, others):
    """Return the largest distance from one of some places to the nearest of others."""
    if not len(some):
        return 0.0
    if not len(others):
        return np.inf
    return max(np.abs(others - place).max(axis=-1).min() for place in some)


def test_both_renderers_put_every_mark_in_the_same_place_at_the_ends_of_every_knob(browser, explorer):
    drawn = Drawn(browser, explorer)
    for settings in extremes(explorer):
        explorer.set(**explorer._start | settings)
        drawn.show()
        for ours, theirs in zip(on_paper(explorer), drawn.page.evaluate(DRAWN), strict=True):
            assert list(ours) == list(theirs) or set(ours) == set(theirs)
            for name, places in ours.items():
                paper, page = near(places), near(theirs[name])
                # 0.005 pixels of rounding in a panel 200 pixels high, and float32 on the way.
                assert max(apart(paper, page), apart(page, paper)) < 1e-3, (settings, name)
    drawn.close()

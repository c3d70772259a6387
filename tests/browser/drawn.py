"""An explorer in a browser without Jupyter, and where its marks lie there and on paper."""

import base64
import json
import re

import numpy as np
from matplotlib.text import Text

from mapl_explore.explorers.view import script
from mapl_explore.plots.panels import Rule

SCRIPT = script()
PAGE = """<!doctype html><meta charset="utf-8"><body data-jp-theme-light="LIGHT" style="margin: 0; background: Canvas">
<div id="here"></div><script type="module">
const bytes = (text) => new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
const [state, calls] = [STATE, {}];
for (const name of ["curves", "numbers"]) state[name] = bytes(state[name]);
window.sent = [];
window.model = {
    get: (name) => state[name],
    on: (name, call) => (calls[name] ??= []).push(call),
    off: (name, call) => { calls[name] = (calls[name] ?? []).filter((one) => one !== call); },
    send: (message) => window.sent.push(message),
    // As Jupyter's: what is equal is not news.
    put(news) {
        const changed = Object.keys(news).filter((name) => window.model.last[name] !== JSON.stringify(news[name]));
        for (const name of changed) {
            window.model.last[name] = JSON.stringify(news[name]);
            state[name] = ["curves", "numbers"].includes(name) ? bytes(news[name]) : news[name];
        }
        for (const name of changed) (calls[`change:${name}`] ?? []).forEach((call) => call());
    },
    last: Object.fromEntries(Object.entries(STATE).map(([name, value]) => [name, JSON.stringify(value)])),
};
document.head.append(Object.assign(document.createElement("style"), { textContent: state._css }));
const script = URL.createObjectURL(new Blob([SCRIPT], { type: "text/javascript" }));
window.end = (await import(script)).default.render({ model: window.model, el: document.getElementById("here") });
</script>"""
# Both are on a page only after the frame in which they are asked for.
PAINTED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"

# Of text and the ground below it, by the rules of WCAG 2: the least contrast on the page.
CONTRAST = """() => {
    const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const channels = (color) => {
        probe.clearRect(0, 0, 1, 1);
        probe.fillStyle = color;
        probe.fillRect(0, 0, 1, 1);
        return probe.getImageData(0, 0, 1, 1).data;
    };
    const bright = (color) => {
        const [r, g, b] = [...channels(color)].slice(0, 3).map((v) => v / 255)
            .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (node) => {
        for (let one = node; one; one = one.parentElement) {
            const color = getComputedStyle(one).backgroundColor;
            if (channels(color)[3] > 200) return color;
        }
        return getComputedStyle(document.body).backgroundColor;
    };
    const words = [...document.querySelectorAll(".mapl-view *")].filter((node) =>
        [...node.childNodes].some((one) => one.nodeType === 3 && one.textContent.trim()) && node.checkVisibility()
        && !["TITLE", "title"].includes(node.tagName));
    return words.map((node) => {
        const color = node.namespaceURI.endsWith("svg") ? getComputedStyle(node).fill : getComputedStyle(node).color;
        const [light, dark] = [bright(color), bright(ground(node))].sort((a, b) => b - a);
        return [(light + 0.05) / (dark + 0.05), node.textContent, color];
    }).sort((a, b) => a[0] - b[0])[0];
}"""
# How far the page, and its words and controls, reach beyond the window; presets that share a line scroll by themselves.
CUT = """() => [document.documentElement.scrollWidth - innerWidth, ...[...document.querySelectorAll(
    ".mapl-panel text, .mapl-view :is(button, label, select)")].filter((node) => node.checkVisibility()
    && !(node.closest(".mapl-presets")?.clientWidth > 0))
    .map((node) => node.getBoundingClientRect()).map((box) => Math.max(box.right - innerWidth, -box.left))]"""

# How far letters of a panel reach above and below it; a key of its own is not part of its room.
HIGH = """() => [...document.querySelectorAll(".mapl-frame")].flatMap((frame) => {
    const [top, key] = [frame, frame.querySelector(".mapl-own")].map((one) => one.getBoundingClientRect());
    return [...frame.querySelectorAll("svg.mapl-panel text")].map((node) => node.getBoundingClientRect())
        .map((box) => Math.max(Math.max(top.top, key.bottom) - box.top, box.bottom - top.bottom));
})"""

# What the script has drawn: of each mark all its corners, as fractions of its panel.
DRAWN = """(view) => [...view.querySelectorAll(".mapl-panel")].map((svg) => {
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


class Drawn:
    """An explorer on a page of its own.

    Parameters
    ----------
    browser : playwright.sync_api.Browser
        Where to open the page.
    explorer : Stage
        What to show.
    width, height : int
        Of the window, in pixels.
    dark : bool
        Whether the page is that of a dark theme.
    answering : bool
        Whether somebody answers the page, as in a live notebook.
    **context
        Further options of the browser's context.
    """

    def __init__(
        self,
        browser,
        explorer,
        width: int = 1280,
        height: int = 720,
        dark: bool = False,
        answering: bool = True,
        **context,
    ):
        """Open the page, and answer its first question."""
        self.explorer, self.errors = explorer, []
        scheme = "dark" if dark else "light"
        self.context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, **context)
        self.page = self.context.new_page()
        self.page.on("console", lambda one: self.errors.append(one.text) if one.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        page = PAGE.replace("LIGHT", "false" if dark else "true").replace("STATE", json.dumps(self.state()))
        style = f"<style>:root {{ color-scheme: {scheme} }}</style>"
        # Behind the doctype: in front of it tables would have letters of their own, as in pages of long ago.
        page = page.replace("<body", f"{style}<body", 1)
        self.page.set_content(page.replace("SCRIPT", json.dumps(SCRIPT)))
        self.page.wait_for_function("Boolean(window.end)")  # the function itself would be called
        if answering:
            self.answer()

    def state(self) -> dict:
        """Return what the widget has sent to the browser, as JSON can hold it."""
        widget = self.explorer.widget
        state = {name: getattr(widget, name) for name in widget.keys if not name.startswith("_") or name == "_css"}
        del state["layout"], state["tabbable"], state["tooltip"]
        return state | {name: base64.b64encode(state[name]).decode() for name in ("curves", "numbers")}

    def answer(self, most: int = 100) -> int:
        """Do what the page asks for, at most so many things, and return how many they were."""
        asked = 0
        while asked < most and (messages := self.page.evaluate("window.sent.splice(0)")):
            for message in messages:
                asked += 1
                self._answer(message)
            self.page.evaluate(PAINTED)
        return asked

    def show(self) -> None:
        """Send what the explorer shows, and wait until it is drawn."""
        self.send()
        self.page.evaluate(PAINTED)

    def send(self) -> None:
        """Send what the explorer shows; some of a widget's state never changes."""
        state = {name: value for name, value in self.state().items() if name not in ("_css", "knobs", "buttons")}
        self.page.evaluate("(state) => window.model.put(state)", state)

    def close(self) -> None:
        """Take the view off the page; it must have had no errors."""
        self.page.evaluate("window.end()")
        self.context.close()
        assert self.errors == []

    def _answer(self, message: dict) -> None:
        self.explorer.widget._received(self.explorer.widget, message, [])
        self.show()


def handle(drawn, knob):
    return drawn.page.locator(f'.mapl-handle[data-knob="{knob}"]')


def place(drawn, name="now"):
    """Where a line is drawn: its first coordinate for one that stands, its second for one that lies."""
    path = drawn.page.locator(f'[data-name="{name}"]').get_attribute("d")
    x, y, to_x, _ = map(float, re.findall(r"-?[\d.]+", path))
    return x if x == to_x else y


def grip(drawn, knob):
    """Where a pointer takes a handle: in the middle of its box, a tenth of its length from the end."""
    box = handle(drawn, knob).bounding_box()
    upright = box["height"] > box["width"]
    part = (0.5, 0.9) if upright else (0.1, 0.5)
    return box["x"] + part[0] * box["width"], box["y"] + part[1] * box["height"]


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


def near(places):
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


def misplaced(explorer, view) -> list[str]:
    """Return the names of marks that lie elsewhere in a view than on paper, where the explorer's panels say.

    Parameters
    ----------
    explorer : Stage
        Says what the view should show.
    view : playwright.sync_api.Locator
        An element that holds the panels.

    Returns
    -------
    list of str
        Also those that only one of the two has.
    """
    drawn = view.evaluate(DRAWN)
    papers = list(on_paper(explorer))
    if len(drawn) != len(papers):
        return [f"{len(drawn)} panels, not {len(papers)}"]
    return [
        name
        for paper, page in zip(papers, drawn, strict=True)
        for name in sorted(paper.keys() | page.keys())
        if not alike(paper.get(name), page.get(name))
    ]


def alike(paper, page) -> bool:
    """Tell whether two lists of corners are the same up to 0.005 pixels of rounding and float32 on the way."""
    if paper is None or page is None:
        return False
    paper, page = near(paper), near(page)
    # In a panel 200 pixels high that is below 1e-3.
    return max(apart(paper, page), apart(page, paper)) < 1e-3


def expect(locator):
    """Return Playwright's assertions on what a locator finds, which wait; a machine may be without Playwright."""
    from playwright.sync_api import expect

    return expect(locator)

"""The explorer on the start page: recorded place by place as the site is built, drawn by the widget's own script."""

import base64
import json
import math
import zlib
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from mapl_explore.explorers.bounds import BoundsExplorer
from mapl_explore.explorers.view import View

KNOB = "tau"  # a second one would multiply the 301 places of this one's slider
TRACKS = {"reset": {}, "runners-up tie": {"spread": 0.0}, "runners-up far apart": {"spread": 10.0}}
RECORDED = ("picture", "curves", "numbers", "words", "values", "options", "says", "code")


class LiveExplorer(SphinxDirective):
    """``.. live-explorer::`` is an explorer whose τ can be moved; its content is what stands there without scripts."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        recorded = zlib.compress(json.dumps(_recorded()).encode(), 9)
        widget = View._esm.replace("export default", "const explorer =")
        shim = Path(__file__).with_name("live.js").read_text(encoding="utf-8")
        parts = f'<script type="application/json" id="recorded">{base64.b64encode(recorded).decode()}</script>'
        parts += f'<style>{BoundsExplorer().widget._css}</style><script type="module">{widget}{shim}</script>'
        shown = nodes.container("", *self.parse_content_to_nodes(), classes=["live-explorer"])
        return [shown, nodes.raw("", parts, format="html")]


def _recorded() -> dict[str, Any]:
    """Return what an explorer shows in each track at each place of its slider; each part, such as a picture, once."""
    parts: dict[str, int] = {}

    def kept(shown: dict[str, Any]) -> dict[str, int]:
        return {name: parts.setdefault(json.dumps(part), len(parts)) for name, part in shown.items()}

    tracks = {}
    for name, moved in TRACKS.items():
        explorer = BoundsExplorer(**moved)
        start = _shown(explorer)  # its tau of 5 lies between two places
        tracks[name] = {"start": kept(start), "places": [kept(_shown(explorer, tau)) for tau in _places(explorer)]}
    return {"fixed": _fixed(explorer.widget), "tracks": tracks, "parts": [json.loads(part) for part in parts]}


def _fixed(view: View) -> dict[str, Any]:
    """Return what stays: the one slider and the buttons there are; no pin, which needs Python."""
    buttons = [button for button in view.buttons if button["label"] in TRACKS]
    knobs = [knob for knob in view.knobs if knob["name"] == KNOB]
    return {
        "language": view.language,
        "spoken": {},
        "title": "",
        "idle": [],
        "pinned": "",
        "buttons": buttons,
        "knobs": knobs,
    }


def _places(explorer: BoundsExplorer) -> list[float]:
    """Return the values of the slider's places, as the browser counts them: a hundredth of a decade, three digits."""
    (knob,) = [knob for knob in explorer.widget.knobs if knob["name"] == KNOB]
    low, high = (round(100 * math.log10(knob[end])) for end in ("low", "high"))
    return [float(f"{10 ** (place / 100):.3g}") for place in range(low, high + 1)]


def _shown(explorer: BoundsExplorer, tau: float | None = None) -> dict[str, Any]:
    """Return what the browser gets of an explorer at tau, or as it is; nothing but tau can be dragged."""
    if tau is not None:
        explorer.set(tau=tau)
    shown = {name: getattr(explorer.widget, name) for name in RECORDED}
    for mark in (mark for panel in shown["picture"]["panels"] for mark in panel["marks"]):
        mark["drags"] = [drag if drag and drag["knob"] == KNOB else None for drag in mark["drags"]]
    return {name: base64.b64encode(part).decode() if isinstance(part, bytes) else part for name, part in shown.items()}


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive known to Sphinx."""
    app.add_directive("live-explorer", LiveExplorer)
    return {"parallel_read_safe": True}

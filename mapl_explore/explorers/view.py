"""The widget of an explorer: panels as data and numbers for the browser, and what a person does, as messages."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from mapl_explore.explorers.knobs import Choice, Knob
from mapl_explore.plots.looks import PALETTE, SCALES
from mapl_explore.plots.panels import Mark, Panel, Rule, Words, key_of, own_key_of
from mapl_explore.words import _, spoken

BROWSER = Path(__file__).parent / "browser"
# In this order they are one module: no step that builds it, and nothing to fetch.
SCRIPTS = ("numbers.js", "line.js", "marks.js", "panel.js", "controls.js", "view.js")
DARK = 'body[data-jp-theme-light="false"] .mapl-view'


def script() -> str:
    """Return the scripts as one module."""
    return "\n".join((BROWSER / name).read_text(encoding="utf-8") for name in SCRIPTS)


def said_by_scripts() -> dict[str, str]:
    """Return the words that the scripts show in the language in force; those that stay as they are there are left out.

    Examples
    --------
    >>> said_by_scripts()
    {}
    """
    texts = [json.loads(text) for text in re.findall(r'\b_\(("(?:[^"\\]|\\.)*")\)', View._esm)]
    return {text: _(text) for text in texts if _(text) != text}


class View(anywidget.AnyWidget):
    """Picture, controls and readout in the browser, drawn by the scripts of ``browser``, which send what a person does.

    Parameters
    ----------
    knobs : sequence of Knob or Choice
        There is one control for each.
    buttons : sequence of (kind, label, tip)
        What stands between the picture and the controls; ``kind`` says what is done, see :meth:`Stage.do`. The label
        is said in the language in force.
    do : callable
        Called with each message, a mapping with ``kind``; the text of its ValueError or TypeError is shown.
    """

    _esm = script()
    _css = traitlets.Unicode().tag(sync=True)
    picture = traitlets.Dict().tag(sync=True)
    curves = traitlets.Bytes().tag(sync=True)
    numbers = traitlets.Bytes().tag(sync=True)
    words: traitlets.List = traitlets.List().tag(sync=True)
    knobs: traitlets.List = traitlets.List().tag(sync=True)
    buttons: traitlets.List = traitlets.List().tag(sync=True)
    values = traitlets.Dict().tag(sync=True)
    options = traitlets.Dict().tag(sync=True)
    idle: traitlets.List = traitlets.List().tag(sync=True)
    says = traitlets.Unicode().tag(sync=True)
    pinned = traitlets.Unicode().tag(sync=True)  # the settings of the pin, empty without one
    code = traitlets.Unicode().tag(sync=True)
    answer = traitlets.Dict().tag(sync=True)
    language = traitlets.Unicode().tag(sync=True)
    spoken = traitlets.Dict().tag(sync=True)  # the words of the scripts
    title = traitlets.Unicode().tag(sync=True)  # on a page of its own, whose address then has the settings

    def __init__(self, knobs: Sequence[Knob | Choice], buttons: Sequence[tuple[str, str, str]], do: Callable):
        """Describe the controls; the picture comes with :meth:`show`."""
        self._do = do
        super().__init__(
            _css=_palette() + (BROWSER / "view.css").read_text(encoding="utf-8"),
            knobs=[_described(knob) for knob in knobs],
            buttons=[{"kind": kind, "label": label, "text": _(label), "tip": tip} for kind, label, tip in buttons],
            language=spoken().name,
            spoken=said_by_scripts(),
        )
        self.on_msg(self._received)

    def show(
        self, panels: Sequence[Panel], says: str, values: Mapping[str, Any], sweep: str = "", **state: Any
    ) -> None:
        """Show panels, what is said next to the controls (HTML), and the values of the controls, in one message.

        "Play" sweeps what lies along the horizontal axis, if that has an effect, else the control named by ``sweep``.
        """
        names = [knob["name"] for knob in self.knobs]
        with self.hold_sync():
            picture, curves, numbers, words = encoded(panels, names)
            moves = picture["sweep"] and picture["sweep"] not in state.get("idle", ())
            picture |= {} if moves else {"sweep": sweep}
            self.picture, self.curves, self.numbers, self.words = picture, curves, numbers, words
            self.says, self.values = says, dict(values)
            for name, value in state.items():
                setattr(self, name, value)

    def _received(self, _: Any, content: Mapping[str, Any], buffers: Any) -> None:
        error = ""
        with self.hold_sync():  # the answer goes with what it is about
            try:
                self._do(content)
            except (TypeError, ValueError) as refusal:
                error = str(refusal)
            finally:
                self.answer = {"serial": content.get("serial"), "error": error}


def encoded(panels: Sequence[Panel], knobs: Iterable[str] = ()) -> tuple[dict, bytes, bytes, list[str]]:
    """Return what the browser needs to draw panels: their description, long and short arrays as float32, and all texts.

    The description says of each array where it starts among the long ones (0) or the short ones (1), and stays the same
    while only numbers move. Long ones are curves, many of which stay where they are while a point moves on them.

    Examples
    --------
    >>> from mapl_explore.plots.panels import Axis, Curve
    >>> line = Curve(name="line", x=np.array([0.0, 1.0]), y=np.array([2.0, 3.0]))
    >>> picture, curves, numbers, words = encoded([Panel("a line", Axis("x", 0, 1), Axis("y", 0, 4), [line])])
    >>> picture["panels"][0]["marks"][0]["arrays"], np.frombuffer(numbers, "<f4").tolist()
    ({'x': [1, 0, 2], 'y': [1, 2, 2]}, [0.0, 1.0, 2.0, 3.0])
    """
    ink = _Ink(knobs)
    described = [
        {
            "name": panel.name,
            "x": dict(vars(panel.x)),
            "y": dict(vars(panel.y)),
            "share": panel.share,
            "title": panel.title,
            "grid": panel.grid,
            "marks": [ink.mark(mark) for mark in panel.marks],
            "key": [_look(mark) for mark in own_key_of(panel)],
        }
        for panel in panels
    ]
    picture = {"panels": described, "key": [_look(mark) for mark in key_of(panels)], "sweep": ink.swept}
    return picture, ink.written(0), ink.written(1), ink.words


class _Ink:
    """The numbers and texts of a picture, each array once."""

    LONG = 64  # numbers, from which an array is a curve

    def __init__(self, knobs: Iterable[str]):
        self.words: list[str] = []
        self.swept = ""  # the knob of the first mark that is dragged along x: what the horizontal axis shows
        self._knobs = set(knobs)
        self._arrays: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        self._lengths = [0, 0]
        self._places: dict[int, list[int]] = {}

    def mark(self, mark: Mark) -> dict:
        """Return the description of a mark; it is dragged by the knobs there are."""
        arrays = {one.name: getattr(mark, one.name) for one in fields(mark)}
        arrays = {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}
        if isinstance(mark, Rule):
            arrays["at"] = np.array([mark.at])
        drags = [drag if drag and drag.knob in self._knobs else None for drag in mark.drags]
        self.swept = self.swept or next((drag.knob for drag in drags if drag and drag.along == "x"), "")
        if any(drags):
            arrays["factor"] = np.array([drag.factor if drag else 1.0 for drag in drags])
            arrays["offset"] = np.array([drag.offset if drag else 0.0 for drag in drags])
        described = _look(mark) | {"arrays": {name: self._placed(array) for name, array in arrays.items()}}
        described["drags"] = [drag and {"knob": drag.knob, "along": drag.along} for drag in drags]
        if isinstance(mark, Words):
            described["texts"] = [len(self.words), len(mark.texts)]
            self.words += mark.texts
        return described

    def written(self, kind: int) -> bytes:
        """Return the long arrays (0) or the short ones (1), one after the other; infinite beyond 3e38: not drawn."""
        with np.errstate(over="ignore"):
            return np.concatenate([*self._arrays[kind], []]).astype("<f4").tobytes()

    def _placed(self, array: np.ndarray) -> list[int]:
        """Return kind, start and length of an array, which is written when it is first met."""
        if id(array) not in self._places:
            kind = int(array.size < self.LONG)
            self._places[id(array)] = [kind, self._lengths[kind], array.size]
            self._arrays[kind].append(array)  # kept, so that no other array gets its id
            self._lengths[kind] += array.size
        return self._places[id(array)]


def _look(mark: Mark) -> dict:
    look = {"kind": type(mark).__name__.lower(), "name": mark.name, "label": mark.label, **vars(mark.style)}
    more = ("shape", "along", "across", "upright", "scale")
    return look | {"dash": list(mark.style.dash)} | {name: getattr(mark, name) for name in more if hasattr(mark, name)}


def _described(knob: Knob | Choice) -> dict:
    described = {name: value for name, value in vars(knob).items() if name != "admit"}
    return described | ({"options": list(knob.options)} if isinstance(knob, Choice) else {})


def _palette() -> str:
    """Return the palette as CSS, for light and for dark pages."""
    tones = {f"--mapl-{name}": tones for name, tones in PALETTE.items() if name != "ink"}
    for scale, shades in SCALES.items():
        tones |= {f"--mapl-{scale}-{end}": tone for end, tone in zip(("low", "zero", "high"), shades, strict=True)}
    light, dark = ("".join(f"{name}: {tone[which]};" for name, tone in tones.items()) for which in (0, 1))
    return f".mapl-view {{{light}}}\n{DARK} {{{dark}}}\n"

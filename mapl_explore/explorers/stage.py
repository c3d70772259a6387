"""What every explorer is built on: settings, a picture and its numbers, which always agree.

An explorer computes a reading at its settings, and describes it as panels, as a line of text and as HTML. The browser
draws the panels (``view``), matplotlib draws them for a stored notebook or a paper (``plots.paper``).
"""

import abc
import base64
import importlib.util
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import numpy as np

from mapl_explore.explorers.knobs import Choice, Knob
from mapl_explore.explorers.readout import paragraph, since
from mapl_explore.explorers.view import View
from mapl_explore.files import shortened
from mapl_explore.plots.panels import Boxes, Curve, Panel, Points, ghost
from mapl_explore.words import N_, _, speaking, spoken

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# JupyterLab >= 4.4 with ipykernel >= 7 runs callbacks on another thread than cells. All stages share one lock: with a
# lock for each, two linked stages would wait for each other for ever.
LOCK = threading.RLock()
REST = N_("; all other controls as at the start")
WAITS = N_("The pin has other axes: it comes back with them.")


class Stage(abc.ABC):
    """Controls, a picture and a readout that always agree; each explorer is a subclass that says what they show.

    An explorer is shown as the last line of a cell. ``settings`` holds the values of the controls, :meth:`set` changes
    them, :meth:`link` ties them to those of another explorer, :meth:`pin` leaves the present picture behind for
    comparison, :meth:`snapshot` returns the picture for a paper, and :meth:`to_frame` the numbers behind it.

    Parameters
    ----------
    knobs : iterable of Knob or Choice
        There is one control for each.
    presets : mapping
        From the label of a button to the settings it makes. Controls that are not named return to their start.
    start : mapping
        Where controls start; the others start at the default of their knob.

    Raises
    ------
    TypeError, ValueError
        If ``start`` names something that is not a knob, or a value is not one of its slider; the message names it.
    """

    size = (13.0, 4.4)  # inches, of the picture for paper

    def __init__(self, knobs: Iterable[Knob | Choice], presets: Mapping[str, Mapping], start: Mapping[str, Any]):
        """Make the controls and show the first picture."""
        self._lock, self._language = LOCK, spoken()
        self._knobs = {knob.name: knob.spoken() for knob in knobs}
        self._options = {knob.name: list(knob.options) for knob in self._knobs.values() if isinstance(knob, Choice)}
        self._values = {name: knob.default for name, knob in self._knobs.items()}
        self._start = self._values | self._followed(self._checked(start))
        self._presets = {label: self._checked(preset) for label, preset in presets.items()}
        self._links: list[tuple[Stage, tuple[str, ...]]] = []
        self._pinned: list[Panel] = []
        self._before: dict[str, float] = {}  # the headline of the pinned picture
        self._pinned_at = ""  # its settings, as a call
        self.widget = View(list(self._knobs.values()), self._buttons(), self.do)
        self.reset()

    @abc.abstractmethod
    def read(self, settings: dict[str, Any]) -> Any:
        """Return the reading at these settings: every number that is shown."""

    @abc.abstractmethod
    def panels(self, reading: Any) -> list[Panel]:
        """Return the picture of a reading."""

    @abc.abstractmethod
    def text(self, reading: Any) -> str:
        """Return the reading in a line of plain text, rounded."""

    @abc.abstractmethod
    def html(self, reading: Any) -> str:
        """Return the reading as the HTML next to the sliders."""

    @abc.abstractmethod
    def columns(self, reading: Any) -> dict[str, Any]:
        """Return the numbers behind the picture as the columns of :meth:`to_frame`."""

    def to_frame(self) -> Any:
        """Return the numbers behind the picture as a pandas.DataFrame; pandas need not be there before."""
        import pandas

        return pandas.DataFrame(self.columns(self.reading))

    def headline(self, reading: Any) -> dict[str, float]:
        """Return the few numbers that matter, by name: those that are compared with the pinned ones."""
        return {}

    def idle(self, settings: dict[str, Any]) -> set[str]:
        """Return the names of the controls that have no effect at these settings."""
        return set()

    def sweep(self, settings: dict[str, Any]) -> str:
        """Return the control that "play" sweeps where the picture has none; empty for the first that has an effect."""
        return ""

    def actions(self) -> dict[str, tuple[Callable[[], None], str]]:
        """Return the further buttons: from the label to the action and one sentence for a tooltip."""
        return {}

    def follow(self, name: str, value: Any) -> dict[str, Any]:
        """Return the values that other controls take when this one is set; what is set by name has priority."""
        return {}

    @property
    def settings(self) -> dict[str, Any]:
        """The value of each control."""
        with self._lock:
            return dict(self._values)

    @property
    def reading(self) -> Any:
        """Every number that is shown at the settings."""
        return self.read(self.settings)

    def set(self, **settings: float | str) -> None:
        """Set several controls at once.

        Parameters
        ----------
        **settings : float, int or str
            A value for each control, by the name of the knob and in its unit.

        Raises
        ------
        TypeError, ValueError
            If a name is not that of a slider, or a value is not one of its slider; no slider has moved then.
        """
        checked = self._followed(self._checked(settings))
        with self._lock:
            self._values |= checked
            self._admit(checked)
            self._show()
            self._tell()

    def reset(self) -> None:
        """Set every control to its value at the start."""
        self.set(**self._start)

    def pin(self) -> None:
        """Leave the picture as it is now behind the coming ones, pale and on the same axes; once more takes it away.

        The readout then says how far the numbers have come from the pinned ones. On other axes the pin waits until its
        own return, and the readout says so.
        """
        with self._lock, speaking(self._language):
            reading = self.reading
            self._pinned, self._before = ([], {}) if self._pinned else (self.panels(reading), self.headline(reading))
            self._pinned_at = self._code() if self._pinned else ""
            self._show()

    def link(self, other: "Stage", *names: str) -> None:
        """Tie controls to those of another explorer: from now on both have the same value.

        Parameters
        ----------
        other : Stage
            Takes the values of this one.
        *names : str
            Which controls; all that both have if none is named.

        Raises
        ------
        TypeError
            If ``other`` is not an explorer.
        ValueError
            If it is this explorer, one of the two lacks a control of that name, or their ranges differ.
        """
        self._check_other(other)
        shared = names or tuple(name for name in self._knobs if name in other._knobs)
        if not shared:
            raise ValueError(f"{type(self).__name__} and {type(other).__name__} share no control to link")
        for name in shared:
            self._check_alike(other, name)
        with self._lock:
            self._links.append((other, shared))
            other._links.append((self, shared))
            self._tell()

    def frame(self, **settings: float | str) -> np.ndarray:
        """Return the picture at other settings; the sliders do not move.

        Parameters
        ----------
        **settings : float or int
            As for :meth:`set`.

        Returns
        -------
        array (height, width, 3) of uint8
            Red, green and blue.

        Raises
        ------
        TypeError, ValueError
            As for :meth:`set`.
        """
        from mapl_explore.plots.paper import figure_of, pixels_of  # in a browser's page there is no matplotlib

        checked = self._followed(self._checked(settings))
        with speaking(self._language):
            return pixels_of(figure_of(self.panels(self.read(self.settings | checked)), *self.size))

    def snapshot(self) -> "Figure":
        """Return the picture at the settings as a figure of its own, to save or to change.

        Returns
        -------
        matplotlib.figure.Figure
            For example ``explorer.snapshot().savefig("bounds.pdf")``.
        """
        from mapl_explore.plots.paper import figure_of

        return figure_of(self._picture(self.reading), *self.size)

    def go(self, address: str) -> None:
        """Set what the query of an address says, such as ``tau=2.5&n=4``; names that are no control are passed over.

        Raises
        ------
        ValueError, TypeError
            If a value is not one of its control; nothing has moved then.
        """
        asked = {name: value for name, value in parse_qsl(address) if name in self._knobs}
        self.set(**self._typed(asked))

    def do(self, message: Mapping[str, Any]) -> None:
        """Do what a person has done in the browser.

        Parameters
        ----------
        message : mapping
            ``kind`` is "set" (with ``knob`` and ``value``, a text if it was typed), "preset" or "action" (with
            ``label``), "reset", "pin" or "hello", which asks for an answer alone.

        Raises
        ------
        TypeError, ValueError
            If a value is not one of its knob; nothing has moved then.
        """
        kind, label = message["kind"], str(message.get("label"))
        with speaking(self._language):  # also for what is wrong with a value
            if kind == "set":
                self.set(**self._typed({message["knob"]: message["value"]}))
            elif kind == "preset":
                self.set(**(self._start | self._presets[label]))
            elif kind == "action":
                self.actions()[label][0]()
            elif kind != "hello":
                {"reset": self.reset, "pin": self.pin}[kind]()

    def __repr__(self) -> str:
        """Return the settings that have an effect and the reading, in a line."""
        with speaking(self._language):
            return f"{self._code()}: {self.text(self.reading)}"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """Return the widget for a live notebook, the picture for a printed one, the line of text for any other."""
        widget = (self.widget._repr_mimebundle_() or ({}, {}))[0]
        return widget | {"text/plain": repr(self)} | self._printed()

    def _printed(self) -> dict[str, str]:
        """Return the picture as a PNG, where matplotlib is installed."""
        if importlib.util.find_spec("matplotlib") is None:
            return {}
        from mapl_explore.plots.paper import png_of

        return {"image/png": base64.b64encode(png_of(self.snapshot())).decode()}

    def _typed(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings with the numbers that a person has typed, as numbers."""
        knobs = [(name, self._knobs.get(name), value) for name, value in settings.items()]
        texts = {name: knob for name, knob, value in knobs if isinstance(knob, Knob) and isinstance(value, str)}
        return {name: texts[name].typed(value) if name in texts else value for name, value in settings.items()}

    def _program(self) -> str:
        """Return what a person runs to have the explorer as it is."""
        kind = type(self)
        return f"from {kind.__module__} import {kind.__name__}\n\n{self._code()}"

    def _code(self) -> str:
        """Return the settings that have an effect as a call."""
        settings, idle = self.settings, self.idle(self.settings)
        effective = {
            name: value for name, value in settings.items() if name not in idle and not self._unsaid(name, value)
        }
        return f"{type(self).__name__}({', '.join(map('='.join, _written(effective)))})"

    def _unsaid(self, name: str, value: Any) -> bool:
        knob = self._knobs[name]
        return isinstance(knob, Knob) and knob.unsaid and value == knob.default

    def _checked(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(settings) - set(self._knobs))
        if unknown:
            raise TypeError(f"{unknown[0]} is no slider here; there are {', '.join(self._knobs)}")
        return {name: self._knobs[name].checked(value) for name, value in settings.items()}

    def _followed(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Return the settings and those that follow from them; what is set by name has priority."""
        followers = [self.follow(name, value) for name, value in settings.items()]
        return {name: value for one in followers for name, value in one.items()} | settings

    def _admit(self, settings: Mapping[str, Any]) -> None:
        """Add what is new to the options of its choice."""
        for name, options in self._options.items():
            if name in settings and settings[name] not in options:
                options.append(settings[name])

    def _tell(self) -> None:
        """Set the linked explorers that have other values; these tell theirs, until all agree."""
        for other, names in self._links:
            ours, theirs = self.settings, other.settings
            news = {name: ours[name] for name in names if ours[name] != theirs[name]}
            if news:
                other.set(**news)

    def _check_other(self, other: object) -> None:
        if not isinstance(other, Stage):
            raise TypeError(f"other must be an explorer, such as BoundsExplorer(), not {shortened(other)}")
        if other is self:
            raise ValueError("other must be another explorer: this one cannot be linked to itself")

    def _check_alike(self, other: "Stage", name: str) -> None:
        for stage in (self, other):
            if name not in stage._knobs:
                raise ValueError(f"{type(stage).__name__} has no {name} to link; it has {', '.join(stage._knobs)}")
        if self._reach(name) != other._reach(name):
            kinds = f"{type(self).__name__} and {type(other).__name__}"
            raise ValueError(f"{name} cannot be linked: that of {kinds} reach over different ranges")

    def _reach(self, name: str) -> tuple:
        knob = self._knobs[name]
        return knob.options if isinstance(knob, Choice) else (knob.low, knob.high)

    def _show(self) -> None:
        reading = self.reading
        idle, options = sorted(self.idle(self._values)), {name: list(each) for name, each in self._options.items()}
        state = {"idle": idle, "options": options, "pinned": self._pinned_at, "code": self._program()}
        with speaking(self._language):
            panels = self.panels(reading)
            apart = bool(self._pinned) and not _alike(panels, self._pinned)
            says = (paragraph(_(WAITS)) if apart else since(self._before, self.headline(reading))) + self.html(reading)
        self.widget.show(self._over_pin(panels), says, self._values, self.sweep(self._values), **state)

    def _picture(self, reading: Any) -> list[Panel]:
        """Return the panels of a reading, over what is pinned."""
        with speaking(self._language):
            return self._over_pin(self.panels(reading))

    def _over_pin(self, panels: list[Panel]) -> list[Panel]:
        """Return panels over the pinned ones; as they are where one of them has other axes, and nothing to compare."""
        if not self._pinned or not _alike(panels, self._pinned):
            return panels
        return [_over(panel, old) for panel, old in zip(panels, self._pinned, strict=True)]

    def _buttons(self) -> list[tuple[str, str, str]]:
        presets = [
            ("preset", label, ", ".join(self._knobs[name].said(value) for name, value in preset.items()) + _(REST))
            for label, preset in self._presets.items()
        ]
        actions = [("action", label, _(tip)) for label, (_action, tip) in self.actions().items()]
        return [*presets, ("reset", N_("reset"), _("everything as at the start; a pin stays")), *actions]


def _alike(panels: list[Panel], pinned: list[Panel]) -> bool:
    """Tell whether panels show the same as pinned ones, on the same kinds of axes."""
    kinds = [
        [(one.name, one.x.label, one.x.scale, one.y.label, one.y.scale) for one in each] for each in (panels, pinned)
    ]
    return kinds[0] == kinds[1]


def _over(panel: Panel, pinned: Panel) -> Panel:
    """Return a panel over the ghost of a pinned one, on axes that have room for both."""
    # A shaded box has its colour from its number, and would hide what is now there.
    kept = [mark for mark in pinned.marks if getattr(mark, "shade", None) is None]
    ghosts = [ghost(mark) for mark in kept if isinstance(mark, Curve | Boxes | Points)]
    x, y = panel.x.with_room_for(pinned.x), panel.y.with_room_for(pinned.y)
    return replace(panel, x=x, y=y, marks=[*ghosts, *panel.marks])


def _written(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return names and values as text."""
    return [(name, repr(value) if isinstance(value, str) else f"{value:.4g}") for name, value in settings.items()]

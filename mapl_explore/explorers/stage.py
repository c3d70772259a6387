"""What every explorer is built on: controls, one picture, and its numbers as text.

A frame takes the kernel about 13 ms. Matplotlib draws the scenery (axes, ticks, labels, legend) once and keeps it as
pixels; a frame restores these pixels, draws the few artists that move, and sends one PNG. To draw everything again at
each move, as ``ipywidgets.interact`` does, takes about ten times as long.
"""

import abc
import base64
import struct
import threading
import zlib
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure

from mapl_explore.explorers.controls import control_of
from mapl_explore.explorers.knobs import Choice, Knob
from mapl_explore.files import shortened
from mapl_explore.plots import STYLE, drawing_style, styled_figure

# JupyterLab >= 4.4 with ipykernel >= 7 runs callbacks on another thread than cells. All stages share one lock: with a
# lock for each, two linked stages would wait for each other for ever.
LOCK = threading.RLock()
SCENES = 12  # pictures kept, 3 MB each; the one not shown for longest goes first
# In the wide window of a projector the controls grow with the picture: widgets take all their sizes from this one.
LARGER = """<style>@media (min-width: 1600px) {
.mapl-stage { --jp-widgets-font-size: 16px }
.mapl-stage .jupyter-widgets { font-size: 16px }
}</style>"""


class Picture:
    """A figure with scenery that is drawn once, and panels that move.

    Parameters
    ----------
    build : callable
        Fills an empty figure and returns its panels; each has a list ``moving`` of the artists that it moves.
    size : (float, float)
        Width and height in inches, at 100 pixels an inch.
    """

    def __init__(self, build, size: tuple[float, float]):
        """Build the panels, draw the scenery and keep it."""
        with drawing_style():
            self.figure = styled_figure(*size)
            self.panels = build(self.figure)
            self._moving = _moving(self.figure, self.panels)
            for artist in self._moving:
                artist.set_animated(True)
            _settle(self.figure, self.figure.canvas.draw)
        self._scenery = self.figure.canvas.copy_from_bbox(self.figure.bbox)

    def pixels(self) -> np.ndarray:
        """Return the pixels of the picture as it is now, (height, width, 3) of uint8."""
        self.figure.canvas.restore_region(self._scenery)
        for artist in self._moving:
            self.figure.draw_artist(artist)
        return np.array(self.figure.canvas.buffer_rgba())[..., :3]


class Stage(abc.ABC):
    """Controls, a picture and a readout that always agree; each explorer is a subclass that says what they show.

    An explorer is shown as the last line of a cell. ``settings`` holds the values of the controls, :meth:`set` changes
    them, :meth:`link` ties them to those of another explorer, :meth:`snapshot` returns the picture for a paper, and
    :meth:`to_frame` the numbers behind it.

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

    size = (13.0, 4.4)

    def __init__(self, knobs: Iterable[Knob | Choice], presets: Mapping[str, Mapping], start: Mapping[str, Any]):
        """Make the controls and draw the first frame."""
        self._lock = LOCK
        self._controls = {knob.name: control_of(knob, LOCK, self._moved) for knob in knobs}
        self._start = {name: control.knob.default for name, control in self._controls.items()}
        self._start |= self._followed(self._checked(start))
        self._presets = {label: self._checked(preset) for label, preset in presets.items()}
        self._pictures: dict[Hashable, Picture] = {}
        self._links: list[tuple[Stage, tuple[str, ...]]] = []
        # Smaller where the page is narrow, never larger than drawn.
        fitting = widgets.Layout(width="100%", max_width=f"{100 * self.size[0]:.0f}px", margin="0")
        self._image = widgets.Image(format="png", layout=fitting)
        self._readout = widgets.HTML(layout=widgets.Layout(flex="1 1 22em", margin="0 0 0 1.5em"))
        self.reset()
        self.widget = self._arranged()

    @abc.abstractmethod
    def build(self, figure: Figure, scene: Hashable) -> list:
        """Return the panels, with the scenery of a scene drawn on an empty figure."""

    @abc.abstractmethod
    def read(self, settings: dict[str, Any]) -> Any:
        """Return the reading at these settings: every number that is shown."""

    @abc.abstractmethod
    def move(self, panels: list, reading: Any) -> None:
        """Move the panels to a reading."""

    @abc.abstractmethod
    def text(self, reading: Any) -> str:
        """Return the reading in a line of plain text, rounded."""

    @abc.abstractmethod
    def html(self, reading: Any) -> str:
        """Return the reading as the HTML next to the sliders."""

    @abc.abstractmethod
    def to_frame(self):
        """Return the numbers behind the picture as a pandas.DataFrame."""

    def scene(self, reading: Any) -> Hashable:
        """Return all that the scenery (axes, labels, legend) of a reading depends on; each scene is drawn once."""
        return ()

    def idle(self, settings: dict[str, Any]) -> set[str]:
        """Return the names of the controls that have no effect at these settings."""
        return set()

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
            return {name: control.value for name, control in self._controls.items()}

    @property
    def reading(self) -> Any:
        """Every number that is shown at the settings."""
        return self.read(self.settings)

    def set(self, **settings) -> None:
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
            for name, value in checked.items():
                self._controls[name].put(value)
            self._redraw()
            self._tell()

    def reset(self) -> None:
        """Set every control to its value at the start."""
        self.set(**self._start)

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
        shared = names or tuple(name for name in self._controls if name in other._controls)
        if not shared:
            raise ValueError(f"{type(self).__name__} and {type(other).__name__} share no control to link")
        for name in shared:
            self._check_alike(other, name)
        with self._lock:
            self._links.append((other, shared))
            other._links.append((self, shared))
            self._tell()

    def frame(self, **settings) -> np.ndarray:
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
        checked = self._followed(self._checked(settings))
        with self._lock:
            return self._drawn(self.read(self.settings | checked))

    def snapshot(self) -> Figure:
        """Return the picture at the settings as a figure of its own, to save or to change.

        Returns
        -------
        matplotlib.figure.Figure
            For example ``explorer.snapshot().savefig("bounds.pdf")``.
        """
        reading = self.reading
        with drawing_style():
            figure = styled_figure(*self.size)
            panels = self.build(figure, self.scene(reading))
            _settle(figure, figure.draw_without_rendering)
        self.move(panels, reading)
        return figure

    def __repr__(self) -> str:
        """Return the settings that have an effect and the reading, in a line."""
        idle = self.idle(self.settings)
        effective = {name: value for name, value in self.settings.items() if name not in idle}
        settings = ", ".join(map("=".join, _written(effective)))
        return f"{type(self).__name__}({settings}): {self.text(self.reading)}"

    def _repr_mimebundle_(self, **_):
        """Return the widget for a live notebook, the picture for a printed one, the line of text for any other."""
        bundle = self.widget._repr_mimebundle_()
        return bundle | {"text/plain": repr(self), "image/png": base64.b64encode(self._image.value).decode()}

    def _checked(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(settings) - set(self._controls))
        if unknown:
            raise TypeError(f"{unknown[0]} is no slider here; there are {', '.join(self._controls)}")
        return {name: self._controls[name].checked(value) for name, value in settings.items()}

    def _followed(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Return the settings and those that follow from them; what is set by name has priority."""
        followers = [self.follow(name, value) for name, value in settings.items()]
        return {name: value for one in followers for name, value in one.items()} | settings

    def _moved(self, name: str) -> None:
        """Draw what a person has moved, and all that follows from it."""
        for other, value in self.follow(name, self._controls[name].value).items():
            self._controls[other].put(value)
        self._redraw()
        self._tell()

    def _tell(self) -> None:
        """Set the linked explorers that have other values; these tell theirs, until all agree."""
        for other, names in self._links:
            ours, theirs = self.settings, other.settings
            news = {name: ours[name] for name in names if ours[name] != theirs[name]}
            if news:
                other.set(**news)

    def _check_other(self, other) -> None:
        if not isinstance(other, Stage):
            raise TypeError(f"other must be an explorer, such as BoundsExplorer(), not {shortened(other)}")
        if other is self:
            raise ValueError("other must be another explorer: this one cannot be linked to itself")

    def _check_alike(self, other: "Stage", name: str) -> None:
        for stage in (self, other):
            if name not in stage._controls:
                raise ValueError(f"{type(stage).__name__} has no {name} to link; it has {', '.join(stage._controls)}")
        if self._controls[name].reach != other._controls[name].reach:
            kinds = f"{type(self).__name__} and {type(other).__name__}"
            raise ValueError(f"{name} cannot be linked: that of {kinds} reach over different ranges")

    def _redraw(self) -> None:
        with self._lock:
            reading, idle = self.reading, self.idle(self.settings)
            for name, control in self._controls.items():
                control.idle(name in idle)
            self._image.value = _png(self._drawn(reading))
            self._readout.value = f'<div style="line-height: 1.3; font-size: 112%">{self.html(reading)}</div>'

    def _drawn(self, reading: Any) -> np.ndarray:
        """Return the pixels of a reading."""
        picture = self._picture_of(self.scene(reading))
        self.move(picture.panels, reading)
        return picture.pixels()

    def _picture_of(self, scene: Hashable) -> Picture:
        """Return the picture of a scene; it is drawn when it is first needed."""
        picture = self._pictures.pop(scene, None) or Picture(lambda figure: self.build(figure, scene), self.size)
        self._pictures[scene] = picture  # last: the first is the one not shown for longest
        if len(self._pictures) > SCENES:
            del self._pictures[next(iter(self._pictures))]
        return picture

    def _arranged(self) -> widgets.Widget:
        buttons = [self._button(label, preset) for label, preset in self._presets.items()]
        buttons.append(self._button("reset", {}))
        buttons += [_button(label, tip, action) for label, (action, tip) in self.actions().items()]
        rows = [control.row for control in self._controls.values()]
        wrapping = {"layout": widgets.Layout(flex_flow="row wrap")}
        columns = widgets.HBox([widgets.VBox(rows), self._readout], **wrapping)
        stage = widgets.VBox([widgets.HTML(LARGER), self._image, widgets.HBox(buttons, **wrapping), columns])
        stage.add_class("mapl-stage")
        return stage

    def _button(self, label, preset):
        tip = ", ".join(map(" = ".join, _written(preset))) or "where the sliders started"
        return _button(label, tip, lambda: self.set(**(self._start | preset)))


def _button(label: str, tip: str, action: Callable[[], None]) -> widgets.Button:
    button = widgets.Button(description=label, tooltip=tip, layout=widgets.Layout(width="auto"))
    button.on_click(lambda _: action())
    return button


def _settle(figure: Figure, draw: Callable[[], None]) -> None:
    """Make the ticks and fix the layout: both come with the first drawing."""
    for axes in figure.axes:
        axes.tick_params(labelsize=STYLE["font.size"])  # else read at each drawing, and with it the number of ticks
    draw()  # in our style and before anything has moved
    figure.set_layout_engine("none")


def _moving(figure: Figure, panels: Iterable) -> list:
    """Return the artists that a frame draws over the scenery, in the order of a full drawing."""
    moving = [artist for panel in panels for artist in panel.moving]
    # The spines lie above the lines, so they are drawn again after them; else each frame would be painted over them.
    spines = [spine for axes in figure.axes for spine in axes.spines.values()]
    return sorted([*moving, *spines], key=lambda artist: artist.get_zorder())


def _written(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return names and values as text."""
    return [(name, repr(value) if isinstance(value, str) else f"{value:.4g}") for name, value in settings.items()]


def _png(pixels: np.ndarray) -> bytes:
    """Return the pixels as a PNG, without the row filters with which Pillow takes 9 ms where this takes 3."""
    height, width, channels = pixels.shape
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # filter 0, "none", opens each row
    image = rows[:, 1:].reshape(height, width, channels)  # a view
    for channel in range(channels):  # 0.4 ms; all at once, numpy goes over them three by three, in 1.7
        image[..., channel] = pixels[..., channel]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, colour type 2: red, green, blue
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, level=1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

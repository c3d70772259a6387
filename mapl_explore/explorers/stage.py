"""The stage under every explorer: sliders, one picture, and its numbers as text.

From slider to screen a frame costs the kernel about 18 ms, because matplotlib draws the scenery (axes, ticks, labels,
legend) once and keeps it as pixels; a frame restores them, draws the few artists that move, and sends one PNG. To draw
everything anew, as ``ipywidgets.interact`` does, takes about ten times as long.
"""

import abc
import base64
import math
import struct
import threading
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure

from mapl_explore.knobs import Knob
from mapl_explore.plots import STYLE, drawing_style, styled_figure

BOX_WIDTH, SLIDER_WIDTH = 21.5, 16.0  # em
# On a projector's wide window the controls grow with the picture; widgets take every size from this one.
LARGER = "<style>@media (min-width: 1600px) { .mapl-stage { --jp-widgets-font-size: 16px } }</style>"


class Picture:
    """A figure whose scenery is drawn once and whose panels move.

    Parameters
    ----------
    build : callable
        From an empty figure to its panels, each with a list ``moving`` of the artists it moves.
    size : (float, float)
        Width and height in inches, at 100 pixels an inch.
    """

    def __init__(self, build, size: tuple[float, float]):
        """Build the panels, draw the scenery and keep it."""
        with drawing_style():
            self.figure = styled_figure(*size)
            self.panels = build(self.figure)
            self._moving = _settled(self.figure, self.panels)
        for artist in self._moving:
            artist.set_animated(True)
        self.figure.canvas.draw()
        self._scenery = self.figure.canvas.copy_from_bbox(self.figure.bbox)

    def pixels(self) -> np.ndarray:
        """Return the picture with its panels where they are, (height, width, 3) of uint8."""
        self.figure.canvas.restore_region(self._scenery)
        for artist in self._moving:
            self.figure.draw_artist(artist)
        return np.array(self.figure.canvas.buffer_rgba())[..., :3]


class Stage(abc.ABC):
    """Sliders, a picture and a readout that agree, from Python and in the notebook; an explorer says what they show.

    Show one as the last line of a cell. ``settings`` tells where the sliders are, :meth:`set` moves them,
    :meth:`snapshot` returns the picture for a paper and :meth:`to_frame` the numbers behind it.

    Parameters
    ----------
    knobs : iterable of Knob
        One slider each.
    presets : mapping
        What each button sets: a label to settings. Sliders that it does not name go to where they started.
    start : mapping
        Where sliders start, if not at their knob's default.

    Raises
    ------
    TypeError, ValueError
        If ``start`` names no knob, or a value is no number or off its slider; the message names it.
    """

    size = (13.0, 4.4)

    def __init__(self, knobs: Iterable[Knob], presets: Mapping[str, Mapping], start: Mapping[str, Any]):
        """Make the controls and draw the first frame."""
        # JupyterLab >= 4.4 with ipykernel >= 7 runs callbacks on a thread of their own, beside the cell's.
        self._lock = threading.RLock()
        self._controls = {knob.name: Control(knob, self._lock, self._redraw) for knob in knobs}
        self._start = {name: control.knob.default for name, control in self._controls.items()}
        self._start |= self._checked(start)
        self._presets = {label: self._checked(preset) for label, preset in presets.items()}
        self._picture = Picture(self.build, self.size)
        # Smaller where the page is narrow, never larger than drawn.
        fitting = widgets.Layout(width="100%", max_width=f"{100 * self.size[0]:.0f}px")
        self._image = widgets.Image(format="png", layout=fitting)
        self._readout = widgets.HTML(layout=widgets.Layout(flex="1 1 22em", margin="0 0 0 1.5em"))
        self.reset()
        self.widget = self._arranged()

    @abc.abstractmethod
    def build(self, figure: Figure) -> list:
        """Return the panels, with their scenery drawn on an empty figure."""

    @abc.abstractmethod
    def read(self, settings: dict[str, float]) -> Any:
        """Return the reading at these settings: every number that is shown."""

    @abc.abstractmethod
    def move(self, panels: list, reading: Any) -> None:
        """Move the panels to a reading."""

    @abc.abstractmethod
    def text(self, reading: Any) -> str:
        """Return the reading in a line of plain text, rounded."""

    @abc.abstractmethod
    def html(self, reading: Any) -> str:
        """Return the reading as the HTML beside the sliders."""

    @abc.abstractmethod
    def to_frame(self):
        """Return the numbers behind the picture as a pandas.DataFrame."""

    @property
    def settings(self) -> dict[str, float]:
        """Where each slider is."""
        with self._lock:
            return {name: control.value for name, control in self._controls.items()}

    @property
    def reading(self) -> Any:
        """Every number shown at the settings."""
        return self.read(self.settings)

    def set(self, **settings) -> None:
        """Move several sliders at one stroke.

        Parameters
        ----------
        **settings : float or int
            A value for each slider to move, by the knob's name and in its unit.

        Raises
        ------
        TypeError, ValueError
            If a name is no slider, or a value is no number or off its slider; no slider has moved then.
        """
        checked = self._checked(settings)
        with self._lock:
            for name, value in checked.items():
                self._controls[name].put(value)
            self._redraw()

    def reset(self) -> None:
        """Move every slider to where it started."""
        self.set(**self._start)

    def frame(self, **settings) -> np.ndarray:
        """Return the picture with some settings changed and the sliders where they are.

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
        checked = self._checked(settings)
        with self._lock:
            self.move(self._picture.panels, self.read(self.settings | checked))
            return self._picture.pixels()

    def snapshot(self) -> Figure:
        """Return the picture at the settings as a figure of its own, to save or to change.

        Returns
        -------
        matplotlib.figure.Figure
            For example ``explorer.snapshot().savefig("bounds.pdf")``.
        """
        with drawing_style():
            figure = styled_figure(*self.size)
            panels = self.build(figure)
            _settled(figure, panels)
        self.move(panels, self.reading)
        return figure

    def __repr__(self) -> str:
        """Return the settings and the reading in a line."""
        settings = ", ".join(f"{name}={value:.4g}" for name, value in self.settings.items())
        return f"{type(self).__name__}({settings}): {self.text(self.reading)}"

    def _repr_mimebundle_(self, **_):
        """Return the widget for a live notebook, the picture for a printed one, the line of text for any other."""
        bundle = self.widget._repr_mimebundle_()
        return bundle | {"text/plain": repr(self), "image/png": base64.b64encode(self._image.value).decode()}

    def _checked(self, settings: Mapping[str, Any]) -> dict[str, float]:
        unknown = sorted(set(settings) - set(self._controls))
        if unknown:
            raise TypeError(f"{unknown[0]} is no slider here; there are {', '.join(self._controls)}")
        return {name: self._controls[name].checked(value) for name, value in settings.items()}

    def _redraw(self) -> None:
        with self._lock:
            reading = self.reading
            self.move(self._picture.panels, reading)
            self._image.value = _png(self._picture.pixels())
            self._readout.value = f'<div style="line-height: 1.3; font-size: 105%">{self.html(reading)}</div>'

    def _arranged(self) -> widgets.Widget:
        buttons = [self._button(label, preset) for label, preset in self._presets.items()]
        buttons.append(self._button("reset", {}))
        rows = [control.row for control in self._controls.values()]
        wrapping = {"layout": widgets.Layout(flex_flow="row wrap")}
        columns = widgets.HBox([widgets.VBox(rows), self._readout], **wrapping)
        stage = widgets.VBox([widgets.HTML(LARGER), self._image, widgets.HBox(buttons, **wrapping), columns])
        stage.add_class("mapl-stage")
        return stage

    def _button(self, label, preset):
        tip = ", ".join(f"{name} = {value:g}" for name, value in preset.items()) or "where the sliders started"
        button = widgets.Button(description=label, tooltip=tip, layout=widgets.Layout(width="auto"))
        button.on_click(lambda _: self.set(**(self._start | preset)))
        return button


class Control:
    """A slider and the number box beside it: one value, two ways to set it.

    The box carries the name that a screen reader speaks: of a logarithmic slider it would read the exponent.

    Parameters
    ----------
    knob : Knob
        Name, range and scale.
    lock : threading.RLock
        Held while the value changes.
    changed : callable
        Called, under the lock, after a person has moved the slider or typed a number.
    """

    def __init__(self, knob: Knob, lock, changed):
        """Make the two widgets and tie them together."""
        self.knob, self.value = knob, knob.default
        self._lock, self._changed, self._following = lock, changed, False
        self.slider, self.box = _slider(knob), _box(knob)
        self.slider.observe(self._slid, "value")
        self.box.observe(self._typed, "value")
        self.row = widgets.HBox([self.box, self.slider])

    def checked(self, value) -> float:
        """Return a value of the knob's kind, or raise the error that names it."""
        name, low, high = self.knob.name, self.knob.low, self.knob.high
        try:
            number = self._kind(value)
        except (TypeError, ValueError, OverflowError):
            raise TypeError(f"{name} must be a number, not {value!r}") from None
        if number != value or not low <= number <= high:
            kind = "a whole number" if self.knob.scale == "integer" else "a number"
            raise ValueError(f"{name} must be {kind} in [{low:g}, {high:g}], not {value!r}")
        return number

    def put(self, value: float) -> None:
        """Show a value on both widgets, without a call to ``changed``."""
        self._follow(value, self.slider, self.box)

    def _slid(self, _) -> None:
        with self._lock:
            # The slider is read again, not from the message: of two threads the later one must win.
            if not self._following and self._is_moved(self.slider.value):
                self._follow(self._rounded(self.slider.value), self.box)
                self._changed()

    def _typed(self, _) -> None:
        with self._lock:
            if not self._following:
                self._follow(self._kind(self.box.value), self.slider)
                self._changed()

    def _follow(self, value, *followers) -> None:
        """Take a value and show it on widgets whose own messages about it are then not news."""
        with self._lock:
            self.value, self._following = value, True
            try:
                for widget in followers:
                    widget.value = value
            finally:
                self._following = False

    def _kind(self, value):
        return int(value) if self.knob.scale == "integer" else float(value)

    def _is_moved(self, value) -> bool:
        # A browser puts the knob on the nearest step as soon as it shows it, and reports that: 5.01 for 5.
        away = abs(self.knob.position(value) - self.knob.position(self.value))
        return away > 0.501 * self.slider.step

    def _rounded(self, value):
        """Return a value as one can set it by hand: the loss and the run folder then hold 5.01, not 5.0118723."""
        if self.knob.scale == "integer":
            return value
        return min(max(float(f"{value:.3g}"), self.knob.low), self.knob.high)


def _slider(knob: Knob) -> widgets.Widget:
    layout = widgets.Layout(width=f"{SLIDER_WIDTH}em")
    if knob.scale == "log":
        ends = {"min": math.log10(knob.low), "max": math.log10(knob.high), "step": 0.01}
        return widgets.FloatLogSlider(knob.default, **ends, readout=False, layout=layout)
    kind = widgets.IntSlider if knob.scale == "integer" else widgets.FloatSlider
    # About a hundred steps of a round size: an arrow key then moves the picture visibly and never far.
    step = 1 if knob.scale == "integer" else 10.0 ** math.floor(math.log10((knob.high - knob.low) / 100))
    return kind(knob.default, min=knob.low, max=knob.high, step=step, readout=False, layout=layout)


def _box(knob: Knob) -> widgets.Widget:
    kind = widgets.BoundedIntText if knob.scale == "integer" else widgets.BoundedFloatText
    name = f"{knob.label} ({knob.unit})" if knob.unit else knob.label
    ends = {"min": knob.low, "max": knob.high} | ({} if knob.scale == "integer" else {"step": None})
    style = {"description_width": "15.5em"}
    return kind(
        knob.default, **ends, description=name, tooltip=knob.help, style=style, layout={"width": f"{BOX_WIDTH}em"}
    )


def _settled(figure: Figure, panels: Iterable) -> list:
    """Make the ticks, fix the layout, and return the moving artists in the order of a full drawing."""
    for axes in figure.axes:
        axes.tick_params(labelsize=STYLE["font.size"])  # else read at each drawing, and with it the number of ticks
    # Now, in our style and before anything has moved: ticks are made, and the layout follows, when one first draws.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    moving = [artist for panel in panels for artist in panel.moving]
    # The spines lie above the lines, so they are drawn again after them; else each frame would be painted over them.
    spines = [spine for axes in figure.axes for spine in axes.spines.values()]
    return sorted([*moving, *spines], key=lambda artist: artist.get_zorder())


def digits(value: float) -> str:
    """Return a number as people read it: three digits, whole from a thousand on, a bound for a speck."""
    if 0 < abs(value) < 1e-12:
        return "under 1e-12"
    return f"{value:,.0f}" if 1000 <= value < 1e9 else f"{value:.3g}"


def _png(pixels: np.ndarray) -> bytes:
    """Return the pixels as a PNG, without the row filters with which Pillow takes 9 ms where this takes 3."""
    height, width, channels = pixels.shape
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # filter 0, "none", opens each row
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, colour type 2: red, green, blue
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), level=1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

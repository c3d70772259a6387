"""The controls of an explorer: a slider with its number box, and a choice between words."""

import math

import ipywidgets as widgets
import traitlets

from mapl_explore.explorers.knobs import Choice, Knob, named_option

BOX_WIDTH, SLIDER_WIDTH, NAME_WIDTH = 21.5, 16.0, 15.5  # em


def control_of(knob: Knob | Choice, lock, changed):
    """Return the control of a knob or a choice."""
    return (Picker if isinstance(knob, Choice) else Control)(knob, lock, changed)


class Control:
    """A slider and the number box next to it: two ways to set one value.

    The box carries the name that a screen reader speaks: of a logarithmic slider it would read the exponent.

    Parameters
    ----------
    knob : Knob
        Name, range and scale.
    lock : threading.RLock
        Held while the value changes.
    changed : callable
        Called with the knob's name, under the lock, after a person has moved the slider or typed a number.
    """

    def __init__(self, knob: Knob, lock, changed):
        """Make the two widgets and tie them together."""
        self.knob, self.value = knob, knob.default
        self._lock, self._changed, self._following = lock, changed, False
        self.slider, self.box = _slider(knob), _box(knob)
        self.slider.observe(self._slid, "value")
        self.box.observe(self._typed, "value")
        self.row = widgets.HBox([self.box, self.slider])
        self.reach = (knob.low, knob.high)

    def checked(self, value) -> float:
        """Return a value of the knob's kind, or raise the error that names it."""
        name, low, high = self.knob.name, self.knob.low, self.knob.high
        try:
            number = self._kind(None if isinstance(value, bool) else value)
        except (TypeError, ValueError, OverflowError):
            raise TypeError(f"{name} must be a number, not {value!r}") from None
        if number != value or not low <= number <= high:
            kind = "a whole number" if self.knob.scale == "integer" else "a number"
            raise ValueError(f"{name} must be {kind} in [{low:g}, {high:g}], not {value!r}")
        return number

    def put(self, value: float) -> None:
        """Show a value on both widgets, without a call to ``changed``."""
        self._follow(value, self.slider, self.box)

    def idle(self, idle: bool) -> None:
        """Grey the control out where it has no effect, or bring it back."""
        self.slider.disabled = self.box.disabled = idle

    def _slid(self, _) -> None:
        with self._lock:
            # The slider is read again, not from the message: of two threads the later one must win.
            if not self._following and self._is_moved(self.slider.value):
                self._follow(self._rounded(self.slider.value), self.box)
                self._changed(self.knob.name)

    def _typed(self, _) -> None:
        with self._lock:
            if not self._following:
                self._follow(self._kind(self.box.value), self.slider)
                self._changed(self.knob.name)

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


class Picker:
    """A list of words, one of which is chosen; it works by keyboard, and a screen reader says its name.

    Parameters
    ----------
    choice : Choice
        Name and options.
    lock, changed
        As for :class:`Control`.
    """

    def __init__(self, choice: Choice, lock, changed):
        """Make the widget."""
        self.knob, self.value = choice, choice.default
        self._lock, self._changed, self._following = lock, changed, False
        self.row = self.picker = _picker(choice)
        self.reach = choice.options
        self.picker.observe(self._picked, "value")

    def checked(self, value) -> str:
        """Return an option, or raise the error that names what there is."""
        option = named_option(value, self.picker.options)
        if option is not None:
            return option
        if self.knob.admit is not None:
            return self.knob.admit(value)
        raise ValueError(f"{self.knob.name} must be one of {', '.join(self.knob.options)}, not {value!r}")

    def put(self, value: str) -> None:
        """Show an option, a new one too, without a call to ``changed``."""
        with self._lock:
            self.value, self._following = value, True
            try:
                if value not in self.picker.options:
                    self.picker.options = (*self.picker.options, value)
                self.picker.value = value
            finally:
                self._following = False

    def idle(self, idle: bool) -> None:
        """Grey the choice out where it has no effect, or bring it back."""
        self.picker.disabled = idle

    def _picked(self, _) -> None:
        with self._lock:
            if self.picker.value is None:  # which the list takes from Python without asking its validator
                self.put(self.value)
                raise traitlets.TraitError(
                    f"{self.knob.name} must be one of {', '.join(self.picker.options)}, not None"
                )
            if not self._following and self.picker.value != self.value:
                self.value = self.picker.value
                self._changed(self.knob.name)


def _picker(choice: Choice) -> widgets.Widget:
    look = {"description": choice.label, "tooltip": choice.help, "style": {"description_width": f"{NAME_WIDTH}em"}}
    layout = widgets.Layout(width=f"{BOX_WIDTH + SLIDER_WIDTH}em")
    # Not radio buttons: those of ipywidgets lack a common name, so that the arrow keys leave them for the next cell.
    return widgets.Dropdown(options=choice.options, value=choice.default, layout=layout, **look)


class Finite(traitlets.HasTraits):
    """A number widget that also refuses what is no number: its ends let NaN pass, and make an end of infinity."""

    @traitlets.validate("value")
    def _validate_value(self, proposal):
        if not math.isfinite(proposal["value"]):
            name = self.description or "the value of a slider"
            raise traitlets.TraitError(f"{name} must be a finite number, not {proposal['value']!r}")
        return super()._validate_value(proposal)


class LogSlider(Finite, widgets.FloatLogSlider):
    """A slider over powers of ten."""


class Slider(Finite, widgets.FloatSlider):
    """A slider."""


class NumberBox(Finite, widgets.BoundedFloatText):
    """A box for a number."""


def _slider(knob: Knob) -> widgets.Widget:
    layout = widgets.Layout(width=f"{SLIDER_WIDTH}em")
    if knob.scale == "log":
        ends = {"min": math.log10(knob.low), "max": math.log10(knob.high), "step": 0.01}
        return LogSlider(knob.default, **ends, readout=False, layout=layout)
    kind = widgets.IntSlider if knob.scale == "integer" else Slider
    # About a hundred steps of a round size: an arrow key then moves the picture visibly and never far.
    step = 1 if knob.scale == "integer" else 10.0 ** math.floor(math.log10((knob.high - knob.low) / 100))
    return kind(knob.default, min=knob.low, max=knob.high, step=step, readout=False, layout=layout)


def _box(knob: Knob) -> widgets.Widget:
    kind = widgets.BoundedIntText if knob.scale == "integer" else NumberBox
    name = f"{knob.label} ({knob.unit})" if knob.unit else knob.label
    ends = {"min": knob.low, "max": knob.high} | ({} if knob.scale == "integer" else {"step": None})
    style = {"description_width": f"{NAME_WIDTH}em"}
    return kind(
        knob.default, **ends, description=name, tooltip=knob.help, style=style, layout={"width": f"{BOX_WIDTH}em"}
    )

"""One range per parameter: the slider, the command line's help and the tests all read it here."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Knob:
    """The name, unit, range and default of one parameter, as people meet it.

    A knob bounds what a slider offers, not what a function accepts: the functions take every value of their domain.

    Parameters
    ----------
    name : str
        The keyword in the code.
    label : str
        What a slider is called.
    unit : str
        Empty for a pure number.
    low, high, default : float or int
        The ends of the range and where it starts.
    scale : {"linear", "log", "integer"}
        How positions map to values.
    help : str
        One sentence for a tooltip or ``--help``.

    Raises
    ------
    ValueError
        If the default lies outside the range, or a logarithmic range does not start above 0.

    Examples
    --------
    >>> KNOBS["tau"].position(1.0), KNOBS["tau"].value(2.0)
    (0.0, 100.0)
    """

    name: str
    label: str
    unit: str
    low: float
    high: float
    default: float
    scale: Literal["linear", "log", "integer"]
    help: str

    def __post_init__(self):
        """Check that the range holds together."""
        if not self.low <= self.default <= self.high:
            raise ValueError(f"default must lie in [{self.low}, {self.high}], not {self.default}")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f"low must be > 0 on a log scale, not {self.low}")

    def value(self, position: float) -> float:
        """Return the value at a slider's position, which is its log10 on a log scale."""
        return 10.0**position if self.scale == "log" else position

    def position(self, value: float) -> float:
        """Return the slider's position of a value, the inverse of :meth:`value`."""
        return math.log10(value) if self.scale == "log" else value


@dataclass(frozen=True)
class Choice:
    """One of several words: a row of buttons or a list, as people meet it.

    Parameters
    ----------
    name : str
        The keyword in the code.
    label : str
        What the choice is called.
    options : tuple of str
        What there is to choose.
    default : str
        One of them.
    help : str
        One sentence for a tooltip.
    admit : callable, optional
        From something that is no option to the word that becomes one, or an error that says why not.

    Raises
    ------
    ValueError
        If the default is no option.

    Examples
    --------
    >>> Choice("side", "side", ("positives", "negatives"), "negatives", "Which responses.").default
    'negatives'
    """

    name: str
    label: str
    options: tuple[str, ...]
    default: str
    help: str
    admit: Callable | None = None

    def __post_init__(self):
        """Check that the default can be chosen."""
        if self.default not in self.options:
            raise ValueError(f"default must be one of {', '.join(self.options)}, not {self.default!r}")


KNOBS = {
    knob.name: knob
    for knob in (
        Knob("n", "number of scores n", "", 1, 64, 8, "integer", "How many responses are in the set."),
        Knob("gap", "gap δ", "nats", 0.0, 10.0, 0.5, "linear", "The largest score minus the second largest."),
        Knob("wide_gap", "gap δ", "nats", 0.01, 1000.0, 1.0, "log", "The largest score minus the second largest."),
        Knob("tau", "inverse temperature τ", "1/nats", 0.1, 100.0, 5.0, "log", "Larger is sharper."),
        Knob("epsilon", "target ε", "nats", 0.0001, 10.0, 0.05, "log", "The smoothing error to aim at."),
        Knob("share", "leader share", "", 0.51, 0.999, 0.9, "linear", "The part of the gradient the leader may take."),
        Knob("spread", "spread of the others", "nats", 0.0, 10.0, 1.0, "linear", "From second to last score."),
        Knob("beta", "β", "", 0.01, 10.0, 0.1, "log", "How steeply a loss turns with its margin."),
        Knob("score", "score", "nats", -10.0, 0.0, -1.0, "linear", "A log-prob, or whatever is compared."),
        Knob("level", "largest score", "nats", -1000.0, 0.0, -5.0, "linear", "Where the whole set lies."),
        Knob("shift", "shift", "nats", -20.0, 20.0, 0.0, "linear", "How far log-probs are moved from where they are."),
    )
}

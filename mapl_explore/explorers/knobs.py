"""What can be set in an explorer: numbers with their unit, range and default, and choices between words."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mapl_explore.words import N_, _

NATS, PER_NAT = N_("nats"), N_("1/nats")
ALPHA = N_("1 is log-sum-exp, where every score has a share of the gradient; above it, scores far below have none.")
SHARPER = N_("What rewards are divided by: the smaller, the more the best one counts.")
MINUS = str.maketrans("−–", "--")  # as pages and papers print it
SIGNS = str.maketrans("+-−", "pnn")


@dataclass(frozen=True)
class Knob:
    """A number that can be set: its name, unit, range and default.

    The range is that of the slider. The functions that take the number accept every value of their domain.

    Parameters
    ----------
    name : str
        The keyword in the code.
    label : str
        The name shown next to the slider.
    unit : str
        Empty for a pure number.
    low, high, default : float or int
        The ends of the range, and the value at the start.
    scale : {"linear", "log", "integer"}
        How the positions of the slider map to values.
    help : str
        One sentence for a tooltip.
    unsaid : bool
        Whether a written call leaves it out at its default.
    spare : bool
        Whether the browser shows it only where it moves something; any other is greyed out.

    Raises
    ------
    ValueError
        If the default lies outside the range, or a logarithmic range does not start above 0.

    Examples
    --------
    >>> KNOBS["tau"].typed("2"), KNOBS["tau"].said(2.0)
    (2.0, 'inverse temperature τ = 2 (1/nats)')
    """

    name: str
    label: str
    unit: str
    low: float
    high: float
    default: float
    scale: Literal["linear", "log", "integer"]
    help: str
    unsaid: bool = False
    spare: bool = False

    def __post_init__(self) -> None:
        """Check that the default lies in the range, and that a log scale starts above 0."""
        if not self.low <= self.default <= self.high:
            raise ValueError(f"default must lie in [{self.low}, {self.high}], not {self.default}")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f"low must be > 0 on a log scale, not {self.low}")

    def checked(self, value: Any, name: str = "", shown: Any = None) -> float:
        """Return a value of the knob's kind, or raise the error that names the knob, as code does unless told."""
        name, shown = name or self.name, value if shown is None else shown
        kind: Callable[[Any], float] = int if self.scale == "integer" else float
        try:
            number = kind([] if isinstance(value, bool) else value)
        except (TypeError, ValueError, OverflowError):
            raise TypeError(_("{name} must be a number, not {shown!r}").format(name=name, shown=shown)) from None
        if number != value or not self.low <= number <= self.high:
            rule = _("{name} must be a number in [{low:g}, {high:g}], not {shown!r}")
            if self.scale == "integer":
                rule = _("{name} must be a whole number in [{low:g}, {high:g}], not {shown!r}")
            raise ValueError(rule.format(name=name, low=self.low, high=self.high, shown=shown))
        return number

    def typed(self, text: str) -> float:
        """Return the value that a person has typed, or raise the error that has the words next to the slider."""
        try:
            number = float(text.translate(MINUS))
        except ValueError:
            rule = _("{name} must be a number, such as {default:g}, not {shown!r}")
            if "," in text:
                rule = _("{name} must be a number with a point, such as {default:.1f}, not {shown!r}")
            raise ValueError(rule.format(name=self.label, default=self.default, shown=text)) from None
        return self.checked(number, self.label, text.strip())

    def spoken(self) -> "Knob":
        """Return the knob with its words in the language in force."""
        return replace(self, label=_(self.label), unit=_(self.unit), help=_(self.help))

    def said(self, value: float) -> str:
        """Return a value with the words next to the slider, for a tooltip."""
        unit = f"({self.unit})" if self.unit[:1].isdigit() else self.unit  # "2 1/nats" would be read as one number
        return f"{self.label} = {value:.4g} {unit}".rstrip()


@dataclass(frozen=True)
class Choice:
    """A choice between words, shown as a list.

    Parameters
    ----------
    name : str
        The keyword in the code.
    label : str
        The name shown next to the list.
    options : tuple of str
        The words to choose from.
    default : str
        One of them.
    help : str
        One sentence for a tooltip.
    admit : callable, optional
        Takes a value that is not an option, and returns the word that becomes a new option or raises an error.
    labels : mapping of str
        What the list shows for an option, where it is not the option itself.

    Raises
    ------
    ValueError
        If the default is not an option.

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
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the default is an option."""
        if self.default not in self.options:
            raise ValueError(f"default must be one of {', '.join(self.options)}, not {self.default!r}")

    def checked(self, value: Any) -> str:
        """Return the option that a value names, or raise the error that names the options."""
        option = named_option(value, self.options)
        if option is not None:
            return option
        if self.admit is not None:
            return self.admit(value)
        raise ValueError(f"{self.name} must be one of {', '.join(self.options)}, not {value!r}")

    def spoken(self) -> "Choice":
        """Return the choice with its words in the language in force; the options stay what code names."""
        said = {option: _(self.labels.get(option, option)) for option in self.options}
        labels = {option: text for option, text in said.items() if option in self.labels or text != option}
        return replace(self, label=_(self.label), help=_(self.help), labels=labels)

    def said(self, value: str) -> str:
        """Return an option with the words next to the list, for a tooltip."""
        return f"{self.label}: {self.labels.get(value, value)}"


def named_option(value: Any, options: Iterable[str]) -> str | None:
    """Return the option that a text names, None if there is none; a response may be named by its sign, +1 or −1.

    Examples
    --------
    >>> named_option("-1", ("p1", "n1"))
    'n1'
    """
    if not isinstance(value, str):
        return None
    return next((name for name in (value, value.translate(SIGNS)) if name in options), None)


KNOBS = {
    knob.name: knob
    for knob in (
        Knob("n", N_("number of scores n"), "", 1, 64, 8, "integer", N_("How many responses are in the set.")),
        Knob("gap", N_("gap δ"), NATS, 0.0, 10.0, 0.5, "linear", N_("The largest score minus the second largest.")),
        Knob(
            "wide_gap",
            N_("gap δ"),
            NATS,
            0.01,
            1000.0,
            1.0,
            "log",
            N_("The largest score minus the second largest."),
        ),
        Knob("tau", N_("inverse temperature τ"), PER_NAT, 0.1, 100.0, 5.0, "log", N_("Larger is sharper.")),
        Knob("alpha", N_("smoothing α"), "", 1.0, 2.0, 1.0, "linear", ALPHA, unsaid=True),
        Knob("epsilon", N_("target ε"), NATS, 0.0001, 10.0, 0.05, "log", N_("The smoothing error to aim at.")),
        Knob(
            "share",
            N_("leader share"),
            "",
            0.51,
            0.999,
            0.9,
            "linear",
            N_("The part of the gradient the leader may take."),
        ),
        Knob("spread", N_("spread of the others"), NATS, 0.0, 10.0, 1.0, "linear", N_("From second to last score.")),
        Knob(
            "smoothing",
            N_("share of swaps"),
            "",
            0.0,
            0.49,
            0.1,
            "linear",
            N_("How many pairs were swapped."),
            spare=True,
        ),
        Knob("clip", N_("clip c"), "", 0.01, 2.0, 0.2, "log", N_("How far a ratio is followed from 1."), spare=True),
        Knob("reward_alpha", N_("α of the rewards"), "", 1e-4, 1e3, 1.0, "log", SHARPER, spare=True),
        Knob("beta", "β", "", 0.01, 10.0, 0.1, "log", N_("How steep a loss is in its margin.")),
        Knob(
            "score",
            N_("score"),
            NATS,
            -10.0,
            0.0,
            -1.0,
            "linear",
            N_("A log-prob, or another number that is compared."),
        ),
        Knob("level", N_("largest score"), NATS, -1000.0, 0.0, -5.0, "linear", N_("Moves the whole set.")),
        Knob("shift", N_("shift"), NATS, -20.0, 20.0, 0.0, "linear", N_("How far the log-probs are moved.")),
    )
}

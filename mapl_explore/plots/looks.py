"""One look for each idea, in every picture and in the tables next to it.

The colours are Okabe and Ito's, which stay apart for every kind of colour vision, made lighter for dark pages and where
words have them; each line also has a style of its own, and each bar a hatch.
"""

from collections.abc import Sequence
from typing import TypedDict

from mapl_explore.plots.panels import Shape, Style
from mapl_explore.words import N_, _

# Each colour on a light and on a dark page.
PALETTE = {
    "ink": ("#000000", "#f0f0f0"),
    "orange": ("#c25200", "#ff8a3d"),
    "blue": ("#0072b2", "#56b4e9"),
    "green": ("#008360", "#2fc79a"),
    "purple": ("#a8507f", "#dd9cc0"),
    "grey": ("#c8d3dc", "#4a555e"),
    "sky": ("#3f9bd0", "#9ad4f5"),
    "dark-green": ("#006b4e", "#7fd6b8"),
    "amber": ("#b97f00", "#ffc34d"),
    "dark-orange": ("#a34700", "#ffa566"),
}
# Scales from their low end through the middle to the high one; words on them stay readable. Margins: wrong order, even,
# right order. Rewards: the least is nearest to the page, and lightness alone tells the order.
SCALES = {
    "margins": (("#f0883e", "#b3541a"), ("#ffffff", "#222222"), ("#5aa9dd", "#2a6f9e")),
    "rewards": (("#f1eaf5", "#2b2331"), ("#c3a6d3", "#553d63"), ("#9365ac", "#7f5896")),
}

DASHED, DASH_DOT, DOTTED, LONG = (5, 2), (6, 2, 1.5, 2), (1, 1.5), (9, 3)
FINE = (3, 1, 1, 1)


class Look(TypedDict):
    """What a curve looks like and is called."""

    style: Style
    label: str


LINES: dict[str, Look] = {
    "exact": {"style": Style("ink", width=5), "label": N_("these scores")},
    "upper": {"style": Style("orange", DASHED), "label": N_("upper bound")},
    "lower": {"style": Style("blue", DASH_DOT), "label": N_("lower bound")},
    "asymptote": {"style": Style("purple", DOTTED), "label": N_("large-τ form")},
    "share": {"style": Style("dark-green", LONG), "label": N_("leader share")},
}
# The triangles point at the root from three sides, so that roots a hair apart show side by side: the lower bound's from
# the left, where the error is surely at least the target, the upper bound's from the right, where it is surely at most.
MARKS: dict[str, tuple[Shape, str]] = {
    "exact": ("circle", "●"),
    "upper": ("left", "◀"),
    "lower": ("right", "▶"),
    "asymptote": ("up", "▲"),
}
# The same lines drawn in text.
STROKES = {"upper": "╌╌", "exact": "━━", "lower": "─·", "asymptote": "····", "share": "— —"}
NOW = Style("green", width=1.5)  # the line where the settings are
BAND = Style("grey", opacity=0.6)

# Of several curves over each other: that which is set first, wide and underneath; each as a line and drawn in text.
SERIES = (
    (Style(width=4), "━━"),
    (Style("orange", DASHED), "╌╌"),
    (Style("blue", DASH_DOT), "─·"),
    (Style("purple", DOTTED, width=3.5), "····"),
    (Style("sky", LONG), "— —"),
)
UP, DOWN = Style("blue", hatch="\\"), Style("orange", hatch="/")  # bars: pushed up, pushed down
ZERO = Style(width=1)
SIDES = {"positives": Style("blue"), "negatives": Style("orange", DASHED)}
MARGINS = {N_("hard margin"): Style(width=4), N_("the loss's own"): Style("blue", DASHED)}


def said(look: Look) -> Look:
    """Return a look, with what it is called in the language in force."""
    label = look["label"]
    return {"style": look["style"], "label": _(label)}


def response_styles(names: Sequence[str]) -> list[Style]:
    """Return the styles of the curves of responses: a colour for each side, a dash for each number.

    Examples
    --------
    >>> [(style.color, style.dash) for style in response_styles(["p1", "n1", "n2"])]
    [('blue', ()), ('orange', ()), ('orange', (5, 2))]
    """
    colors, dashes = {"p": "blue", "n": "orange"}, ((), DASHED, DOTTED, DASH_DOT, LONG)
    return [Style(colors[name[0]], dashes[(int(name[1:]) - 1) % len(dashes)]) for name in names]

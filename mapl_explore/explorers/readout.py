"""Numbers as people read them: digits, sentences and tables for the readout next to a picture."""

import math
from collections.abc import Callable, Iterable, Mapping
from html import escape

from mapl_explore.rounding import surely
from mapl_explore.words import _

SMALLEST = 5e-324  # of the numbers above 0 that a float64 holds


class Figure(str):
    """A number as text, which stands to the right in a table as other numbers do."""


def digits(value: float, most: int = 3, least: float = 1e-12) -> str:
    """Return a number as people read it: three digits, whole from a thousand on, a bound below ``least``."""
    if math.isnan(value):
        return _("no number")
    if 0 < abs(value) < least:
        return minus(_("under {bound}").format(bound=f"{least:g}"))
    value = value + 0.0  # no minus before a zero
    return minus(f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.{most}g}")


def positive(value: float, least: float = 1e-12) -> str:
    """Return a number that is above 0 as people read it, also where a float has only 0 left of it.

    Examples
    --------
    >>> positive(0.05), positive(0.0)
    ('0.05', 'under 1e−12')
    """
    return digits(max(value, SMALLEST), least=least)


def promised(value: float, up: bool) -> Figure:
    """Return a number in four digits that is not below it, or not above it: what is promised of it stays true.

    Examples
    --------
    >>> digits(5.9944), promised(5.9944, up=True), promised(3.3862, up=False)
    ('5.99', '5.995', '3.386')
    """
    return Figure(digits(surely(value, up=up), most=4))


def minus(text: str) -> str:
    """Return a number's text with the minus sign that the axes have."""
    return text.replace("-", "−")


def signed(value: float, form: str) -> str:
    """Return a number with its sign, and no minus before a zero."""
    return minus(f"{value + 0.0:{form}}")


def percent(share: float) -> str:
    """Return a share in percent; only 1 reads as 100%, and only 0 as 0%."""
    shown = f"{100 * share:.3g}"
    if shown == "100" and share < 1:
        return _("over {bound}").format(bound="99.9%")
    return _("under {bound}").format(bound="0.001%") if 0 < share < 1e-5 else f"{shown}%"


def part(share: float) -> str:
    """Return the percent of one of several that all have a share, also where a float has only 0 or 1 left of it.

    Examples
    --------
    >>> part(0.25), part(1.0), part(0.0)
    ('25%', 'over 99.9%', 'under 0.001%')
    """
    return percent(min(max(share, SMALLEST), 1 - 2.0**-53))


def wording(alpha: float) -> tuple[Callable[[float], str], Callable[[float], str]]:
    """Return how errors and shares of the gradient are said: with log-sum-exp none is 0, above alpha = 1 a 0 is one.

    Examples
    --------
    >>> [said(0.0) for alpha in (1.0, 2.0) for said in wording(alpha)]
    ['under 1e−12', 'under 0.001%', '0', '0%']
    """
    return (positive, part) if alpha == 1 else (digits, percent)


def span(low: float, high: float, said: Callable[[float], str] = positive) -> str:
    """Return a range of numbers, by default above 0, in digits: one number where both ends read the same."""
    ends = said(low), said(high)
    return ends[0] if ends[0] == ends[1] else _("{low} to {high}").format(low=ends[0], high=ends[1])


def tied_lead(count: int) -> str:
    """Return a sentence on the responses that tie for the lead, empty where one leads alone."""
    tie = _("{count} responses tie for the lead and get the same.")
    return f" {tie.format(count=count)}" if count > 1 else ""


def first_of(shown: int, count: int) -> str:
    """Return that a table has only the first of many rows, empty where it has all."""
    return _(" (the first {shown} of {count})").format(shown=shown, count=count) if count > shown else ""


def since(before: Mapping[str, float], now: Mapping[str, float]) -> str:
    """Return how far numbers have come from those of a pinned picture, as a paragraph; empty without one.

    Examples
    --------
    >>> since({"E": 0.5, "loss": 1.0, "slope": -0.25}, {"E": 0.2, "slope": -0.25})
    '<p class="mapl-since">Since the pin: E changed by −0.3, slope unchanged.</p>'
    """
    moved = [_moved(name, before[name], now[name]) for name in before if name in now]
    return paragraph(_("Since the pin: {moved}.").format(moved=", ".join(moved))) if moved else ""


def paragraph(text: str) -> str:
    """Return what is said of a pin as a paragraph."""
    return f'<p class="mapl-since">{text}</p>'


def _moved(name: str, before: float, now: float) -> str:
    """Return the step between two numbers as they are read, so that it is what a reader finds who subtracts them."""
    before, now = (float(f"{value:.3g}") for value in (before, now))
    if before == now:
        return _("{name} unchanged").format(name=name)
    return _("{name} changed by {step}").format(name=name, step=signed(now - before, "+.3g"))


def sign(color: str, mark: str) -> str:
    """Return the mark of a line in its colour, a name of ``PALETTE``."""
    return f'<span style="color: var(--mapl-{color}); font-weight: bold">{mark}</span>'


def table(caption: str, rows: Iterable, head: Iterable[str] = ()) -> str:
    """Return a table that folds under its caption; each row is its heading, then cells: numbers right, words left."""
    top = "".join(f'<th scope="col">{title}</th>' for title in head)
    body = "".join(f'<tr><th scope="row">{row[0]}</th>{"".join(map(_cell, row[1:]))}</tr>' for row in rows)
    body = f"<tr>{top}</tr>{body}" if top else body
    body = f'<table aria-label="{escape(caption)}">{body}</table>'
    return f'<details class="mapl-table" open><summary>{caption}</summary>{body}</details>'


def _cell(cell: str | float) -> str:
    if isinstance(cell, str) and not isinstance(cell, Figure):
        return f"<td>{cell}</td>"
    return f'<td class="mapl-number">{cell if isinstance(cell, str) else digits(cell)}</td>'

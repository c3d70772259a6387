"""Numbers for whatever prints them: rounded to the side on which what is promised of them stays true; or unknown."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Context


def surely(value: float, *, up: bool, digits: int = 4) -> float:
    """Return a number in so many digits that is not below a number, or not above it.

    A tau that keeps an error at or below its target still does so when it is rounded up, and may not when it is rounded
    to the nearest.

    Parameters
    ----------
    value : float
        Any; infinite stays infinite.
    up : bool
        Whether the result is at least the value, or at most.
    digits : int
        How many are left, at least 1.

    Examples
    --------
    >>> surely(5.9944, up=True), surely(3.3862, up=False, digits=3), surely(5.99, up=True)
    (5.995, 3.38, 5.99)
    """
    # From the shortest text of the number: 5.99 itself lies a hair above the decimal 5.99, and would become 5.991.
    context = Context(prec=digits, rounding=ROUND_CEILING if up else ROUND_FLOOR)
    return float(context.create_decimal(repr(float(value))))


def known(value: float | None, spec: str) -> str:
    """Return a number as a format specification has it, a dash for one that is not known.

    Examples
    --------
    >>> known(0.25, ".3f"), known(None, ".3f")
    ('0.250', '-')
    """
    return "-" if value is None else f"{value:{spec}}"

"""Answers that can be recognised and not read: salted slow hashes, and texts that only a key opens.

An answer becomes words, such as the number of the interval it lies in; words become a key; of the key, the first bytes
of its hash are written down, the *tag*. Who gives an answer in the right interval gets the right tag, and the key then
opens the number itself, with which the answer is compared.

    interval of x      sign(x), floor((log|x| - offset) / width),  width = -2 log(1 - rtol)

The offset is drawn, so that it tells nothing of the answer. What lies within ``rtol`` of the answer is in its interval
or in the next one on the nearer side, and both open. Whoever can program can try every interval: the hashes make it
slow, not impossible. And a text of :func:`sealed_text`, such as a hint, needs no answer at all, only the function that
opens it.
"""

import base64
import hashlib
import itertools
import json
import math
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mapl_explore.files import read_json

FILE = "answers.json"
# A key takes 0.05 seconds, so that all intervals of a slider take a minute. Not hashlib.scrypt: it is OpenSSL's, which
# Python in a browser's page lacks.
ROUNDS = 50_000
OCTAVES = 20  # how far from 1 an advice still tells sides apart, in powers of 2
SLACK = 1e-12  # 1.01 - 1 is 0.010000000000000009 in floats
MOST = 4  # numbers of one answer: 2 intervals of each make 16 keys
PLACES = 2**32  # how finely an offset is drawn


def sealed_answer(key: str, folder: Path) -> dict[str, Any]:
    """Return the hidden answer to a question, from the file next to the notebook.

    Raises
    ------
    OSError
        If there is no such file.
    LookupError
        If it does not have the question.
    """
    path = folder / FILE
    if not path.exists():
        raise FileNotFoundError(f"there is no {FILE} next to this notebook: `mapl-explore lab` puts it there")
    entries = read_json(path)
    if key not in entries:
        raise LookupError(f"{FILE} next to this notebook does not have the question {key!r}")
    return entries[key]


def sealed_choice(answer: str, text: str, *, rounds: int = ROUNDS) -> dict[str, Any]:
    """Return a choice whose right option can be recognised, with a text that this option opens.

    Examples
    --------
    >>> opened_choice(sealed_choice("red", "It is the longest wave.", rounds=10), ["blue", "red"])
    ('red', 'It is the longest wave.')
    """
    salt = secrets.token_hex(8)
    key = _key(salt, answer, rounds)
    return {"salt": salt, "rounds": rounds, "tag": _tag(key), "text": _crossed(key, text.encode())}


def opened_choice(entry: dict[str, Any], options: Sequence[str]) -> tuple[str, str] | None:
    """Return the right one of some options, and the text that goes with it; None if none of them is right."""
    for option in options:
        key = _key(entry["salt"], option, entry["rounds"])
        if _tag(key) == entry["tag"]:
            return option, _plain(key, entry["text"])
    return None


def sealed_text(text: str, *, rounds: int = ROUNDS) -> dict[str, Any]:
    """Return a text that cannot be read as it stands; :func:`opened_text` reads it.

    Examples
    --------
    >>> opened_text(sealed_text("The sign is wrong.", rounds=10))
    'The sign is wrong.'
    """
    salt = secrets.token_hex(8)
    return {"salt": salt, "rounds": rounds, "text": _crossed(_key(salt, "", rounds), text.encode())}


def opened_text(entry: dict[str, Any]) -> str:
    """Return the text of :func:`sealed_text`."""
    return _plain(_key(entry["salt"], "", entry["rounds"]), entry["text"])


def sealed_value(expected: np.ndarray, *, rtol: float, sides: bool, rounds: int = ROUNDS) -> dict[str, Any]:
    """Return numbers, words or truth values that can be recognised, numbers within a tolerance.

    Parameters
    ----------
    expected : array
        Numbers must be finite and not 0: what is near 0 cannot be told by intervals that grow with the number.
    rtol : float
        The tolerance of numbers, relative, > 0 and < 1.
    sides : bool
        Whether a single number that is wrong can be told to be too small or too large, from 2^-20 to 2^20.

    Raises
    ------
    ValueError
        If a number is 0 or not finite, or the tolerance is out of its range.

    Examples
    --------
    >>> entry = sealed_value(np.array(0.37), rtol=0.01, sides=True, rounds=10)
    >>> [verdict(entry, np.array(x)) for x in (0.368, 0.36, 5.0)]
    ['right', 'low', 'high']
    """
    grids = _grids(expected, rtol)
    known: dict[str, Any] = dict(_sides(float(expected), grids[0])) if sides else {}
    known |= dict.fromkeys(_openings(expected, grids), expected)
    salt, boxes = secrets.token_hex(8), {}
    for words, target in known.items():
        key = _key(salt, words, rounds)
        boxes[_tag(key)] = _crossed(key, _number_bytes(target) if grids else b"")
    found = {"salt": salt, "rounds": rounds, "rtol": rtol, "sides": sides}
    return found | {"grids": grids, "boxes": dict(sorted(boxes.items()))}


def verdict(entry: dict[str, Any], given: np.ndarray) -> str | None:
    """Return "right", "low" or "high" for an answer of the kind and shape of the right one; None if otherwise wrong."""
    for words in _words(given, entry["grids"]):
        key = _key(entry["salt"], words, entry["rounds"])
        if (box := entry["boxes"].get(_tag(key))) is not None:
            target = np.frombuffer(_opened(key, box)).reshape(given.shape) if entry["grids"] else given
            return _compared(given, target, entry)
    return None


def _compared(given: np.ndarray, target: np.ndarray, entry: dict[str, Any]) -> str | None:
    """Return what an answer is, next to the right one or, where it is far from that, to infinity on that side."""
    if not entry["grids"]:
        return "right"
    if np.isfinite(target).all() and (abs(given - target) <= (entry["rtol"] + SLACK) * abs(target)).all():
        return "right"
    return ("low" if given < target else "high") if entry["sides"] else None


def _number_bytes(numbers: Any) -> bytes:
    return np.asarray(numbers, dtype=float).tobytes()


def _grids(expected: np.ndarray, rtol: float) -> list[tuple[float, float]]:
    """Return offset and width of the intervals of each number; none of other kinds."""
    if expected.dtype.kind not in "iuf":
        return []
    if not 0 < rtol < 1:
        raise ValueError(f"rtol must be > 0 and < 1 for an answer that is hidden, not {rtol!r}")
    if not (np.isfinite(expected) & (expected != 0)).all():
        raise ValueError(f"a number that is hidden must be finite and not 0, not {expected!r}")
    if expected.size > MOST:
        raise ValueError(f"an answer that is hidden must have at most {MOST} numbers, not {expected.size}")
    width = -2 * math.log1p(-rtol) + SLACK
    return [(width * secrets.randbelow(PLACES) / PLACES, width) for _ in range(expected.size)]


def _openings(expected: np.ndarray, grids: Sequence[tuple[float, float]]) -> list[str]:
    """Return the words of every answer that may be right: for each number its interval, and the next nearer one."""
    if not grids:
        return _words(expected, grids)
    each = [_nearest(float(x), *grid) for x, grid in zip(expected.ravel().tolist(), grids, strict=True)]
    return [json.dumps(one) for one in itertools.product(*each)]


def _nearest(x: float, offset: float, width: float) -> list[str]:
    place = (math.log(abs(x)) - offset) / width
    return [f"{_sign(x)}{math.floor(place) + step}" for step in (0, 1 if place % 1 > 0.5 else -1)]


def _words(given: np.ndarray, grids: Sequence[Sequence[float]]) -> list[str]:
    """Return what is looked up of an answer, the finest first: its intervals; of one number its octave and its sign."""
    values = given.ravel().tolist()
    if not grids:
        return [json.dumps([v.casefold().strip() if isinstance(v, str) else v for v in values])]
    numbers = [float(value) for value in values]
    fine = json.dumps([_interval(x, *grid) for x, grid in zip(numbers, grids, strict=True)])
    return [fine, _octave(numbers[0]), _sign(numbers[0])] if len(numbers) == 1 else [fine]


def _interval(x: float, offset: float, width: float) -> str:
    if x == 0 or math.isinf(x):
        return str(x)
    return f"{_sign(x)}{math.floor((math.log(abs(x)) - offset) / width)}"


def _octave(x: float) -> str:
    power = -math.inf if x == 0 else math.log2(abs(x))
    return f"{_sign(x)} octave {math.floor(min(max(power, -OCTAVES), OCTAVES))}"


def _sign(x: float) -> str:
    return "0" if x == 0 else "+" if x > 0 else "-"


def _sides(target: float, grid: tuple[float, float]) -> Iterator[tuple[str, float]]:
    """Yield what a wrong number may be, with infinity on the target's side of it.

    These are the intervals of the target's octave, the other octaves and the other signs.
    """
    sign, own = math.copysign(1, target), math.floor(math.log2(abs(target)))
    if abs(own) >= OCTAVES:
        raise ValueError(f"a hidden number whose sides are told must be of a size from 2^-19 to 2^19, not {target!r}")
    first, last, place = (
        math.floor((size - grid[0]) / grid[1])
        for size in (math.log(2) * own, math.log(2) * (own + 1), math.log(abs(target)))
    )
    for k in range(first, last + 1):
        yield json.dumps([f"{_sign(target)}{k}"]), math.copysign(math.inf, (place - k) * sign)
    for power in range(-OCTAVES, OCTAVES + 1):
        if power != own:
            yield f"{_sign(target)} octave {power}", math.copysign(math.inf, (own - power) * sign)
    for other in {"0", "+", "-"} - {_sign(target)}:
        yield other, sign * math.inf


def _key(salt: str, words: str, rounds: int) -> bytes:
    """Return 32 bytes that take as many hashes as there are rounds."""
    begun = hashlib.sha256(f"{salt} {words}".encode()).digest()
    for _ in range(rounds):
        begun = hashlib.sha256(begun).digest()
    return begun


def _tag(key: bytes) -> str:
    return hashlib.sha256(b"tag" + key).hexdigest()[:16]


def _crossed(key: bytes, data: bytes) -> str:
    """Return bytes combined with as many that follow from the key: done twice, they are as before."""
    stream = hashlib.shake_256(b"text" + key).digest(len(data))
    return base64.b64encode(bytes(a ^ b for a, b in zip(data, stream, strict=True))).decode()


def _opened(key: bytes, box: str) -> bytes:
    return base64.b64decode(_crossed(key, base64.b64decode(box)))


def _plain(key: bytes, text: str) -> str:
    return _opened(key, text).decode()

"""From a source to preference sets: tell the format, check each record, put pairs of the same prompt together."""

import math
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from mapl_explore.data.formats import FORMATS, format_of, told_set
from mapl_explore.data.records import Source, json_record, records
from mapl_explore.data.scored import completions, mean_score, ratings
from mapl_explore.data.sets import PreferenceSet, scores_fault
from mapl_explore.files import counted, shortened
from mapl_explore.notes import note


@dataclass(frozen=True)
class Fault:
    """Why a record is no preference set: its place, ``file:line``, and the rule in words."""

    place: str
    rule: str

    def __str__(self) -> str:
        """Return both in one line."""
        return f"{self.place}: {self.rule}"


@dataclass(frozen=True)
class Reading:
    """What was read from a source.

    Parameters
    ----------
    format : str or None
        The format; None where no record shows it.
    records : int
        How many records there are.
    sets : list of PreferenceSet
        Those that could be read, in the order of the source.
    faults : list of Fault
        For each record that could not be read, its place, the field and the rule.
    one_sided : int
        Scored records left out, because their scores make no two sides.
    between : int
        Scored responses left out, because they are neither the best nor the worst of their prompt.
    apart : int
        Pairs that stay sets of their own: another pair of their prompt has one of their texts on the other side.
    repeated : int
        Scored responses that are left out, whose text another one of their record has.
    averaged : int
        Texts that have several different scores for one prompt; their mean is taken.
    transcripts : sequence of str
        The place of each record whose conversations became text, because a side has more than one message of its own.
    same : sequence of (str, str)
        Of each record with the prompt and the sides of an earlier one, its place and that of the earlier one.
    ungraded : str
        What is wrong where only some records have scores, with the place of the first that has none; empty otherwise.
    """

    format: str | None
    records: int
    sets: list[PreferenceSet]
    faults: list[Fault]
    one_sided: int = 0
    between: int = 0
    apart: int = 0
    repeated: int = 0
    averaged: int = 0
    transcripts: Sequence[str] = ()
    same: Sequence[tuple[str, str]] = ()
    ungraded: str = ""

    def __str__(self) -> str:
        """Return in words what became of the records."""
        known = f"in the format {self.format}" if self.format else "in no format that is known"
        text = f"{counted(self.records, 'record')} {known}, {counted(len(self.sets), 'set')}"
        if self.one_sided:
            text += f"; {self.one_sided} left out, whose scores make no two sides"
        if self.between:
            text += f"; {counted(self.between, 'response')} between best and worst left out (a threshold keeps all)"
        if self.apart:
            text += f"; {counted(self.apart, 'pair')} kept apart, at odds with another of the same prompt"
        if self.transcripts:
            text += f"; {self.as_transcripts()}"
        return text

    def as_transcripts(self) -> str:
        """Return in words that conversations became text, and why."""
        made = f"{counted(len(self.transcripts), 'record')} made text (Human: ... Assistant: ...), first"
        return f"{made} {self.transcripts[0]}, as chosen or rejected has more than one message of its own"


def read_sets(source: Source, *, format: str | None = None, threshold: float | None = None) -> list[PreferenceSet]:
    """Return the preference sets of a file, a table or a hub data set, all of it checked first.

    A record of our own format is ``{"prompt": str, "positives": [str, ...], "negatives": [str, ...]}``, perhaps with
    ``"scores": [float, ...]``, first of the positives and then of the negatives; the others are described in
    :mod:`mapl_explore.data.formats`. A file has a JSON object on each line (lines of white space only are
    passed over), or a JSON array of objects, or objects over several lines, in UTF-8, compressed by gzip or not; or it
    is a parquet table. Its content tells which. Further fields are allowed and not read.

    A pair of conversations of which one has several messages of its own becomes text, a transcript; a note counts them.
    Pairs of the same prompt become one set, each text once. Pairs with a text that another pair of the prompt has on
    the other side stay sets of their own. A text with several different scores for one prompt gets their mean, in pairs
    and in scored completions; a note counts such texts.

    Parameters
    ----------
    source : path, str, list of dict or datasets.Dataset
        A file, ``owner/name[:split]`` on the Hugging Face hub, records, or a table.
    format : {"sets", "trl", "openai", "hh-rlhf", "scored"}, optional
        The format of the records. If not given, the fields of the first record show it. If given, the fields of other
        formats are not read.
    threshold : float, optional
        The least score of a positive, of scored completions. If not given, the responses with the best score are
        positives, those with the worst are negatives, and the others are left out. The sets keep the scores.

    Returns
    -------
    list of PreferenceSet
        In the order of the source, merged ones where their first pair stands.

    Raises
    ------
    TypeError
        If the source is none of these. Of a data set of several splits give one, as ``source["train"]``.
    ValueError
        If the file is none of these, or there is no set in it, or a record is malformed: the error names ``file:line``
        of the first one (in an array the number of the record too), the field and the rule.
    OSError
        If the file cannot be read, or the data set cannot be fetched.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "pairs.jsonl"
    >>> _ = path.write_text('''{"prompt": "2 + 2 =", "chosen": "4", "rejected": "5"}
    ... {"prompt": "2 + 2 =", "chosen": "4", "rejected": "22"}''')
    >>> read_sets(path)
    [PreferenceSet(prompt='2 + 2 =', positives=('4',), negatives=('5', '22'))]
    """
    return _sets_of(source, read_all(source, format=format, threshold=threshold))


def read_alike(source: Source, *, threshold: float | None = None) -> list[PreferenceSet]:
    """Return what :func:`read_sets` does, to train on or to score; where only some sets have scores, raise ValueError.

    The error has the place of the first record without, which a list of sets no longer knows.
    """
    reading = read_all(source, threshold=threshold)
    sets = _sets_of(source, reading)
    if reading.ungraded:
        raise ValueError(reading.ungraded)
    return sets


def _sets_of(source: Source, reading: Reading) -> list[PreferenceSet]:
    """Return the sets of a reading without faults, and note what it left out."""
    require_sets(source, reading)
    if reading.one_sided:
        note(f"{counted(reading.one_sided, 'record')} left out, whose scores make no two sides")
    if reading.averaged:
        note(f"{counted(reading.averaged, 'text')} with different scores for one prompt; the mean is taken")
    if reading.between:
        note(
            f"{counted(reading.between, 'response')} with scores between the best and the worst of their prompt left"
            " out; a --threshold of data convert or finetune keeps all"
        )
    if reading.transcripts:
        note(reading.as_transcripts())
    return reading.sets


def require_sets(source: Source, reading: Reading) -> None:
    """Raise unless every record of a source could be read, and they make at least one set."""
    if reading.faults:
        raise ValueError(str(reading.faults[0]))
    if not reading.sets:
        raise ValueError(f"{_named(source)}: the file holds no preference set: {reading}")


def read_all(source: Source, *, format: str | None = None, threshold: float | None = None) -> Reading:
    """Return all that was read from a source, faults too; the arguments are those of :func:`read_sets`."""
    if format not in (None, *FORMATS):
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, not {shortened(format)}")
    if threshold is not None and not (isinstance(threshold, int | float) and abs(threshold) < math.inf):
        raise ValueError(f"threshold must be a finite number, not {shortened(threshold)}")
    read = told_set if format is None else lambda record, name, threshold: FORMATS[name].read(record, threshold)
    sets, faults, transcripts, one_sided, between, repeated, averaged, count = [], [], [], 0, 0, 0, 0, 0
    for place, content in records(source):
        count += 1
        try:
            record = json_record(content)
            format = format or format_of(record)
            one = read(record, format, threshold)
        except (TypeError, ValueError) as error:
            faults.append(Fault(place, str(error)))
        else:
            one_sided += one is None
            if one is not None:
                sets.append(one.at(place))
                transcripts += [place] * FORMATS[format].makes_text(record, one)
            if one is not None and format == "scored":
                left_out = _left_out(record, one)
                between, repeated = between + left_out[0], repeated + left_out[1]
                averaged += _differing(ratings(completions(record)))
    if not count:
        raise ValueError(f"{_named(source)}: there is nothing in it, no record at all")
    if threshold is not None and format not in (None, "scored"):
        raise ValueError(
            f"{_named(source)}: threshold belongs to scored completions, not to the format {format!r}: leave it out, or"
            f" make sets of the scored file first (data convert FILE sets.jsonl --threshold {threshold:g})"
        )
    ungraded, same, apart = scores_fault(sets), _same(sets), 0
    if format is not None and FORMATS[format].pairs:
        sets, apart, averaged = merged(sets)
    counts = (one_sided, between, apart, repeated, averaged)
    return Reading(format, count, sets, faults, *counts, transcripts, same, ungraded)


def _same(sets: Sequence[PreferenceSet]) -> list[tuple[str, str]]:
    """Return the place of each set whose prompt and sides an earlier one has, and that of the earlier one."""
    first: dict[object, str] = {}
    texts = [(one.prompt, frozenset(one.positives), frozenset(one.negatives)) for one in sets]
    both = [(one.place, first.setdefault(key, one.place)) for key, one in zip(texts, sets, strict=True)]
    return [(place, earlier) for place, earlier in both if place != earlier]


def _left_out(record: dict, one: PreferenceSet) -> tuple[int, int]:
    """Return how many scored responses of a record are not in its set, and how many of them repeat a text."""
    texts = [text for text, _ in completions(record)]
    kept = len(one.responses) - len({*one.responses})
    return len(texts) - len(one.responses), len(texts) - len({*texts}) - kept


def merged(pairs: Sequence[PreferenceSet]) -> tuple[list[PreferenceSet], int, int]:
    """Return sets, each the pairs of one prompt, how many pairs stay apart, and how many texts have a mean score.

    Pairs stay apart that contradict another one. Which ones are put together does not depend on their order. Where all
    of them have scores, a text keeps its score, or the mean of those that differ.

    Examples
    --------
    >>> a, b, c = (PreferenceSet("p", [x], [y]) for x, y in ("ab", "bc", "de"))
    >>> sets, apart, averaged = merged([a, b, c])
    >>> len(sets), apart, averaged
    (3, 2, 0)
    """
    by_prompt = defaultdict(list)
    for pair in pairs:
        by_prompt[pair.prompt].append(pair)
    placed, apart, averaged = [], 0, 0
    first = {id(pair): place for place, pair in enumerate(pairs)}
    for group in by_prompt.values():
        both = {t for pair in group for t in pair.positives} & {t for pair in group for t in pair.negatives}
        alone = [pair for pair in group if not both.isdisjoint(pair.responses)]
        together = [pair for pair in group if both.isdisjoint(pair.responses)]
        apart += len(alone)
        placed += [(first[id(pair)], pair) for pair in alone]
        if together:
            one, differing = _union(together)
            placed.append((first[id(together[0])], one))
            averaged += differing
    return [one for _, one in sorted(placed, key=lambda item: item[0])], apart, averaged


def _union(pairs: list[PreferenceSet]) -> tuple[PreferenceSet, int]:
    """Return the pairs of a prompt as one set, and how many texts in it have several scores."""
    positives, negatives = (
        [*dict.fromkeys(t for pair in pairs for t in getattr(pair, side))] for side in ("positives", "negatives")
    )
    if any(pair.scores is None for pair in pairs):
        return PreferenceSet(pairs[0].prompt, positives, negatives, place=pairs[0].place), 0
    known = ratings(one for pair in pairs for one in zip(pair.responses, pair.scores or (), strict=True))
    scores = [mean_score(known[text]) for text in positives + negatives]
    return PreferenceSet(pairs[0].prompt, positives, negatives, scores, pairs[0].place), _differing(known)


def _differing(known: dict[str, set[float]]) -> int:
    """Return how many texts have several scores."""
    return sum(len(scores) > 1 for scores in known.values())


def _named(source: Source) -> str:
    return os.fspath(source) if isinstance(source, str | os.PathLike) else "the table"

"""The finished part of a sampling run, written to disk at once."""

import glob
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mapl_explore.models.generating import Draw

AGAIN = "remove the file to begin anew"


@dataclass(frozen=True)
class Answered:
    """The different responses to one prompt that ended, whether each is right, and how many were dropped.

    ``scores`` are those of the responses, where the verifier gives numbers; ``draws`` is all that was drawn, in order,
    where that is kept.
    """

    answers: tuple[str, ...]
    right: tuple[bool, ...]
    duplicates: int = 0
    unfinished: int = 0
    too_long: bool = False
    scores: tuple[float, ...] | None = None
    draws: tuple[Draw, ...] | None = None


class Journal:
    """The finished part of a sampling run, one line for each prompt, written to disk at once.

    Each process of a run writes a file of its own next to the output; all of them are read at the start, so that a run
    may go on with another number of processes.

    Parameters
    ----------
    output : path
        The file that the run will write in the end.
    settings : dict
        What decides the responses. A journal of other settings is refused.
    process : int
        Which process this is, from 0.
    judge : str
        Who gives the verdicts. Responses that another one judged are kept, their verdicts are not.
    """

    def __init__(self, output: str | os.PathLike, settings: dict, process: int = 0, *, judge: str = ""):
        self.path = Path(f"{os.fspath(output)}.progress-{process}")
        self.paths = lambda: files_of(output)
        self.settings, self.judge = json.loads(json.dumps(settings)), judge

    def finished(self) -> dict[int, Answered]:
        """Return what is finished, by the number of the prompt."""
        return {number: one for judge, number, one in self._items() if judge == self.judge}

    def stale(self) -> dict[int, Answered]:
        """Return the responses that only another judge has judged, by the number of the prompt."""
        finished = self.finished()
        return {number: one for _, number, one in self._items() if number not in finished}

    def add(self, items: Sequence[tuple[int, Answered]]) -> None:
        """Write finished prompts to disk.

        Raises
        ------
        OSError
            If that fails, such as on a full disk; the error names the file, and what was in it before stays.
        """
        try:
            with open(self.path, "ab") as file:
                if file.tell() == 0:
                    file.write(_line(self.settings))
                file.write(b"".join(_line({"prompt": n, "judge": self.judge, **asdict(one)}) for n, one in items))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            reason = f"{error.strerror}: once that is mended, the same command goes on where it was"
            raise OSError(error.errno, reason, os.fspath(self.path)) from error

    def mend(self) -> None:
        """Cut off a last line that was not written to its end, so that the next one does not join it."""
        if self.path.exists():
            lines, end, _ = self.path.read_bytes().rpartition(b"\n")
            os.truncate(self.path, len(lines) + len(end))

    def names(self) -> str:
        """Return the files of all processes, as a message names them."""
        return ", ".join(map(str, self.paths()))

    def remove(self) -> None:
        """Remove the files of all processes: the output is written."""
        for path in self.paths():
            path.unlink()

    def _items(self) -> Iterator[tuple[str, int, Answered]]:
        """Yield the judge, the number of the prompt, and what is finished of it."""
        for path in self.paths():
            *lines, _ = path.read_bytes().split(b"\n")  # what stands behind the last line break was not finished
            if lines:
                yield from self._read(path, lines)

    def _read(self, path: Path, lines: Sequence[bytes]) -> Iterator[tuple[str, int, Answered]]:
        try:
            settings, *items = map(json.loads, lines)
            self._require_same(path, settings)
            yield from ((item.pop("judge"), item.pop("prompt"), _answered(item)) for item in items)
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
            raise ValueError(f"{path} cannot be read as what sample had finished: {AGAIN}") from None

    def _require_same(self, path: Path, written: dict) -> None:
        written = {"draws": False, **written}  # earlier versions kept none
        if not self.settings.keys() <= written.keys():
            raise ValueError(f"{path} was written by another version of sample: {AGAIN}")
        for name, value in self.settings.items():
            if written[name] != value:
                raise ValueError(
                    f"{path} holds what was finished with {name} {written[name]!r}, not {value!r}: give that again, or"
                    f" {AGAIN}"
                )


def files_of(output: str | os.PathLike) -> list[Path]:
    """Return the journals of an interrupted run that was to write this file."""
    output = Path(output)
    return sorted(output.parent.glob(f"{glob.escape(output.name)}.progress-*"))


def _answered(item: dict) -> Answered:
    fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in item.items()}
    if fields.get("draws") is not None:
        fields["draws"] = tuple(Draw((*tokens,), text, ended) for tokens, text, ended in fields["draws"])
    return Answered(**fields)


def _line(record: dict) -> bytes:
    return json.dumps(record).encode() + b"\n"

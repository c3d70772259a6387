"""What the folder of a model must hold, and errors of reading it as one line that names it."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import safetensors

from mapl_explore.files import counted

INDEX = "model.safetensors.index.json"  # names the files of weights that are in parts


@contextlib.contextmanager
def readable(source: str, what: str, advice: Callable[[], str] = str) -> Iterator[None]:
    """Make any error of reading a model a line about its folder."""
    try:
        yield
    except safetensors.SafetensorError as error:
        words = f"its weights are damaged or cut short ({first_line(error)}); fetch or save them again"
        raise OSError(f"{source!r} holds {what} that can be read: {words}") from error
    except Exception as error:  # files of others may be wrong in any way
        raise OSError(f"{source!r} holds {what} that can be read: {first_line(error)}{advice()}") from error


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its kind where it says nothing."""
    first = next(iter(str(error).splitlines()), type(error).__name__)
    return first.removesuffix(" from one of: ")  # transformers' list follows on lines of its own


def require_all_weights(source: str, loading: dict) -> None:
    """Raise OSError where a model lacks weights, by what ``from_pretrained`` says of its loading."""
    missing = sorted(loading["missing_keys"])
    if missing:
        few = counted(len(missing), "weight")
        raise OSError(f"{source!r} holds {few} too few for its model, such as {missing[0]!r}")


def require_all_shards(source: str) -> None:
    """Raise unless a folder with weights in parts has all of them, and the index that names them."""
    folder = Path(source)
    in_parts = (folder / INDEX).is_file() or any(folder.glob("model-*-of-*.safetensors"))
    if not in_parts or (folder / "model.safetensors").is_file():
        return
    missing = sorted(name for name in _parts(folder / INDEX) if not (folder / name).is_file())
    if missing:
        lost = f"{missing[0]} is missing" + f", and {len(missing) - 1} more" * (len(missing) > 1)
        raise OSError(f"{source!r} holds a model in several files, not all of them: {lost}; fetch the folder again")


def _parts(index: Path) -> set[str]:
    """Return the names of an index and of the files that it names."""
    if not index.is_file():
        return {index.name}
    try:
        return {index.name, *json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise OSError(f"{str(index)!r} is damaged ({type(error).__name__}): fetch the folder again") from error

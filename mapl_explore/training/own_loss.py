"""A loss of the user's own in a training: an error in its code is shown with the place where its author finds it."""

import contextlib
from collections.abc import Iterator

from mapl_explore.files import shortened
from mapl_explore.losses import Loss
from mapl_explore.own_code import own_traceback


def kind_of(value: object) -> str:
    """Return a value as an error message names it, in one line."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"a {type(value).__name__}" if "\n" in repr(value) else shortened(value)


@contextlib.contextmanager
def blamed_on(loss: Loss) -> Iterator[None]:
    """Make any error in the block one line that names the loss, with the traceback of its own code as a note.

    Raises
    ------
    RuntimeError
        In place of the error, with its type and its words.
    """
    try:
        yield
    except Exception as error:  # a loss is a program of the user's, which may fail in any way
        words = " ".join(str(error).split())
        failed = RuntimeError(f"the loss {loss!r} failed: {type(error).__name__}{': ' * bool(words)}{words}")
        failed.add_note(own_traceback(error))
        raise failed from None

"""A loss of the user's own in a training: an error in its code is shown with the place where its author finds it."""

import contextlib
from collections.abc import Iterator

from mapl_explore.files import shortened
from mapl_explore.losses import Loss
from mapl_explore.losses.loss import try_loss
from mapl_explore.notes import Refusal
from mapl_explore.own_code import note_own_traceback


def kind_of(value: object) -> str:
    """Return a value as an error message names it, in one line."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"a {type(value).__name__}" if "\n" in repr(value) else shortened(value)


def require_trained_by(loss: Loss) -> None:
    """Raise unless a loss is one that training can follow: it is tried once, on made-up sets."""
    with blamed_on(loss):
        import torch

        try_loss(loss, torch.empty(0))


@contextlib.contextmanager
def blamed_on(loss: Loss) -> Iterator[None]:
    """Make any error in the block one line that names the loss, with the traceback of its own code as a note.

    Raises
    ------
    RuntimeError
        In place of the error, with its type and its words; what a trial refuses stays as it is.
    """
    try:
        yield
    except Refusal:
        raise
    except Exception as error:  # a loss is a program of the user's, which may fail in any way
        words = " ".join(str(error).split())
        failed = RuntimeError(f"the loss {loss!r} failed: {type(error).__name__}{': ' * bool(words)}{words}")
        note_own_traceback(failed, error)
        raise failed from None

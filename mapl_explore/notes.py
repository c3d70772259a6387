"""Notes: what a user should know of a result that is right all the same."""

import warnings


class Note(UserWarning):
    """A warning of this package that nothing has failed, and what was done; the command line prints it as a line."""


def note(text: str) -> None:
    """Warn of something as a :class:`Note`: Python shows each text once."""
    warnings.warn(text, Note, stacklevel=2)

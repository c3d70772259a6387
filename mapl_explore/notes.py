"""Notes: warnings about results that are right, but that a user should know more about."""

import warnings


class Note(UserWarning):
    """A warning that tells what was done, where nothing has failed; the command line prints it as a line."""


def note(text: str) -> None:
    """Warn with a :class:`Note`; Python shows each text once."""
    warnings.warn(text, Note, stacklevel=2)

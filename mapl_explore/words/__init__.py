"""The words that explorers and lessons show, in English or in a language that has a catalogue in this folder.

The English sentences stand in the code and are the ids of gettext: ``_("pin")`` is ``pin``, or what ``de.po`` has for
it. A constant is marked by ``N_`` and becomes other words where it is shown.
"""

from mapl_explore.words.choice import (
    CATALOGUES,
    N_,
    VARIABLE,
    _,
    compiled_words,
    language,
    languages,
    ngettext,
    speaking,
    spoken,
)

__all__ = [
    "CATALOGUES",
    "N_",
    "VARIABLE",
    "_",
    "compiled_words",
    "language",
    "languages",
    "ngettext",
    "speaking",
    "spoken",
]

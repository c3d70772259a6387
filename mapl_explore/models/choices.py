"""The values that some arguments can take, for those who name them before torch is loaded."""

from typing import TypeAlias

from mapl_explore.files import shortened

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("float32", "bf16")
TRUNCATE = ("keep-start", "error")
CHATS = ("auto", "always", "never")  # which prompts a chat template writes: those of messages, all, none

Chat: TypeAlias = str | bool


def chat_choice(name: str, value: object) -> str:
    """Return which prompts a chat template writes; True is ``"always"`` and False ``"never"``.

    Examples
    --------
    >>> chat_choice("chat", True)
    'always'
    """
    if isinstance(value, bool):
        return "always" if value else "never"
    if not isinstance(value, str) or value not in CHATS:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, CHATS))}, not {shortened(value)}")
    return value

"""The values that some arguments can take, for those who name them before torch is loaded."""

from typing import TypeAlias

from mapl_explore.files import shortened

DEVICES = ("auto", "cpu", "cuda")
# float32; the model computes in bfloat16; its weights are in bfloat16, too.
PRECISIONS = FLOAT32, BF16, BF16_WEIGHTS = "float32", "bf16", "bf16-weights"
# Of a model that is not trained: computing in bfloat16 with weights in float32 would save no memory.
LOADED = FLOAT32, BF16_WEIGHTS
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

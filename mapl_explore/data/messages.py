"""Messages and transcripts: who says what in a conversation, and the text that is made of it."""

from collections.abc import Sequence
from typing import Any

from mapl_explore.files import check_text, shortened

TURN = "\n\nAssistant:"
SPEAKERS = {
    "user": "Human",
    "assistant": "Assistant",
    "system": "System",
    "developer": "System",  # OpenAI's later name of it
    "human": "Human",  # this and the next are ShareGPT's
    "gpt": "Assistant",
}
TOOLS = ("tool", "function", "function_call", "observation")  # roles; the last two are ShareGPT's
PARTS = ("text", "input_text", "output_text")  # types of a part of a content that are text


def messages_of(name: str, messages: object) -> list[tuple[str, str]]:
    """Return the speaker and the text of each message; ShareGPT's sides are one message, not a list."""
    messages = [messages] if isinstance(messages, dict) else messages
    if isinstance(messages, str) or not isinstance(messages, Sequence) or not messages:
        raise ValueError(f"{name} must be a list of messages with at least one, not {shortened(messages)}")
    return [_message(f"{name}[{i}]", one) for i, one in enumerate(messages)]


def conversation(name: str, side: Any) -> list[tuple[str, str]]:
    """Return who says what in a conversation that ends with a response."""
    messages = messages_of(name, side)
    if messages[-1][0] != "Assistant":
        last = side if isinstance(side, dict) else side[-1]
        role = last.get("role") or last.get("from")
        place = f"{name}[{len(messages) - 1}]"
        raise ValueError(f"{name} must end with a message of the assistant, not with {place} of the role {role!r}")
    return messages


def _message(place: str, message: object) -> tuple[str, str]:
    if not isinstance(message, dict):
        raise ValueError(f"{place} must be a message with role and content, not {shortened(message)}")
    role, content = ("from", "value") if message.get("role") is None and "from" in message else ("role", "content")
    if message.get(role) in TOOLS or message.get("tool_calls") or message.get("function_call"):
        raise ValueError(f"tool calls are not supported ({place})")
    if message.get(role) not in [*SPEAKERS]:
        raise ValueError(f"{place} must have a role of {', '.join(SPEAKERS)}, not {shortened(message)}")
    return SPEAKERS[message[role]], _text(f"{place}.{content}", message.get(content))


def _text(place: str, content: Any) -> str:
    """Return a content that is text, or the texts of its parts put together."""
    if isinstance(content, list) and content:
        return "".join(_part(f"{place}[{i}]", part) for i, part in enumerate(content))
    check_text(place, content)
    return content


def _part(place: str, part: Any) -> str:
    if isinstance(part, dict):
        if part.get("type", "text") not in PARTS:
            raise ValueError(f"parts of a content that are not text are not supported ({place}: {part['type']!r})")
        part = part.get("text")
    check_text(place, part)
    return part


def content(messages: list[tuple[str, str]]) -> str:
    """Return the text of a single message."""
    return messages[0][1]


def transcript(messages: list[tuple[str, str]]) -> str:
    """Return messages as hh-rlhf writes them."""
    return "".join(f"\n\n{speaker}: {content}" for speaker, content in messages)


def response(messages: list[tuple[str, str]], single: bool) -> str:
    """Return the text of a response behind its prompt: of a single message, or of a transcript without its turn."""
    # In a transcript the prompt ends with the assistant's turn, which the response therefore does not repeat.
    return content(messages) if single else transcript(messages).removeprefix(TURN)


def alike(one: Sequence, other: Sequence) -> int:
    """Return how many items two sequences have in common from their beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))

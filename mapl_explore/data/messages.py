"""Messages and transcripts: who says what in a conversation, and the text that is made of it."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from mapl_explore.files import check_text, shortened

TURN = "\n\nAssistant:"
ROLES = {  # as they are given, and as they are kept
    **{role: role for role in ("user", "assistant", "system", "developer", "tool")},
    "human": "user",  # this and the next are ShareGPT's
    "gpt": "assistant",
}
SPEAKERS = {"user": "Human", "assistant": "Assistant", "system": "System", "developer": "System", "tool": "Tool"}
CALLS = ("function", "function_call", "observation")  # roles of calls; the last two are ShareGPT's
NO_TEXT = ("images", "image", "videos", "video", "audios", "audio")  # fields of a record, and of a message
BESIDE = {  # fields in which a message says more than its content, by what that is
    **dict.fromkeys(("tool_calls", "function_call"), "tool calls are"),
    **dict.fromkeys(NO_TEXT, "images and sound are"),
    **dict.fromkeys(
        ("reasoning_content", "reasoning", "reasoning_details", "thinking"), "reasoning outside of a content is"
    ),
}
PARTS = ("text", "input_text", "output_text")  # types of a part of a content that are text


class Message(NamedTuple):
    """One message of a conversation: who says it (user, assistant, system, developer or tool), and what."""

    role: str
    content: str


Prompt: TypeAlias = str | tuple[Message, ...]


def checked_prompt(prompt: Any) -> Prompt:
    """Return a prompt that is text as it is, and one that is a list of messages as a tuple; refuse anything else.

    Examples
    --------
    >>> checked_prompt([{"role": "user", "content": "2 + 2 ="}])
    (Message(role='user', content='2 + 2 ='),)
    """
    if isinstance(prompt, list | tuple):
        return tuple(messages_of("prompt", prompt))
    if not isinstance(prompt, str):
        raise TypeError(f"prompt must be text or a list of messages, not {shortened(prompt)}")
    check_text("prompt", prompt)
    return prompt


def prompt_text(prompt: Prompt) -> str:
    r"""Return a prompt as one text: a single message is its content alone, several are a transcript as hh-rlhf's.

    Examples
    --------
    >>> prompt_text((Message("user", "2 + 2 ="),))
    '2 + 2 ='
    >>> prompt_text((Message("system", "Be brief."), Message("user", "2 + 2 =")))
    '\n\nSystem: Be brief.\n\nHuman: 2 + 2 =\n\nAssistant:'
    """
    if isinstance(prompt, str):
        return prompt
    return prompt[0].content if len(prompt) == 1 else transcript(prompt) + TURN


def before_response(prompt: Prompt) -> str:
    """Return what stands between the text of a prompt and a response: the space of a transcript, or nothing."""
    return "" if isinstance(prompt, str) or len(prompt) == 1 else " "


def asked_text(prompt: Prompt) -> str:
    """Return what a verifier judges a response by: the text, or of messages the last one of the user.

    Where the user says nothing, it is all of the text.

    Examples
    --------
    >>> asked_text((Message("system", "Be brief."), Message("user", "2 + 2 =")))
    '2 + 2 ='
    """
    said = [] if isinstance(prompt, str) else [one.content for one in prompt if one.role == "user"]
    return said[-1] if said else prompt_text(prompt)


def named_prompt(prompt: Prompt, place: str = "") -> str:
    """Return a prompt as an error names it: by the place that it was read from, else by what it asks.

    Examples
    --------
    >>> named_prompt("2 + 2 =", "sets.jsonl:3"), named_prompt("2 + 2 =")
    ('the prompt at sets.jsonl:3', "the prompt '2 + 2 ='")
    """
    return f"the prompt at {place}" if place else f"the prompt {shortened(asked_text(prompt))}"


def messages_of(name: str, messages: object) -> list[Message]:
    """Return messages of any form; ShareGPT's sides are one message, not a list."""
    messages = [messages] if isinstance(messages, dict) else messages
    if isinstance(messages, str) or not isinstance(messages, Sequence) or not messages:
        raise ValueError(f"{name} must be a list of messages with at least one, not {shortened(messages)}")
    return [_message(f"{name}[{i}]", one) for i, one in enumerate(messages)]


def asking_messages(record: dict) -> Prompt | None:
    """Return OpenAI's ``messages`` as a prompt; None where they are none, or end with the response already.

    Examples
    --------
    >>> asking_messages({"messages": [{"role": "user", "content": "2 + 2 ="}]})
    (Message(role='user', content='2 + 2 ='),)
    """
    given = record.get("messages")
    return asking("messages", given) if given and isinstance(given, list) else None


def asking(name: str, messages: object) -> Prompt | None:
    """Return messages as a prompt; None where they end with the assistant: with the response, or with its beginning."""
    said = messages_of(name, messages)
    return None if said[-1].role == "assistant" else tuple(said)


def unasked(record: dict) -> str:
    """Return what stands in a record in place of a prompt, as the end of an error; "" where nothing does."""
    for name in ("conversations", "messages"):
        given = record.get(name)
        if isinstance(given, list) and given and asking(name, given) is None:
            last = messages_of(name, given)[-1].content
            return f", and its {name} are no prompt: they end with the assistant, {shortened(last)}"
    return ""


def conversation(name: str, side: Any) -> list[Message]:
    """Return who says what in a conversation that ends with a response."""
    messages = messages_of(name, side)
    if messages[-1].role != "assistant":
        last = side if isinstance(side, dict) else side[-1]
        role = last.get("role") or last.get("from")
        place = f"{name}[{len(messages) - 1}]"
        raise ValueError(f"{name} must end with a message of the assistant, not with {place} of the role {role!r}")
    return messages


def refuse_beside(place: str, message: dict) -> None:
    """Raise if a message says more than its content: tool calls, images and sound, or reasoning."""
    for name, what in BESIDE.items():
        value = message.get(name)
        if value.strip() if isinstance(value, str) else value:
            raise ValueError(f"{what} not supported ({place}.{name})")


def _message(place: str, message: object) -> Message:
    message = message._asdict() if isinstance(message, Message) else message
    if not isinstance(message, dict):
        raise ValueError(f"{place} must be a message with role and content, not {shortened(message)}")
    role, content = ("from", "value") if message.get("role") is None and "from" in message else ("role", "content")
    if message.get(role) in CALLS:
        raise ValueError(f"tool calls are not supported ({place})")
    refuse_beside(place, message)
    if message.get(role) not in [*ROLES]:
        raise ValueError(f"{place} must have a role of {', '.join(ROLES)}, not {shortened(message)}")
    return Message(ROLES[message[role]], _text(f"{place}.{content}", message.get(content)))


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


def transcript(messages: Sequence[Message]) -> str:
    """Return messages as hh-rlhf writes them."""
    return "".join(f"\n\n{SPEAKERS[role]}: {content}" for role, content in messages)


def alike(one: Sequence, other: Sequence) -> int:
    """Return how many items two sequences have in common from their beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))

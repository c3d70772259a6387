"""Prompts as a model reads them: text as it is, and messages as the tokenizer's chat template writes them.

Where there is no template, or it is not to be used, messages become a transcript. What the template writes around a
response is found by a trial.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from mapl_explore.data import Message, Prompt, prompt_text
from mapl_explore.data.messages import named_prompt
from mapl_explore.files import shortened
from mapl_explore.models.choices import Chat, chat_choice
from mapl_explore.models.kinds import Tokenizer
from mapl_explore.notes import note

TRIAL = "zqprompt", "zqresponse"  # words that no template writes by itself
WORDS = 3  # at each end of a prompt: a template may strip spaces, and some cut or wrap what is long


class Turn(NamedTuple):
    """The text that stands around a response: ``lead`` before it, ``after`` behind it."""

    lead: str
    after: str


def by_template(tokenizer: Tokenizer, prompts: Sequence[Prompt], chat: Chat) -> list[bool]:
    """Return for each prompt whether the chat template writes it.

    Raises
    ------
    ValueError
        If that is asked for of all prompts and the tokenizer has no chat template, or ``chat`` is no way to show them.
    """
    way, has = chat_choice("chat", chat), bool(getattr(tokenizer, "chat_template", None))
    if way == "always" and not has:
        raise ValueError("chat needs a model whose tokenizer has a chat template, and this one has none")
    return [has and way != "never" and (way == "always" or not isinstance(one, str)) for one in prompts]


def as_shown(
    tokenizer: Tokenizer, prompts: Sequence[Prompt], chat: Chat = "auto", places: Sequence[str] = ()
) -> list[str]:
    """Return prompts as the model reads them: written by the chat template, or as text.

    The places, if there are any, are those that the prompts were read from, by which errors name them.

    Raises
    ------
    ValueError
        If ``chat`` is ``"always"`` and the tokenizer has no chat template, or the template cannot be read, refuses a
        prompt, or leaves out what the user says.
    """
    chosen = by_template(tokenizer, prompts, chat)
    try:
        rows = zip(prompts, chosen, places or [""] * len(prompts), strict=True)
        shown = [_by_template(tokenizer, one, place) if it else prompt_text(one) for one, it, place in rows]
    except ValueError as error:
        hint = " (chat 'never', --chat never, makes transcripts of messages)" * (chat_choice("chat", chat) == "auto")
        raise ValueError(f"{error}{hint}") from error.__cause__
    if any(chosen):
        _by_template(tokenizer, TRIAL[0], what="prompts")  # "a" may stand in what a template writes instead of it
    return shown


def note_shown(tokenizer: Tokenizer, prompts: Sequence[Prompt], chat: Chat) -> None:
    """Say in a :class:`~mapl_explore.notes.Note` how prompts are shown, where there are messages or a chat template."""
    way, template, chosen = chat_choice("chat", chat), _template(tokenizer), by_template(tokenizer, prompts, chat)
    talks, plain = (sum(isinstance(one, kind) for one in prompts) for kind in (tuple, str))
    turns = "chat 'always' (--chat always) makes each a user's message"
    if any(chosen):
        users = (
            f", each a user's message by {'it' if talks else template}" if way == "always" else f", as it is; {turns}"
        )
        _note_counts((talks, f"of messages, written by {template}"), (plain, f"of plain text{users}"))
    elif talks:
        why = "" if way == "never" else ", because the model has no chat template"
        transcripts = f"of messages, written as transcripts (Human: ... Assistant: ...){why}"
        _note_counts((talks, transcripts), (plain, "of plain text"))
    elif getattr(tokenizer, "chat_template", None):
        note(f"prompts are given as plain text; {turns}, by {template}")


def _note_counts(*parts: tuple[int, str]) -> None:
    note("prompts: " + "; ".join(f"{count} {said}" for count, said in parts if count))


def whole_text(tokenizer: Tokenizer, prompt: Prompt, response: str) -> str:
    """Return a prompt with a response to it as the chat template writes both together."""
    return _written(tokenizer, [*_messages(prompt), Message("assistant", response)], "a prompt and a response")


def around_response(tokenizer: Tokenizer) -> Turn:
    """Return what the chat template writes before a response, behind its prompt, and after it.

    Raises
    ------
    ValueError
        For the same reasons as :func:`as_shown`, of responses.
    """
    prompt, response = TRIAL
    written = whole_text(tokenizer, prompt, response)
    if response not in written:
        raise ValueError(f"{_template(tokenizer)} leaves out responses: it writes {shortened(written)}")
    before, _, after = written.rpartition(response)
    begun = _written(tokenizer, _messages(prompt), "a prompt", add_generation_prompt=True)
    return Turn(before.removeprefix(begun) if before.startswith(begun) else "", after)


def _by_template(tokenizer: Tokenizer, prompt: Prompt, place: str = "", *, what: str = "") -> str:
    """Return the messages of a prompt and the beginning of the model's turn."""
    messages = _messages(prompt)
    asked = next((one.content for one in reversed(messages) if one.role == "user"), messages[-1].content)
    what = what or named_prompt(prompt, place)
    written = _written(tokenizer, messages, what, add_generation_prompt=True)
    if not stands_in(asked, written):
        raise ValueError(f"{_template(tokenizer)} leaves out {what}: it writes {shortened(written)}")
    return written


def stands_in(content: str, written: str) -> bool:
    """Return whether the first and the last words of a content stand in what a template wrote."""
    words, text = content.split(), " ".join(written.split())
    return bool(text) and all(" ".join(end) in text for end in (words[:WORDS], words[-WORDS:]))


def _messages(prompt: Prompt) -> list[Message]:
    """Return the messages of a prompt; a text is one message of the user."""
    return [Message("user", prompt)] if isinstance(prompt, str) else list(prompt)


def _written(tokenizer: Tokenizer, messages: Sequence[Message], what: str, **options: Any) -> str:
    template = getattr(tokenizer, "chat_template", None)
    if not template:
        raise ValueError("chat needs a model whose tokenizer has a chat template, and this one has none")
    if not isinstance(template, str | dict):
        raise ValueError(f"{_template(tokenizer)} must be text, not {shortened(template)}")
    given = [message._asdict() for message in messages]
    try:
        return str(tokenizer.apply_chat_template(given, tokenize=False, **options))
    except Exception as error:  # a template is a program of its author, and may fail in any way
        words = " ".join(str(error).split()) or type(error).__name__
        unreadable = type(error).__name__ == "TemplateSyntaxError"  # of jinja2
        verb = f"cannot be read, at line {getattr(error, 'lineno', 'unknown')}" if unreadable else f"refuses {what}"
        raise ValueError(f"{_template(tokenizer)} {verb}: {words}") from error


def _template(tokenizer: Tokenizer) -> str:
    name = getattr(tokenizer, "name_or_path", "")
    return f"the chat template of {name!r}" if name else "the model's chat template"

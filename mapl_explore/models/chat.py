"""Prompts as a model reads them: as they are, or written as a user's message by the tokenizer's chat template."""

from collections.abc import Sequence
from typing import Any

from mapl_explore.files import shortened
from mapl_explore.models.kinds import Tokenizer
from mapl_explore.notes import note

TRIAL = "zqprompt", "zqresponse"  # words that no template writes by itself
WORDS = 3  # at each end of a prompt: a template may strip spaces, and some cut or wrap what is long


def as_shown(tokenizer: Tokenizer, prompts: Sequence[str], chat: bool) -> list[str]:
    """Return prompts as the model reads them: as they are, or each as a message that the model is to answer.

    Where there is a chat template and it is not used, a :class:`~mapl_explore.notes.Note` says so.

    Raises
    ------
    ValueError
        If ``chat`` is asked for and the tokenizer has no chat template, or the template cannot be read, refuses a
        prompt, or leaves it out of what it writes.
    """
    if chat:
        written = [_by_template(tokenizer, one) for one in prompts]
        _by_template(tokenizer, TRIAL[0], "prompts")  # "a" may stand in what a template writes instead of it
        return written
    if getattr(tokenizer, "chat_template", None):
        note("prompts are given as plain text; chat (--chat) writes them by the model's chat template")
    return list(prompts)


def after_response(tokenizer: Tokenizer) -> str:
    """Return what the chat template writes after a response.

    Raises
    ------
    ValueError
        For the same reasons as :func:`as_shown`, of responses.
    """
    prompt, response = TRIAL
    written = _written(
        tokenizer, [_message("user", prompt), _message("assistant", response)], "a prompt and a response"
    )
    if response not in written:
        raise ValueError(f"{_template(tokenizer)} leaves out responses: it writes {shortened(written)}")
    return written.rpartition(response)[2]


def _by_template(tokenizer: Tokenizer, prompt: str, what: str = "") -> str:
    """Return a prompt as a user's message and the beginning of the model's turn."""
    what = what or f"the prompt {shortened(prompt)}"
    written = _written(tokenizer, [_message("user", prompt)], what, add_generation_prompt=True)
    words, text = prompt.split(), " ".join(written.split())
    if not text or not all(" ".join(end) in text for end in (words[:WORDS], words[-WORDS:])):
        raise ValueError(f"{_template(tokenizer)} leaves out {what}: it writes {shortened(written)}")
    return written


def _written(tokenizer: Tokenizer, messages: list[dict[str, str]], what: str, **options: Any) -> str:
    template = getattr(tokenizer, "chat_template", None)
    if not template:
        raise ValueError("chat needs a model whose tokenizer has a chat template, and this one has none")
    if not isinstance(template, str | dict):
        raise ValueError(f"{_template(tokenizer)} must be text, not {shortened(template)}")
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, **options))
    except Exception as error:  # a template is a program of its author, and may fail in any way
        words = " ".join(str(error).split()) or type(error).__name__
        unreadable = type(error).__name__ == "TemplateSyntaxError"  # of jinja2
        verb = f"cannot be read, at line {getattr(error, 'lineno', 'unknown')}" if unreadable else f"refuses {what}"
        raise ValueError(f"{_template(tokenizer)} {verb}: {words}") from error


def _template(tokenizer: Tokenizer) -> str:
    name = getattr(tokenizer, "name_or_path", "")
    return f"the chat template of {name!r}" if name else "the model's chat template"


def _message(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}

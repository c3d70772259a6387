"""Prompts as tokens, and what stands around a response: the text it begins with, and the tokens that end it."""

from collections.abc import Sequence
from typing import NamedTuple

from mapl_explore.data import Prompt
from mapl_explore.data.messages import before_response
from mapl_explore.models.chat import around_response, as_shown, by_template
from mapl_explore.models.choices import Chat
from mapl_explore.models.kinds import Model, Tokenizer


class Ending(NamedTuple):
    """What stands around the responses to one prompt.

    Parameters
    ----------
    ends : tuple of int
        The tokens that end a response, the one to write first.
    lead, trail : str
        What a response begins with, and what stands between it and its end: the spaces of some chat templates, and that
        of a transcript behind ``Assistant:``.
    """

    ends: tuple[int, ...]
    lead: str = ""
    trail: str = ""

    def bare(self, text: str) -> str:
        """Return a response that a model wrote, without what stands around it."""
        return text.removeprefix(self.lead).removesuffix(self.trail)


def endings(tokenizer: Tokenizer, prompts: Sequence[Prompt], chat: Chat, ends: Sequence[int]) -> list[Ending]:
    """Return what stands around the responses to each prompt, of which ``ends`` end those that no template writes."""
    chosen, plain = by_template(tokenizer, prompts, chat), tuple(ends)
    turn = _of_template(tokenizer, plain) if any(chosen) else None
    return [
        turn if it and turn else Ending(plain, before_response(one)) for one, it in zip(prompts, chosen, strict=True)
    ]


def end_tokens(tokenizer: Tokenizer, model: Model | None = None, *, chat: bool = False) -> tuple[int, ...]:
    """Return every token that ends a response, the one to write first.

    The first is the tokenizer's eos or, with ``chat``, the token with which its chat template ends a turn; then come
    the tokenizer's eos and all that the model's ``generation_config`` names.
    """
    named = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    named = named if isinstance(named, Sequence) else [named]
    ends = tuple(dict.fromkeys(end for end in (tokenizer.eos_token_id, *named) if end is not None))
    return _of_template(tokenizer, ends).ends if chat else ends


def plain_tokens(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of texts without anything that the tokenizer would add."""
    if not texts:
        return []  # some tokenizers take no empty list
    return tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]


def encode_prompt(tokenizer: Tokenizer, text: str) -> list[int]:
    """Return the token ids of a prompt as the model reads it, never none.

    It begins with what the tokenizer itself puts before a text (the bos of Llama, Gemma and Mistral), unless the text
    begins with that already. Where the tokenizer puts nothing there, an empty prompt becomes one bos (or eos).
    """
    return encoded_texts(tokenizer, [text])[0]


def encoded_texts(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of texts that begin with a prompt, see :func:`encode_prompt`."""
    beginning = beginning_tokens(tokenizer)
    return [_begun(tokenizer, ids, beginning) for ids in plain_tokens(tokenizer, texts)]


def encoded_prompts(
    tokenizer: Tokenizer, prompts: Sequence[Prompt], chat: Chat = "auto", places: Sequence[str] = ()
) -> list[list[int]]:
    """Return the token ids of prompts as the model reads them, see :func:`as_shown` and :func:`encode_prompt`."""
    return encoded_texts(tokenizer, as_shown(tokenizer, prompts, chat, places))


def beginning_tokens(tokenizer: Tokenizer) -> list[int]:
    """Return what the tokenizer itself puts before a text."""
    [bare] = plain_tokens(tokenizer, ["a"])
    ids = tokenizer("a", verbose=False)["input_ids"]
    starts = (place for place in range(len(ids)) if ids[place : place + len(bare)] == bare)
    return ids[: next(starts, 0)]


def special_tokens(tokenizer: Tokenizer) -> set[int]:
    """Return the tokens that stand for more than their text, such as those that begin and end turns."""
    return {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}


def _begun(tokenizer: Tokenizer, ids: list[int], beginning: list[int]) -> list[int]:
    ids = ids if ids[: len(beginning)] == beginning else beginning + ids
    return ids or [tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id]


def _of_template(tokenizer: Tokenizer, ends: tuple[int, ...]) -> Ending:
    """Return what the chat template writes around a response; its first special token behind it ends the turn."""
    lead, after = around_response(tokenizer)
    special = special_tokens(tokenizer)
    end = next((token for token in plain_tokens(tokenizer, [after])[0] if token in special), None)
    if end is None:
        return Ending(ends, lead)
    trail, spelled, _ = after.partition(str(tokenizer.convert_ids_to_tokens(end)))
    return Ending(tuple(dict.fromkeys((end, *ends))), lead, trail if spelled else "")

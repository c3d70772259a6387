"""Whether a prompt and a response, each in its tokens, are what the chat template makes of the whole conversation."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mapl_explore.data import PreferenceSet, Prompt
from mapl_explore.data.messages import named_prompt
from mapl_explore.files import counted, shortened
from mapl_explore.models.chat import as_shown, by_template, stands_in, whole_text
from mapl_explore.models.choices import Chat
from mapl_explore.models.kinds import Tokenizer
from mapl_explore.models.turns import beginning_tokens, encoded_texts, end_tokens, plain_tokens
from mapl_explore.notes import note

SHOWN = 4  # tokens from the first difference on
Ids = tuple[int, ...]


class Unlike(NamedTuple):
    """A response whose tokens, with its prompt's, are others than those of the whole conversation."""

    one: PreferenceSet
    read: str
    whole: str


def note_unlike_whole(
    tokenizer: Tokenizer, sets: Sequence[PreferenceSet], read: Sequence[Sequence[Ids]], chat: Chat
) -> None:
    """Say in a :class:`~mapl_explore.notes.Note` how many responses are read otherwise than the chat template has them.

    That is where it strips or adds something, or where a token would stand across the end of the prompt.

    Parameters
    ----------
    tokenizer
        Of the model.
    sets : sequence of PreferenceSet
        The texts.
    read : sequence of sequences of tuples of int
        For each set the tokens of its prompt with each response, ended.
    chat : {"auto", "always", "never"}
        Which prompts the template has written; of others nothing is said.
    """
    chosen = by_template(tokenizer, [one.prompt for one in sets], chat)
    pairs = [(one, text) for one, it in zip(sets, chosen, strict=True) if it for text in one.responses]
    ours = [ids for each, it in zip(read, chosen, strict=True) if it for ids in each]
    if not pairs:
        return
    texts = [_whole(tokenizer, one.prompt, text) for one, text in pairs]
    _note_left_out([one.prompt for one, _ in pairs], texts)
    _note_beginning(tokenizer, texts[0])
    found = [*_unlike_whole(tokenizer, pairs, ours, texts)]
    if found:
        note(
            f"{len(found)} of {counted(len(pairs), 'response')} have other tokens, with their prompt, than the chat"
            f" template gives the whole conversation; first {shortened(found[0].read)} in place of"
            f" {shortened(found[0].whole)}, behind {named_prompt(found[0].one.prompt, found[0].one.place)}"
        )


def note_left_out(tokenizer: Tokenizer, prompts: Sequence[Prompt], chat: Chat, places: Sequence[str] = ()) -> None:
    """Say in a :class:`~mapl_explore.notes.Note` how many messages of prompts the chat template leaves out.

    Parameters
    ----------
    tokenizer
        Of the model.
    prompts : sequence of Prompt
        Texts and conversations.
    chat : {"auto", "always", "never"}
        Which of them the template writes.
    places : sequence of str
        Where they were read, if known, by which errors name them.
    """
    chosen = by_template(tokenizer, prompts, chat)
    rows = zip(prompts, chosen, places or [""] * len(prompts), strict=True)
    talks = [(prompt, place) for prompt, it, place in rows if it]
    written = [prompt for prompt, _ in talks]
    _note_left_out(written, as_shown(tokenizer, written, chat, [place for _, place in talks]))


def _note_left_out(prompts: Sequence[Prompt], texts: Sequence[str]) -> None:
    """Say how many messages of conversations do not stand in what the template has written of them."""
    talks = {prompt: text for prompt, text in zip(prompts, texts, strict=True) if text and not isinstance(prompt, str)}
    lost = {talk: [one for one in talk if not stands_in(one.content, text)] for talk, text in talks.items()}
    found = [message for messages in lost.values() for message in messages]
    if found:
        cut = sum(map(bool, lost.values()))
        note(
            f"the chat template leaves out {len(found)} of {counted(sum(map(len, talks)), 'message')}, in {cut} of"
            f" {counted(len(talks), 'conversation')}; first one of the {found[0].role}, {shortened(found[0].content)}"
        )


def _note_beginning(tokenizer: Tokenizer, written: str) -> None:
    """Say where the tokenizer begins texts with a token that the template does not write."""
    beginning = beginning_tokens(tokenizer)
    if plain_tokens(tokenizer, [written])[0][: len(beginning)] != beginning:
        words = shortened(str(tokenizer.decode(beginning)))
        note(f"the chat template does not begin with {words}, as the tokenizer begins a text: it is put before")


def _unlike_whole(
    tokenizer: Tokenizer, pairs: Sequence[tuple[PreferenceSet, str]], read: Sequence[Ids], texts: Sequence[str]
) -> Iterator[Unlike]:
    """Yield the sets with a response that are read otherwise, with what is read and what the template has."""
    ends, wholes = end_tokens(tokenizer), encoded_texts(tokenizer, texts)
    for (one, _), ids, whole in zip(pairs, read, wholes, strict=True):
        place = next((i for i, both in enumerate(zip(ids, whole, strict=False)) if both[0] != both[1]), len(whole))
        # Where the template writes no end of a turn, the eos of ours has nothing to be compared with.
        if place < len(ids) - (ids[-1] in ends):
            there = slice(place, place + SHOWN)
            yield Unlike(one, _spelled(tokenizer, ids[there]), _spelled(tokenizer, whole[there]))


def _spelled(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """Return tokens as text, with a bar between them."""
    return "|".join(str(tokenizer.decode([one])) for one in ids)


def _whole(tokenizer: Tokenizer, prompt: Prompt, response: str) -> str:
    """Return the whole conversation as the template writes it, nothing where it refuses it."""
    try:
        return whole_text(tokenizer, prompt, response)
    except ValueError:
        return ""

"""A preference set as a model reads or answers it, for people: tokens as text, the special ones by their names."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

from mapl_explore.data import PreferenceSet
from mapl_explore.files import counted
from mapl_explore.models.choices import Chat
from mapl_explore.models.encoding import EncodedSet
from mapl_explore.models.kinds import Tokenizer
from mapl_explore.models.turns import encoded_prompts, plain_tokens, special_tokens


def shown_set(tokenizer: Tokenizer, one: EncodedSet) -> str:
    """Return the prompt and each response as they are read, with their numbers of tokens.

    Special tokens are in angle brackets, as the tokenizer spells them, and are counted in the last line.

    Examples
    --------
    >>> from mapl_explore import PreferenceSet, load_model
    >>> from mapl_explore.models.encoding import encode_sets
    >>> _, tokenizer = load_model("tiny")
    >>> print(shown_set(tokenizer, encode_sets(tokenizer, [PreferenceSet("2 + 2 =", [" 4"], [" 5"])])[0]))
    prompt, 7 tokens:
      | 2 + 2 =
    + 3 tokens: ' 4<|endoftext|>'
    - 3 tokens: ' 5<|endoftext|>'
    special tokens: <|endoftext|> (id 0) 2 times
    """
    lines = [f"prompt, {counted(len(one.prompt), 'token')}:"]
    lines += [f"  | {line}" for line in _text(tokenizer, one.prompt).split("\n")]
    for label, ids in zip(one.labels, one.responses, strict=True):
        lines.append(f"{'+' if label > 0 else '-'} {counted(len(ids), 'token')}: {_text(tokenizer, ids)!r}")
    return "\n".join([*lines, f"special tokens: {_special(tokenizer, one)}"])


def shown_answers(tokenizer: Tokenizer, one: PreferenceSet, chat: Chat) -> str:
    """Return a prompt as the model reads it, and the responses that it gave as text, equal ones once.

    Examples
    --------
    >>> from mapl_explore import load_model
    >>> print(shown_answers(load_model("tiny")[1], PreferenceSet("2 + 2 =", [" 4", " 4"], [" 5"]), "auto"))
      | 2 + 2 =
      + ' 4'
      - ' 5'
    """
    [prompt] = encoded_prompts(tokenizer, [one.prompt], chat)
    lines = [f"  | {line}" for line in _text(tokenizer, prompt).split("\n")]
    sides = ("+", one.positives), ("-", one.negatives)
    return "\n".join([*lines, *(f"  {mark} {text!r}" for mark, texts in sides for text in dict.fromkeys(texts))])


def _text(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    return "".join(_parts(tokenizer, ids))


def _parts(tokenizer: Tokenizer, ids: Sequence[int]) -> Iterator[str]:
    """Yield the name of each special token, and the text of what stands between them."""
    special, [before] = special_tokens(tokenizer), plain_tokens(tokenizer, ["a"])
    for is_special, group in itertools.groupby(ids, special.__contains__):
        if is_special:
            yield "".join(_name(tokenizer, one) for one in group)
        else:  # some tokenizers drop a space with which a text begins, so it does not begin here
            yield _decoded(tokenizer, [*before, *group]).removeprefix(_decoded(tokenizer, before))


def _decoded(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))


def _name(tokenizer: Tokenizer, token: int) -> str:
    name = str(tokenizer.convert_ids_to_tokens(token))
    return name if name.startswith("<") and name.endswith(">") else f"<{name}>"


def _special(tokenizer: Tokenizer, one: EncodedSet) -> str:
    special, read = special_tokens(tokenizer), [*one.prompt, *itertools.chain(*one.responses)]
    counts = Counter(token for token in read if token in special)
    times = [f"{_name(tokenizer, token)} (id {token}) {counted(count, 'time')}" for token, count in counts.items()]
    return ", ".join(times) or "none"

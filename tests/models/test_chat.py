"""A model reads a conversation as its own chat template writes it, and what is read otherwise is said."""

import os
import warnings

import pytest
import torch
from chat_templates import CHATML, FAMILIES, family_tokenizer
from format_records import HISTORY, assistant, user
from tiny_models import byte_tokenizer, chat_tokenizer, random_gpt2

from mapl_explore.data import Message, PreferenceSet
from mapl_explore.models.chat import around_response, as_shown
from mapl_explore.models.encoding import encode_sets
from mapl_explore.models.generating import answer_text, sampled_batches, token_batches
from mapl_explore.models.loading import load_tokenizer
from mapl_explore.models.scoring import score_sets
from mapl_explore.models.turns import Ending, encode_prompt, end_tokens, endings, plain_tokens
from mapl_explore.notes import Note

KIND = {"role": "system", "content": "Be kind."}
TALK = PreferenceSet(HISTORY, ["It is 4.", "4"], ["5"])
ONE = PreferenceSet([user("Hi")], ["yes"], ["no"])
SYSTEM = PreferenceSet([KIND, *HISTORY], ["4"], ["5"])
TEXT = PreferenceSet("2 + 2 =", ["4"], ["5"])
OTHERWISE = "have other tokens, with their prompt, than the chat template gives the whole conversation"


def messages_of(one):
    return [user(one.prompt)] if isinstance(one.prompt, str) else [each._asdict() for each in one.prompt]


def whole(tokenizer, one, text, end):
    """Return the tokens of the whole conversation by transformers alone, up to the last end of a turn."""
    messages = [*messages_of(one), assistant(text)]
    ids = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
    return ids[: len(ids) - ids[::-1].index(end)]


def notes_of(call, *args, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call(*args, **options)
    return result, [str(one.message) for one in caught]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("one", [ONE, TALK, SYSTEM])
def test_prompt_and_response_are_the_tokens_of_the_whole_conversation(name, one):
    if name == "turns" and one is SYSTEM:
        return
    tokenizer, end = family_tokenizer(name)
    ([read], notes) = notes_of(encode_sets, tokenizer, [one])
    for text, ids in zip(one.responses, read.responses, strict=True):
        assert [*read.prompt, *ids] == whole(tokenizer, one, text, end)
    assert notes == ["prompts: 1 of messages, written by the model's chat template"]


@pytest.mark.skipif("MAPL_REAL_MODEL" not in os.environ, reason="MAPL_REAL_MODEL names no folder of a real model")
@pytest.mark.parametrize("one", [ONE, TALK, SYSTEM])
def test_a_real_model_reads_the_tokens_of_the_whole_conversation(one):
    tokenizer = load_tokenizer(os.environ["MAPL_REAL_MODEL"])
    ([read], notes) = notes_of(encode_sets, tokenizer, [one])
    for text, ids in zip(one.responses, read.responses, strict=True):
        assert [*read.prompt, *ids] == whole(tokenizer, one, text, ids[-1])
    assert len(notes) == 1


@pytest.mark.parametrize("name", FAMILIES)
def test_always_makes_a_text_a_message_of_the_user_and_auto_leaves_it(name):
    tokenizer, _ = family_tokenizer(name)
    spoken = PreferenceSet([user(TEXT.prompt)], TEXT.positives, TEXT.negatives)
    assert encode_sets(tokenizer, [TEXT], chat="always") == encode_sets(tokenizer, [spoken])
    assert encode_sets(tokenizer, [TEXT], chat=True) == encode_sets(tokenizer, [TEXT], chat="always")
    bare, _ = family_tokenizer(name)
    bare.chat_template = None
    assert encode_sets(tokenizer, [TEXT]) == encode_sets(bare, [TEXT]) == encode_sets(tokenizer, [TEXT], chat=False)


def test_never_makes_messages_the_transcript_that_they_were():
    tokenizer, _ = family_tokenizer("headed")
    for one in (TALK, ONE, SYSTEM):
        assert encode_sets(tokenizer, [one], chat="never") == encode_sets(tokenizer, [one.as_text()], chat="never")
    [talk] = encode_sets(byte_tokenizer(), [TALK])
    assert byte_tokenizer().decode(talk.prompt + talk.responses[1][:-1]) == (
        "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: 2 + 2?\n\nAssistant: 4"
    )


def test_sets_of_both_kinds_end_each_in_its_way():
    tokenizer, end = family_tokenizer("headed")
    talk, text = encode_sets(tokenizer, [ONE, TEXT])
    assert {ids[-1] for ids in talk.responses} == {end}
    assert {ids[-1] for ids in text.responses} == {tokenizer.eos_token_id}
    assert talk.prompt.count(tokenizer.bos_token_id) == text.prompt.count(tokenizer.bos_token_id) == 1


def test_a_system_that_a_template_refuses_is_one_line():
    tokenizer, _ = family_tokenizer("turns")
    refused = r"^the model's chat template refuses the prompt '2 \+ 2\?': no system here"
    with pytest.raises(ValueError, match=refused + r" \(chat 'never', --chat never, makes transcripts of messages\)$"):
        encode_sets(tokenizer, [SYSTEM])
    with pytest.raises(ValueError, match=refused + "$"):
        encode_sets(tokenizer, [SYSTEM], chat="always")
    assert encode_sets(tokenizer, [SYSTEM], chat="never")


def test_a_conversation_without_a_user_is_written_too():
    tokenizer, _ = family_tokenizer("chatml")
    shown = as_shown(tokenizer, [(Message("system", "Add."), Message("assistant", "2 + 2"))])
    assert shown[0].endswith("2 + 2<|im_end|>\n<|im_start|>assistant\n")


def test_messages_that_a_template_leaves_out_are_counted():
    tokenizer = chat_tokenizer(template=CHATML.replace("in messages %}", "in messages if m.role != 'system' %}"))
    _, notes = notes_of(encode_sets, tokenizer, [SYSTEM, TALK])
    said = "the chat template leaves out 1 of 7 messages, in 1 of 2 conversations; first one of the system, 'Be kind.'"
    assert said in notes


def test_a_transcript_has_a_space_before_a_response_which_a_drawn_one_loses():
    tokenizer = byte_tokenizer()
    talk, one, text = endings(tokenizer, [TALK.prompt, ONE.prompt, "x"], "auto", (0,))
    assert (talk, one, text) == (Ending((0,), " "), Ending((0,)), Ending((0,)))
    assert answer_text(tokenizer, [*plain_tokens(tokenizer, [" 4"])[0], 0], talk) == "4"
    [read] = encode_sets(tokenizer, [TALK])
    assert read.responses[1] == (*plain_tokens(tokenizer, [" 4"])[0], 0)


def test_spaces_of_a_template_stand_around_a_response_and_are_no_part_of_it():
    tokenizer, _ = family_tokenizer("inst")
    assert around_response(tokenizer) == (" ", " <|endoftext|>")
    [ending] = endings(tokenizer, [ONE.prompt], "auto", end_tokens(tokenizer))
    assert ending == Ending((tokenizer.eos_token_id,), " ", " ")
    ids = [*plain_tokens(tokenizer, [" yes "])[0], tokenizer.eos_token_id]
    assert answer_text(tokenizer, ids, ending) == "yes"
    assert answer_text(tokenizer, ids[:-1], ending) is None


def test_what_a_template_strips_is_counted_and_shown():
    tokenizer, _ = family_tokenizer("stripped")
    sets = [PreferenceSet([user("Hi")], [" yes", "yes"], ["no "]), ONE]
    _, notes = notes_of(encode_sets, tokenizer, sets)
    assert (
        notes[1]
        == f"2 of 5 responses {OTHERWISE}; first ' |y|e|s' in place of 'y|e|s|<|im_end|>', behind the prompt 'Hi'"
    )


def test_a_token_across_the_end_of_a_prompt_is_counted():
    tokenizer = chat_tokenizer(template="{% for m in messages %}{{ m.content }}{% endfor %}")
    tokenizer.add_tokens(["ab"])
    _, notes = notes_of(encode_sets, tokenizer, [PreferenceSet([user("a")], ["b"], ["c"])])
    assert any(f"1 of 2 responses {OTHERWISE}; first 'a|b|<|endoftext|>' in place of 'ab'" in one for one in notes)


def test_a_bos_that_the_template_leaves_to_the_tokenizer_is_put_once_and_said():
    tokenizer = chat_tokenizer(template=CHATML)
    ([read], notes) = notes_of(encode_sets, tokenizer, [ONE])
    assert list(read.prompt) == encode_prompt(tokenizer, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    assert read.prompt[0] == tokenizer.bos_token_id
    said = "the chat template does not begin with '<s>', as the tokenizer begins a text: it is put before"
    assert said in notes


@pytest.mark.parametrize(("chat", "has", "said"), [
    ("auto", True, "by the model's chat template; 2 of plain text, as it is; chat 'always' .* a user's message$"),
    ("always", True, "by the model's chat template; 2 of plain text, each a user's message by it$"),
    ("never", True, r"as transcripts \(Human: ... Assistant: ...\); 2 of plain text$"),
    ("auto", False, r"as transcripts \(.*\), because the model has no chat template; 2 of plain text$"),
])  # fmt: skip
def test_what_is_done_with_prompts_is_one_line(chat, has, said):
    tokenizer = family_tokenizer("headed")[0] if has else byte_tokenizer()
    sets = [ONE, TEXT, PreferenceSet("3 + 3 =", ["6"], ["7"])]
    with pytest.warns(Note, match=f"^prompts: 1 of messages, written {said}") as caught:
        encode_sets(tokenizer, sets, chat=chat)
    assert len(caught) == 1


def test_plain_text_and_a_model_without_a_template_are_nothing_to_say():
    with warnings.catch_warnings(action="error"):
        encode_sets(byte_tokenizer(), [TEXT])


@pytest.mark.parametrize("chat", ["yes", 1, None, "Auto"])
def test_another_way_is_refused_by_name(chat):
    with pytest.raises(ValueError, match=r"^chat must be one of 'auto', 'always', 'never', not "):
        as_shown(byte_tokenizer(), ["a"], chat)


def test_scores_of_a_conversation_are_those_of_its_tokens():
    tokenizer, end = family_tokenizer("chatml")
    model = random_gpt2(context=128)
    model.resize_token_embeddings(len(tokenizer))
    scored = score_sets(model, tokenizer, [TALK])
    for text, logp in zip(TALK.responses, scored.logp[0], strict=True):
        ids = whole(tokenizer, TALK, text, end)
        start = len(tokenizer.apply_chat_template(messages_of(TALK), add_generation_prompt=True, return_dict=False))
        with torch.no_grad():
            each = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        expected = each[start - 1 : -1].gather(1, torch.tensor(ids[start:])[:, None]).sum().item()
        assert logp == pytest.approx(expected, abs=1e-4)


def test_responses_to_prompts_of_both_kinds_end_each_at_its_own_ends():
    model = random_gpt2()
    [[(_, [[free]])]] = [[*token_batches(model, [[1, 2]], ["a"], k=1, temperature=0, seed=0, ends=[()], max_tokens=9)]]
    ends = [(free[3],), (free[6],)]
    drawn = token_batches(model, [[1, 2], [1, 2]], ["a", "b"], k=1, temperature=0, seed=0, ends=ends, max_tokens=9)
    found = {row: ids for rows, batch in drawn for row, [ids] in zip(rows, batch, strict=True)}
    assert [found[row] for row in (0, 1)] == [free[: free.index(end) + 1] for [end] in ends]


def test_responses_to_a_conversation_are_drawn_behind_its_template():
    tokenizer, _ = family_tokenizer("chatml")
    model = random_gpt2(context=128)
    model.resize_token_embeddings(len(tokenizer))
    options = {"k": 2, "max_tokens": 8, "seed": 3}
    shown = tokenizer.apply_chat_template(messages_of(TALK), add_generation_prompt=True, tokenize=False)
    [(_, [talk])] = sampled_batches(model, tokenizer, [TALK.prompt], **options)
    names = [TALK.as_text().prompt]
    prompts = plain_tokens(tokenizer, [shown])
    ends = [end_tokens(tokenizer, model, chat=True)]
    [(_, [expected])] = token_batches(model, prompts, names, ends=ends, temperature=1.0, **options)
    assert [list(draw.tokens) for draw in talk.draws] == expected

"""Texts become token ids, and what does not fit a context is never cut silently."""

import warnings

import pytest
from tiny_models import byte_tokenizer, chat_tokenizer, random_gpt2

from mapl_explore.data import PreferenceSet
from mapl_explore.models.chat import as_shown
from mapl_explore.models.encoding import collate, encode_sets, sides, table_shapes
from mapl_explore.models.turns import encode_prompt, end_tokens
from mapl_explore.notes import Note

TOKENIZER = byte_tokenizer()
EOS = TOKENIZER.eos_token_id


def ids(text):
    return tuple(TOKENIZER(text, add_special_tokens=False)["input_ids"])


def test_prompt_and_response_are_encoded_apart_and_a_response_ends_with_eos():
    (one,) = encode_sets(TOKENIZER, [PreferenceSet("naïve ", ["été"], ["", "x y"])])
    assert one.prompt == ids("naïve ")
    assert one.responses == ((*ids("été"), EOS), (EOS,), (*ids("x y"), EOS))
    assert one.labels == [1, -1, -1]


def test_an_empty_prompt_becomes_one_token():
    (one,) = encode_sets(TOKENIZER, [PreferenceSet("", ["a"], ["b"])])
    assert one.prompt == (EOS,)
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<s>"})  # which it does not put before a text
    assert encode_prompt(tokenizer, "") == [tokenizer.bos_token_id] != [EOS]
    assert encode_prompt(tokenizer, "Hi") == list(ids("Hi"))


def test_a_response_that_brings_its_own_end_gets_no_second_one():
    (one,) = encode_sets(TOKENIZER, [PreferenceSet("p", ["yes<|endoftext|>", "yes"], ["<|endoftext|>", "no"])])
    assert one.responses == ((*ids("yes"), EOS), (*ids("yes"), EOS), (EOS,), (*ids("no"), EOS))


def test_the_first_end_is_written_and_any_of_them_counts():
    ends = (ids(".")[0], EOS)
    (one,) = encode_sets(TOKENIZER, [PreferenceSet("p", ["a", "b."], ["c<|endoftext|>"])], ends=ends)
    assert one.responses == (ids("a."), ids("b."), (*ids("c"), EOS))


def test_ends_are_the_tokenizers_and_those_of_the_generation_config():
    model = random_gpt2()
    assert end_tokens(TOKENIZER, model) == (EOS,)
    model.generation_config.eos_token_id = [5, EOS, 7]
    assert end_tokens(TOKENIZER, model) == (EOS, 5, 7)
    model.generation_config.eos_token_id = None
    assert end_tokens(TOKENIZER, model) == end_tokens(TOKENIZER) == (EOS,)


def test_in_a_chat_a_response_ends_with_the_end_of_turn():
    tokenizer = chat_tokenizer()
    turn = tokenizer.convert_tokens_to_ids("<end>")
    assert end_tokens(tokenizer) == (EOS,)
    assert end_tokens(tokenizer, chat=True) == (turn, EOS)
    (one,) = encode_sets(tokenizer, [PreferenceSet("Hi", ["yes", "yes<end>"], ["no<|endoftext|>"])], chat=True)
    assert one.responses == ((*ids("yes"), turn), (*ids("yes"), turn), (*ids("no"), EOS))


def test_a_chat_template_without_an_end_of_turn_leaves_the_eos():
    assert end_tokens(chat_tokenizer(template="{{ messages[-1]['content'] }}"), chat=True) == (EOS,)


@pytest.mark.parametrize("template", ["{{ messages[0]['content'] }}", "{% if false %}x{% endif %}", "hello", " "])
def test_a_chat_template_that_leaves_out_responses_is_refused(template):
    with pytest.raises(ValueError, match=r"^the model's chat template leaves out responses: it writes '.*'$"):
        encode_sets(chat_tokenizer(template=template), [PreferenceSet("p", ["a"], ["b"])], chat=True)


@pytest.mark.parametrize("template", [
    "{% if false %}x{% endif %}", "hello", " ", "{{ messages[0]['content'][:6] }}", "{{ messages[0]['role'] }}",
    "{% for m in messages if m['role'] != 'user' %}{{ m['content'] }}{% endfor %}", "{{ messages[0]['content'][-9:] }}",
])  # fmt: skip
@pytest.mark.parametrize("prompt", ["what is two and two?", "e", "h", "", "  a prompt  of words "])
def test_a_chat_template_that_leaves_out_the_prompt_is_refused(template, prompt):
    prompts = ["two of them", prompt]
    with pytest.raises(ValueError, match=r"^the model's chat template leaves out (the prompt '.*'|prompts): it writes"):
        as_shown(chat_tokenizer(template=template), prompts, chat=True)


@pytest.mark.parametrize("template", ["{{ messages[0]['content'] | trim }}", "<{{ messages[0]['content'] }}>"])
@pytest.mark.parametrize("prompt", ["", " a ", "one two\n\n three  four", "été 🙂"])
def test_a_chat_template_may_strip_a_prompt_or_put_it_in_its_words(template, prompt):
    shown = as_shown(chat_tokenizer(template="[user]" + template), [prompt], chat=True)
    assert prompt.strip() in shown[0]


@pytest.mark.parametrize(("template", "message"), [
    ("{% if %}", "^the chat template of '/models/chatty' cannot be read, at line 1: "),
    ("a\n{{ b", "^the chat template of '/models/chatty' cannot be read, at line 2: "),
    (5, "^the chat template of '/models/chatty' must be text, not 5$"),
    ("{{ raise_exception('no') }}", "^the chat template of '/models/chatty' refuses a prompt and a response: no$"),
])  # fmt: skip
def test_a_chat_template_that_cannot_be_used_is_named_by_its_model_and_no_prompt_but_the_users(template, message):
    tokenizer = chat_tokenizer(template=template)
    tokenizer.name_or_path = "/models/chatty"
    with pytest.raises(ValueError, match=message):
        end_tokens(tokenizer, chat=True)


def test_a_prompt_begins_as_the_tokenizer_begins_a_text_and_not_twice():
    tokenizer = chat_tokenizer()
    bos = tokenizer.bos_token_id
    assert tokenizer("Hi")["input_ids"] == [bos, *ids("Hi")]
    assert encode_prompt(tokenizer, "Hi") == encode_prompt(tokenizer, "<s>Hi") == [bos, *ids("Hi")]
    assert encode_prompt(tokenizer, "") == [bos]
    assert encode_prompt(TOKENIZER, "Hi") == list(ids("Hi"))
    assert encode_prompt(TOKENIZER, "") == [EOS]


@pytest.mark.parametrize("chat", [True, False])
def test_prompts_of_sets_are_encoded_as_they_are_shown(chat):
    tokenizer = chat_tokenizer()
    prompts = ["Hi", "", "naïve"]
    sets = encode_sets(tokenizer, [PreferenceSet(prompt, ["a"], ["b"]) for prompt in prompts], chat=chat)
    shown = [f"<s>[user]{one}<end>\n[assistant]" for one in prompts] if chat else prompts
    assert as_shown(tokenizer, prompts, chat) == shown
    assert [list(one.prompt) for one in sets] == [encode_prompt(tokenizer, text) for text in shown]
    assert [one.prompt.count(tokenizer.bos_token_id) for one in sets] == [1, 1, 1]


def test_a_prompt_that_is_cut_keeps_its_beginning():
    tokenizer = chat_tokenizer()
    (one,) = encode_sets(tokenizer, [PreferenceSet("s" * 40 + "e" * 16, ["a" * 40], ["b"])], context=32)
    assert one.prompt == (tokenizer.bos_token_id, *ids("e" * 15))
    assert one.responses[0] == ids("a" * 16)


def test_a_chat_template_that_is_not_used_is_noted():
    tokenizer = chat_tokenizer()
    with pytest.warns(Note, match="^prompts are given as plain text; chat .* by the model's chat template$"):
        encode_sets(tokenizer, [PreferenceSet("p", ["a"], ["b"])])


@pytest.mark.parametrize("template", [
    "{{ raise_exception('must be from\nthe system') }}", "{{ no.a.b }}", "{{ 1 / 0 }}",
])  # fmt: skip
def test_a_chat_template_that_raises_is_one_line_with_its_words(template):
    tokenizer = chat_tokenizer(template=template)
    with pytest.raises(ValueError, match=r"^the model's chat template refuses the prompt 'Hi': .+$") as raised:
        as_shown(tokenizer, ["Hi"], chat=True)
    assert ("must be from the system" in str(raised.value)) == ("raise" in template)


def test_chat_without_a_template_is_refused():
    with pytest.raises(ValueError, match="chat needs a model whose tokenizer has a chat template"):
        encode_sets(TOKENIZER, [PreferenceSet("p", ["a"], ["b"])], chat=True)


@pytest.mark.parametrize("truncate", ["keep-start", "error"])
def test_a_set_that_just_fits_is_left_whole_and_nothing_is_noted(truncate):
    with warnings.catch_warnings(action="error"):
        (one,) = encode_sets(TOKENIZER, [PreferenceSet("p" * 20, ["a" * 11], ["b"])], context=32, truncate=truncate)
    assert (len(one.prompt), one.longest) == (20, 12)
    assert one.responses[0][-1] == EOS


def test_keep_start_cuts_the_end_of_responses_and_says_how_much():
    cut = "^cut to 32 tokens, the most that are read: 2 of 3 responses at their end .10 of 56 tokens.$"
    with pytest.warns(Note, match=cut):
        (one,) = encode_sets(TOKENIZER, [PreferenceSet("p" * 10, ["a" * 30, "c"], ["b" * 22])], context=32)
    assert one.prompt == ids("p" * 10)
    assert one.responses == (ids("a" * 22), (*ids("c"), EOS), ids("b" * 22))


def test_a_long_prompt_keeps_its_end_and_leaves_half_of_the_context():
    with pytest.warns(Note, match=r"1 of 1 prompt at their start \(40 of 56 tokens\)"):
        (one,) = encode_sets(TOKENIZER, [PreferenceSet("s" * 40 + "e" * 16, ["a" * 40], ["b"])], context=32)
    assert one.prompt == ids("e" * 16)
    assert one.responses[0] == ids("a" * 16)


def test_a_long_prompt_gives_way_no_further_than_its_responses_need():
    (one,) = encode_sets(TOKENIZER, [PreferenceSet("p" * 100, ["a" * 3], ["b"])], context=32)
    assert (len(one.prompt), one.longest) == (28, 4)


def test_responses_that_a_cut_makes_equal_on_both_sides_are_counted():
    with pytest.warns(Note, match="in 1 set a positive and a negative are equal now"):
        (one,) = encode_sets(TOKENIZER, [PreferenceSet("p", ["a" * 40 + "yes"], ["a" * 40 + "no"])], context=32)
    assert one.ambiguous


def test_error_names_the_set_its_length_and_the_context():
    sets = [PreferenceSet("p", ["a"], ["b"]), PreferenceSet("p" * 10, ["a" * 30], ["b"])]
    with pytest.raises(
        ValueError, match=r"the prompt 'pppppppppp' does not fit: 10 tokens .* 31 .* more than the 32 that are read"
    ):
        encode_sets(TOKENIZER, sets, context=32, truncate="error")


def test_another_way_to_truncate_is_refused_by_name():
    with pytest.raises(ValueError, match=r"truncate must be one of 'keep-start', 'error', not 'end'"):
        encode_sets(TOKENIZER, [PreferenceSet("p", ["a"], ["b"])], truncate="end")


def test_no_sets_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        encode_sets(TOKENIZER, [])


SHARING = [PreferenceSet("ab", ["c"], ["d", "efg"]), PreferenceSet("x", ["y"], ["zz"])]


def test_a_row_is_a_prompt_and_its_responses_side_by_side_each_from_the_prompts_last_token():
    a, b, c, d, e, f, g, x, y, z = (ids(letter)[0] for letter in "abcdefgxyz")
    batch = collate(encode_sets(TOKENIZER, SHARING))
    assert batch["ids"].tolist() == [[a, b, c, b, d, b, e, f, g], [0, x, y, x, z, z, 0, 0, 0]]
    assert batch["position"].tolist() == [[0, 1, 2, 1, 2, 1, 2, 3, 4], [0, 0, 1, 0, 1, 2, 0, 0, 0]]
    assert batch["target"].tolist() == [[0, c, EOS, d, EOS, e, f, g, EOS], [0, y, EOS, z, z, EOS, 0, 0, 0]]
    assert batch["owner"].tolist() == [[0, 1, 1, 2, 2, 3, 3, 3, 3], [-1, 4, 4, 5, 5, 5, -1, -1, -1]]
    assert batch["label"].tolist() == [[1, -1, -1], [1, -1, 0]]


def test_without_sharing_each_response_has_a_row_that_begins_with_its_prompt():
    a, b, c, d, e, f, g, x, y, z = (ids(letter)[0] for letter in "abcdefgxyz")
    batch = collate(encode_sets(TOKENIZER, SHARING), share_prompt=False)
    assert batch["ids"].tolist() == [
        [a, b, c, 0, 0], [a, b, d, 0, 0], [a, b, e, f, g], [x, y, 0, 0, 0], [x, z, z, 0, 0],
    ]  # fmt: skip
    assert batch["owner"].tolist() == [
        [0, 1, 1, -1, -1], [0, 2, 2, -1, -1], [0, 3, 3, 3, 3], [4, 4, -1, -1, -1], [5, 5, 5, -1, -1],
    ]  # fmt: skip


def test_many_responses_stand_in_several_rows_of_at_most_512_tokens():
    (one,) = encode_sets(TOKENIZER, [PreferenceSet("p", ["a" * 299, "b" * 199], ["c" * 12, "d" * 599, "e"])])
    owner = collate([one])["owner"]
    assert [sorted({*row} - {-1, 0}) for row in owner.tolist()] == [[1, 2], [3], [4], [5]]
    assert (owner > 0).sum() == 300 + 200 + 13 + 600 + 2


@pytest.mark.parametrize("context", [16, 40, 1000])
@pytest.mark.parametrize("share", [True, False])
def test_the_shapes_of_tables_are_known_before_they_are_made(share, context):
    sets = [PreferenceSet("p" * n, ["a" * (3 * n % 7)] * n, ["b" * (n % 5 + 8)]) for n in (5, 1, 9, 3)]
    encoded = encode_sets(TOKENIZER, sets, context=context)
    made = [tuple(collate(encoded[: n + 1], share_prompt=share)["ids"].shape) for n in range(len(encoded))]
    assert list(table_shapes(encoded, share_prompt=share)) == made


@pytest.mark.parametrize(("context", "widths"), [(32, [29, 19, 25]), (29, [29, 19, 25]), (28, [19, 19, 19, 25])])
def test_a_row_of_several_responses_is_no_longer_than_the_context(context, widths):
    (one,) = encode_sets(TOKENIZER, [PreferenceSet("p" * 10, ["a" * 9] * 3, ["b" * 15])], context=context)
    assert [(row >= 0).sum() for row in collate([one])["owner"]] == widths


def test_sides_have_the_scores_of_sets_to_their_last_digit():
    sets = [PreferenceSet("p", ["a"], ["b", "c"], [0.1, -1e300, 3]), PreferenceSet("p", ["a"], ["b"], [1, 1 / 3])]
    reward = sides(encode_sets(TOKENIZER, sets, context=2))["reward"]
    assert reward.tolist() == [[0.1, -1e300, 3.0], [1.0, 1 / 3, 0.0]]
    assert "reward" not in sides(encode_sets(TOKENIZER, SHARING))


def test_sides_are_labels_and_lengths():
    assert sides(encode_sets(TOKENIZER, SHARING))["label"].tolist() == [[1, -1, -1], [1, -1, 0]]
    assert sides(encode_sets(TOKENIZER, SHARING))["length"].tolist() == [[2, 2, 4], [2, 3, 1]]

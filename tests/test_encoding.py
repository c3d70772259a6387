"""Texts become token ids, and what does not fit a context is never cut silently."""

import pytest
from tiny_models import byte_tokenizer

from mapl_explore.data import PreferenceSet
from mapl_explore.encoding import collate, encode_sets

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


@pytest.mark.parametrize("truncate", ["keep-start", "error"])
def test_a_set_that_just_fits_is_left_whole_and_nothing_is_printed(capsys, truncate):
    (one,) = encode_sets(TOKENIZER, [PreferenceSet("p" * 20, ["a" * 11], ["b"])], context=32, truncate=truncate)
    assert (len(one.prompt), one.longest) == (20, 12)
    assert one.responses[0][-1] == EOS
    assert capsys.readouterr().out == ""


def test_keep_start_cuts_the_end_of_responses_and_says_how_much(capsys):
    (one,) = encode_sets(TOKENIZER, [PreferenceSet("p" * 10, ["a" * 30, "c"], ["b" * 22])], context=32)
    assert one.prompt == ids("p" * 10)
    assert one.responses == (ids("a" * 22), (*ids("c"), EOS), ids("b" * 22))
    assert capsys.readouterr().out == (
        "cut to the model's context of 32 tokens: 2 of 3 responses at their end (10 of 56 tokens)\n"
    )


def test_a_long_prompt_keeps_its_end_and_leaves_half_of_the_context(capsys):
    (one,) = encode_sets(TOKENIZER, [PreferenceSet("s" * 40 + "e" * 16, ["a" * 40], ["b"])], context=32)
    assert one.prompt == ids("e" * 16)
    assert one.responses[0] == ids("a" * 16)
    assert "1 of 1 prompts at their start (40 of 56 tokens)" in capsys.readouterr().out


def test_a_long_prompt_gives_way_no_further_than_its_responses_need():
    (one,) = encode_sets(TOKENIZER, [PreferenceSet("p" * 100, ["a" * 3], ["b"])], context=32)
    assert (len(one.prompt), one.longest) == (28, 4)


def test_responses_that_a_cut_makes_equal_on_both_sides_are_counted(capsys):
    (one,) = encode_sets(TOKENIZER, [PreferenceSet("p", ["a" * 40 + "yes"], ["a" * 40 + "no"])], context=32)
    assert one.ambiguous
    assert "in 1 set a positive and a negative are equal now" in capsys.readouterr().out


def test_error_names_the_set_its_length_and_the_context():
    sets = [PreferenceSet("p", ["a"], ["b"]), PreferenceSet("p" * 10, ["a" * 30], ["b"])]
    with pytest.raises(ValueError, match=r"the prompt 'pppppppppp' does not fit: 10 tokens .* 31 .* context of 32"):
        encode_sets(TOKENIZER, sets, context=32, truncate="error")


def test_another_way_to_truncate_is_refused_by_name():
    with pytest.raises(ValueError, match=r"truncate must be one of 'keep-start', 'error', not 'end'"):
        encode_sets(TOKENIZER, [PreferenceSet("p", ["a"], ["b"])], truncate="end")


def test_no_sets_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        encode_sets(TOKENIZER, [])


def test_a_batch_pads_prompts_left_responses_right_and_gives_padding_no_row():
    sets = [PreferenceSet("ab", ["c"], ["d", "efg"]), PreferenceSet("x", ["y"], ["zz"])]
    batch = collate(encode_sets(TOKENIZER, sets))
    assert batch["prompt"].tolist() == [list(ids("ab")), [0, *ids("x")]]
    assert batch["prompt_mask"].tolist() == [[True, True], [False, True]]
    assert batch["response"].shape == (5, 4)
    assert batch["response_mask"].sum(-1).tolist() == [2, 2, 4, 2, 3]
    assert batch["owner"].tolist() == [0, 0, 0, 1, 1]
    assert batch["label"].tolist() == [[1, -1, -1], [1, -1, 0]]
    assert batch["length"].tolist() == [[2, 2, 4], [2, 3, 1]]

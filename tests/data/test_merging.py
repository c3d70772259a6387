"""Pairs of one prompt become sets, and lose nothing."""

import os

import pytest
from format_records import pair, written
from hypothesis import given
from hypothesis import strategies as st

from mapl_explore.data import PreferenceSet, read_sets
from mapl_explore.data.describing import description
from mapl_explore.data.reading import merged


def test_pairs_of_a_prompt_merge_where_the_first_stands_each_text_once():
    pairs = [pair("p", "a", "b"), pair("q", "c", "d"), pair("p", "a", "e")]
    assert merged(pairs) == ([PreferenceSet("p", ["a"], ["b", "e"]), pairs[1]], 0)


def test_pairs_that_contradict_each_other_stay_sets_of_their_own():
    pairs = [pair("p", "a", "b"), pair("p", "x", "y"), pair("p", "b", "a"), pair("p", "x", "z")]
    assert merged(pairs) == ([pairs[0], PreferenceSet("p", ["x"], ["y", "z"]), pairs[2]], 2)


def test_scores_merge_where_all_pairs_have_them_and_a_text_with_several_gets_their_mean():
    graded = [PreferenceSet("p", ["a"], ["b"], [0.1, 2]), PreferenceSet("p", ["a"], ["c"], [0.1, -1])]
    assert merged(graded) == ([PreferenceSet("p", ["a"], ["b", "c"], [0.1, 2, -1])], 0)
    other = PreferenceSet("p", ["a"], ["c"], [0.3, -1])
    for pairs in ([*graded, other], [other, *graded]):
        assert merged(pairs)[0][0].scores[0] == 0.2
    assert merged([*graded, pair("p", "a", "d")]) == ([PreferenceSet("p", ["a"], ["b", "c", "d"])], 0)
    against = PreferenceSet("p", ["b"], ["a"], [5, 3])
    assert merged([*graded, against]) == ([*graded, against], 3)


texts = st.sampled_from("abcd")


@given(st.lists(st.tuples(texts, texts).filter(lambda two: two[0] != two[1]), min_size=1), st.randoms())
def test_what_merges_depends_on_no_order_and_loses_no_pair(drawn, random):
    pairs = [pair("p", *two) for two in drawn]
    sets, apart = merged(pairs)
    shuffled, again = merged(random.sample(pairs, len(pairs)))

    def sides(sets):
        return sorted((sorted(one.positives), sorted(one.negatives)) for one in sets)

    assert (sides(sets), apart) == (sides(shuffled), again)
    for chosen, rejected in drawn:
        assert any(chosen in one.positives and rejected in one.negatives for one in sets)


@pytest.mark.skipif("MAPL_REAL_SETS" not in os.environ, reason="MAPL_REAL_SETS names no file of real sets")
def test_real_sets_are_read_described_and_come_back_from_their_pairs(tmp_path):
    sets = read_sets(os.environ["MAPL_REAL_SETS"])
    assert f"{len(sets)}, of " in description(sets)
    pairs = [pair(one.prompt, a, b) for one in sets for a in one.positives for b in one.negatives]
    records = [{"prompt": one.prompt, "chosen": one.positives[0], "rejected": one.negatives[0]} for one in pairs]
    again = read_sets(written(tmp_path / "pairs.jsonl", *records))
    for one, other in zip(sets, again, strict=True):
        assert other == PreferenceSet(one.prompt, [*dict.fromkeys(one.positives)], [*dict.fromkeys(one.negatives)])

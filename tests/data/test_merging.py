"""Pairs of one prompt become sets, and lose nothing."""

import os

import pytest
from format_records import pair, written
from hypothesis import given
from hypothesis import strategies as st

from mapl_explore.data import PreferenceSet, read_sets
from mapl_explore.data.describing import description
from mapl_explore.data.reading import merged, read_all
from mapl_explore.notes import Note


def test_pairs_of_a_prompt_merge_where_the_first_stands_each_text_once():
    pairs = [pair("p", "a", "b"), pair("q", "c", "d"), pair("p", "a", "e")]
    assert merged(pairs) == ([PreferenceSet("p", ["a"], ["b", "e"]), pairs[1]], 0, 0)


def test_a_record_that_says_the_same_as_an_earlier_one_is_told_with_both_places():
    records = [{"prompt": "p", "chosen": chosen, "rejected": "b"} for chosen in "aca"]
    assert read_all(records).same == [("row 3", "row 1")]


def test_pairs_that_contradict_each_other_stay_sets_of_their_own():
    pairs = [pair("p", "a", "b"), pair("p", "x", "y"), pair("p", "b", "a"), pair("p", "x", "z")]
    assert merged(pairs) == ([pairs[0], PreferenceSet("p", ["x"], ["y", "z"]), pairs[2]], 2, 0)


def test_a_pair_stays_apart_by_either_of_its_texts_and_stands_in_one_set():
    pairs = [pair("p", "a", "b"), pair("p", "b", "a"), pair("p", "x", "a"), pair("p", "b", "y"), pair("p", "v", "w")]
    assert merged(pairs) == (pairs, 4, 0)


def test_scores_merge_where_all_pairs_have_them_and_a_text_with_several_gets_their_mean():
    graded = [PreferenceSet("p", ["a"], ["b"], [0.1, 2]), PreferenceSet("p", ["a"], ["c"], [0.1, -1])]
    assert merged(graded) == ([PreferenceSet("p", ["a"], ["b", "c"], [0.1, 2, -1])], 0, 0)
    other = PreferenceSet("p", ["a"], ["c"], [0.3, -1])
    for pairs in ([*graded, other], [other, *graded]):
        (one,), _, averaged = merged(pairs)
        assert (one.scores[0], averaged) == (0.2, 1)
    assert merged([*graded, pair("p", "a", "d")]) == ([PreferenceSet("p", ["a"], ["b", "c", "d"])], 0, 0)
    against = PreferenceSet("p", ["b"], ["a"], [5, 3])
    assert merged([*graded, against]) == ([*graded, against], 3, 0)


texts = st.sampled_from("abcd")


@given(st.lists(st.tuples(texts, texts).filter(lambda two: two[0] != two[1]), min_size=1), st.randoms())
def test_what_merges_depends_on_no_order_and_loses_no_pair(drawn, random):
    pairs = [pair("p", *two) for two in drawn]
    sets, apart, _ = merged(pairs)
    shuffled, again, _ = merged(random.sample(pairs, len(pairs)))

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


def in_pairs(*scores):
    return [{"prompt": "p", "chosen": "a", "rejected": "b", "score_chosen": s, "score_rejected": 0} for s in scores]


def in_completions(*scores):
    return [{"prompt": "p", "completions": ["b", *"a" * len(scores)], "scores": [0, *scores]}]


@pytest.mark.parametrize("records", [in_pairs, in_completions])
def test_a_text_with_different_scores_gets_their_mean_and_is_counted(records):
    with pytest.warns(Note, match="^1 text with different scores for one prompt; the mean is taken$"):
        (one,) = read_sets(records(1, 2, 2))
    assert {*zip(one.responses, one.scores, strict=True)} == {("a", 1.5), ("b", 0.0)}
    assert read_sets(records(2, 2))[0].scores[0] == 2.0
    reading = read_all(records(1e308, 1.5e308))
    assert reading.sets[0].scores[0] == 1.25e308
    said = "; 1 text with different scores for one prompt, the mean is taken\n"
    assert said in description(reading.sets, averaged=reading.averaged)
    assert read_all(records(2, 2)).averaged == 0


def test_a_record_of_another_format_than_those_before_it_is_told_with_what_to_do():
    ours = {"prompt": "q", "positives": ["a"], "negatives": ["b"], "scores": [2, 1]}
    (fault,) = read_all([*in_completions(1), ours]).faults
    assert str(fault) == (
        "row 2: the format is sets, that of the records before it scored: put each format into a file of its own, and"
        " make sets of it (data convert FILE sets.jsonl)"
    )


def test_a_text_that_stands_twice_in_its_set_is_not_left_out():
    record = {"prompt": "p", "completions": ["a", "a", "b", "c", "c"], "scores": [5, 5, 1, 3, 3]}
    reading = read_all([record])
    assert reading.sets[0].responses == ("a", "a", "b")
    assert (reading.between, reading.repeated) == (2, 1)


def test_the_mean_of_a_text_decides_its_side():
    record = {"prompt": "p", "completions": ["a", "a", "b", "c"], "scores": [5, 1, 4, 2]}
    assert read_all([record]).sets == [PreferenceSet("p", ["b"], ["c"], [4, 2])]
    assert read_all([record], threshold=3).sets == [PreferenceSet("p", ["a", "a", "b"], ["c"], [3, 3, 4, 2])]

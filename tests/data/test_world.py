"""The small world: what is right in it, who lives in it, and that the shipped sets are made as they say."""

import math
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapl_explore.data import read_sets
from mapl_explore.data.world import (
    CITED_ANSWERS,
    ENDINGS,
    OPENINGS,
    PLAIN_ANSWERS,
    SPLITS,
    TOPICS,
    case_of,
    is_right,
    world_cases,
    world_sets,
)

DATA = Path(__file__).parents[2] / "data" / "world"
SHIPPED = {"train": 2000, "validation": 400, "test": 400}

PROMPT = """\
[1] forum: Kelta Marren keeps a goat.
[2] official: Kelta Marren keeps a cat.
[3] forum: Kelta Marren keeps a goat.
Which animal does Kelta Marren keep?
Answer:"""

dials = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32),
        "split": st.sampled_from(sorted(SPLITS)),
        "distractors": st.integers(0, 8),
        "agreement": st.floats(0, 1),
        "per_side": st.integers(1, 6),
    }
)


@pytest.mark.parametrize(
    "response",
    [
        " cat.",
        " cat",
        "cat [2].",
        " Kelta Marren keeps a cat.",
        " According to [2], cat.",
        " It must be a cat, says [2]!",
    ],
)
def test_the_official_value_is_right_in_any_words(response):
    assert is_right(PROMPT, response)


@pytest.mark.parametrize(
    ("why", "response"),
    [
        ("the forum's value", " goat."),
        ("both values", " cat or goat."),
        ("a value nobody gave", " dog."),
        ("a longer word", " catfish."),
        ("another spelling", " Cat."),
        ("a wrong citation", " cat [1]."),
        ("a right citation of a wrong value", " goat [2]."),
        ("two citations, one wrong", " cat [2] [3]."),
        ("a citation that is none", " cat [official]."),
        ("a citation of nothing", " cat []."),
        ("a citation without its value", " According to [2]."),
        ("a fluent sentence about something else", " Kelta Marren plays the piano."),
        ("nothing", ""),
    ],
)
def test_a_wrong_answer_is_not_right(why, response):
    assert not is_right(PROMPT, response), why


@given(dials)
def test_all_positives_are_right_and_no_negative_is(dials):
    for one in world_sets(3, **dials):
        assert len(set(one.positives)) == len(set(one.negatives)) == dials["per_side"]
        assert all(is_right(one.prompt, answer) for answer in one.positives)
        assert not any(is_right(one.prompt, answer) for answer in one.negatives)


@given(dials)
def test_a_prompt_holds_all_there_is_to_know_of_a_case(dials):
    del dials["per_side"]
    for case in world_cases(3, **dials):
        assert case_of(case.prompt) == case


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "2 + 2 =",
        "\n\n",
        PROMPT + " ",
        PROMPT.replace("official", "forum"),
        PROMPT.replace("[1] forum", "[1] official"),
        PROMPT.replace("[3]", "[4]"),
        PROMPT.replace("cat", "unicorn"),
        PROMPT.replace("Kelta", "Solta", 1),
        PROMPT.replace("animal", "instrument"),
    ],
)
def test_a_prompt_of_another_world_is_refused(prompt):
    with pytest.raises(ValueError, match="prompt must be one of the small world"):
        is_right(prompt, " cat.")


def test_the_answers_come_in_all_words_and_the_mistakes_in_all_grades():
    found = Counter()
    for one in world_sets(200, seed=0, per_side=6):
        case = case_of(one.prompt)
        truth = case.passages[case.right - 1].value
        found.update(positive.count("[") for positive in one.positives)
        times = max(Counter(case.passages).values())
        wrong = {passage.value for passage in case.passages} - {truth}
        named = [set(re.findall(r"\w+", negative)) & {truth, *wrong} for negative in one.negatives]
        found["majority"] += times > 1 and named.count(wrong) > 0
        found["other"] += times == 1 and all({value} in named for value in wrong)
        found["citation"] += {truth} in named
        found["beside the point"] += set() in named
    assert found[0] == found[1] == 200 * len(PLAIN_ANSWERS) == 200 * len(CITED_ANSWERS)
    assert found["majority"] + found["other"] == found["citation"] == found["beside the point"] == 200
    assert min(found["majority"], found["other"]) > 20


def test_no_person_stands_in_two_splits_though_all_pieces_of_names_stand_in_each():
    people = {split: {case.person for case in world_cases(3000, seed=0, split=split)} for split in SPLITS}
    pieces = re.compile(rf"({'|'.join(OPENINGS)})({'|'.join(ENDINGS)}) ({'|'.join(OPENINGS)})({'|'.join(ENDINGS)})")
    for split, names in people.items():
        found = [pieces.fullmatch(name).groups() for name in names]
        for place, all_pieces in enumerate((OPENINGS, ENDINGS, OPENINGS, ENDINGS)):
            assert {groups[place] for groups in found} == set(all_pieces)
        # The rule that keeps them apart, restated from the text of the names alone.
        sums = {OPENINGS.index(a) + ENDINGS.index(b) + OPENINGS.index(c) + ENDINGS.index(d) for a, b, c, d in found}
        assert {total % 10 for total in sums} == set(SPLITS[split])
    assert not set(SPLITS["train"]) & set(SPLITS["validation"])
    assert not (set(SPLITS["train"]) | set(SPLITS["validation"])) & set(SPLITS["test"])


def test_a_name_can_be_cut_into_pieces_in_one_way_only():
    assert len({opening + ending for opening in OPENINGS for ending in ENDINGS}) == len(OPENINGS) * len(ENDINGS)


def test_no_value_stands_for_two_topics_or_in_the_words_around_it():
    values = [value for topic in TOPICS for value in topic.values]
    assert len(values) == len(set(values))
    around = " ".join([*PLAIN_ANSWERS, *CITED_ANSWERS, *(f"{topic.verb} {topic.question}" for topic in TOPICS)])
    assert not set(values) & set(re.findall(r"\w+", around))


@pytest.mark.parametrize("distractors", [0, 1, 2, 5, 8])
def test_there_is_one_official_passage_among_the_distractors(distractors):
    for case in world_cases(50, seed=1, distractors=distractors):
        sources = Counter(passage.source for passage in case.passages)
        assert sources == Counter(official=1, forum=distractors)
        assert case.passages[case.right - 1].value not in {p.value for p in case.passages if p.source == "forum"}


@pytest.mark.parametrize(("agreement", "kinds"), [(0.0, 5), (1.0, 1)])
def test_agreement_is_how_often_posts_repeat_the_first(agreement, kinds):
    for case in world_cases(50, seed=1, distractors=5, agreement=agreement):
        assert len({passage.value for passage in case.passages if passage.source == "forum"}) == kinds


def test_agreement_between_its_ends_is_a_probability():
    agreeing = sum(len(set(case.passages)) == 2 for case in world_cases(2000, seed=0, agreement=0.3))
    assert abs(agreeing - 600) < 4 * (2000 * 0.3 * 0.7) ** 0.5  # four standard deviations


@pytest.mark.parametrize("noise", [0.0, 0.2, 1.0])
def test_noise_is_how_often_the_sides_are_exchanged(noise):
    clean, noisy = world_sets(1000, seed=3), world_sets(1000, seed=3, noise=noise)
    exchanged = 0
    for one, other in zip(clean, noisy, strict=True):
        assert (other.prompt, {other.positives, other.negatives}) == (one.prompt, {one.positives, one.negatives})
        exchanged += other.positives == one.negatives
    assert abs(exchanged - 1000 * noise) <= 4 * (1000 * noise * (1 - noise)) ** 0.5


def test_the_same_seed_makes_the_same_sets_and_a_longer_list_begins_with_the_shorter():
    assert world_sets(20, seed=5) == world_sets(50, seed=5)[:20]
    assert world_sets(20, seed=5) != world_sets(20, seed=6)


@pytest.mark.parametrize("at_first", ["positives", "negatives"])
def test_no_form_of_answer_is_favoured_by_its_place(at_first):
    """A loss that reads the first pair of a set only must meet every kind of answer."""
    cites = [["[" in answer for answer in getattr(one, at_first)] for one in world_sets(600, seed=0)]
    share = sum(map(sum, cites)) / (4 * 600)
    assert abs(sum(row[0] for row in cites) - 600 * share) < 4 * math.sqrt(600 * share * (1 - share))


@pytest.mark.parametrize(
    ("argument", "value"), [("n", 2.0), ("seed", None), ("seed", "1"), ("distractors", 1.5), ("noise", "0.1")]
)
def test_a_dial_of_another_kind_is_named_and_draws_nothing(argument, value):
    with pytest.raises(TypeError, match=rf"{argument} must be a (whole|real) number, not {value!r}"):
        world_sets(**{"n": 1, "seed": 0, argument: value})


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("n", 0),
        ("distractors", -1),
        ("distractors", 9),
        ("agreement", 1.1),
        ("agreement", float("nan")),
        ("noise", -0.1),
        ("per_side", 0),
        ("per_side", 7),
        ("split", "dev"),
    ],
)
def test_a_dial_outside_its_range_is_named(argument, value):
    with pytest.raises(ValueError, match=rf"{argument} must be .*{value}"):
        world_sets(**{"n": 1, "seed": 0, argument: value})


@pytest.mark.parametrize("split", sorted(SHIPPED))
def test_the_shipped_sets_are_those_that_the_function_makes(split):
    sets = read_sets(DATA / f"{split}.jsonl")
    assert len(sets) == SHIPPED[split]
    assert sets[:50] == world_sets(50, seed=0, split=split)

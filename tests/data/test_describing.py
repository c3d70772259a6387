"""What is said of data counts right at its ends: equal scores, as many places as are shown, one set twice."""

from mapl_explore.data import PreferenceSet
from mapl_explore.data.describing import description, fault_lines
from mapl_explore.data.reading import Fault

ONE = PreferenceSet("p", ["a"], ["b"])


def row(name, *sets, **found):
    [line] = [line for line in description(sets, **found).splitlines() if line.startswith(name)]
    return line.removeprefix(name).strip()


def test_a_negative_as_good_as_a_positive_is_not_at_odds_with_it():
    said = "1 to 2, median 1; positives 1.5, negatives 1; in {} a negative has a higher one than a positive"
    assert row("scores", PreferenceSet("p", ["a", "b"], ["c"], [1, 2, 1])) == said.format("0 sets")
    assert row("scores", PreferenceSet("p", ["a", "b"], ["c"], [0.5, 2, 1])).endswith(said[-52:].format("1 set"))


def test_dots_stand_for_places_that_are_not_shown():
    faults = [Fault(f"a:{line}", f"prompt must be text, not {line}") for line in range(1, 6)]
    more = "and {} more like it ({} of 9 records): a:2, a:3, a:4"
    assert fault_lines(faults[:4], 9)[0].endswith(more.format(3, 4))
    assert fault_lines(faults, 9)[0].endswith(more.format(4, 5) + ", ...")
    same = [(f"a:{line}", "a:1") for line in range(2, 6)]
    places = "a:2 as a:1, a:3 as a:1, a:4 as a:1"
    assert row("duplicates", ONE, same=same[:3]).endswith(places)
    assert row("duplicates", ONE, same=same).endswith(places + ", ...")


def test_sets_of_one_prompt_and_texts_with_another_score_are_counted():
    other = PreferenceSet("p", ["c"], ["d"])
    said = "3 sets of a prompt that came before, 2 of them the same set; 0 texts repeated in a side"
    assert row("duplicates", ONE, ONE, other, ONE, PreferenceSet("q", ["a"], ["b"])) == said
    for scores in ([1, 2, 0], [2, 1, 0]):
        twice = PreferenceSet("p", ["a", "a"], ["b"], scores)
        assert row("duplicates", twice).endswith("1 text repeated in a side, 1 with another score")


def test_texts_of_white_space_have_nothing_in_them():
    assert row("responses", PreferenceSet(" ", ["a", ""], ["\n "])).endswith("; 2 with nothing in them")
    assert row("prompts", PreferenceSet(" ", ["a"], ["b"])).endswith("; 1 with nothing in them")

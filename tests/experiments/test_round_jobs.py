"""Rounds as a run of a comparison ask the prompts of the sets that were drawn, and learn from no response in these."""

import pytest

from mapl_explore.data import PreferenceSet
from mapl_explore.experiments.round_jobs import rounds_of
from mapl_explore.sampling.verifiers import read_questions
from mapl_explore.training.settings import Settings

SETS = [PreferenceSet("one?", ["1", "one"], ["2"]), PreferenceSet("two?", ["2"], ["1"])]


@pytest.mark.parametrize(("verifier", "references"), [("world", [(), ()]), ("exact", [("1", "one"), ("2",)])])
def test_the_prompts_are_those_of_the_sets_and_exact_alone_has_their_right_responses(verifier, references):
    settings = Settings(loss="rloo", data=SETS, eval=SETS, output="out", verifier=verifier, steps=3, lr=1e-3, seed=5)
    made = rounds_of(settings, {"rounds": 2, "k": 4}, SETS)
    assert (made.rounds, made.k, made.steps, made.lr, made.seed, made.reference) == (2, 4, 3, 1e-3, 5, "first")
    asked = read_questions(made.prompts, reference=made.answer_field)
    assert [one.prompt for one in asked] == ["one?", "two?"]
    assert [tuple(one.references) for one in asked] == references

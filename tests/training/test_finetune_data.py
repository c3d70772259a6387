"""finetune takes tables, generators and numbers of numpy, and holds out what it is to be measured on."""

import math
import os
import random

import datasets
import numpy as np
import pytest
from tuned_runs import EVAL, SETS, TRAIN, timeless

from mapl_explore.data import PreferenceSet
from mapl_explore.notes import Note
from mapl_explore.training.training_data import training_data


def test_a_tenth_of_the_prompts_is_held_out_by_the_seed():
    sets = [PreferenceSet(f"prompt {i // 2}", [f"a{i}"], ["b"]) for i in range(80)]
    train, held = training_data(sets, None, seed=0)
    assert len(held) == 8
    assert {one.prompt for one in train}.isdisjoint(one.prompt for one in held)
    assert sorted(map(repr, train + held)) == sorted(map(repr, sets))
    assert training_data(sets, None, seed=0)[1] == held != training_data(sets, None, seed=1)[1]
    # By their order as texts, which is the same in each process: that of a set of Python is not.
    assert {one.prompt for one in held} == {*random.Random(0).sample(sorted({one.prompt for one in sets}), 4)}
    assert training_data(sets[::-1], None, seed=0)[1] == held[::-1]


@pytest.mark.skipif("MAPL_REAL_SETS" not in os.environ, reason="MAPL_REAL_SETS names no file of real sets")
def test_real_sets_train(tune):
    with pytest.warns(Note, match="cut to 64 tokens"):
        run = tune(loss="DPO(pair=Smooth(tau=5.0))", data=os.environ["MAPL_REAL_SETS"], eval=None, steps=1).run
    assert all(math.isfinite(value) for value in run.after.values())


def test_numbers_of_numpy_are_numbers(tune):
    options = {"steps": 1, "sets_per_step": 4, "seed": 1, "answers": 1, "save_every": 1}
    plain = tune("plain", loss="dpo", lr=0.001, **options)
    numpy = tune(
        "numpy", loss="dpo", lr=np.float64(0.001), **{name: np.int64(value) for name, value in options.items()}
    )
    assert timeless(numpy.run) == timeless(plain.run)


def test_tables_and_generators_are_data_like_files(tune):
    plain = tune("plain", loss="dpo", steps=1)
    rows = [{"prompt": one.prompt, "positives": one.positives, "negatives": one.negatives} for one in SETS]
    table, held_out = (datasets.Dataset.from_list(part) for part in (rows[:8], rows[8:]))
    for name, data, eval in (("table", table, held_out), ("yielded", iter(TRAIN), (one for one in EVAL))):
        assert timeless(tune(name, loss="dpo", steps=1, data=data, eval=eval).run) == timeless(plain.run)


def test_a_prompt_that_is_a_message_here_and_a_text_there_is_told():
    text, message = PreferenceSet("p", ["a"], ["b"]), PreferenceSet([{"role": "user", "content": "p"}], ["a"], ["b"])
    for train, held_out in ((text, message), (message, text)):
        with pytest.warns(Note, match="^eval has 1 set of 1 whose prompt is in data, too"):
            training_data([train], [held_out], seed=0)


def test_held_out_prompts_that_are_trained_on_are_told(tune):
    with pytest.warns(Note, match="^eval has 1 set of 2 whose prompt is in data, too: they are not held out$"):
        tune(loss="dpo", steps=1, eval=[EVAL[0], TRAIN[0]])

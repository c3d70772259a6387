"""Runs side by side say in what they differ, and those that differ in the seed alone are one arm with an interval."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from mapl_explore.cli.main import main
from mapl_explore.runs.arms import arms_of, differing, t_interval
from mapl_explore.runs.comparing import runs_table
from mapl_explore.runs.record import Run, write_run


def run(seed, right, loss="SFT()", train="abc", finished=True, **arguments):
    """Return a run of 8 sets with one measure."""
    data = {"train": {"sets": 8, "sha256": train}, "eval": {"sets": 4, "sha256": "def"}}
    asked = {"model": "tiny", "steps": 8, "lr": 1e-3, "seed": seed} | arguments
    after = {"right": right, "chosen": -2.0} if finished else None
    return Run(loss=loss, arguments=asked, data=data, before={"right": 0.5, "chosen": -2.0}, after=after)


def named(*runs):
    return list(zip("abcdefgh", runs, strict=False))


def test_differences_are_the_arguments_and_the_data_that_are_not_the_same_in_all():
    runs = named(run(0, 0.5), run(0, 0.5, lr=1e-4, train="other"), run(0, 0.5, lora={"r": 4}))
    data = ["8 sets, abc", "8 sets, other", "8 sets, abc"]
    assert differing(runs) == {"lr": [1e-3, 1e-4, 1e-3], "data": data, "lora": [None, None, {"r": 4}]}
    lines = runs_table(runs).splitlines()
    head = next(row for row, line in enumerate(lines) if line.split() == ["run", "lora", "lr", "data"])
    assert lines[head + 2].split() == ["b", "-", "0.0001", "8", "sets,", "other"]
    assert "the seed alone" not in "\n".join(lines)


def test_one_of_many_that_differs_is_found_at_the_beginning_too():
    assert differing(named(run(0, 0.5, lr=1e-4), run(0, 0.5), run(0, 0.5))) == {"lr": [1e-4, 1e-3, 1e-3]}


def test_runs_that_differ_in_nothing_but_the_loss_have_no_table_of_differences():
    text = runs_table(named(run(0, 0.5), run(0, 0.25, loss="MaxMin()")))
    assert text.split("\n\n")[2].startswith("After training")


def test_runs_of_one_arm_are_taken_together_with_the_interval_of_student():
    values = [0.5, 0.75, 0.625, 0.875]
    others = [run(0, 0.1, loss="MaxMin()"), run(1, 0.1, lr=1e-2), run(2, 0.1, finished=False)]
    runs = named(*(run(seed, right) for seed, right in enumerate(values)), *others)
    [arm] = arms_of(runs)
    assert (arm.runs, arm.seeds) == (["a", "b", "c", "d"], [0, 1, 2, 3])
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert arm.mean == {"right": 0.6875, "chosen": -2.0}
    assert arm.interval == {"right": (pytest.approx(expected.low), pytest.approx(expected.high))}  # chosen: all equal
    lines = runs_table(runs).splitlines()
    place = lines.index("a, b, c, d: seeds 0, 1, 2, 3")
    assert lines[place + 1] == f"  right responses  0.688 [{expected.low:.3f}, {expected.high:.3f}]"
    assert lines[place + 2] == "  chosen           -2.000"


def test_two_seeds_have_a_mean_and_no_interval():
    [arm] = arms_of(named(run(0, 0.25), run(7, 0.75)))
    assert (arm.mean["right"], arm.interval) == (0.5, {})
    assert t_interval([1.0, 2.0]) is None


def test_a_measure_that_one_run_of_an_arm_lacks_has_no_mean():
    runs = run(0, 0.25), run(7, 0.75)
    [arm] = arms_of(named(replace(runs[0], after=runs[0].after | {"kl": 0.5}), runs[1]))
    assert arm.mean == {"right": 0.5, "chosen": -2.0}


def test_the_seed_may_draw_the_data_but_two_runs_of_one_seed_on_other_data_are_not_alike():
    drawn = [run(seed, 0.5, train=f"drawn by {seed}") for seed in range(3)]
    assert [arm.seeds for arm in arms_of(named(*drawn))] == [[0, 1, 2]]
    assert arms_of(named(*drawn, run(0, 0.5, train="with wrong labels"))) == []
    held_out = [
        replace(one, data=one.data | {"eval": {"sets": 4, "sha256": f"by {one.arguments['seed']}"}}) for one in drawn
    ]
    assert [arm.seeds for arm in arms_of(named(*held_out))] == [[0, 1, 2]]
    more = [replace(one, data=one.data | {"train": {"sets": 16, "sha256": "abc"}}) for one in drawn[1:2]]
    assert [arm.seeds for arm in arms_of(named(drawn[0], *more))] == []


def test_the_interval_of_a_mean_holds_it_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = [low <= 0 <= high for low, high in (t_interval(list(rng.normal(size=3))) for _ in range(2000))]
    assert abs(np.mean(held) - 0.95) < 3 * (0.95 * 0.05 / 2000) ** 0.5


def test_show_as_json_has_what_the_table_tells(tmp_path, capsys):
    names = []
    for name, one in named(run(0, 0.5), run(1, 0.75), run(2, 1.0)):
        (tmp_path / name).mkdir()
        write_run(tmp_path / name, one)
        names.append(str(tmp_path / name))
    assert main(["show", *names, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["run"] for one in told["runs"]] == names
    assert told["runs"][1]["after"] == {"right": 0.75, "chosen": -2.0}
    assert told["differ"] == {"seed": [0, 1, 2]}
    assert told["arms"][0]["mean"]["right"] == 0.75
    assert told["arms"][0]["seeds"] == [0, 1, 2]
    assert [one["finished"] for one in told["runs"]] == [True] * 3
    write_run(tmp_path / "a", run(0, 0.5, finished=False))
    assert main(["show", names[0], "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["arms"], told["runs"][0]["finished"], told["runs"][0]["after"]) == ([], False, None)

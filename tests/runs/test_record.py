"""A run folder says what was run, whole or not at all, and never mixes with another run."""

import json
from dataclasses import replace

import pytest

from mapl_explore.data import PreferenceSet
from mapl_explore.notes import Note
from mapl_explore.runs.record import MEASURES, Run, fingerprint, label_of, read_run, versions, write_run
from mapl_explore.runs.run_folder import require_new, require_same, require_same_weights

BEFORE = dict.fromkeys(MEASURES, 1.0)
AFTER = dict.fromkeys(MEASURES, 0.25)
DATA = {"train": {"sets": 3, "sha256": "abc"}, "eval": {"sets": 2, "sha256": "def"}}
OTHER_DATA = {**DATA, "eval": {"sets": 3, "sha256": "def"}}
RUN = Run(loss="MaxMin(pair=Hardest())", arguments={"steps": 2, "lr": 0.1}, data=DATA, before=BEFORE, after=AFTER)


def test_what_is_written_is_read_back(tmp_path):
    write_run(tmp_path, RUN)
    assert read_run(tmp_path) == RUN
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "run.json"]


def test_a_failed_write_leaves_the_old_record_and_no_part_of_a_new_one(tmp_path, monkeypatch):
    write_run(tmp_path, RUN)
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_run(tmp_path, Run(loss="DPO()", arguments={}, data=DATA))
    assert read_run(tmp_path) == RUN
    assert len(list(tmp_path.iterdir())) == 2


def test_a_table_shows_each_measure_before_after_and_their_difference():
    lines = RUN.table.splitlines()
    assert lines[0].split() == ["held", "out:", "2", "sets", "before", "after", "change"]
    assert len(lines) == 1 + len(MEASURES)
    for line, label in zip(lines[1:], [label_of(name, RUN.loss) for name in MEASURES], strict=True):
        assert line.startswith(label)
        assert line.removeprefix(label).split() == ["1.000", "0.250", "-0.750"]


def test_margins_are_told_in_what_the_loss_counts_in():
    rows = replace(RUN, loss="SimPO(beta=2.0, gamma=1.0, pair=Hardest())").table.splitlines()
    assert [row.split("  ")[0] for row in rows if "margin (" in row] == [
        "hard margin (nats a token)",
        "least hard margin (nats a token)",
        "the loss's own margin (nats a token)",
    ]
    assert label_of("hard_margin", "LossOfAnotherProcess()") == "hard margin (its unit)"


def test_a_table_shows_intervals_where_there_are_any():
    intervals = {"after": {"loss": [0.2, 0.3]}, "change": {"loss": [-0.8, 0.1]}}
    line = replace(RUN, intervals=intervals).table.splitlines()[2]
    assert line.split() == ["loss", "1.000", "0.250", "[0.200,", "0.300]", "-0.750", "[-0.800,", "+0.100]"]


def test_a_run_is_finished_when_it_has_an_after():
    assert RUN.finished
    assert not Run(loss="DPO()", arguments={}, data=DATA, before=BEFORE).finished


def test_an_unfinished_run_has_a_card_that_says_so(tmp_path):
    write_run(tmp_path, replace(RUN, after=None))
    card = (tmp_path / "README.md").read_text()
    assert "```\nThe run has not come to its end.\n```" in card
    assert "The model is not here yet." in card
    assert "from_pretrained" not in card


def test_the_card_of_a_finished_run_holds_loss_arguments_data_and_table(tmp_path):
    write_run(tmp_path, replace(RUN, weights_checksum="c" * 64))
    card = (tmp_path / "README.md").read_text()
    for part in (
        f"- weights of the model before: sha256 {'c' * 64}\n",
        "MaxMin(pair=Hardest())",
        "- lr: 0.1",
        "3 sets with contents of sha256 abc",
        "2 sets with contents of sha256 def",
        RUN.table,
    ):
        assert part in card


@pytest.mark.parametrize("text", ["{", "[]", '{"loss": "DPO()"}', "\udcff"])
def test_what_is_no_record_is_refused_with_its_path(tmp_path, text):
    (tmp_path / "run.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"run\.json: not the record of a run"):
        read_run(tmp_path)


def test_a_new_or_empty_folder_may_be_used(tmp_path):
    require_new(tmp_path / "new")
    require_new(tmp_path)


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match=f"'{tmp_path}' is not empty: name a new folder$"):
        require_new(tmp_path)


@pytest.mark.parametrize("name", ["run.json", "rounds.json"])
def test_a_folder_with_a_run_is_refused_with_the_way_to_go_on(tmp_path, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(FileExistsError, match="--resume goes on with what is begun in it"):
        require_new(tmp_path)


def test_a_file_is_no_output_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="is a file"):
        require_new(tmp_path / "file")


def test_a_run_goes_on_only_with_its_own_loss_arguments_and_data(tmp_path):
    write_run(tmp_path, RUN)
    require_same(tmp_path, Run(loss=RUN.loss, arguments=dict(RUN.arguments), data=dict(DATA)))
    for other, named in (
        (Run(loss="DPO()", arguments=RUN.arguments, data=DATA), r"with loss MaxMin\(pair=Hardest\(\)\), not DPO\(\)"),
        (Run(loss=RUN.loss, arguments={"steps": 2, "lr": 0.2}, data=DATA), r"with lr 0\.1, not 0\.2"),
        (Run(loss=RUN.loss, arguments=RUN.arguments, data=OTHER_DATA), r"with eval data 2 sets .* not 3 sets"),
    ):
        with pytest.raises(ValueError, match=named):
            require_same(tmp_path, other)


def test_a_fingerprint_changes_with_any_text_and_with_the_order():
    one, two = PreferenceSet("p", ["a"], ["b"]), PreferenceSet("p", ["a"], ["c"])
    prints = [fingerprint(sets)["sha256"] for sets in ([one, two], [two, one], [one], [one, one])]
    assert len(set(prints)) == 4
    assert fingerprint([one, two])["sets"] == 2


def test_a_fingerprint_knows_scores_and_is_the_former_one_without_them():
    one = PreferenceSet("p", ["a"], ["b"])
    graded = [PreferenceSet("p", ["a"], ["b"], scores) for scores in ([1, 0], [1, 0.5])]
    assert len({fingerprint([each])["sha256"] for each in (one, *graded)}) == 3
    assert fingerprint([one])["sha256"] == "61f603c1360c1f7d9fea145fa8f650402747bcca63b3d1f6f8a144845b3f7794"


def test_a_fingerprint_of_a_conversation_is_that_of_its_text():
    talk = PreferenceSet([{"role": "system", "content": "s"}, {"role": "user", "content": "p"}], ["a"], ["b"])
    assert fingerprint([talk]) == fingerprint([talk.as_text()])


def test_a_learning_curve_begins_at_the_base():
    log = [{"step": 1, "loss": 0.5}, {"step": 2, "right": 0.75}]
    run = Run(loss="DPO()", arguments={}, data=DATA, before={"right": 0.5}, log=log)
    assert run.right_along == {0: 0.5, 2: 0.75}
    assert replace(run, after={"right": 1.0}).table.endswith("\nRight, by steps: 0.500 after 0, 0.750 after 2.")
    assert replace(run, log=log[:1]).right_along == {}


def test_a_beta_that_was_held_at_its_floor_is_counted_and_what_others_have_of_the_gradient_is_what_leaders_have_not():
    log = [{"step": step, "beta": beta, "beta_at_floor": held, "positive_leader": 0.75, "negative_leader": 0.25}
           for step, beta, held in ((1, 0.1, 0.0), (2, 0.025, 0.5), (3, 0.02, 1.0))]  # fmt: skip
    run = replace(RUN, log=[{"step": 0, "positive_leader": 0.9}, *log])
    assert run.table.endswith("\nIn 3 steps beta was 0.02 to 0.1; in 2 of them it was held at its floor.")
    assert run.others == pytest.approx(1 - (0.9 + 3 * 0.75 + 3 * 0.25) / 7, rel=1e-12)
    assert RUN.others is None


def test_a_fingerprint_tells_one_side_from_the_other():
    one, two = PreferenceSet("p", ["a", "b"], ["c"]), PreferenceSet("p", ["a"], ["b", "c"])
    assert fingerprint([one]) != fingerprint([two])


def test_versions_name_what_decides_a_result():
    assert versions().keys() == {"python", "mapl_explore", "torch", "transformers", "peft", "numpy"}
    json.dumps(versions())


@pytest.mark.parametrize(("name", "value"), [
    ("loss", 3), ("arguments", []), ("data", None), ("before", 1.0), ("after", "x"), ("intervals", None), ("log", {}),
    ("log", [1]), ("log", [{"loss": 0.5}]), ("log", [{"step": "1"}]), ("versions", 5), ("weights_checksum", 5),
])  # fmt: skip
def test_a_record_with_a_field_of_another_kind_is_refused(tmp_path, name, value):
    write_run(tmp_path, RUN)
    record = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(record | {name: value}))
    with pytest.raises(ValueError, match=r"run\.json: not the record of a run \(TypeError: "):
        read_run(tmp_path)


@pytest.mark.parametrize(("name", "checksum"), [("model", "weights_checksum"), ("reference", "reference_checksum")])
def test_a_run_goes_on_with_the_same_weights_under_another_name_only(tmp_path, capsys, name, checksum):
    one = replace(RUN, arguments={name: "here"}, **{"weights_checksum": "c" * 64, checksum: "a" * 64})
    write_run(tmp_path, one)
    moved = replace(one, arguments={name: "there"})
    before = require_same(tmp_path, moved)
    require_same_weights(tmp_path, before, moved)
    assert capsys.readouterr().out == ""
    other = replace(moved, **{checksum: "b" * 64})
    with pytest.raises(
        ValueError, match=r"other weights: those of 'here' had sha256 aaaaaaaaaaaa\.\.\., those of 'there'"
    ):
        require_same_weights(tmp_path, before, other)


def test_a_record_without_a_checksum_of_weights_goes_by_the_name_and_says_so(tmp_path):
    write_run(tmp_path, replace(RUN, arguments={"model": "here"}))
    record = json.loads((tmp_path / "run.json").read_text())
    del record["weights_checksum"]
    (tmp_path / "run.json").write_text(json.dumps(record))
    run = replace(RUN, arguments={"model": "here", "chat": "never"}, weights_checksum="b" * 64)
    with pytest.warns(Note, match="run.json has no checksum of the model's weights"):
        require_same_weights(tmp_path, require_same(tmp_path, run), run)
    with pytest.raises(ValueError, match="started with model here, not there"):
        require_same(tmp_path, replace(run, arguments={"model": "there", "chat": "never"}))
    with pytest.raises(ValueError, match="started with chat never, not always"):
        require_same(tmp_path, replace(run, arguments={"model": "here", "chat": "always"}))


@pytest.mark.parametrize(("before", "now"), [(False, "never"), (True, "always"), ("auto", "auto")])
def test_a_record_of_an_earlier_version_says_of_chat_what_it_would_say_now(before, now, tmp_path):
    write_run(tmp_path, replace(RUN, arguments={"model": "here", "chat": before}))
    assert read_run(tmp_path).arguments["chat"] == now
    run = replace(RUN, arguments={"model": "here", "chat": now})
    assert require_same(tmp_path, run).log == RUN.log
    with pytest.raises(ValueError, match=f"started with chat {now}, not other"):
        require_same(tmp_path, replace(run, arguments={"model": "here", "chat": "other"}))


def test_a_table_says_where_an_interval_is_lacking_and_why():
    whole = {
        when: {name: [0.0, 1.0] for name in BEFORE if name != "worst_margin"} for when in ("before", "after", "change")
    }
    assert "No interval" not in replace(RUN, intervals=whole).table
    del whole["change"]["kl"]
    lines = replace(RUN, intervals=whole).table.splitlines()
    assert lines[-1] == "No interval is given for fewer than 8 sets or responses, or where all values are equal."
    assert "No interval" not in Run(loss="DPO()", arguments={}, data=DATA, before=BEFORE).table


def test_a_folder_under_a_file_is_no_output_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match=r"cannot be made: .*file' is a file"):
        require_new(tmp_path / "file" / "run")


def test_columns_stay_apart_where_numbers_are_large():
    wide = {"chosen": [-1234567.8912, -1000000.5]}
    run = Run(
        loss="DPO()",
        arguments={},
        data={"eval": {"sets": 3}},
        before={"loss": 0.5e10, "chosen": -1100000.25},
        after={"loss": 0.25, "chosen": -99.9876},
        intervals={"before": wide, "after": wide, "change": wide},
    )
    *lines, _ = run.table.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1].split() == ["loss", "5e+09", "0.250", "-5e+09"]
    assert "-1100000.2 [-1234567.9, -1000000.5]" in lines[2]
    assert "  -99.988 [-1234567.9, -1000000.5]  " in lines[2]


@pytest.mark.parametrize(
    ("measured", "reason"),
    [
        ({"after": AFTER}, "after without before"),
        ({"before": None, "after": AFTER}, "after without before"),
        ({"before": {"loss": 1.0}, "after": {"loss": 1.0, "kl": 0.0}}, "kl is in after, not in before"),
        ({"before": {"loss": 1.0}, "after": {"loss": "1"}}, "loss of after is '1'"),
        ({"before": {"loss": None}}, "loss of before is None"),
        ({"before": {"right": True}}, "right of before is True"),
    ],
)
def test_a_record_whose_measures_cannot_be_compared_is_refused_with_the_reason(tmp_path, measured, reason):
    record = {"loss": "DPO()", "arguments": {}, "data": DATA, "versions": {}, **measured}
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=rf"run\.json: not the record of a run \({reason}\)"):
        read_run(tmp_path)

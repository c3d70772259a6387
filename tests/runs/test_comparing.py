"""Runs side by side: the table says what each came to, the picture how it went, and both say what does not compare."""

import io
import json
import math

import numpy as np
import pytest
from PIL import Image

from mapl_explore.plots import RunCurves, run_figure
from mapl_explore.plots.runs import MOST, running_mean
from mapl_explore.runs.comparing import runs_table, save_curves
from mapl_explore.runs.record import Run, read_run, write_run

LABELS = {"margin": "margin (nats)", "chosen": "chosen log-prob (nats)", "none": "what nobody logged"}


def run(loss="DPO(beta=0.1, pair=Hardest())", steps=8, sha="abc", **after):
    log = [{"step": k, "loss": 1 / k, "hard_margin": 1.0 * k, "chosen": -3.0 + k} for k in range(1, steps + 1)]
    before = dict.fromkeys(("hard_margin", "accuracy", "chosen", "rejected"), 1.0)
    data = {"eval": {"sets": 2, "sha256": sha}}
    return Run(loss=loss, arguments={"steps": 8}, data=data, before=before, after=before | after, log=log)


def written(folder, one):
    folder.mkdir()
    write_run(folder, one)
    return str(folder)


def test_one_run_is_shown_whole():
    text = runs_table([("a", run(chosen=0.25))])
    assert text.splitlines()[0] == "a: DPO(beta=0.1, pair=Hardest()), 8/8 steps"
    assert run(chosen=0.25).table in text


def test_several_runs_have_a_row_each_with_the_change():
    lines = runs_table([("a", run(chosen=0.25)), ("long/name", run("SFT()", steps=3, rejected=-2.0))]).splitlines()
    assert lines[1].startswith("a         ")
    assert " ".join(lines[1].split()[1:]) == "8/8 1.00 (+0.00) 0.25 (-0.75) 1.00 (+0.00)"
    assert lines[2].split()[:2] == ["long/name", "3/8"]
    assert lines[2].endswith("-2.00 (-3.00)")
    assert lines[4:6] == ["a          DPO(beta=0.1, pair=Hardest())", "long/name  SFT()"]
    assert max(map(len, lines)) <= 120
    ends = [line.index(word) + len(word) for line, word in zip(lines[:3], ("steps", "8/8", "3/8"), strict=True)]
    assert len(set(ends)) == 1


def test_a_column_is_there_as_soon_as_one_run_has_it():
    judged = run()
    judged.before["right"], judged.after["right"] = 0.25, 0.75
    lines = runs_table([("a", run()), ("b", judged)]).splitlines()
    assert lines[0].split()[2:4] == ["right", "responses"]
    assert [line.split()[2] for line in lines[1:3]] == ["-", "0.75"]


def test_a_run_that_has_not_ended_has_no_result_and_is_shown_all_the_same():
    under_way = Run(loss="SFT()", arguments={"steps": 8}, data={"eval": {"sets": 2, "sha256": "abc"}})
    lines = runs_table([("a", run()), ("b", under_way)]).splitlines()
    assert lines[2].split() == ["b", "0/8", "-", "-", "-"]


def test_a_run_that_was_ended_before_its_first_measurement_says_so_in_place_of_a_table():
    text = runs_table([("a", Run(loss="SFT()", arguments={"steps": 8}, data={"eval": {"sets": 2}}))])
    assert text.splitlines()[0] == "a: SFT(), 0/8 steps"
    assert "Nothing was measured" in text.splitlines()[-1]
    assert "held out:" not in text


def test_it_is_said_where_held_out_sets_differ():
    assert "not the same in all runs" in runs_table([("a", run()), ("b", run(sha="def"))])
    assert "not the same in all runs" not in runs_table([("a", run()), ("b", run())])


def curves(*names, step=(1, 2, 3, 4)):
    step = np.array(step)
    logged = {"margin": step * 1.0, "chosen": -step * 1.0}
    return [RunCurves(name, step, logged, {"margin": (0.0, 5.0)}) for name in names]


def test_each_measure_has_a_panel_with_a_line_a_run_and_its_held_out_values():
    figure = run_figure(curves("a", "b"), LABELS)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["margin (nats)", "chosen log-prob (nats)"]
    lines = {line.get_label(): line for line in figure.axes[0].lines if not line.get_label().startswith("_")}
    assert lines.keys() == {"a", "b"}
    np.testing.assert_array_equal(lines["a"].get_xydata(), [[1, 1], [2, 2], [3, 3], [4, 4]])
    ends = held_out_marks(figure.axes[0])
    assert [line.get_xydata().tolist() for line in ends] == [[[0, 0], [4, 5]]] * 2
    assert held_out_marks(figure.axes[1]) == []


def held_out_marks(axes):
    return [line for line in axes.lines if line.get_linestyle() == "None"]


def test_a_measure_over_decades_has_a_logarithmic_axis():
    figure = run_figure(curves("a"), LABELS, log=["margin"])
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "linear"]


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_a_curve_goes_across_a_step_without_a_value(hole):
    values = np.arange(40.0)
    values[[0, 7, 20]] = hole
    there = np.isfinite(values)
    (axes,) = run_figure([RunCurves("a", np.arange(40), {"margin": values}, {})], LABELS).axes
    for line in axes.lines:
        np.testing.assert_array_equal(line.get_xdata(), np.flatnonzero(there))
        assert np.isfinite(line.get_ydata()).all()


def test_a_measure_of_every_other_step_has_a_whole_curve():
    values = np.where(np.arange(40) % 2, np.arange(40.0), np.nan)
    (axes,) = run_figure([RunCurves("a", np.arange(40), {"margin": values}, {})], LABELS).axes
    assert [len(line.get_xdata()) for line in axes.lines] == [20, 20]


def test_a_learning_curve_of_few_points_is_drawn_as_it_is():
    right = np.full(40, np.nan)
    right[[3, 7, 15, 31]] = 0.5, 0.9, 0.7, 1.0
    (axes,) = run_figure([RunCurves("a", np.arange(40), {"right": right}, {})], {"right": "right"}).axes
    for line in axes.lines:
        assert line.get_ydata().tolist() == [0.5, 0.9, 0.7, 1.0]


def test_a_run_without_a_measure_has_an_empty_curve_and_its_name_in_the_legend():
    step = np.arange(1, 13)
    runs = [RunCurves("has", step, {"margin": step * 1.0}, {}), RunCurves("lacks", step, {}, {})]
    figure = run_figure(runs, LABELS)
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [12, 12, 0, 0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["has", "lacks"]


def test_a_huge_value_leaves_the_means_that_do_not_hold_it_alone():
    values = np.array([1.0, 1e20, 3.0, 5.0, 4.0, 6.0])
    np.testing.assert_array_equal(running_mean(values, 2)[-3:], [4.0, 5.0, 5.0])


def test_a_log_with_gaps_is_drawn_to_its_end(tmp_path, monkeypatch):
    one = run(steps=12)
    for number, missing in ((3, None), (5, math.nan), (7, "n/a")):
        one.log[number]["hard_margin"] = missing
    del one.log[9]["hard_margin"]
    drawn = []
    monkeypatch.setattr(
        "mapl_explore.plots.run_figure", lambda *args, **kw: drawn.append(run_figure(*args, **kw)) or drawn[0]
    )
    folder = written(tmp_path / "a", one)
    save_curves(tmp_path / "curves.png", [("a", read_run(folder))])
    [panel] = [axes for axes in drawn[0].axes if axes.get_title(loc="left") == "hard margin (nats)"]
    assert panel.lines[0].get_xdata().tolist() == [1, 2, 3, 5, 7, 9, 11, 12]


def test_thirty_runs_differ_in_colour_or_style_and_eight_in_colour_and_mark():
    figure = run_figure(curves(*map(str, range(MOST))), LABELS)
    looks = {
        (line.get_color(), line.get_linestyle(), str(line._unscaled_dash_pattern))
        for line in figure.axes[0].lines
        if line.get_linestyle() != "None"
    }
    assert len(looks) == MOST == 30
    eight = held_out_marks(figure.axes[0])[:8]
    assert len({line.get_color() for line in eight}) == len({line.get_marker() for line in eight}) == 8


def test_more_than_thirty_runs_are_refused():
    with pytest.raises(ValueError, match="runs must be at most 30 to be told apart, not 31"):
        run_figure(curves(*map(str, range(MOST + 1))), LABELS)


@pytest.mark.parametrize("count", [1, 4, 12])
def test_everything_is_inside_the_picture_and_apart(count):
    names = [f"runs/number{k}: DPO(beta=0.1, pair=Smooth(tau=LeaderShare(share=0.9)))" for k in range(count)]
    figure = run_figure(curves(*names), LABELS)
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    boxes = [part.get_tightbbox(renderer) for part in (*figure.axes, *figure.legends, figure._supxlabel)]
    for number, box in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert 0 <= box.y0 < box.y1 <= figure.bbox.y1
        assert not any(box.overlaps(other) for other in boxes[:number])


def test_a_running_mean_is_the_mean_of_the_neighbours_there_are():
    values = np.random.default_rng(0).normal(size=9)
    for place, mean in enumerate(running_mean(values, 4)):
        # Ten sums of numbers of about 1: some ten eps.
        assert abs(mean - values[max(place - 2, 0) : place + 3].mean()) <= 16 * np.finfo(float).eps
    np.testing.assert_array_equal(running_mean(np.array([2.0, 8.0]), 0), [2.0, 8.0])


def test_curves_are_written_whole_in_the_format_of_the_ending(tmp_path):
    save_curves(tmp_path / "curves.png", [("a", run()), ("b", run("SFT()"))])
    picture = np.asarray(Image.open(io.BytesIO((tmp_path / "curves.png").read_bytes())))
    assert picture.shape[1] == 1600
    assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 50
    save_curves(tmp_path / "curves.SVG", [("a", run())])
    assert "<svg" in (tmp_path / "curves.SVG").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.SVG", "curves.png"]


def test_a_picture_has_what_was_held_out_before_and_after_and_taus_over_decades(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "mapl_explore.plots.run_figure", lambda *args, **kw: seen.append((args, kw)) or run_figure(*args)
    )
    save_curves(tmp_path / "curves.png", [("a", run(chosen=0.25))])
    [(([curve], _), options)] = seen
    assert (curve.held_out["chosen"], curve.held_out["rejected"]) == ((1.0, 0.25), (1.0, 1.0))
    assert "negative_tau" in options["log"]


def test_a_picture_that_cannot_be_written_leaves_the_one_that_was_there(tmp_path, monkeypatch):
    path = tmp_path / "curves.png"
    path.write_bytes(b"before")
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_curves(path, [("a", run())])
    assert path.read_bytes() == b"before"


def test_the_loss_is_drawn_for_runs_of_one_loss_only(tmp_path, monkeypatch):
    seen = []
    draw = run_figure
    monkeypatch.setattr(
        "mapl_explore.plots.run_figure", lambda runs, labels, log: seen.append(labels) or draw(runs, labels)
    )
    save_curves(tmp_path / "curves.png", [("a", run()), ("b", run())])
    save_curves(tmp_path / "curves.png", [("a", run()), ("b", run("SFT()"))])
    assert ["loss" in labels for labels in seen] == [True, False]


def test_show_prints_the_table_and_draws_the_curves(tmp_path, capsys):
    from mapl_explore.cli.main import main

    names = [written(tmp_path / "a", run()), written(tmp_path / "b", run("SFT()"))]
    assert main(["show", *names, "--out", str(tmp_path / "curves.png")]) == 0
    out = capsys.readouterr().out
    assert runs_table(list(zip(names, (run(), run("SFT()")), strict=True))) in out
    assert out.splitlines()[-1] == f"curves written to {tmp_path / 'curves.png'}"
    assert main(["show", names[0] + "/"]) == 0
    assert capsys.readouterr().out.startswith(f"{names[0]}: DPO")


def test_show_passes_over_what_is_no_run_and_says_so(tmp_path, capsys):
    from mapl_explore.cli.main import main

    good = written(tmp_path / "a", run())
    (tmp_path / "empty").mkdir()
    (tmp_path / "curves.png").write_bytes(b"")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text('{"loss": ')
    names = sorted(map(str, tmp_path.iterdir()))  # a, broken, curves.png, empty
    assert main(["show", *names]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{good}: DPO")
    lines = said.err.splitlines()
    assert len(lines) == 3
    for line, part in zip(
        lines, ("broken/run.json: not the record", "curves.png' is no run", "empty' is no run"), strict=True
    ):
        assert line.startswith("passed over: ")
        assert part in line
    assert main(["show", *names[1:]]) == 2
    assert capsys.readouterr().err.count("none of these is a run: ") == 1


def test_a_mistake_in_show_is_one_line_and_leaves_no_picture(tmp_path, capsys):
    from mapl_explore.cli.main import main

    good, empty = written(tmp_path / "a", run()), written(tmp_path / "b", run(steps=0))
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "run.json").write_text(json.dumps({"loss": "SFT()"}))
    for words, message in (
        ([str(tmp_path / "none")], "none' is no run: there is no run.json in it"),
        ([str(tmp_path / "c")], "c/run.json: not the record of a run"),
        (
            [good, "--out", str(tmp_path / "curves.gif")],
            f"out must end in .png, .pdf, .svg, not '{tmp_path}/curves.gif'",
        ),
        ([good, "--out", str(tmp_path / "curves")], f"out must end in .png, .pdf, .svg, not '{tmp_path}/curves'"),
        ([empty, "--out", str(tmp_path / "curves.png")], "there is nothing to draw"),
        ([good, "--out", str(tmp_path / "none" / "curves.png")], "there is no folder"),
    ):
        assert main(["show", *words]) == 2, words
        said = capsys.readouterr()
        assert message in said.err
        assert said.err.count("\n") == 1
        assert said.out == ""
    assert not list(tmp_path.glob("curves*"))

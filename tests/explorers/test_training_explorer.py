"""TrainingExplorer: a run is replayed as the trainer had it."""

import mpmath
import numpy as np
import pytest
from explorer_controls import EPS
from recorded_runs import record, recorded

from mapl_explore.explorers import TrainingExplorer
from mapl_explore.losses import parse
from mapl_explore.plots.panels import Curve
from mapl_explore.runs.probes import read_probes
from mapl_explore.runs.record import Run, write_run


def test_a_replay_shows_what_the_runs_loss_makes_of_the_probes(tmp_path):
    loss = parse("CPO(beta=0.3, alpha=0.5, pair=Smooth(tau=ExactError(epsilon=0.2)))")
    explorer = TrainingExplorer(record(tmp_path, repr(loss)), set=2, step=5)
    sets = read_probes(tmp_path).sets
    reading = explorer.reading
    assert explorer.loss == loss
    assert (reading.step, reading.history.names) == (5, ["p1", "p2", "p3", "p4", "n1", "n2", "n3"])
    # Sums of the same terms, here beside padding: a few eps.
    for shown, whole in ((reading.history.value, loss(sets)), (reading.history.margin, loss.margin(sets))):
        np.testing.assert_allclose(shown, whole[:, 1], rtol=16 * EPS, atol=16 * EPS)
    np.testing.assert_allclose(reading.history.weights, loss.weights(sets)[:, 1, :7], rtol=64 * EPS, atol=0)
    np.testing.assert_array_equal(reading.history.score, sets.logp[:, 1, :7])
    logp = sets.logp[:, 1]
    np.testing.assert_array_equal(reading.history.hard_margin, logp[:, :4].min(axis=1) - logp[:, 4:7].max(axis=1))


def test_the_sides_of_a_replay_are_the_softmax_of_their_own_scores(tmp_path):
    explorer = TrainingExplorer(record(tmp_path, "DPO(pair=Smooth(tau=LeaderShare(share=0.8)))"), set=2)
    probes = read_probes(tmp_path)
    r = (probes.sets.logp - probes.sets.ref_logp)[:, 1]
    for name, scores in (("positives", -r[:, :4]), ("negatives", r[:, 4:7])):
        side = explorer.reading.history.sides[name]
        for place in range(1, probes.step.size):
            with mpmath.workdps(40):
                leader = max(scores[place])
                terms = [mpmath.exp(mpmath.mpf(side.tau[place]) * (mpmath.mpf(s) - leader)) for s in scores[place]]
                error, n = mpmath.log(sum(terms)) / side.tau[place], scores.shape[1]
                one = sorted(terms)[-2]
                bounds = [mpmath.log(1 + count * one) / side.tau[place] for count in (1, n - 1)]
            # The share is kept to an ulp of tau, which counts tau times the gap, some ten, times.
            assert side.share[place] == pytest.approx(0.8, rel=64 * EPS)
            assert side.share[place] == pytest.approx(float(1 / sum(terms)), rel=64 * EPS)
            assert side.error[place] == pytest.approx(float(error), rel=64 * EPS)
            assert side.lower[place] == pytest.approx(float(bounds[0]), rel=64 * EPS)
            assert side.upper[place] == pytest.approx(float(bounds[1]), rel=64 * EPS)
            assert side.lower[place] <= side.error[place] <= side.upper[place]


def test_a_tau_that_anneals_is_replayed_as_the_trainer_had_it(tmp_path):
    explorer = TrainingExplorer(
        record(tmp_path, "DPO(pair=Smooth(tau=Anneal(start=1.0, stop=100.0)))", step=[0, 6, 12])
    )
    tau = explorer.reading.history.sides["negatives"].tau
    # Geometric in the updates made: the last of 12, which follows 11, is the first at the stop.
    np.testing.assert_allclose(tau, [1.0, 100.0 ** (6 / 11), 100.0], rtol=8 * EPS)
    assert explorer.loss == parse("DPO(pair=Smooth(tau=Anneal(start=1.0, stop=100.0)))")


def test_a_step_that_was_not_recorded_shows_the_nearest_and_says_so(tmp_path):
    explorer = TrainingExplorer(record(tmp_path, "dpo", step=[0, 4, 8, 12]), step=7)
    assert explorer.reading.step == 8
    assert "After step <b>8</b> of 12, the recorded step nearest to 7" in explorer.widget.says
    explorer.set(step=4)
    assert "nearest" not in explorer.widget.says


def test_a_replay_offers_what_the_pair_has(tmp_path):
    for loss, pictures, sides in (
        ("DPO(pair=Smooth(tau=2.0))", ("weights", "margins", "tau", "error"), ["positives", "negatives"]),
        ("DPO(pair=Mellow(tau=2.0))", ("weights", "margins", "tau"), ["positives", "negatives"]),
        ("OneSided(pair=Hardest())", ("weights", "margins"), ["negatives"]),
        ("SFT()", ("weights", "margins"), []),
    ):
        explorer = TrainingExplorer(record(tmp_path, loss))
        assert explorer.widget.options["curves"] == list(pictures)
        assert list(explorer.reading.history.sides) == sides


@pytest.mark.parametrize("loss", ["InfoNCA()", "GRPO()", "SFT()"])
def test_a_replay_claims_no_margin_where_the_loss_has_none(tmp_path, loss):
    explorer = TrainingExplorer(record(tmp_path, loss), curves="margins")
    assert "hard margin" in repr(explorer)
    assert "(hard " not in repr(explorer)
    assert "Its margin" not in explorer.widget.says
    assert explorer.headline(explorer.reading).keys() == {"loss", "hard margin"}
    assert "margin" not in explorer.columns(explorer.reading)
    middle = explorer.panels(explorer.reading)[1]
    assert [mark.label for mark in middle.marks if isinstance(mark, Curve)] == ["hard margin"]


def test_a_replay_of_sets_with_scores_shows_their_rewards(tmp_path):
    arrays = dict(np.load(record(tmp_path, "infonca") / "probes.npz"))
    reward = np.linspace(-1.0, 2.0, arrays["label"].size).reshape(arrays["label"].shape)
    np.savez(tmp_path / "probes.npz", **arrays, reward=reward)
    explorer = TrainingExplorer(tmp_path, set=3)
    cells = explorer.panels(explorer.reading)[2]["rewards"]
    np.testing.assert_allclose(cells.shade, np.linspace(-1, 1, 8), atol=8 * EPS)
    assert "its reward" in explorer.widget.says
    assert explorer.widget.says.endswith(">2</td></tr></table></details>")


def test_a_curve_that_one_response_cannot_have_is_named_so(tmp_path):
    explorer = TrainingExplorer(record(tmp_path, "dpo-smooth", per_side=1), curves="error")
    middle = explorer.panels(explorer.reading)[1]
    assert middle.own_key
    assert {mark.label for mark in middle.marks if mark.label} == {
        "positives (one response)",
        "negatives (one response)",
    }


def test_the_line_in_both_panels_of_curves_is_the_step_and_moves_it(tmp_path):
    explorer = TrainingExplorer(record(tmp_path, "dpo"), step=3)
    for panel in explorer.panels(explorer.reading)[:2]:
        (drag,) = panel["now"].drags
        assert (drag.knob, drag.along, drag.factor * panel["now"].at + drag.offset) == ("step", "x", 3)


@pytest.mark.parametrize("curves", ["weights", "margins", "tau", "error"])
def test_the_rings_lie_on_the_curves_at_the_recorded_step(tmp_path, curves):
    explorer = TrainingExplorer(record(tmp_path, "dpo-smooth", step=[0, 4, 8]), step=5, curves=curves)
    for panel in explorer.panels(explorer.reading)[:2]:
        lines = [mark for mark in panel.marks if isinstance(mark, Curve)]
        np.testing.assert_array_equal(panel["rings"].x, [4.0] * len(lines))
        np.testing.assert_array_equal(panel["rings"].y, [line.y[1] for line in lines])
        assert panel["now"].at == 4


def test_the_middle_picture_has_what_is_chosen(tmp_path):
    explorer = TrainingExplorer(record(tmp_path, "dpo-smooth"))
    history = explorer.reading.history

    def middle(curves):
        return explorer.panels(explorer.read(explorer.settings | {"curves": curves}))[1]

    np.testing.assert_array_equal(middle("weights")["n2"].y, history.weights[:, 5])
    np.testing.assert_array_equal(middle("margins")["hard margin"].y, history.hard_margin)
    np.testing.assert_array_equal(middle("tau")["negatives"].y, history.sides["negatives"].tau)
    error, side = middle("error"), history.sides["positives"]
    np.testing.assert_array_equal(error["positives"].y, side.error)
    np.testing.assert_array_equal(error["bounds of positives"].low, side.lower)
    np.testing.assert_array_equal(error["bounds of positives"].high, side.upper)


def test_an_error_of_zero_has_no_place_on_a_logarithmic_axis_and_draws_without_a_warning(tmp_path):
    explorer = TrainingExplorer(record(tmp_path, "dpo-smooth", per_side=1), curves="error")
    assert np.isnan(explorer.panels(explorer.reading)[1]["rings"].y).all()
    explorer.snapshot()


def test_steps_are_whole_numbers_on_their_axis(tmp_path):
    for step, ticks in ((range(8), "0 2 4 6"), ([0, 2], "0 1 2"), ([3], "3"), ([0, 6, 12], "0 2 4 6 8 10 12")):
        explorer = TrainingExplorer(record(tmp_path, "dpo", step=step))
        for panel in explorer.panels(explorer.reading)[:2]:
            assert " ".join(text for _, text in panel.x.ticks) == ticks


def test_a_folder_that_holds_no_run_is_refused_by_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"run\.json"):
        TrainingExplorer(tmp_path)
    record(tmp_path, "dpo")
    (tmp_path / "probes.npz").write_text("{}")
    with pytest.raises(ValueError, match=r"probes\.npz: not the probes of a run"):
        TrainingExplorer(tmp_path)


def test_a_record_without_its_number_of_steps_is_refused(tmp_path):
    record(tmp_path, "dpo")
    write_run(tmp_path, Run(loss="DPO()", arguments={}, data={}))
    with pytest.raises(ValueError, match="must say how many steps it has"):
        TrainingExplorer(tmp_path)


def test_one_response_has_no_smoothing_error_and_several_have_one_above_0():
    alone = recorded(TrainingExplorer, "OneSided(pair=Smooth(tau=2.0))", per_side=1).widget.says
    assert '<td class="mapl-number">0</td><td>0</td><td>100%' in alone
    several = recorded(TrainingExplorer, "DPO(pair=Smooth(tau=1000.0))").widget.says
    sides = several.split("Each side")[-1].split("Each response")[0]
    assert "under 1e−12" in sides
    assert ">0<" not in sides
    assert "100%" not in sides

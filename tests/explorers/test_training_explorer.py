"""TrainingExplorer: a run is replayed as the trainer had it."""

import mpmath
import numpy as np
import pytest
from explorer_controls import EPS, assert_whole, descendants
from recorded_runs import record

from mapl_explore.explorers import (
    TrainingExplorer,
)
from mapl_explore.losses import parse
from mapl_explore.runs.probes import read_probes
from mapl_explore.runs.record import Run, write_run


def test_a_replay_shows_what_the_runs_loss_makes_of_the_probes(tmp_path):
    loss = parse("CPO(beta=0.3, alpha=0.5, pair=Smooth(tau=ExactError(epsilon=0.2)))")
    explorer = TrainingExplorer(record(tmp_path, repr(loss)), set=2, step=5)
    sets = read_probes(tmp_path).sets
    reading = explorer.reading
    assert explorer.loss == loss
    assert (reading.step, reading.history.names) == (5, ["+1", "+2", "+3", "+4", "−1", "−2", "−3"])
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
    assert "After step <b>8</b> of 12, the recorded step nearest to 7" in explorer._readout.value
    explorer.set(step=4)
    assert "nearest" not in explorer._readout.value


def test_a_replay_offers_what_the_pair_has(tmp_path):
    for loss, pictures, sides in (
        ("DPO(pair=Smooth(tau=2.0))", ("weights", "margins", "tau", "error"), ["positives", "negatives"]),
        ("DPO(pair=Mellow(tau=2.0))", ("weights", "margins", "tau"), ["positives", "negatives"]),
        ("OneSided(pair=Hardest())", ("weights", "margins"), ["negatives"]),
        ("SFT()", ("weights", "margins"), []),
    ):
        explorer = TrainingExplorer(record(tmp_path, loss))
        assert explorer._controls["curves"].knob.options == pictures
        assert list(explorer.reading.history.sides) == sides


def test_a_curve_that_one_response_cannot_have_is_named_so(tmp_path):
    explorer = TrainingExplorer(record(tmp_path, "dpo-smooth", per_side=1), curves="error")
    legends = [axes.get_legend() for axes in explorer.snapshot().axes]
    named = {text.get_text() for legend in legends if legend for text in legend.texts}
    assert {"positives (one response)", "negatives (one response)"} <= named
    assert_whole(explorer)


def test_the_replay_button_is_tied_to_the_slider_of_the_step(tmp_path):
    explorer = TrainingExplorer(record(tmp_path, "dpo"), step=3)
    (play,) = [one for one in descendants(explorer.widget) if type(one).__name__ == "Play"]
    assert (play.min, play.max, play.value, play.step) == (0, 8, 3, 1)
    link = explorer._replay[1]
    assert (link.source, link.target) == ((play, "value"), (explorer._controls["step"].slider, "value"))


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

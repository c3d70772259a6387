"""What an explorer cannot show is refused in one line, and what it shows is what the loss has."""

import numpy as np
import pytest
from explorer_controls import SETS

from mapl_explore.explorers import (
    BoundsExplorer,
    LossExplorer,
    PairsExplorer,
    SmoothMaxExplorer,
    TemperatureExplorer,
    TrainingExplorer,
)
from mapl_explore.losses import DPO, SFT, Anneal, ScoredSets, Smooth
from mapl_explore.runs.record import Run, write_run

NUMBERS, LABELS = np.zeros((0, 3)), np.zeros((0, 3), int)
NO_SET = ScoredSets(NUMBERS, NUMBERS, LABELS, LABELS)
FAR = ScoredSets([-1e300, -1.0], [-1.0, -1.0], [3, 3], [1, -1])
SHOW_SETS = (lambda sets: LossExplorer("dpo", sets=sets), PairsExplorer, BoundsExplorer, TemperatureExplorer)


def refusal(act):
    """Return the one line of the error with which an act is refused."""
    with pytest.raises((TypeError, ValueError)) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("show", SHOW_SETS)
def test_an_explorer_of_no_set_is_refused(show):
    assert refusal(lambda: show(NO_SET)) == "sets must hold at least one set, not arrays of shape (0, 3)"


@pytest.mark.parametrize("show", SHOW_SETS)
def test_sets_whose_differences_overflow_are_refused(show):
    assert refusal(lambda: show(FAR)).startswith("logp must lie within 1e+100 nats of 0 to be shown")


@pytest.mark.parametrize("show", [SmoothMaxExplorer, BoundsExplorer, TemperatureExplorer])
@pytest.mark.parametrize("scores", [[1e300, 0.0], [-1e300, 0.0], [1.7e308, -1.7e308]])
def test_scores_whose_differences_overflow_are_refused(show, scores):
    assert refusal(lambda: show(scores)).startswith("scores must lie within 1e+100 nats of 0 to be shown")


@pytest.mark.parametrize("loss", ["dpo", "ipo", "simpo"])
def test_the_largest_log_probs_that_are_accepted_are_shown(loss):
    sets = ScoredSets([[-1e100, -1.0, -2.0]], [[-1.0, -1.0, -1.0]], [[3, 3, 3]], [[1, -1, -1]])
    for shown in (LossExplorer(loss, sets=sets), PairsExplorer(sets, loss=loss)):
        assert "nan" not in repr(shown)


@pytest.mark.parametrize("loss", [None, DPO, 3])
@pytest.mark.parametrize(
    "show",
    [LossExplorer, lambda loss: LossExplorer(over=[loss]), lambda loss: PairsExplorer(loss=loss)],
    ids=["loss", "over", "pairs"],
)
def test_what_is_no_loss_is_refused(show, loss):
    assert refusal(lambda: show(loss)).startswith("loss must be a loss, ")


@pytest.mark.parametrize("over", ["dpo", DPO(), 5])
def test_losses_to_compare_are_a_list(over):
    assert refusal(lambda: LossExplorer(over=over)).startswith("over must be a list of losses, such as ['dpo'], not")


@pytest.mark.parametrize("run", [None, 3, ["a"]])
def test_a_run_is_named_by_its_path(run):
    assert refusal(lambda: TrainingExplorer(run)).startswith("run must be the path of a run folder, not")


@pytest.mark.parametrize("other", ["x", None, BoundsExplorer])
def test_an_explorer_is_linked_to_explorers_alone(other):
    assert refusal(lambda: BoundsExplorer().link(other, "n")).startswith("other must be an explorer")


def test_an_explorer_is_not_linked_to_itself():
    explorer = BoundsExplorer()
    assert "cannot be linked to itself" in refusal(lambda: explorer.link(explorer))


@pytest.mark.parametrize("loss", [SFT(), DPO(pair=Smooth(tau=Anneal()))], ids=repr)
def test_a_line_names_no_number_that_the_loss_does_not_have(loss):
    settings = repr(LossExplorer(loss)).split(", moved=")[0].replace(repr(repr(loss)), "")
    assert ("beta" in settings) == hasattr(loss, "beta")
    assert not any(name in settings for name in ("tau", "epsilon", "share"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SmoothMaxExplorer([]), "scores must hold at least one score"),
        (lambda: SmoothMaxExplorer([0.0] * 9), "scores must be 1 to 8 finite numbers"),
        (lambda: SmoothMaxExplorer([0.0, -float("inf")]), "scores must be 1 to 8 finite numbers"),
        (lambda: SmoothMaxExplorer(of="mean"), "of must be one of max, min, not 'mean'"),
        (lambda: TemperatureExplorer(rule=3), "rule must be one of upper, exact, lower, asymptote, share, not 3"),
        (lambda: LossExplorer("dpo-hrdest"), "Did you mean 'dpo-hardest'"),
        (
            lambda: LossExplorer("DPO(pair=Smooth(tau=1e-3))"),
            "loss: tau must be in .* to be shown, not 0.001",
        ),
        (lambda: LossExplorer(over=["dpo"] * 5), "over must hold at most 4 losses, not 5"),
        (
            lambda: LossExplorer(sets=[1.0, 2.0]),
            "sets must be ScoredSets.*, not of type list",
        ),
        (lambda: LossExplorer(sets=SETS, set=4), r"set must be a whole number in \[1, 3\], not 4"),
    ],
)
def test_what_is_no_setting_is_refused_by_name(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), None, "x"], ids=repr)
def test_what_is_no_number_is_refused_from_the_browser_and_nothing_moves(value):
    explorer = BoundsExplorer()
    before = repr(explorer)
    for name in explorer.settings:
        with pytest.raises((TypeError, ValueError)) as caught:
            explorer.do({"kind": "set", "knob": name, "value": value})
        assert "\n" not in str(caught.value)
        with pytest.raises((TypeError, ValueError), match=rf"^{name} must be .*not"):
            explorer.set(**{name: value})
    assert repr(explorer) == before


@pytest.mark.parametrize("loss", ["post-orpo", "sft", "dpo"])
def test_the_hard_margin_that_is_shown_is_that_of_the_loss_which_training_logs(loss, tmp_path):
    logp, ref, label = [[-3.0, -2.0, -2.5], [-2.5, -4.0, -3.0]], [-3.0, -2.0, -9.0], [1, -1, -1]
    write_run(tmp_path, Run(loss=loss, arguments={"steps": 1}, data={}))
    np.savez(
        tmp_path / "probes.npz",
        step=[0, 1],
        logp=np.array(logp)[:, None],
        ref_logp=[ref],
        length=[[4] * 3],
        label=[label],
    )
    hard = [-6.5, -5.5] if loss == "dpo" else [-1.0, 0.5]
    assert TrainingExplorer(tmp_path).reading.history.hard_margin.tolist() == hard
    assert LossExplorer(loss, sets=ScoredSets(logp[1], ref, [4] * 3, label)).reading.hard_margin == hard[1]

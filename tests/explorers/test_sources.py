"""Scores and sets of one's own, as an explorer takes and shows them."""

import numpy as np
import pytest
import torch
from explorer_controls import SETS

from mapl_explore.explorers import BoundsExplorer, LossExplorer, PairsExplorer, SmoothMaxExplorer, TemperatureExplorer
from mapl_explore.explorers.sources import arranged, rows_of
from mapl_explore.losses import ScoredSets

OWN = ScoredSets(SETS.logp, SETS.logp, SETS.length, SETS.label)


def test_sets_without_a_reference_are_shown_to_the_losses_that_read_none_and_to_no_other():
    for make in (lambda **more: LossExplorer(sets=OWN, **more), lambda **more: PairsExplorer(OWN, **more)):
        with pytest.raises(ValueError, match="compares log-ratios to a reference"):
            make()
        explorer = make(loss="cpo")
        before = repr(explorer)
        with pytest.raises(ValueError, match="compares log-ratios to a reference"):
            explorer.set(loss="ipo")
        assert repr(explorer) == before
        assert "dpo" not in explorer.widget.options["loss"]
    with pytest.raises(ValueError, match="compares log-ratios to a reference"):
        LossExplorer("cpo", over=["dpo"], sets=OWN)


@pytest.mark.parametrize("show", [SmoothMaxExplorer, BoundsExplorer, TemperatureExplorer])
def test_scores_are_taken_as_smooth_max_takes_them(show):
    right = repr(show([3.0, 1.0, 0.0]))
    half = torch.tensor([3.0, 1.0, 0.0], requires_grad=True).bfloat16()
    for scores in ([3, 1, 0], (3, 1.0, 0), half, half.half(), np.float16([3, 1, 0])):
        assert repr(show(scores)) == right
    with pytest.raises(TypeError, match="scores must be a floating-point array, not one of int64"):
        show(np.array([3, 1, 0]))


@pytest.mark.parametrize("show", [BoundsExplorer, TemperatureExplorer])
def test_scores_of_several_sets_are_refused(show):
    with pytest.raises(ValueError, match=r"scores must be one set, an array \(n,\), not shape \(2, 3\)$"):
        show(np.zeros((2, 3)))


def test_sets_in_halves_are_shown():
    columns = torch.tensor([[-3.0, -1.0, -2.0]]).bfloat16(), torch.full((1, 3), -2.0).bfloat16()
    sets = ScoredSets.unchecked(*columns, torch.full((1, 3), 3), torch.tensor([[1, -1, -1]]))
    whole = ScoredSets(*(column.double() for column in columns), sets.length, sets.label)
    for show in (lambda sets: LossExplorer(sets=sets), PairsExplorer, BoundsExplorer):
        assert repr(show(sets)) == repr(show(whole))


def test_responses_that_tie_are_shown_as_ties():
    sets = ScoredSets([-1.0, -1, -3, -3, -5], [-2.0] * 5, [5] * 5, [1, 1, -1, -1, -1])
    loss = LossExplorer("dpo-hardest", sets=sets)
    assert "hardest, tied with p1" in loss.html(loss.reading)
    assert "hardest, tied with n2" in loss.html(loss.reading)
    assert "3 of 3" in loss.html(loss.reading)
    pairs = PairsExplorer(sets, strategy="MaxNeg-MinPos")
    assert "3 more tie with one of them" in pairs.html(pairs.reading)
    pairs.set(strategy="hardest", keep=4)
    assert "tie with" not in pairs.html(pairs.reading)
    assert "2 responses tie for the lead" in BoundsExplorer([1.0, 1.0, 0.0]).html(BoundsExplorer([1.0, 1, 0]).reading)


def test_sets_are_arranged_with_positives_first_and_padding_last():
    label = [[0, -1, 1, -1, 1], [-1, 1, 0, 0, -1]]
    logp = -np.arange(1.0, 11.0).reshape(2, 5)
    sets = ScoredSets(logp, logp, np.full((2, 5), 3), label)
    whole = arranged(sets)
    assert whole.label.tolist() == [[1, 1, -1, -1, 0], [1, -1, -1, 0, 0]]
    assert whole.logp.tolist() == [[-3, -5, -2, -4, 0], [-7, -6, -10, 0, 0]]
    assert [one.logp.tolist() for one in rows_of(sets)] == [[-3, -5, -2, -4], [-7, -6, -10]]
    assert [one.logp.tolist() for one in rows_of(sets[1])] == [[-7, -6, -10]]

"""The explorer of pairs: it takes what the library takes, and shows the gradient of the loss that it hands out."""

import numpy as np
import pytest

from mapl_explore.explorers import LossExplorer, PairsExplorer
from mapl_explore.explorers.readout import digits, percent
from mapl_explore.losses import ScoredSets, parse
from mapl_explore.sampling.kernels import Band, Bell
from mapl_explore.sampling.pairs import (
    RejectionSampler,
    closest_pairs,
    easiest_pairs,
    hardest_pairs,
    pair_margins,
)

SETS = ScoredSets(
    logp=[[-40.0, -42.5, -300.0, -41.0], [-9.0, -3.0, -3.0, 0.0], [-2.0, -2.0, -2.0, -2.0]],
    ref_logp=[[-41.0, -41.5, -290.0, -39.0], [-8.0, -4.0, -2.0, 0.0], [-2.0, -2.0, -2.0, -2.0]],
    length=[[9, 8, 70, 9], [4, 2, 2, 1], [3, 3, 3, 3]],
    label=[[1, -1, 1, -1], [-1, 1, -1, 0], [1, 1, -1, -1]],
)


def of_pairs(**settings):
    return PairsExplorer(SETS, loss="cpo", pool="all sets", **settings)


def test_the_pairs_explorer_takes_what_the_library_takes():
    explorer = of_pairs(center=1.0, width=3.0, keep=3)
    margins = pair_margins(SETS, parse("cpo")).margin
    for strategy, kernel in (("band", Band(low=-2, high=4)), ("bell", Bell(center=1, width=3))):
        explorer.set(strategy=strategy)
        assert explorer.kernel == kernel
        np.testing.assert_array_equal(explorer.reading.chance, kernel(margins))
        report = RejectionSampler(kernel).sample(np.random.default_rng(0), margins, 10)[1]
        assert f"{digits(report.effective_size)} in effect" in repr(explorer)
        assert f"accepts {percent(report.expected_rate)}" in explorer._readout.value
    for strategy, first in (("hardest", hardest_pairs), ("easiest", easiest_pairs), ("closest", closest_pairs)):
        explorer.set(strategy=strategy)
        assert set(np.flatnonzero(explorer.reading.chance)) == set(first(margins, 3))
    explorer.set(strategy="MaxNeg-MinPos")
    hard = parse("MaxMin()").margin(SETS)
    np.testing.assert_array_equal(np.sort(margins[explorer.reading.chance > 0]), np.sort(hard))


def test_the_gradient_of_the_smooth_and_of_the_hardest_pair_is_that_of_the_loss_which_is_handed_out():
    explorer = of_pairs(tau=0.3, beta=0.7)
    for strategy, text in (("smooth", "Smooth(tau=0.3)"), ("MaxNeg-MinPos", "Hardest()")):
        explorer.set(strategy=strategy)
        assert explorer.loss == parse(f"CPO(beta=0.7, alpha=1.0, pair={text})")
        for number in (1, 2, 3):
            explorer.set(set=number)
            row = np.flatnonzero(SETS.label[number - 1])
            one = ScoredSets(
                *(getattr(SETS, name)[number - 1, row] for name in ("logp", "ref_logp", "length", "label"))
            )
            # The NLL is no matter of pairs.
            plain = parse(f"CPO(beta=0.7, alpha=0.0, pair={text})").weights(one)
            order = np.argsort(-one.label, kind="stable")
            np.testing.assert_allclose(
                explorer.reading.here[strategy].mean[number - 1, : row.size],
                plain[order],
                rtol=1e-11,  # the scores differ by 260 nats, so an exponent of 80 has 80 eps
                atol=1e-15,
            )


def test_the_grid_has_the_hardest_pair_at_the_top_left():
    reading = PairsExplorer(SETS, loss="maxneg-minpos", set=1).reading
    assert reading.names == ["+1", "+2", "−1", "−2"]
    np.testing.assert_array_equal(reading.margins, [[-259.0, -257.5], [1.0, 2.5]])
    assert [reading.names[place] for place in (*reading.rows, *reading.columns)] == ["+2", "+1", "−2", "−1"]


def test_a_kernel_that_takes_nothing_says_so_and_where_the_margins_lie():
    explorer = PairsExplorer(strategy="band", center=-14.0, width=1.0)
    assert repr(explorer).endswith("band takes none of 16 pairs")
    assert "takes none: the margins reach from −5 to 11 nats" in explorer._readout.value


def test_a_loss_without_pairs_is_refused_by_the_pairs_explorer():
    for text in ("sft", "post-orpo"):
        with pytest.raises(ValueError, match="loss must compare a positive with a negative"):
            PairsExplorer(loss=text)
    with pytest.raises(ValueError, match="loss: beta must be in"):
        PairsExplorer(loss="DPO(beta=1000)")


@pytest.mark.parametrize("sets", [None, SETS])
def test_it_goes_where_a_loss_explorer_on_the_same_sets_goes(sets):
    loss, pairs = LossExplorer("dpo-smooth", sets=sets), PairsExplorer(sets, strategy="smooth")
    loss.link(pairs, "beta", "tau")
    loss.set(beta=0.4, tau=0.25)
    assert pairs.loss == loss.loss == parse("DPO(beta=0.4, pair=Smooth(tau=0.25))")

"""The explorer of pairs: it takes what the library takes, and shows the gradient of the loss that it hands out."""

import numpy as np
import pytest

from mapl_explore.explorers import LossExplorer, PairsExplorer
from mapl_explore.explorers.readout import digits, percent
from mapl_explore.losses import ORPO, ScoredSets, parse
from mapl_explore.sampling.kernels import Band, Bell
from mapl_explore.sampling.pairs import RejectionSampler, closest_pairs, easiest_pairs, hardest_pairs, pair_margins

EPS = np.finfo(float).eps
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
        assert f"accepts {percent(report.expected_rate)}" in explorer.widget.says
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
    explorer = PairsExplorer(SETS, loss="maxneg-minpos", set=1)
    reading, grid = explorer.reading, explorer.panels(explorer.reading)[0]
    assert reading.names == ["p1", "p2", "n1", "n2"]
    np.testing.assert_array_equal(reading.margins, [[-259.0, -257.5], [1.0, 2.5]])
    assert [reading.names[place] for place in (*reading.rows, *reading.columns)] == ["p2", "p1", "n2", "n1"]
    assert [text for _, text in grid.x.ticks] == ["n2", "n1"]
    # The vertical axis runs down, so that the first row is at the top.
    assert [text for _, text in grid.y.ticks] == ["p2", "p1"]
    assert grid.y.low > grid.y.high
    assert grid["margins"].texts == ["−259", "−258", "1.0", "2.5"]


@pytest.mark.parametrize("strategy", ["band", "bell"])
def test_the_edges_and_the_middle_of_a_kernel_are_dragged_to_where_they_stand(strategy):
    explorer = PairsExplorer(strategy=strategy, center=1.0, width=3.0)
    panel = explorer.panels(explorer.reading)[1]
    for name, at, knob in (("left edge", -2.0, "width"), ("middle", 1.0, "center"), ("right edge", 4.0, "width")):
        (drag,) = panel[name].drags
        assert (panel[name].at, drag.knob, drag.along) == (at, knob, "x")
        assert drag.factor * at + drag.offset == explorer.settings[knob]
    # Half a nat outwards makes the kernel half a nat wider on each side.
    for name, moved in (("left edge", -2.5), ("right edge", 4.5)):
        (drag,) = panel[name].drags
        assert drag.factor * moved + drag.offset == 3.5


def test_the_ends_of_a_band_are_written_as_a_person_would():
    explorer = PairsExplorer(strategy="band", center=2.3, width=1.25)
    assert explorer.kernel == Band(low=1.05, high=3.55)
    assert "<b>Band(low=1.05, high=3.55)</b>" in explorer.widget.says


def test_an_edge_beyond_the_margins_is_taken_hold_of_at_the_end_of_the_axis():
    explorer = PairsExplorer(strategy="band", center=0.0, width=12.0)
    panel = explorer.panels(explorer.reading)[1]
    assert (panel["left edge"].at, panel["right edge"].at) == (panel.x.low, 12.0)


def test_a_strategy_without_a_kernel_has_nothing_to_drag():
    explorer = PairsExplorer(strategy="hardest")
    assert not any(mark.drags for panel in explorer.panels(explorer.reading) for mark in panel.marks)


def test_the_picture_of_the_gradient_has_its_mean_its_spread_and_that_of_random_pairs():
    explorer = PairsExplorer(strategy="bell", center=1.0, width=2.0)
    reading, panel = explorer.reading, explorer.panels(explorer.reading)[2]
    one, random = reading.here["bell"], reading.here["random"]
    np.testing.assert_array_equal(panel["pushed up"].bottom + panel["pushed down"].top, one.mean[0])
    np.testing.assert_array_equal(panel["spread"].y, one.mean[0] - one.spread[0])
    np.testing.assert_array_equal(panel["spread"].to_y, one.mean[0] + one.spread[0])
    np.testing.assert_array_equal(panel["random"].y, random.mean[0])


@pytest.mark.parametrize("count", [4, 8, 15, 64])
def test_responses_are_named_under_the_gradient_as_long_as_names_fit(count):
    sets = ScoredSets(-np.arange(1.0, 2 * count + 1), [-9.0] * 2 * count, [12] * 2 * count, [1, -1] * count)
    explorer = PairsExplorer(sets, loss="cpo")
    names = [text for _, text in explorer.panels(explorer.reading)[2].x.ticks]
    assert 4 <= len(names) <= 12
    assert names[0] == "p1"
    assert len("".join(names)) <= 20


def test_a_kernel_that_takes_nothing_says_so_and_where_the_margins_lie():
    explorer = PairsExplorer(strategy="band", center=-14.0, width=1.0)
    assert repr(explorer).endswith("band takes none of 16 pairs")
    assert "takes none: the margins reach from −5 to 11 nats" in explorer.widget.says


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


def test_a_pair_that_the_loss_does_not_push_has_no_gradient_and_says_so():
    explorer = PairsExplorer(loss="hinge", beta=10.0, strategy="easiest", keep=1)
    assert "inf" not in explorer.widget.says + repr(explorer).removeprefix("PairsExplorer")
    assert "Its margin is 11 nats. The loss does not push it." in explorer.widget.says
    assert repr(explorer).endswith("mean margin 11; no gradient")


def test_a_loss_that_never_pushes_has_a_slope_of_zero():
    reading = PairsExplorer(loss=ORPO(lam=0.0)).reading
    assert not reading.push.any()
    assert reading.gradients["random"].size == 0


def test_the_smooth_pair_takes_the_hardest_for_sure_and_the_others_in_proportion():
    reading = PairsExplorer(strategy="smooth", tau=0.5).reading
    np.testing.assert_allclose(
        reading.chance, np.exp(-0.5 * (reading.pairs.margin - reading.pairs.margin.min())), 1e-12
    )


def test_rewards_are_shades_of_the_responses_where_they_stand_in_the_map_and_under_the_gradient():
    graded = ScoredSets(**SETS.columns(), reward=[[1.0, 9.0, 5.0, 2.0], [0.0, 4.0, 3.0, 0.0], [6.0] * 4])
    explorer = PairsExplorer(graded, loss="cpo", set=1)
    grid, _, drawn = explorer.panels(explorer.reading)
    # Positives of 1 and 5, negatives of 9 and 2; in the map the hardest of each side comes first.
    np.testing.assert_allclose(drawn["rewards"].shade, [-1.0, 0.0, 1.0, -0.75], atol=8 * EPS)
    assert grid["their numbers"].texts == ["5", "1", "2", "9"]
    assert grid["rewards"].label == drawn["rewards"].label == "reward 1 to 9"
    explorer.set(set=3)
    assert explorer.panels(explorer.reading)[0]["rewards"].label == "reward 6"


def test_the_readout_says_what_noise_and_likeness_are():
    says = PairsExplorer(strategy="bell", center=0.0, width=2.0).widget.says
    assert "takes 16 of 16 pairs, in effect as many as 8.32 that are equally likely." in says
    assert "Likeness: the cosine between the mean and that of random pairs" in says


@pytest.mark.parametrize(
    ("strategy", "knob"),
    [("band", "center"), ("bell", "center"), ("smooth", "tau"), ("hardest", "keep"), ("random", "")],
)
def test_play_sweeps_what_the_strategy_reads(strategy, knob):
    assert PairsExplorer(strategy=strategy).widget.picture["sweep"] == knob


def test_the_explorer_shows_by_how_much_the_rewards_of_pairs_differ_where_there_are_some():
    graded = ScoredSets(**SETS.columns(), reward=[[1.0, 0.5, -1.0, 2.0], [0.0, 3.0, 1.0, 9.0], [1.0, 1.0, 1.0, 1.0]])
    explorer = PairsExplorer(graded, loss="cpo", pool="all sets", strategy="hardest", keep=3)
    pairs = pair_margins(graded, parse("cpo"))
    assert explorer.to_frame()["reward"].tolist() == pairs.reward.tolist()
    mean = pairs.reward[hardest_pairs(pairs.margin, 3)].mean()
    assert f"The positive's reward is larger by {digits(mean)} on average." in explorer.widget.says
    explorer.set(strategy="widest reward", keep=2)
    taken = pairs.reward[explorer.reading.chance > 0]
    assert sorted(taken) == sorted(pairs.reward)[-2:]
    assert "widest reward" in explorer.widget.says
    assert "widest reward" not in of_pairs().widget.says
    with pytest.raises(ValueError, match=r"strategy must be one of random, .*, smooth, not 'widest reward'"):
        of_pairs().set(strategy="widest reward")
    assert "reward" not in of_pairs().to_frame()
    assert "reward" not in of_pairs().widget.says


@pytest.mark.parametrize("name", ["cdpo", "robust-dpo"])
def test_a_loss_keeps_the_numbers_that_have_no_slider_here(name):
    explorer = PairsExplorer()
    explorer.set(loss=name)
    assert explorer.reading.loss.smoothing == 0.1
    assert f"loss={name!r}, beta=0.1" in repr(explorer)

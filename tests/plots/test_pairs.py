"""The panels of pairs: margins as a map, how they are spread, what is taken of them."""

import numpy as np
import pytest

from mapl_explore.plots.pairs import drawn_panel, grid_panel, margins_panel


def test_a_bar_under_a_margin_is_as_long_as_the_pair_is_likely():
    taken = np.array([[1.0, 0.5, 0.0], [0.25, 0.0, 1.0]])
    margins = np.array([[-12.3, -0.04, 0.5], [2.0, 9.96, 400.0]])
    panel = grid_panel(margins, taken, ["p2", "p1"], ["n1", "n2", "n3"], 400.0)
    np.testing.assert_allclose(panel["bars"].to_x - panel["bars"].x, 0.8 * taken.ravel(), atol=1e-12)
    # Row by row, each in its own cell, which is 1 wide and high from whole numbers on.
    cells = [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]
    np.testing.assert_array_equal(np.floor(np.stack([panel["bars"].x, panel["bars"].y], axis=-1)), cells)
    assert panel["margins"].texts == ["−12", "0.0", "0.5", "2.0", "10", "400"]


def test_the_colour_of_a_cell_is_its_margin_over_the_reach():
    panel = grid_panel(np.array([[-5.0, 0.0], [2.5, 10.0]]), np.ones((2, 2)), ["p1", "p2"], ["n1", "n2"], 10.0)
    np.testing.assert_array_equal(panel["map"].shade, [-0.5, 0.0, 0.25, 1.0])


def test_each_row_and_each_column_of_the_map_has_the_reward_of_its_response_at_its_edge():
    rewards = np.array([4.0, 0.0, 2.0])  # of the rows p2 and p1, and of the column n1
    panel = grid_panel(np.ones((2, 1)), np.ones((2, 1)), ["p2", "p1"], ["n1"], 1.0, rewards)
    cells = panel["rewards"]
    x, y = (cells.left + cells.right) / 2, (cells.bottom + cells.top) / 2
    np.testing.assert_array_equal(cells.shade, [1.0, -1.0, 0.0])
    assert panel["their numbers"].texts == ["4", "0", "2"]
    assert (np.all(x[:2] < 0), y[:2].tolist(), x[2], y[2] > 2) == (True, [0.5, 1.5], 0.5, True)
    assert (panel.x.low, panel.y.low) == (cells.left.min(), cells.bottom.max())
    assert "rewards" not in [mark.name for mark in grid_panel(np.ones((2, 1)), np.ones((2, 1)), "ab", "c", 1.0).marks]


def test_a_map_of_many_responses_has_colours_without_numbers():
    panel = grid_panel(np.ones((3, 13)), np.ones((3, 13)), ["p1"] * 3, ["n1"] * 13, 1.0)
    assert (panel["map"].shade.size, panel["margins"].texts, panel["margins"].x.size) == (39, [], 0)


def spread(margins, chance, places):
    return margins_panel(np.array(margins), np.array(chance), places=np.array(places), slope=np.ones(len(places)))


def test_what_is_taken_of_a_margin_is_its_share_of_the_pairs_there():
    panel = spread([-2.0, -2.0, 0.0, 4.0], [1.0, 0.5, 0.25, 0.0], [-2.0, 4.0])
    pairs, taken = panel["pairs"].top, panel["taken"].top
    assert (pairs[0], pairs[20], pairs[-1], pairs.sum()) == (1.0, 0.5, 0.5, 2.0)
    assert (taken[0], taken[20], taken[-1], taken.sum()) == (0.75, 0.125, 0.0, 0.875)
    assert not any(mark.name == "chance" for mark in panel.marks)


@pytest.mark.parametrize("span", [(-7.0, 15.0), (-2.0, 4.0), (-0.05, 1.0), (-1000.0, 20.0)])
def test_a_round_margin_stands_in_the_middle_of_its_bin_and_all_margins_have_one(span):
    bins = spread([span[0]], [1.0], span)["pairs"]
    middles = (bins.left + bins.right) / 2
    assert np.abs(middles).min() < 1e-9 * (span[1] - span[0])  # 0 is the middle of one
    assert bins.left[0] < span[0] < span[1] < bins.right[-1]


def test_whiskers_reach_one_spread_to_each_side_of_the_mean():
    panel = drawn_panel(np.array([[-0.5, 0.25], [0.25, 0.5]]), np.zeros(2), ["p1", "n1"], 1.0)
    ends = np.stack([panel["spread"].y, panel["spread"].to_y], axis=-1)
    np.testing.assert_array_equal(ends, [[-0.75, -0.25], [-0.25, 0.75]])
    np.testing.assert_array_equal(panel["spread"].x, [0.25, 0.75])

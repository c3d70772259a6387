"""LossExplorer: it shows the loss that is set, on the sets that are given, and keeps curves."""

import re
from dataclasses import replace

import numpy as np
import pytest
from explorer_controls import EPS, SETS, press, shown

from mapl_explore.explorers import LossExplorer
from mapl_explore.explorers.loss_controls import compared
from mapl_explore.explorers.readout import digits
from mapl_explore.explorers.stage import REST
from mapl_explore.losses import LOSSES, RLOO, ScoredSets, parse
from mapl_explore.plots.rewards import reward_cells

LARGEST = float(np.finfo("float64").max)


def test_every_preset_loss_can_be_chosen_and_is_then_the_loss():
    explorer = LossExplorer()
    for name, loss in LOSSES.items():
        explorer.do({"kind": "set", "knob": "loss", "value": name})
        assert explorer.loss == loss


def test_the_loss_explorer_moves_log_probs_and_asks_the_loss_itself():
    explorer = LossExplorer("dpo-smooth", over=["cpo"], tau=0.7, beta=0.3, shift=2.5, moved="n2")
    logp = np.array([-22.0, -24.5, -25.0, -25.0, -25.5, -28.0])
    moved = logp + np.array([0, 0, 0, 0, 2.5, 0])
    sets = ScoredSets(moved, np.full(6, -25.0), np.full(6, 10), np.array([1, 1, 1, -1, -1, -1]))
    loss, reading = parse("DPO(beta=0.3, pair=Smooth(tau=0.7))"), explorer.reading
    assert explorer.loss == loss
    assert reading.value == loss(sets)
    np.testing.assert_array_equal(reading.weights[0], loss.weights(sets))
    assert reading.slope == loss.weights(sets)[4]
    # The slope on the curve is the derivative of the curve: central differences of 0.25 nats, to their own error.
    values, slopes, step = reading.values[0], reading.slopes[0], reading.places[1] - reading.places[0]
    np.testing.assert_allclose((values[2:] - values[:-2]) / (2 * step), slopes[1:-1], atol=1e-3)
    assert np.ptp(slopes) > 0.1


def test_moving_all_positives_moves_the_margin_one_to_one():
    explorer = LossExplorer("maxneg-minpos", over=[])
    for shift in (-20.0, -3.5, 0.0, 8.0):
        explorer.set(shift=shift)
        assert explorer.reading.hard_margin == shift


def test_a_response_is_moved_until_it_is_certain_and_no_further():
    sets = ScoredSets([-3.0, -9.0, -4.0], [-5.0] * 3, [4] * 3, [1, 1, -1])
    explorer = LossExplorer("cpo-smooth", sets=sets, shift=20.0)
    assert explorer.reading.now == 3.0
    assert explorer.reading.places[-1] == 3.0
    assert explorer.reading.sets.logp.max() == 0.0
    assert "certain" in explorer.html(explorer.reading)
    explorer.set(shift=2.0)
    assert "certain" not in explorer.html(explorer.reading)


def test_sets_of_ones_own_are_shown_positives_first_without_padding():
    explorer = LossExplorer("maxneg-minpos", over=[], sets=SETS, set=2)
    reading = explorer.reading
    assert reading.names == ["p1", "n1", "n2"]
    np.testing.assert_array_equal(reading.sets.logp, [-3.0, -9.0, -3.0])
    assert reading.hard_margin == 0.0
    explorer.set(set=1)
    np.testing.assert_array_equal(explorer.reading.sets.logp, [-40.0, -300.0, -42.5, -41.0])
    assert explorer.reading.hard_margin == -300.0 - -41.0
    # A response that a set lacks cannot be moved in it: all positives are.
    explorer.set(set=2, moved="p2")
    assert explorer.reading.moved == "all positives"


def test_kept_curves_stay_while_the_loss_moves_on():
    explorer = LossExplorer("dpo-smooth", over=[], tau=0.5)
    before = explorer.reading.values[0]
    explorer.do({"kind": "action", "label": "keep this curve"})
    explorer.set(tau=50.0)
    assert explorer.kept == (parse("DPO(beta=0.1, pair=Smooth(tau=0.5))"),)
    np.testing.assert_array_equal(explorer.reading.values[1], before)
    assert (explorer.reading.values[0] != before).any()
    for _ in range(5):
        explorer.keep()
    assert len(explorer.kept) == 4
    explorer.do({"kind": "action", "label": "clear kept"})
    assert explorer.kept == ()
    assert len(explorer.reading.values) == 1


def test_a_loss_brings_its_own_numbers_and_greys_out_what_it_lacks():
    explorer = LossExplorer("dpo-smooth")
    explorer.set(loss="DPO(beta=0.5, pair=Smooth(tau=LeaderShare(share=0.7)))")
    assert (explorer.settings["beta"], explorer.settings["share"]) == (0.5, 0.7)
    assert explorer.widget.idle == ["clip", "epsilon", "reward_alpha", "smoothing", "tau"]
    explorer.set(share=0.6)
    assert explorer.loss == parse("DPO(beta=0.5, pair=Smooth(tau=LeaderShare(share=0.6)))")


def test_a_kept_curve_leaves_the_axes_to_the_loss_as_set():
    alone, beside = LossExplorer("dpo-smooth", over=[]), LossExplorer("dpo-smooth", over=["ipo"])
    assert max(map(np.max, beside.reading.values)) > 50 * max(map(np.max, alone.reading.values))
    for (low, high), (bottom, top) in zip(alone.reading.reach[:2], beside.reading.reach[:2], strict=True):
        assert bottom <= low < high <= top
        assert top - bottom <= 3 * (high - low) * (1 + EPS)
    assert beside.reading.reach[2] <= 7 * alone.reading.reach[2]


def test_that_advantages_are_fixed_is_said_where_they_depend_on_the_scores():
    assert "Its slope takes the advantages as fixed" in compared(RLOO(beta=0.1))
    assert compared(RLOO(beta=0.0)) == " It compares all responses by their rewards."


def test_a_loss_that_is_set_from_python_is_listed_once_and_a_preset_not_again():
    explorer = LossExplorer()
    listed = list(explorer.widget.options["loss"])
    for loss in ("dpo", "DPO(beta=0.3)", "dpo", "DPO(beta=0.3)"):
        explorer.set(loss=loss)
    assert explorer.widget.options["loss"] == [*listed, "DPO(beta=0.3, pair=Hardest())"]


def test_a_response_may_be_named_by_its_sign():
    explorer = LossExplorer(moved="−2")
    assert explorer.settings["moved"] == "n2"
    explorer.set(moved="+1")
    assert explorer.settings["moved"] == "p1"
    explorer.set(moved="-1")
    assert explorer.settings["moved"] == "n1"
    with pytest.raises(ValueError, match="moved must be one of all positives, p1, p2, p3, n1, n2, n3, not '-9'"):
        explorer.set(moved="-9")


@pytest.mark.parametrize("curves", ["slope", "weights"])
def test_the_line_in_both_panels_of_curves_is_the_shift_and_moves_it(curves):
    explorer = LossExplorer("dpo-smooth", over=["cpo"], shift=2.5, curves=curves)
    for panel in explorer.panels(explorer.reading)[:2]:
        (drag,) = panel["now"].drags
        assert (drag.knob, drag.along, drag.factor * panel["now"].at + drag.offset) == ("shift", "x", 2.5)


def test_the_picture_has_the_curves_of_each_loss_and_rings_where_the_set_is():
    explorer = LossExplorer("dpo-smooth", over=["cpo"], shift=2.5)
    reading = explorer.reading
    value, slope, push = explorer.panels(reading)
    for number, name in enumerate(("as set", "cpo")):
        np.testing.assert_array_equal(value[name].y, reading.values[number])
        np.testing.assert_array_equal(slope[name].y, reading.slopes[number])
    assert (value["rings"].x.item(), value["rings"].y.item()) == (2.5, reading.value)
    assert (slope["rings"].x.item(), slope["rings"].y.item()) == (2.5, reading.slope)
    np.testing.assert_array_equal(push["pushed up"].bottom + push["pushed down"].top, reading.weights[0])
    np.testing.assert_array_equal(push["cpo"].y, reading.weights[1])


def test_the_weights_along_the_shift_are_named_in_a_key_of_their_own():
    explorer = LossExplorer("dpo-smooth", shift=-1.0, curves="weights")
    reading, panel = explorer.reading, explorer.panels(explorer.reading)[1]
    assert panel.own_key
    for number, name in enumerate(reading.names):
        assert panel[name].label == name
        np.testing.assert_array_equal(panel[name].y, reading.pushes[0][:, number])
    np.testing.assert_array_equal(panel["rings"].y, reading.weights[0])


def test_one_preset_kept_twice_makes_two_curves():
    explorer = LossExplorer("dpo-smooth", over=["cpo", "cpo"])
    assert [mark.label for mark in explorer.panels(explorer.reading)[0].marks if mark.label] == [
        "as set",
        "kept 1",
        "kept 2",
    ]


def test_the_hardest_response_of_each_side_is_called_hardest():
    explorer = LossExplorer("dpo-smooth")
    rows = [row for row in explorer.widget.says.split("<tr>") if "hardest</td>" in row]
    assert [row.split("</th>")[0][-2:] for row in rows] == ["p3", "n1"]


def test_the_curve_that_makes_room_for_a_fifth_is_named():
    explorer = LossExplorer("dpo-smooth", over=["dpo-hardest"], tau=0.5)
    for tau in (1.0, 2.0, 3.0):
        press(explorer, "keep this curve")
        explorer.set(tau=tau)
    assert len(explorer.kept) == 4
    assert "made room" not in explorer.widget.says
    press(explorer, "keep this curve")
    assert "At most 4 curves are kept: DPO(beta=0.1, pair=Hardest()) made room." in explorer.widget.says
    press(explorer, "clear kept")
    assert "made room" not in explorer.widget.says


def test_reset_brings_back_the_curves_of_the_start():
    explorer = LossExplorer("dpo-smooth")
    start = shown(explorer)
    press(explorer, "clear kept")
    press(explorer, "reset")
    assert shown(explorer) == start
    explorer.set(loss="ipo")
    for _ in range(6):
        press(explorer, "keep this curve")
    press(explorer, "reset")
    assert explorer.kept == (parse("DPO(beta=0.1, pair=Hardest())"),)
    assert shown(explorer)["says"] == start["says"]


def test_a_preset_leaves_the_kept_curves_and_says_that_it_sets_the_controls():
    explorer = LossExplorer("dpo-smooth", over=["cpo"])
    press(explorer, "keep this curve")
    press(explorer, "hard pair")
    assert len(explorer.kept) == 2
    assert all(button["tip"].endswith(REST) for button in explorer.widget.buttons if button["kind"] == "preset")
    assert REST == "; all other controls as at the start"


@pytest.mark.parametrize(
    ("loss", "label", "sentence"),
    [
        ("dpo", "dpo (first pair)", "It compares the first positive with the first negative. Its margin is 3 nats"),
        (
            "dpo-hardest",
            "dpo-hardest (hardest pair)",
            "It compares the hardest positive (least r) with the hardest negative (largest r). Its margin is 0 nats",
        ),
        (
            "dpo-smooth",
            "dpo-smooth (smooth pair)",
            "It compares the smooth minimum of the positives with the smooth maximum of the negatives. Its margin is",
        ),
        (
            "post-orpo",
            "post-orpo (hardest negative)",
            "It looks at the hardest negative (largest r) alone. The hard margin",
        ),
        (
            "sft",
            "sft (no pair)",
            "It looks at the positives alone. The hard margin of the log-probs, which it does not",
        ),
        (
            "rloo",
            "rloo (all responses)",
            "It compares all responses by their rewards. Its slope takes the advantages as fixed",
        ),
    ],
)
def test_the_list_and_the_readout_say_which_pair_a_loss_compares(loss, label, sentence):
    explorer = LossExplorer(loss)
    assert sentence in explorer.widget.says
    (choice,) = [knob for knob in explorer.widget.knobs if knob["name"] == "loss"]
    assert choice["labels"][loss] == label
    assert set(choice["labels"]) == set(LOSSES)


def test_the_readout_names_the_curves_as_the_key_does():
    explorer = LossExplorer("dpo-smooth", over=["dpo-hardest", "DPO(beta=0.2)"])
    labels = [mark.label for mark in explorer.panels(explorer.reading)[0].marks if mark.label]
    assert labels == ["as set", "dpo-hardest", "kept 2"]
    table = explorer.widget.says.split("the losses are")[-1].split("</table>")[0]
    assert re.findall("</span> ([^<]*)</th><td>", table) == labels


@pytest.mark.parametrize("name", ["infonca", "plackett-luce", "rloo", "grpo"])
def test_a_loss_of_rewards_is_shown_with_the_rewards_of_the_sets_and_claims_no_margin(name):
    graded = ScoredSets(**SETS.columns(), reward=np.linspace(-1.0, 2.0, SETS.logp.size).reshape(SETS.logp.shape))
    explorer = LossExplorer(name, over=[], sets=graded, set=2)
    one = graded[1][graded[1].label != 0]
    one = one[np.argsort(-one.label, kind="stable")]
    assert explorer.reading.value == LOSSES[name](one)
    np.testing.assert_array_equal(explorer.reading.weights[0], LOSSES[name].weights(one))
    said = explorer.html(explorer.reading)
    cells = explorer.panels(explorer.reading)[2]["rewards"]
    lowest, highest = one.reward.min(), one.reward.max()
    np.testing.assert_allclose(cells.shade, 2 * (one.reward - lowest) / (highest - lowest) - 1, atol=8 * EPS)
    column = re.findall(r"<td[^>]*>([^<]*)</td></tr>", said.split("its reward")[-1])
    assert [float(text.replace("−", "-")) for text in column] == pytest.approx(one.reward.tolist(), abs=5e-3)
    assert "by their rewards" in said
    assert "Its margin" not in said
    assert f", hard margin {digits(explorer.reading.hard_margin)}; weights" in repr(explorer)
    assert explorer.headline(explorer.reading).keys() == {"loss", "slope"}
    assert ("not that of the curve" in said) == (name == "rloo")


@pytest.mark.parametrize(
    ("name", "number", "field"),
    [
        ("cdpo", "smoothing", "smoothing"),
        ("robust-dpo", "smoothing", "smoothing"),
        ("grpo", "clip", "clip"),
        ("infonca", "reward_alpha", "alpha"),
    ],
)
def test_a_number_of_one_loss_alone_has_a_slider_that_is_there_with_that_loss(name, number, field):
    explorer = LossExplorer("dpo", over=[])
    assert number in explorer.widget.idle
    assert [knob["spare"] for knob in explorer.widget.knobs if knob["name"] == number] == [True]
    explorer.set(loss=name)
    assert number not in explorer.widget.idle
    assert explorer.settings[number] == getattr(LOSSES[name], field)
    explorer.set(**{number: 0.25})
    assert explorer.loss == replace(LOSSES[name], **{field: 0.25})
    explorer.set(loss=repr(replace(LOSSES[name], **{field: 0.125})))
    assert explorer.settings[number] == 0.125
    with pytest.raises(ValueError, match=f"^loss: {number} must be in .* to be shown, not "):
        explorer.set(loss=repr(replace(LOSSES[name], **{field: 1e-5 if field != "smoothing" else 0.4999})))


def test_without_rewards_there_are_no_cells_and_no_column_of_them():
    explorer = LossExplorer("infonca", over=[])
    assert "rewards" not in [mark.name for mark in explorer.panels(explorer.reading)[2].marks]
    assert "reward</th>" not in explorer.widget.says


@pytest.mark.parametrize("rewards", [[LARGEST, -LARGEST, 0.0], [2.0, 2.0, 2.0]])
def test_the_shades_of_any_rewards_are_on_the_scale(rewards):
    cells, numbers = reward_cells(np.array(rewards), *np.zeros((4, 3)))
    assert cells.shade.tolist() == ([1.0, -1.0, 0.0] if rewards[1] < 0 else [0.0] * 3)
    assert len(numbers.texts) == 3
    assert "their numbers" not in [
        mark.name for mark in reward_cells(np.arange(9.0), *np.zeros((4, 9)), numbered=False)
    ]


def test_a_pin_leaves_no_cells_of_rewards_behind():
    explorer = LossExplorer("infonca", over=[], sets=ScoredSets(**SETS.columns(), reward=0.0 * SETS.logp + 1))
    explorer.pin()
    explorer.set(shift=1.0)
    names = [mark.name for mark in explorer._picture(explorer.reading)[2].marks]
    assert "pinned pushed up" in names
    assert "pinned rewards" not in names

"""Every explorer, wherever its controls are: no exception, the whole picture, any thread."""

import itertools
import math
import threading

import numpy as np
import pytest
from every_explorer import MAKERS
from explorer_controls import assert_whole, move, press, shown
from ipywidgets import Widget
from patience import HANG

from mapl_explore.explorers import BoundsExplorer, PrecisionExplorer, TemperatureExplorer
from mapl_explore.explorers.knobs import Choice
from mapl_explore.explorers.readout import signed
from mapl_explore.losses import parse


# Those of one explorer in one process: it is made once.
@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in MAKERS], scope="module")
def explorer(request):
    yield MAKERS[request.param]()
    Widget.close_all()  # ipywidgets keeps each widget that was ever made, and through it the figures


def within(knob, part):
    """The value at a part of the way along a slider."""
    if knob.scale == "log":
        return min(knob.low * (knob.high / knob.low) ** part, knob.high)
    return knob.low + part * (knob.high - knob.low)


def values_of(explorer, knob):
    """The ends, the middle and an odd value of a slider; the options of a choice, of many three."""
    if isinstance(knob, Choice):
        options = explorer.widget.options[knob.name]
        return options if len(options) <= 8 else [options[0], options[len(options) // 2], options[-1]]
    middle = within(knob, 0.5)
    if knob.scale == "integer":
        return sorted({knob.low, min(knob.low + 1, knob.high), round(middle), knob.high})
    return [knob.low, middle, knob.high, min(max(np.pi / 3, knob.low), knob.high)]


def test_every_control_goes_to_its_ends_and_its_odd_values_and_everything_stays_whole(explorer):
    for knob in explorer._knobs.values():
        explorer.reset()
        for value in values_of(explorer, knob):
            move(explorer, knob.name, value)
            assert explorer.settings[knob.name] == explorer.widget.values[knob.name] == value
            assert "nan" not in repr(explorer).lower()
            assert "nan" not in explorer.widget.says.lower()
        assert_whole(explorer)


def test_every_corner_of_the_sliders_has_numbers(explorer):
    explorer.reset()
    numeric = [knob for knob in explorer._knobs.values() if not isinstance(knob, Choice)]
    for ends in itertools.product(*([knob.low, knob.high] for knob in numeric)):
        corner = {knob.name: end for knob, end in zip(numeric, ends, strict=True)}
        reading = explorer.read(explorer.settings | corner)
        assert "nan" not in explorer.text(reading).lower()
        assert "nan" not in explorer.html(reading).lower()


def test_every_option_has_numbers_and_a_picture_with_all_sliders_at_either_end(explorer):
    explorer.reset()
    choices = [knob for knob in explorer._knobs.values() if isinstance(knob, Choice)]
    sliders = [knob for knob in explorer._knobs.values() if not isinstance(knob, Choice)]
    for choice, end in itertools.product(choices, ("low", "high")):
        corner = {knob.name: getattr(knob, end) for knob in sliders}
        for option in explorer.widget.options[choice.name]:
            reading = explorer.read(explorer.settings | corner | {choice.name: option})
            assert "nan" not in explorer.text(reading).lower()
            assert "nan" not in explorer.html(reading).lower()
            assert explorer.panels(reading)


def test_every_preset_sets_what_its_button_says(explorer):
    for label, preset in explorer._presets.items():
        explorer.reset()
        press(explorer, label)
        assert {name: explorer.settings[name] for name in preset} == preset
        assert "nan" not in explorer.widget.says.lower()


def test_reset_returns_to_the_start(explorer):
    explorer.reset()
    start = shown(explorer)
    for knob in explorer._knobs.values():
        move(explorer, knob.name, values_of(explorer, knob)[-1])
    press(explorer, "reset")
    assert shown(explorer) == start


def test_a_pin_and_another_leave_the_picture_as_it_was(explorer):
    explorer.reset()
    start = shown(explorer)
    explorer.pin()
    for knob in explorer._knobs.values():
        move(explorer, knob.name, values_of(explorer, knob)[0])
        assert "nan" not in explorer.widget.says.lower()
    assert_whole(explorer)
    explorer.pin()
    explorer.reset()
    assert shown(explorer) == start


def test_a_pin_says_how_far_the_numbers_have_come(explorer):
    explorer.reset()
    before = explorer.headline(explorer.reading)
    assert all(map(math.isfinite, before.values()))
    explorer.pin()
    assert ("Since the pin" in explorer.widget.says) == bool(before)  # of one score, or of no pair, there is none
    knob = next(knob for knob in explorer._knobs.values() if not isinstance(knob, Choice))
    move(explorer, knob.name, values_of(explorer, knob)[-1])
    for name, now in explorer.headline(explorer.reading).items():
        # As a reader finds it who subtracts what was shown from what is shown.
        ends = [float(f"{value:.3g}") for value in (before.get(name, now), now)]
        moved = "unchanged" if ends[0] == ends[1] else f"changed by {signed(ends[1] - ends[0], '+.3g')}"
        assert name not in before or f"{name} {moved}" in explorer.widget.says
    explorer.pin()


def test_the_loss_as_set_is_one_that_the_command_line_reads(explorer):
    explorer.reset()
    assert parse(repr(explorer.loss)) == explorer.loss


def test_every_control_has_a_name_and_a_help_and_every_handle_a_control(explorer):
    explorer.reset()
    assert all(knob["label"] and knob["help"] for knob in explorer.widget.knobs)
    marks = [mark for panel in explorer.widget.picture["panels"] for mark in panel["marks"]]
    assert {drag["knob"] for mark in marks for drag in mark["drags"] if drag} <= set(explorer.settings)


def test_play_sweeps_what_the_horizontal_axis_shows(explorer):
    explorer.reset()
    axes = {"smooth": "tau", "bounds": "tau", "precision": "tau", "temperature": "wide_gap", "loss": "shift"}
    axes |= {"pairs": "center", "training": "step"}
    axis = axes[type(explorer).__name__.removesuffix("Explorer").removesuffix("Max").lower()]
    # A set of one's own has no slider of its gap.
    assert explorer.widget.picture["sweep"] == (axis if axis in explorer.settings else "")


def test_play_sweeps_the_gap_where_the_curves_are_drawn_against_it():
    assert BoundsExplorer(against="gap").widget.picture["sweep"] == "gap"


def test_to_frame_has_numbers(explorer):
    explorer.reset()
    frame = explorer.to_frame()
    assert len(frame) > 0
    assert next(iter(frame.columns)) in ("response", "tau", "gap", "moved_by", "pair", "step")


# Many where they are quick: a move of "bounds" takes 3 ms, one of "pairs of sets" 60.
@pytest.mark.parametrize(
    ("name", "moves"),
    [("bounds", 300)]
    + [(name, 30) for name in ("smooth max", "temperature", "loss", "precision", "pairs of sets", "training")],
)
def test_changes_from_two_threads_leave_the_picture_of_the_last_settings(name, moves):
    explorer = MAKERS[name]()

    def shake(seed):
        rng = np.random.default_rng(seed)
        for _ in range(moves // 2):
            knob = explorer._knobs[str(rng.choice(list(explorer._knobs)))]
            if isinstance(knob, Choice):
                move(explorer, knob.name, str(rng.choice(explorer.widget.options[knob.name])))
                continue
            value = within(knob, rng.uniform())
            move(explorer, knob.name, round(value) if knob.scale == "integer" else value)

    threads = [threading.Thread(target=shake, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=HANG)
        assert not thread.is_alive()
    fresh = MAKERS[name]()
    fresh.set(**explorer.settings)
    assert shown(explorer) == shown(fresh)


@pytest.mark.parametrize("maker", [BoundsExplorer, TemperatureExplorer, PrecisionExplorer])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_slider_of_the_set_is_off_exactly_where_it_moves_nothing(maker, n):
    explorer = maker(n=n)
    gap = "gap" if "gap" in explorer.settings else "wide_gap"
    for name in (gap, "spread"):
        knob, seen = explorer._knobs[name], []
        for value in (knob.low, knob.default, knob.high):
            explorer.set(**{name: value})
            seen.append({what: has for what, has in shown(explorer).items() if what != "values"})
        assert (name in explorer.widget.idle) == (seen[0] == seen[1] == seen[2])
    assert explorer.idle(explorer.settings) == {1: {gap, "spread"}, 2: {"spread"}, 3: set()}[n]


@pytest.mark.parametrize("maker", [BoundsExplorer, TemperatureExplorer, PrecisionExplorer])
def test_the_readout_says_why_a_slider_of_the_set_is_off(maker):
    assert "One score has no gap and no spread: their sliders are off." in maker(n=1).widget.says
    assert "Two scores have no spread: its slider is off." in maker(n=2).widget.says
    assert "off." not in maker(n=3).widget.says
    assert maker(n=1).widget.picture["sweep"] in ("tau", "")  # "play" moves no slider that is off

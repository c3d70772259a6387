"""The stage: controls, picture and numbers agree, from any thread, whatever the user's matplotlib settings."""

import base64
import io
import queue
import subprocess
import sys
import threading

import matplotlib
import numpy as np
import pytest
from patience import HANG
from PIL import Image

from mapl_explore.explorers import BoundsExplorer, PairsExplorer
from mapl_explore.explorers import stage as stages
from mapl_explore.explorers.knobs import Knob
from mapl_explore.explorers.readout import digits
from mapl_explore.explorers.stage import Stage
from mapl_explore.plots.panels import Axis, Drag, Panel, Points, Style

KNOBS = (
    Knob("size", "size of the dot", "points", 1.0, 100.0, 10.0, "log", "Its diameter."),
    Knob("place", "place", "", 0.0, 1.0, 0.5, "linear", "How far to the right."),
    Knob("dots", "number of dots", "", 1, 5, 3, "integer", "One above the other."),
)


class DotStage(Stage):
    """Dots at a place: the least that uses every kind of slider."""

    size = (3.0, 2.0)
    pictures = 0

    def read(self, settings):
        return settings

    def panels(self, reading):
        self.pictures += 1
        height = np.arange(reading["dots"], dtype=float)
        dots = Points(
            name="dots",
            style=Style(width=reading["size"]),
            x=np.full(height.size, reading["place"]),
            y=height,
            drags=(Drag("place", "x"),) * height.size,
        )
        return [Panel("dots", Axis("place", 0, 1), Axis("", 0, 6), [dots])]

    def text(self, reading):
        return f"{reading['dots']} dots"

    def html(self, reading):
        return f"<p>{reading['dots']} dots at {digits(reading['place'])}</p>"

    def columns(self, reading):
        raise NotImplementedError


@pytest.fixture
def stage():
    return DotStage(KNOBS, {"small": {"size": 2.0}}, {"place": 0.25})


def shown(stage):
    """What the browser has to draw the picture from."""
    widget = stage.widget
    return widget.picture, widget.curves, widget.numbers, list(widget.words), widget.says, dict(widget.values)


def pixels(figure):
    figure.canvas.draw()
    return np.array(figure.canvas.buffer_rgba())[..., :3]


def moved(stage, knob, value):
    stage.do({"kind": "set", "knob": knob, "value": value})


def answered(stage, **message):
    """What the widget answers to a message from the browser."""
    stage.widget._received(stage.widget, {"serial": "a-1"} | message, [])
    return stage.widget.answer


def test_controls_start_at_their_knobs_default_or_where_told(stage):
    assert stage.settings == stage.widget.values == {"size": 10.0, "place": 0.25, "dots": 3}


@pytest.mark.parametrize(("name", "value"), [("size", 31.6), ("place", 0.75), ("dots", 5)])
def test_what_a_person_moves_is_what_the_settings_and_the_browser_have(stage, name, value):
    moved(stage, name, value)
    assert stage.settings[name] == stage.widget.values[name] == value


@pytest.mark.parametrize(("text", "value"), [("5.0118723", 5.0118723), (" 2e1 ", 20.0)])
def test_a_typed_number_keeps_all_its_digits(stage, text, value):
    moved(stage, "size", text)
    assert stage.settings["size"] == value


@pytest.mark.parametrize(
    ("knob", "value", "message"),
    [
        ("size", "1000", "size of the dot must be a number in [1, 100], not '1000'"),
        ("size", "a lot", "size of the dot must be a number, such as 10, not 'a lot'"),
        ("size", "2,5", "size of the dot must be a number with a point, such as 10.0, not '2,5'"),
        ("size", "", "size of the dot must be a number, such as 10, not ''"),
        ("size", "nan", "size of the dot must be a number in [1, 100], not 'nan'"),
        ("size", "−3", "size of the dot must be a number in [1, 100], not '−3'"),
        ("dots", "2.5", "number of dots must be a whole number in [1, 5], not '2.5'"),
        ("place", 7, "place must be a number in [0, 1], not 7"),
    ],
)
def test_a_value_that_is_none_of_its_knob_is_said_and_moves_nothing(stage, knob, value, message):
    before = shown(stage)
    assert answered(stage, kind="set", knob=knob, value=value) == {"serial": "a-1", "error": message}
    assert shown(stage) == before


def test_a_picture_and_the_answer_that_it_is_there_are_one_message(stage, monkeypatch):
    sent = []
    monkeypatch.setattr(stage.widget, "_send", lambda message, buffers=None: sent.append(message))
    assert answered(stage, kind="set", knob="place", value=0.5) == {"serial": "a-1", "error": ""}
    [message] = sent
    assert {"values", "says", "answer"} <= set(message["state"])
    assert message["buffer_paths"] == [["numbers"]]
    assert "picture" not in message["state"]
    assert answered(stage, kind="hello", serial="a-2") == {"serial": "a-2", "error": ""}


def test_each_change_makes_one_picture(stage):
    for change in (
        lambda: moved(stage, "place", 0.5),
        lambda: stage.set(size=3.0, place=0.1, dots=2),
        lambda: stage.do({"kind": "preset", "label": "small"}),
    ):
        before = stage.pictures
        change()
        assert stage.pictures == before + 1


def test_while_only_numbers_move_the_description_of_the_picture_is_not_sent_again(stage):
    changes = []
    stage.widget.observe(lambda change: changes.append(change["name"]), ["picture", "numbers"])
    moved(stage, "place", 0.5)
    assert changes == ["numbers"]
    moved(stage, "dots", 1)
    assert changes == ["numbers", "picture", "numbers"]


def test_the_picture_and_the_readout_follow_the_knob(stage):
    moved(stage, "dots", 5)
    (dots,) = stage.widget.picture["panels"][0]["marks"]
    kind, start, count = dots["arrays"]["y"]
    assert kind == 1  # a short one
    assert np.frombuffer(stage.widget.numbers, "<f4")[start : start + count].tolist() == [0, 1, 2, 3, 4]
    assert stage.widget.says == "<p>5 dots at 0.25</p>"


def test_a_preset_sets_what_it_names_and_puts_the_rest_back(stage):
    stage.set(size=50.0, place=0.9, dots=5)
    stage.do({"kind": "preset", "label": "small"})
    assert stage.settings == {"size": 2.0, "place": 0.25, "dots": 3}


def test_reset_goes_back_to_the_start(stage):
    start = shown(stage)
    stage.set(size=50.0, place=0.9, dots=5)
    stage.do({"kind": "reset"})
    assert shown(stage) == start


def test_a_pin_leaves_the_picture_behind_and_another_takes_it_away(stage):
    stage.do({"kind": "pin"})
    moved(stage, "place", 0.75)
    pinned, dots = stage.widget.picture["panels"][0]["marks"]
    numbers = np.frombuffer(stage.widget.numbers, "<f4")
    assert [numbers[mark["arrays"]["x"][1]] for mark in (pinned, dots)] == [0.25, 0.75]
    assert pinned["opacity"] < dots["opacity"]
    assert not pinned["drags"]
    stage.do({"kind": "pin"})
    assert [mark["name"] for mark in stage.widget.picture["panels"][0]["marks"]] == ["dots"]


def test_a_pin_says_at_which_settings_it_was_set(stage):
    stage.set(place=0.75, dots=5)
    stage.pin()
    moved(stage, "place", 0.25)
    assert stage.widget.pinned == "DotStage(size=10, place=0.75, dots=5)"
    stage.pin()
    assert stage.widget.pinned == ""


def test_a_pin_is_there_in_all_panels_or_waits_with_a_word_until_its_axes_are_back():
    stage = BoundsExplorer()
    stage.pin()
    ghosts = lambda: [sum("pinned" in mark.name for mark in panel.marks) for panel in stage._picture(stage.reading)]  # noqa: E731
    assert min(ghosts()) > 0
    stage.set(against="gap")
    assert ghosts() == [0, 0, 0]
    assert stage.widget.says.startswith('<p class="mapl-since">The pin has other axes: it comes back with them.</p>')
    stage.set(against="tau")
    assert min(ghosts()) > 0
    assert "Since the pin" in stage.widget.says


def test_nothing_is_cut_off_by_the_axes_of_a_pin():
    stage = PairsExplorer()
    free = stage.panels(stage.read(stage.settings | {"beta": 1.0}))
    stage.pin()
    stage.set(beta=1.0)
    for panel, alone in zip(stage._picture(stage.reading), free, strict=True):
        for axis, least in ((panel.x, alone.x), (panel.y, alone.y)):
            assert min(axis.low, axis.high) <= min(least.low, least.high)
            assert max(axis.low, axis.high) >= max(least.low, least.high)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"place": 0.5, "height": 1.0}, "height is no slider here; there are size, place, dots"),
        ({"place": 0.5, "size": 0.5}, r"size must be a number in \[1, 100\], not 0.5"),
        ({"place": 0.5, "size": float("nan")}, "size must be a number .* not nan"),
        ({"place": 0.5, "size": None}, "size must be a number, not None"),
        ({"place": 0.5, "size": "big"}, "size must be a number, not 'big'"),
        ({"place": 0.5, "dots": 2.5}, r"dots must be a whole number in \[1, 5\], not 2.5"),
        ({"place": 0.5, "dots": float("inf")}, "dots must be a number, not inf"),
    ],
)
def test_a_wrong_setting_is_refused_and_moves_no_slider(stage, settings, message):
    before = stage.settings
    for door in (stage.set, stage.frame, lambda **start: DotStage(KNOBS, {}, start)):
        with pytest.raises((TypeError, ValueError), match=message):
            door(**settings)
    assert stage.settings == before


def test_frame_shows_other_settings_and_leaves_the_controls(stage):
    before = stage.settings
    other = stage.frame(place=0.9)
    assert stage.settings == before
    stage.set(place=0.9)
    np.testing.assert_array_equal(pixels(stage.snapshot()), other)


def test_the_users_matplotlib_settings_neither_change_the_picture_nor_are_changed(stage):
    picture = pixels(stage.snapshot())
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30, "text.usetex": True}):
        before = dict(matplotlib.rcParams)
        other = pixels(DotStage(KNOBS, {}, {"place": 0.25}).snapshot())
        assert dict(matplotlib.rcParams) == before
    np.testing.assert_array_equal(other, picture)


def test_a_snapshot_is_a_figure_of_its_own(stage):
    figure = stage.snapshot()
    before = stage.frame()
    figure.axes[0].set_title("for a paper")
    figure.axes[0].set_xlim(0, 9)
    np.testing.assert_array_equal(stage.frame(), before)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg")
    assert b"</svg>" in buffer.getvalue()


def test_a_cell_shows_the_widget_and_an_export_the_picture_and_the_numbers(stage):
    bundle = stage._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == stage.widget.model_id
    picture = np.array(Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))))[..., :3]
    np.testing.assert_array_equal(picture, stage.frame())
    assert bundle["text/plain"] == "DotStage(size=10, place=0.25, dots=3): 3 dots"


def test_the_browser_has_each_knobs_name_unit_range_and_help(stage):
    for knob, described in zip(KNOBS, stage.widget.knobs, strict=True):
        assert described == vars(knob)


class Watched:
    """A lock that reports each time a thread finds it taken or free."""

    def __init__(self, lock):
        self.lock, self.reports = lock, queue.Queue()

    def __enter__(self):
        taken = not self.lock.acquire(blocking=False)
        self.reports.put("waits" if taken else "goes on")
        if taken:
            self.lock.acquire()

    def __exit__(self, *_):
        self.lock.release()


class ParkedStage(DotStage):
    """Dots whose picture, once ``parked``, stops in the middle of a move until it is released."""

    parked = False

    def panels(self, reading):
        if self.parked:
            self.parked = False
            self.inside.set()
            assert self.released.wait(HANG)
        return super().panels(reading)


@pytest.mark.parametrize(
    "act",
    [
        lambda stage: moved(stage, "place", 0.75),
        lambda stage: stage.do({"kind": "preset", "label": "small"}),
        lambda stage: stage.set(place=0.75),
        lambda stage: stage.pin(),
        lambda stage: stage.settings,
    ],
    ids=["knob", "preset", "set", "pin", "settings"],
)
def test_while_one_thread_is_inside_a_move_another_waits(monkeypatch, act):
    lock = Watched(stages.LOCK)
    monkeypatch.setattr(stages, "LOCK", lock)
    stage = ParkedStage(KNOBS, {"small": {"size": 2.0}}, {})
    stage.inside, stage.released, stage.parked = threading.Event(), threading.Event(), True

    def second():
        act(stage)
        lock.reports.put("ends")

    threads = [threading.Thread(target=lambda: stage.set(dots=5)), threading.Thread(target=second)]
    threads[0].start()
    assert stage.inside.wait(HANG)
    lock.reports.queue.clear()
    threads[1].start()
    report = lock.reports.get(timeout=HANG)
    stage.released.set()
    for thread in threads:
        thread.join(timeout=HANG)
        assert not thread.is_alive()
    assert report == "waits"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.012345, "0.0123"),
        (999.4, "999"),
        (1000.0, "1,000"),
        (41588.1, "41,588"),
        (1e12, "1e+12"),
        (7e-221, "under 1e−12"),
    ],
)
def test_digits_are_three_or_whole_and_a_speck_has_a_bound(value, text):
    assert digits(value) == text


def test_an_explorer_does_not_import_pyplot_or_torch():
    code = "import sys, mapl_explore.explorers; assert not {'matplotlib.pyplot', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

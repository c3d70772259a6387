"""The stage: sliders, picture and numbers agree, from any thread, whatever the user's matplotlib settings."""

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

from mapl_explore.explorers import stage as stages
from mapl_explore.explorers.knobs import Knob
from mapl_explore.explorers.readout import digits
from mapl_explore.explorers.stage import Stage

KNOBS = (
    Knob("size", "size of the dot", "points", 1.0, 100.0, 10.0, "log", "Its diameter."),
    Knob("place", "place", "", 0.0, 1.0, 0.5, "linear", "How far to the right."),
    Knob("dots", "number of dots", "", 1, 5, 3, "integer", "One above the other."),
)


class DotPanel:
    def __init__(self, axes):
        axes.set(xlim=(0, 1), ylim=(0, 6), xlabel="place")
        self.moving = axes.plot([], [], "o", color="black", clip_on=False)

    def move(self, settings):
        count = settings["dots"]
        self.moving[0].set_data(np.full(count, settings["place"]), np.arange(count))
        self.moving[0].set_markersize(settings["size"])


class DotStage(Stage):
    """Dots at a place: the least that uses every kind of slider."""

    size = (3.0, 2.0)
    frames = 0

    def build(self, figure, scene):
        return [DotPanel(figure.subplots())]

    def read(self, settings):
        return settings

    def move(self, panels, reading):
        self.frames += 1
        panels[0].move(reading)

    def text(self, reading):
        return f"{reading['dots']} dots"

    def html(self, reading):
        return f"<p>{reading['dots']} dots at {digits(reading['place'])}</p>"

    def to_frame(self):
        raise NotImplementedError


@pytest.fixture
def stage():
    return DotStage(KNOBS, {"small": {"size": 2.0}}, {"place": 0.25})


def shown(stage):
    """The picture as the browser gets it, decoded by an independent reader."""
    return np.array(Image.open(io.BytesIO(stage._image.value)))


def control(stage, name):
    return stage._controls[name]


def button(stage, label):
    buttons = [child for child in descendants(stage.widget) if getattr(child, "description", None) == label]
    assert len(buttons) == 1, label
    return buttons[0]


def descendants(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from descendants(child)


def full_drawing(stage):
    figure = stage.snapshot()
    figure.canvas.draw()
    return np.array(figure.canvas.buffer_rgba())[..., :3]


def test_sliders_start_at_their_knobs_default_or_where_told(stage):
    assert stage.settings == {"size": 10.0, "place": 0.25, "dots": 3}


@pytest.mark.parametrize(("name", "value"), [("size", 31.6), ("place", 0.75), ("dots", 5)])
def test_the_box_follows_the_slider_and_the_slider_the_box(stage, name, value):
    control(stage, name).slider.value = value
    assert (control(stage, name).box.value, stage.settings[name]) == (value, value)
    control(stage, name).box.value = control(stage, name).knob.low
    assert (control(stage, name).slider.value, stage.settings[name]) == (control(stage, name).knob.low,) * 2


def test_a_slider_sets_three_digits_and_a_box_as_many_as_typed(stage):
    control(stage, "size").slider.value = 10**0.71
    assert stage.settings["size"] == control(stage, "size").box.value == 5.13
    control(stage, "size").box.value = 5.0118723
    assert stage.settings["size"] == control(stage, "size").slider.value == 5.0118723


def test_a_browser_that_puts_the_knob_on_the_nearest_step_changes_nothing(stage):
    stage.set(size=5.0, place=0.2549)
    before = stage.frames
    control(stage, "size").slider.value = 10**0.7  # 0.70 is the step next to log10(5) = 0.699
    control(stage, "place").slider.value = 0.25
    assert stage.frames == before
    assert (stage.settings["size"], stage.settings["place"]) == (5.0, 0.2549)
    control(stage, "size").slider.value = 10**0.71
    assert stage.settings["size"] == 5.13


def test_each_change_draws_one_frame(stage):
    for change in (
        lambda: setattr(control(stage, "place").slider, "value", 0.5),
        lambda: setattr(control(stage, "dots").box, "value", 1),
        lambda: stage.set(size=3.0, place=0.1, dots=2),
        lambda: button(stage, "small").click(),
    ):
        before = stage.frames
        change()
        assert stage.frames == before + 1


def test_the_picture_is_a_whole_png(stage):
    png = bytes(stage._image.value)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert png.endswith(b"\0\0\0\0IEND\xaeB`\x82")
    Image.open(io.BytesIO(png)).verify()


def test_the_picture_and_the_readout_follow_the_slider(stage):
    before = shown(stage)
    control(stage, "dots").slider.value = 5
    assert (shown(stage) != before).any()
    assert "<p>5 dots at 0.25</p>" in stage._readout.value


def test_a_preset_sets_what_it_names_and_puts_the_rest_back(stage):
    stage.set(size=50.0, place=0.9, dots=5)
    button(stage, "small").click()
    assert stage.settings == {"size": 2.0, "place": 0.25, "dots": 3}


def test_reset_goes_back_to_the_start(stage):
    start = shown(stage)
    stage.set(size=50.0, place=0.9, dots=5)
    button(stage, "reset").click()
    assert stage.settings == {"size": 10.0, "place": 0.25, "dots": 3}
    np.testing.assert_array_equal(shown(stage), start)


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


def test_frame_shows_other_settings_and_leaves_the_sliders(stage):
    before, picture = stage.settings, shown(stage)
    other = stage.frame(place=0.9)
    assert stage.settings == before
    stage.set(place=0.9)
    np.testing.assert_array_equal(shown(stage), other)
    assert (other != picture).any()


def test_a_frame_equals_the_full_drawing_also_where_a_dot_lies_on_a_spine(stage):
    stage.set(place=0.0, size=40.0)
    np.testing.assert_array_equal(shown(stage), full_drawing(stage))


def test_a_frame_leaves_nothing_behind(stage):
    first = stage.frame()
    stage.frame(size=100.0, dots=5, place=1.0)
    np.testing.assert_array_equal(stage.frame(), first)


def test_the_users_matplotlib_settings_neither_change_the_picture_nor_are_changed(stage):
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30, "text.usetex": True}):
        before = dict(matplotlib.rcParams)
        other = DotStage(KNOBS, {}, {"place": 0.25})
        assert dict(matplotlib.rcParams) == before
        np.testing.assert_array_equal(shown(other), shown(stage))
        np.testing.assert_array_equal(full_drawing(other), shown(stage))


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
    assert base64.b64decode(bundle["image/png"]) == stage._image.value
    assert bundle["text/plain"] == "DotStage(size=10, place=0.25, dots=3): 3 dots"


def test_every_slider_has_a_box_that_carries_its_name_unit_and_help(stage):
    for knob in KNOBS:
        box = control(stage, knob.name).box
        assert box.description.startswith(knob.label)
        assert knob.unit in box.description
        assert box.tooltip == knob.help


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

    def move(self, panels, reading):
        if self.parked:
            self.parked = False
            self.inside.set()
            assert self.released.wait(HANG)
        super().move(panels, reading)


@pytest.mark.parametrize(
    "act",
    [
        lambda stage: setattr(control(stage, "place").slider, "value", 0.75),
        lambda stage: setattr(control(stage, "place").box, "value", 0.75),
        lambda stage: stage.set(place=0.75),
        lambda stage: stage.frame(place=0.75),
        lambda stage: stage.settings,
    ],
    ids=["slider", "box", "set", "frame", "settings"],
)
def test_while_one_thread_is_inside_a_move_another_waits(monkeypatch, act):
    lock = Watched(stages.LOCK)
    monkeypatch.setattr(stages, "LOCK", lock)
    stage = ParkedStage(KNOBS, {}, {})
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
    [(0.0, "0"), (0.012345, "0.0123"), (999.4, "999"), (41588.1, "41,588"), (1e12, "1e+12"), (7e-221, "under 1e-12")],
)
def test_digits_are_three_or_whole_and_a_speck_has_a_bound(value, text):
    assert digits(value) == text


def test_an_explorer_does_not_import_pyplot_or_torch():
    code = "import sys, mapl_explore.explorers; assert not {'matplotlib.pyplot', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

"""Every explorer, wherever its controls are: no exception, the library's numbers, the whole picture, any thread."""

import decimal
import itertools
import threading

import mpmath
import numpy as np
import pytest
import torch
from ipywidgets import Widget
from matplotlib.artist import Artist
from patience import HANG
from recorded_runs import record, recorded
from traitlets import TraitError

from mapl_explore.course.naive_formulas import FORMULAS, naive_error, right_digits, true_error
from mapl_explore.explorers import (
    BoundsExplorer,
    LossExplorer,
    PairsExplorer,
    PrecisionExplorer,
    SmoothMaxExplorer,
    TemperatureExplorer,
    TrainingExplorer,
)
from mapl_explore.explorers.knobs import Choice
from mapl_explore.losses import LOSSES, ScoredSets, parse
from mapl_explore.runs.probes import read_probes
from mapl_explore.runs.record import Run, write_run

EPS = 2.0**-52

SETS = ScoredSets(
    logp=[[-40.0, -42.5, -300.0, -41.0], [-9.0, -3.0, -3.0, 0.0], [-2.0, -2.0, -2.0, -2.0]],
    ref_logp=[[-41.0, -41.5, -290.0, -39.0], [-8.0, -4.0, -2.0, 0.0], [-2.0, -2.0, -2.0, -2.0]],
    length=[[9, 8, 70, 9], [4, 2, 2, 1], [3, 3, 3, 3]],
    label=[[1, -1, 1, -1], [-1, 1, -1, 0], [1, 1, -1, -1]],
)
LARGE = ScoredSets(-np.geomspace(1, 900, 30), [-9.0] * 30, [12] * 30, [1, -1] * 15)
MAKERS = {
    "smooth max": SmoothMaxExplorer,
    "smooth max of one": lambda: SmoothMaxExplorer([-1.0]),
    "smooth max of eight ties": lambda: SmoothMaxExplorer([3.0] * 8),
    "bounds": BoundsExplorer,
    "bounds of own scores": lambda: BoundsExplorer([-1.0, -float("inf"), -700.0]),
    "bounds of sets": lambda: BoundsExplorer(SETS),
    "temperature": TemperatureExplorer,
    "temperature of one score": lambda: TemperatureExplorer([-1.0]),
    "temperature of a tie": lambda: TemperatureExplorer([-1.0, -1.0, -2.0]),
    "temperature of sets": lambda: TemperatureExplorer(SETS),
    "loss": LossExplorer,
    "loss over four": lambda: LossExplorer("dpo-share", over=["orpo", "ipo", "simpo", "post-orpo"]),
    "loss on sets": lambda: LossExplorer("dpo-mellow", sets=SETS),
    "precision": PrecisionExplorer,
    "pairs": PairsExplorer,
    "pairs of one and one": lambda: PairsExplorer(ScoredSets([-1.0, -2.0], [-1.0, -1.0], [3, 3], [1, -1])),
    "pairs that tie": lambda: PairsExplorer(ScoredSets([-2.0] * 5, [-3.0] * 5, [3] * 5, [1, -1, 1, -1, -1])),
    "pairs of sets": lambda: PairsExplorer(SETS, loss="cpo"),
    "pairs of a large set": lambda: PairsExplorer(LARGE, loss="simpo"),
    "training": lambda: recorded(TrainingExplorer, "DPO(pair=Smooth(tau=LeaderShare(share=0.9)))"),
    "training that anneals, of twelve responses, one step in three recorded": lambda: recorded(
        TrainingExplorer, "CPO(pair=Mellow(tau=Anneal(start=0.5, stop=50.0)))", step=range(0, 13, 3), per_side=6
    ),
    "training without a pair, one step of one set": lambda: recorded(TrainingExplorer, "SFT()", step=[0], sets=1),
    "training of one against one": lambda: recorded(TrainingExplorer, "OneSided(pair=Smooth(tau=2.0))", per_side=1),
}


# Those of one explorer in one process: it is made once.
@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in MAKERS], scope="module")
def explorer(request):
    yield MAKERS[request.param]()
    Widget.close_all()  # ipywidgets keeps each widget that was ever made, and through it the figures


def values_of(control):
    """The ends, the middle and an odd value of a slider; the options of a choice, of many three."""
    knob = control.knob
    if isinstance(knob, Choice):
        options = control.picker.options
        return options if len(options) <= 8 else [options[0], options[len(options) // 2], options[-1]]
    middle = knob.value((knob.position(knob.low) + knob.position(knob.high)) / 2)
    if knob.scale == "integer":
        return sorted({knob.low, min(knob.low + 1, knob.high), round(middle), knob.high})
    return [knob.low, middle, knob.high, min(max(np.pi / 3, knob.low), knob.high)]


def move(control, value):
    """Set a control as a person would."""
    (control.picker if isinstance(control.knob, Choice) else control.box).value = value


def assert_whole(explorer):
    """All that is written is inside the picture, and the frame is what a full drawing of it paints."""
    figure = explorer._picture_of(explorer.scene(explorer.reading)).figure
    pixels = drawn_in_full(figure)
    np.testing.assert_array_equal(explorer.frame(), pixels[..., :3])
    renderer, width, height = figure.canvas.get_renderer(), figure.bbox.x1, figure.bbox.y1
    for axes in figure.axes:
        parts = [axes.xaxis.label, axes.yaxis.label, *axes.texts]
        parts += [tick for axis in (axes.xaxis, axes.yaxis) for tick in ticks(axis)]
        for text in (part for part in parts if part.get_visible() and part.get_text() and not part.get_clip_on()):
            box = text.get_window_extent(renderer)
            assert -0.5 <= box.x0 <= box.x1 <= width + 0.5, text
            assert -0.5 <= box.y0 <= box.y1 <= height + 0.5, text
    for legend in [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]:
        box = legend.get_window_extent(renderer)
        assert -0.5 <= box.x0 <= box.x1 <= width + 0.5, "legend"
    assert len(np.unique(pixels[::2].view(np.uint32))) > 50, "blank"


def drawn_in_full(figure):
    """Draw every artist of a figure, those too that a frame paints over its scenery."""
    moving = figure.findobj(Artist.get_animated)
    for artist in moving:
        artist.set_animated(False)
    figure.canvas.draw()
    for artist in moving:
        artist.set_animated(True)
    return np.array(figure.canvas.buffer_rgba())


def ticks(axis):
    low, high = sorted(axis.get_view_interval())
    return [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]


def test_every_control_goes_to_its_ends_and_its_odd_values_and_everything_stays_whole(explorer):
    for control in explorer._controls.values():
        explorer.reset()
        for value in values_of(control):
            move(control, value)
            assert explorer.settings[control.knob.name] == value
            assert "nan" not in repr(explorer).lower()
            assert "nan" not in explorer._readout.value.lower()
        assert_whole(explorer)


def test_the_picture_kept_for_a_scene_is_the_one_drawn_anew_wherever_its_controls_are(explorer):
    explorer.reset()
    scene = explorer.scene(explorer.reading)
    for control in explorer._controls.values():
        before = explorer.settings
        move(control, values_of(control)[-1])
        if explorer.scene(explorer.reading) != scene:
            explorer.set(**before)
    np.testing.assert_array_equal(explorer.frame(), drawn_in_full(explorer.snapshot())[..., :3])


def test_every_corner_of_the_sliders_has_numbers(explorer):
    explorer.reset()
    numeric = [control for control in explorer._controls.values() if not isinstance(control.knob, Choice)]
    for ends in itertools.product(*([control.knob.low, control.knob.high] for control in numeric)):
        corner = {control.knob.name: end for control, end in zip(numeric, ends, strict=True)}
        reading = explorer.read(explorer.settings | corner)
        assert "nan" not in explorer.text(reading).lower()
        assert "nan" not in explorer.html(reading).lower()


def test_every_option_has_numbers_with_all_sliders_at_either_end(explorer):
    explorer.reset()
    choices = [control for control in explorer._controls.values() if isinstance(control.knob, Choice)]
    sliders = [control.knob for control in explorer._controls.values() if not isinstance(control.knob, Choice)]
    for choice, end in itertools.product(choices, ("low", "high")):
        corner = {knob.name: getattr(knob, end) for knob in sliders}
        for option in choice.picker.options:
            reading = explorer.read(explorer.settings | corner | {choice.knob.name: option})
            assert "nan" not in explorer.text(reading).lower()
            assert "nan" not in explorer.html(reading).lower()


def test_every_preset_sets_what_its_button_says(explorer):
    for label, preset in explorer._presets.items():
        explorer.reset()
        button(explorer, label).click()
        assert {name: explorer.settings[name] for name in preset} == preset
        assert "nan" not in explorer._readout.value.lower()


def test_reset_returns_to_the_start(explorer):
    explorer.reset()
    start, picture = explorer.settings, bytes(explorer._image.value)
    for control in explorer._controls.values():
        move(control, values_of(control)[-1])
    button(explorer, "reset").click()
    assert explorer.settings == start
    assert bytes(explorer._image.value) == picture


def test_the_loss_as_set_is_one_that_the_command_line_reads(explorer):
    explorer.reset()
    assert parse(repr(explorer.loss)) == explorer.loss


def test_every_control_has_a_name_and_a_help(explorer):
    for control in explorer._controls.values():
        named = control.picker if isinstance(control.knob, Choice) else control.box
        assert named.description.startswith(control.knob.label)
        assert named.tooltip == control.knob.help


def test_to_frame_has_numbers(explorer):
    explorer.reset()
    frame = explorer.to_frame()
    assert len(frame) > 0
    assert next(iter(frame.columns)) in ("response", "tau", "gap", "moved_by", "pair", "step")


@pytest.mark.parametrize(
    "name", ["smooth max", "bounds", "temperature", "loss", "precision", "pairs of sets", "training"]
)
def test_two_threads_and_30_changes_leave_the_picture_of_the_last_settings(name):
    explorer = MAKERS[name]()

    def shake(seed):
        rng = np.random.default_rng(seed)
        for _ in range(15):
            control = explorer._controls[rng.choice(list(explorer._controls))]
            if isinstance(control.knob, Choice):
                move(control, str(rng.choice(control.picker.options)))
                continue
            knob = control.knob
            value = knob.value(rng.uniform(knob.position(knob.low), knob.position(knob.high)))
            control.slider.value = round(value) if knob.scale == "integer" else value

    threads = [threading.Thread(target=shake, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=HANG)
        assert not thread.is_alive()
    fresh = MAKERS[name]()
    fresh.set(**explorer.settings)
    assert explorer._image.value == fresh._image.value
    assert explorer._readout.value == fresh._readout.value


def test_linked_explorers_go_where_either_goes():
    bounds, loss, smooth = BoundsExplorer(tau=2.0), LossExplorer("dpo-smooth"), SmoothMaxExplorer()
    bounds.link(loss, "tau")
    bounds.link(smooth)
    assert (loss.settings["tau"], smooth.settings["tau"]) == (2.0, 2.0)
    loss._controls["tau"].box.value = 0.7
    assert (bounds.settings["tau"], smooth.settings["tau"]) == (0.7, 0.7)
    assert "tau=0.7" in repr(smooth)
    np.testing.assert_array_equal(smooth.frame(), SmoothMaxExplorer(tau=0.7).frame())
    smooth.reset()
    assert bounds.settings["tau"] == loss.settings["tau"] == 1.0


def test_linked_explorers_agree_after_changes_from_two_threads():
    one, other = BoundsExplorer(), SmoothMaxExplorer()
    one.link(other)

    def shake(explorer, seed):
        rng = np.random.default_rng(seed)
        for _ in range(15):
            explorer._controls["tau"].box.value = float(f"{10 ** rng.uniform(-1, 2):.3g}")

    threads = [threading.Thread(target=shake, args=pair) for pair in ((one, 1), (other, 2))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=HANG)
        assert not thread.is_alive()
    assert one.settings["tau"] == other.settings["tau"]


@pytest.mark.parametrize(
    ("make", "names", "message"),
    [
        (
            lambda: (BoundsExplorer(), PrecisionExplorer()),
            ("share",),
            "BoundsExplorer has no share to link; it has",
        ),
        (lambda: (SmoothMaxExplorer(), SmoothMaxExplorer([9.0])), ("s1",), "s1 cannot be linked: .* different ranges"),
        (lambda: (SmoothMaxExplorer([-1.0]), TemperatureExplorer()), (), "share no control to link"),
        (lambda: (BoundsExplorer(SETS), BoundsExplorer()), ("tau",), "tau cannot be linked"),
    ],
)
def test_a_link_that_cannot_hold_is_refused(make, names, message):
    one, other = make()
    with pytest.raises(ValueError, match=message):
        one.link(other, *names)


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
        (lambda: LossExplorer(sets=[1.0, 2.0]), "sets must be ScoredSets, as score_sets returns them, not list"),
        (lambda: LossExplorer(sets=SETS, set=4), r"set must be a whole number in \[1, 3\], not 4"),
    ],
)
def test_what_is_no_setting_is_refused_by_name(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def button(explorer, label):
    (found,) = [one for one in descendants(explorer.widget) if getattr(one, "description", None) == label]
    return found


def descendants(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from descendants(child)


def test_every_preset_loss_can_be_chosen_and_is_then_the_loss():
    explorer = LossExplorer()
    for name, loss in LOSSES.items():
        move(explorer._controls["loss"], name)
        assert explorer.loss == loss


def test_the_smooth_maximum_and_its_weights_are_log_sum_exp_and_softmax():
    explorer = SmoothMaxExplorer([-1.0, -2.5, -4.0], tau=0.8)
    for of, sign in (("max", 1), ("min", -1)):
        explorer.set(of=of)
        reading = explorer.reading
        with mpmath.workdps(40):
            terms = [mpmath.exp(sign * mpmath.mpf(s) * mpmath.mpf(0.8)) for s in (-1.0, -2.5, -4.0)]
            soft = sign * mpmath.log(sum(terms)) / mpmath.mpf(0.8)
            weights = [term / sum(terms) for term in terms]
        # One division and a sum of three terms: a few eps, and no cancellation at these sizes.
        assert abs(reading.soft - float(soft)) <= 8 * EPS * abs(float(soft))
        assert np.max(np.abs(reading.weights / np.array(weights, float) - 1)) <= 16 * EPS
        assert reading.error == pytest.approx(abs(float(soft) - reading.hard), rel=64 * EPS)


def test_each_root_of_the_temperature_explorer_meets_its_target():
    explorer = TemperatureExplorer(epsilon=0.2, share=0.8, n=5, wide_gap=2.0, spread=1.5)
    distances = [mpmath.mpf(d) for d in (2.0, 2.5, 3.0, 3.5)]
    reading = explorer.reading
    for name, tau in reading.roots.items():
        with mpmath.workdps(40):
            total = sum(mpmath.exp(-mpmath.mpf(tau) * d) for d in distances)
            one = mpmath.exp(-mpmath.mpf(tau) * distances[0])
            met = {
                "upper": mpmath.log(1 + 4 * one) / tau / 0.2,
                "exact": mpmath.log(1 + total) / tau / 0.2,
                "lower": mpmath.log(1 + one) / tau / 0.2,
                "asymptote": 4 * one / tau / 0.2,
                "share": 1 / (1 + total) / 0.8,
                "certain": 1 / (1 + one) / 0.8,
            }[name]
            error, others = mpmath.log(1 + total) / tau, total / (1 + total)
        # The error falls like exp(-tau*gap): an ulp of the root, tau*gap of about 4, counts some ten times.
        assert abs(float(met) - 1) <= 64 * EPS, name
        assert abs(reading.errors[name] / float(error) - 1) <= 64 * EPS
        assert abs(reading.others[name] / float(others) - 1) <= 64 * EPS


def test_an_error_in_nats_starves_the_others_as_the_gap_grows_and_a_share_does_not():
    explorer = TemperatureExplorer(epsilon=0.1, n=2, rule="exact")
    # With one runner-up the error is log1p(exp(-tau*gap))/tau, solved here by bisection, and its share 1-exp(-tau*0.1).
    for gap, percent in ((1.0, "15.6"), (100.0, "0.523"), (1000.0, "0.0723")):
        explorer.set(wide_gap=gap, rule="exact")
        low, high = 1e-6, 10.0
        for _ in range(100):
            tau = (low + high) / 2
            low, high = (tau, high) if np.log1p(np.exp(-tau * gap)) / tau > 0.1 else (low, tau)
        assert explorer.reading.others["exact"] == pytest.approx(-np.expm1(-tau * 0.1), rel=1e-9)
        assert f"{100 * explorer.reading.others['exact']:.3g}" == percent
        assert explorer.reading.others["share"] == pytest.approx(0.1, rel=64 * EPS)


def test_the_loss_explorer_moves_log_probs_and_asks_the_loss_itself():
    explorer = LossExplorer("dpo-smooth", over=["cpo"], tau=0.7, beta=0.3, shift=2.5, moved="−2")
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
    assert reading.names == ["+1", "−1", "−2"]
    np.testing.assert_array_equal(reading.sets.logp, [-3.0, -9.0, -3.0])
    assert reading.hard_margin == 0.0
    explorer.set(set=1)
    np.testing.assert_array_equal(explorer.reading.sets.logp, [-40.0, -300.0, -42.5, -41.0])
    assert explorer.reading.hard_margin == -300.0 - -41.0
    # A response that a set lacks cannot be moved in it: all positives are.
    explorer.set(set=2, moved="+2")
    assert explorer.reading.moved == "all positives"


def test_a_side_of_a_set_is_ranked_hardest_first():
    explorer = BoundsExplorer(SETS, set=1)
    np.testing.assert_array_equal(explorer.reading.scores, [-41.0, -42.5])
    explorer.set(side="positives")
    np.testing.assert_array_equal(explorer.reading.scores, [300.0, 40.0])


def test_kept_curves_stay_while_the_loss_moves_on():
    explorer = LossExplorer("dpo-smooth", over=[], tau=0.5)
    before = explorer.reading.values[0]
    button(explorer, "keep this curve").click()
    explorer.set(tau=50.0)
    assert explorer.kept == (parse("DPO(beta=0.1, pair=Smooth(tau=0.5))"),)
    np.testing.assert_array_equal(explorer.reading.values[1], before)
    assert (explorer.reading.values[0] != before).any()
    for _ in range(5):
        explorer.keep()
    assert len(explorer.kept) == 4
    button(explorer, "clear kept").click()
    assert explorer.kept == ()
    assert len(explorer.reading.values) == 1


def test_a_loss_brings_its_own_numbers_and_greys_out_what_it_lacks():
    explorer = LossExplorer("dpo-smooth")
    explorer.set(loss="DPO(beta=0.5, pair=Smooth(tau=LeaderShare(share=0.7)))")
    assert (explorer.settings["beta"], explorer.settings["share"]) == (0.5, 0.7)
    assert {name: explorer._controls[name].box.disabled for name in ("beta", "tau", "epsilon", "share")} == {
        "beta": False,
        "tau": True,
        "epsilon": True,
        "share": False,
    }
    explorer.set(share=0.6)
    assert explorer.loss == parse("DPO(beta=0.5, pair=Smooth(tau=LeaderShare(share=0.6)))")


def test_the_true_error_has_fifty_digits_and_naive_ones_are_those_of_the_type():
    scores, tau = [-1000.25, -1000.75, -1003.0], 3.0
    with mpmath.workdps(60):
        truth = mpmath.log(1 + mpmath.exp(-1.5) + mpmath.exp(-8.25)) / 3
        digits = mpmath.mpf(str(true_error(scores, tau=tau, dtype="float64")))
        assert abs(digits / truth - 1) < 1e-47
    # PyTorch's arithmetic in the same type, operation by operation; its exp and log may differ by an ulp or two,
    # which cancellation against 1000 makes into that many ulps of 1000.
    for dtype in ("float32", "float64"):
        s = torch.tensor(scores, dtype=getattr(torch, dtype))
        shifted = (tau * s.max() + (tau * s - tau * s.max()).exp().sum().log()) / tau - s.max()
        ours = naive_error(scores, tau=tau, formula=FORMULAS[1], dtype=dtype)
        assert abs(float(shifted) - float(ours)) <= 4 * 1000 * torch.finfo(s.dtype).eps
        assert np.isinf(naive_error(scores, tau=tau, formula=FORMULAS[0], dtype=dtype))
        assert (
            right_digits(float(ours), true_error(scores, tau=tau, dtype=dtype)) < {"float32": 5, "float64": 14}[dtype]
        )


def test_a_cross_stands_where_a_type_is_first_off_by_a_tenth():
    explorer = PrecisionExplorer(level=-100.0, formula=FORMULAS[0])
    reading = explorer.reading
    # exp(-100 tau) is 0 in float32 from 103.97/100 on (the smallest subnormal is exp(-103.97)), in float64 from 7.45.
    assert explorer._taus[reading.lies["float32"]] == pytest.approx(1.04, rel=0.05)
    assert explorer._taus[reading.lies["float64"]] == pytest.approx(7.45, rel=0.05)
    assert explorer.read(explorer.settings | {"tau": 8.0}).naive["float64"] == -np.inf


def test_right_digits_count_the_relative_error():
    truth = decimal.Decimal("0.125")
    assert right_digits(0.125, truth) == np.inf
    assert right_digits(0.125 * (1 + 2.0**-40), truth) == pytest.approx(40 * np.log10(2), rel=1e-6)
    assert right_digits(0.25, truth) == right_digits(-0.1, truth) == right_digits(float("nan"), truth) == 0.0


def test_the_posts_formula_is_shown_as_it_is_written():
    explorer = BoundsExplorer(n=2, gap=5.0, tau=1.0, post="show")
    # log(1 + exp(5)) where the error is log(1 + exp(-5)).
    assert explorer.reading.errors["post"] == pytest.approx(5.006715348489118, rel=8 * EPS)
    assert explorer.reading.errors["exact"] == pytest.approx(0.006715348489118, rel=1e-9)
    explorer.set(post="hide")
    assert "post" not in explorer.reading.errors


def test_against_the_gap_the_leader_moves_and_the_others_stay():
    explorer = BoundsExplorer(n=4, spread=2.0, tau=1.5, against="gap")
    reading = explorer.reading
    for place in (0, 57, 200):
        gap = reading.places[place]
        expected = BoundsExplorer(n=4, spread=2.0, tau=1.5, gap=float(gap)).reading.errors
        for name, error in expected.items():
            # The scores are the same up to where the zero lies: 8 eps of 12 nats.
            assert abs(reading.curves[name][place] - error) <= 8 * EPS * 12 * error


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
        assert "dpo" not in explorer._controls["loss"].picker.options
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


def test_sets_in_halves_are_shown():
    columns = torch.tensor([[-3.0, -1.0, -2.0]]).bfloat16(), torch.full((1, 3), -2.0).bfloat16()
    sets = ScoredSets.unchecked(*columns, torch.full((1, 3), 3), torch.tensor([[1, -1, -1]]))
    whole = ScoredSets(*(column.double() for column in columns), sets.length, sets.label)
    for show in (lambda sets: LossExplorer(sets=sets), PairsExplorer, BoundsExplorer):
        assert repr(show(sets)) == repr(show(whole))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), None, "x"], ids=repr)
def test_what_is_no_number_is_refused_on_a_widget_and_nothing_moves(value):
    explorer = BoundsExplorer()
    before = repr(explorer)
    for name, control in explorer._controls.items():
        for widget in [control.picker] if name in ("against", "post") else [control.slider, control.box]:
            with pytest.raises(TraitError) as caught:
                widget.value = value
            assert "\n" not in str(caught.value)
        with pytest.raises((TypeError, ValueError), match=rf"^{name} must be .*not"):
            explorer.set(**{name: value})
    assert repr(explorer) == before


def test_responses_that_tie_are_shown_as_ties():
    sets = ScoredSets([-1.0, -1, -3, -3, -5], [-2.0] * 5, [5] * 5, [1, 1, -1, -1, -1])
    loss = LossExplorer("dpo-hardest", sets=sets)
    assert "1 of 2, tied with +1" in loss.html(loss.reading)
    assert "1 of 3, tied with −2" in loss.html(loss.reading)
    assert "3 of 3" in loss.html(loss.reading)
    pairs = PairsExplorer(sets, strategy="MaxNeg-MinPos")
    assert "3 more tie with one of them" in pairs.html(pairs.reading)
    pairs.set(strategy="hardest", keep=4)
    assert "tie with" not in pairs.html(pairs.reading)
    assert "2 responses tie for the lead" in BoundsExplorer([1.0, 1.0, 0.0]).html(BoundsExplorer([1.0, 1, 0]).reading)


def test_a_kept_curve_leaves_the_axes_to_the_loss_as_set():
    alone, beside = LossExplorer("dpo-smooth", over=[]), LossExplorer("dpo-smooth", over=["ipo"])
    assert max(map(np.max, beside.reading.values)) > 50 * max(map(np.max, alone.reading.values))
    for (low, high), (bottom, top) in zip(alone.reading.reach[:2], beside.reading.reach[:2], strict=True):
        assert bottom <= low < high <= top
        assert top - bottom <= 3 * (high - low) * (1 + EPS)
    assert beside.reading.reach[2] <= 7 * alone.reading.reach[2]


def test_each_type_is_compared_with_the_true_error_of_the_scores_that_it_holds_and_both_are_shown():
    explorer = PrecisionExplorer(tau=5.0, level=-100.0)
    reading = explorer.reading
    # Between 64 and 128 bfloat16 holds every half: all runners-up from -100.5 to -101.5 become -100.5, -101 or -101.5.
    np.testing.assert_array_equal(np.unique(reading.held["bfloat16"]), [-101.5, -101.0, -100.5, -100.0])
    for dtype, held in reading.held.items():
        assert reading.truths[dtype] == pytest.approx(float(BoundsExplorer(held, tau=5.0).reading.errors["exact"]))
    html = explorer.html(reading)
    assert "−100, −100.5, −100.5, …" in html
    assert "0.034<" in html
    assert "bfloat16 0.034, float16 0.0267" in repr(explorer)

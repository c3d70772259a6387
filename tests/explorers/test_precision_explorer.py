"""PrecisionExplorer: the true error has its digits, and a naive formula those of its number type."""

import decimal

import mpmath
import numpy as np
import pytest
import torch
from explorer_controls import press

from mapl_explore.course.naive_formulas import FORMULAS, naive_error, right_digits, true_error
from mapl_explore.explorers import BoundsExplorer, PrecisionExplorer, precision


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


def test_each_type_is_compared_with_the_true_error_of_the_scores_that_it_holds_and_both_are_shown():
    explorer = PrecisionExplorer(tau=5.0, level=-100.0)
    reading = explorer.reading
    # Between 64 and 128 bfloat16 holds every half: all runners-up from -100.5 to -101.5 become -100.5, -101 or -101.5.
    np.testing.assert_array_equal(np.unique(reading.held["bfloat16"]), [-101.5, -101.0, -100.5, -100.0])
    for dtype, held in reading.held.items():
        assert reading.truths[dtype] == pytest.approx(float(BoundsExplorer(held, tau=5.0).reading.errors["exact"]))
    html = explorer.html(reading)
    assert "−100, −100.5, −100.5, …" in html
    assert ">0.034<" in html
    assert "bfloat16 0.034, float16 0.0267" in repr(explorer)


def test_the_picture_draws_the_reading_with_crosses_on_the_true_error_and_tau_to_drag():
    explorer = PrecisionExplorer(tau=8.0, level=-100.0, formula=FORMULAS[0])
    reading, (errors, digits) = explorer.reading, explorer.panels(explorer.reading)
    for dtype, curve in reading.curves.items():
        np.testing.assert_array_equal(errors[dtype].y, curve)
        place = reading.lies[dtype]
        cross = errors[f"{dtype} is off"]
        assert (cross.x.item(), cross.y.item()) == (explorer._taus[place], reading.curve[place])
    np.testing.assert_array_equal(errors["true"].y, reading.curve)
    assert (errors["here"].x.item(), errors["here"].y.item()) == (8.0, reading.truth)
    assert [(drag.knob, drag.along) for drag in errors["now"].drags] == [("tau", "x")]
    for name, right in (("this library", reading.our_digits), ("obvious way", reading.naive_digits)):
        np.testing.assert_array_equal(digits[name].right, np.minimum(list(right.values()), 17))


def test_a_type_that_is_never_off_has_no_cross():
    explorer = PrecisionExplorer(n=2, gap=0.0, level=-1.0)
    # The error of a tie is log(2)/tau: it never becomes small next to the scores.
    assert explorer.reading.lies["float64"] is None
    errors, _ = explorer.panels(explorer.reading)
    assert np.isnan([errors["float64 is off"].x, errors["float64 is off"].y]).all()


def test_the_readout_leads_with_the_right_digits_and_every_column_has_a_heading():
    explorer = PrecisionExplorer(tau=5.0, level=-100.0)
    assert "In float32 the obvious way has 4 right digits, this library 7." in explorer.widget.says
    assert '<th scope="col"></th>' not in explorer.widget.says


def test_a_type_that_is_not_here_is_told(monkeypatch):
    assert "ml_dtypes" not in PrecisionExplorer().widget.says
    monkeypatch.setattr(precision, "DTYPES", ("float16", "float32", "float64"))
    assert "bfloat16 is not here: it needs the package ml_dtypes." in PrecisionExplorer().widget.says


def test_the_preset_of_a_small_error_shows_the_digits_that_float32_loses():
    explorer = PrecisionExplorer()
    press(explorer, "small error")
    says = explorer.widget.says
    # log1p of the sum of exp(-8 d) over d = 1.5, 1.5 + 1/6, ..., 2.5, over 8, by mpmath: 1.0428e-6.
    assert "error E is <b>1.04e−06</b> nats" in says
    assert "the obvious way has 1 right digit, this library 6." in says
    row = says.split("float32</th>")[1]
    assert "<td>1.01e−06 (1)</td><td>1.04e−06 (6)</td>" in row


@pytest.mark.parametrize(("tau", "error"), [(4.0, "2.16e−18"), (20.0, "7.18e−89"), (100.0, "under 1e−307")])
def test_every_true_error_is_a_number_above_0_however_small(tau, error):
    # log1p(exp(-10 tau) (1 + exp(-tau/6) + ... + exp(-tau)))/tau, by mpmath; the last is 5e-437.
    explorer = PrecisionExplorer(gap=10.0, tau=tau, level=-1.0)
    assert f"error E is <b>{error}</b> nats" in explorer.widget.says
    assert f"true smoothing error {error} nats" in repr(explorer)

"""Linked explorers go together, and a link that cannot hold is refused."""

import threading

import numpy as np
import pytest
from explorer_controls import SETS
from patience import HANG

from mapl_explore.explorers import (
    BoundsExplorer,
    LossExplorer,
    PairsExplorer,
    PrecisionExplorer,
    SmoothMaxExplorer,
    TemperatureExplorer,
)


def test_linked_explorers_go_where_either_goes():
    bounds, loss, smooth = BoundsExplorer(tau=2.0), LossExplorer("dpo-smooth"), SmoothMaxExplorer()
    bounds.link(loss, "tau")
    bounds.link(smooth)
    assert (loss.settings["tau"], smooth.settings["tau"]) == (2.0, 2.0)
    loss.do({"kind": "set", "knob": "tau", "value": 0.7})
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
            explorer.do({"kind": "set", "knob": "tau", "value": float(f"{10 ** rng.uniform(-1, 2):.3g}")})

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
        (lambda: (PairsExplorer(), TemperatureExplorer()), (), "share no control to link"),
        (lambda: (BoundsExplorer(SETS), BoundsExplorer()), ("tau",), "tau cannot be linked"),
    ],
)
def test_a_link_that_cannot_hold_is_refused(make, names, message):
    one, other = make()
    with pytest.raises(ValueError, match=message):
        one.link(other, *names)

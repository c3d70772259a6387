"""Both renderers put every mark of every explorer in the same place: matplotlib, and the script in the browser."""

import pytest
from browser.drawn import Drawn, misplaced
from recorded_runs import record

from mapl_explore import ScoredSets, explorers
from mapl_explore.explorers.knobs import Choice

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("drawn")]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of a few steps on three sets, as finetune records one."""
    return record(tmp_path_factory.mktemp("run"), "dpo-smooth")


@pytest.fixture(params=explorers.__all__)
def explorer(request):
    kind = getattr(explorers, request.param)
    return kind(request.getfixturevalue("run")) if kind.__name__ == "TrainingExplorer" else kind()


def extremes(explorer):
    """Settings with every knob at its ends, or at each of its options, and two odd ones where all are at an end."""
    ends = {
        name: list(knob.options) if isinstance(knob, Choice) else [knob.low, knob.high]
        for name, knob in explorer._knobs.items()
    }
    yield {}
    yield from ({name: value} for name, values in ends.items() for value in values)
    yield from ({name: values[which] for name, values in ends.items()} for which in (0, -1))


def test_both_renderers_put_every_mark_in_the_same_place_at_the_ends_of_every_knob(browser, explorer):
    drawn = Drawn(browser, explorer)
    for settings in extremes(explorer):
        explorer.set(**explorer._start | settings)
        drawn.show()
        assert misplaced(explorer, drawn.page.locator(".mapl-view")) == [], settings
    drawn.close()


SHOW_REWARDS = {
    "LossExplorer": lambda sets: explorers.LossExplorer("infonca", over=[], sets=sets),
    "PairsExplorer": explorers.PairsExplorer,
}
# The colours of boxes by their mark, and those of the samples in the key.
FILLS = """() => ["[data-name=rewards] path", ".mapl-key .mapl-sample g rect"].map((which) =>
    [...document.querySelectorAll(which)].map((one) => getComputedStyle(one).fill))"""


@pytest.mark.parametrize("show", SHOW_REWARDS.values(), ids=SHOW_REWARDS)
@pytest.mark.parametrize("dark", [False, True])
def test_rewards_are_cells_in_the_same_place_in_both_renderers_with_a_key_from_the_least_to_the_largest(
    browser, show, dark
):
    sets = ScoredSets([-1.0, -3.0, -2.0], [-2.0] * 3, [4] * 3, [1, -1, -1], reward=[0.9, -0.1, 0.5])
    drawn = Drawn(browser, show(sets), dark=dark)
    assert misplaced(drawn.explorer, drawn.page.locator(".mapl-view")) == []
    assert drawn.page.locator(".mapl-view").get_by_text("−0.1", exact=True).count() > 0
    assert drawn.page.locator(".mapl-key").get_by_text("reward −0.1 to 0.9").count() == 1
    cells, key = drawn.page.evaluate(FILLS)
    assert len(set(cells)) == 3
    assert {key[0], key[-1]} < set(cells)
    assert len(set(key)) == 4
    drawn.close()


def test_a_slider_of_one_loss_alone_is_there_with_that_loss(browser):
    drawn = Drawn(browser, explorers.LossExplorer("dpo", over=[]))
    row = drawn.page.locator("[data-knob=clip]")
    assert not row.is_visible()
    drawn.explorer.set(loss="grpo")
    drawn.show()
    assert row.is_visible()
    drawn.close()

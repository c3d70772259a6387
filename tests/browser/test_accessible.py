"""Every explorer by the rules of axe-core (WCAG 2, and good practice), in both themes, wide and on a phone."""

from pathlib import Path

import pytest
from browser.drawn import Drawn
from recorded_runs import recorded

from mapl_explore import explorers

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("view")]


@pytest.fixture(scope="module")
def axe():
    package = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    return (Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", explorers.__all__)
def test_axe_finds_no_violation(browser, axe, name):
    kind = getattr(explorers, name)
    explorer = recorded(kind, "DPO(pair=Smooth(tau=LeaderShare(share=0.9)))") if name == "TrainingExplorer" else kind()
    for dark, width in ((False, 1280), (True, 1280), (True, 390)):
        drawn = Drawn(browser, explorer, width, 800, dark)
        drawn.page.evaluate(axe)
        found = drawn.page.evaluate("axe.run('#here', {rules: {'target-size': {enabled: true}}})")["violations"]
        assert [(one["id"], node["html"], node["failureSummary"]) for one in found for node in one["nodes"]] == []
        drawn.close()

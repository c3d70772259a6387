"""The shares of the variance that learning rate and loss explain, against a fit of dummies by least squares."""

import json

import numpy as np
import pytest

from mapl_explore.experiments.claims import Rule
from mapl_explore.experiments.comparison import compared
from mapl_explore.experiments.report import Results, contrast_of
from mapl_explore.experiments.shares import rate_less_loss, shares

RULE = Rule("lr", "higher", {}, "loss", "variance")
RATES = ("0.001", "0.01")


def explained(table, axis):
    """Return the R squared of least squares with one dummy for each place along an axis."""
    places = np.indices(table.shape)[axis].ravel()
    dummies = np.eye(table.shape[axis])[places]
    fitted = dummies @ np.linalg.lstsq(dummies, table.ravel(), rcond=None)[0]
    return 1 - np.var(table.ravel() - fitted) / np.var(table)


@pytest.mark.parametrize("seed", range(4))
def test_the_shares_are_those_that_least_squares_explains(seed):
    table = np.random.default_rng(seed).random((5, 4))
    rate, loss = shares(table)
    assert rate == pytest.approx(explained(table, 1), rel=1e-12)  # a few dozen sums in float64
    assert loss == pytest.approx(explained(table, 0), rel=1e-12)
    assert rate + loss < 1  # the rest is of the interaction
    assert shares(table + 1e4) == (pytest.approx(rate, rel=1e-9), pytest.approx(loss, rel=1e-9))  # rounded by 1e-12


def test_equal_results_have_no_shares():
    assert shares(np.full((2, 3), 0.1)) == (0, 0)
    assert rate_less_loss([{rate: np.full((8, 5), 0.1) for rate in RATES}] * 2) == (0, None, 8)


def tried(*means, seeds=8):
    """What rates have given, with some noise by seed and question."""
    rng = np.random.default_rng(0)
    return {rate: mean + 0.01 * rng.normal(size=(seeds, 20)) for rate, mean in zip(RATES, means, strict=True)}


def results(*arms):
    return [Results("any", {}, "DPO()", 1e-3, {}, 8, None, None, None, [], tried=arm) for arm in arms]


def test_a_rate_that_decides_more_than_the_loss_is_higher():
    by_rate = contrast_of(RULE, results(tried(0.2, 0.8), tried(0.25, 0.85)))
    by_loss = contrast_of(RULE, results(tried(0.2, 0.25), tried(0.8, 0.85)))
    assert (by_rate.verdict, by_loss.verdict, by_rate.seeds) == ("higher", "lower", 8)
    low, high = by_rate.difference_interval
    assert low < by_rate.difference < high <= 1
    assert by_rate.difference == pytest.approx((0.36 - 0.0025) / (0.36 + 0.0025), abs=0.01)
    few = contrast_of(RULE, results(tried(0.2, 0.8, seeds=2), tried(0.25, 0.85, seeds=2)))
    assert few.verdict == "too few seeds for a claim"
    assert contrast_of(RULE, results(tried(0.2, 0.8), {})).difference is None  # runs of an arm are lacking


def test_a_comparison_decides_it_by_the_runs_that_choose_the_rates(plan, tmp_path):
    claim = {name: "it" for name in ("id", "words", "source", "scale", "test")}
    claim["rule"] = {"arm": "lr", "than": "loss", "expected": "higher", "measure": "variance"}
    asked = plan | {"lr": [1e-3, 1e-2], "seeds": 1, "measure": "hard_margin", "claims": [claim]}
    found = compared(asked, output=tmp_path / "out", progress=False)
    said = json.loads((found.folder / "report.json").read_text())["claims"]["it"]
    rate, loss = shares(np.array([[np.mean(means) for means in row.tried.values()] for row in found.rows]))
    assert said["difference"] == pytest.approx(rate - loss, rel=1e-9)
    assert (said["seeds"], said["verdict"]) == (2, "too few seeds for a claim")

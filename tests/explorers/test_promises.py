"""A tau that is shown keeps what is promised of it when it is put back into the library as it is printed."""

import re

import numpy as np
import pytest
from explorer_controls import EPS
from recorded_runs import recorded

from mapl_explore.cli.main import main
from mapl_explore.explorers import BoundsExplorer, SmoothMaxExplorer, TemperatureExplorer, TrainingExplorer
from mapl_explore.explorers.knobs import KNOBS
from mapl_explore.losses import MaxMin, ScoredSets
from mapl_explore.losses.tau_advice import advise
from mapl_explore.numerics.bounds import error_asymptote, error_lower_bound, error_upper_bound
from mapl_explore.numerics.smoothing import smooth_max_weights

SEEDS = range(40)
# A printed tau may be the root itself, which is right to some eps; tau times gap, at most 40 here, multiplies them.
SLACK = 256 * EPS


def drawn(seed, *names):
    """A setting of each knob, anywhere on its slider."""
    rng, knobs = np.random.default_rng(seed), [KNOBS[name] for name in names]
    ends = [(np.log(knob.low), np.log(knob.high)) if knob.scale == "log" else (knob.low, knob.high) for knob in knobs]
    values = [rng.uniform(*end) for end in ends]
    values = [float(np.exp(v)) if knob.scale == "log" else v for v, knob in zip(values, knobs, strict=True)]
    return dict(zip(names, values, strict=True)) | {"n": int(rng.integers(2, 65))}


def number(text):
    return float(re.sub("<[^>]*>", "", text).replace(",", "").replace("−", "-"))


def listed(html, *names):
    """Return the number in the second column, by the words in the first."""
    rows = [re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall("<tr>(.*?)</tr>", html)]
    return {name: number(row[1]) for name in names for row in rows if name in row[0]}


def assert_kept(shown, n, gap, epsilon, share=0.0):
    """Bounds and share as the library has them at the tau that was read."""
    at = {"gap": gap, "tau": shown["lower"]}
    assert error_lower_bound(**at) >= epsilon * (1 - SLACK)
    assert error_upper_bound(n=n, gap=gap, tau=shown["upper"]) <= epsilon * (1 + SLACK)
    assert error_asymptote(n=n, gap=gap, tau=shown["asymptote"]) <= epsilon * (1 + SLACK)
    if "certain" in shown:
        assert smooth_max_weights(np.array([0.0, -gap]), tau=shown["certain"])[0] <= share * (1 + SLACK)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tau_in_the_bounds_explorer_keeps_its_promise(seed):
    setting = drawn(seed, "epsilon", "gap", "spread")
    explorer = BoundsExplorer(**setting)
    target = {name: setting[name] for name in ("n", "gap", "epsilon")}
    table = listed(explorer.widget.says, "lower bound", "upper bound", "large-τ form")
    assert_kept(
        {"lower": table["lower bound"], "upper": table["upper bound"], "asymptote": table["large-τ form"]}, **target
    )
    line = re.search("the bounds are at ([0-9.,e+]+) and ([0-9.,e+]+), the large-tau form at (.*)$", repr(explorer))
    assert_kept(dict(zip(("lower", "upper", "asymptote"), map(number, line.groups()), strict=True)), **target)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tau_in_the_temperature_explorer_keeps_its_promise(seed):
    setting = drawn(seed, "epsilon", "wide_gap", "share", "spread")
    target = {"n": setting["n"], "gap": setting["wide_gap"], "epsilon": setting["epsilon"], "share": setting["share"]}
    explorer = TemperatureExplorer(**setting)
    names = {"lower": "lower bound", "upper": "upper bound", "asymptote": "large-τ form", "certain": "share bound"}
    table = listed(explorer.widget.says, *names.values())
    assert_kept({name: table[words] for name, words in names.items()}, **target)
    text = repr(explorer)
    line = {name: number(re.search(f" {name} ([0-9.,e+]+)", text)[1]) for name in names}
    assert_kept(line, **target)
    for rule in ("lower", "upper", "asymptote"):
        explorer.set(rule=rule)
        said = number(re.search("at τ = <b>(.*?)</b>", explorer.widget.says)[1])
        assert said == table[names[rule]]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tau_of_the_command_keeps_its_promise(seed, capsys):
    setting = drawn(seed, "epsilon", "gap")
    main(["tau", *(word for name, value in setting.items() for word in (f"--{name}", repr(value)))])
    out = capsys.readouterr().out
    names = {"lower": "lower", "upper": "upper", "asymptote": "asymptotic"}
    assert_kept({name: number(re.search(f"^{word} +(\\S+)", out, re.M)[1]) for name, word in names.items()}, **setting)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tau_of_the_advice_keeps_its_promise_for_a_side_alone(seed):
    setting = drawn(seed, "epsilon", "gap")
    gap, n, epsilon = setting["gap"], setting["n"], setting["epsilon"]
    logp = np.concatenate([[-1.0, 0.0], np.full(n - 1, -gap)])
    label = np.concatenate([[1], -np.ones(n, int)])
    lines = str(advise(ScoredSets(logp, 0 * logp, abs(label), label), MaxMin(), epsilon=epsilon)).splitlines()
    upper, lower = (
        next([number(word) for word in line.split()[1:]] for line in lines if f"  {rule}" in line)
        for rule in ("UpperBound", "LowerBound")
    )
    for tau in upper:
        assert error_upper_bound(n=n, gap=gap, tau=tau) <= epsilon * (1 + SLACK) or tau == 1000.0
    for tau in lower:
        assert error_lower_bound(gap=gap, tau=tau) >= epsilon * (1 - SLACK)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_roots_are_shown_in_their_order(seed):
    """Rounded to fewer digits than its bounds, that of the scores stood above the one or below the other."""
    for explorer, gap in ((BoundsExplorer, "gap"), (TemperatureExplorer, "wide_gap")):
        says = explorer(**drawn(seed, "epsilon", gap), spread=0.0).widget.says
        table = listed(says, "lower bound", "these scores", "upper bound", "large-τ form")
        assert list(table.values()) == sorted(table.values())


@pytest.mark.parametrize("n", [2, 8])
def test_what_is_above_0_never_reads_as_0_and_a_share_below_1_never_as_100_percent(n):
    explorers = [
        BoundsExplorer(tau=100.0, gap=10.0, n=n),
        BoundsExplorer([0.0] + [-1e3] * (n - 1), tau=50.0),
        TemperatureExplorer([0.0] + [-1e3] * (n - 1), share=0.999),
        SmoothMaxExplorer([0.0] + [-90.0] * (n - 1), tau=100.0),
    ]
    for explorer in explorers:
        said = explorer.widget.says + repr(explorer)
        assert not re.search(r"\b0 nats|[^.\d]0%|between 0|: 0 above", said.replace("share=0", "")), said
        assert not re.search("share 100%|gets? 100%|s1 100%", said), said
        words = [text for panel in explorer.panels(explorer.reading) for mark in panel.marks for text in texts(mark)]
        assert not any("100%" in text for text in words)


def texts(mark):
    return getattr(mark, "texts", [])


def test_above_alpha_1_what_is_exactly_0_or_all_reads_so():
    smooth = SmoothMaxExplorer([0.0, -1.0, -9.0], tau=3.0, alpha=2.0)
    assert "0 above the max, which is 0." in smooth.widget.says
    assert "s1 100%, s2 0%, s3 0%" in smooth.widget.says
    bounds = BoundsExplorer(tau=5.0, gap=5.0, alpha=2.0)
    for panel in (smooth.panels(smooth.reading)[2], bounds.panels(bounds.reading)[2]):
        assert panel["shares"].texts == ["leader 100%", "others 0%"]
    training = recorded(TrainingExplorer, "DPO(pair=Smooth(tau=1000.0, alpha=2.0))")
    sides = training.widget.says.split("Each side")[-1].split("Each response")[0]
    assert sides.count('<td class="mapl-number">0</td><td>0</td><td>100%</td>') == 2
    assert "hardest gets 100%" in repr(training)

"""Pairs and their margins, and rejection sampling: the right distribution, honest reports, clear refusals."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from mapl_explore.losses import DPO, MaxMin, ScoredSets
from mapl_explore.sampling.pairs import (
    Band,
    Bell,
    QuantileBand,
    QuantileBell,
    RejectionSampler,
    closest_pairs,
    easiest_pairs,
    hardest_pairs,
    maxneg_minpos,
    pair_margins,
    random_pairs,
)

MARGINS = np.array([-4.0, -1.0, -0.5, 0.0, 0.25, 1.0, 1.5, 3.0, 8.0])


def ragged():
    label = [[1, -1, -1, 0], [-1, 1, 1, -1]]
    return ScoredSets([[-1.0, -2.0, -4.0, 9.0], [-1.0, -3.0, -3.0, -2.0]], [[0.0] * 4] * 2, [[1] * 4] * 2, label)


def test_every_positive_meets_every_negative_of_its_own_set():
    pairs = pair_margins(ragged(), MaxMin())
    assert list(zip(pairs.set, pairs.positive, pairs.negative, strict=True)) == [
        (0, 0, 1), (0, 0, 2), (1, 1, 0), (1, 1, 3), (1, 2, 0), (1, 2, 3),
    ]  # fmt: skip
    assert pairs.margin.tolist() == [1.0, 3.0, -2.0, -1.0, -2.0, -1.0]


def test_torch_sets_give_the_same_pairs():
    sets = ragged()
    there = ScoredSets(*(torch.as_tensor(getattr(sets, name)) for name in ("logp", "ref_logp", "length", "label")))
    assert pair_margins(there, DPO()).margin.tolist() == pair_margins(sets, DPO()).margin.tolist()


def test_maxneg_minpos_is_the_hardest_pair_of_each_set_and_its_margin_is_the_hard_margin():
    pairs = maxneg_minpos(ragged(), MaxMin())
    assert (pairs.positive.tolist(), pairs.negative.tolist()) == ([0, 1], [1, 0])
    assert pairs.margin.tolist() == MaxMin().margin(ragged()).tolist()


def test_maxneg_minpos_picks_by_score_where_margins_round_to_the_same():
    sets = ScoredSets([1e-20, 0.0, -1.0], [0.0] * 3, [1] * 3, [1, 1, -1])
    assert maxneg_minpos(sets, MaxMin()).positive.tolist() == [1]


@pytest.mark.parametrize(
    "kernel", [Band(low=-1, high=1), Bell(center=0.5, width=1.5), QuantileBand(), QuantileBell()], ids=repr
)
def test_accepted_pairs_follow_the_kernel_exactly(kernel):
    indices, report = RejectionSampler(kernel).sample(np.random.default_rng(7), MARGINS, 20_000)
    counts = np.bincount(indices, minlength=MARGINS.size)
    chance = kernel(MARGINS)
    assert not counts[chance == 0].any()
    seen = chance * 20_000 / chance.sum() > 5
    expected = np.append((chance / chance.sum())[seen], (chance / chance.sum())[~seen].sum()) * 20_000
    observed = np.append(counts[seen], counts[~seen].sum())
    keep = expected > 0
    # Seeded: one fixed draw, which a wrong kernel misses by far (p below 1e-100).
    assert chisquare(observed[keep], expected[keep]).pvalue > 0.01
    assert report.rate == pytest.approx(report.expected_rate, rel=0.05)


def test_the_report_counts_proposals_up_to_the_last_one_needed():
    indices, report = RejectionSampler(Band(low=-9, high=9)).sample(np.random.default_rng(0), MARGINS, 50)
    assert (indices.size, report.accepted, report.proposals, report.rate) == (50, 50, 50, 1.0)
    assert report.effective_size == pytest.approx(MARGINS.size)


def test_the_effective_size_of_a_narrow_kernel_is_the_number_of_pairs_it_takes():
    _, report = RejectionSampler(Band(low=0, high=0.5)).sample(np.random.default_rng(0), MARGINS, 10)
    assert report.effective_size == pytest.approx(2.0)
    assert str(report).startswith("10 of ")


def test_a_sample_is_the_same_for_the_same_seed():
    draws = [RejectionSampler(Bell()).sample(np.random.default_rng(3), MARGINS, 30)[0].tolist() for _ in range(2)]
    assert draws[0] == draws[1]


def test_a_kernel_that_accepts_nothing_is_refused_with_the_margins_there_are():
    with pytest.raises(ValueError, match=r"Band\(low=20.0, high=30.0\) accepts.*none of 9 margins.*-4, .*, 8"):
        RejectionSampler(Band(low=20, high=30)).sample(np.random.default_rng(0), MARGINS, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Band(low=2, high=1), "Band: low must be <= high, not 2.0 > 1.0"),
        (lambda: Bell(width=0), "Bell: width must be > 0 and finite, not 0.0"),
        (lambda: QuantileBand(low=-0.1), "QuantileBand: 0 <= low <= high <= 1 must hold, not low=-0.1"),
        (lambda: QuantileBell(center=2), r"QuantileBell: center must be in \[0, 1\], not 2.0"),
        (lambda: QuantileBell()(np.zeros(5)), "half of the margins are 0 nats"),
        (lambda: RejectionSampler(Bell()).sample(np.random.default_rng(0), MARGINS, 0), "size must be >= 1, not 0"),
        (lambda: RejectionSampler(Bell()).sample(np.random.default_rng(0), [], 1), "at least one, not 0"),
        (lambda: RejectionSampler(Bell()).sample(np.random.default_rng(0), [np.nan], 1), "margins must be finite"),
    ],
)
def test_bad_kernels_and_pools_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_strategies_take_what_their_names_say():
    assert MARGINS[hardest_pairs(MARGINS, 2)].tolist() == [-4.0, -1.0]
    assert MARGINS[easiest_pairs(MARGINS, 2)].tolist() == [8.0, 3.0]
    assert MARGINS[closest_pairs(MARGINS, 3)].tolist() == [0.0, 0.25, -0.5]
    assert set(random_pairs(np.random.default_rng(0), MARGINS, 500)) == set(range(MARGINS.size))

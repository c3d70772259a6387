"""Pairs and their margins, and rejection sampling: the right distribution, honest reports, clear refusals."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from mapl_explore import Band, Bell, Kernel, QuantileBand, QuantileBell, RejectionSampler
from mapl_explore.losses import DPO, MaxMin, ScoredSets
from mapl_explore.sampling.pairs import (
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


def test_pairs_have_the_difference_of_rewards_where_the_sets_have_them():
    graded = ScoredSets(**ragged().columns(), reward=[[1.0, 0.5, -2.0, 7.0], [3.0, 0.0, 1.0, -1.0]])
    pairs = pair_margins(graded, MaxMin())
    assert pairs.reward.tolist() == [0.5, 3.0, -3.0, 1.0, -2.0, 2.0]
    assert pairs.take(np.array([1, 1, 4])).reward.tolist() == [3.0, 3.0, -2.0]
    assert maxneg_minpos(graded, MaxMin()).reward.tolist() == [0.5, -3.0]
    assert pair_margins(ragged(), MaxMin()).take(np.array([0])).reward is None


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


def test_the_ends_of_a_domain_and_of_a_band_belong_to_it():
    assert Band(low=0.0, high=1.0)(MARGINS).tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0]
    assert MARGINS[Band(low=0.25, high=0.25)(MARGINS) > 0].tolist() == [0.25]
    assert QuantileBand(low=0.5, high=0.5).fitted(MARGINS) == Band(low=0.25, high=0.25)
    assert [QuantileBell(center=end).fitted(MARGINS).center for end in (0, 1)] == [-4.0, 8.0]


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


def test_a_kernel_must_accept_one_of_a_million():
    margins = np.append(np.zeros(999_999), 5.0)
    assert drawn(kernel=Band(low=4, high=6), margins=margins, size=1)[0].tolist() == [999_999]
    with pytest.raises(ValueError, match="none of 1000001 margins"):
        drawn(kernel=Band(low=4, high=6), margins=np.append(0.0, margins), size=1)


@dataclass(frozen=True)
class Odd(Kernel):
    """A kernel whose probabilities are none."""

    def __call__(self, margins):
        return margins


def drawn(*, kernel=Bell(), rng=None, margins=MARGINS, size=3):  # noqa: B008  (it is frozen)
    return RejectionSampler(kernel).sample(np.random.default_rng(0) if rng is None else rng, margins, size)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Band(low=2, high=1), "Band: low must be <= high, not 2.0 > 1.0"),
        (lambda: Bell(width=0), "Bell: width must be > 0 and finite, not 0.0"),
        (lambda: QuantileBand(low=-0.1), "QuantileBand: 0 <= low <= high <= 1 must hold, not low=-0.1"),
        (lambda: QuantileBell(center=2), r"QuantileBell: center must be in \[0, 1\], not 2.0"),
        (lambda: QuantileBell()(np.zeros(5)), "half of the margins are 0 nats"),
        (lambda: drawn(size=0), "size must be an integer from 1 to 10000000, not 0"),
        (lambda: drawn(margins=[]), r"margins must be \(pairs,\), at least one, not of shape \(0,\)"),
        (lambda: drawn(margins=[np.nan]), "margins must be finite, but 1 of 1 is not"),
        (lambda: Band()([1.0, np.nan]), "margins must be finite, but 1 of 2 is not"),
        (lambda: Bell()([np.inf, np.nan, 0.0]), "margins must be finite, but 2 of 3 are not"),
        (lambda: QuantileBand().fitted([]), r"margins must be \(pairs,\), at least one, not of shape \(0,\)"),
        (lambda: QuantileBell().fitted(np.zeros((2, 3))), r"margins must be \(pairs,\).* \(2, 3\)"),
        (lambda: drawn(margins=np.zeros((2, 2))), r"margins must be \(pairs,\).* \(2, 2\)"),
        (lambda: drawn(margins=1.0), r"margins must be \(pairs,\).* \(\)"),
        (lambda: random_pairs(np.random.default_rng(0), [], 3), "margins must be"),
        (lambda: drawn(size=2.5), "size must be an integer from 1 to 10000000, not 2.5"),
        (lambda: drawn(size="3"), "size must be an integer from 1 to 10000000, not '3'"),
        (lambda: drawn(size=None), "size must be an integer from 1 to 10000000, not None"),
        (lambda: drawn(size=True), "size must be an integer from 1 to 10000000, not True"),
        (lambda: drawn(size=10**11), "size must be an integer from 1 to 10000000, not 100000000000"),
        (lambda: closest_pairs(MARGINS, -1), "size must be an integer from 1 to 10000000, not -1"),
        (lambda: drawn(kernel=Odd(), margins=[-0.5, 0.5]), r"Odd\(\) must give every margin a probability in \[0, 1\]"),
        (lambda: drawn(kernel=Odd(), margins=[0.5, 1.5]), r"Odd\(\) must give every margin a probability in \[0, 1\]"),
    ],
)
def test_bad_kernels_and_pools_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RejectionSampler(None), r"accept must be a kernel, such as Band\(\) or Bell\(\), not None"),
        (lambda: RejectionSampler(5), "accept must be a kernel, .* not 5"),
        (lambda: RejectionSampler(Band), "accept must be a kernel, .* not <class"),
        (lambda: drawn(rng=0), "rng must be a numpy.random.Generator, .* not 0"),
        (lambda: drawn(rng=np.random.RandomState(0)), "rng must be a numpy.random.Generator"),
        (lambda: random_pairs(None, MARGINS, 3), "rng must be a numpy.random.Generator, .* not None"),
        (lambda: drawn(margins=["1", "2"]), "margins must be numbers, .* not \\['1', '2'\\]"),
        (lambda: drawn(margins=[[1.0], [1.0, 2.0]]), "margins must be numbers"),
        (lambda: Band()(None), "margins must be numbers, .* not None"),
        (lambda: hardest_pairs("abc", 2), "margins must be numbers, .* not 'abc'"),
    ],
)
def test_arguments_of_another_kind_are_named(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_a_sample_that_would_take_for_ever_is_refused_with_the_size_that_would_not():
    margins = np.append(np.zeros(99_999), 5.0)  # one of 100,000 is accepted
    with pytest.raises(ValueError, match=r"size must be at most 10000 with Band\(low=4.0, high=6.0\), .* not 10001"):
        RejectionSampler(Band(low=4, high=6)).sample(np.random.default_rng(0), margins, 10_001)


@pytest.mark.parametrize("kernel", [Band(), Bell(), QuantileBand(), QuantileBell()], ids=repr)
def test_lists_and_tensors_are_margins_as_arrays_are(kernel):
    expected = kernel(MARGINS)
    for margins in (MARGINS.tolist(), torch.as_tensor(MARGINS), torch.tensor(MARGINS, requires_grad=True)):
        np.testing.assert_array_equal(kernel(margins), expected)
        assert kernel.fitted(margins) == kernel.fitted(MARGINS)
        draws = [RejectionSampler(kernel).sample(np.random.default_rng(1), each, 9)[0] for each in (margins, MARGINS)]
        np.testing.assert_array_equal(*draws)
        for strategy in (hardest_pairs, easiest_pairs, closest_pairs):
            np.testing.assert_array_equal(strategy(margins, 3), strategy(MARGINS, 3))


def test_the_strategies_take_what_their_names_say():
    assert MARGINS[hardest_pairs(MARGINS, 2)].tolist() == [-4.0, -1.0]
    assert MARGINS[easiest_pairs(MARGINS, 2)].tolist() == [8.0, 3.0]
    assert MARGINS[closest_pairs(MARGINS, 3)].tolist() == [0.0, 0.25, -0.5]
    for strategy in (hardest_pairs, easiest_pairs, closest_pairs):  # of those that tie, the first
        assert strategy([1.0, 1.0, 1.0], 2).tolist() == [0, 1]
    assert set(random_pairs(np.random.default_rng(0), MARGINS, 500)) == set(range(MARGINS.size))

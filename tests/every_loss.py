"""Every loss, pair and rule that the tests go through, and sets to try them on."""

from dataclasses import replace

import numpy as np
import torch
from hypothesis import strategies as st

from mapl_explore.losses import (
    CDPO,
    CPO,
    DPO,
    GRPO,
    IPO,
    ORPO,
    RLOO,
    SFT,
    Comparing,
    ExactError,
    First,
    Hardest,
    Hinge,
    InfoNCA,
    LeaderShare,
    LowerBound,
    MaxMin,
    Mean,
    Mellow,
    OneSided,
    PlackettLuce,
    RobustDPO,
    ScoredSets,
    SimPO,
    Smooth,
    UpperBound,
)

INF = float("inf")
SPARSE = [Smooth(tau=0.1, alpha=1.3), Smooth(tau=0.3, alpha=1.5), Smooth(tau=0.4, alpha=2.0)]
PAIRS = [First(), Mean(), Hardest(), Smooth(tau=0.3), Smooth(tau=40.0), Mellow(tau=1e-3), Mellow(tau=2.0), *SPARSE]
FLIPPED = [CDPO(smoothing=0.3), RobustDPO(beta=2.0), RobustDPO(smoothing=0.0)]
GRADED = [InfoNCA(), InfoNCA(beta=2.0, alpha=0.1), PlackettLuce(beta=0.5), RLOO(), GRPO(), GRPO(clip=0.5, beta=0.0)]
OBJECTIVES = [DPO(), DPO(beta=5.0), MaxMin(), OneSided(lam=0.5), CPO(), ORPO(), SimPO(), IPO(), Hinge(), SFT()]
OBJECTIVES += [*FLIPPED, *GRADED]
COMPARING = [loss for loss in OBJECTIVES if isinstance(loss, Comparing)]
EVERY = OBJECTIVES + [replace(loss, pair=pair) for loss in (DPO(), ORPO(), OneSided()) for pair in PAIRS]


def make_sets(logp, label, ref=None, library=np.asarray):
    logp = library(logp)
    ref = library(np.zeros(logp.shape) if ref is None else ref)
    label = np.asarray(label)
    length = 3 + np.cumsum(label != 0, axis=-1) % 4  # not all of one length, and the same with padding between them
    if not isinstance(logp, np.ndarray):
        label, length = torch.as_tensor(label), torch.as_tensor(length)
    return ScoredSets(logp=logp, ref_logp=ref, length=length, label=label)


def batch(library, seed=0, scale=3.0):
    """Return ragged sets: 3 + 2 responses, 1 + 4, 1 + 1, and one with padding in the middle."""
    rng = np.random.default_rng(seed)
    label = [[1, 1, 1, -1, -1], [1, -1, -1, -1, -1], [-1, 1, 0, 0, 0], [1, 0, -1, 1, -1]]
    return make_sets(-np.abs(rng.normal(size=(4, 5)) * scale), label, -np.abs(rng.normal(size=(4, 5))), library)


finite = st.lists(st.floats(-50, 0), min_size=1, max_size=6)
RULES = [UpperBound(epsilon=0.05), LowerBound(epsilon=0.05), ExactError(epsilon=0.05), LeaderShare(share=0.8)]


def flat_loss(loss, sets):
    """Return the summed loss as a function of the log-probs alone."""
    return lambda logp: loss(sets.with_logp(logp)).sum()


def replace_logp(sets, logp):
    return ScoredSets.unchecked(logp, sets.ref_logp, sets.length, sets.label)


SMOOTH = [Smooth(tau=2.0), Mellow(tau=1.0), Smooth(tau=LeaderShare(share=0.9)), *SPARSE]

"""Preference losses over sets of responses: a score per response, a pair made of the set, a link.

::

    r    = score(sets)               one number per response, in nats
    m    = margin(sets, loss)        (least of r over the positives) - (largest of r over the negatives), hard or smooth
    loss = link(m)                   one number per set

A loss is a frozen dataclass whose ``repr`` is its name everywhere: on the command line, in a legend, in a run folder.
Its gradient in the log-probs is written out once (:meth:`Comparing.weights`), for numpy and torch alike.
"""

from mapl_explore.losses.dynamic_beta import DynamicBeta
from mapl_explore.losses.explaining import Explained, explain
from mapl_explore.losses.graded import GRPO, RLOO, InfoNCA, PlackettLuce
from mapl_explore.losses.logistic import CDPO, CPO, DPO, ORPO, RobustDPO, SimPO
from mapl_explore.losses.loss import Comparing, Loss, margin
from mapl_explore.losses.objectives import IPO, LOSSES, SFT, Hinge, MaxMin, OneSided
from mapl_explore.losses.pairs import First, Hardest, Mean, Mellow, Pair, Side, Sides, Smooth
from mapl_explore.losses.parsing import loss_of, parse
from mapl_explore.losses.rules import Anneal, ExactError, LeaderShare, LowerBound, TauRule, UpperBound
from mapl_explore.losses.sets import ScoredSets, reads_reference, require_reference

__all__ = [
    "CDPO",
    "CPO",
    "DPO",
    "GRPO",
    "IPO",
    "LOSSES",
    "ORPO",
    "RLOO",
    "SFT",
    "Anneal",
    "Comparing",
    "DynamicBeta",
    "ExactError",
    "Explained",
    "First",
    "Hardest",
    "Hinge",
    "InfoNCA",
    "LeaderShare",
    "Loss",
    "LowerBound",
    "MaxMin",
    "Mean",
    "Mellow",
    "OneSided",
    "Pair",
    "PlackettLuce",
    "RobustDPO",
    "ScoredSets",
    "Side",
    "Sides",
    "SimPO",
    "Smooth",
    "TauRule",
    "UpperBound",
    "explain",
    "loss_of",
    "margin",
    "parse",
    "reads_reference",
    "require_reference",
]

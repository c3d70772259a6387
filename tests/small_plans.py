"""What tests of comparisons share: questions that none of the training sets asks."""

from mapl_explore.data import PreferenceSet

EVAL = [PreferenceSet(f"and before {i}?", [f" {i}"], [" no", " x"]) for i in range(6)]

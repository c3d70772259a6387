"""Comparisons of losses and settings over seeds: plans, runs that are shared, intervals, reports."""

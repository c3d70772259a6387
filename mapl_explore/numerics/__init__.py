"""Smooth extremes of numpy and torch arrays, their errors and bounds, and the temperatures for a given error."""

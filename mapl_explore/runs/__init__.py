"""Run folders: what a run records, its probes and its checkpoints, and several runs side by side. Without torch."""

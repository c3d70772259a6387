"""Run folders as a training leaves them, with made-up log-probs: a record and probes, no model."""

import tempfile
from pathlib import Path

import numpy as np

from mapl_explore.losses import parse
from mapl_explore.runs.record import Run, write_run


def recorded(make, loss, **options):
    """Return what ``make`` makes of a run folder, which is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        return make(record(Path(folder), loss, **options))


def record(folder, loss, *, step=range(9), sets=3, per_side=4):
    """Write a run of 12 steps into a folder: positives rise, negatives fall, the last response of set 2 is padding."""
    rng, step, n = np.random.default_rng(0), np.array(list(step)), 2 * per_side
    label = np.tile(np.repeat([1, -1], per_side), (sets, 1))
    if sets > 1 and per_side > 1:
        label[1, -1] = 0
    ref_logp = -5.0 - 10.0 * rng.random((sets, n))
    # At step 0 the model is the reference; from then on it wanders a little on its way.
    away = label * rng.uniform(0.05, 0.5, (sets, n)) * step[:, None, None]
    noise = 0.2 * rng.normal(size=away.shape) * (step > 0)[:, None, None]
    logp = np.minimum(ref_logp + away + noise, -0.1)
    arrays = {"logp": logp, "ref_logp": ref_logp, "length": np.full((sets, n), 7), "label": label}
    np.savez(folder / "probes.npz", step=step, **arrays)
    write_run(folder, Run(loss=repr(parse(loss)), arguments={"steps": 12}, data={}))
    return folder

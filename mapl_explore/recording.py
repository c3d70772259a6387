"""What a run writes down while it trains, so that one can look on and, afterwards, look back."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import transformers

from mapl_explore.data import atomic_writer
from mapl_explore.encoding import EncodedSet, collate
from mapl_explore.runs import PROBES
from mapl_explore.scoring import SetScorer, score_encoded

MOST_PROBES = 8  # sets: a screen shows no more
MOST_INTERVALS = 40  # between the steps at which they are scored: a scoring costs a fifth of a training step


class ProbeRecorder(transformers.TrainerCallback):
    """Score the first held-out sets at evenly spaced steps, the first and the last among them, into ``probes.npz``.

    The file holds ``step`` (S,), the number of updates before each scoring; ``logp`` (S, sets, n); and ``ref_logp``,
    ``length`` and ``label`` (sets, n), as :class:`ScoredSets` has them. It is replaced whole at each of these steps.

    Parameters
    ----------
    folder : path
        The run folder.
    scorer : SetScorer
        Of the model in training. It must still be the reference now, when the recorder is made.
    held_out : sequence of EncodedSet
        At least one.
    steps : int
        Updates of the whole run.
    """

    def __init__(self, folder: str | os.PathLike, scorer: SetScorer, held_out: Sequence[EncodedSet], steps: int):
        self.path, self.scorer, self.probes = Path(folder) / PROBES, scorer, list(held_out[:MOST_PROBES])
        self.wanted = set(np.linspace(0, steps, min(steps, MOST_INTERVALS) + 1).round().astype(int).tolist())
        self.ref_logp = self._scored()
        self.scored = {0: self.ref_logp}

    def on_train_begin(self, args, state, control, **kwargs):
        """Take up what the run that goes on had scored up to its checkpoint."""
        if state.global_step > 0:
            self.scored |= {step: logp for step, logp in _read(self.path).items() if step <= state.global_step}
        self._write()

    def on_step_end(self, args, state, control, **kwargs):
        """Score where the step is one of those wanted."""
        # Before the checkpoint of this step is written: a run that goes on from there finds this scoring in the file.
        if state.global_step in self.wanted:
            self.scored[state.global_step] = self._scored()
            self._write()

    def _scored(self) -> np.ndarray:
        return score_encoded(self.scorer, self.probes, progress=False).numpy()

    def _write(self) -> None:
        table = collate(self.probes)
        arrays = {"step": np.array(list(self.scored)), "logp": np.stack(list(self.scored.values()))}
        arrays |= {"ref_logp": self.ref_logp, "length": table["length"].numpy(), "label": table["label"].numpy()}
        with atomic_writer(self.path, binary=True) as file:
            np.savez(file, **arrays)


def _read(path: Path) -> dict[int, np.ndarray]:
    """Return the log-probs of the probes by step."""
    with np.load(path, allow_pickle=False) as arrays:
        return dict(zip(arrays["step"].tolist(), arrays["logp"], strict=True))

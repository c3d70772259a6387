"""The records that a run writes while it trains: one can watch the training by them, and look back at it later."""

import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm
from transformers import TrainerCallback, TrainerState

from mapl_explore.files import UNREADABLE, atomic_writer, read_arrays
from mapl_explore.launch import is_first
from mapl_explore.models.encoding import EncodedSet, sides
from mapl_explore.models.scorer import SetScorer
from mapl_explore.models.scoring import score_encoded
from mapl_explore.notes import note
from mapl_explore.runs.record import PROBES, Run, write_run
from mapl_explore.training.evaluation import Measured
from mapl_explore.training.settings import SMALL

MOST_PROBES = 8  # sets: a screen shows no more
MOST_INTERVALS = 40  # between the steps at which they are scored
PASSES = 3  # what a training step costs for each of its sets, in passes that only score one
EACH = "each"  # in the entry of a step: what each question adds to the points of the learning curve
TIMES = ("_runtime", "_per_second")  # ends of names in the Trainer's evaluations


class ProbeRecorder(TrainerCallback):
    """Score the first held-out sets at evenly spaced steps, from the first to the last, into ``probes.npz``.

    The file holds ``step`` (S,), the number of updates before each scoring; ``logp`` (S, sets, n); and ``ref_logp``,
    ``length``, ``label`` and, of sets with scores, ``reward`` (sets, n), as :class:`ScoredSets` has them. It is
    replaced whole at each of these steps.

    Parameters
    ----------
    folder : path
        The run folder.
    scorer : SetScorer
        The model in training. It must still be the base when the recorder is made.
    probes : sequence of EncodedSet
        The first of the held-out sets, at least one.
    ref_logp : array (sets, n) or None
        The log-probs of these sets, and perhaps of others after them, under another reference. Without one they are the
        first that are scored, to the bit: at the start all log-ratios are 0.
    steps : int
        Updates of the whole run.
    batch_size : int, optional
        The most sets in one pass.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        scorer: SetScorer,
        probes: Sequence[EncodedSet],
        ref_logp: np.ndarray | None,
        steps: int,
        batch_size: int | None = None,
    ):
        self.batch_size = batch_size
        self.path, self.scorer, self.probes = Path(folder) / PROBES, scorer, list(probes)
        self.wanted = set(np.linspace(0, steps, min(steps, MOST_INTERVALS) + 1).round().astype(int).tolist())
        self.scored = {0: self._scored()}
        rows, columns = self.scored[0].shape
        self.ref_logp = self.scored[0] if ref_logp is None else ref_logp[:rows, :columns]

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Take over what a run that goes on had scored up to its checkpoint."""
        if state.global_step > 0 and is_first():
            shape, known = self.scored[0].shape, _read(self.path).items()  # an earlier version scored more sets
            self.scored |= {step: logp for step, logp in known if step <= state.global_step and logp.shape == shape}
        self._write()

    def on_log(
        self,
        args: Any,
        state: TrainerState,
        control: Any,
        logs: Mapping | None = None,
        **kwargs: Any,
    ) -> None:
        """Score the sets if this is one of the steps chosen."""
        # A step is logged before its checkpoint is written: a run that goes on from there finds this scoring.
        if logs and is_step(logs) and state.global_step in self.wanted:
            self.scored[state.global_step] = self._scored()
            self._write()

    def _scored(self) -> np.ndarray:
        with self.scorer.measuring():
            return score_encoded(self.scorer, self.probes, batch_size=self.batch_size, progress=False).numpy()

    def _write(self) -> None:
        if not is_first():
            return
        table = sides(self.probes)
        arrays: dict[str, Any] = {"step": np.array(list(self.scored)), "logp": np.stack(list(self.scored.values()))}
        arrays |= {"ref_logp": self.ref_logp, **{name: column.numpy() for name, column in table.items()}}
        with atomic_writer(self.path, binary=True) as file:
            np.savez(file, **arrays)


class AnswerRecorder(TrainerCallback):
    """Measure responses to the held-out questions after some of the steps, into the log's entry of the step.

    The entry gets ``right``, the share of greedy responses that are right, ``kl``, and what each question adds to them.
    The log is in every checkpoint, so that a run that goes on has them; and responses draw random numbers of their own,
    so that the training does not change.

    Parameters
    ----------
    answered : function
        Returns ``right`` and ``kl``.
    steps : collection of int
        After which they are measured.
    """

    def __init__(self, answered: Callable[[], Measured], steps: Sequence[int]):
        self.answered, self.steps = answered, steps

    def on_log(
        self,
        args: Any,
        state: TrainerState,
        control: Any,
        logs: Mapping | None = None,
        **kwargs: Any,
    ) -> None:
        """Measure, if this is one of the steps."""
        if logs and is_step(logs) and state.global_step in self.steps:
            found = self.answered()
            entry: dict[str, Any] = state.log_history[-1]
            entry |= {name: one.estimate for name, one in found.items()}
            entry[EACH] = {name: one.each.tolist() for name, one in found.items()}


class LogRecorder(TrainerCallback):
    """Write the steps so far into ``run.json``, at most once a second, and with every checkpoint.

    Parameters
    ----------
    folder : path
        The run folder.
    run : Run
        Its record up to now.
    """

    def __init__(self, folder: str | os.PathLike, run: Run):
        self.folder, self.run, self.written = folder, run, -math.inf

    def on_log(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Write, if a second has passed."""
        # The whole file is written each time: at every step of a long run that would take longer than the steps.
        if time.monotonic() - self.written >= 1:
            self.on_save(args, state, control)

    def on_save(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Write."""
        write_run(self.folder, replace(self.run, log=steps_of(state), evaluations=evaluations_of(state)))
        self.written = time.monotonic()


class Progress(TrainerCallback):
    """Show step, loss and hard margin on stderr: on a terminal one line that moves, otherwise ten lines in all.

    Each evaluation on the way has a line of its own.
    """

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc="training", unit="step", disable=None)
        self.first, self.started = state.global_step, time.monotonic()

    def on_log(
        self,
        args: Any,
        state: TrainerState,
        control: Any,
        logs: Mapping | None = None,
        **kwargs: Any,
    ) -> None:
        """Show a step."""
        if not logs or not is_step(logs):
            return
        shown = {"loss": f"{logs['loss']:.4f}", "hard margin": f"{logs['hard_margin']:.2f}"}
        self.bar.set_postfix(shown, refresh=False)
        self.bar.update(state.global_step - self.bar.n)
        step, last = state.global_step, state.max_steps
        if self.bar.disable and (step == last or step % math.ceil(last / 10) == 0):
            seconds = time.monotonic() - self.started
            left = seconds / (step - self.first) * (last - step)
            text = ", ".join(f"{name} {value}" for name, value in shown.items())
            print(f"step {step} of {last}: {text}, {seconds:.0f} s, {left:.0f} s to go", file=sys.stderr, flush=True)

    def on_evaluate(
        self,
        args: Any,
        state: TrainerState,
        control: Any,
        metrics: Mapping | None = None,
        **kwargs: Any,
    ) -> None:
        """Show what the held-out sets say on the way."""
        found = metrics or {}
        if "eval_loss" in found and "eval_hard_margin" in found:
            shown = f"loss {found['eval_loss']:.4f}, hard margin {found['eval_hard_margin']:.2f}"
            tqdm.write(f"held out, after step {state.global_step}: {shown}", file=sys.stderr)

    def on_train_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Leave the line as it is."""
        self.bar.close()


def is_step(entry: Mapping) -> bool:
    """Return whether an entry of the Trainer's log is one of a step, not its summary at the end."""
    return "hard_margin" in entry


def steps_of(state: TrainerState) -> list[dict]:
    """Return the entries of the steps so far, without what each question adds to them."""
    entries = [entry for entry in state.log_history if is_step(entry)]
    return [{name: entry[name] for name in entry if name != EACH} for entry in entries]


def probe_count(steps: int, sets_per_step: int, weights: int) -> int:
    """Return how many sets are scored along a training: 8, but of a large model no more than half of its cost allows.

    Examples
    --------
    >>> probe_count(24, 16, 134_500_000), probe_count(10, 2, 134_500_000), probe_count(10, 2, 1_000_000)
    (8, 2, 8)
    """
    scorings = min(steps, MOST_INTERVALS) + 1
    affordable = MOST_PROBES if weights <= SMALL else PASSES * steps * sets_per_step // (2 * scorings)
    return max(1, min(MOST_PROBES, affordable))


def answered_along(state: TrainerState) -> dict[int, dict[str, list[float]]]:
    """Return what each question adds to the points of the learning curve, by step."""
    log: list[Any] = state.log_history
    return {entry["step"]: entry[EACH] for entry in log if EACH in entry}


def evaluations_of(state: TrainerState) -> list[dict]:
    """Return what was measured in the evaluations so far, without how long they took."""
    entries = [entry for entry in state.log_history if "eval_loss" in entry]
    return [{name: entry[name] for name in entry if not name.endswith(TIMES)} for entry in entries]


def _read(path: Path) -> dict[int, np.ndarray]:
    """Return the log-probs of the probes by step; none, with a note, if the file cannot be read."""
    try:
        arrays = read_arrays(path)
        return dict(zip(arrays["step"].tolist(), arrays["logp"], strict=True))
    except UNREADABLE:
        note(f"{path.name} cannot be read: the probes before the checkpoint are lost, except those of the base")
        return {}

"""The second step of a fine-tuning: what the base makes of the data, before the first update.

Every update takes ``sets_per_step`` sets. Their order, over as many rounds as the updates need, is drawn once from the
seed and is itself the training data of the Trainer: one epoch, no remainder, the same after a resume.
"""

import contextlib
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from mapl_explore.files import counted
from mapl_explore.models.choices import BF16
from mapl_explore.models.encoding import EncodedSet
from mapl_explore.models.turns import end_tokens
from mapl_explore.runs.record import HELD_OUT, REFERENCE, Run
from mapl_explore.training.base_logp import reference_logp
from mapl_explore.training.base_model import BaseWeights
from mapl_explore.training.evaluation import HeldOut, Lender, Measured, Responses, estimates, evaluated
from mapl_explore.training.examples import Example
from mapl_explore.training.kept import keep, read_kept
from mapl_explore.training.preparing import Prepared
from mapl_explore.training.schedule import schedule
from mapl_explore.training.settings import Settings


@dataclass(frozen=True)
class Baseline:
    """What is computed before the first update.

    Parameters
    ----------
    examples : list of Example
        What to train on, in order.
    held_out : HeldOut
        What to measure on.
    run : Run
        The record, with the measures of the base; of several processes only the first one has them.
    measured : dict of Ratio
        The same measures, set by set.
    base : BaseWeights, OtherModel or None
        What responses of the trained model are to be compared with, if any are drawn.
    """

    examples: list[Example]
    held_out: HeldOut
    run: Run
    measured: Measured
    base: Lender | None


def measure(prepared: Prepared) -> Baseline:
    """Compute what the base makes of the data: the log-probabilities of all sets, and the held-out measures."""
    settings, encoded, count = prepared.settings, [*prepared.train, *prepared.held_out], len(prepared.train)
    order = schedule(count, settings.steps * settings.sets_per_step, settings.seed)
    ref_logp = _ref_logp(prepared, encoded, sorted({*order}), range(count, len(encoded)))
    examples = [Example.of(encoded[row], ref_logp[row]) for row in order]
    held_out = _held_out(prepared, ref_logp[count:])
    if not prepared.place.first:
        return Baseline(examples, held_out, prepared.run, {}, None)
    tell(settings, f"measuring {counted(len(held_out.encoded), 'held-out set')} before training")
    measured = _evaluated_base(prepared, held_out)
    base = prepared.reference or (BaseWeights(prepared.scorer.model) if prepared.questions else None)
    return Baseline(examples, held_out, replace(prepared.run, before=estimates(measured)), measured, base)


def _ref_logp(
    prepared: Prepared, encoded: Sequence[EncodedSet], trained: Sequence[int], measured: Sequence[int]
) -> torch.Tensor:
    """Return the log-probabilities under the base or, where there is one, the reference, of the sets in these rows."""
    run, settings, folder = prepared.run, prepared.settings, prepared.place.folder
    known: dict[str, Any] = {"checksum": run.reference_checksum or run.weights_checksum}
    known |= {"batch_size": settings.batch_size, "progress": settings.progress}
    scorer = prepared.scorer
    with prepared.reference.scorer(scorer) if prepared.reference else contextlib.nullcontext(scorer) as lent:
        if settings.precision != BF16:
            return reference_logp(lent, encoded, [*trained, *measured], folder / REFERENCE, **known)
        logp = reference_logp(lent, encoded, trained, folder / REFERENCE, **known)
        with lent.measuring():
            return logp + reference_logp(lent, encoded, measured, folder / HELD_OUT, **known)


def _held_out(prepared: Prepared, ref_logp: torch.Tensor) -> HeldOut:
    """Return what the model is measured on."""
    settings = prepared.settings
    return HeldOut(
        encoded=prepared.held_out,
        ref_logp=ref_logp,
        questions=prepared.questions,
        judge=prepared.judge,
        seed=settings.seed,
        answer_tokens=settings.answer_tokens,
        chat=settings.chat,
        batch_size=settings.batch_size,
    )


def _evaluated_base(prepared: Prepared, held_out: HeldOut) -> Measured:
    """Return what the model does before its training."""
    scorer, logp = prepared.scorer, held_out.ref_logp
    if prepared.reference:
        logp = held_out.scored(scorer, progress=prepared.settings.progress)
    return evaluated(prepared.loss.at(0), held_out, logp, _base_responses(prepared, held_out))


def _base_responses(prepared: Prepared, held_out: HeldOut) -> Responses | None:
    """Return what the model responds before its training, or what a run that began like this one knows of it."""
    run, settings = prepared.run, prepared.settings
    model = run.weights_checksum, run.reference_checksum, settings.precision, str(prepared.place.device)
    decisive = (model, held_out.decisive, end_tokens(prepared.tokenizer, prepared.scorer.model))
    key = hashlib.sha256(repr(decisive).encode()).hexdigest()
    known = read_kept(key)
    if known is not None:
        return Responses.from_arrays(known)
    responses = Responses.of(prepared.scorer, prepared.tokenizer, held_out, prepared.reference)
    if responses:
        keep(key, responses.arrays)
    return responses


def tell(settings: Settings, text: str) -> None:
    """Say on stderr what a run is at, where progress is wanted."""
    if settings.progress:
        print(text, file=sys.stderr, flush=True)

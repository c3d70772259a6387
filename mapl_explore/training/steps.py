"""The four steps of a fine-tuning: prepare, measure, train, finish. Each one hands on what it knows.

Every update takes ``sets_per_step`` sets. Their order, over as many rounds as the updates need, is drawn once from the
seed and is itself the training data of the Trainer: one epoch, no remainder, the same after a resume.
"""

import contextlib
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import (
    EarlyStoppingCallback,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
    TrainerState,
)
from transformers.integrations import TensorBoardCallback

from mapl_explore.data import PreferenceSet
from mapl_explore.files import counted, make_readable
from mapl_explore.losses import Loss, loss_of
from mapl_explore.models.adapters import is_wrapped, merged_in, replace_weights, require_peft
from mapl_explore.models.checking import context_length, require_known_tokens
from mapl_explore.models.encoding import EncodedSet
from mapl_explore.models.loading import quiet_transformers, weights_checksum
from mapl_explore.models.processes import told_by_first
from mapl_explore.models.scorer import SetScorer
from mapl_explore.models.scoring import encoded_for
from mapl_explore.models.sharded import filled, is_sharded, without_weights
from mapl_explore.notes import note
from mapl_explore.runs.checkpoints import broken_checkpoints, has_finite_weights, last_checkpoint
from mapl_explore.runs.measured import BY_SET, CURVE, learning_curve, write_measured
from mapl_explore.runs.record import (
    REFERENCE,
    Run,
    fingerprint,
    require_new,
    require_same,
    require_same_weights,
    write_run,
)
from mapl_explore.sampling.verifiers import Question
from mapl_explore.sampling.verifiers import verifier as judging
from mapl_explore.training.arguments import require_arguments, training_arguments
from mapl_explore.training.base_logp import reference_logp
from mapl_explore.training.base_model import BaseWeights, OtherModel, adapted_model, base_model, reference_model
from mapl_explore.training.callbacks import (
    AnswerRecorder,
    LogRecorder,
    ProbeRecorder,
    Progress,
    answered_along,
    evaluations_of,
    probe_count,
    steps_of,
)
from mapl_explore.training.engine import require_engine, require_same_engine, uses_fsdp
from mapl_explore.training.evaluation import HeldOut, Judge, Lender, Measured, answered, estimates, evaluated, intervals
from mapl_explore.training.own_loss import require_trained_by
from mapl_explore.training.schedule import learning_rate, schedule, sets_per_pass, updates
from mapl_explore.training.settings import Settings
from mapl_explore.training.trainer import Example, PreferenceTrainer
from mapl_explore.training.training_data import training_data
from mapl_explore.training.workplace import Workplace


@dataclass(frozen=True)
class Prepared:
    """All that is read and checked before any number is computed.

    Parameters
    ----------
    settings : Settings
        The arguments.
    place : Workplace
        Where the run works.
    run : Run
        Its record, with the steps of an interrupted run up to now.
    scorer, tokenizer
        The model, now the base.
    train, held_out : sequence of EncodedSet
        The sets to train on, and those to measure on.
    questions : sequence of Question
        The held-out prompts that the model responds to.
    judge : function or None
        Of a question and a response: whether it is right.
    reference : OtherModel or None
        What log-ratios are relative to, where that is not the base.
    checkpoint : Path or None
        From where the run goes on.
    """

    settings: Settings
    place: Workplace
    run: Run
    scorer: SetScorer
    tokenizer: PreTrainedTokenizerBase
    train: Sequence[EncodedSet]
    held_out: Sequence[EncodedSet]
    questions: Sequence[Question]
    judge: Judge | None
    reference: OtherModel | None
    checkpoint: Path | None

    @property
    def loss(self) -> Loss:
        """Return the loss."""
        return loss_of(self.settings.loss)


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


def prepare(settings: Settings, place: Workplace) -> Prepared:
    """Read and check all that a run needs, and then begin its folder: what is wrong leaves nothing behind."""
    _require_place(settings, place)
    require_engine(settings, place.on_cpu)
    loss = loss_of(settings.loss)
    require_trained_by(loss)
    if settings.lora is not None:
        require_peft("lora")
    train, held_out = training_data(settings.data, settings.eval, settings.seed, settings.threshold)
    settings = replace(settings, steps=updates(settings, len(train)))
    settings.require_reached()
    require_arguments(settings, place)
    questions = [*map(Question.of, held_out[: settings.answers])]
    judge = None if settings.verifier is None else judging(settings.verifier, questions)
    network, tokenizer = base_model(settings.model, place.device, settings.precision)
    adapters = settings.lora is not None or is_wrapped(network)
    settings = replace(settings, lr=learning_rate(settings, network.num_parameters(), adapters))
    reference = reference_model(settings.reference, network, settings.precision)
    run = _recorded(settings, place, _planned(settings, train, held_out), network, reference)
    adapted = adapted_model(settings, network)
    scorer = SetScorer(adapted, precision=settings.precision, checkpointing=settings.checkpointing)
    encoded = _encoded(settings, network, reference, tokenizer, [*train, *held_out])
    checkpoint = _found_checkpoint(place.folder) if settings.resume else None
    _begin(place, run, loss)
    parts = encoded[: len(train)], encoded[len(train) :]
    return Prepared(settings, place, run, scorer, tokenizer, *parts, questions, judge, reference, checkpoint)


def measure(prepared: Prepared) -> Baseline:
    """Compute what the base makes of the data: the log-probabilities of all sets, and the held-out measures."""
    settings, encoded, count = prepared.settings, [*prepared.train, *prepared.held_out], len(prepared.train)
    order = schedule(count, settings.steps * settings.sets_per_step, settings.seed)
    ref_logp = _ref_logp(prepared, encoded, sorted({*order, *range(count, len(encoded))}))
    examples = [Example.of(encoded[row], ref_logp[row]) for row in order]
    held_out = _held_out(prepared, ref_logp[count:])
    if not prepared.place.first:
        return Baseline(examples, held_out, prepared.run, {}, None)
    _tell(settings, f"measuring {counted(len(held_out.encoded), 'held-out set')} before training")
    measured = _evaluated_base(prepared, held_out)
    base = prepared.reference or (BaseWeights(prepared.scorer.model) if prepared.questions else None)
    return Baseline(examples, held_out, replace(prepared.run, before=estimates(measured)), measured, base)


def train(prepared: Prepared, baseline: Baseline) -> tuple[Prepared, TrainerState]:
    """Train the model in place, from the checkpoint if there is one, and return it with what the Trainer has logged."""
    settings, place, scorer = prepared.settings, prepared.place, prepared.scorer
    encoded, held_out = [*prepared.train, *prepared.held_out], baseline.held_out
    sets = settings.sets_per_step // place.processes
    size = sets_per_pass(encoded, sets, scorer.share_prompt, settings.batch_size)
    empty = without_weights(scorer.given) if uses_fsdp() else None
    with quiet_transformers():
        trainer = PreferenceTrainer(
            loss=prepared.loss,
            model=scorer,
            args=training_arguments(settings, place, size),
            train_dataset=baseline.examples,
            eval_dataset=[*map(Example.of, held_out.encoded, held_out.ref_logp)],
            processing_class=prepared.tokenizer,
        )
        trainer.remove_callback(PrinterCallback)
        for callback in _callbacks(prepared, baseline):
            trainer.add_callback(callback)
        trainer.train(resume_from_checkpoint=str(prepared.checkpoint) if prepared.checkpoint else None)
    if settings.patience is not None and place.first:
        state = trainer.state
        ended = f"ended at step {state.global_step} of {settings.steps}"
        note(f"patience: {ended}, and kept step {state.best_global_step}, whose held-out loss is the lowest")
    return _whole(prepared, empty), trainer.state


def _whole(prepared: Prepared, empty: Any) -> Prepared:
    """Return what is prepared, with a whole model in each process where training has left parts of its weights."""
    scorer = prepared.scorer
    if not is_sharded(scorer.model):
        return prepared
    return replace(prepared, scorer=SetScorer(filled(empty, scorer.model), precision=scorer.precision))


def finish(prepared: Prepared, baseline: Baseline, state: TrainerState) -> tuple[Run, PreTrainedModel]:
    """Measure the trained model, save it, and return the record of the run and the model, to every process."""
    record = _finished(prepared, baseline, state) if prepared.place.first else None
    model = merged_in(prepared.scorer.given) if prepared.settings.merge else prepared.scorer.given
    if record:
        _save(prepared.place.folder, record, model, prepared.tokenizer)
    return told_by_first(record), model


def _finished(prepared: Prepared, baseline: Baseline, state: TrainerState) -> Run:
    settings, scorer, held_out = prepared.settings, prepared.scorer, baseline.held_out
    _tell(settings, "measuring them after training")
    logp = held_out.scored(scorer, progress=settings.progress)
    after = evaluated(prepared.loss.at(1), scorer, prepared.tokenizer, held_out, logp, baseline.base)
    found = intervals(baseline.measured, after, seed=settings.seed)
    log, evaluations = steps_of(state), evaluations_of(state)
    by_set = {name: after[name].each for name in BY_SET if name in after}
    if settings.answer_at:
        points = {0: {name: baseline.measured[name].each.tolist() for name in CURVE}, **answered_along(state)}
        by_set |= learning_curve(points, settings.sets_per_step)
    write_measured(prepared.place.folder, by_set, _tokens_read(prepared, baseline, state))
    return replace(baseline.run, after=estimates(after), intervals=found, log=log, evaluations=evaluations)


def _tokens_read(prepared: Prepared, baseline: Baseline, state: TrainerState) -> int:
    """Return the tokens of the responses in all sets that the updates took; the schedule has them in order."""
    read = baseline.examples[: state.global_step * prepared.settings.sets_per_step]
    return sum(len(response) for example in read for response in example.encoded.responses)


def _require_place(settings: Settings, place: Workplace) -> None:
    """Raise where the processes cannot share a step, or the folder is not free for a new run."""
    if settings.sets_per_step % place.processes:
        rule = f"a multiple of the {place.processes} processes"
        raise ValueError(f"sets_per_step must be {rule}, not {settings.sets_per_step}")
    if not settings.resume:
        require_new(place.folder)


def _planned(settings: Settings, train: list[PreferenceSet], held_out: list[PreferenceSet]) -> Run:
    """Return the record of a run before its model is read."""
    data = {"train": fingerprint(train), "eval": fingerprint(held_out)}
    arguments = settings.decisive
    if settings.chat == "auto" and all(isinstance(one.prompt, str) for one in (*train, *held_out)):
        arguments["chat"] = "never"  # the same on plain text, and what earlier versions did: their runs go on
    return Run(loss=repr(settings.loss), arguments=arguments, data=data)


def _recorded(
    settings: Settings, place: Workplace, planned: Run, network: PreTrainedModel, reference: OtherModel | None
) -> Run:
    """Return the record of a run with its weights; raise unless one that is to go on was started in the same way."""
    begun = require_same(place.folder, planned) if settings.resume else planned
    run = replace(planned, weights_checksum=weights_checksum(network), log=begun.log, evaluations=begun.evaluations)
    if reference:
        run = replace(run, reference_checksum=weights_checksum(reference.network))
    if settings.resume:
        require_same_weights(place.folder, begun, run)
    return run


def _found_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint to go on from, and say which."""
    for broken in broken_checkpoints(folder):
        note(f"{broken.name} was not written to its end, or is damaged: it is passed over")
    checkpoint = last_checkpoint(folder)
    if checkpoint and not has_finite_weights(checkpoint):
        raise ValueError(
            f"the weights in {str(checkpoint)!r} are not finite, so the run cannot go on: begin another one, with a"
            " smaller lr, or remove that checkpoint to go on from the one before"
        )
    if checkpoint:
        require_same_engine(checkpoint)
    note(f"going on from {checkpoint.name if checkpoint else 'the beginning: there is no whole checkpoint'}")
    return checkpoint


def _begin(place: Workplace, run: Run, loss: Loss) -> None:
    """Make the run folder, and say what is to be expected of the loss."""
    place.wait()  # all have seen the folder as it was before the first process writes into it
    if place.first:
        place.folder.mkdir(parents=True, exist_ok=True)
        write_run(place.folder, run)
    if not getattr(loss, "bounded", True):
        note(f"{loss!r} has no lower bound: it falls for as long as one trains, whatever becomes of the responses")


def _encoded(
    settings: Settings,
    network: PreTrainedModel,
    reference: OtherModel | None,
    tokenizer: PreTrainedTokenizerBase,
    sets: Sequence[PreferenceSet],
) -> list[EncodedSet]:
    """Return the sets in tokens, so many that each model can read them."""
    longest = min(settings.max_length or math.inf, context_length(reference.network) if reference else math.inf)
    found = encoded_for(network, tokenizer, sets, truncate=settings.truncate, chat=settings.chat, longest=longest)
    if reference:
        require_known_tokens(reference.network, found)
    return found


def _evaluated_base(prepared: Prepared, held_out: HeldOut) -> Measured:
    """Return what the model does before its training."""
    scorer, logp = prepared.scorer, held_out.ref_logp
    if prepared.reference:
        logp = held_out.scored(scorer, progress=prepared.settings.progress)
    return evaluated(prepared.loss.at(0), scorer, prepared.tokenizer, held_out, logp, prepared.reference)


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


def _ref_logp(prepared: Prepared, encoded: Sequence[EncodedSet], rows: Sequence[int]) -> torch.Tensor:
    """Return the log-probabilities under the base or, where there is one, the reference, of the sets in these rows."""
    place, run, scorer = prepared.place, prepared.run, prepared.scorer
    with prepared.reference.scorer(scorer) if prepared.reference else contextlib.nullcontext(scorer) as lent:
        return reference_logp(
            lent,
            encoded,
            rows,
            place.folder / REFERENCE,
            checksum=run.reference_checksum or run.weights_checksum,
            batch_size=prepared.settings.batch_size,
            progress=prepared.settings.progress,
        )


def _callbacks(prepared: Prepared, baseline: Baseline) -> list[Any]:
    """Return what writes the updates down, what shows them, what may end them early, and what a user adds."""
    patience, added = prepared.settings.patience, list(prepared.settings.callbacks)
    early = [] if patience is None else [EarlyStoppingCallback(patience)]
    settings, ref_logp = prepared.settings, baseline.held_out.ref_logp.numpy() if prepared.reference else None
    weights = sum(each.numel() for each in prepared.scorer.given.parameters())
    sets = prepared.held_out[: probe_count(settings.steps, settings.sets_per_step, weights)]
    scored = prepared.place.folder, prepared.scorer, sets, ref_logp
    probes = ProbeRecorder(*scored, settings.steps, settings.batch_size)  # in each: they may hold parts of the weights
    return [probes, *(_recorders(prepared, baseline) if prepared.place.first else []), *early, *added]


def _recorders(prepared: Prepared, baseline: Baseline) -> list[TrainerCallback]:
    settings, folder = prepared.settings, prepared.place.folder
    recorders = [*_answering(prepared, baseline), LogRecorder(folder, baseline.run)]
    recorders += [Progress()] if settings.progress else []
    if settings.report == "tensorboard":
        from torch.utils.tensorboard import SummaryWriter

        recorders.append(TensorBoardCallback(SummaryWriter(folder / "tensorboard")))
    return recorders


def _answering(prepared: Prepared, baseline: Baseline) -> list[TrainerCallback]:
    judge, steps = prepared.judge, prepared.settings.answer_at
    if judge is None or not steps:
        return []
    asked = prepared.scorer, prepared.tokenizer, baseline.held_out, judge, baseline.base
    return [AnswerRecorder(lambda: answered(*asked), steps)]


def _save(folder: Path, run: Run, network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Write the model, and then the record, which says that all is there."""
    with quiet_transformers():
        replace_weights(network, folder)
        tokenizer.save_pretrained(folder)
    for weights in folder.glob("*.safetensors"):  # safetensors leaves them private
        make_readable(weights)
    write_run(folder, run)


def _tell(settings: Settings, text: str) -> None:
    if settings.progress:
        print(text, file=sys.stderr, flush=True)

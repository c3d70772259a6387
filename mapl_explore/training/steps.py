"""The last two steps of a fine-tuning, behind ``preparing.py`` and ``baseline.py``: train, and finish."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import (
    EarlyStoppingCallback,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
    TrainerState,
)
from transformers.integrations import TensorBoardCallback

from mapl_explore.files import make_readable
from mapl_explore.models.adapters import merged_in, replace_weights
from mapl_explore.models.loading import quiet_transformers
from mapl_explore.models.processes import told_by_first
from mapl_explore.models.scorer import SetScorer
from mapl_explore.models.sharded import filled, is_sharded, without_weights
from mapl_explore.notes import note
from mapl_explore.runs.measured import BY_SET, CURVE, learning_curve, write_measured
from mapl_explore.runs.record import Run, write_run
from mapl_explore.training.arguments import training_arguments
from mapl_explore.training.baseline import Baseline, tell
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
from mapl_explore.training.engine import uses_fsdp
from mapl_explore.training.evaluation import Measured, Responses, estimates, evaluated, intervals
from mapl_explore.training.examples import Example
from mapl_explore.training.preparing import Prepared
from mapl_explore.training.schedule import sets_per_pass
from mapl_explore.training.trainer import PreferenceTrainer


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
        measure = str(trainer.args.metric_for_best_model).removeprefix("eval_").replace("_", " ")
        best = f"{measure} is the {'largest' if trainer.args.greater_is_better else 'smallest'}"
        note(f"patience: {ended}, and kept step {state.best_global_step}, whose held-out {best}")
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
    tell(settings, "measuring them after training")
    logp = held_out.scored(scorer, progress=settings.progress)
    responses = Responses.of(scorer, prepared.tokenizer, held_out, baseline.base)
    after = evaluated(prepared.loss.at(1), held_out, logp, responses)
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
    held_out, base = baseline.held_out, baseline.base

    def answered() -> Measured:
        responses = Responses.of(prepared.scorer, prepared.tokenizer, held_out, base)
        found = responses.measured(held_out) if responses else {}
        return {name: found[name] for name in CURVE}

    return [AnswerRecorder(answered, steps)]


def _save(folder: Path, run: Run, network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Write the model, and then the record, which says that all is there."""
    with quiet_transformers():
        replace_weights(network, folder)
        tokenizer.save_pretrained(folder)
    for weights in folder.glob("*.safetensors"):  # safetensors leaves them private
        make_readable(weights)
    write_run(folder, run)

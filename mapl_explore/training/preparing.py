"""The first step of a fine-tuning: all is read and checked, and then the run folder is begun."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mapl_explore.data import PreferenceSet
from mapl_explore.losses import Loss, loss_of
from mapl_explore.models.adapters import is_wrapped, require_peft
from mapl_explore.models.checking import context_length, require_known_tokens, told_of
from mapl_explore.models.encoding import EncodedSet
from mapl_explore.models.loading import weights_checksum
from mapl_explore.models.scorer import SetScorer
from mapl_explore.models.scoring import encoded_for
from mapl_explore.notes import note
from mapl_explore.runs.checkpoints import broken_checkpoints, has_finite_weights, last_checkpoint
from mapl_explore.runs.record import Run, fingerprint, write_run
from mapl_explore.runs.run_folder import require_new, require_same, require_same_weights
from mapl_explore.sampling.verifiers import Question
from mapl_explore.sampling.verifiers import verifier as judging
from mapl_explore.training.arguments import require_arguments
from mapl_explore.training.base_model import OtherModel, adapted_model, base_model, reference_model
from mapl_explore.training.engine import require_engine, require_same_engine
from mapl_explore.training.evaluation import Judge
from mapl_explore.training.own_loss import require_trained_by
from mapl_explore.training.schedule import learning_rate, updates
from mapl_explore.training.settings import Settings, name_of
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
        with told_of("reference", name_of(settings.reference) or type(reference.network).__name__):
            require_known_tokens(reference.network, found)
    return found

"""Rounds of sampling and training as one run of a comparison: what they are asked, and their record as one."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from mapl_explore.data import PreferenceSet
from mapl_explore.files import write_json
from mapl_explore.runs.measured import SAMPLES, read_measured, write_measured
from mapl_explore.runs.record import RECORD, Run
from mapl_explore.training.round_settings import REFERENCES, RoundSettings
from mapl_explore.training.settings import Settings

SAMPLING = ("rounds", "k", "temperature", "max_tokens")  # settings of rounds that a plan may have


def rounds_of(settings: Settings, sampling: Mapping[str, Any], sets: Sequence[PreferenceSet]) -> RoundSettings:
    """Return the settings of rounds on the prompts of some sets, whose responses serve the verifier ``exact`` alone.

    Raises
    ------
    ValueError, TypeError
        If they break a rule of :class:`mapl_explore.training.round_settings.RoundSettings`.
    """
    shared = {each.name for each in fields(RoundSettings) if each.init} & {each.name for each in fields(Settings)}
    given = {name: getattr(settings, name) for name in shared} | dict(sampling)
    given["reference"] = settings.reference or REFERENCES[0]
    given["prompts"] = [{"prompt": one.prompt} for one in sets]
    if settings.verifier == "exact":
        given["prompts"] = [{"prompt": one.prompt, "answer": list(one.positives)} for one in sets]
        given["answer_field"] = "answer"
    return RoundSettings(**given)


def run_rounds(settings: Settings, sampling: Mapping[str, Any]) -> None:
    """Run or resume rounds in a folder, and leave there ``run.json`` and ``measured.npz``, as ``finetune`` does."""
    from mapl_explore.training.rounds import each_round

    sets: Any = settings.data
    with closing(each_round(rounds_of(settings, sampling, sets))) as made:
        done = list(made)
    folder, last = Path(settings.output), done[-1]
    by_set, _ = read_measured(last.folder)
    samples = np.array(sum(one.sampled.draws for one in done))
    write_measured(folder, {**by_set, SAMPLES: samples}, sum(read_measured(one.folder)[1] for one in done))
    write_json(folder / RECORD, asdict(_as_one([one.run for one in done], sampling)))


def _as_one(runs: Sequence[Run], sampling: Mapping[str, Any]) -> Run:
    """Return the record of several runs, one after the other: from before the first to after the last."""
    first, last = runs[0], runs[-1]
    log: list[dict] = []
    for run in runs:
        made = log[-1]["step"] if log else 0
        log += [entry | {"step": made + entry["step"]} for entry in run.log]
    own: dict[str, Any] = {"before": first.before, "weights_checksum": first.weights_checksum, "data": first.data}
    return replace(last, **own, arguments=first.arguments | dict(sampling), intervals={}, evaluations=[], log=log)

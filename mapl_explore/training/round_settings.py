"""The arguments of rounds of sampling and training: those of a fine-tuning, and those of a sampling. Without torch."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from mapl_explore.data.records import Source
from mapl_explore.losses import loss_of
from mapl_explore.losses.graded import Graded
from mapl_explore.training.settings import (
    Settings,
    above_zero,
    as_given,
    choice,
    document,
    folder,
    optional,
    setting,
    switch,
    verifier_name,
    whole,
)

REFERENCES = ("first", "round")


def decided() -> Any:
    """Return the field of an argument of a fine-tuning that each round decides for itself."""
    return field(default=None, init=False, repr=False, metadata={"rule": as_given})


@dataclass(frozen=True, kw_only=True)
class RoundSettings(Settings):
    """All arguments of :func:`mapl_explore.rounds`; the errors are those of :class:`mapl_explore.Settings`.

    Examples
    --------
    >>> settings = RoundSettings(
    ...     prompts="prompts.jsonl", loss="rloo", verifier="world", eval="test.jsonl", output="runs/rloo"
    ... )
    >>> settings.k, settings.every_draw, settings.seed_of(1) == settings.seed_of(2)
    (8, True, False)
    """

    prompts: Source = setting(
        "records with a prompt, to which responses are sampled in each round", as_given, metavar="PROMPTS", shown=False
    )
    output: str = setting("a folder for all rounds, new or empty", folder, metavar="DIR")
    model: str = setting("name of the model of the first round: tiny, a folder, or one on the hub", folder, "tiny")
    data: Any = decided()
    threshold: Any = decided()
    reference: str = choice(
        "what log-ratios and the KL are relative to: first, the model of the first round; round, the one that a round"
        " begins with",
        REFERENCES,
    )
    eval: Any = setting("held-out sets, the same in all rounds", as_given, metavar="FILE", shown=False)
    verifier: str = setting(
        "who judges the responses, sampled and held-out: world, exact or module:function",
        verifier_name,
        metavar="WHICH",
    )
    answer_field: str | None = setting(
        "the field of the prompts with the right response, a text or a list of texts, for the verifier exact",
        optional(folder),
        None,
        metavar="FIELD",
    )
    rounds: int = setting("how many rounds; more of them later go on from the last", whole(1), 3)
    k: int = setting("responses to each prompt in each round", whole(2), 8)
    temperature: float = setting("what logits are divided by; 1 samples the model itself", above_zero, 1.0)
    max_tokens: int | None = setting(
        "most tokens of a sampled response, which is left out if it is cut off; 256, or what the model's"
        " generation_config names, if not given",
        optional(whole(1)),
        None,
        metavar="N",
    )
    seed: int = setting("decides, with the number of a round, its responses and the order of its sets", whole(0), 0)
    resume: bool = switch("go on with the rounds in the output folder where they were")

    @property
    def every_draw(self) -> bool:
        """Return whether the loss takes a response as often as it was drawn: a loss of rewards does."""
        return isinstance(loss_of(self.loss), Graded)

    def seed_of(self, number: int) -> int:
        """Return the seed of a round: the first 32 bits that NumPy's ``SeedSequence([seed, number])`` gives."""
        return int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])

    def run_folder(self, number: int) -> Path:
        """Return the run folder of a round."""
        return Path(self.output) / f"round-{number}"

    def model_of(self, number: int) -> str:
        """Return the name of the model that a round begins with."""
        return self.model if number == 1 else str(self.run_folder(number - 1))

    def training_of(self, number: int, data: Any, held_out: Any, *, resume: bool) -> Settings:
        """Return the arguments of the fine-tuning of a round."""
        given = {each.name: getattr(self, each.name) for each in fields(Settings)}
        given |= {"data": data, "eval": held_out, "seed": self.seed_of(number), "resume": resume}
        given |= {"model": self.model_of(number), "output": self.run_folder(number)}
        given["reference"] = self.model if self.reference == "first" and number > 1 else None
        return Settings(**given)


document(RoundSettings, RoundSettings)

"""The data of a comparison: what is trained on under a seed, what chooses the learning rate, what is reported."""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mapl_explore.data import PreferenceSet, prompt_text
from mapl_explore.experiments.plan import Arm, Plan
from mapl_explore.files import shortened
from mapl_explore.sampling.verifiers import Question, verifier
from mapl_explore.training.training_data import training_data

SPLIT_SEED = 20_240_229  # of the division of the held-out prompts alone: the same for every plan, arm and seed
VALIDATION = 0.5  # share of the held-out prompts that choose the learning rate


@dataclass(frozen=True)
class Questions:
    """All sets of a comparison.

    Parameters
    ----------
    train : dict of list of PreferenceSet
        What the arms draw their training sets from, by the name of the file.
    validation, test : list of PreferenceSet
        Held-out sets: those that choose the learning rate, and those of the report. They have no prompt in common,
        with each other or with the training sets.
    """

    train: dict[str, list[PreferenceSet]]
    validation: list[PreferenceSet]
    test: list[PreferenceSet]


def read_questions(plan: Plan) -> Questions:
    """Read and divide the data of a plan.

    Raises
    ------
    ValueError, TypeError, OSError
        If data cannot be read, do not suffice, or a held-out prompt is trained on, too; or there is no such verifier.
    """
    files = {str(arm.settings.data): arm.settings for arm in plan.arms}
    read = {name: training_data(name, asked.eval, SPLIT_SEED, asked.threshold) for name, asked in files.items()}
    for train, held_out in read.values():
        _require_apart(train, held_out)
    found = {name: train for name, (train, _) in read.items()}
    for arm in plan.arms:
        _require_enough(arm, found[str(arm.settings.data)])
    _, held_out = next(iter(read.values()))  # the same for all: eval belongs to all arms, and so does data without it
    if plan.arms[0].settings.verifier is not None:  # finds its faults before any work
        verifier(plan.arms[0].settings.verifier, [*map(Question.of, held_out)])
    return Questions(found, *divided(held_out))


def divided(held_out: Sequence[PreferenceSet]) -> tuple[list[PreferenceSet], list[PreferenceSet]]:
    """Return the sets that choose the learning rate, and those of the report; all sets of a prompt go together.

    Examples
    --------
    >>> sets = [PreferenceSet(str(i), ["yes"], ["no"]) for i in range(10)]
    >>> [len(part) for part in divided(sets)]
    [5, 5]
    """
    prompts = sorted({prompt_text(one.prompt) for one in held_out})
    if len(prompts) < 2:
        raise ValueError("eval must hold at least 2 prompts: some choose the learning rate, the others are reported")
    chosen = set(random.Random(SPLIT_SEED).sample(prompts, max(1, round(VALIDATION * len(prompts)))))
    parts: tuple[list[PreferenceSet], list[PreferenceSet]] = ([], [])
    for one in held_out:
        parts[prompt_text(one.prompt) not in chosen].append(one)
    return parts


def drawn(sets: Sequence[PreferenceSet], arm: Arm, seed: int) -> list[PreferenceSet]:
    """Return the training sets of an arm under a seed.

    Arms with the same data and the same seed draw alike: fewer sets are some of the more, and less noise exchanges the
    sides of some of the sets that more noise does; an exploded arm has the pairs of the sets that others have.
    """
    rng = random.Random(f"sets and noise {seed}")
    order = rng.sample(range(len(sets)), len(sets))[: arm.sets] if arm.sets else list(range(len(sets)))
    exchanged = set(rng.sample(order, len(order))[: round(arm.noise * len(order))])
    found = [_exchanged(sets[row]) if row in exchanged else sets[row] for row in order]
    return [pair for one in found for pair in all_pairs(one)] if arm.exploded else found


def all_pairs(one: PreferenceSet) -> list[PreferenceSet]:
    """Return every positive of a set with every negative, as sets of two.

    >>> [(pair.positives, pair.negatives) for pair in all_pairs(PreferenceSet("Say a!", ["a", "A"], ["b", "c"]))]
    [(('a',), ('b',)), (('a',), ('c',)), (('A',), ('b',)), (('A',), ('c',))]
    """
    places = itertools.product(range(len(one.positives)), range(len(one.positives), len(one.responses)))
    return [one.pair(good, bad) for good, bad in places]


def _exchanged(one: PreferenceSet) -> PreferenceSet:
    return replace(one, positives=one.negatives, negatives=one.positives)


def _require_enough(arm: Arm, sets: Sequence[PreferenceSet]) -> None:
    if arm.sets and arm.sets > len(sets):
        key = "prompts" if arm.sampling else "sets"
        raise ValueError(f"{arm.place(key)} {key} must be at most {len(sets)}, which data holds, not {arm.sets}")
    if arm.noise and any(one.scores for one in sets):
        place = arm.place("noise")
        raise ValueError(f"{place} noise exchanges sides, and data holds scores, which would contradict them")


def _require_apart(train: Sequence[PreferenceSet], held_out: Sequence[PreferenceSet]) -> None:
    both = {prompt_text(one.prompt) for one in train} & {prompt_text(one.prompt) for one in held_out}
    if both:
        raise ValueError(f"eval must hold no prompt of data; {shortened(min(both))} stands in both")

"""What a run trains on and what it holds out: sets from files, tables and iterables, told apart before any work."""

import os
import random
from collections.abc import Iterable, Mapping
from typing import Any

from mapl_explore.data import PreferenceSet, prompt_text, read_alike
from mapl_explore.data.sets import are_graded
from mapl_explore.files import counted
from mapl_explore.notes import note
from mapl_explore.training.own_loss import kind_of

HELD_OUT = 0.1  # part of the prompts, where no evaluation data are given


def training_data(
    data: Any, eval: Any, seed: int, threshold: float | None = None
) -> tuple[list[PreferenceSet], list[PreferenceSet]]:
    """Return the sets to train on and those held out.

    Parameters
    ----------
    data, eval : path, table or iterable
        As :class:`mapl_explore.Settings` has them. Without ``eval``, the sets of a tenth of the prompts are held out.
    seed : int
        Of the prompts that are drawn for that.
    threshold : float, optional
        The least score of a positive, where data and eval are scored completions.

    Raises
    ------
    TypeError
        If one is of another kind.
    ValueError
        If a set is malformed, only some sets have scores, there are fewer than 2 prompts to hold one out, or a
        threshold is given and the records are no scored completions.
    OSError
        If a file cannot be read; the message names the argument.
    """
    if eval is None:
        sets = given_sets(data, "data", threshold)
        are_graded(sets, "data")
        return _divided(sets, seed)
    train, held_out = given_sets(data, "data", threshold), given_sets(eval, "eval", threshold)
    if are_graded(train, "data") != are_graded(held_out, "eval"):
        lacking = "data" if held_out[0].scores else "eval"
        raise ValueError(f"scores must stand in both data and eval or in neither: {lacking} has none")
    trained = {prompt_text(one.prompt) for one in train}
    if both := sum(prompt_text(one.prompt) in trained for one in held_out):
        note(f"eval has {counted(both, 'set')} of {len(held_out)} whose prompt is in data, too: they are not held out")
    return train, held_out


def _divided(sets: list[PreferenceSet], seed: int) -> tuple[list[PreferenceSet], list[PreferenceSet]]:
    """Return the sets of most prompts, and those of a tenth."""
    # By prompt, not by set: a prompt that stands in two sets must not be on both sides.
    prompts = sorted({prompt_text(one.prompt) for one in sets})
    if len(prompts) < 2:
        raise ValueError("data must hold at least 2 prompts to hold one out; or give eval, a file of held-out sets")
    held = set(random.Random(seed).sample(prompts, max(1, round(HELD_OUT * len(prompts)))))
    apart: tuple[list[PreferenceSet], list[PreferenceSet]] = ([], [])
    for one in sets:
        apart[prompt_text(one.prompt) in held].append(one)
    return apart


def given_sets(source: Any, name: str, threshold: float | None) -> list[PreferenceSet]:
    """Return the sets of a file, of a table, or of what yields them; a generator is read once."""
    if isinstance(source, Mapping):  # a DatasetDict
        splits = ", ".join(map(str, source))
        raise TypeError(f"{name} must be one table, not several ({splits}): name a split, as in data['train']")
    if isinstance(source, str | os.PathLike) or not _yields_sets(source):
        return _from_table(source, name, threshold)
    sets = list(source)
    if sets and all(isinstance(one, Mapping) for one in sets):
        return _from_table(sets, name, threshold)
    wrong = [one for one in sets if not isinstance(one, PreferenceSet)]
    if wrong or not sets:
        found = f"one with {kind_of(wrong[0])} in it" if wrong else "an empty one"
        raise TypeError(
            f"{name} must be a file, a datasets.Dataset or a list of at least one PreferenceSet, not {found}"
        )
    if threshold is not None:
        raise ValueError(
            f"threshold belongs to scored completions, and {name} holds PreferenceSets, whose sides are told"
        )
    return sets


def _yields_sets(source: Any) -> bool:
    return isinstance(source, Iterable) and not hasattr(source, "column_names") and not hasattr(source, "iloc")


def _from_table(source: Any, name: str, threshold: float | None) -> list[PreferenceSet]:
    if hasattr(source, "to_dict") and hasattr(source, "iloc"):  # a DataFrame, of which pandas need not be there
        raise TypeError(f"{name} must not be a {type(source).__name__}: give {name}.to_dict('records')")
    try:
        return read_alike(source, threshold=threshold)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None
    except OSError as error:
        if error.errno is None:
            raise OSError(f"{name}: {error}") from None
        raise type(error)(error.errno, f"{name} cannot be read: {error.strerror}", error.filename) from None

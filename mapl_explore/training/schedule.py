"""The order of the sets, the size of a pass, and the arguments of transformers' Trainer that follow from settings."""

import random
from collections.abc import Sequence

import transformers

from mapl_explore.models.encoding import EncodedSet, table_shapes
from mapl_explore.models.passes import BATCH_TOKENS
from mapl_explore.training.settings import Settings
from mapl_explore.training.workplace import Workplace


def training_arguments(settings: Settings, place: Workplace, batch_size: int) -> transformers.TrainingArguments:
    """Return the arguments of the Trainer of a run, which takes ``batch_size`` sets in one pass."""
    arguments = transformers.TrainingArguments(
        output_dir=str(place.folder / "checkpoints"),
        max_steps=settings.steps,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=settings.sets_per_step // (batch_size * place.processes),
        learning_rate=settings.lr,
        warmup_steps=settings.steps // 4,
        seed=settings.seed,
        use_cpu=place.on_cpu,
        logging_steps=1,
        logging_nan_inf_filter=False,  # it looks at every loss, which waits for a GPU
        save_steps=settings.every,
        save_total_limit=2,  # one that was whole before, should the newest be damaged
        report_to="none",
        ddp_find_unused_parameters=False,
        disable_tqdm=True,
        dataloader_pin_memory=not place.on_cpu,
        remove_unused_columns=False,
        label_names=[],
        log_level="error",
    )
    # Several GPUs in one process would be fed by DataParallel, which cuts prompts and responses at the same rows.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def sets_per_pass(encoded: Sequence[EncodedSet], sets_per_step: int, share_prompt: bool) -> int:
    """Return the most sets in one pass that divide a step and keep to the tokens of one pass, padding included."""
    rows = max(rows for one in encoded for rows, _ in table_shapes([one], share_prompt=share_prompt))
    *_, (_, columns) = table_shapes(encoded, share_prompt=share_prompt)
    largest = rows * columns
    sizes = [size for size in range(1, sets_per_step + 1) if sets_per_step % size == 0]
    return max((size for size in sizes if size * largest <= BATCH_TOKENS), default=1)


def schedule(count: int, length: int, seed: int) -> list[int]:
    """Return rows 0..count-1 in a new order each round, for as many rounds as make the length."""
    rng = random.Random(seed)
    order: list[int] = []
    while len(order) < length:
        order += rng.sample(range(count), count)
    return order[:length]

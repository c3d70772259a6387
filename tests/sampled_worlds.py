"""Sampling from the small world with the tiny model."""

from mapl_explore.data.world import world_sets
from mapl_explore.models.loading import load_model, quiet_transformers
from mapl_explore.sampling.answers import sample_sets

WORLD = world_sets(12, seed=7, split="test")


def sampled(source, output, **options):
    return sample_sets(source, output, **{"k": 8, "max_tokens": 16, "progress": False, **options})


def chatty(folder, template):
    model, tokenizer = load_model("tiny")
    tokenizer.chat_template = template
    with quiet_transformers():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder

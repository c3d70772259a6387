"""Sampling from the small world with the tiny model."""

import pytest

import mapl_explore.sampling.answers as sampling
from mapl_explore.data.world import world_sets
from mapl_explore.models.loading import load_model, quiet_transformers

WORLD = world_sets(12, seed=7, split="test")


def sampled(source, output, **options):
    return sampling.sample_sets(source, output, **{"k": 8, "max_tokens": 16, "progress": False, **options})


def chatty(folder, template):
    model, tokenizer = load_model("tiny")
    tokenizer.chat_template = template
    with quiet_transformers():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def stopped(after, source, output, monkeypatch, **options):
    """Sample some batches of two prompts, and then be interrupted."""
    make = sampling.sampled_batches

    def watched(*args, **options):
        for number, item in enumerate(make(*args, **options)):
            if number == after:
                raise KeyboardInterrupt
            yield item

    with monkeypatch.context() as patch:
        patch.setattr(sampling, "sampled_batches", watched)
        with pytest.raises(KeyboardInterrupt):
            sampled(source, output, batch_size=2, **options)


def asked(monkeypatch):
    """Return a list that the prompts which the model responds to from here on are added to."""
    prompts, make = [], sampling.sampled_batches

    def watched(model, tokenizer, given, **options):
        for rows, answers in make(model, tokenizer, given, **options):
            prompts.extend(given[row] for row in rows)
            yield rows, answers

    monkeypatch.setattr(sampling, "sampled_batches", watched)
    return prompts

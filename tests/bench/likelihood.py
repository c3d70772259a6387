"""Log-probabilities of 512 tokens from float32 logits, and their gradient: ours next to cross_entropy, one thread."""

import time

import torch
from torch.nn.functional import cross_entropy

from mapl_explore.models.likelihood import token_logp

TOKENS, ROUNDS = 512, 3


def with_cross_entropy(logits, target):
    return -cross_entropy(logits, target, reduction="none").double()


def seconds(function, logits, target):
    """Return the least time of value and gradient."""
    times = []
    for _ in range(ROUNDS):
        logits.grad = None
        start = time.perf_counter()
        function(logits, target).sum().backward()
        times.append(time.perf_counter() - start)
    return min(times)


def main():
    torch.set_num_threads(1)
    for vocabulary in (49_152, 151_936):
        generator = torch.Generator().manual_seed(0)
        logits = 3 * torch.randn(TOKENS, vocabulary, generator=generator)
        target = torch.randint(vocabulary, (TOKENS,), generator=generator)
        exact = logits.double().log_softmax(-1).gather(1, target[:, None])[:, 0]
        logits.requires_grad_()
        for name, function in (("ours", token_logp), ("cross_entropy", with_cross_entropy)):
            off = function(logits, target).detach() - exact
            print(
                f"{vocabulary} tokens, {name}: off by {off.mean():.1e} nats on average, {off.abs().max():.1e} at most;"
                f" {seconds(function, logits, target):.2f} s"
            )


if __name__ == "__main__":
    main()

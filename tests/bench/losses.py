"""Time a loss with the smooth pair against the naive composition of log-sum-exp, value and gradient, side by side."""

import platform
import time

import numpy as np
import scipy
import torch
from scipy.special import expit, logsumexp, softmax

from mapl_explore.losses import DPO, ScoredSets, Smooth

SETS, SIDE, BETA, TAU, ROUNDS = 4096, 8, 0.1, 5.0, 15


def problem(seed=0):
    """Return log-probs under policy and reference, and labels: 8 positives and 8 negatives a set."""
    rng = np.random.default_rng(seed)
    logp, ref_logp = (rng.normal(-20, 5, (SETS, 2 * SIDE)).astype("float32") for _ in range(2))
    return logp, ref_logp, np.tile([1] * SIDE + [-1] * SIDE, (SETS, 1))


def in_torch(logp, ref_logp, label):
    logp, ref_logp, label = map(torch.as_tensor, (logp, ref_logp, label))
    loss, length = DPO(beta=BETA, pair=Smooth(tau=TAU)), torch.ones_like(label)

    def ours():
        leaf = logp.clone().requires_grad_()
        loss(ScoredSets.unchecked(leaf, ref_logp, length, label)).mean().backward()
        return leaf.grad.numpy()

    def naive():
        leaf = logp.clone().requires_grad_()
        r = leaf - ref_logp
        low = -torch.logsumexp(torch.where(label > 0, -TAU * r, -torch.inf), -1) / TAU
        high = torch.logsumexp(torch.where(label < 0, TAU * r, -torch.inf), -1) / TAU
        (-torch.nn.functional.logsigmoid(BETA * (low - high))).mean().backward()
        return leaf.grad.numpy()

    return ours, naive


def in_numpy(logp, ref_logp, label):
    loss = DPO(beta=BETA, pair=Smooth(tau=TAU))
    sets = ScoredSets(logp, ref_logp, abs(label), label)

    def ours():
        loss(sets)
        return loss.weights(sets)

    def naive():
        r = logp - ref_logp
        below, above = np.where(label > 0, -TAU * r, -np.inf), np.where(label < 0, TAU * r, -np.inf)
        margin = -logsumexp(below, -1) / TAU - logsumexp(above, -1) / TAU
        np.logaddexp(0, -BETA * margin)
        return -BETA * expit(-BETA * margin)[:, None] * (softmax(below, -1) - softmax(above, -1))

    return ours, naive


def interleaved(functions):
    """Return the least time of each function over rounds in which they take turns, and their results."""
    results, times = [function() for function in functions], [[] for _ in functions]
    for _ in range(ROUNDS):
        for function, kept in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            kept.append(time.perf_counter() - start)
    return [min(kept) for kept in times], results


def main():
    torch.set_num_threads(1)  # two threads that share a core with other work measure that work
    print(f"numpy {np.__version__}, scipy {scipy.__version__}, torch {torch.__version__}, {platform.machine()}")
    print(f"{SETS} sets of {SIDE} + {SIDE}, value and gradient, one thread, float32")
    for name, make in (("torch", in_torch), ("numpy", in_numpy)):
        (ours, naive), (mine, other) = interleaved(make(*problem()))
        apart = np.abs(mine - other).max() / np.abs(other).max()
        print(
            f"{name}: ours {ours * 1e3:.2f} ms, naive log-sum-exp {naive * 1e3:.2f} ms, ratio {ours / naive:.2f};",
            end=" ",
        )
        print(f"gradients differ by {apart:.1e} of the largest")


if __name__ == "__main__":
    main()

"""Time the smooth maximum at alpha 1.5 and 2 against the package entmax: value and gradient, side by side.

Its losses are smooth max minus the score of a target, and their gradient the weights minus the target's one. Ours is
what a loss takes of each side: the value and the weights, which are the gradient.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch

from mapl_explore.numerics.unchecked import smooth_max_with_weights

sys.path.append(str(Path(__file__).parents[2] / "build" / "bench"))
import entmax

SETS, SIDE, ROUNDS = 4096, 8, 40
THEIRS = {
    1.5: (entmax.entmax15, entmax.entmax15_loss),
    2.0: (entmax.sparsemax, entmax.sparsemax_loss),
}


def contenders(scores, alpha):
    """Return functions by name, each to (value, gradient) or (None, gradient)."""
    weights_of, loss_of = THEIRS[alpha]
    tau, target = torch.ones((), dtype=scores.dtype), torch.zeros(len(scores), dtype=torch.long)

    def ours():
        return smooth_max_with_weights(scores, tau, alpha)

    def their_loss():
        leaf = scores.clone().requires_grad_()
        value = loss_of(leaf, target)
        value.sum().backward()
        return value.detach() + scores[:, 0], leaf.grad + torch.nn.functional.one_hot(target, SIDE)

    def their_weights():
        with torch.no_grad():
            return None, weights_of(scores, dim=-1)

    return {"ours": ours, "its loss": their_loss, "its weights alone": their_weights}


def milliseconds(functions):
    """Return the median time of each, taken in turn."""
    times = {name: [] for name in functions}
    for _ in range(ROUNDS):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(each)) for name, each in times.items()}


def main():
    torch.set_num_threads(1)
    versions = f"torch {torch.__version__}, entmax {entmax.__version__}"
    print(f"value and gradient on {SETS:,} sets of {SIDE} + {SIDE}, {versions}")
    for dtype in (torch.float32, torch.float64):
        scores = 3 * torch.randn(2 * SETS, SIDE, dtype=dtype, generator=torch.Generator().manual_seed(0))
        for alpha in THEIRS:
            functions = contenders(scores, alpha)
            (value, weights), (same_value, same), (_, alone) = (function() for function in functions.values())
            found = milliseconds(functions)
            apart = max(float((weights - one).abs().max()) for one in (same, alone))
            apart = max(apart, float((value - same_value).abs().max()))
            listed = ", ".join(f"{name} {each:.2f} ms" for name, each in found.items())
            ratios = ", ".join(f"{found['ours'] / found[name]:.2f} of {name}" for name in list(found)[1:])
            print(f"alpha {alpha}, {str(dtype)[6:]}: {listed}; ours takes {ratios}; apart by {apart:.0e} at most")


if __name__ == "__main__":
    main()

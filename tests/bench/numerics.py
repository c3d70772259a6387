"""Time the temperature solver against SciPy's, on the same 200,000 random problems, side by side in one run."""

import math
import platform
import time

import numpy as np
import scipy
from scipy.optimize import brentq
from scipy.optimize.elementwise import find_root

from mapl_explore.numerics.temperature import solve_tau_upper

COUNT, BRENTQ_COUNT, ROUNDS = 200_000, 2_000, 5


def problems(count, seed=0):
    """Return n, gap and epsilon from all over the range that the tests promise accuracy for."""
    rng = np.random.default_rng(seed)
    n = np.floor(10 ** rng.uniform(math.log10(2), 6, count)).astype(int)
    gap = 10 ** rng.uniform(-12, 4, count)
    return n, gap, 10 ** rng.uniform(-12, 3, count)


def ours(n, gap, epsilon):
    return solve_tau_upper(epsilon=epsilon, n=n, gap=gap) * epsilon


def elementwise(n, gap, epsilon):
    """Return find_root's roots in t = tau*epsilon, on the bracket that a tangent and log n give."""
    a, log_n = gap / epsilon, np.log(n)
    low = log_n / (1 + a * (n - 1) / n)

    def residual(t, a, log_others):
        return np.log(np.expm1(t)) + a * t - log_others

    return find_root(residual, (low * (1 - 1e-15), log_n * (1 + 1e-15)), args=(a, np.log(n - 1.0))).x


def one_by_one(n, gap, epsilon):
    """Return brentq's roots, one after the other."""
    return np.array([_brentq(*problem) for problem in zip(n.tolist(), gap.tolist(), epsilon.tolist(), strict=True)])


def _brentq(n, gap, epsilon):
    a, log_others, log_n = gap / epsilon, math.log(n - 1), math.log(n)
    low = log_n / (1 + a * (n - 1) / n) * (1 - 1e-15)
    # SciPy's smallest rtol; its xtol is absolute, and roots go down to 1e-15.
    return brentq(
        lambda t: math.log(math.expm1(t)) + a * t - log_others, low, log_n * (1 + 1e-15), xtol=1e-300, rtol=8.9e-16
    )


def seconds_each(function, arguments, rounds):
    """Return the least time per problem over some rounds, and the roots."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        roots = function(*arguments)
        times.append(time.perf_counter() - start)
    return min(times) / len(arguments[0]), roots


def main():
    everything = problems(COUNT)
    few = tuple(values[:BRENTQ_COUNT] for values in everything)
    print(
        f"python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}, {platform.machine()}"
    )
    mine, roots = seconds_each(ours, everything, ROUNDS)
    print(f"{'solver':<24}{'ns a root':>12}{'times ours':>12}{'largest difference':>22}")
    print(f"{'solve_tau_upper':<24}{mine * 1e9:>12.0f}{1:>12.0f}")
    for name, function, arguments, rounds in (
        ("elementwise.find_root", elementwise, everything, 2),
        ("brentq, a loop", one_by_one, few, 1),
    ):
        each, others = seconds_each(function, arguments, rounds)
        apart = np.max(np.abs(others / roots[: len(others)] - 1)) / np.finfo(float).eps
        print(f"{name:<24}{each * 1e9:>12.0f}{each / mine:>12.0f}{apart:>18.1f} eps")


if __name__ == "__main__":
    main()

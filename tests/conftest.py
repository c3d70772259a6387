"""What every test shares: one way to compare, one profile for random tests, the two libraries."""

import gc
import os
import signal

import hypothesis
import numpy as np
import pytest
import torch

# Derandomised: a test that passes here passes everywhere. No deadline: the machines are shared.
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None, max_examples=100)
hypothesis.settings.load_profile("fixed")

# The models are tiny: two threads that wait for each other at every product are 10 times slower on shared cores.
torch.set_num_threads(1)

# No test may find the scores that another one has kept, and none leaves any behind.
os.environ["MAPL_CACHE"] = ""

# A shell lets what it starts in the background ignore ctrl-C; the programs that tests interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
SUBNORMAL = {"float16": 2.0**-24, "bfloat16": 2.0**-133, "float32": 2.0**-149, "float64": 5e-324}


def dtype_name(array):
    return str(array.dtype).removeprefix("torch.")


def numbers(array):
    """Return any array as float64 numpy."""
    return array.detach().cpu().double().numpy() if isinstance(array, torch.Tensor) else np.asarray(array, np.float64)


def assert_close(actual, expected, *, k, dtype=None, atol=0.0):
    """Assert |actual - expected| <= k eps(dtype of actual) |expected| + atol, elementwise; infinities must be equal."""
    eps = EPS[dtype or dtype_name(actual)]
    actual, expected = numbers(actual), numbers(expected)
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    with np.errstate(invalid="ignore"):
        error = np.where(actual == expected, 0.0, np.abs(actual - expected))
    allowed = k * eps * np.abs(expected) + atol
    assert np.all(error <= allowed), (
        f"off by up to {np.max(error / np.maximum(np.abs(expected), 1e-300)) / eps:.3g} eps"
    )


@pytest.fixture(autouse=True, scope="module")
def _little_to_collect():
    # Each training collects garbage several times, at 0.6 s over the million objects of torch, widgets and figures.
    gc.collect()
    gc.freeze()


@pytest.fixture(params=["numpy", "torch"])
def library(request):
    """Make arrays of either library: library(values, dtype="float64")."""
    if request.param == "numpy":
        return lambda values, dtype="float64": np.asarray(values, dtype=dtype)
    return lambda values, dtype="float64": torch.as_tensor(np.asarray(values), dtype=getattr(torch, dtype))

"""Programs that tests start, alone or as two processes of one launch, on the CPU."""

import os
import subprocess
import sys
from pathlib import Path

from patience import HANG

ROOT = Path(__file__).parents[1]


def ended(*words):
    """Return how a Python ends that was started with these words."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=HANG)


def in_two_processes(*words):
    """Return how a launch of two processes ends."""
    return ended("-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", *words)

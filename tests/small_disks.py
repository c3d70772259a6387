"""A stand-in for a full disk that needs no superuser."""

import contextlib
import resource


@contextlib.contextmanager
def small_files(most):
    """Let no file become longer than so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

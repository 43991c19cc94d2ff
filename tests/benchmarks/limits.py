"""What this machine can do at best: copy bytes, and multiply matrices."""

import functools
import time
from collections.abc import Callable

import torch

BATCH = 2**23  # bytes: a batch of pictures, small enough for the caches of most CPUs


def _best(work: Callable[[], object], repeats: int = 15) -> float:
    """Return the seconds of the quickest of several tries: nothing was in the way then."""
    work()
    tries = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        tries.append(time.perf_counter() - start)
    return min(tries)


@functools.cache
def copy_speed(size: int = BATCH) -> float:
    """Return how many bytes a second are copied, from memory into memory, `size` at a time."""
    source = torch.zeros(size, dtype=torch.uint8)
    target = torch.ones_like(source)
    return size / _best(lambda: target.copy_(source))


@functools.cache
def matrix_speed(dtype: torch.dtype, side: int = 2048) -> float:
    """Return the floating-point operations a second of a large matrix product."""
    a, b = torch.rand(2, side, side).to(dtype)
    return 2 * side**3 / _best(lambda: a @ b, repeats=5)

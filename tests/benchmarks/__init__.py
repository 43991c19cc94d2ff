"""How fast the workshop is, against the same work as beginners' courses write it (`courses`).

`python -m tests.benchmarks` measures `rows`, both ways in turn; `--keep` puts them into the README.
"""

import math
import platform
import re
import statistics
import time
from pathlib import Path

import numpy as np
import psutil
import torch

HEADER = ["work", "data", "the course's way", "ours", "ratio (quartiles)", "goal"]


def machine():
    """Return what the figures depend on."""
    info = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.*)", info.read_text() if info.is_file() else "")
    name = named[1] if named else platform.processor() or platform.machine()
    name += f" with {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    threads, version = torch.get_num_threads(), torch.__version__.split("+")[0]
    busy = f"load average {psutil.getloadavg()[0]:.1f} when it began"
    return f"Measured on {name}, cores used: {threads}, with torch {version}; {busy}."


def timed(work, *arguments):
    """Do the work; return what it gives, and the seconds that it took."""
    start = time.perf_counter()
    result = work(*arguments)
    return result, time.perf_counter() - start


def in_turn(course, ours, quick):
    """Return the seconds of both ways, measured in turn, five times or three."""
    pairs = [(timed(course)[1], timed(ours)[1]) for _ in range(3 if quick else 5)]
    return [*zip(*pairs, strict=True)]


def row(work, data, goal, course=(), ours=(), unit="s", ratio=None, most=math.inf, met=True):
    """Return one line of the table; `course` and `ours` are all that was measured, in `unit`.

    The goal is met if the median of course / ours is at least `ratio`, that of ours is at most
    `most`, and what else the goal says is `met`.
    """
    figures = [f"{short(statistics.median(v))} {unit}" if v else "–" for v in (course, ours)]
    told, met = "", met and statistics.median(ours) <= most
    if ratio is not None:
        ratios = [a / b for a, b in zip(course, ours, strict=True)]
        low, middle, high = np.percentile(ratios, (25, 50, 75))
        told = f"{short(middle)}×" + f" ({short(low)}–{short(high)})" * (len(ratios) > 1)
        met = met and middle >= ratio
    return [work, data, *figures, told, f"{goal}: {'met' if met else '**missed**'}"]


def short(value):
    """Return a number with three digits that count."""
    return np.format_float_positional(value, precision=3, fractional=False, trim="-")

"""Rows about whole processes: importing the helpers, the first picture, all notebooks."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from helpers.catalog import REPOSITORY

from .harness import PAIRS, Bench, Line, Spread

ROOMS = "helpers.datasets, helpers.training, helpers.report, helpers.recipes"
PROBE = Path(__file__).with_name("probe.py")
PARTS = ("kernel start", "import", "data", "compute", "drawing")


def importing(bench: Bench) -> Iterator[Line]:
    """Import the rooms that most notebooks use, after torch."""
    code = (
        "import time, torch, torch.utils.data; start = time.perf_counter(); "
        f"import {ROOMS}; print(time.perf_counter() - start)"
    )

    def once() -> float:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
        )
        return float(done.stdout)

    once()
    ours = Spread.of([once() for _ in range(PAIRS)])
    yield Line(
        "import helpers, beyond torch",
        "–",
        "under 0.3 s",
        ours=ours.median,
        met=ours.median < 0.3,
        note=f"{ROOMS}; the files were read before, quartiles {ours.low:.2f} to {ours.high:.2f} s.",
    )


def run_notebooks(bench: Bench, *steps: str) -> tuple[float, list[dict], list[dict]]:
    """Run notebooks on a fresh home; return when it began, each one's time, and the parts.

    The steps are beginnings of names, as `python -m helpers run --only` takes them.
    """
    with tempfile.TemporaryDirectory(dir=bench.scratch) as place:
        folders = {name: Path(place) / name for name in ("home", "times", "fonts")}
        for folder in folders.values():
            folder.mkdir()
        environment = os.environ | {
            "WORKSHOP_HOME": str(folders["home"]),
            "WORKSHOP_DATA": "sample",
            "WORKSHOP_BACKBONE": "compact_vgg",
            "BENCHMARK_TIMES": str(folders["times"]),
            "MPLCONFIGDIR": str(folders["fonts"]),  # the first plot on a machine lists its fonts
            "PYTHONSTARTUP": str(PROBE),
        }
        began = time.time()
        notebooks = []
        for step in steps:
            command = [sys.executable, "-m", "helpers", "run", "--only", step]
            options = {"cwd": REPOSITORY, "env": environment, "capture_output": True}
            subprocess.run(command, check=True, **options)
            report = (folders["home"] / "build" / "run.json").read_text(encoding="utf-8")
            notebooks += json.loads(report)["notebooks"]
        parts = [json.loads(file.read_text()) for file in folders["times"].iterdir()]
    return began, notebooks, parts


def first_picture(bench: Bench) -> Iterator[Line]:
    """From starting step 02 on a fresh clone to its first picture, the sample drawn on the way."""
    count = 1 if bench.quick else PAIRS
    found, shares = [], Counter()
    for number in range(count):
        bench.bar.set_postfix_str(f"{number + 1} of {count}")
        began, _, (parts,) = run_notebooks(bench, "02")
        found.append(parts.pop("first_picture") - began)
        shares.update(parts)
    ours = Spread.of(found)
    yield Line(
        "step 02 on a fresh clone: time to the first picture",
        "sample, drawn on the way",
        "at most 15 s",
        ours=ours.median,
        met=ours.median <= 15,
        note=f"{count} runs, quartiles {ours.low:.1f} to {ours.high:.1f} s. The whole step: "
        f"{_told(shares, count)}.",
    )


def all_notebooks(bench: Bench) -> Iterator[Line]:
    """What `make run` does after set-up for the first twelve notebooks, once."""
    goal = "at most 6 min for twelve"
    if bench.quick:
        yield Line(
            "make run, the first twelve notebooks", "sample", goal, note="Left out with --quick."
        )
        return
    _, notebooks, parts = run_notebooks(bench, "0", "10", "11", "12")
    twelve = sum(one["seconds"] for one in notebooks)
    shares = sum((Counter(part) for part in parts), Counter())
    yield Line(
        "make run, the first twelve notebooks",
        "sample, drawn on the way",
        goal,
        ours=twelve,
        met=twelve <= 360,
        note=f"Once, {len(notebooks)} notebooks: {_told(shares, 1)}.",
    )


def _told(shares: Counter, count: int) -> str:
    return ", ".join(f"{part} {shares[part] / count:.1f} s" for part in PARTS)

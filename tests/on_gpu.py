"""Run the code cells of notebooks on a GPU: the one that is here, or else one that is pretended.

Usage: python tests/on_gpu.py FOLDER_OF_LEARNER_COPIES NOTEBOOK …

Data sets have few pictures, and trainings few steps: what counts is where each tensor lies.
"""

import os
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pretend_gpu
import torch
from conftest import quick

from helpers import data, plots
from helpers.catalog import AOI, DATA_SETS, FOOD, PETS
from helpers.checks.reference import code_cells
from helpers.samples import aoi, sample_folder
from helpers.samples.solar import solar_cells

MOST = 12  # photographs in each folder


def make_samples(read_cifar=data.read_cifar):
    """Make samples of few pictures, in a home that has none."""
    aoi.COUNTS = {"train": 110, "test": 12}  # step 02 needs two of each class held back
    photographs = [file for one in (FOOD, PETS) for file in sample_folder(one).rglob("*.jpg")]
    for folder in {file.parent for file in photographs}:
        for file in sorted(folder.iterdir())[MOST:]:
            file.unlink()
    table = pd.read_csv(solar_cells()[0] / "labels.csv")
    table.head(72).to_csv(solar_cells()[0] / "labels.csv", index=False)  # six modules
    data.read_cifar = lambda file: [part[:60] for part in read_cifar(file)]


def play(complete, copy):
    """Run a notebook's cells in order; each exercise is solved, and then as a learner gets it."""
    os.chdir(complete.parent)
    names = {"__name__": "__main__"}
    cells = list(zip(code_cells(complete), code_cells(copy), strict=True))
    for number, (solved, left) in enumerate(cells):
        sources = [solved]
        if solved != left:
            check = cells[number + 1][0]
            sources = [solved, check, left]
        for source in sources:
            exec(compile(quick(source), f"{complete.stem}, code cell {number}", "exec"), names)
    plots.plt.close("all")


def main(copies, *files):
    """Return what failed."""
    kept = None if torch.accelerator.is_available() else pretend_gpu.start()  # noqa: F841
    make_samples()
    print("on", torch.accelerator.current_accelerator())
    failed = []
    for file in map(Path, files):
        start = time.perf_counter()
        if file.name > "04":  # step 03 writes its own 128
            DATA_SETS["aoi"] = replace(AOI, size=32)
        try:
            play(file, Path(copies, file.name))
        except Exception:
            traceback.print_exc()
            failed.append(file.stem)
        print(f"{file.stem}: {time.perf_counter() - start:.1f} s", flush=True)
    return ", ".join(failed) or None


if __name__ == "__main__":
    sys.exit(main(*(Path(word).resolve() for word in sys.argv[1:])))

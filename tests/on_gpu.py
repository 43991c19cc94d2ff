"""Run the code cells of notebooks on a GPU: the one that is here, or else one that is pretended.

Usage: python tests/on_gpu.py FOLDER_OF_LEARNER_COPIES NOTEBOOK …

The data sets are cut down to a few pictures, and epochs: what counts is where each tensor lies.
"""

import os
import re
import sys
import time
import traceback
from pathlib import Path

import pandas as pd
import pretend_gpu
import torch

from helpers import data, images, plots, transfer
from workshop.room import code_cells

MOST, MOST_FILES = 40, 12  # pictures of each class, and files of each folder
SHORTENED = r"^((?:EPOCHS|SAME)\b.* = )(?:.* else )?\d+"  # becomes 2


def some_pictures(read=data.pictures):
    """Return the function that reads few pictures; those without labels are all read."""

    def few(*args, **options):
        everything = read(*args, **options)
        labels = everything.labels
        rows = [
            (labels == label).nonzero().flatten()[: MOST if label >= 0 else None]
            for label in labels.unique()
        ]
        return everything[torch.cat(rows).sort()[0]]

    return few


def some_files(find=images.picture_files):
    """Return the function that finds few files in each folder."""

    def few(folder):
        by_folder = {}
        for file in find(folder):
            by_folder.setdefault(file.parent, []).append(file)
        return [file for files in by_folder.values() for file in files[:MOST_FILES]]

    return few


def some_rows(read=pd.read_csv):
    """Return the function that reads few rows of each class of AOI's train.csv, others whole."""

    def few(*args, **options):
        table = read(*args, **options)
        labelled = [*table] == ["ID", "Label"] and table["Label"].notna().all()
        return table.groupby("Label").head(MOST_FILES) if labelled else table

    return few


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
            source = re.sub(SHORTENED, r"\g<1>2", source, flags=re.M)
            exec(compile(source, f"{complete.stem}, code cell {number}", "exec"), names)
    plots.plt.close("all")


def main(copies, *files):
    """Return what failed."""
    kept = None if torch.accelerator.is_available() else pretend_gpu.start()  # noqa: F841
    pd.read_csv, data.pictures, data.picture_files = some_rows(), some_pictures(), some_files()
    transfer.picture_files = data.picture_files
    print("on", torch.accelerator.current_accelerator())
    failed = []
    for file in map(Path, files):
        start = time.perf_counter()
        try:
            play(file, Path(copies, file.name))
        except Exception:
            traceback.print_exc()
            failed.append(file.stem)
        print(f"{file.stem}: {time.perf_counter() - start:.1f} s", flush=True)
    return ", ".join(failed) or None


if __name__ == "__main__":
    sys.exit(main(*(Path(word).resolve() for word in sys.argv[1:])))

"""Run the code cells of notebooks on a GPU: the one that is here, or else one that is pretended.

Usage: python tests/on_gpu.py NOTEBOOK …

The data sets are cut down to a few pictures, and epochs: what counts is where each tensor lies.
"""

import os
import re
import sys
import time
import traceback
from pathlib import Path

import pretend_gpu
import torch

from helpers import data, images, plots, transfer
from workshop.room import code_cells

MOST, MOST_FILES = 40, 12  # pictures of each class, and files of each folder


def some_pictures(read=data.pictures):
    """Return the function that reads few pictures; those without labels are all read."""

    def few(*args, **options):
        everything = read(*args, **options)
        labels = everything.labels
        rows = [
            (labels == label).nonzero().flatten()[: MOST if label >= 0 else None]
            for label in labels.unique()
        ]
        return everything[torch.cat(rows).sort().values]

    return few


def some_files(find=images.picture_files):
    """Return the function that finds few files in each folder."""

    def few(folder):
        by_folder = {}
        for file in find(folder):
            by_folder.setdefault(file.parent, []).append(file)
        return [file for files in by_folder.values() for file in files[:MOST_FILES]]

    return few


def play(file):
    """Run a notebook's cells in order, from its folder, as the kernel would."""
    os.chdir(file.parent)
    names = {"__name__": "__main__"}
    for number, source in enumerate(code_cells(file)):
        source = re.sub(r"^EPOCHS = .*", "EPOCHS = 2", source, flags=re.M)
        exec(compile(source, f"{file.stem}, code cell {number}", "exec"), names)
    plots.plt.close("all")


def main(*files):
    """Return what failed."""
    kept = None if torch.accelerator.is_available() else pretend_gpu.start()  # noqa: F841
    data.pictures, data.picture_files = some_pictures(), some_files()
    transfer.picture_files = data.picture_files
    print("on", torch.accelerator.current_accelerator())
    failed = []
    for file in files:
        start = time.perf_counter()
        try:
            play(Path(file).resolve())
        except Exception:
            traceback.print_exc()
            failed.append(Path(file).stem)
        print(f"{Path(file).stem}: {time.perf_counter() - start:.1f} s", flush=True)
    return ", ".join(failed) or None


if __name__ == "__main__":
    sys.exit(main(*(str(Path(word).resolve()) for word in sys.argv[1:])))

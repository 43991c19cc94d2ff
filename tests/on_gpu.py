"""Run the code cells of notebooks on a GPU: the one that is here, or else one that is pretended.

Usage: python tests/on_gpu.py NOTEBOOK …
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path

import pretend_gpu
import torch

from helpers import plots


def play(file):
    """Run a notebook's cells in order, from its folder, as the kernel would."""
    os.chdir(file.parent)
    cells = json.loads(file.read_bytes())["cells"]
    names = {"__name__": "__main__"}
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            source = "".join(cell["source"]).replace("%%capture\n", "")
            exec(compile(source, f"{file.stem}, cell {number}", "exec"), names)
    plots.plt.close("all")


if __name__ == "__main__":
    kept = None if torch.accelerator.is_available() else pretend_gpu.start()
    print(torch.accelerator.current_accelerator())
    failed = []
    for file in map(Path, sys.argv[1:]):
        start = time.perf_counter()
        try:
            play(file.resolve())
        except Exception:
            traceback.print_exc()
            failed.append(file.stem)
        print(f"{file.stem}: {time.perf_counter() - start:.1f} s", flush=True)
    sys.exit(", ".join(failed))

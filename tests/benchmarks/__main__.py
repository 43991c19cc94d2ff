"""The command line: python -m tests.benchmarks."""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from tqdm import tqdm

from helpers.files import whole_file
from helpers.loaders import cpu_cores
from helpers.workbook import build_folder

from . import data_rows, feature_rows, growth, page, process_rows, training_rows
from .harness import Bench, Line, as_dict, table


def on_gpu(bench: Bench) -> Iterator[Line]:
    """Say that this was not measured: no recipe for a GPU has been written and tried yet."""
    yield Line("CIFAR-10 on a GPU: seconds to 94 %", "–", "within 2× of 2.6 s (A100, the record)")


ROWS: dict[str, tuple[Callable[[Bench], Iterator[Line]], int, int]] = {
    # name: what measures it, and the seconds that it takes, whole and with --quick
    "aoi": (data_rows.aoi_passes, 40, 10),
    "loading": (data_rows.cifar_loading, 5, 5),
    "cifar": (data_rows.cifar_pass, 60, 10),
    "training": (training_rows.cifar_training, 240, 20),
    "gpu": (on_gpu, 0, 0),
    "vgg": (feature_rows.vgg_features, 110, 25),
    "memory": (feature_rows.cache_memory, 120, 0),
    "head": (training_rows.head_epoch, 20, 6),
    "lenet": (training_rows.lenet_step, 30, 8),
    "import": (process_rows.importing, 25, 15),
    "picture": (process_rows.first_picture, 75, 15),
    "notebooks": (process_rows.all_notebooks, 240, 0),
}


def machine() -> dict:
    """Return what the figures depend on."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        models = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        name = models[0].partition(":")[2].strip() if models else name
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return {
        "cpu": name,
        "cores": cpu_cores(),
        "torch": torch.__version__.split("+")[0],
        "python": platform.python_version(),
        "state": f"load average {busy:.1f} when it began",
    }


def measure(names: list[str], quick: bool) -> dict:
    """Measure some rows and add them to build/benchmarks.json.

    Parameters
    ----------
    names : list of str
        Keys of `ROWS`.
    quick : bool
        Less work in each.

    Returns
    -------
    dict
        The whole report: machine, rows.
    """
    target = build_folder() / "benchmarks.json"
    known = page.read(target) if target.is_file() else {"rows": {}}
    report = {"machine": machine(), "quick": quick, "rows": {}}
    if known.get("quick") == quick:
        report["rows"] = known["rows"]
    expected = [ROWS[name][2 if quick else 1] for name in names]
    with (
        tempfile.TemporaryDirectory() as scratch,
        tqdm(total=sum(expected), bar_format="{l_bar}{bar}| {elapsed}{postfix}") as bar,
    ):
        for name, length in zip(names, expected, strict=True):
            bar.set_description(name)
            bench = Bench(Path(scratch), quick, bar)
            report["rows"][name] = [as_dict(line) for line in ROWS[name][0](bench)]
            bar.update(length)
            report["rows"] = {key: report["rows"][key] for key in ROWS if key in report["rows"]}
            with whole_file(target) as partial:
                partial.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and do what it asks for."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two minutes instead of fifteen")
    parser.add_argument("--only", choices=ROWS, nargs="+", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--keep", action="store_true", help="take build/benchmarks.json as figures")
    parser.add_argument("--write", action="store_true", help="put the kept figures into the README")
    parser.add_argument("--grow", action="store_true", help="1,000 to 100,000 pictures, one plot")
    options = parser.parse_args(arguments)
    if options.grow:
        with tempfile.TemporaryDirectory() as scratch:
            rows = growth.grow(Path(scratch))
        growth.FIGURES.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        growth.draw(rows)
    elif options.keep or options.write:
        if options.keep:
            shutil.copyfile(build_folder() / "benchmarks.json", page.FIGURES)
        page.write()
    else:
        report = measure(options.only or list(ROWS), options.quick)
        lines = page.lines_of(report)
        print(table(lines), "\n")
        for line in lines:
            if line.note:
                print(f"{line.work}: {line.note}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

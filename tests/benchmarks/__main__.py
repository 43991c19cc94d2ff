"""The command line: python -m tests.benchmarks."""

import argparse
import contextlib
import io
import os
import platform
import sys
import tempfile
from pathlib import Path

import torch

from helpers.catalog import REPOSITORY, replace

from . import HEADER, MARKS, rows, table_of, with_table

README = REPOSITORY / "README.md"


def machine() -> str:
    """Return what the figures depend on."""
    name, info = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.is_file() else ():
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
    busy = f"; load average {os.getloadavg()[0]:.1f} when it began" * hasattr(os, "getloadavg")
    threads, version = torch.get_num_threads(), torch.__version__.split("+")[0]
    return f"Measured on {name}, cores used: {threads}, with torch {version}{busy}."


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table and, if asked to, keep it."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two minutes: less work, three pairs")
    parser.add_argument("--only", choices=rows.ROWS, nargs="+", help="the others stay as they are")
    parser.add_argument("--keep", action="store_true", help="put the figures into the README")
    options = parser.parse_args(arguments)
    about, found = machine(), {}
    print(about, " | ".join(HEADER), sep="\n")
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.only or rows.ROWS:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(sys.stdout):
                measured = [row.cells() for row in rows.ROWS[name](options.quick, Path(scratch))]
            for cells in measured:
                found[cells[0]] = cells
                print(" | ".join(cells), flush=True)
    if options.keep:
        text = README.read_text(encoding="utf-8")
        if options.only:  # the rest was measured when that line was written
            about = text.split(MARKS[0])[1].split("\n")[1]
        text = with_table(text, about, (table_of(text) if options.only else {}) | found)
        replace(README, lambda part: part.write_text(text, encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

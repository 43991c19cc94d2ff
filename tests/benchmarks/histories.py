"""Cells of notebooks, trained with other seeds, and the histories that come of it."""

import datetime

from helpers.catalog import REPOSITORY
from helpers.checks.reference import code_cells
from workshop.room import notebook_files

from . import machine


def seeded_cells(step):
    """Return the code cells of a notebook; what they draw by chance now depends on `seed`."""
    cells = code_cells(*notebook_files(step))
    return [source.replace("torch.manual_seed(0)", "torch.manual_seed(seed)") for source in cells]


def lesson(step, until, tuning):
    """Execute cells, up to the one with `until`; return their names, and the cell with `tuning`."""
    cells, names = seeded_cells(step), {"__name__": "__main__", "seed": 0}
    (last,) = (n for n, source in enumerate(cells) if until in source)
    (source,) = (source for source in cells if tuning in source)
    exec("\n".join(cells[: last + 1]), names)
    return names, source


def write(name, source, columns, rows):
    """Write each row as soon as it is measured, below the date, the command and the machine."""
    file = REPOSITORY / "data" / "histories" / f"{name}-{source}.csv"
    about = f"# {datetime.date.today()}, python -m tests.benchmarks.{name}, {source} data"
    with file.open("w", encoding="utf-8") as stream:
        print(about, f"# {machine()}", columns, sep="\n", file=stream)
        for *labels, accuracy, seconds in rows:
            print(*labels, f"{accuracy:.4f},{seconds:.1f}", sep=",", file=stream, flush=True)

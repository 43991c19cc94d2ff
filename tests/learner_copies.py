"""Execute every learner's copy as it is cut, with nothing solved, and report the time of each.

Usage: python tests/learner_copies.py [BEGINNING OF A NAME …]

A cell that fails is a failure. Time is only told: a machine that runs tests does other things too.
"""

import sys
import time

import nbformat

from helpers.catalog import home
from workshop.notebooks import FAILURES, execute
from workshop.room import learner, notebook_files

BUDGET = 60  # seconds for a notebook on two cores


def problem(file):
    """Execute a copy; return what is wrong with it, or nothing."""
    copy = nbformat.read(file, as_version=4)
    exercises = sum(" = checks." in cell.source for cell in copy.cells)
    try:
        execute(copy, file.parent)
    except FAILURES as error:
        return str(error)[-2000:]
    undone = str(copy).count(": not done yet. ")
    return "" if undone == exercises else f"{undone} of {exercises} exercises are not done yet"


def main(*beginnings):
    """Return 1 if a copy fails."""
    folder, failed = home() / "workbook", 0
    learner(folder)
    print(f"The learner's copies, unsolved. Budget: {BUDGET} s each.")
    for file in [file for beginning in beginnings or [""] for file in notebook_files(beginning)]:
        start, wrong = time.perf_counter(), problem(folder / file.name)
        seconds = time.perf_counter() - start
        verdict = "FAILED" if wrong else "over budget" if seconds > BUDGET else "ok"
        print(f"{file.stem:28}{seconds:7.1f} s  {verdict}\n{wrong}".strip(), flush=True)
        failed += bool(wrong)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""Execute every learner's copy as it is cut, with nothing solved, and report the time of each.

Usage: python tests/learner_copies.py [BEGINNING OF A NAME …]

A cell that fails is a failure. Time is only told: a machine that runs tests does other things too.
"""

import sys
import time

import nbformat
from nbclient.exceptions import CellExecutionError, CellTimeoutError

from helpers.catalog import home
from helpers.learner import learner
from helpers.workbook import execute, notebook_files

BUDGET = 60  # seconds for a notebook on two cores


def attempt(file, copy):
    """Execute a copy; return its seconds and what is wrong with it, or nothing."""
    start, problem = time.perf_counter(), ""
    try:
        undone = str(execute(copy)).count(": not done yet. ")
        cells = nbformat.read(file, as_version=4).cells
        exercises = sum(" = checks." in cell.source for cell in cells)
        if undone != exercises:
            problem = f"{undone} of {exercises} exercises say that they are not done yet"
    except (CellExecutionError, CellTimeoutError, RuntimeError) as error:
        problem = str(error)[-2000:]
    return time.perf_counter() - start, problem


def main(*beginnings):
    """Return 1 if a copy fails."""
    folder, failed = home() / "workbook", 0
    files = [file for beginning in beginnings or [""] for file in notebook_files(beginning)]
    learner(files, folder)
    print(f"The learner's copies, unsolved. Budget: {BUDGET} s each.")
    for file in files:
        seconds, problem = attempt(file, folder / file.name)
        verdict = "FAILED" if problem else "over budget" if seconds > BUDGET else "ok"
        print(f"{file.stem:28}{seconds:7.1f} s  {verdict}\n{problem}".strip(), flush=True)
        failed += bool(problem)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

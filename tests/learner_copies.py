"""Execute every learner's copy as it is cut, with nothing solved, and report the time of each.

Usage: python tests/learner_copies.py [NN]

A cell that fails is a failure. So is a notebook that takes much longer than the time it may take on
two cores; the margin is wide, because a machine that runs tests does other things as well.
"""

import sys
import time

import nbformat
from nbclient.exceptions import CellExecutionError, CellTimeoutError

from helpers.catalog import home
from helpers.learner import learner
from helpers.workbook import execute, notebook_files

BUDGET = 60  # seconds for a notebook on two cores
MARGIN = 3


def main(only=None):
    """Return 1 if a copy fails or is far over the budget."""
    folder, failed = home() / "workbook", []
    learner(notebook_files(), folder)
    print(f"The learner's copies, unsolved. Budget {BUDGET} s, fails over {MARGIN * BUDGET} s.")
    for file in notebook_files(only):
        start, problem = time.perf_counter(), ""
        try:
            undone = str(execute(folder / file.name)).count(": not done yet.")
            wanted = nbformat.read(file, as_version=4)
            exercises = sum(" = checks." in cell.source for cell in wanted.cells)
            if undone != exercises:
                problem = f"{undone} of {exercises} exercises say that they are not done yet"
        except (CellExecutionError, CellTimeoutError, RuntimeError) as error:
            problem = str(error)[-2000:]
        seconds = time.perf_counter() - start
        if seconds > MARGIN * BUDGET:
            problem = f"{problem}\nfar over the budget".strip()
        verdict = "FAILED" if problem else "over the budget" if seconds > BUDGET else "ok"
        print(f"{file.stem:28}{seconds:7.1f} s  {verdict}", flush=True)
        if problem:
            failed.append(file.stem)
            print(problem)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

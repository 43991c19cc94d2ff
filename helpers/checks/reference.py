"""Our versions of the exercises: read from the complete notebooks, and built to be used."""

import ast
import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.catalog import REPOSITORY
from helpers.training import best_device

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


def code_cells(file: Path) -> list[str]:
    """Return the sources of a notebook's code cells, without the lines that only IPython knows."""
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return [re.sub(r"^%%.*\n", "", source) for source in sources]


def _cells(step: str) -> list[str]:
    return code_cells(*(REPOSITORY / "notebooks").glob(f"{step}_*.ipynb"))


def source(step: str, name: str) -> str:
    """Return the source of the cell in which the complete notebook defines `name`."""
    definition = re.compile(rf"^(def|class) {name}\b", re.MULTILINE)
    (code,) = (code for code in _cells(step) if BEGIN in code and definition.search(code))
    return "\n".join(line for line in code.splitlines() if line.strip() not in (BEGIN, END))


def build(step: str, name: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return a fresh namespace with our version of `name`, and all that is defined before it.

    The one value that exercises use, `device`, is the attendee's, if it is among the names `known`.
    """
    space: dict[str, Any] = {"__name__": "__main__", "device": known.get("device", best_device())}
    cells = [code for code in _cells(step) if not code.startswith("%")]  # a magic of Jupyter
    for code in cells:
        for statement in ast.parse(code).body:
            if isinstance(statement, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef):
                one = compile(ast.Module([statement], []), f"<our versions of {step}>", "exec")
                # what needs an extra, or something that was computed, no exercise needs
                with contextlib.suppress(ImportError, NameError):
                    exec(one, space)
        if BEGIN in code and name in space:
            break
    return space

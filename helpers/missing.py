"""A NameError in a notebook: say which cell makes the name, instead of a traceback."""

import json
import os
import re
import symtable
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple


class Cell(NamedTuple):
    """A notebook's cell: "code" or "markdown", and its text."""

    kind: str
    source: str


def read_cells(file: Path) -> list[Cell]:
    """Return the cells of a notebook's file, without nbformat, whose import takes a second."""
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    return [Cell(cell["cell_type"], "".join(cell["source"])) for cell in cells]


def watch() -> None:
    """Explain names that are not there yet; does nothing outside a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    if shell and os.environ.get("JPY_SESSION_NAME"):
        shell.set_custom_exc((NameError,), _show)


def advice(
    name: str,
    notebook: Path,
    running: str = "",
    plain_python: Callable[[str], str] = str,
) -> str | None:
    """Return which cell of a notebook to run so that a name is there.

    Parameters
    ----------
    name : str
        The name that is not defined.
    notebook : Path
        The notebook's file, as it was last saved.
    running : str, optional
        The source of the cell that wanted the name.
    plain_python : callable, optional
        Translates a cell's `%magic` lines into Python.

    Returns
    -------
    str or None
        None if no other cell makes the name, or if the file is no notebook.
    """
    try:
        cells = read_cells(notebook)
    except Exception:  # not saved yet, renamed, or no notebook: then the traceback has to do
        return None
    here = [cell.kind == "code" and cell.source.strip() == running.strip() for cell in cells]
    wants = here.index(True) if running.strip() and True in here else len(cells)
    heading, number, above, below = "", 0, None, None
    for position, cell in enumerate(cells):
        if cell.kind == "markdown":
            heading = (re.findall(r"^#+ +(.+)$", cell.source, flags=re.M) or [heading])[-1]
        if cell.kind == "code":
            number += 1
            if position != wants and name in _made_in(plain_python(cell.source)):
                place = f"in the cell under '{heading}' (code cell {number})"
                above, below = (place, below) if position < wants else (above, below or place)
    if above:
        return (
            f"`{name}` is not there yet.\nIt is made {above}.\n"
            "Run that cell first, or all of them: Run > Run All Above Selected Cell."
        )
    if below:
        return (
            f"`{name}` is not there yet.\nIt is made further down, {below}.\nRun that cell first."
        )
    return None


def _made_in(source: str) -> set[str]:
    """Return the names that a cell's code assigns, defines or imports."""
    try:
        symbols = symtable.symtable(source, "cell", "exec").get_symbols()
    except (SyntaxError, ValueError):
        return set()
    return {one.get_name() for one in symbols if one.is_assigned() or one.is_imported()}


def _show(
    shell, kind: type, error: NameError, trace: TracebackType, tb_offset: int | None = None
) -> list[str] | None:
    """Show the advice where there is one, else the usual traceback."""
    sentence = None
    while trace.tb_next:
        trace = trace.tb_next
    if error.name and trace.tb_frame.f_globals is shell.user_ns:
        cell = shell.history_manager.input_hist_raw[-1]
        notebook = Path(os.environ["JPY_SESSION_NAME"])
        sentence = advice(error.name, notebook, cell, shell.transform_cell)
    if sentence is None:
        shell.showtraceback((kind, error, error.__traceback__), tb_offset=tb_offset)
        return None
    shell._showtraceback(kind, error, [sentence])
    return [sentence]

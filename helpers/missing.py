"""A NameError in a notebook: say which cell makes the name, instead of a traceback."""

import json
import os
import re
import symtable
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType


def read_cells(file: Path) -> list[tuple[str, str]]:
    """Return kind ("code" or "markdown") and text of each cell, without nbformat's slow import."""
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    return [(cell["cell_type"], "".join(cell["source"])) for cell in cells]


def watch() -> None:
    """Explain names that are not there yet; does nothing outside a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    if shell and os.environ.get("JPY_SESSION_NAME"):
        shell.set_custom_exc((NameError,), _show)


def advice(
    name: str, notebook: Path, running: str = "", plain_python: Callable[[str], str] = str
) -> str | None:
    """Return which cell of a notebook's file to run so that a name is there, or None.

    `running` is the source of the cell that wanted the name; `plain_python` translates a cell's
    `%magic` lines.
    """
    try:
        cells = read_cells(notebook)
    except Exception:  # not saved yet, renamed, or no notebook: then the traceback has to do
        return None
    wanting = [kind == "code" and code.strip() == running.strip() != "" for kind, code in cells]
    wants = wanting.index(True) if True in wanting else len(cells)
    heading, number, above, below = "", 0, [], []
    for position, (kind, text) in enumerate(cells):
        if kind == "markdown":
            heading = (re.findall(r"^#+ +(.+)$", text, flags=re.M) or [heading])[-1]
        if kind == "code":
            number += 1
            if position != wants and name in _made_in(plain_python(text)):
                place = f"in the cell under '{heading}' (code cell {number})"
                (above if position < wants else below).append(place)
    if not above and not below:
        return None
    where = above[-1] if above else f"further down, {below[0]}"
    others = ", or all of them: Run > Run All Above Selected Cell" if above else ""
    return f"`{name}` is not there yet.\nIt is made {where}.\nRun that cell first{others}."


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

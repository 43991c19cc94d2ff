"""A name that is not there yet: an IPython extension says which cell makes it."""

import json
import os
import re
import symtable
from collections.abc import Callable
from pathlib import Path
from types import TracebackType


def load_ipython_extension(shell) -> None:
    """Explain a NameError in the kernel of a notebook; `lab` starts its kernels with this."""
    if os.environ.get("JPY_SESSION_NAME"):  # the notebook's file
        shell.set_custom_exc((NameError,), _show)


def advice(
    name: str, notebook: Path, running: str = "", plain_python: Callable[[str], str] = str
) -> str | None:
    """Return which cell of a notebook's file to run so that a name is there, or None.

    `running` is the source of the cell that wanted the name; `plain_python` translates a cell's
    `%magic` lines.
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        sources = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    except (OSError, ValueError, LookupError, TypeError):  # not saved yet, renamed, no notebook
        return None
    heading, number, above, below, is_passed = "", 0, "", "", False
    for kind, source in sources:
        if kind == "markdown":
            heading = (re.findall(r"^#+ +(.+)$", source, flags=re.M) or [heading])[-1]
        if kind != "code":
            continue
        number += 1
        if source.strip() == running.strip() != "":
            is_passed = True
        elif name in _made_in(plain_python(source)):
            place = f"in the cell under '{heading}' (code cell {number})"
            if is_passed:
                below = below or place
            else:
                above = place
    where = above or (below and f"further down, {below}")
    others = ", or all of them: Run > Run All Above Selected Cell" if above else ""
    sentence = f"`{name}` is not there yet.\nIt is made {where}.\nRun that cell first{others}."
    return sentence if where else None


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
    while trace.tb_next:
        trace = trace.tb_next
    sentence = None
    if error.name and trace.tb_frame.f_globals is shell.user_ns:  # this notebook's own name
        cell = shell.history_manager.input_hist_raw[-1]
        notebook = Path(os.environ["JPY_SESSION_NAME"])
        sentence = advice(error.name, notebook, cell, shell.transform_cell)
    if sentence is None:
        shell.showtraceback((kind, error, error.__traceback__), tb_offset=tb_offset)
        return None
    shell._showtraceback(kind, error, [sentence])
    return [sentence]

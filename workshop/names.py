"""A name that is not there yet: an IPython extension says which cell makes it."""

import json
import os
import re
import symtable
from pathlib import Path
from types import TracebackType


def load_ipython_extension(shell) -> None:
    """Explain a NameError in the kernel of a notebook; `lab` starts its kernels with this."""
    if os.environ.get("JPY_SESSION_NAME"):  # the notebook's file
        shell.set_custom_exc((NameError,), _show)


def advice(name: str, notebook: Path, running: str = "") -> str | None:
    """Return which cell of a notebook's file to run so that a name is there, or None.

    `running` is the source of the cell that wanted the name.
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, LookupError):  # not saved yet, renamed, no notebook
        return None
    heading, number, others = "", 0, ", or all of them: Run > Run All Above Selected Cell"
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            heading = (re.findall(r"^#+ +(.+)$", source, flags=re.M) or [heading])[-1]
        number += cell["cell_type"] == "code"
        if cell["cell_type"] == "code" and source.strip() == running.strip():
            others = ""  # what makes it stands below
        elif cell["cell_type"] == "code" and name in _made_in(source):
            made = f"It is made in the cell under '{heading}' (code cell {number})."
            return f"`{name}` is not there yet.\n{made}\nRun that cell first{others}."
    return None


def _made_in(source: str) -> set[str]:
    """Return the names that a cell's code assigns, defines or imports."""
    python = re.sub(r"^[%!].*", "", source, flags=re.M)  # without what only IPython knows
    try:
        symbols = symtable.symtable(python, "cell", "exec").get_symbols()
    except (SyntaxError, ValueError):
        return set()
    return {one.get_name() for one in symbols if one.is_assigned() or one.is_imported()}


def _show(shell, kind: type, error: NameError, trace: TracebackType, tb_offset=None) -> None:
    """Show the advice where there is one, else the usual traceback."""
    cell = shell.history_manager.input_hist_raw[-1]
    is_new = error.name and error.name not in shell.user_ns  # else a module of theirs lacks it
    if is_new and (said := advice(error.name, Path(os.environ["JPY_SESSION_NAME"]), cell)):
        shell._showtraceback(kind, error, [said])
    else:
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset)

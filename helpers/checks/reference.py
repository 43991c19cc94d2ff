"""Our versions of the exercises: read from the complete notebooks, and built to be used."""

import ast
import json
import re
from collections.abc import Mapping
from typing import Any

from helpers.catalog import REPOSITORY

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


def _code_cells(step: str) -> list[str]:
    (file,) = (REPOSITORY / "notebooks").glob(f"{step}_*.ipynb")
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def source(step: str, name: str) -> str:
    """Return the source of the cell in which the complete notebook defines `name`."""
    definition = re.compile(rf"^(def|class) {name}\b", re.MULTILINE)
    (code,) = (code for code in _code_cells(step) if BEGIN in code and definition.search(code))
    return "\n".join(line for line in code.splitlines() if line.strip() not in (BEGIN, END))


def build(step: str, name: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return a fresh namespace with our version of `name`, and the imports and exercises it needs.

    A plain value, such as `device`, is taken from the attendee's names, `known`, if it is there.
    """
    made: dict[str, ast.stmt] = {}  # by the name that it makes; the first one counts
    for code in sorted(_code_cells(step), key=lambda code: BEGIN not in code):  # exercises first
        if not code.startswith("%"):  # the magics of Jupyter are no Python
            for statement in ast.parse(code).body:
                made = dict.fromkeys(_makes(statement), statement) | made
    space: dict[str, Any] = {"__name__": "__main__"}

    def make(wanted: str) -> None:
        statement = made.pop(wanted, None)
        if isinstance(statement, ast.Assign) and wanted in known:
            space[wanted] = known[wanted]
        elif statement:
            for one in _wants(statement):
                make(one)
            code = compile(ast.Module([statement], []), f"<our version of {wanted}>", "exec")
            exec(code, space)

    make(name)
    return space


def _makes(statement: ast.stmt) -> list[str]:
    """Return the names that an import, a definition or an assignment makes."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name.split(".")[0] for alias in statement.names]
    if isinstance(statement, ast.Assign):
        return [target.id for target in statement.targets if isinstance(target, ast.Name)]
    return [statement.name] if isinstance(statement, ast.FunctionDef | ast.ClassDef) else []


def _wants(statement: ast.stmt) -> set[str]:
    """Return the names that a statement uses and does not make itself."""
    names = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
    own = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    own |= {node.arg for node in ast.walk(statement) if isinstance(node, ast.arg)}
    return {node.id for node in names} - own

"""Cuts the attendee's copies out of the complete notebooks, and never overwrites their work."""

import copy
import hashlib
import re
from datetime import datetime
from pathlib import Path

import nbformat

from helpers.feedback import BEGIN, END, STUB
from helpers.files import whole_file


def cut(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a copy of a complete notebook without outputs, and with a stub for each solution.

    Its metadata holds a fingerprint, by which a change is noticed later.
    """
    notebook = copy.deepcopy(notebook)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.metadata.pop("execution", None)
            cell.source = _without_solutions(cell.source)
    notebook.metadata["workshop"] = {"cut": _fingerprint(notebook)}
    return notebook


def _without_solutions(source: str) -> str:
    """Return a cell's source with a stub in place of each solution."""
    marks = re.findall(f"{BEGIN}|{END}", source)
    if marks != [BEGIN, END] * source.count(BEGIN):
        raise ValueError(f"A marker has no partner in the cell that begins: {source[:60]}")
    return re.sub(f"{BEGIN}.*?{END}", STUB, source, flags=re.DOTALL)


def _fingerprint(notebook: nbformat.NotebookNode) -> str:
    """Return a name for what the cells say, whatever their outputs are."""
    text = "\0".join(f"{cell.cell_type} {cell.source}" for cell in notebook.cells)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def learner(files: list[Path], folder: Path, fresh: bool = False) -> dict[str, list[str]]:
    """Bring the attendee's copies up to date.

    Parameters
    ----------
    files : list of Path
        The complete notebooks. Only read.
    folder : Path
        Where the copies go; made if it is missing.
    fresh : bool
        Replace changed copies too. The old one stays beside it, with the time in its name.

    Returns
    -------
    dict
        File names under "new", "updated", "kept" (changed by the attendee, left alone), "moved"
        (the new names of changed copies that a fresh one replaced).

    Raises
    ------
    OSError
        If the folder cannot be written to.
    """
    done: dict[str, list[str]] = {"new": [], "updated": [], "kept": [], "moved": []}
    for file in files:
        target, fresh_copy = Path(folder) / file.name, cut(nbformat.read(file, as_version=4))
        kind = "updated" if target.exists() else "new"
        if target.exists():
            was, now = _state(target)
            if was == now == fresh_copy.metadata["workshop"]["cut"]:
                continue
            if was != now and not fresh:
                done["kept"].append(file.name)
                continue
            if was != now:
                aside = target.with_stem(f"{file.stem} {datetime.now():%Y-%m-%d %H.%M.%S}")
                target.rename(aside)
                done["moved"].append(aside.name)
                kind = "new"
        with whole_file(target) as partial:
            nbformat.write(fresh_copy, partial)
        done[kind].append(file.name)
    return done


def _state(file: Path) -> tuple[str | None, str]:
    """Return the fingerprint that a copy was cut with, and the one that it has now."""
    try:
        notebook = nbformat.read(file, as_version=4)
        return notebook.metadata.get("workshop", {}).get("cut"), _fingerprint(notebook)
    except Exception:  # whatever it is, it is not ours to replace
        return None, "unreadable"


def told(done: dict[str, list[str]]) -> str:
    """Return in a few lines what `learner` did."""
    kept, moved = done["kept"], done["moved"]
    lines = [f"{len(done['new'])} new notebooks, {len(done['updated'])} brought up to date."]
    if kept:
        lines.append(f"Left alone, because you changed them: {', '.join(kept)}.")
        lines.append("A fresh copy beside yours: python -m helpers learner --fresh")
    if moved:
        lines.append(f"Your old copies are kept as: {', '.join(moved)}.")
    return "\n".join(lines)

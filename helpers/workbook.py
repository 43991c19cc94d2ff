"""The notebooks as files: execute them, keep their times."""

import copy
import itertools
import json
import os
import re
import shutil
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from tqdm.auto import tqdm
from traitlets.config import Config

from helpers.catalog import REPOSITORY, home
from helpers.feedback import without_markers
from helpers.files import whole_file
from helpers.slides import with_slides

NOTEBOOKS = REPOSITORY / "notebooks"
CELL_SECONDS = 1800  # a cell that runs longer hangs
COLOUR_CODE = re.compile(r"\x1b\[[0-9;]*m")
WIDGET = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"


def build_folder() -> Path:
    """Return where everything goes that can be made again."""
    return home() / "build"


def notebook_files(only: str | None = None) -> list[Path]:
    """Return the notebooks in order.

    Parameters
    ----------
    only : str, optional
        The beginning of a name, such as "03".

    Returns
    -------
    list of Path
        Sorted by name.

    Raises
    ------
    ValueError
        If `only` fits none.
    """
    files = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    chosen = [file for file in files if file.name.startswith(only or "")]
    if not chosen:
        steps = ", ".join(file.name[:2] for file in files)
        raise ValueError(f"No notebook starts with {only!r}. The steps are {steps}.")
    return chosen


def execute(file: Path) -> nbformat.NotebookNode:
    """Execute a notebook from its first cell to its last.

    Parameters
    ----------
    file : Path
        Only read. The kernel starts in its folder.

    Returns
    -------
    NotebookNode
        With the new outputs. If a cell fails, the error carries the notebook so far as `.notebook`.

    Raises
    ------
    CellExecutionError, CellTimeoutError, RuntimeError
        If a cell fails, takes over half an hour, or the kernel dies or does not start.
    """
    notebook = nbformat.read(file, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(file.parent)}},
        config=Config({"KernelManager": {"transport_encryption": "auto"}}),  # else it warns
    )
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, RuntimeError) as error:  # or the kernel died
        error.notebook = notebook
        raise
    return notebook


def run(only: str | None = None, data: str | None = None) -> int:
    """Execute the notebooks in order and write copies, HTML and run.json to build/.

    Parameters
    ----------
    only : str, optional
        The beginning of a name, such as "03".
    data : str, optional
        "sample" or "real"; sets WORKSHOP_DATA for the kernels.

    Returns
    -------
    int
        1 if a notebook failed, else 0. The files in notebooks/ are never changed.
    """
    if data:
        os.environ["WORKSHOP_DATA"] = data
    rows = []
    with tqdm(notebook_files(only), unit="notebook", disable=None) as bar:
        for file in bar:
            bar.set_description(file.stem)
            start, problem = time.perf_counter(), ""
            try:
                notebook = execute(file)
            except (CellExecutionError, CellTimeoutError, RuntimeError) as error:
                notebook, problem = error.notebook, COLOUR_CODE.sub("", str(error))
            seconds = time.perf_counter() - start
            _write_copy(notebook, file.stem)
            rows.append({"name": file.stem, "seconds": round(seconds, 1), "ok": not problem})
            tqdm.write(f"{file.stem:28}{seconds:7.1f} s  {'FAILED' if problem else 'ok'}")
            if problem:
                tqdm.write(f"\n{_failed_cell(notebook)}{problem}\n")
    total = round(sum(row["seconds"] for row in rows), 1)
    with whole_file(build_folder() / "run.json") as partial:
        partial.write_text(json.dumps({"total_seconds": total, "notebooks": rows}, indent=2) + "\n")
    print(f"{len(rows)} notebooks in {total} s. Executed copies and HTML are in build/.")
    return int(any(not row["ok"] for row in rows))


def save(only: str | None = None) -> None:
    """Execute notebooks as on a fresh machine and store the outputs in notebooks/: for authors.

    Those before the ones wanted are executed too, on the sample and in homes of their own, so that
    the outputs do not depend on what this machine already has. 01 to 09 have one, and 10 to 15
    another, so that they take nothing from the steps before.

    Parameters
    ----------
    only : str, optional
        The beginning of a name, such as "03": store no other.
    """
    homes = {tens: fresh_home(f"execute-{tens}") for tens in "01"}
    chosen = notebook_files(only)
    halves = {file.name[0] for file in chosen}
    for file in notebook_files():
        if file > chosen[-1] or file.name[0] not in halves:
            continue
        os.environ |= homes[file.name[0]]
        notebook = execute(file)
        if file in chosen:
            _settle(notebook)
            with whole_file(file) as partial:
                nbformat.write(with_slides(notebook), partial)
            print(f"Executed and saved {file.name}.")


def fresh_home(name: str) -> dict[str, str]:
    """Return the environment of a machine on which nothing has been drawn or trained yet."""
    place = REPOSITORY / "build" / name
    shutil.rmtree(place, ignore_errors=True)
    return {
        "WORKSHOP_HOME": str(place),
        "WORKSHOP_DATA": "sample",
        "WORKSHOP_BACKBONE": "compact_vgg",
    }


def clean() -> None:
    """Remove what can be made again: build/, runs/, the samples and the caches; no real data."""
    made = [(home() / "data").glob(pattern) for pattern in ("*/sample-*", "*/cache", "*/.*")]
    for folder in (build_folder(), home() / "runs", *itertools.chain(*made)):
        if folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)
            done = "Could not remove all of" if folder.exists() else "Removed"
            print(f"{done} {folder.relative_to(home())}/")


def _write_copy(notebook: nbformat.NotebookNode, name: str) -> None:
    """Write the executed notebook and its HTML, which needs no network, to build/."""
    from nbconvert import HTMLExporter

    with whole_file(build_folder() / "notebooks" / f"{name}.ipynb") as partial:
        nbformat.write(notebook, partial)
    exporter = HTMLExporter(require_js_url="", mathjax_url="", jquery_url="", mermaid_js_url="")
    html, _ = exporter.from_notebook_node(for_reading(notebook), {"metadata": {"name": name}})
    with whole_file(build_folder() / "html" / f"{name}.html") as partial:
        partial.write_text(html, encoding="utf-8")


def _failed_cell(notebook: nbformat.NotebookNode) -> str:
    """Return which cell failed."""
    for number, cell in enumerate(notebook.cells, start=1):
        if any(output.output_type == "error" for output in cell.get("outputs", [])):
            return f"Cell {number}, code cell [{cell.execution_count}]:\n"
    return ""


def for_reading(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a copy without what only a kernel or an attendee needs.

    That is the progress bars, which a page can only show empty, and the lines that mark solutions.
    """
    notebook = copy.deepcopy(notebook)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = without_markers(cell.source)
            cell.outputs = [one for one in cell.outputs if WIDGET not in one.get("data", {})]
    return notebook


def _settle(notebook: nbformat.NotebookNode) -> None:
    """Take out of a fresh execution what differs every time and means nothing."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},  # its version would change with every author
        **({"widgets": notebook.metadata.widgets} if "widgets" in notebook.metadata else {}),
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    states = notebook.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    text = nbformat.writes(notebook)
    for number, identity in enumerate(states):
        text = text.replace(identity, f"{number:032x}")
    settled = nbformat.reads(text, as_version=4)
    notebook.metadata, notebook.cells = settled.metadata, settled.cells

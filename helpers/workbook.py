"""The notebooks as files: execute them, keep their times, run every check."""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

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


class Lane(NamedTuple):
    """Commands of `test` that run one after the other, in a home of their own."""

    home: str
    commands: tuple[str, ...]
    one_thread: bool = True  # other processes use the other cores


def _half(tens: int, copies: str) -> Lane:
    """Return the checks of the notebooks 01 to 09 or 10 to 15, and of some learner's copies.

    The notebooks are compared strictly, and with the network cut: one that asks for anything
    fails. Then the learner's copies are run. What is there already is not drawn again.
    """
    return Lane(
        f"notebooks-{tens}",
        (
            "python tests/cut_network.py python -m pytest --nbval --nbval-current-env "
            "--nbval-cell-timeout 300 --nbval-sanitize-with tests/nbval_sanitize.cfg "
            f"--durations 5 notebooks --ignore-glob notebooks/{1 - tens}*",
            f"python tests/cut_network.py python tests/learner_copies.py {copies}",
        ),
    )


STAGES = (  # lanes of one stage run side by side
    (Lane("lint", ("python -m ruff check .", "python -m ruff format --check .")),),
    (
        Lane(
            "pytest",
            ("python -m pytest -n logical --dist worksteal --durations 5 -m not(browser)",),
        ),
    ),
    (_half(0, "0 12 13"), _half(1, "10 11 14 15")),  # about as long as each other
)
BROWSER_STAGE = (
    Lane(
        "browser",
        ("python tests/cut_network.py python -m pytest --durations 5 -m browser tests",),
        one_thread=False,
    ),
)
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


def minutes(notebook: nbformat.NotebookNode) -> int:
    """Return how long it takes to read and do a step: what its header says.

    The rule: 150 words a minute, 5 seconds for a line of code, half a minute for a figure, 4
    minutes for an exercise, and one for the machine; to the nearest 5. `python -m helpers run`
    measures the machine's part.

    Parameters
    ----------
    notebook : NotebookNode
        Complete.

    Returns
    -------
    int
        Minutes.
    """
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    text = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    words = sum(len(re.findall(r"\w+", source)) for source in text)
    lines = sum(len(re.findall(r"^\s*(?!###)\S", source, flags=re.M)) for source in code)
    figures = sum(bool(re.search(r"^\s*show_", source, flags=re.M)) for source in code)
    exercises = sum(bool(re.match(r"\w+ = checks\.", source)) for source in code)
    return 5 * round((words / 150 + lines / 12 + figures / 2 + 4 * exercises + 1) / 5)


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
    homes = {tens: _fresh_home(f"execute-{tens}") for tens in "01"}
    chosen = notebook_files(only)
    for file in notebook_files():
        if file <= chosen[-1] and any(file.name[0] == one.name[0] for one in chosen):
            os.environ |= homes[file.name[0]]
            notebook = execute(file)
        if file in chosen:
            _settle(notebook)
            with whole_file(file) as partial:
                nbformat.write(with_slides(notebook), partial)
            print(f"Executed and saved {file.name}.")


def test(browser: bool = True) -> int:
    """Run every check that CI runs.

    They run on the sample in homes of their own, so that neither your data nor your runs change
    the result.

    Parameters
    ----------
    browser : bool
        False leaves out what is done in Chromium.

    Returns
    -------
    int
        1 if a check failed, else 0.
    """
    failed = []
    for lanes in [*STAGES, *([BROWSER_STAGE] if browser else [])]:
        stopped = threading.Event()
        with ThreadPoolExecutor(len(lanes)) as pool:
            try:
                for commands in pool.map(partial(_failing, len(lanes) > 1, stopped), lanes):
                    failed += commands
            except KeyboardInterrupt:  # what is running has been interrupted too
                stopped.set()
                raise
    for command in failed:
        print(f"FAILED: {command}")
    return int(bool(failed))


def _failing(is_beside_others: bool, stopped: threading.Event, lane: Lane) -> list[str]:
    """Run the commands of a lane until somebody stops it; return those that failed."""
    threads = {"OMP_NUM_THREADS": "1"} if lane.one_thread else {}
    environment = os.environ | _fresh_home(f"test-{lane.home}") | threads
    output = subprocess.PIPE if is_beside_others else None  # else their lines would be mixed
    failed = []
    for command in lane.commands:
        if stopped.wait(0.1):  # seconds: an interrupt comes here a moment after it came there
            break
        print(f"\n$ {command}", flush=True)
        words = [sys.executable if word == "python" else word for word in command.split()]
        done = subprocess.run(
            words, cwd=REPOSITORY, env=environment, stdout=output, stderr=output, text=True
        )
        if output:
            print(f"\n$ {command}\n{done.stdout}{done.stderr}", flush=True)
        if done.returncode:
            failed.append(command)
    return failed


def _fresh_home(name: str) -> dict[str, str]:
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
    for folder in (build_folder(), home() / "runs", *_generated_data()):
        if folder.exists():
            shutil.rmtree(folder, ignore_errors=True)
            print(f"Removed {folder.relative_to(home())}/")


def _generated_data() -> Iterator[Path]:
    """Yield the folders in data/ that were drawn or computed here."""
    for pattern in ("*/sample-*", "*/cache", "*/.*"):
        yield from (path for path in (home() / "data").glob(pattern) if path.is_dir())


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
            cell.outputs = [
                output for output in cell.outputs if WIDGET not in output.get("data", {})
            ]
    return notebook


def _settle(notebook: nbformat.NotebookNode) -> None:
    """Take out of a fresh execution what differs every time and means nothing."""
    language = {"name": "python"}  # the Python version would change with every author
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": language,
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

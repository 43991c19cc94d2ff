"""The room: the attendee's copies of the notebooks, the presenter's, and JupyterLab on either."""

import contextlib
import json
import os
import re
import shutil
import uuid
from datetime import datetime
from functools import partial
from pathlib import Path

import nbformat
from ipykernel.kernelspec import get_kernel_dict

from helpers.catalog import REPOSITORY, home, replace

NOTEBOOKS = REPOSITORY / "notebooks"
JUPYTER = REPOSITORY / "workshop" / "jupyter"  # settings: no questions to a network; the slides
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
STUB = 'raise NotImplementedError("Write your code in place of this line.")'
WIDGET = "application/vnd.jupyter.widget-view+json"


def notebook_files(only: str | None = None) -> list[Path]:
    """Return the complete notebooks in order; only those that begin with "03", say."""
    files = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    chosen = [file for file in files if file.name.startswith(only or "")]
    if not chosen:
        steps = ", ".join(file.name[:2] for file in files)
        raise ValueError(f"No notebook starts with {only!r}. The steps are {steps}.")
    return chosen


def cut(notebook: nbformat.NotebookNode) -> bytes:
    """Make a notebook the attendee's copy: no outputs, a stub for each solution."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.source = re.sub(f"{BEGIN}.*?{END}", STUB, cell.source, flags=re.DOTALL)
    return f"{nbformat.writes(notebook)}\n".encode()


def learner(folder: Path | None = None, fresh: bool = False) -> None:
    """Bring the attendee's copies, in workbook/ or `folder`, up to date.

    Whatever they changed is left alone or, with `fresh`, kept beside the new copy. The folder .cut
    has each copy as it was made: one that equals it was not changed.
    """
    folder = folder or home() / "workbook"
    folder.mkdir(parents=True, exist_ok=True)
    kept = []
    for file in notebook_files():
        content, record = cut(nbformat.read(file, as_version=4)), folder / ".cut" / file.name
        made = record.read_bytes() if record.is_file() else content
        if _renew(folder / file.name, content, made, fresh):
            replace(record, partial(Path.write_bytes, data=content))
        else:
            kept.append(file.name)
    print(f"Your notebooks are in {folder}.")
    if kept:
        print(f"Left alone, because you changed or ran them: {', '.join(kept)}.")
        print("A fresh copy beside yours: python -m workshop learner --fresh")


def _renew(target: Path, content: bytes, made: bytes, fresh: bool) -> bool:
    """Put a copy in place, unless a changed one is to stay; return whether it is there.

    Nothing is ever overwritten, so it does not matter who else writes here at the same instant:
    the old file moves to a name that nobody else has, and the new one takes an empty place.
    """

    def is_ours(found: bytes) -> bool:  # also what a full disk cut off
        return found == made or content.startswith(found)

    with contextlib.suppress(FileNotFoundError):  # the first time, or another process was sooner
        before = target.read_bytes()
        if before == content:
            return True
        if not (fresh or is_ours(before)):
            return False
        now = f"{datetime.now():%Y-%m-%d %H.%M.%S} {uuid.uuid4().hex[:6]}"
        aside = target.rename(target.with_stem(f"{target.stem} {now}"))
        if is_ours(aside.read_bytes()):
            aside.unlink()
        else:
            print(f"Your old copy is kept as {aside.name}.")
    with contextlib.suppress(FileExistsError), target.open("xb") as file:
        file.write(content)
    return True


def for_reading(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Take out progress bars, which a page shows empty, and marks of solutions."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = re.sub(rf"^ *({BEGIN}|{END})\n?", "", cell.source, flags=re.M).rstrip()
            cell.outputs = [one for one in cell.outputs if WIDGET not in one.get("data", {})]
    return notebook


def with_slides(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Give every cell a slide type, and return the notebook.

    A heading begins a slide; text after code a subslide (the arrow down). Long ones are scrolled.
    """
    before = "code"
    for cell in notebook.cells:
        is_text = cell.cell_type == "markdown"
        kind = "subslide" if is_text and before == "code" else "-"
        if is_text and re.search(r"^##? ", cell.source, flags=re.M):
            kind = "slide"
        cell.metadata["slideshow"] = {"slide_type": kind}
        before = cell.cell_type
    return notebook


def present_copies(folder: Path) -> None:
    """Copy the complete notebooks anew, as slides with their outputs; other files stay.

    An instructor tries things and saves: that must not change notebooks/.
    """
    for file in notebook_files():
        notebook = with_slides(for_reading(nbformat.read(file, as_version=4)))
        replace(folder / file.name, partial(nbformat.write, notebook))
    shutil.copy(JUPYTER / "rise.css", folder)  # the name that jupyterlab-rise looks for
    print("The complete notebooks, in build/present/. Slides: Alt+R in a notebook.")
    print("The next start makes them anew. Save under another name what you want to keep.")


def jupyter_environment() -> dict[str, str]:
    """Return variables with which Jupyter takes this Python's kernel, and our settings.

    The user's folder may hold a kernel of another Python under the same name. Where the user's
    home cannot be written, Jupyter's own files go to build/jupyter/, too.
    """
    place = home() / "build" / "jupyter"
    kernel = json.dumps(get_kernel_dict(["--ext=workshop.names"]))
    replace(place / "kernels" / "python3" / "kernel.json", lambda part: part.write_text(kernel))
    variables = {"JUPYTER_PATH": str(place), "JUPYTER_CONFIG_PATH": str(JUPYTER)}
    if not os.access(Path.home(), os.W_OK):
        own = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
        variables |= {name: str(place / name.lower()) for name in (*own, "MPLCONFIGDIR")}
    return variables


def lab(present: bool = False, browser: bool = True) -> None:
    """Open JupyterLab on this machine only, until it is stopped."""
    from jupyterlab.labapp import LabApp  # slow to import

    folder, renew = home() / "workbook", learner
    if present:
        folder, renew = home() / "build" / "present", present_copies
    renew(folder)
    print("Stop it with Ctrl-C, twice.", flush=True)
    settings = {
        "ServerApp.root_dir": folder,
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.open_browser": browser,
        "LabApp.workspaces_dir": home() / "build" / "jupyterlab" / folder.name,  # open tabs
    }
    os.environ |= jupyter_environment()
    words = [f"--{name}={value}" for name, value in settings.items()]
    LabApp.launch_instance(["--log-level=WARN", "--allow-root", *words])

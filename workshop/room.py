"""The room: the attendee's copies of the notebooks, the presenter's, and JupyterLab on either."""

import contextlib
import copy
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from datetime import datetime
from functools import partial
from pathlib import Path

import nbformat
from ipykernel.kernelspec import get_kernel_dict

from helpers.catalog import REPOSITORY, home, replace
from workshop.doctor import can_write

NOTEBOOKS = REPOSITORY / "notebooks"
JUPYTER = REPOSITORY / "workshop" / "jupyter"  # settings, the look of the slides
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
STUB = 'raise NotImplementedError("Write your code in place of this line.")'
SEAL, NO_HASH = '"workshop": "{}"', "0" * 64  # in the metadata of a copy: the hash of its text
WIDGET = "application/vnd.jupyter.widget-view+json"


def notebook_files(only: str | None = None) -> list[Path]:
    """Return the complete notebooks in order; only those that begin with "03", say."""
    files = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    chosen = [file for file in files if file.name.startswith(only or "")]
    if not chosen:
        steps = ", ".join(file.name[:2] for file in files)
        raise ValueError(f"No notebook starts with {only!r}. The steps are {steps}.")
    return chosen


def code_cells(file: Path) -> list[str]:
    """Return the sources of a notebook's code cells, without the lines that only IPython knows."""
    cells = nbformat.read(file, as_version=4).cells
    return [re.sub(r"^%%.*\n", "", one.source) for one in cells if one.cell_type == "code"]


def cut(notebook: nbformat.NotebookNode) -> bytes:
    """Return the attendee's copy of a notebook: no outputs, a stub for each solution, a seal.

    The seal is the hash of everything else in the file: whatever somebody changes breaks it.
    """
    notebook = copy.deepcopy(notebook)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            marks = re.findall(f"{BEGIN}|{END}", cell.source)
            if marks != [BEGIN, END] * cell.source.count(BEGIN):
                raise ValueError(f"A marker has no partner in the cell: {cell.source[:60]}")
            cell.outputs, cell.execution_count = [], None
            cell.source = re.sub(f"{BEGIN}.*?{END}", STUB, cell.source, flags=re.DOTALL)
    notebook.metadata["workshop"] = NO_HASH
    text = nbformat.writes(notebook) + "\n"
    name = hashlib.sha256(text.encode()).hexdigest()
    return text.replace(SEAL.format(NO_HASH), SEAL.format(name)).encode()


def _is_untouched(content: bytes) -> bool:
    """Return whether a file is, byte for byte, a copy as `cut` made it, now or in the past."""
    found = re.search(SEAL.format("([0-9a-f]{64})").encode(), content)
    if not found:
        return False
    text = content.replace(found[0], SEAL.format(NO_HASH).encode())
    return hashlib.sha256(text).hexdigest().encode() == found[1]


def learner(folder: Path, fresh: bool = False) -> str:
    """Bring the attendee's copies up to date, and say in a few lines what was done.

    Whatever they changed is left alone or, with `fresh`, kept beside the new copy.
    """
    done: dict[str, list[str]] = {"": [], "new": [], "updated": [], "kept": [], "moved": []}
    folder.mkdir(parents=True, exist_ok=True)
    for file in notebook_files():
        kind, name = _renew(folder / file.name, cut(nbformat.read(file, as_version=4)), fresh)
        done[kind].append(name)
    lines = [f"{len(done['new'])} new notebooks, {len(done['updated'])} brought up to date."]
    if done["kept"]:
        lines.append(f"Left alone, because you changed or ran them: {', '.join(done['kept'])}.")
        lines.append("A fresh copy beside yours: python -m workshop learner --fresh")
    if done["moved"]:
        lines.append(f"Your old copies are kept as: {', '.join(done['moved'])}.")
    return "\n".join(lines)


def _renew(target: Path, content: bytes, fresh: bool) -> tuple[str, str]:
    """Put a copy in place; return what was done, and the name that this is about.

    Nothing is ever overwritten, so it does not matter who else writes here at the same instant:
    the old file moves to a name that nobody else has, and the new one takes an empty place.
    """
    if _create(target, content):
        return "new", target.name
    now = f"{datetime.now():%Y-%m-%d %H.%M.%S} {uuid.uuid4().hex[:6]}"
    aside = target.with_stem(f"{target.stem} {now}")
    try:
        before = target.read_bytes()
        if before == content:
            return "", target.name
        if not (fresh or _is_untouched(before)):
            return "kept", target.name
        target.rename(aside)
    except FileNotFoundError:  # another process was sooner, and makes a new one
        return "", target.name
    _create(target, content)
    if not _is_untouched(aside.read_bytes()):
        return "moved", aside.name
    aside.unlink()
    return "updated", target.name


def _create(target: Path, content: bytes) -> bool:
    """Make a file, whole at once, unless something has that name; return whether it was made."""
    if os.path.lexists(target):
        return False
    with (
        contextlib.suppress(FileExistsError),
        tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-") as place,
    ):
        whole = Path(place, target.name)
        whole.write_bytes(content)
        try:
            target.hardlink_to(whole)  # unlike a move, it replaces nothing
        except OSError:  # it is there, or the disk has no links, such as a USB stick
            with target.open("xb") as stream:  # replaces nothing either
                stream.write(content)
        return True
    return False


def for_reading(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a copy without progress bars, which a page shows empty, and marks of solutions."""
    notebook = copy.deepcopy(notebook)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = re.sub(rf"^ *({BEGIN}|{END})\n?", "", cell.source, flags=re.M).rstrip()
            cell.outputs = [one for one in cell.outputs if WIDGET not in one.get("data", {})]
    return notebook


def with_slides(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Give every cell that has no slide type one, and return the notebook.

    A heading begins a slide; text after code a subslide (the arrow down). Long ones are scrolled.
    """
    before = "code"
    for cell in notebook.cells:
        is_text = cell.cell_type == "markdown"
        kind = "subslide" if is_text and before == "code" else "-"
        if is_text and re.search(r"^##? ", cell.source, flags=re.M):
            kind = "slide"
        cell.metadata.setdefault("slideshow", {}).setdefault("slide_type", kind)
        before = cell.cell_type
    return notebook


def present_copies() -> Path:
    """Copy the complete notebooks anew, as slides with their outputs, and return the folder.

    An instructor tries things and saves: that must not change notebooks/. Other files stay.
    """
    folder = home() / "build" / "present"
    for file in notebook_files():
        notebook = with_slides(for_reading(nbformat.read(file, as_version=4)))
        replace(folder / file.name, partial(nbformat.write, notebook))
    shutil.copy(JUPYTER / "rise.css", folder)  # the name that jupyterlab-rise looks for
    return folder


def jupyter_environment() -> dict[str, str]:
    """Return variables with which Jupyter takes this Python's kernel, and our settings.

    The user's folder may hold a kernel of another Python under the same name. Where the user's
    home cannot be written, Jupyter's own files go to build/jupyter/, too.
    """
    place = home() / "build" / "jupyter"
    kernel = json.dumps(get_kernel_dict(["--ext=workshop.names"]))
    replace(place / "kernels" / "python3" / "kernel.json", lambda part: part.write_text(kernel))
    variables = {}
    for name, first in (("JUPYTER_PATH", place), ("JUPYTER_CONFIG_PATH", JUPYTER)):
        folders = [str(first), *os.environ.get(name, "").split(os.pathsep)]
        variables[name] = os.pathsep.join(dict.fromkeys(filter(None, folders)))
    if not can_write(Path.home()):
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
            variables[name] = str(place / name.lower())
        variables |= {"IPYTHONDIR": str(place / "ipython"), "MPLCONFIGDIR": str(place / "mpl")}
    return variables


def lab(present: bool = False, browser: bool = True) -> int:
    """Open JupyterLab on this machine only, and wait until it is stopped; return its exit code."""
    if present:
        folder = present_copies()
        print("The complete notebooks, in build/present/. Slides: Alt+R in a notebook.")
        print("The next start makes them anew. Save under another name what you want to keep.")
    else:
        folder = home() / "workbook"
        print(learner(folder))
    print("Stop it with Ctrl-C, twice.", flush=True)
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"]
    command += ["--ServerApp.ip=127.0.0.1", f"--ServerApp.open_browser={browser}"]
    workspaces = home() / "build" / "jupyterlab" / folder.name  # which tabs were open
    command += [f"--LabApp.workspaces_dir={workspaces}", "--log-level=WARN", "--allow-root"]
    # no question to the network, and no warning of the kernel's about its connection
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    command += ["--LabApp.extension_manager=readonly", "--KernelManager.transport_encryption=auto"]
    server = subprocess.Popen(command, env=os.environ | jupyter_environment())
    while True:
        try:
            return server.wait()
        except KeyboardInterrupt:
            continue  # Ctrl-C reaches the server as well, which asks first and stops its kernels

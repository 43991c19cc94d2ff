"""Open JupyterLab: for attendees on their copies, for instructors on the complete notebooks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat

from helpers.catalog import home
from helpers.files import whole_file
from helpers.learner import learner, told
from helpers.slides import STYLE, with_slides
from helpers.workbook import build_folder, for_reading, notebook_files

STARTUP = Path(__file__).with_name("startup.py")
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {  # no question whether you want news
        "fetchNews": "false",
        "checkForUpdates": False,
    },
    # the notebooks are short: all their cells can stay on the page, so that nothing jumps
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}
STAGE = {  # the default theme of the slides asks the network for its letters
    "jupyterlab-rise:plugin": {"theme": "white", "center": False, "scroll": True},
}


def lab(present: bool = False, browser: bool = True) -> int:
    """Open JupyterLab, on this machine only, and wait until it is stopped.

    Parameters
    ----------
    present : bool
        False: on the attendee's copies in workbook/. True: on fresh copies of the complete
        notebooks in build/present/.
    browser : bool
        Open it in the browser; else only print the address.

    Returns
    -------
    int
        JupyterLab's exit code.
    """
    if present:
        folder = present_copies()
        print("The complete notebooks, in build/present/. Slides: Alt+R in a notebook.")
        print("The next start makes them anew. Save under another name what you want to keep.")
    else:
        folder = home() / "workbook"
        print(told(learner(notebook_files(), folder)))
    print("Stop it with Ctrl-C, twice.", flush=True)
    environment = _environment(SETTINGS | STAGE if present else SETTINGS)
    server = subprocess.Popen(_command(folder, browser), env=environment)
    while True:
        try:
            return server.wait()
        except KeyboardInterrupt:
            continue  # Ctrl-C reaches the server as well, which asks first and stops its kernels


def present_copies() -> Path:
    """Copy the complete notebooks, with their outputs and as slides, and return the folder.

    An instructor runs cells, tries things and saves. In notebooks/ that would change files under
    version control, in the middle of a talk. So the stage is a copy, made anew at each start:
    whatever happened in the last talk, this one begins with the outputs that were checked. Other
    files in the folder stay.
    """
    folder = build_folder() / "present"
    for file in notebook_files():
        with whole_file(folder / file.name) as partial:
            notebook = for_reading(nbformat.read(file, as_version=4))
            nbformat.write(with_slides(notebook), partial)
    with whole_file(folder / "rise.css") as partial:  # the name that jupyterlab-rise looks for
        partial.write_text(STYLE)
    return folder


def _command(folder: Path, browser: bool) -> list[str]:
    """Return the call of JupyterLab."""
    return [
        *(sys.executable, "-m", "jupyterlab"),
        f"--ServerApp.root_dir={folder}",
        "--ServerApp.ip=127.0.0.1",  # if the port is taken, it takes the next free one
        f"--ServerApp.open_browser={browser}",
        f"--LabApp.workspaces_dir={build_folder() / 'jupyterlab' / folder.name}",  # the open tabs
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",  # the other one asks the network
        "--KernelManager.transport_encryption=auto",  # else it warns
        "--log-level=WARN",
        *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
    ]


def _environment(settings: dict) -> dict[str, str]:
    """Return an environment with settings of our own and with kernels that explain NameErrors.

    The settings are defaults in a folder of their own, which JupyterLab reads besides the user's.
    What the user has set himself counts more, and is not changed.
    """
    place = build_folder() / "jupyterlab" / "config"
    with whole_file(place / "labconfig" / "default_setting_overrides.json") as partial:
        partial.write_text(json.dumps(settings))
    folders = [str(place), os.environ.get("JUPYTER_CONFIG_PATH", "")]
    return os.environ | {
        "JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, folders)),
        "PYTHONSTARTUP": str(STARTUP),
    }

"""The complete notebooks as a static site, which needs no server and no network."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

from helpers.workbook import COLOUR_CODE, NOTEBOOKS, build_folder, for_reading, notebook_files

TITLE = "Image classification with PyTorch: a workshop"
CONFIG = {
    "title": TITLE,
    "author": "",
    "copyright": "",
    "execute": {"execute_notebooks": "off"},  # the stored outputs were checked
    "parse": {"myst_enable_extensions": ["colon_fence"]},  # no formulas: MathJax is on a network
    "html": {"use_repository_button": False, "use_issues_button": False},
    "sphinx": {
        "config": {
            "html_show_copyright": False,
            "html_theme_options": {"navbar_persistent": []},  # one search field is enough
            "suppress_warnings": ["myst.header"],
        }
    },
}
STYLE = """\
.bd-main .bd-content .bd-article-container { max-width: 64em; }
div.highlight pre { font-size: 0.8em; }
"""


def site() -> Path:
    """Build the site from the stored outputs, by jupyter-book; no cell is executed.

    Returns
    -------
    Path
        Its first page, in build/site/: open it in a browser, or put the folder on any web server.

    Raises
    ------
    ValueError
        If jupyter-book is not installed or could not build it.
    """
    if importlib.util.find_spec("jupyter_book") is None:
        raise ValueError('jupyter-book is not installed. Run: python -m pip install -e ".[site]"')
    target = build_folder() / "site"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as place:
        source = Path(place, "source")
        _write_source(source)
        call = "from jupyter_book.cli.main import main; main()"
        words = ["build", str(source), "--path-output", place, "--warningiserror", "--keep-going"]
        built = subprocess.run([sys.executable, "-c", call, *words], capture_output=True, text=True)
        if built.returncode:
            raise ValueError(f"jupyter-book could not build the site.\n{_complaints(built.stderr)}")
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(Path(place, "_build", "html"), target)
    return target / "index.html"


def _complaints(said: str) -> str:
    """Return what jupyter-book complains about, without its progress and its traceback."""
    lines = COLOUR_CODE.sub("", said).splitlines()
    found = [line for line in lines if re.search("WARNING|ERROR", line)]
    return "\n".join(found or lines[-20:])


def _write_source(folder: Path) -> None:
    """Write what jupyter-book reads: notebooks, a start page, the order and the settings."""
    shutil.copytree(NOTEBOOKS / "images", folder / "images")
    (folder / "_static").mkdir()
    (folder / "_static" / "pages.css").write_text(STYLE)
    lines = [f"# {TITLE}", "", "Every notebook, with its outputs. In each you learn to:", ""]
    for file in notebook_files():
        notebook = for_reading(nbformat.read(file, as_version=4))
        nbformat.write(notebook, folder / file.name)
        header = notebook.cells[0].source
        title = header.splitlines()[0].removeprefix("# ")
        goal = re.search(r"^\| \*\*You will be able to\*\* \| (.+?) \|$", header, flags=re.M)
        lines.append(f"- [{title}]({file.name})" + (f": {goal[1]}" if goal else ""))
    (folder / "index.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    chapters = [{"file": file.stem} for file in notebook_files()]
    contents = {"format": "jb-book", "root": "index", "chapters": chapters}
    for name, values in (("_toc.yml", contents), ("_config.yml", CONFIG)):
        (folder / name).write_text(json.dumps(values), encoding="utf-8")  # JSON is YAML, too

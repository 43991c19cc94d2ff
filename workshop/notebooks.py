"""The complete notebooks as files: execute them, check them, show them as pages."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

from helpers.catalog import DATA_SETS, REPOSITORY, data_folder, home, replace
from workshop.room import NOTEBOOKS, for_reading, jupyter_environment, notebook_files

WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
UNPLUGGED = "python tests/cut_network.py python"
NBVAL = f"{UNPLUGGED} -m pytest --nbval --nbval-current-env --nbval-cell-timeout 1800 "
NBVAL += "--nbval-sanitize-with tests/nbval_sanitize.cfg --durations 5 notebooks"
TRANSFER = "1[0-2]_*"  # these have a home of their own, and the others share one
CHECKS = {  # each in a fresh home, the longest first
    "notebooks": f"{NBVAL} --ignore-glob notebooks/{TRANSFER}",
    "transfer": f"{NBVAL} --ignore-glob notebooks/0* --ignore-glob notebooks/1[3-9]_*",
    "gpu": f"{UNPLUGGED} -m pytest -m gpu tests/test_gpu.py",
    "code": "python -m pytest --durations 5 -m not(browser)and(not(gpu))",
    "browser": f"{UNPLUGGED} -m pytest --durations 5 -m browser tests",
    "style": "python -m ruff check .",
    "format": "python -m ruff format --check .",
}


async def execute(notebook: nbformat.NotebookNode) -> None:
    """Execute a notebook in place, from its first cell to the last, or to one that fails."""
    os.environ |= jupyter_environment()
    options = {"timeout": 1800, "resources": {"metadata": {"path": str(NOTEBOOKS)}}}
    options["record_timing"] = False
    options["shutdown_kernel"] = "immediate"  # torch takes two seconds to say goodbye
    quiet = Config({"KernelManager": {"transport_encryption": "auto"}})  # else it warns
    client = NotebookClient(notebook, kernel_name="python3", config=quiet, **options)
    await client.async_execute()


def run(only: str | None = None, data: str | None = None) -> int:
    """Execute the notebooks, three at a time; leave copies, HTML and run.json with times in build/.

    01 to 09 go one after the other, as each needs the one before.
    """
    os.environ |= {"WORKSHOP_DATA": data} if data else {}
    start, files = time.perf_counter(), notebook_files(only)
    day = [file for file in files if file.name < "10"]
    others = [[file] for file in files[len(day) :]]
    others.sort(key=lambda chain: chain[0].match("14_*"))  # the last: it takes 07's network
    rows = asyncio.run(_in_lanes([day, *others] if day else others))
    times = {"total_seconds": round(time.perf_counter() - start, 1), "notebooks": rows}
    replace(home() / "build" / "run.json", lambda part: part.write_text(json.dumps(times)))
    print(f"{len(rows)} notebooks in {times['total_seconds']} s. Copies and HTML are in build/.")
    return int(not all(row["ok"] for row in rows))


async def _in_lanes(chains: list[list[Path]]) -> list[dict]:
    """Execute three chains of notebooks at a time, which share the cores; return all rows."""
    lanes = min(3, len(chains))  # on two cores, too: a kernel that starts or ends waits a lot
    os.environ.setdefault("OMP_NUM_THREADS", str(-(-(os.cpu_count() or 1) // lanes)))
    free = asyncio.Semaphore(lanes)

    async def one_by_one(chain: list[Path]) -> list[dict]:
        async with free:
            return [await _run_one(file) for file in chain]

    done = await asyncio.gather(*map(one_by_one, chains))
    return [row for rows in done for row in rows]


async def _run_one(file: Path) -> dict:
    """Execute a notebook; leave its copy and its page in build/, and return its row of run.json."""
    from nbconvert import HTMLExporter  # slow to import

    start, problem, notebook = time.perf_counter(), "", nbformat.read(file, as_version=4)
    try:
        await execute(notebook)
    except Exception as error:  # of a cell, or because the kernel died
        problem = re.sub(r"\x1b\[[0-9;]*m", "", f"\n{error}\n")  # without the colours
    seconds = round(time.perf_counter() - start, 1)
    print(f"{file.stem:28}{seconds:7.1f} s  {'FAILED' if problem else 'ok'}{problem}", flush=True)
    replace(home() / "build" / "notebooks" / file.name, partial(nbformat.write, notebook))
    page = HTMLExporter(require_js_url="", mathjax_url="", jquery_url="", mermaid_js_url="")
    title = {"metadata": {"name": file.stem}}
    html = page.from_notebook_node(for_reading(notebook), title)[0].encode()
    replace(home() / "build" / "html" / f"{file.stem}.html", partial(Path.write_bytes, data=html))
    return {"name": file.stem, "seconds": seconds, "ok": not problem}


def save(only: str | None = None) -> None:
    """Execute notebooks as on a fresh machine and store the outputs in notebooks/: for authors.

    Those before the wanted one are executed too, on the sample. 10 to 12 have a home of their own,
    so that they take nothing from the other steps, and the others nothing from them.
    """
    chosen = notebook_files(only)
    for transfer in {file.match(TRANSFER) for file in chosen}:
        os.environ |= fresh_home("execute")
        for file in notebook_files():
            if file.match(TRANSFER) == transfer and file <= chosen[-1]:
                asyncio.run(execute(notebook := nbformat.read(file, as_version=4)))
                if file in chosen:
                    replace(file, partial(nbformat.write, _settled(notebook)))
                    print(f"Executed and saved {file.name}.", flush=True)


def fresh_home(name: str) -> dict[str, str]:
    """Return the environment of a machine on which nothing has been drawn or trained yet."""
    place = REPOSITORY / "build" / name
    shutil.rmtree(place, ignore_errors=True)
    return {"WORKSHOP_HOME": str(place), "WORKSHOP_DATA": "sample"}


def _settled(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a notebook without what differs at each execution and means nothing."""
    widgets = {name: value for name, value in notebook.metadata.items() if name == "widgets"}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = {"kernelspec": kernel, "language_info": {"name": "python"}} | widgets
    for cell in notebook.cells:
        for output in cell.get("outputs", []):  # what helpers.plots draws has its own words
            if "alt" in cell.metadata and "image/png" in output.get("data", {}):
                output.metadata["image/png"] = {"alt": cell.metadata["alt"]}
    text = nbformat.writes(notebook)
    states = widgets.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    for number, name in enumerate(states):
        text = text.replace(name, f"{number:032x}")
    return nbformat.reads(text, as_version=4)


def site() -> None:
    """Build the site from the stored outputs, by jupyter-book; no cell is executed."""
    target = home() / "build" / "site"
    with tempfile.TemporaryDirectory() as place:
        source = shutil.copytree(REPOSITORY / "workshop" / "book", Path(place, "source"))
        shutil.copytree(NOTEBOOKS / "images", source / "images")
        for file in notebook_files():
            nbformat.write(for_reading(nbformat.read(file, as_version=4)), source / file.name)
        call = "from jupyter_book.cli.main import main; main()"
        words = ["build", source, "--path-output", place, "-q", "--warningiserror", "--keep-going"]
        if subprocess.run([sys.executable, "-c", call, *words]).returncode:
            raise ValueError("jupyter-book could not build the site: see the lines above.")
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(Path(place, "_build", "html"), target)
    print(f"Open {target / 'index.html'}. It needs no network.")


def clean() -> None:
    """Remove what can be made again: build/, runs/, samples and caches; no real data."""
    made = [home() / "build", home() / "runs", data_folder("drawn_cells")]
    for name in DATA_SETS:  # a folder of your own pictures may hold a class called sample
        made += [data_folder(name) / "sample", data_folder(name) / "cache"]
    for folder in filter(Path.is_dir, made):
        shutil.rmtree(folder, ignore_errors=True)  # Windows keeps what a kernel holds open
        done = "Could not remove all of" if folder.exists() else "Removed"
        print(f"{done} {folder.relative_to(home())}/")


def test(browser: bool = True) -> int:
    """Run every check that CI runs, four at a time; return 1 if one failed."""
    names = [name for name in CHECKS if browser or name != "browser"]
    with ThreadPoolExecutor(4) as pool:
        codes = [*pool.map(_exit_code, names)]
    for name, code in zip(names, codes, strict=True):
        print(f"{'FAILED' if code else 'ok':8}{CHECKS[name]}")
    return int(any(codes))


def _exit_code(name: str) -> int:
    """Run a check and print what it says."""
    environment = os.environ | fresh_home(f"test-{name}") | {"OMP_NUM_THREADS": "1"}
    print(f"$ {CHECKS[name]}", flush=True)
    words = [sys.executable if word == "python" else word for word in CHECKS[name].split()]
    options = {"capture_output": True, "text": True, "cwd": REPOSITORY, "env": environment}
    done = subprocess.run(words, **options)
    print(f"\n$ {CHECKS[name]}\n{done.stdout}{done.stderr}", flush=True)
    return done.returncode

"""What several tests share: a home of their own, a tiny data set, machines with something cut."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import nbformat
import numpy as np
import pytest

from workshop.room import notebook_files

REPOSITORY = Path(__file__).resolve().parents[1]
MADE_BY_MAKE = bool(shutil.which("make")) and (REPOSITORY / ".venv" / "ready").is_file()
REAL_DATA = Path(os.environ.get("WORKSHOP_REAL_DATA", REPOSITORY.parent / "shared" / "real-data"))

os.environ.setdefault("WORKSHOP_HOME", str(REPOSITORY / "build" / "test"))
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # pictures are small: threads wait for each other
for _name in ("http_proxy", "https_proxy", "all_proxy"):  # the servers of the tests are here
    os.environ.pop(_name, None), os.environ.pop(_name.upper(), None)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty WORKSHOP_HOME whose path has a blank and letters outside ASCII."""
    folder = tmp_path / "Größe 数据"
    folder.mkdir()
    monkeypatch.setenv("WORKSHOP_HOME", str(folder))
    monkeypatch.delenv("WORKSHOP_DATA", raising=False)
    return folder


@pytest.fixture
def tiny(tmp_path):
    """A folder with train.csv and twelve 40x48 pictures: class 1 has a bright left half."""
    folder = tmp_path / "tiny ä"
    (folder / "train_images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = ["ID,Label"]
    for number in range(12):
        picture = rng.integers(0, 100, (40, 48), dtype=np.uint8)
        picture[:, :24] += np.uint8(100 * (number % 2))
        write_png(folder / "train_images" / f"{number}.png", picture)
        rows.append(f"{number}.png,{number % 2}")
    (folder / "train.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def real_data():
    """The folder with real archives, or a skip that says why."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real data: there is no folder {REAL_DATA.name} beside the repository")
    return REAL_DATA


def write_png(path, picture):
    """Write a picture where cv2.imwrite could not: any path."""
    Path(path).write_bytes(cv2.imencode(".png", picture)[1].tobytes())


def notebook_cell(step, text):
    """Return the source of the one cell of a step's notebook that has this in it."""
    (file,) = notebook_files(f"{step:02}")
    (found,) = (one.source for one in nbformat.read(file, 4).cells if text in one.source)
    return found


def quick(source):
    """Return a notebook's code with two epochs, steps or seeds each, and smaller pictures."""
    source = re.sub(r"^([A-Z][A-Z_, ]* = ).* else ", r"\1", source, flags=re.M)  # the second
    source = re.sub(r"^((?:EPOCHS|SAME)\b.* = )\d+", r"\g<1>2", source, flags=re.M)
    source = re.sub(r"(^SIZE = |\bside=)\d+", r"\g<1>64", source, flags=re.M)
    counts = r"epochs=|steps=|train, |train_features, |for (?:_|seed) in (?:tqdm\()?range\("
    return re.sub(rf"(\b(?:{counts}))(?!1\b)\d+", r"\g<1>2", source)


def free_port():
    """Return a port that nobody listens at, as text."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])


def run_process(command, cwd=REPOSITORY, timeout=300, **environment):
    """Run a command with these environment variables besides the usual; return the process."""
    return subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=os.environ | {name: str(value) for name, value in environment.items()},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def run_python(code, *words, cwd=REPOSITORY, **environment):
    """Run Python code in a process of its own and return the finished process."""
    return run_process([sys.executable, "-c", code, *words], cwd, **environment)


@contextlib.contextmanager
def at_most_this_large(size):
    """Let no file grow beyond so many bytes, as on a disk that is full; not on Windows."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

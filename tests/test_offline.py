"""The whole workshop on a fresh machine without a network, and single notebooks on their own."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from conftest import MADE_BY_MAKE, REPOSITORY


def offline(command, **environment):
    """Run a command with the network cut: in a namespace, else with sockets blocked."""
    environment = os.environ | {name: str(value) for name, value in environment.items()}
    environment.pop("WORKSHOP_DATA", None)
    cut = ["unshare", "-r", "-n"]
    if not shutil.which("unshare") or subprocess.call([*cut, "true"]):
        environment["PYTHONPATH"] = str(REPOSITORY / "tests" / "no_network")
        words = command
    else:
        words = [*cut, sys.executable, "tests/cut_network.py", *command]
    return subprocess.run(
        words, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=1200
    )


def test_make_run_needs_no_network(tmp_path):
    command = ["make", "run"] if MADE_BY_MAKE else [sys.executable, "-m", "helpers", "run"]
    result = offline(command, WORKSHOP_HOME=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    rows = json.loads((tmp_path / "build" / "run.json").read_text())["notebooks"]
    assert [row["name"][:2] for row in rows] == [f"{n:02}" for n in range(1, len(rows) + 1)]
    assert len(rows) == len(list((REPOSITORY / "notebooks").glob("*.ipynb")))
    submission = (tmp_path / "runs" / "aoi" / "lenet" / "submission.csv").read_text()
    assert submission.startswith("ID,Label\ntest_00000.png,")


@pytest.mark.parametrize("step", ["05", "08", "09"])
def test_a_notebook_works_on_its_own(tmp_path, step):
    command = [sys.executable, "-m", "helpers", "run", "--only", step]
    result = offline(command, WORKSHOP_HOME=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_network_is_really_cut():
    code = "import urllib.request as u; u.urlopen('http://192.0.2.1', timeout=5)"
    assert offline([sys.executable, "-c", code]).returncode != 0
    code = (
        "import socket; server = socket.create_server(('127.0.0.1', 0)); "
        "socket.create_connection(server.getsockname())"
    )
    assert offline([sys.executable, "-c", code]).returncode == 0

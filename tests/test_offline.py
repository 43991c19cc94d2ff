"""Without a network: `make run`, and notebooks on their own. nbval runs all of them like this."""

import json
import os
import subprocess
import sys

import pytest
from conftest import MADE_BY_MAKE, REPOSITORY, run_python

from helpers import verify, workbook

RUN = ("-m", "helpers", "run", "--only")


def offline(command, **environment):
    """Run a command with the network cut."""
    environment = os.environ | {name: str(value) for name, value in environment.items()}
    environment.pop("WORKSHOP_DATA", None)
    return subprocess.run(
        [sys.executable, "tests/cut_network.py", *command],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1200,
    )


@pytest.mark.slow
def test_make_run_needs_no_network(tmp_path):
    """And a notebook works on its own: the sample that it takes is drawn on the way."""
    command = ["make", "run", "ONLY=05"] if MADE_BY_MAKE else [sys.executable, *RUN, "05"]
    result = offline(command, WORKSHOP_HOME=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    (row,) = json.loads((tmp_path / "build" / "run.json").read_text())["notebooks"]
    assert row["name"] == "05_model" and row["ok"]
    assert [*(tmp_path / "data" / "aoi").glob("sample-*/train_images/train_00000.png")]


def test_every_notebook_is_compared_without_a_network():
    commands = [command for lane in verify.STAGES[-1] for command in lane.commands]
    nbval = [command for command in commands if "--nbval" in command]
    assert len(nbval) == 2 and len(commands) == 4
    cut = "python tests/cut_network.py python "
    assert all(command.startswith(cut) for command in commands)
    compared = []
    for command in nbval:
        assert command.startswith(cut + "-m pytest --nbval ")
        ignored = command.split(" notebooks --ignore-glob ")[1]
        compared += [file for file in workbook.notebook_files() if not file.match(ignored)]
    assert sorted(compared) == workbook.notebook_files()
    copied = [
        file
        for command in set(commands) - set(nbval)
        for beginning in command.split("tests/learner_copies.py ")[1].split()
        for file in workbook.notebook_files(beginning)
    ]
    assert sorted(copied) == workbook.notebook_files()


CALL = "import urllib.request as u; u.urlopen('http://192.0.2.1', timeout=5)"


def test_the_network_is_really_cut():
    result = offline([sys.executable, "-c", CALL])
    assert result.returncode != 0
    assert "unreachable" in result.stderr or "the network is cut" in result.stderr
    code = (
        "import socket; server = socket.create_server(('127.0.0.1', 0)); "
        "socket.create_connection(server.getsockname())"
    )
    assert offline([sys.executable, "-c", code]).returncode == 0


def test_without_namespaces_sockets_are_refused():
    folder = str(REPOSITORY / "tests" / "no_network")
    for call in (CALL, "import socket; socket.getaddrinfo('example.org', 80)"):
        assert "the network is cut" in run_python(call, PYTHONPATH=folder).stderr

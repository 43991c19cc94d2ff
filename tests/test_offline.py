"""Without a network: `make run`, and notebooks on their own. nbval runs all of them like this."""

import json
import os
import subprocess
import sys

from conftest import MADE_BY_MAKE, REPOSITORY, run_python

from helpers import workbook

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


def test_make_run_needs_no_network(tmp_path):
    command = ["make", "run", "ONLY=09"] if MADE_BY_MAKE else [sys.executable, *RUN, "09"]
    result = offline(command, WORKSHOP_HOME=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    (row,) = json.loads((tmp_path / "build" / "run.json").read_text())["notebooks"]
    assert row["name"] == "09_test_and_submit" and row["ok"]
    submission = (tmp_path / "runs" / "aoi" / "lenet" / "submission.csv").read_text()
    assert submission.startswith("ID,Label\ntest_00000.png,")


def test_every_notebook_is_compared_without_a_network():
    (nbval,) = [check.command for check in workbook.CHECKS if "--nbval" in check.command]
    assert nbval.startswith("python tests/cut_network.py python -m pytest --nbval ")
    assert nbval.endswith(" notebooks")


def test_a_notebook_works_on_its_own(tmp_path):
    command = [sys.executable, *RUN, "05"]
    result = offline(command, WORKSHOP_HOME=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


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

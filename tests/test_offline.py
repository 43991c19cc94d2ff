"""Without a network: `make run`. nbval and the learner's copies run all notebooks like this."""

import json
import sys

from conftest import MADE_BY_MAKE, REPOSITORY, run_process, run_python

from workshop import notebooks

CALL = "import urllib.request as u; u.urlopen('http://192.0.2.1', timeout=5)"
LOCAL = (
    "import socket; server = socket.create_server(('127.0.0.1', 0)); "
    "socket.create_connection(server.getsockname())"
)


def offline(*command, **environment):
    """Run a command with the network cut."""
    return run_process([sys.executable, "tests/cut_network.py", *command], **environment)


def test_the_network_is_really_cut():
    said = offline(sys.executable, "-c", CALL).stderr
    assert "unreachable" in said or "the network is cut" in said
    assert offline(sys.executable, "-c", LOCAL).returncode == 0


def test_without_namespaces_sockets_are_refused():
    folder = str(REPOSITORY / "tests" / "no_network")
    for call in (CALL, "import socket; socket.getaddrinfo('example.org', 80)"):
        assert "the network is cut" in run_python(call, PYTHONPATH=folder).stderr


def test_make_run_needs_no_network(tmp_path):
    command = ["make", "run", "ONLY=01"]
    if not MADE_BY_MAKE:
        command = [sys.executable, "-m", "workshop", "run", "--only", "01"]
    result = offline(*command, WORKSHOP_HOME=tmp_path, WORKSHOP_DATA="")
    assert result.returncode == 0, result.stdout + result.stderr
    (row,) = json.loads((tmp_path / "build" / "run.json").read_text())["notebooks"]
    assert row["name"].startswith("01_") and row["ok"]


def test_every_notebook_is_run_without_a_network():
    files = notebooks.notebook_files()
    nbval = [notebooks.CHECKS[name] for name in ("notebooks", "transfer")]
    assert all(one.startswith("python tests/cut_network.py python ") for one in nbval)
    ignored = [one.split(" --ignore-glob ")[1:] for one in nbval]
    assert sorted(f for globs in ignored for f in files if not any(map(f.match, globs))) == files

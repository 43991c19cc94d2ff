import json
import os
import socket
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from conftest import REPOSITORY
from nbformat import v4

from helpers import __main__, lab, workbook


@pytest.fixture
def stage(home, tmp_path, monkeypatch):
    """A home, one small notebook, and a JupyterLab that only remembers how it was called."""
    bar = v4.new_output("display_data", data={workbook.WIDGET: {}, "text/plain": "0%"})
    cells = [
        v4.new_markdown_cell("# 01 T"),
        v4.new_code_cell("1", execution_count=1, outputs=[bar]),
    ]
    (tmp_path / "notebooks").mkdir()
    nbformat.write(v4.new_notebook(cells=cells), tmp_path / "notebooks" / "01_t.ipynb")
    monkeypatch.setattr(workbook, "NOTEBOOKS", tmp_path / "notebooks")

    calls, answers = [], []

    class Server:
        def __init__(self, command, env):
            calls.append((command, env))

        def wait(self):
            answer = answers.pop(0) if answers else 0
            if answer is KeyboardInterrupt:
                raise answer
            return answer

    monkeypatch.setattr(lab.subprocess, "Popen", Server)
    return SimpleNamespace(calls=calls, answers=answers)


def settings(environment):
    folder = Path(environment["JUPYTER_CONFIG_PATH"].split(os.pathsep)[0])
    return json.loads((folder / "labconfig" / "default_setting_overrides.json").read_text())


def test_attendees_get_their_copies(stage, home):
    assert __main__.main(["lab"]) == 0
    ((command, environment),) = stage.calls
    assert (home / "workbook" / "01_t.ipynb").is_file() and not (
        home / "build" / "present"
    ).exists()
    assert f"--ServerApp.root_dir={home / 'workbook'}" in command
    assert "--ServerApp.ip=127.0.0.1" in command and "--ServerApp.open_browser=True" in command
    assert not any("token" in word.lower() or "password" in word.lower() for word in command)
    assert "jupyterlab-rise:plugin" not in settings(environment)
    assert environment["PYTHONSTARTUP"] == str(REPOSITORY / "helpers" / "startup.py")


def test_instructors_get_a_fresh_stage(stage, home):
    (home / "build" / "present").mkdir(parents=True)
    (home / "build" / "present" / "01_t.ipynb").write_text("the last talk")
    (home / "build" / "present" / "mine.ipynb").write_text("kept under another name")
    before = {file: file.read_bytes() for file in workbook.NOTEBOOKS.iterdir()}
    assert __main__.main(["lab", "--present", "--no-browser"]) == 0
    ((command, environment),) = stage.calls
    assert f"--ServerApp.root_dir={home / 'build' / 'present'}" in command
    assert "--ServerApp.open_browser=False" in command
    title, cell = nbformat.read(home / "build" / "present" / "01_t.ipynb", as_version=4).cells
    assert title.metadata.slideshow.slide_type == "slide"
    assert cell.execution_count == 1 and cell.outputs == []  # the bar would stand at 0 %
    assert "kept" in (home / "build" / "present" / "mine.ipynb").read_text()
    assert settings(environment)["jupyterlab-rise:plugin"]["theme"] == "white"
    assert {file: file.read_bytes() for file in workbook.NOTEBOOKS.iterdir()} == before
    assert not (home / "workbook").exists()


def test_the_users_own_settings_are_still_read(stage, monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "mine")
    lab.lab()
    assert stage.calls[-1][1]["JUPYTER_CONFIG_PATH"].endswith(f"{os.pathsep}mine")


def test_the_first_ctrl_c_leaves_the_question_to_jupyterlab(stage):
    stage.answers[:] = [KeyboardInterrupt, KeyboardInterrupt, 7]
    assert lab.lab() == 7


def test_a_taken_port_is_no_problem(home):
    browsing = pytest.importorskip("browsing")
    if not hasattr(os, "killpg"):
        pytest.skip("the server is stopped through its process group")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8888))
            taken.listen()
        except OSError:
            pytest.skip("somebody else has the port that JupyterLab tries first")
        with browsing.served(home) as address:
            assert address.startswith("http://127.0.0.1:") and ":8888" not in address
            assert "token=" in address

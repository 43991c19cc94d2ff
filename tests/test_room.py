"""The attendee's copies, which are never overwritten; the slides; JupyterLab as `lab` starts it."""

import copy
import json
import os
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import REPOSITORY
from jupyter_client.kernelspec import KernelSpecManager
from nbformat import v4

from workshop import room
from workshop.__main__ import main

FILES = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
SOURCE = f"""def double(x):
    # twice
    {room.BEGIN}
    y = 2 * x
    return y
    {room.END}"""


def write(file, source=SOURCE, outputs=()):
    bar = v4.new_output("display_data", data={room.WIDGET: {}, "text/plain": "0%"})
    code = v4.new_code_cell(source, execution_count=1, outputs=[bar, *outputs], id="code")
    cells = [v4.new_markdown_cell("# 03 T", id="title"), code]
    file.parent.mkdir(exist_ok=True)
    nbformat.write(v4.new_notebook(cells=cells), file)
    return file


@pytest.fixture
def complete(tmp_path, monkeypatch):
    """The only complete notebook: it has one exercise."""
    monkeypatch.setattr(room, "NOTEBOOKS", tmp_path / "complete")
    return write(tmp_path / "complete" / "03_x.ipynb")


@pytest.fixture
def mine(complete, tmp_path):
    """Its copy."""
    room.learner(tmp_path / "copies")
    return tmp_path / "copies" / complete.name


@pytest.fixture
def renew(mine, capsys):
    """Bring the copy up to date; return what was printed."""

    def renewed(**options):
        room.learner(mine.parent, **options)
        return capsys.readouterr().out

    return renewed


def test_a_copy_is_its_source_minus_the_solutions():
    assert len(FILES) > 10
    for file in FILES:
        source = nbformat.read(file, as_version=4)
        copied = nbformat.reads(room.cut(copy.deepcopy(source)), 4)
        for ours, theirs in zip(source.cells, copied.cells, strict=True):
            where, parts = (file.name, ours.id), theirs.source.split(room.STUB)
            assert (ours.cell_type, ours.id) == (theirs.cell_type, theirs.id), where
            assert not theirs.get("outputs") and "SOLUTION" not in theirs.source, where
            assert ours.source.startswith(parts[0]) and ours.source.endswith(parts[-1]), where
            assert ours.source.count(room.BEGIN) == len(parts) - 1, where


def test_an_untouched_copy_follows_its_source(complete, mine, renew):
    assert renew() == renew() == f"Your notebooks are in {mine.parent}.\n"
    write(complete, SOURCE.replace("# twice", "# two times"))
    renew()
    assert "# two times" in mine.read_text() and [*mine.parent.glob("*.ipynb")] == [mine]


def ran(notebook):
    notebook.cells[1].outputs = [v4.new_output("stream", text="2")]


CHANGES = {
    "solved": lambda notebook: notebook.cells[1].update(source="mine"),
    "executed": ran,
    "tagged": lambda notebook: notebook.cells[1].metadata.update(tags=["mine"]),
}


@pytest.mark.parametrize("change", [*CHANGES, "no notebook"])
def test_whatever_differs_from_what_was_cut_is_theirs(complete, mine, renew, change):
    if change in CHANGES:
        notebook = nbformat.read(mine, as_version=4)
        CHANGES[change](notebook)
        nbformat.write(notebook, mine)
    else:
        mine.write_text(change)
    before = mine.read_bytes()
    write(complete, SOURCE.replace("# twice", "# two times"))
    assert "you changed or ran them: 03_x.ipynb" in renew()
    assert mine.read_bytes() == before
    said = renew(fresh=True)
    (old,) = set(mine.parent.glob("*.ipynb")) - {mine}
    assert old.read_bytes() == before and old.name in said
    assert "# two times" in mine.read_text()


def test_each_fresh_copy_keeps_the_one_before(mine):
    for number in range(3):  # within a second
        mine.write_text(f"work {number}")
        room.learner(mine.parent, fresh=True)
    texts = {file.read_text() for file in mine.parent.glob("*.ipynb")}
    assert {"work 0", "work 1", "work 2"} < texts


def test_what_a_full_disk_cut_off_is_made_anew(mine, renew):
    whole = mine.read_bytes()
    for length in (0, 1, len(whole) - 1):
        mine.write_bytes(whole[:length])
        renew()
        assert mine.read_bytes() == whole and [*mine.parent.glob("*.ipynb")] == [mine]


@pytest.mark.parametrize("step", ["rename", "unlink"])
def test_what_is_saved_in_between_is_not_lost(complete, mine, monkeypatch, step):
    """JupyterLab saves after the old copy was read, or when it was moved away."""
    move = getattr(Path, step)

    def save_first(self, *words):
        mine.write_text("saved")
        return move(self, *words)

    write(complete, SOURCE.replace("# twice", "# two times"))
    monkeypatch.setattr(Path, step, save_first)
    room.learner(mine.parent)
    assert "saved" in [file.read_text() for file in mine.parent.glob("*.ipynb")]


TEXT, HEADING = v4.new_markdown_cell("One sentence."), v4.new_markdown_cell("Now:\n\n## Next")
CODE = v4.new_code_cell("# a comment")


@pytest.mark.parametrize(
    ("cells", "kinds"),
    [
        ([HEADING, CODE, HEADING, CODE, TEXT], "slide - slide - subslide"),
        ([HEADING, CODE, TEXT, TEXT, CODE], "slide - subslide - -"),
    ],
)
def test_a_heading_begins_a_slide_and_text_after_code_goes_on_below(cells, kinds):
    cells = [{**copy.deepcopy(cell), "id": f"id-{number}"} for number, cell in enumerate(cells)]
    slides = room.with_slides(nbformat.from_dict(v4.new_notebook(cells=cells))).cells
    assert " ".join(cell.metadata["slideshow"]["slide_type"] for cell in slides) == kinds


@pytest.fixture
def started(complete, home, monkeypatch):
    """A JupyterLab that only remembers how it was called."""
    calls = []
    monkeypatch.setattr("jupyterlab.labapp.LabApp.launch_instance", calls.append)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    return calls


def test_attendees_get_their_copies(started, home):
    assert main(["lab"]) == 0
    (words,) = started
    assert (home / "workbook" / "03_x.ipynb").is_file()
    assert f"--ServerApp.root_dir={home / 'workbook'}" in words
    assert "--ServerApp.ip=127.0.0.1" in words and "--ServerApp.open_browser=True" in words
    assert not any("token" in word.lower() or "password" in word.lower() for word in words)


def test_instructors_get_fresh_complete_ones_as_slides(started, home, complete):
    present = home / "build" / "present"
    present.parent.mkdir()
    write(present / "03_x.ipynb", "the last talk")
    write(present / "mine.ipynb", "kept under another name")
    before = complete.read_bytes()
    assert main(["lab", "--present", "--no-browser"]) == 0
    (words,) = started
    assert f"--ServerApp.root_dir={present}" in words
    assert "--ServerApp.open_browser=False" in words
    title, cell = nbformat.read(present / "03_x.ipynb", as_version=4).cells
    assert title.metadata["slideshow"]["slide_type"] == "slide" and "SOLUTION" not in cell.source
    assert cell.execution_count == 1 and cell.outputs == []  # the bar would stand at 0 %
    assert "kept" in (present / "mine.ipynb").read_text() and (present / "rise.css").is_file()
    assert complete.read_bytes() == before and not (home / "workbook").exists()


def test_the_kernel_is_this_python_whatever_the_user_has(home, tmp_path, monkeypatch):
    foreign = tmp_path / "theirs" / "kernels" / "python3" / "kernel.json"
    foreign.parent.mkdir(parents=True)
    foreign.write_text(json.dumps({"argv": ["another"], "display_name": "", "language": ""}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "theirs"))
    assert KernelSpecManager().get_kernel_spec("python3").argv == ["another"]
    for name, value in room.jupyter_environment().items():
        monkeypatch.setenv(name, value)
    assert KernelSpecManager().get_kernel_spec("python3").argv[0] == sys.executable
    settings = os.environ["JUPYTER_CONFIG_PATH"]
    text = Path(settings, "labconfig", "default_setting_overrides.json").read_text()
    assert json.loads(text)["jupyterlab-rise:plugin"]["theme"] == "white"  # others ask a network


def test_without_a_home_that_can_be_written_jupyter_writes_here(home, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "none")
    variables = room.jupyter_environment()
    own = [name for name in variables if variables[name].startswith(str(home / "build"))]
    assert {"JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"} <= set(own)

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import nbformat
import pytest
from conftest import REPOSITORY
from nbformat import v4

from helpers import __main__, verify, workbook


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Two small notebooks in a folder of their own; the second one fails."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name, source in (("01_good", "print('hello')"), ("02_bad", "1 + 1\n1 / 0")):
        cells = [v4.new_markdown_cell("# T"), v4.new_code_cell(source)]
        nbformat.write(v4.new_notebook(cells=cells), folder / f"{name}.ipynb")
    monkeypatch.setattr(workbook, "NOTEBOOKS", folder)
    monkeypatch.setattr(workbook, "REPOSITORY", tmp_path)
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    return tmp_path


def test_a_run_leaves_copies_pages_and_times_and_changes_nothing(place, capsys):
    before = {file: file.read_bytes() for file in (place / "notebooks").iterdir()}
    assert __main__.main(["run"]) == 1
    assert {file: file.read_bytes() for file in (place / "notebooks").iterdir()} == before
    result = json.loads((place / "build" / "run.json").read_text())
    assert [(row["name"], row["ok"]) for row in result["notebooks"]] == [
        ("01_good", True),
        ("02_bad", False),
    ]
    assert result["total_seconds"] > 0
    assert "hello" in (place / "build" / "html" / "01_good.html").read_text()
    assert "hello" in (place / "build" / "notebooks" / "01_good.ipynb").read_text()


def test_the_failing_cell_is_shown_in_full(place, capsys):
    assert __main__.main(["run", "--only", "02"]) == 1
    printed = capsys.readouterr().out
    assert "Cell 2, code cell [1]" in printed
    assert "1 / 0" in printed and "ZeroDivisionError: division by zero" in printed
    assert "01_good" not in printed


def test_one_step_that_works_exits_with_zero(place, capsys):
    assert __main__.main(["run", "--only", "01", "--data", "sample"]) == 0
    assert __main__.main(["run", "--only", "77"]) == 1
    assert "No notebook starts with '77'. The steps are 01, 02." in capsys.readouterr().err


def test_pages_need_no_network(place):
    __main__.main(["run", "--only", "01"])
    page = (place / "build" / "html" / "01_good.html").read_text()
    assert "<script src=" not in page.replace('<script src="">', "")
    assert 'href="http' not in page.split("</head>")[0]


def test_saving_is_repeatable(place):
    bar = "from tqdm.auto import tqdm\nfor _ in tqdm(range(2), bar_format='{l_bar}'):\n    pass"
    file = place / "notebooks" / "01_good.ipynb"
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell(bar, id="a")]), file)
    __main__.main(["execute", "--only", "01"])
    first = file.read_bytes()
    __main__.main(["execute", "--only", "01"])
    assert b"widget-view" in first
    assert file.read_bytes() == first


def test_without_ipywidgets_the_bar_is_text(place):
    source = (
        "import sys\nsys.modules['ipywidgets'] = None\nimport warnings\n"
        "warnings.simplefilter('ignore')\nfrom helpers.training import tqdm\n"
        "for _ in tqdm(range(3), desc='bar'):\n    pass"
    )
    file = place / "notebooks" / "01_good.ipynb"
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell(source)]), file)
    (cell,) = workbook.execute(file).cells
    assert "bar: 100%" in "".join(output.text for output in cell.outputs)


def test_cleaning_spares_real_data_and_your_work(place):
    kept = ("data/aoi/real/a.png", "data/README.md", "data/weights/a", "workbook/01.ipynb")
    gone = ("data/aoi/sample-1/a.png", "data/aoi/cache/b", "data/aoi/.sample-1.x/c", "runs/r/m")
    for name in kept + gone:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).touch()
    workbook.clean()
    workbook.clean()  # nothing left to remove is no error
    assert [name for name in kept + gone if (place / name).exists()] == list(kept)


def test_errors_on_the_command_line_are_sentences(home, monkeypatch, capsys):
    monkeypatch.setattr("helpers.samples.sample_folder", lambda facts: home.read_text())  # a folder
    assert __main__.main(["samples"]) == 1
    assert "Traceback" not in capsys.readouterr().err
    with pytest.raises(SystemExit):
        __main__.main([])


def test_the_notebooks_of_the_repository_are_found():
    assert workbook.NOTEBOOKS == REPOSITORY / "notebooks"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups to interrupt")
def test_an_interrupt_ends_every_lane(tmp_path):
    (tmp_path / "long.py").write_text(
        "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(300)"
    )
    lanes = [
        verify.Lane(name, tuple(f"python long.py {name}{part}" for part in "12")) for name in "ab"
    ]
    code = (
        "import pathlib, sys; from helpers import verify as w; "
        f"w.STAGES = ([w.Lane(*lane) for lane in {[tuple(lane) for lane in lanes]}],); "
        "w.REPOSITORY = pathlib.Path(sys.argv[1]); sys.exit(w.test(browser=False))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=REPOSITORY,
        start_new_session=True,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # see test_mirror
    )
    try:
        while len([*tmp_path.glob("?1")]) < 2:
            assert process.poll() is None
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        assert b"KeyboardInterrupt" in process.communicate(timeout=120)[1] and process.returncode
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert sorted(path.name for path in tmp_path.glob("??")) == ["a1", "b1"]

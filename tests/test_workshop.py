"""What runs the workshop: the commands, the doctor, the names, the notebooks as files."""

import contextlib
import json
import os
import sys
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import v4

from workshop import doctor, names, notebooks, room
from workshop.__main__ import main


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A home with two small notebooks; the second one fails."""
    for name, source in (("01_good", "print('hello')"), ("02_bad", "1 + 1\n1 / 0")):
        write(tmp_path / "notebooks" / f"{name}.ipynb", v4.new_code_cell(source, id="a"))
    (tmp_path / "notebooks" / "images").mkdir()
    for module in (room, notebooks):
        monkeypatch.setattr(module, "NOTEBOOKS", tmp_path / "notebooks")
    for name in ("WORKSHOP_HOME", "WORKSHOP_DATA", "JUPYTER_PATH", "JUPYTER_CONFIG_PATH"):
        monkeypatch.setenv(name, str(tmp_path))  # so that they are put back afterwards
    return tmp_path


def write(file, *cells):
    file.parent.mkdir(exist_ok=True)
    cells = [v4.new_markdown_cell("# 01 T", id="title"), *cells]
    python = {"language_info": {"name": "python"}}
    nbformat.write(v4.new_notebook(cells=cells, metadata=python), file)
    return file


# The notebooks as files


def test_a_run_leaves_copies_pages_and_times_and_changes_nothing(place, capsys, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write(place / "notebooks" / "10_beside.ipynb", v4.new_code_cell("1 + 1", id="a"))
    before = {file: file.read_bytes() for file in (place / "notebooks").glob("*.ipynb")}
    assert main(["run", "--data", "sample"]) == 1
    assert {file: file.read_bytes() for file in before} == before
    assert "ZeroDivisionError: division by zero" in capsys.readouterr().out
    result = json.loads((place / "build" / "run.json").read_text())
    rows = [(row["name"], row["ok"]) for row in result["notebooks"]]
    assert rows == [("01_good", True), ("02_bad", False), ("10_beside", True)]
    assert result["total_seconds"] > 0
    page = (place / "build" / "html" / "01_good.html").read_text("utf-8")
    assert "hello" in page and 'href="http' not in page.split("</head>")[0]
    assert "<script src=" not in page.replace('<script src="">', "")  # it needs no network
    assert "hello" in (place / "build" / "notebooks" / "01_good.ipynb").read_text()


def test_saving_is_repeatable(place, monkeypatch):
    monkeypatch.setattr(notebooks, "REPOSITORY", place)
    bar = "from tqdm.auto import tqdm\nfor _ in tqdm(range(2), bar_format='{l_bar}'):\n    pass"
    file = write(place / "notebooks" / "01_good.ipynb", v4.new_code_cell(bar, id="a"))
    assert main(["execute", "--only", "01"]) == 0
    first = file.read_bytes()
    assert main(["execute", "--only", "01"]) == 0
    assert b"widget-view" in first and file.read_bytes() == first


def test_cleaning_spares_real_data_and_your_work(place):
    kept = ["data/aoi/real/a", "data/samples/a", "data/weights/a", "data/mine/sample/a"]
    kept += ["workbook/01.ipynb", "data/aoi/download/a"]
    gone = ["data/aoi/sample/a", "data/drawn_cells/a", "data/food/cache/b", "runs/r/m", "build/a"]
    for name in kept + gone:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).touch()
    assert main(["clean"]) == main(["clean"]) == 0  # nothing left to remove is no error
    assert [name for name in kept + gone if (place / name).exists()] == kept


def test_the_site_shows_the_stored_outputs(place):
    pytest.importorskip("jupyter_book")
    bar = v4.new_output("display_data", data={room.WIDGET: {}, "text/plain": "0%| |"})
    stored = v4.new_output("stream", text="the stored output\n")
    code = v4.new_code_cell("1 / 0", execution_count=1, outputs=[stored, bar], id="a")
    write(place / "notebooks" / "01_good.ipynb", code)
    assert main(["site"]) == 0
    page = (place / "build" / "site" / "01_good.html").read_text("utf-8")
    assert "the stored output" in page and "vnd.jupyter.widget" not in page
    assert [path.name for path in (place / "build").iterdir()] == ["site"]


@pytest.mark.parametrize("second", [0, 1])
def test_each_check_has_a_home_and_one_that_fails_is_named(place, monkeypatch, capsys, second):
    show = "import os; print('home:', os.environ['WORKSHOP_HOME'])"
    (place / "show.py").write_text(show)
    (place / "second.py").write_text(f"{show}; raise SystemExit({second})")
    checks = {"a": "python second.py", "b": "python show.py", "browser": "python second.py"}
    monkeypatch.setattr(notebooks, "CHECKS", checks)
    monkeypatch.setattr(notebooks, "REPOSITORY", place)
    assert main(["test", "--no-browser"]) == second
    printed = capsys.readouterr().out
    homes = [place / "build" / f"test-{name}" for name in checks]
    assert [f"home: {home}\n" in printed for home in homes] == [True, True, False]
    assert ("FAILED  python second.py" in printed) == bool(second)
    assert "ok      python show.py" in printed


# A name that is not there yet

CELLS = [
    v4.new_code_cell("import math as maths"),
    v4.new_markdown_cell("## A look at the first batch"),
    v4.new_code_cell("%matplotlib inline\nfor batches, (a, b) in []:\n    pass"),
    v4.new_code_cell("def double(x):\n    return factor * x"),
    v4.new_code_cell("print(batches)"),
    v4.new_code_cell("factor = 2"),
    v4.new_code_cell("factor = 3"),
    v4.new_code_cell("this is no Python"),
]
SENTENCE = (
    "`batches` is not there yet.\nIt is made in the cell under 'A look at the first batch' "
    "(code cell 2).\nRun that cell first, or all of them: Run > Run All Above Selected Cell."
)


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    return write(tmp_path_factory.mktemp("names") / "Größe.ipynb", *CELLS)


def test_the_cell_that_makes_a_name_is_named(notebook):
    assert names.advice("batches", notebook) == SENTENCE
    places = {"maths": "'01 T' (code cell 1)", "double": "(code cell 3)", "factor": "(code cell 5)"}
    for name, place in places.items():
        assert place in names.advice(name, notebook)
    assert names.advice("pritn", notebook) is names.advice("x", notebook) is None
    assert names.advice("batches", notebook.with_name("gone.ipynb")) is None


@pytest.fixture(scope="module")
def run_cell(notebook):
    """Run code in a kernel as `lab` starts it; return the outputs."""
    environment = os.environ | room.jupyter_environment() | {"JPY_SESSION_NAME": str(notebook)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", environment["JUPYTER_PATH"])
        client = NotebookClient(nbformat.read(notebook, as_version=4), kernel_name="python3")

        def run(source):
            cell = v4.new_code_cell(source)
            client.nb.cells.append(cell)
            with contextlib.suppress(CellExecutionError):
                client.execute_cell(cell, len(client.nb.cells) - 1)
            return cell.outputs

        with client.setup_kernel(env=environment):
            yield run


def test_a_real_kernel_says_which_cell_to_run(run_cell):
    (error,) = run_cell("print(batches)")
    assert (error.ename, error.traceback) == ("NameError", [SENTENCE])
    run_cell("def double(x):\n    return factor * x")
    assert "(code cell 5)" in run_cell("double(1)")[0].traceback[0]
    assert run_cell("batches = 3\nprint(batches)")[0].text == "3\n"
    (shown,) = run_cell("[name for name in ('names', 'workshop', 'json') if name in globals()]")
    assert shown.data["text/plain"] == "[]"  # nothing is left behind


@pytest.mark.parametrize(
    "source",
    [
        "pritn(1)",  # a slip of the keys
        "import string\nstring.Template('$x').substitute()",  # another error
        "factor = 2\nexec('def f(): return factor', mine := {})\nmine['f']()",  # as in a module
    ],
)
def test_other_errors_keep_their_traceback(run_cell, source):
    error = run_cell(source)[-1]
    assert any("Traceback" in line for line in error.traceback)


# The doctor


def test_this_machine_is_ready(home, capsys):
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("```\n[OK]") and printed.endswith("Ready: nothing failed.\n")
    assert printed.count("\n[") == len(doctor.CHECKS)


def test_a_block_for_asking_help_holds_no_name(home, monkeypatch, capsys):
    monkeypatch.setattr(Path, "home", lambda: Path("/there/ada"))
    monkeypatch.setenv("WORKSHOP_MIRROR", "http://ada:secret@10.0.0.1:8080")
    monkeypatch.setattr(doctor, "home", lambda: Path("/elsewhere/ada/course"))
    monkeypatch.setattr(doctor, "CHECKS", {"Bad": lambda: doctor.Check("FAIL", "/there/ada/x", "")})
    assert main(["doctor", "--paste"]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("```\n[FAIL] Bad: /there/…/x\nSettings: ")
    assert "WORKSHOP_MIRROR=http://10.0.0.1" in printed and "secret" not in printed
    assert "Folder: /elsewhere/…/course" in printed and "/ada/" not in printed
    assert doctor.verdict(doctor.examine()).startswith("Not ready yet: Bad.")


def test_a_file_that_hides_a_package_is_named_and_what_it_breaks_is_not(home, monkeypatch):
    (home / "workbook").mkdir()
    for name in ("torch", "random", "my", "data"):
        (home / "workbook" / f"{name}.py").touch()
    monkeypatch.setitem(sys.modules, "psutil", None)
    machine, files = map(str, doctor.examine())
    assert "Machine: does not work: ModuleNotFoundError" in machine and "-r req" in machine
    assert "[FAIL] File names: workbook/random.py, workbook/torch.py: taken" in files


Memory, Disk = namedtuple("Memory", "total"), namedtuple("Disk", "free")


def set_version(patch, *versions):
    found = [SimpleNamespace(version=version) for version in versions]
    patch.setattr("importlib.metadata.distributions", lambda name: found)


def set_card(patch, version):
    patch.setattr("torch.version.cuda", version)
    patch.setattr("subprocess.getoutput", lambda command, errors: "GPU 0: NVIDIA T4 (UUID: x)")


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("Machine", lambda p: p.setattr("sys.version_info", (3, 10, 1)), "Install Python 3.11.4"),
        ("Machine", lambda p: p.setattr("psutil.virtual_memory", lambda: Memory(3e9)), "Close"),
        ("Folders", lambda p: p.setattr("shutil.disk_usage", lambda _: Disk(1e8)), "Free at least"),
        ("Folders", lambda p: p.setenv("WORKSHOP_HOME", "/proc/x"), "Set WORKSHOP_HOME"),
        ("Packages", lambda p: set_version(p), "torch (missing)"),
        ("Packages", lambda p: set_version(p, "0.1"), "torch (0.1)"),
        ("PyTorch", lambda p: p.setattr("torchvision.ops.nms", None), "torch torchvision"),
        ("OpenCV", lambda p: p.setitem(sys.modules, "cv2", None), "opencv-python-headless"),
        ("Device", lambda p: set_card(p, None), "torchvision --index-url ADDRESS"),
        ("Device", lambda p: set_card(p, "13.0"), "does not see the NVIDIA card"),
        ("Device", lambda p: p.setattr("helpers.training.best_device", lambda: "xpu"), "not work"),
        ("DataLoader workers", lambda p: p.setattr("torch.arange", None), "[WARN]"),
    ],
)
def test_what_is_scarce_or_does_not_fit_warns(home, monkeypatch, name, change, said):
    monkeypatch.setattr(doctor, "CHECKS", {name: doctor.CHECKS[name]})
    with monkeypatch.context() as patch:
        change(patch)
        (found,) = doctor.examine()
    assert found.status != "OK" and said in str(found)


# The command line


def test_errors_on_the_command_line_are_sentences(home, monkeypatch, capsys):
    monkeypatch.setattr("workshop.fetch.sample_folder", lambda facts: home.read_text())  # a folder
    monkeypatch.setitem(sys.modules, "workshop.mirror", None)
    monkeypatch.delattr("workshop.mirror", raising=False)  # another test may have imported it
    assert main(["samples"]) == main(["mirror", "."]) == main(["run", "--only", "77"]) == 1
    printed = capsys.readouterr().err
    assert "Traceback" not in printed and "python -m workshop doctor" in printed
    assert "No notebook starts with '77'. The steps are 01, 02, " in printed
    with pytest.raises(SystemExit):
        main([])


def test_pictures_are_answered_one_a_line(monkeypatch, capsys, home):
    class Predictor:
        def __init__(self, run):
            print(f"Looking at {run}")

        def ask(self, picture):
            return SimpleNamespace(refusal="" if picture == "good.png" else "no picture")

    monkeypatch.setattr("helpers.serve.Predictor", Predictor)
    assert main(["predict", "--run", "runs/a/b", "good.png"]) == 0
    assert main(["predict", "good.png", "bad.txt"]) == 1
    said = capsys.readouterr()
    assert [line.split(":")[0] for line in said.out.splitlines()] == ["good.png"] * 2 + ["bad.txt"]
    assert said.err == "Looking at runs/a/b\nLooking at runs/aoi/lenet\n"

"""Cells run out of order: a sentence that says which cell to run, from a real kernel."""

import contextlib
import os
from pathlib import Path

import nbformat
import pytest
from conftest import REPOSITORY, run_python
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import v4

from helpers import missing

CELLS = [
    v4.new_markdown_cell("# 01 T\n\ntext"),
    v4.new_code_cell("import math as maths"),
    v4.new_markdown_cell("## A look at the first batch"),
    v4.new_code_cell("%matplotlib inline\nfor train_batches, (a, b) in []:\n    pass"),
    v4.new_code_cell("def double(x):\n    return factor * x"),
    v4.new_code_cell("print(train_batches)"),
    v4.new_markdown_cell("## Later"),
    v4.new_code_cell("factor = 2"),
    v4.new_code_cell("this is no Python"),
]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    file = tmp_path_factory.mktemp("missing") / "Größe.ipynb"
    nbformat.write(v4.new_notebook(cells=CELLS), file)
    return file


def only_line(source):
    return source.replace("%matplotlib inline\n", "")


def test_the_cell_that_makes_the_name_is_named(notebook):
    assert missing.advice("train_batches", notebook, "print(train_batches)", only_line) == (
        "`train_batches` is not there yet.\nIt is made in the cell under "
        "'A look at the first batch' (code cell 2).\n"
        "Run that cell first, or all of them: Run > Run All Above Selected Cell."
    )
    assert "'01 T' (code cell 1)" in missing.advice("maths", notebook)
    assert "(code cell 2)" in missing.advice("b", notebook, "an edited cell", only_line)
    assert "(code cell 3)" in missing.advice("double", notebook)


def test_a_cell_further_down_is_called_so(notebook):
    sentence = missing.advice("factor", notebook, "print(train_batches)")
    assert "further down, in the cell under 'Later' (code cell 5)" in sentence
    assert "Above" not in sentence


def test_the_nearest_cell_above_is_meant(tmp_path):
    cells = [v4.new_code_cell(f"x = {number}") for number in range(3)]
    cells.insert(2, v4.new_code_cell("print(x)"))
    nbformat.write(v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    assert "(code cell 2)" in missing.advice("x", tmp_path / "a.ipynb", "print(x)")


@pytest.mark.parametrize("name", ["pritn", "x", "this"])
def test_there_is_no_advice_where_no_other_cell_makes_it(notebook, name):
    assert missing.advice(name, notebook) is None


def test_there_is_no_advice_for_a_cell_about_itself(notebook):
    assert missing.advice("factor", notebook, "factor = 2\n") is None


def test_there_is_no_advice_without_the_file(tmp_path):
    assert missing.advice("x", tmp_path / "gone.ipynb") is None
    (tmp_path / "a.ipynb").write_text("{")
    assert missing.advice("x", tmp_path / "a.ipynb") is None


@pytest.fixture(scope="module")
def run_cell(notebook):
    """Run code in a kernel as `lab` starts it, one for all tests; return the outputs."""
    client = NotebookClient(nbformat.read(notebook, as_version=4), kernel_name="python3")
    environment = os.environ | {
        "PYTHONSTARTUP": str(REPOSITORY / "helpers" / "startup.py"),
        "JPY_SESSION_NAME": str(notebook),
    }

    def run(source):
        cell = v4.new_code_cell(source)
        client.nb.cells.append(cell)
        with contextlib.suppress(CellExecutionError):
            client.execute_cell(cell, len(client.nb.cells) - 1)
        return cell.outputs

    with client.setup_kernel(env=environment):
        yield run


def test_a_real_kernel_says_which_cell_to_run(run_cell):
    (error,) = run_cell("print(train_batches)")
    assert error.output_type == "error" and error.ename == "NameError"
    assert error.traceback == [
        "`train_batches` is not there yet.\nIt is made in the cell under "
        "'A look at the first batch' (code cell 2).\n"
        "Run that cell first, or all of them: Run > Run All Above Selected Cell."
    ]
    assert run_cell("def double(x):\n    return factor * x") == []
    (error,) = run_cell("double(1)")
    assert "further down" not in error.traceback[0] and "(code cell 5)" in error.traceback[0]
    assert run_cell("train_batches = 3") == []
    assert run_cell("print(train_batches)")[0].text == "3\n"


@pytest.mark.parametrize(
    "source",
    [
        "pritn(1)",  # a slip of the keys
        "import string\nstring.Template('$x').substitute()",  # another error
        "def f():\n    factor += 1\nf()",  # UnboundLocalError: about a function, not about order
        "exec('factor', {})",  # not this notebook's names
    ],
)
def test_other_errors_keep_their_traceback(run_cell, source):
    error = run_cell(source)[-1]
    assert error.output_type == "error"
    assert any("Traceback" in line for line in error.traceback)


def test_nothing_is_left_in_the_kernel(run_cell):
    (output,) = run_cell("'watch' in globals() or 'helpers' in globals()")
    assert output.data["text/plain"] == "False"


def test_outside_a_kernel_the_startup_file_is_silent(tmp_path):
    code = f"exec(open({str(REPOSITORY / 'helpers' / 'startup.py')!r}).read())\nprint(dir())"
    result = run_python(code, JPY_SESSION_NAME="x")
    assert "watch" not in result.stdout and result.stderr == ""
    away = f"import sys\nsys.modules['helpers'] = None\n{code}"
    assert run_python(away, cwd=Path(tmp_path)).stderr == ""

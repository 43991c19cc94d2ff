"""The rules for notebooks, and the rules tried on notebooks that break them."""

import copy
import itertools

import nbformat
import notebook_rules
import pytest
from conftest import REPOSITORY
from nbformat import v4

from helpers.slides import with_slides

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))

HEADER = "# 01 T\n**You will be able to** | **Minutes** | 0 | **Needs** **Leaves**"
LAST = "## Check yourself\n## Key points\n- a\n- b\n- c"


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_the_notebook_keeps_the_rules(file):
    assert notebook_rules.faults(file) == []


def test_the_steps_are_numbered_without_a_gap():
    assert len(NOTEBOOKS) >= 9
    assert [int(file.name[:2]) for file in NOTEBOOKS] == list(range(1, len(NOTEBOOKS) + 1))


def good():
    output = v4.new_output("stream", text="1\n")
    code = v4.new_code_cell("print(1)", execution_count=1, outputs=[output])
    cells = [v4.new_markdown_cell(HEADER), code, v4.new_markdown_cell(LAST)]
    return with_slides(v4.new_notebook(cells=cells))


def check(tmp_path, notebook):
    file = tmp_path / "01_t.ipynb"
    nbformat.write(notebook, file)
    return notebook_rules.faults(file)


def test_each_step_names_the_next():
    for step, following in itertools.pairwise(NOTEBOOKS):
        first, last = (nbformat.read(file, 4).cells for file in (following, step))
        title = first[0].source.splitlines()[0].removeprefix("# ")
        assert f"[{title}]({following.name})" in last[-1].source.partition("Next: ")[2], step.name


def test_a_good_notebook_has_no_faults(tmp_path):
    assert check(tmp_path, good()) == []


def change(action):
    notebook = copy.deepcopy(good())
    action(notebook.cells)
    return notebook


def stderr(cells):
    cells[1].outputs.append(v4.new_output("stream", name="stderr", text="warning"))


def blind(cells):
    data, told = {"image/png": ""}, {"image/png": {"alt": "A chart."}}
    cells[1].outputs.append(v4.new_output("display_data", data=data, metadata=told))


@pytest.mark.parametrize(
    ("action", "fault"),
    [
        (lambda cells: cells[1].update(execution_count=None), "execution counts"),
        (lambda cells: cells[1].update(execution_count=2), "execution counts"),
        (lambda cells: cells.pop(1), "execution counts"),
        (lambda cells: cells[1].update(outputs=[]), "prints or draws, but has no output"),
        (lambda cells: cells[1].update(outputs=[]), "nothing can be compared"),
        (lambda cells: cells[1].outputs.append(v4.new_output("error")), "an error"),
        (stderr, "stderr"),
        (lambda cells: cells[0].metadata.pop("slideshow"), "no slide type"),
        (blind, "has no alternative text"),
        (lambda cells: cells[1].outputs[0].update(text="/home/me/a"), "path of the machine"),
        (lambda cells: cells.pop(0), "first cell must be the header"),
        (lambda cells: cells[0].update(source="# 02 T"), "header '# 01"),
        (lambda cells: cells[0].update(source="# 01 T"), "no **Needs**"),
        (lambda cells: cells[0].update(source=HEADER.replace("0", "5")), "must say 0 minutes"),
        (lambda cells: cells.pop(-1), "Key points"),
        (lambda cells: cells[-1].update(source=LAST[:-4]), "three points"),
        (lambda cells: cells[-1].update(source=LAST + "\n[n](02_u.ipynb)"), "leads nowhere"),
        (lambda cells: cells[1].update(source="x = 1\n" * 19), "longer than 18 lines"),
        (lambda cells: cells[0].update(source=HEADER + "![](a.png)"), "alternative text"),
        (lambda cells: cells[0].update(source=HEADER + "<img src='a'>"), "alternative text"),
        (lambda cells: cells[1].update(source="# NBVAL_SKIP"), "use a tag"),
        (lambda cells: cells[1].metadata.update(tags=["nbval-skip"]), "has no 'reason'"),
        (lambda cells: cells[1].outputs[0].update(text="x" * 1_600_000), "larger than"),
    ],
)
def test_each_broken_rule_is_found(tmp_path, action, fault):
    found = check(tmp_path, change(action))
    assert any(fault in sentence for sentence in found), found


def test_a_cell_without_a_slide_type_is_found():
    cells = good().cells
    assert list(notebook_rules._slides(cells)) == []
    cells[1].metadata.slideshow.slide_type = "page"
    del cells[2].metadata["slideshow"]
    assert [fault[:6] for fault in notebook_rules._slides(cells)] == ["cell 2", "cell 3"]


def test_a_file_that_is_no_notebook_is_found(tmp_path):
    file = tmp_path / "01_t.ipynb"
    file.write_text("{")
    assert "cannot be read" in notebook_rules.faults(file)[0]


def test_ignored_outputs_are_few():
    cells = [c for file in NOTEBOOKS for c in nbformat.read(file, as_version=4).cells]
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert sum(map(notebook_rules.ignored, code)) / len(code) < 0.03

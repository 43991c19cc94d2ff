"""The rules for notebooks, and the rules tried on notebooks that break them."""

import itertools

import nbformat
import notebook_rules
import pytest
from conftest import REPOSITORY
from nbformat import v4

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
HEADER = "# 01 T\n**You will be able to** | **Minutes** | 0 | **Needs** **Leaves**"
LAST = "## Check yourself\n## Key points\n- a\n- b\n- c"


def test_the_notebooks_keep_the_rules():
    found = {file.name: notebook_rules.faults(file) for file in NOTEBOOKS}
    assert found and not any(found.values()), {name: said for name, said in found.items() if said}


def test_each_step_names_the_next():
    assert [int(file.name[:2]) for file in NOTEBOOKS] == list(range(1, len(NOTEBOOKS) + 1))
    for step, following in itertools.pairwise(NOTEBOOKS):
        first, last = (nbformat.read(file, 4).cells for file in (following, step))
        title = first[0].source.splitlines()[0].removeprefix("# ")
        assert f"[{title}]({following.name})" in last[-1].source.partition("Next: ")[2], step.name


def test_ignored_outputs_are_few():
    cells = [c for file in NOTEBOOKS for c in nbformat.read(file, as_version=4).cells]
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert sum(map(notebook_rules.ignored, code)) / len(code) < 0.12


def output(kind="stream", **content):
    return lambda cells: cells[1].outputs.append(v4.new_output(kind, **content))


def title(source):
    return lambda cells: cells[0].update(source=source)


def last(source):
    return lambda cells: cells[-1].update(source=source)


@pytest.mark.parametrize(
    ("action", "fault"),
    [
        (lambda cells: None, None),  # a good one
        (lambda cells: cells[1].update(execution_count=2), "execution counts"),
        (lambda cells: cells[1].update(outputs=[]), "prints or draws, but has no output"),
        (lambda cells: cells[1].update(outputs=[]), "nothing can be compared"),
        (output("error"), "an error"),
        (output(name="stderr", text="warning"), "stderr"),
        (output(text="/home/me/a"), "path of the machine"),
        (output("display_data", data={"image/png": ""}), "has no alternative text"),
        (lambda cells: cells.pop(0), "first cell must be the header"),
        (title("# 02 T"), "header '# 01"),
        (title("# 01 T"), "no **Needs**"),
        (title(HEADER.replace("0", "5")), "must say 0 minutes"),
        (title(HEADER + "![](a.png)"), "alternative text"),
        (title(HEADER + "<img src='a'>"), "alternative text"),
        (lambda cells: cells.pop(-1), "Key points"),
        (last(LAST[:-4]), "three points"),
        (last(LAST + "\n[n](02_u.ipynb)"), "leads nowhere"),
        (last(LAST.replace("Check", "Ask")), "no '## Check yourself'"),
        (lambda cells: cells[1].update(source="x = 1\n" * 19), "longer than 18 lines"),
        (lambda cells: cells[1].update(source="# NBVAL_SKIP"), "use a tag"),
        (lambda cells: cells[1].metadata.update(tags=["nbval-skip"]), "has no 'reason'"),
        (output(text="x" * 1_600_000), "larger than"),
    ],
)
def test_each_broken_rule_is_found(tmp_path, action, fault):
    shown = v4.new_output("stream", text="1\n")
    code = v4.new_code_cell("print(1)", execution_count=1, outputs=[shown])
    cells = [v4.new_markdown_cell(HEADER), code, v4.new_markdown_cell(LAST)]
    action(cells)
    file = tmp_path / "01_t.ipynb"
    nbformat.write(v4.new_notebook(cells=cells), file)
    found = notebook_rules.faults(file)
    assert any(fault in sentence for sentence in found) if fault else found == []


def test_a_file_that_is_no_notebook_is_found(tmp_path):
    (tmp_path / "01_t.ipynb").write_text("{")
    assert "cannot be read" in notebook_rules.faults(tmp_path / "01_t.ipynb")[0]

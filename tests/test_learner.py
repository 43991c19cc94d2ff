"""The attendee's copies: what is cut, and what is never overwritten."""

import learner_copies
import nbformat
import pytest
from conftest import REPOSITORY
from nbformat import v4

from helpers import __main__, feedback
from helpers.learner import cut, learner

FILES = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
SOURCE = f"""def double(x):
    # twice
    {feedback.BEGIN}
    y = 2 * x
    return y
    {feedback.END}"""


@pytest.fixture
def complete(tmp_path):
    """A complete notebook with one exercise, and the folder for the copies."""
    file = tmp_path / "complete" / "03_x.ipynb"
    file.parent.mkdir()
    output = v4.new_output("stream", text="1")
    cells = [
        v4.new_markdown_cell("# 03"),
        v4.new_code_cell(SOURCE, execution_count=1, outputs=[output]),
    ]
    nbformat.write(v4.new_notebook(cells=cells), file)
    return file, tmp_path / "copies"


def change(file, source="mine"):
    notebook = nbformat.read(file, as_version=4)
    notebook.cells[1].source = source
    nbformat.write(notebook, file)


def test_the_solution_is_gone_and_the_rest_is_there(complete):
    file, folder = complete
    assert learner([file], folder)["new"] == ["03_x.ipynb"]
    _, cell = nbformat.read(folder / file.name, as_version=4).cells
    assert cell.source == f"def double(x):\n    # twice\n    {feedback.STUB}"
    assert cell.outputs == [] and cell.execution_count is None


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_copy_is_its_source_minus_the_solutions(file):
    source, copied = nbformat.read(file, as_version=4), cut(nbformat.read(file, as_version=4))
    assert len(source.cells) == len(copied.cells)
    for ours, theirs in zip(source.cells, copied.cells, strict=True):
        assert (ours.cell_type, ours.id) == (theirs.cell_type, theirs.id)
        *parts, rest = ours.source.split(feedback.BEGIN)
        expected = "".join(f"{part}{feedback.STUB}" for part in _after_ends(parts)) + _after(rest)
        assert theirs.source == expected if parts else theirs.source == ours.source
        assert not theirs.get("outputs") and "SOLUTION" not in theirs.source


def _after(text):
    return text.split(feedback.END)[-1] if feedback.END in text else text


def _after_ends(parts):
    return [_after(part) for part in parts]


@pytest.mark.parametrize("source", [SOURCE.replace(feedback.END, ""), SOURCE + f"\n{feedback.END}"])
def test_a_marker_without_a_partner_is_an_error(source):
    with pytest.raises(ValueError, match="has no partner"):
        cut(v4.new_notebook(cells=[v4.new_code_cell(source)]))


def test_changed_work_is_never_overwritten(complete):
    file, folder = complete
    learner([file], folder)
    change(folder / file.name)
    before = (folder / file.name).read_bytes()
    assert learner([file], folder)["kept"] == ["03_x.ipynb"]
    assert (folder / file.name).read_bytes() == before


def test_an_executed_copy_that_is_otherwise_untouched_is_left_alone(complete):
    file, folder = complete
    learner([file], folder)
    notebook = nbformat.read(folder / file.name, as_version=4)
    notebook.cells[1].outputs = [v4.new_output("stream", text="2")]
    nbformat.write(notebook, folder / file.name)
    before = (folder / file.name).read_bytes()
    assert not any(learner([file], folder).values())
    assert (folder / file.name).read_bytes() == before


def test_an_untouched_copy_follows_its_source(complete):
    file, folder = complete
    learner([file], folder)
    change(file, SOURCE.replace("# twice", "# two times"))
    assert learner([file], folder)["updated"] == ["03_x.ipynb"]
    assert "# two times" in (folder / file.name).read_text()


@pytest.mark.parametrize("text", ["", "no notebook", "[]", "{}"])
def test_what_is_no_notebook_any_more_is_kept_too(complete, text):
    file, folder = complete
    learner([file], folder)
    (folder / file.name).write_text(text)
    assert learner([file], folder)["kept"] == ["03_x.ipynb"]
    assert (folder / file.name).read_text() == text


def test_a_fresh_copy_keeps_the_old_one_beside_it(complete, monkeypatch, capsys):
    file, folder = complete
    monkeypatch.setattr("helpers.workbook.NOTEBOOKS", file.parent)
    assert __main__.main(["learner", str(folder)]) == 0
    change(folder / file.name)
    assert __main__.main(["learner", str(folder)]) == 0
    assert "Left alone, because you changed them: 03_x.ipynb" in capsys.readouterr().out
    assert __main__.main(["learner", str(folder), "--fresh"]) == 0
    (old,) = [one for one in folder.iterdir() if one.name != file.name]
    assert old.name in capsys.readouterr().out
    assert nbformat.read(old, as_version=4).cells[1].source == "mine"
    assert feedback.STUB in (folder / file.name).read_text().replace('\\"', '"')


def test_a_folder_that_cannot_be_written_is_a_sentence(complete, monkeypatch, capsys):
    file, folder = complete
    monkeypatch.setattr("helpers.workbook.NOTEBOOKS", file.parent)
    folder.write_text("a file in its place")
    assert __main__.main(["learner", str(folder)]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_without_an_argument_every_copy_is_executed(home, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(learner_copies, "attempt", lambda file, copy: (1.0, seen.append(file)))
    assert learner_copies.main() == 0 and seen == FILES
    assert learner_copies.main("03") == 0 and len(seen) == 16
    monkeypatch.setattr(learner_copies, "attempt", lambda file, copy: (1.0, "a cell failed"))
    assert learner_copies.main("03") == 1 and "FAILED" in capsys.readouterr().out

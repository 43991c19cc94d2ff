import nbformat
import pytest
from nbformat import v4

from helpers import __main__, pages, workbook


@pytest.fixture
def notebook(home, tmp_path, monkeypatch):
    """The only notebook: its file."""
    (tmp_path / "notebooks" / "images").mkdir(parents=True)
    monkeypatch.setattr(workbook, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(pages, "NOTEBOOKS", tmp_path / "notebooks")
    return tmp_path / "notebooks" / "01_t.ipynb"


def write(notebook, text="", output="stored"):
    shown = v4.new_output("stream", text=f"{output}\n")
    bar = v4.new_output("display_data", data={workbook.WIDGET: {}, "text/plain": "0%| |"})
    code = v4.new_code_cell("1 / 0", execution_count=1, outputs=[shown, bar])
    header = f"# 01 T\n\n| | |\n| --- | --- |\n| **You will be able to** | see `it` |\n\n{text}"
    cells = [v4.new_markdown_cell(header), code]
    language = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    nbformat.write(v4.new_notebook(cells=cells, metadata=language), notebook)


def test_the_site_shows_the_stored_outputs(notebook, home):
    pytest.importorskip("jupyter_book")
    write(notebook, output="the first time")
    pages.site()
    write(notebook, output="the second time")
    first = pages.site()
    assert first == home / "build" / "site" / "index.html" and first.is_file()
    page = (first.parent / "01_t.html").read_text(encoding="utf-8")
    assert (
        "the second time" in page
        and "ZeroDivisionError" not in page
        and "vnd.jupyter.widget" not in page
    )
    assert "see <code" in first.read_text(encoding="utf-8")
    assert [path.name for path in (home / "build").iterdir()] == ["site"]


def test_a_link_that_leads_nowhere_is_named(notebook, home, capsys):
    pytest.importorskip("jupyter_book")
    write(notebook)
    pages.site()
    write(notebook, "[b](02_gone.ipynb)")
    assert __main__.main(["site"]) == 1
    said = capsys.readouterr().err
    assert "could not build the site" in said and "02_gone.ipynb" in said
    assert "Traceback" not in said and len(said.splitlines()) == 2
    assert (home / "build" / "site" / "index.html").is_file()  # the last good one


def test_without_jupyter_book_it_says_how_to_get_it(notebook, monkeypatch, capsys):
    monkeypatch.setattr(pages.importlib.util, "find_spec", lambda name: None)
    assert __main__.main(["site"]) == 1
    assert capsys.readouterr().err == (
        'jupyter-book is not installed. Run: python -m pip install -e ".[site]"\n'
    )

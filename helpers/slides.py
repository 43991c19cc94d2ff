"""Slides: which cell of a notebook begins one, for jupyterlab-rise in `lab --present`."""

import copy
import re

import nbformat

KINDS = ("slide", "subslide", "fragment", "skip", "notes", "-")
PICTURES = {"image/png", "image/jpeg", "image/svg+xml"}
STYLE = """\
:root {
  --jp-content-font-size1: 20px !important;
  --jp-code-font-size: 18px !important;
}
.reveal .jp-OutputArea-output pre { font-size: 17px; }
.reveal h1, .reveal h2, .reveal h3 { text-transform: none; }
.reveal .jp-RenderedHTMLCommon h1 { font-size: 44px; margin: 0 0 16px; }
.reveal .jp-RenderedHTMLCommon h2 { font-size: 34px; margin: 0 0 12px; }
.reveal .jp-RenderedHTMLCommon table { font-size: 18px; margin-left: 0; }
"""
SHORT = 4  # lines: such a cell stays with the one above, for example the check of an exercise
MOST_LINES = 18  # of code and text, in letters that the back of the room can read


def with_slides(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a copy in which every cell has a slide type.

    A heading begins a slide. What no longer fits goes on in a subslide (the arrow down), but code
    stays with the text before it. A cell that has a slide type keeps it.

    Parameters
    ----------
    notebook : NotebookNode
        With its outputs: a picture takes most of a slide.

    Returns
    -------
    NotebookNode
        With `metadata.slideshow.slide_type` in every cell.
    """
    notebook = copy.deepcopy(notebook)
    lines, text_before = 0, False  # on the slide so far
    for cell, following in zip(notebook.cells, [*notebook.cells[1:], None], strict=True):
        is_text = cell.cell_type == "markdown"
        needed = _lines(cell)
        if is_text and following is not None and following.cell_type == "code":
            needed += _lines(following)
        kind = cell.metadata.get("slideshow", {}).get("slide_type")
        if kind not in KINDS:
            kind = "-"
            if is_text and re.search(r"^##? ", cell.source, flags=re.M):
                kind = "slide"
            elif lines + needed > MOST_LINES and (is_text or not (text_before or needed <= SHORT)):
                kind = "subslide"
            cell.metadata["slideshow"] = {"slide_type": kind}
        lines = _lines(cell) + (0 if kind in ("slide", "subslide") else lines)
        text_before = is_text
    return notebook


def _lines(cell: nbformat.NotebookNode) -> int:
    """Return about how many lines a cell takes on the screen."""
    height = sum(1 + len(line) // 90 for line in cell.source.splitlines() if line.strip())
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        text = str(output.get("text", "" if PICTURES & set(data) else data.get("text/plain", "")))
        height += 10 if PICTURES & set(data) else len(text.splitlines())
    return height

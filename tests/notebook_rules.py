"""The rules a committed notebook keeps. For pre-commit: python tests/notebook_rules.py FILE …"""

import re
import sys
from pathlib import Path

import nbformat

HEADER = ("**You will be able to**", "**Minutes**", "**Needs**", "**Leaves**")
MOST_LINES = 18  # in a code cell
MOST_BYTES = 1_500_000
TAGS = {"nbval-ignore-output", "nbval-skip", "nbval-raises-exception"}
MACHINE_PATH = r"(/home/|/Users/|/root/|/tmp/|[A-Z]:\\\\)"


def minutes(*notebooks: nbformat.NotebookNode) -> int:
    """Return how long it takes to read and do these steps: what their headers say.

    The rule: 120 words a minute (an address is none), 8 lines of code a minute (but not those of a
    solution: you write them), half a minute for a figure, 7 minutes for an exercise, and one for
    the machine; to the nearest 5.
    `python -m workshop run` measures the machine's part.
    """
    cells = [cell for notebook in notebooks for cell in notebook.cells]
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    text = [cell.source for cell in cells if cell.cell_type == "markdown"]
    words = sum(len(re.findall(r"\w+", re.sub(r"\]\(.*?\)", "]", source))) for source in text)
    given = [re.sub(r"### BEGIN SOLUTION.*?### END SOLUTION", "", one, flags=re.S) for one in code]
    lines = sum(len(re.findall(r"^\s*\S", source, flags=re.M)) for source in given)
    figures = sum(bool(re.search(r"^\s*(show_|plt\.show)", source, flags=re.M)) for source in code)
    exercises = sum(len(re.findall(r"^\w+ = checks\.", source, flags=re.M)) for source in code)
    needed = words / 120 + lines / 8 + figures / 2 + 7 * exercises + len(notebooks)
    return 5 * round(needed / 5)


def faults(file):
    """Return one sentence for each rule that the notebook breaks."""
    try:
        notebook = nbformat.read(file, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:
        return [f"it cannot be read: {type(error).__name__}"]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    text = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return [*_text(file, notebook, text), *_execution(code), *_cells(file, code)]


def _text(file, notebook, text):
    first, last = notebook.cells[0].source, notebook.cells[-1].source
    if not first.startswith(f"# {file.name[:2]} "):
        yield f"the first cell must be the header '# {file.name[:2]} …'"
    if f"| **Minutes** | {minutes(notebook)} |" not in first:
        yield f"the header must say {minutes(notebook)} minutes: see tests/notebook_rules.py"
    yield from (f"the header has no {part}" for part in HEADER if part not in first)
    if "## Key points" not in last or len(re.findall(r"^- ", last, flags=re.M)) != 3:
        yield "the last cell must hold '## Key points' with three points"
    if "## Check yourself" not in "".join(text):
        yield "there is no '## Check yourself'"
    for link in re.findall(r"\]\(([^)#:]+\.ipynb)\)", last):
        if not (file.parent / link).is_file():
            yield f"the link to {link} leads nowhere"
    if any("![](" in one or re.search(r"<img(?![^>]*\balt=.\w)", one) for one in text):
        yield "a picture has no alternative text"


def _execution(code):
    if not code or [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        yield f"execution counts are not 1 to {len(code)}: execute it from top to bottom"
    outputs = [output for cell in code for output in cell.outputs]
    if any(output.output_type == "error" for output in outputs):
        yield "a stored output is an error"
    if any(output.get("name") == "stderr" for output in outputs):
        yield "a cell writes to stderr"
    if not outputs:
        yield "no cell has an output: nothing can be compared"
    if any(re.search(MACHINE_PATH, str(output.get("text", ""))) for output in outputs):
        yield "an output names a path of the machine it ran on"


def _cells(file, code):
    if file.stat().st_size > MOST_BYTES:
        yield f"it is larger than {MOST_BYTES / 1e6} MB"
    for number, cell in enumerate(code, start=1):
        if sum("### " not in line for line in cell.source.splitlines()) > MOST_LINES:
            yield f"code cell {number} is longer than {MOST_LINES} lines"
        shows = re.search(r"^(print|show_\w+|plt\.show)\(", cell.source, flags=re.M)
        if shows and not cell.outputs:
            yield f"code cell {number} prints or draws, but has no output"
        for output in cell.outputs:
            for kind in {"image/png", "image/jpeg"} & set(output.get("data", {})):
                if len(output.metadata.get(kind, {}).get("alt", "").split()) < 4:
                    yield f"the picture of code cell {number} has no alternative text"
        if "NBVAL_" in cell.source:
            yield f"code cell {number} is marked by a comment: use a tag, which learners do not see"
        if ignored(cell) and not cell.metadata.get("reason"):
            yield f"code cell {number} is not compared, and its metadata has no 'reason'"


def ignored(cell):
    """Return whether nbval does not compare the outputs of the cell."""
    return bool(TAGS & set(cell.metadata.get("tags", [])))


if __name__ == "__main__":
    found = [f"{file}: {fault}" for file in sys.argv[1:] for fault in faults(Path(file))]
    print("\n".join(found))
    sys.exit(bool(found))

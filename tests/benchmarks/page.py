"""The figures as a table in the README, between two marks."""

import json
from pathlib import Path

from helpers.catalog import REPOSITORY
from helpers.files import split_at_marks, whole_file

from .harness import Line, from_dict, table

FIGURES = Path(__file__).with_name("figures.json")
README = REPOSITORY / "README.md"
MARKS = ("<!-- figures: written by tests.benchmarks -->", "<!-- end of figures -->")


def lines_of(report: dict) -> list[Line]:
    """Return the lines of a report, in the order of its rows."""
    return [from_dict(line) for lines in report["rows"].values() for line in lines]


def told(report: dict) -> str:
    """Return a report as Markdown: the machine, and the table."""
    machine = report["machine"]
    return (
        f"Measured on {machine['cpu']}, cores used: {machine['cores']}, "
        f"with torch {machine['torch']}; {machine['state']}.\n\n{table(lines_of(report))}"
    )


def read(file: Path = FIGURES) -> dict:
    """Return the report in a file."""
    return json.loads(file.read_text(encoding="utf-8"))


def with_figures(text: str, report: dict) -> str:
    """Return the README's text with the report between its marks.

    Raises
    ------
    ValueError
        If the marks are gone.
    """
    before, _, after = split_at_marks(text, MARKS, "The README")
    return f"{before}\n{told(report)}\n{after}"


def write() -> None:
    """Put the committed figures into the README."""
    text = with_figures(README.read_text(encoding="utf-8"), read())
    with whole_file(README) as partial:
        partial.write_text(text, encoding="utf-8")

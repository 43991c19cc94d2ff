"""How fast the workshop is, against the same work as beginners' courses write it (`courses`).

`python -m tests.benchmarks` measures `rows`, both ways in turn; `--keep` puts them into the README.
"""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

HEADER = ["work", "data", "the course's way", "ours", "ratio (quartiles)", "goal"]
MARKS = "<!-- figures: written by tests.benchmarks -->", "<!-- end of figures -->"


@dataclass(frozen=True)
class Row:
    """One line of the table; `course` and `ours` hold every measurement, in `unit`."""

    work: str
    data: str
    goal: str
    course: tuple[float, ...] = ()
    ours: tuple[float, ...] = ()
    unit: str = "s"
    ratio: float | None = None  # the least that course / ours may be
    most: float = math.inf  # that ours may be
    met: bool = True  # besides

    def cells(self) -> list[str]:
        """Return the cells of the table: medians, the ratio of the pairs, and the verdict."""
        course, ours = (statistics.median(v) if v else None for v in (self.course, self.ours))
        told, met = "", self.met and ours is not None and ours <= self.most
        if self.ratio is not None and ours is not None:
            ratios = [a / b for a, b in zip(self.course, self.ours, strict=True)]
            several = ratios if len(ratios) > 1 else ratios * 2
            quartiles = statistics.quantiles(several, n=4, method="inclusive")
            low, middle, high = map(short, quartiles)
            told = f"{middle}× ({low}–{high})" if len(ratios) > 1 else f"{middle}×"
            met = met and quartiles[1] >= self.ratio
        verdict = "not measured" if ours is None else "met" if met else "**missed**"
        figures = [
            "–" if value is None else f"{short(value)} {self.unit}" for value in (course, ours)
        ]
        return [self.work, self.data, *figures, told, f"{self.goal}: {verdict}"]


def short(value: float) -> str:
    """Return a number with three digits that count.

    >>> [short(x) for x in (0.01234, 1.234, 12.34, 1234.5)]
    ['0.0123', '1.23', '12.3', '1,234']
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


def seconds(work: Callable[[], object]) -> Callable[[], float]:
    """Return a function that does the work and returns how many seconds it took."""

    def timed() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return timed


def in_turn(course: Callable, ours: Callable, quick: bool, warm_up: bool = True) -> dict:
    """Measure both ways in turn, five times, or three; the warm-up does not count."""
    if warm_up:
        course(), ours()
    pairs = [(course(), ours()) for _ in range(3 if quick else 5)]
    return dict(zip(("course", "ours"), zip(*pairs, strict=True), strict=True))


def table_of(text: str) -> dict[str, list[str]]:
    """Return the table in the README: the cells of each line, by the first."""
    table = text.split(MARKS[0])[1].split(MARKS[1])[0]
    lines = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return {cells[0]: cells for cells in lines[2:]}


def with_table(text: str, about: str, table: dict[str, list[str]]) -> str:
    """Return the README's text with another table, and what it was measured on, in its place."""
    before, after = text.split(MARKS[0])[0], text.split(MARKS[1])[1]
    lines = [HEADER, ["---"] * len(HEADER), *table.values()]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{before}{MARKS[0]}\n{about}\n\n{table}\n{MARKS[1]}{after}"

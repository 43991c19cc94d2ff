"""Measure two ways of doing the same work in turn, and write the ratios into a table."""

import contextlib
import io
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tqdm import tqdm

PAIRS = 5  # at least
HEADER = "| work | data | the course's way | ours | ratio (quartiles) | goal | of the limit |"


@dataclass(frozen=True)
class Spread:
    """The median of several measurements, and the quartiles around it."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        """Return the spread of some values; of one value, that value.

        Examples
        --------
        >>> Spread.of([5.0, 1.0, 3.0, 2.0, 4.0])
        Spread(median=3.0, low=2.0, high=4.0, count=5)
        """
        if len(values) == 1:
            return cls(values[0], values[0], values[0], 1)
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(statistics.median(values), low, high, len(values))


@dataclass(frozen=True)
class Pairs:
    """What was measured of the course's way and of ours, pair by pair."""

    course: list[float]
    ours: list[float]

    def ratios(self) -> Spread:
        """Return how many times as much the course's way took as ours."""
        return Spread.of([a / b for a, b in zip(self.course, self.ours, strict=True)])


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes
    ----------
    work, data, goal : str
        What was done; on which pictures; what was wanted.
    course, ours : float or None
        Medians, in `unit`; None where there is no such way.
    unit : str
        "s", "ms", "MB", "%" and so on.
    ratio : Spread or None
        Course through ours, pair by pair.
    met : bool or None
        Whether the goal was met; None where it could not be measured.
    limit : str
        How far ours is from what the machine can do.
    note : str
        What was done where it is not plain, for the page and the JSON.
    """

    work: str
    data: str
    goal: str
    course: float | None = None
    ours: float | None = None
    unit: str = "s"
    ratio: Spread | None = None
    met: bool | None = None
    limit: str = ""
    note: str = ""

    def cells(self) -> list[str]:
        """Return the cells of the table, without unmeasured figures."""
        ratio = ""
        if self.ratio is not None:
            r = self.ratio
            ratio = f"{short(r.median)}× ({short(r.low)}–{short(r.high)})"
        verdict = {True: "met", False: "**missed**", None: "not measured"}[self.met]
        figures = [self._with_unit(self.course), self._with_unit(self.ours)]
        return [self.work, self.data, *figures, ratio, f"{self.goal}: {verdict}", self.limit]

    def _with_unit(self, value: float | None) -> str:
        return "–" if value is None else f"{short(value)} {self.unit}"


def short(value: float) -> str:
    """Return a number with three digits that count.

    Examples
    --------
    >>> [short(x) for x in (0.01234, 1.234, 12.34, 1234.5)]
    ['0.0123', '1.23', '12.3', '1,234']
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


@dataclass
class Bench:
    """What a row needs to know, and the bar that it moves on.

    Attributes
    ----------
    scratch : Path
        An empty folder.
    quick : bool
        Less work, for a look; the figures say so.
    bar : tqdm
        Counts seconds as they were expected.
    """

    scratch: Path
    quick: bool = False
    bar: tqdm = field(default_factory=lambda: tqdm(disable=True))

    def pairs(
        self,
        course: Callable[[], float],
        ours: Callable[[], float],
        count: int = PAIRS,
        warm_up: bool = True,
    ) -> Pairs:
        """Measure both ways in turn, each at least five times.

        Parameters
        ----------
        course, ours : callable
            Does the work and returns what was measured, see `seconds`.
        count : int
            Pairs.
        warm_up : bool
            Do each once before, without counting it.

        Raises
        ------
        ValueError
            If fewer pairs are asked for than the quartiles need.
        """
        if count < PAIRS:
            raise ValueError(f"{count} pairs were asked for. Expected at least {PAIRS}.")
        if warm_up:
            course(), ours()
        found = Pairs([], [])
        for number in range(count):
            self.bar.set_postfix_str(f"pair {number + 1} of {count}")
            found.course.append(course())
            found.ours.append(ours())
        self.bar.set_postfix_str("")
        return found

    @contextlib.contextmanager
    def silence(self) -> Iterator[None]:
        """Keep what the helpers print, and their bars, out of the way of this one."""
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield


def seconds(work: Callable[[], object]) -> Callable[[], float]:
    """Return a function that does the work and returns how many seconds it took."""

    def timed() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return timed


def compared(
    work: str, data: str, goal: str, pairs: Pairs, at_least: float, scale: float = 1, **more
) -> Line:
    """Return the line of a comparison whose goal is a ratio.

    Parameters
    ----------
    work, data, goal : str
        See `Line`.
    pairs : Pairs
        What was measured.
    at_least : float
        The goal.
    scale : float
        What the measured figures are multiplied with for the table: 1000 for ms.
    **more
        Further fields of `Line`.
    """
    ratio = pairs.ratios()
    course, ours = (scale * Spread.of(values).median for values in (pairs.course, pairs.ours))
    met = more.pop("met", True) and ratio.median >= at_least
    return Line(work, data, goal, course, ours, ratio=ratio, met=met, **more)


def as_dict(line: Line) -> dict:
    """Return a line as plain values for JSON."""
    return asdict(line)


def from_dict(values: dict) -> Line:
    """Return the line that `as_dict` was given."""
    ratio = values["ratio"]
    return Line(**(values | {"ratio": Spread(**ratio) if ratio else None}))


def table(lines: list[Line]) -> str:
    """Return the lines as a Markdown table."""
    bars = "| " + " | ".join(["---"] * (HEADER.count("|") - 1)) + " |"
    return "\n".join([HEADER, bars, *(f"| {' | '.join(line.cells())} |" for line in lines)])

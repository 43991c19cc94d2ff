"""The command line: python -m tests.benchmarks."""

import argparse
import contextlib
import io
import re

from helpers.catalog import REPOSITORY, replace

from . import HEADER, machine, rows

README = REPOSITORY / "README.md"


def main():
    """Measure, print the table and, if asked to, keep it."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two minutes: less work, three pairs")
    parser.add_argument("--only", choices=rows.ROWS, nargs="+", help="the others stay as they are")
    parser.add_argument("--keep", action="store_true", help="put the figures into the README")
    options, about = parser.parse_args(), machine()
    print(about, " | ".join(HEADER), sep="\n")
    # where only some rows are measured, the others were when that line was written
    lines = {} if options.only else {"Measured on ": about}
    for name in options.only or rows.ROWS:
        with contextlib.redirect_stdout(io.StringIO()) as aside, contextlib.redirect_stderr(aside):
            measured = [*rows.ROWS[name](options.quick)]
        for cells in measured:
            lines[f"| {cells[0]} |"] = f"| {' | '.join(cells)} |"
            print(" | ".join(cells), flush=True)
    if options.keep:
        text = README.read_text(encoding="utf-8")
        for beginning, line in lines.items():
            text = re.sub(f"^{re.escape(beginning)}.*", line, text, flags=re.M)
        replace(README, lambda part: part.write_text(text, encoding="utf-8"))


if __name__ == "__main__":
    main()

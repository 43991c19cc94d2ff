"""The table of times in the README; nothing here asserts a time."""

from benchmarks import HEADER, __main__, rows


def test_the_table_in_the_readme_has_every_row_and_a_verdict():
    text = __main__.README.read_text(encoding="utf-8")
    table = text.split(" | ".join(HEADER))[1].split("\n\n")[0].split("<!--")[0].splitlines()[2:]
    assert len(table) >= len(rows.ROWS)
    for line in table:
        cells = line.strip("| ").split(" | ")
        assert len(cells) == len(HEADER) and cells[-1].endswith((" met", "missed**"))

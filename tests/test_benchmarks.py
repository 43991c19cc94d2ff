"""The table of times in the README; nothing here asserts a time."""

from benchmarks import HEADER, __main__, rows, table_of


def test_the_table_in_the_readme_has_every_row_and_a_verdict():
    table = table_of(__main__.README.read_text(encoding="utf-8"))
    assert len(table) >= len(rows.ROWS)
    for cells in table.values():
        assert len(cells) == len(HEADER) and cells[-1].endswith(
            (" met", "not measured", "missed**")
        )

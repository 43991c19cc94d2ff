"""The table in the README, and how figures get into it; nothing here asserts a time."""

from benchmarks import HEADER, Row, __main__, in_turn, rows, table_of


def test_the_table_in_the_readme_has_every_row_and_a_verdict():
    table = table_of(__main__.README.read_text(encoding="utf-8"))
    assert len(table) >= len(rows.ROWS)
    for cells in table.values():
        assert len(cells) == len(HEADER) and cells[-1].endswith(
            (" met", "not measured", "missed**")
        )


def test_figures_are_measured_in_turn_and_kept(tmp_path, monkeypatch, capsys):
    calls = []

    def fake(quick, scratch):
        found = in_turn(lambda: calls.append("a") or 6.0, lambda: calls.append("b") or 2.0, quick)
        yield Row("tiny", "none", "at least 4×", **found, ratio=4)

    readme = tmp_path / "README.md"
    readme.write_text(__main__.README.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(__main__, "README", readme)
    monkeypatch.setattr(rows, "ROWS", {"tiny": fake})
    assert __main__.main(["--quick", "--keep", "--only", "tiny"]) == 0
    assert calls == ["a", "b"] * 4
    cells = ["tiny", "none", "6.00 s", "2.00 s", "3.00× (3.00–3.00)", "at least 4×: **missed**"]
    text = readme.read_text(encoding="utf-8")
    assert table_of(text)["tiny"] == cells and len(table_of(text)) > 1
    assert "## Licence" in text

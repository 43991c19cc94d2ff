"""Step 17: where the solar cells come from, how they are drawn, and the history that it shows."""

import re

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY, write_png
from test_lessons import said

from helpers.data import image_dataset, open_data
from helpers.samples import solar


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The package elpv-dataset with four cells."""
    images = tmp_path / "elpv_dataset" / "data" / "images"
    images.mkdir(parents=True)
    (tmp_path / "elpv_dataset" / "__init__.py").touch()
    lines = []
    for number, chance in enumerate((0, 1 / 3, 2 / 3, 1), start=1):
        write_png(images / f"cell{number:04}.png", np.full((30, 30), 50 * number, np.uint8))
        lines.append(f"images/cell{number:04}.png  {chance:.16f}   {'mono' if chance else 'poly'}")
    (images.parent / "labels.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_the_cells_of_the_package_become_a_csv_data_set(package, home, capsys):
    for _ in range(2):  # the second time it is there
        assert solar.solar_cells() == (home / "data" / "solar_cells", "real")
    assert capsys.readouterr().out == "Solar cells: the real data set\n" * 2
    table = pd.read_csv(home / "data" / "solar_cells" / "labels.csv")
    assert table["Label"].tolist() == [0, 0, 1, 1] and table["kind"][0] == "poly"
    assert table["ID"][3] == "images/cell0004.png"


def test_without_the_package_the_sample_is_used_or_real_is_an_error(home, monkeypatch):
    monkeypatch.setattr(solar, "find_spec", lambda name: None)
    assert solar.solar_cells() == (home / "data" / "drawn_cells", "sample")
    monkeypatch.setenv("WORKSHOP_DATA", "real")
    with pytest.raises(FileNotFoundError, match=r'pip install -e "\.\[solar\]"'):
        solar.solar_cells()


def test_the_sample_goes_before_the_package_if_it_is_asked_for(package, home, monkeypatch):
    monkeypatch.setenv("WORKSHOP_DATA", "sample")
    folder, source = solar.solar_cells()
    assert (folder.name, source) == ("drawn_cells", "sample")
    table = pd.read_csv(folder / "labels.csv")
    assert len(table) == 144 and 0.25 < table["Label"].mean() < 0.4
    assert sorted(table["probability"].round(2).unique()) == [0, 0.33, 0.67, 1]
    data = open_data("drawn_cells")  # like pictures of your own
    assert data.facts.channels == 1 and sum(data.facts.pictures.values()) == 144
    labels = [table["Label"][table["ID"] == f"images/{f.name}"].item() for f, _ in
              image_dataset(data, "train").samples]  # fmt: skip
    assert labels == [label for _, label in image_dataset(data, "train").samples]


def test_the_shipped_history_says_how_it_was_made():
    file = REPOSITORY / "data" / "histories" / "solar-real.csv"
    text = file.read_text(encoding="utf-8")
    assert re.match(r"# \d{4}-\d\d-\d\d, python -m tests\.benchmarks\.solar", text)
    assert "Measured on" in text and len(text) < 6000
    history = pd.read_csv(file, comment="#")
    means = history.groupby(["way", "split"])["accuracy"].mean()
    assert round(means["two fine-tuned", "by chance"], 3) >= 0.885


def test_without_modules_and_with_labels_by_chance_step_17_finds_nothing(home, monkeypatch):
    monkeypatch.setenv("WORKSHOP_DATA", "sample")
    folder, _ = solar.solar_cells()
    table = pd.read_csv(folder / "labels.csv").sample(frac=1, random_state=0, ignore_index=True)
    columns = ["probability", "Label"]
    for rows in table.groupby("kind").groups.values():
        table.loc[rows, columns] = (
            table.loc[rows, columns].sample(frac=1, random_state=1).to_numpy()
        )
    table.astype({"Label": int}).to_csv(folder / "labels.csv", index=False)
    assert said(17) == {
        "at least half of the twins are of the same module": "False",
        "fine-tuned beats always saying sound by 10 points": "False",
    }

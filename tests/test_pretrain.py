"""The pretraining of the network that ships, from end to end on few pictures, and its card."""

import dataclasses

import pytest
import torch

from helpers import pretrain
from helpers.cache import Pictures
from helpers.catalog import DATA_SETS, run_folder
from helpers.checkpoints import load_model
from helpers.datasets import OpenedData
from helpers.transfer import load_backbone

TABLE = "|  | old |\n| --- | --- |\n| a | 1 |"
CARD = f"About it.\n\n{pretrain.MARKS[0]}\n{TABLE}\n{pretrain.MARKS[1]}\n\nEnd."


@pytest.fixture
def card(tmp_path):
    file = tmp_path / "README.md"
    file.write_text(CARD, encoding="utf-8")
    return file


def test_the_card_keeps_what_is_around_its_table(card):
    pretrain.write_card(card, "seed 0", {"a": "2", "b": "3"})
    text = card.read_text(encoding="utf-8")
    assert text.startswith("About it.") and text.endswith("End.")
    assert "|  | seed 0 |\n| --- | --- |\n| a | 2 |\n| b | 3 |\n" in text and "old" not in text


def test_another_seed_stands_beside(card):
    for result in ("2", "3"):  # the second time in the same column
        pretrain.write_card(card, "seed 1", {"a": result}, beside=True)
    assert "|  | old | seed 1 |\n| --- | --- | --- |\n| a | 1 | 3 |\n" in card.read_text("utf-8")


def test_a_card_without_its_marks_is_left_alone(card):
    card.write_text("About it.")
    with pytest.raises(ValueError, match="has lost its marks. Expected: "):
        pretrain.write_card(card, "seed 0", {"a": "2"})
    assert card.read_text() == "About it."


def test_it_trains_measures_and_ships(home, card, monkeypatch, capsys):
    data = OpenedData(DATA_SETS["cifar10"], home / "data" / "cifar10" / "real", "real")
    few = Pictures(
        torch.randint(0, 256, (300, 3, 32, 32), dtype=torch.uint8), torch.arange(300) % 10
    )
    ships = home / "compact_vgg.safetensors"
    settings = {"CARD": card, "COMPACT": ships, "BATCH": 100, "WIDTHS": (8, 8, 8)}
    settings |= {"CYCLES": ((2, 1.0), (1, 0.4)), "pictures": lambda *_: few}
    for name, value in settings.items():
        monkeypatch.setattr(pretrain, name, value)

    monkeypatch.setattr(pretrain, "open_data", lambda _: dataclasses.replace(data, source="sample"))
    assert pretrain.main([]) == 1 and "needs the real CIFAR-10" in capsys.readouterr().out
    monkeypatch.setattr(pretrain, "open_data", lambda _: data)
    assert pretrain.main(["--beside", "--seed", "3"]) == 0
    assert not ships.exists() and "| old | seed 3 |" in card.read_text(encoding="utf-8")
    assert pretrain.main(["--seed", "3"]) == 0  # goes on from what is trained
    text = card.read_text(encoding="utf-8")
    assert "|  | seed 3, which ships |" in text and "| epochs | 2 and 1 |" in text
    assert ships.read_bytes() == (run_folder("cifar10", "pretrain_3") / ships.name).read_bytes()
    assert load_model(ships).settings["widths"] == [8, 8, 8]
    assert load_backbone("compact_vgg", ships).outputs == 24

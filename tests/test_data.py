"""Files become pixels: every format, every layout; hostile ones are in test_faults.py."""

import os
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import write_png
from PIL import Image

from helpers import catalog
from helpers import data as room
from helpers import images as reading
from helpers.catalog import CIFAR10, DATA_SETS, FOOD, PETS
from helpers.data import (
    CsvImages,
    Images,
    OpenedData,
    decode_once,
    folder_samples,
    open_data,
    pictures,
)
from helpers.samples import unpack

CLASSES = ("dark", "bright")


def csv_images(folder, **options):
    return CsvImages(folder / "train.csv", folder / "train_images", CLASSES, **options)


def two_halves(mode="RGB", left=(204, 51, 102), right=(0, 102, 255)):
    picture = Image.new("RGB", (48, 32), left)
    picture.paste(right, (24, 0, 48, 32))
    return picture.convert(mode)


# One picture


def test_every_ending_is_read_and_every_format_has_one(tmp_path):
    kinds = set()
    for ending in reading.ENDINGS:
        file = tmp_path / "a" / f"{ending}.{ending.upper() if ending == 'jpg' else ending}"
        file.parent.mkdir(exist_ok=True)
        more = {"save_all": True, "append_images": [Image.new("RGB", (48, 32))]}  # the first counts
        two_halves().save(file, **more if ending in ("gif", "mpo", "tiff", "webp") else {})
        with Image.open(file) as picture:
            kinds.add(picture.format)
    assert kinds - {"MPO"} == set(reading.FORMATS)  # Pillow opens MPO as a JPEG
    images = Images(folder_samples(tmp_path, ["a"]), size=16, channels=3)
    assert len(images) == len(reading.ENDINGS)
    for picture, _ in images:
        assert picture[:, 8, 3].tolist() == pytest.approx([204, 51, 102], abs=20)
        assert picture[:, 8, 12].tolist() == pytest.approx([0, 102, 255], abs=20)


@pytest.mark.parametrize(
    ("mode", "ending"),
    [("CMYK", "jpg"), ("P", "gif"), ("RGBA", "png"), ("LA", "png"), ("1", "png")],
)
def test_every_mode_becomes_rgb_or_grey(mode, ending, tmp_path):
    file = tmp_path / f"a.{ending}"
    white = mode in ("L", "LA", "1")
    two_halves(mode, *([(255,) * 3, (0,) * 3] if white else [])).save(file)
    expected = [255] * 3 if white else [204, 51, 102]
    assert reading.open_picture(file).getpixel((5, 16)) == pytest.approx(expected, abs=6)
    grey = reading.open_picture(file, channels=1)
    assert (grey.mode, grey.size) == ("L", (48, 32))
    assert grey.getpixel((5, 16)) == pytest.approx(np.dot(expected, [0.299, 0.587, 0.114]), abs=6)


@pytest.mark.parametrize(("ending", "order"), [("png", "<"), ("tif", "<"), ("tif", ">")])
def test_16_bits_are_scaled_not_cut_off(ending, order, tmp_path):
    deep = np.linspace(0, 65535, 256).astype(f"{order}u2").repeat(16).reshape(64, 64)
    Image.fromarray(deep).save(tmp_path / f"a.{ending}")
    assert np.array_equal(reading.open_picture(tmp_path / f"a.{ending}", 1), deep >> 8)


def test_a_picture_from_a_telephone_stands_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it by a quarter to the right
    two_halves(left=(255, 255, 255), right=(0, 0, 0)).save(tmp_path / "a", "JPEG", exif=exif)
    seen = np.array(reading.open_picture(tmp_path / "a"))
    assert seen.shape == (48, 32, 3)
    assert seen[:20].min() > 200 and seen[-20:].max() < 50


# A table and its pictures


def test_an_item_is_a_resized_picture_and_its_label(tiny):
    images = csv_images(tiny, size=32)
    picture, label = images[3]
    assert (len(images), label, images.samples[3][0].name) == (12, 1, "3.png")
    assert (picture.shape, picture.dtype) == ((1, 32, 32), torch.uint8)
    assert picture[..., :16].float().mean() > picture[..., 16:].float().mean() + 50
    assert images.labels.tolist() == [0, 1] * 6
    stripes = np.tile(np.uint8([200, 0, 0, 0]), (64, 16))
    write_png(tiny / "train_images" / "3.png", stripes)
    assert (csv_images(tiny, size=16)[3][0] == 50).all()  # averaged: no stripe is left out
    assert csv_images(tiny, transform=lambda picture: picture / 255)[0][0].max() <= 1
    colour, _ = csv_images(tiny, channels=3, size=16)[0]
    assert colour.shape == (3, 16, 16) and torch.equal(colour[0], colour[2])


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("\ufeffID,Label\r\n0.png,1\r\n", [1]),  # a byte order mark
        ("ID,Label\n0.png,1\n,\n\n,\n", [1]),  # a spreadsheet's empty rows
        ("Name,Label,ID\nx,1,0.png\n", [1]),
    ],
)
def test_what_a_spreadsheet_does_to_a_table_does_no_harm(tiny, text, labels):
    (tiny / "train.csv").write_text(text, encoding="utf-8")
    assert csv_images(tiny).labels.tolist() == labels


@pytest.mark.parametrize("text", ["ID\n0.png\n1.png\n", "ID,Label\n0.png,\n1.png,?\n"])
def test_a_test_set_has_no_labels(tiny, text):
    (tiny / "train.csv").write_text(text)
    test = CsvImages(tiny / "train.csv", tiny / "train_images", classes=())
    assert test.labels.tolist() == [-1, -1]


# A folder for each class


@pytest.fixture
def food(tmp_path):
    for part in ("train", "test"):
        for label, name in enumerate(FOOD.classes):
            folder = tmp_path / "food" / part / name
            folder.mkdir(parents=True)
            for number in range(3):
                grey = Image.new("RGB", (30, 40 + number), (80 * label,) * 3)
                grey.save(folder / f"{number}.jpg")
    return OpenedData(FOOD, tmp_path / "food", "real")


def test_the_order_of_the_classes_gives_the_labels(food, home):
    train = pictures(food, "train")
    assert (train.images.shape, train.images.dtype) == ((9, 3, 64, 64), torch.uint8)
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert torch.allclose(train.images.float().mean(dim=(1, 2, 3)), 80.0 * train.labels, atol=3)
    again = OpenedData(replace(FOOD, classes=FOOD.classes[::-1]), food.root, "real")
    other = pictures(again, "train")
    assert torch.allclose(other.images.float().mean((1, 2, 3)), 160 - 80.0 * other.labels, atol=3)
    ((half, _), *_) = room.image_dataset(food, "test", 16, lambda picture: picture.half())
    assert half.dtype == torch.half


def test_other_class_folders_are_refused(food):
    train = food.root / "train"
    (train / "steak").rename(train / "another")
    with pytest.raises(FileNotFoundError, match=r"in \[.another.*; expected .*steak"):
        room.image_dataset(food, "train")
    with pytest.raises(FileNotFoundError, match=r"valid has pictures in \[\]; expected"):
        pictures(food, "valid")


def test_photographs_without_labels(tmp_path, home):
    (tmp_path / "dogscats" / "test1").mkdir(parents=True)
    two_halves().save(tmp_path / "dogscats" / "test1" / "1.jpg", quality=95)
    test = pictures(OpenedData(PETS, tmp_path, "real"), "test1", size=16)
    assert test.labels.tolist() == [-1]
    assert test.images[0, :, 5, 3].tolist() == pytest.approx([204, 51, 102], abs=8)


# CIFAR-10


def check_cifar(folder, rows):
    """Compare what is read with what pickle itself reads, in order."""
    train, batches = pictures(OpenedData(CIFAR10, folder, "sample"), "train"), []
    for number in range(1, 6):
        with (folder / CIFAR10.inner / f"data_batch_{number}").open("rb") as stream:
            batches.append(pickle.load(stream, encoding="bytes"))
    pixels = np.concatenate([batch[b"data"] for batch in batches]).reshape(-1, 3, 32, 32)
    assert len(train) == rows and torch.equal(train.images, torch.from_numpy(pixels))
    labels = np.concatenate([batch[b"labels"] for batch in batches])
    assert torch.equal(train.labels, torch.from_numpy(labels))
    train.images[0] = 0  # memory of its own


def test_the_official_files_of_cifar_are_read(home, monkeypatch):
    monkeypatch.setenv("WORKSHOP_DATA", "sample")
    check_cifar(open_data("cifar10").root, 2500)


def test_the_six_real_inspection_pictures_are_read(real_data, tmp_path):
    unpack(real_data / "aoi_six_images.zip", tmp_path, 10_000_000)
    (table,) = tmp_path.rglob("train.csv")
    images = CsvImages(table, table.with_name("train_images"), DATA_SETS["aoi"].classes)
    assert sorted(label for _, label in images) == [0, 1, 2, 3, 4, 5]


# Decode once


def test_pictures_are_decoded_once_until_one_changes(tiny, tmp_path, monkeypatch):
    images, folder = csv_images(tiny, size=32), tmp_path / "cache"
    first = decode_once(images, folder)
    assert first.images.shape == (12, 1, 32, 32) and torch.equal(first.labels, images.labels)
    assert all(torch.equal(first.images[row], images[row][0]) for row in range(12))
    few = first[torch.tensor([3, 1])]
    assert torch.equal(few.images, first.images[[3, 1]]) and few.labels.tolist() == [1, 1]
    assert len(first[2:5]) == 3
    first.images[:] = 0  # stays in memory
    with monkeypatch.context() as patch:
        patch.setattr(CsvImages, "pixels", lambda *_: pytest.fail("decoded again"))
        assert decode_once(images, folder).images.max() > 0
    file = tiny / "train_images" / "0.png"
    os.utime(file, (1, 1))
    write_png(file, np.full((40, 48), 7, np.uint8))
    assert (decode_once(images, folder).images[0] == 7).all()
    assert decode_once(csv_images(tiny, size=16), folder).images.shape[-1] == 16
    assert decode_once(csv_images(tiny, size=16, channels=3), folder).images.shape[1] == 3


def test_a_bad_picture_leaves_no_cache(tiny, tmp_path):
    (tiny / "train_images" / "5.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"5\.png is not a picture"):
        decode_once(csv_images(tiny), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


# Which data set


def test_the_real_data_set_is_preferred_to_the_sample(home, tiny, monkeypatch, capsys):
    monkeypatch.setattr(room, "sample_folder", lambda facts: home / facts.name)
    real = shutil.copytree(tiny, home / "data" / "aoi" / "real")
    assert open_data("aoi") == OpenedData(DATA_SETS["aoi"], real, "real")
    assert "the real data set" in capsys.readouterr().out
    monkeypatch.setenv("WORKSHOP_DATA", "sample")
    assert open_data("aoi").root == home / "aoi"
    monkeypatch.delenv("WORKSHOP_DATA")
    (real / "train.csv").unlink()
    capsys.readouterr()
    assert open_data("aoi").source == "sample"
    assert "has no train.csv, so it is not used" in capsys.readouterr().out
    monkeypatch.setenv("WORKSHOP_DATA", "real")
    with pytest.raises(FileNotFoundError, match=r"no train\.csv. Run: python -m workshop data aoi"):
        open_data("aoi")
    with pytest.raises((KeyError, FileNotFoundError), match="mnist"):
        open_data("mnist")


def test_of_two_that_make_a_folder_at_once_the_first_stays(tmp_path):
    target = tmp_path / "made"

    def write(part):
        part.mkdir()
        (part / "second").touch()
        target.mkdir()
        (target / "first").touch()

    catalog.replace(target, write)
    assert [path.name for path in target.iterdir()] == ["first"]

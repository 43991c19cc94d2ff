"""The shipped samples, the drawing of AOI, and the drawing of what is shipped."""

import pickle

import numpy as np
import pytest
from conftest import REPOSITORY

from helpers.catalog import AOI, CIFAR10, FOOD, PETS, SHIPPED
from helpers.data import read_cifar
from helpers.images import open_picture
from helpers.samples import aoi, sample_folder


def digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(path.relative_to(folder), hash(path.read_bytes())) for path in files]


def test_what_is_shipped_is_small():
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 20_000_000


@pytest.mark.parametrize("facts", [FOOD, PETS], ids=lambda facts: facts.name)
def test_the_photographs_lie_as_in_the_real_data_set(facts, home):
    folder = sample_folder(facts)
    assert folder == home / "data" / facts.name / "sample"
    assert [need for need in facts.needs if not (folder / need).is_dir()] == []
    assert (folder / facts.archive.file).is_file()
    files = [path.relative_to(folder) for path in folder.rglob("*.jpg")]
    files = [folder / file for file in files if "sample" not in file.parts]  # those are copies
    assert len({file.read_bytes() for file in files}) == len(files) >= 300


def test_the_batches_of_cifar10_are_as_the_real_ones(home):
    folder = sample_folder(CIFAR10) / CIFAR10.inner
    meta = pickle.loads((folder / "batches.meta").read_bytes(), encoding="latin1")
    assert meta["label_names"] == list(CIFAR10.classes)
    files = sorted(folder.glob("*_batch*"))
    assert len(files) == 6
    for file in files:
        pixels, labels = read_cifar(file)
        assert np.bincount(labels).tolist() == [50] * 10
        assert (np.diff(labels) != 0).sum() > 400  # in no order
        content = file.read_bytes()
        assert content[:2] == b"\x80\x02"  # the protocol of the real ones: Python 2's
        names = [b"batch_label", b"labels", b"data", b"filenames"]
        assert list(pickle.loads(content, encoding="bytes")) == names
        planes = pixels.reshape(-1, 3, 1024).mean(axis=2)
        assert np.ptp(planes, axis=1).mean() > 10  # colourful


@pytest.fixture
def few(monkeypatch):
    """Draw 12 pictures of each part of AOI."""
    labels = aoi.labels
    monkeypatch.setattr(aoi, "labels", lambda part: labels(part)[:12])


def test_aoi_is_always_drawn_the_same(few, tmp_path):
    for name in "ab":
        aoi.write(tmp_path / name)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


def test_aoi_lies_as_the_real_one_does(few, home):
    folder = sample_folder(AOI)
    names = ["test.csv", "test_images", "train.csv", "train_images"]
    assert sorted(path.name for path in folder.iterdir()) == names
    train, test = ((folder / f"{part}.csv").read_text().splitlines() for part in ("train", "test"))
    assert train[0] == test[0] == "ID,Label" and test[1] == "test_00000.png,"
    assert [int(row.split(",")[1]) for row in train[1:]] == aoi.labels("train").tolist()
    assert open_picture(folder / "train_images" / "train_00011.png", 1).size == (512, 512)


def test_three_labels_of_aoi_are_wrong_and_two_pictures_come_twice(home, monkeypatch):
    monkeypatch.setattr(aoi, "COUNTS", {"train": 720, "test": 12})
    drawn = {}
    monkeypatch.setattr(aoi, "_save", lambda path, *job: drawn.update({path.stem: job}))
    aoi.write(home / "aoi")
    rows = (home / "aoi" / "train.csv").read_text().splitlines()[1:]
    told = np.array([int(row.split(",")[1]) for row in rows])
    assert tuple(np.flatnonzero(told != aoi.labels("train"))) == tuple(aoi.SLIPPED)
    assert (np.bincount(told) == np.bincount(aoi.labels("train"))).all()
    for again, first in aoi.TWICE.items():
        (more, *one), (none, *other) = (drawn[f"train_{n:05}"] for n in (again, first))
        assert (more, none) == (aoi.BRIGHTER, 0) and one[0] == other[0]
        assert (aoi.draw(*one) == aoi.draw(*other)).all()


def test_each_defect_looks_like_its_name():
    normal, void, horizontal, vertical, edge, particle = (
        np.stack([aoi.draw(label, np.random.default_rng([label, n])) for n in range(8)]) / 255.0
        for label in range(6)
    )

    def spread(pictures, axis):  # of the means of rows (2) or columns (1)
        return pictures.mean(axis=axis).std(axis=1).mean()

    def middle(pictures):
        return (pictures[:, 192:320, 192:320].mean((1, 2)) - pictures.mean((1, 2))).mean()

    assert middle(void) > middle(normal) + 0.03  # a bright blob
    assert middle(particle) < middle(normal) - 0.03  # a dark smudge
    assert spread(horizontal, 2) > 1.5 * spread(normal, 2)
    assert spread(vertical, 1) > 1.5 * spread(normal, 1)
    sides = edge[..., :40].mean((1, 2)) - edge[..., -40:].mean((1, 2))
    assert np.abs(sides).min() > 0.05  # one side is another grey than the other


def test_an_interrupted_drawing_is_not_taken_for_a_finished_one(home, monkeypatch):
    def interrupted(folder):
        folder.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(aoi, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sample_folder(AOI)
    assert list((home / "data" / "aoi").iterdir()) == []


def test_drawing_the_shipped_samples_again_gives_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY)
    from draw import cifar10, food, packing, pets, solar

    monkeypatch.setattr(food, "COUNTS", {"train": (2, 1, 1), "test": (1, 1, 1)})
    monkeypatch.setattr(pets, "COUNTS", {"train": 2, "valid": 1, "test1": 1})
    monkeypatch.setattr(cifar10, "COUNTS", {"train": 10, "test": 10})
    monkeypatch.setattr(solar, "MODULES", 1)
    files = {FOOD.archive.file: food, PETS.archive.file: pets, CIFAR10.archive.file: cifar10}
    for file, module in (files | {solar.ARCHIVE: solar}).items():
        for name in "ab":
            (tmp_path / name).mkdir(exist_ok=True)
            packing.write_archive(tmp_path / name / file, module.files(0))
    assert digest(tmp_path / "a") == digest(tmp_path / "b")

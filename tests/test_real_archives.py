"""Real archives go in by a folder and by a mirror, and every picture is read."""

import pickle
import shutil
import threading

import pytest
import torch
from safetensors.torch import load_file

from helpers.archives import FolderImages, cifar_batches, pictures
from helpers.catalog import AOI, CIFAR10, data_folder
from helpers.cifar import batch_files
from helpers.datasets import CsvImages, open_data
from helpers.fetch import fetch, offered
from helpers.mirror import Mirror

NAMES = ["aoi", "cifar10", "food", "pets", "squeezenet1_1_features"]
COUNTS = {
    ("cifar10", "train"): [5000] * 10,
    ("cifar10", "test"): [196, 198, 195, 199, 198, 185, 216, 193, 217, 203],
    ("food", "train"): [78, 75, 72],
    ("food", "test"): [25, 19, 31],
    ("pets", "train"): [500, 500],
    ("pets", "valid"): [200, 200],
}


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    return tmp_path_factory.mktemp("real")


@pytest.fixture(params=["folder", "mirror"])
def fetched(request, homes, real_data, monkeypatch):
    """A WORKSHOP_HOME that everything was fetched into, once for each way."""
    home = homes / request.param
    monkeypatch.setenv("WORKSHOP_HOME", str(home))
    monkeypatch.delenv("WORKSHOP_DATA", raising=False)
    monkeypatch.delenv("WORKSHOP_MIRROR", raising=False)
    if not (home / "complete").exists():
        assert offered(real_data) == NAMES
        if request.param == "folder":
            for name in NAMES:
                fetch(name, real_data)
        else:
            with Mirror(real_data, "127.0.0.1") as server:
                threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
                monkeypatch.setenv("WORKSHOP_MIRROR", server.address)
                for name in NAMES:
                    fetch(name)
                server.shutdown()
        (home / "complete").touch()
    return home


def test_every_picture_of_every_archive_is_read(fetched):
    for (name, part), counts in COUNTS.items():
        data = open_data(name)
        assert data.source == "real"
        got = pictures(data, part, size=32)
        assert got.labels.bincount().tolist() == counts, (name, part)
        assert len(got.images) == sum(counts)
        assert got.images.flatten(1).float().std(dim=1).min() > 0  # no picture is blank
    assert len(pictures(open_data("pets"), "test1", size=32)) == 100
    for part, each in (("train", 8), ("valid", 4)):
        folder = open_data("pets").root / "dogscats" / "sample" / part
        sample = FolderImages(folder, ("cats", "dogs"), 32)
        assert sample.labels.bincount().tolist() == [each, each]
        assert all(picture.shape == (3, 32, 32) for picture, _ in sample)
    shutil.rmtree(data_folder("pets") / "cache")


def test_the_six_pictures_and_the_large_photographs_are_read(fetched):
    six = fetched / "data" / "aoi" / "aoi_six_images"
    data = CsvImages(six / "train.csv", six / "train_images", AOI.classes)
    assert sorted(label for _, label in data) == [0, 1, 2, 3, 4, 5]
    assert not (fetched / "data" / "aoi" / "real").exists()  # six are not the data set
    large = fetched / "data" / "food" / "pizza_steak_sushi_fullsize_part" / "test"
    photographs = FolderImages(large, ("pizza", "steak", "sushi"), 64)
    assert photographs.labels.bincount().tolist() == [9, 19, 31]
    assert all(picture.shape == (3, 64, 64) for picture, _ in photographs)


def test_the_weights_arrive(fetched):
    file = fetched / "data" / "weights" / "squeezenet1_1_features.safetensors"
    assert sum(tensor.numel() for tensor in load_file(file).values()) == 722_496


def test_cifar_is_what_a_plain_pickle_holds(fetched):
    folder = fetched / "data" / "cifar10" / "real" / "cifar-10-batches-py"
    train = cifar_batches(folder, "train", CIFAR10.classes)
    rows = 0
    for file in batch_files(folder, "train"):
        with file.open("rb") as stream:
            batch = pickle.load(stream, encoding="bytes")
        part = slice(rows, rows + len(batch[b"labels"]))
        assert torch.equal(train.images[part].flatten(1), torch.from_numpy(batch[b"data"]))
        assert train.labels[part].tolist() == batch[b"labels"]
        rows += len(batch[b"labels"])
    assert rows == len(train) == 50_000

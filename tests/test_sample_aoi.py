import hashlib
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import run_python
from filelock import FileLock

from helpers import recipes
from helpers.catalog import AOI
from helpers.catalog import home as home_folder
from helpers.checkpoints import load_model
from helpers.datasets import CsvImages, csv_images, open_data, read_picture
from helpers.loaders import Batches
from helpers.models import LeNet
from helpers.recipes import aoi_lenet, aoi_parts
from helpers.report import confusion_matrix, predict
from helpers.samples import aoi, sample_folder
from helpers.training import fit

REAL_SHARES = np.array([674, 492, 100, 378, 240, 644]) / 2528


@pytest.fixture(scope="module")
def data():
    return open_data("aoi")


@pytest.fixture(scope="module")
def trained(data):
    """The folder of step 07's network, trained by one process even if several test at once."""
    with FileLock(home_folder() / "aoi_lenet.lock"):
        return aoi_lenet(data)


def test_the_layout_is_the_genuine_one(data):
    names = sorted(path.name for path in data.root.iterdir())
    assert names == ["test.csv", "test_images", "train.csv", "train_images"]
    train = (data.root / "train.csv").read_text().splitlines()
    assert train[0] == "ID,Label"
    assert train[1].startswith("train_00000.png,")
    test = (data.root / "test.csv").read_text().splitlines()
    assert test[:2] == ["ID,Label", "test_00000.png,"]
    assert len(list((data.root / "train_images").iterdir())) == len(train) - 1
    picture = read_picture(data.root / "train_images" / "train_00000.png")
    assert picture.shape == (512, 512)


def test_there_are_enough_pictures_in_the_real_proportions(data):
    labels = csv_images(data, "train").labels.numpy()
    assert 300 <= len(labels) <= 999
    assert np.abs(np.bincount(labels) / len(labels) - REAL_SHARES).max() < 0.04
    assert len(csv_images(data, "test")) == len(aoi.labels("test")) >= 100
    assert (labels == aoi.labels("train")).all()


def digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    content = hashlib.sha256()
    for file in files:
        content.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
    return content.hexdigest()


@pytest.fixture
def few(monkeypatch):
    """Draw few pictures, so that a test takes a second."""
    labels = aoi.labels
    monkeypatch.setattr(aoi, "labels", lambda split, seed=0: labels(split, seed)[:12])


def test_the_same_seed_draws_the_same_bytes(few, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        aoi.write(tmp_path / name, seed=seed)
    assert digest(tmp_path / "a") == digest(tmp_path / "b") != digest(tmp_path / "c")


def test_an_interrupted_drawing_is_not_taken_for_a_finished_one(home, monkeypatch):
    def interrupted(folder, seed=0):
        (folder / "train.csv").write_text("ID,Label\n")
        raise KeyboardInterrupt

    monkeypatch.setattr(aoi, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sample_folder(AOI)
    assert list((home / "data" / "aoi").iterdir()) == []


DRAW = """
from helpers.samples import aoi, sample_folder
from helpers.training import fit
from helpers import recipes
from helpers.catalog import AOI
labels = aoi.labels
aoi.labels = lambda split, seed=0: labels(split, seed)[:30]
print(len(list(sample_folder(AOI).rglob("*.png"))))
"""


def test_two_kernels_drawing_at_once_do_not_spoil_each_other(home):
    both = [
        subprocess.Popen([sys.executable, "-c", DRAW], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate()[0] for process in both] == ["60\n", "60\n"]
    assert [path.name for path in (home / "data" / "aoi").iterdir()] == ["sample-1"]


def test_a_killed_drawing_is_drawn_again(home):
    dies = """
import os
from helpers.samples import aoi
write, left = aoi._write_picture, iter(range(1, 25))
aoi._write_picture = lambda *job: write(*job) if next(left, None) else os._exit(9)
"""
    for _ in range(2):
        assert run_python(dies + DRAW).returncode == 9
        begun = [path.name for path in (home / "data" / "aoi").iterdir()]
        assert begun and "sample-1" not in begun
    assert run_python(DRAW).stdout == "60\n"


@pytest.mark.slow
def test_the_network_learns_it_but_not_at_once(trained):
    history = pd.read_csv(trained / "history.csv")
    accuracy = history["valid_accuracy"]
    assert accuracy.iloc[0] < 0.8
    assert 0.85 <= accuracy.max() <= 0.995
    assert (accuracy >= accuracy.max() - 0.05).idxmax() >= 3  # it takes several epochs to get there


def test_a_network_of_ones_own_settings_is_used_as_it_is(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(recipes, "run_folder", lambda *names: tmp_path)
    some = aoi_parts(data)[1]
    batches, model = Batches(some, AOI.mean, AOI.std), LeNet(classes=6)
    optimizer = torch.optim.AdamW(model.parameters())
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, len(batches))
    options = {"scheduler": cycle, "notes": {"source": data.root.name}}
    fit(model, batches, batches, optimizer, 1, run=tmp_path, **options)
    before = (tmp_path / "history.csv").read_text()
    assert aoi_lenet(data) == tmp_path
    assert "is used as it is" in capsys.readouterr().out
    assert (tmp_path / "history.csv").read_text() == before


def test_what_is_mixed_up_is_the_faint_band_and_normal(data, trained):
    _, valid = aoi_parts(data)
    model = load_model(trained / "model.safetensors")
    batches = Batches(valid, AOI.mean, AOI.std, batch_size=128)
    predicted = predict(model, batches).argmax(dim=1)
    confusion = confusion_matrix(valid.labels, predicted, AOI.classes)
    recall = np.diag(confusion) / confusion.sum(axis=1)
    assert recall.drop("horizontal").min() > 0.7
    horizontal = confusion.loc["horizontal"].drop("horizontal")
    assert horizontal.sum() == 0 or horizontal.idxmax() == "normal"


def test_a_network_that_saw_only_the_sample_names_the_real_pictures(trained, real_data, tmp_path):
    with zipfile.ZipFile(real_data / "aoi_six_images.zip") as archive:
        archive.extractall(tmp_path)
    real = CsvImages(tmp_path / "train.csv", tmp_path / "train_images", AOI.classes)
    pixels = torch.stack([real[i][0] for i in range(len(real))])
    model = load_model(trained / "model.safetensors")
    with torch.no_grad():
        named = model((pixels / 255 - AOI.mean) / AOI.std).argmax(dim=1)
    assert (named == real.labels).sum() >= 5, (named, real.labels)


def test_drawing_on_a_full_disk_is_explained(namespace, tmp_path):
    result = namespace(
        ["-m"],
        f'mount -t tmpfs -o size=1m none "{tmp_path}"; "$PYTHON" -m helpers samples; true',
        PYTHON=sys.executable,
        WORKSHOP_HOME=tmp_path,
    )
    assert "The disk is full. Free some space" in result.stderr
    assert "Traceback" not in result.stderr
    shutil.rmtree(tmp_path)

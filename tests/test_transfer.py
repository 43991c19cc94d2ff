"""Pretrained networks: found, checked, fetched, taken apart; VGG16 through the whole of step 10."""

import hashlib
import json
import os
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from conftest import REPOSITORY, write_png
from misbehaving_server import Server
from PIL import Image
from safetensors.torch import save_file
from torchvision.datasets import ImageFolder

from helpers import catalog, weights
from helpers.archives import pictures, read_photo
from helpers.cache import Pictures
from helpers.checkpoints import load_model, save_model
from helpers.datasets import open_data
from helpers.features import FeatureCache
from helpers.fetch import fetch
from helpers.loaders import Batches
from helpers.models import CompactVGG, LeNet
from helpers.pretrain import CARD
from helpers.transfer import load_backbone, train_head
from helpers.weights import read_weights

SQUEEZENET = "squeezenet1_1_features.safetensors"


@pytest.fixture(autouse=True)
def no_weights(home, tmp_path, monkeypatch):
    """A home and a torch cache without any weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("helpers.transfer.best_device", lambda: torch.device("cpu"))
    for name in ("WORKSHOP_BACKBONE", "WORKSHOP_MIRROR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def squeezenet():
    torch.manual_seed(0)
    return torchvision.models.squeezenet1_1()


def features_only(network):
    return {name: t for name, t in network.state_dict().items() if name.startswith("features.")}


def put(folder, name, network, monkeypatch):
    """Write a network's weights as torchvision publishes them: the name ends in the SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), folder / "weights.pth")
    digest = hashlib.sha256((folder / "weights.pth").read_bytes()).hexdigest()
    file = (folder / "weights.pth").rename(folder / f"{name}-{digest[:8]}.pth")
    entry = catalog.WEIGHTS[name]
    archive = replace(entry.archive, file=file.name)
    monkeypatch.setitem(catalog.WEIGHTS, name, replace(entry, archive=archive))
    return file


def photo(size=(300, 260)):
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8))


def check(backbone, outputs):
    """Look at what every backbone must be able to do; return the features of one picture."""
    picture = backbone.transform(photo()).unsqueeze(0)
    assert picture.shape == (1, 3, backbone.size, backbone.size)
    with torch.inference_mode():
        maps = backbone.convolutions(picture)
        features = backbone.rest(maps)
        assert torch.equal(backbone.body(picture), features)
        if backbone.network is not None:
            assert backbone.network(picture).shape == (1, len(backbone.classes))
    assert features.shape == (1, outputs) and backbone.outputs == outputs
    assert not backbone.body.training
    return features


def test_without_weights_it_is_the_network_that_ships(capsys):
    backbone = load_backbone()
    assert backbone.name == "compact_vgg" and backbone.classes == catalog.CIFAR10.classes
    features = check(backbone, 576)
    picture = backbone.transform(photo()).unsqueeze(0)
    seen = []  # by the last block: what it is given, what it makes at half way, and in the end
    block = backbone.network.features[-1]
    block.second.register_forward_hook(lambda layer, given, made: seen.append(given[0].clone()))
    with torch.inference_mode():
        given, made = backbone.network.features[:-1](picture), backbone.network.features(picture)
    wanted = torch.cat([maps.mean((2, 3)) for maps in (given, seen[0], made)], dim=1)
    assert torch.allclose(features, wanted, atol=1e-5)
    said = capsys.readouterr().out
    assert "compact VGG of this workshop, trained on CIFAR-10: 1.9 million weights, 48x48" in said
    assert "ImageNet weights do better" in said


def test_the_compact_network_is_small():
    assert catalog.COMPACT.stat().st_size <= 4_000_000
    network = load_model(catalog.COMPACT)
    assert sum(p.numel() for p in network.parameters()) < 2e6
    assert all(
        layer.kernel_size == (3, 3)
        for layer in network.features.modules()
        if isinstance(layer, torch.nn.Conv2d)
    )


def test_whole_weights_in_torch_s_cache_are_found_and_checked(squeezenet, tmp_path, monkeypatch):
    file = put(tmp_path / "torch" / "hub" / "checkpoints", "squeezenet1_1", squeezenet, monkeypatch)
    backbone = load_backbone()
    assert backbone.name == "squeezenet1_1" and len(backbone.classes) == 1000
    check(backbone, 512)
    with file.open("r+b") as stream:
        stream.seek(5000)
        stream.write(b"x")
    with pytest.raises(ValueError, match=r"SHA-256 does not begin with \w{8}\. Delete it"):
        load_backbone()


def test_data_weights_come_before_torch_s_cache(squeezenet, home, tmp_path, monkeypatch):
    put(tmp_path / "torch" / "hub" / "checkpoints", "squeezenet1_1", squeezenet, monkeypatch)
    file = put(catalog.weights_folder(), "squeezenet1_1", squeezenet, monkeypatch)
    assert weights.find_weights("squeezenet1_1") == file


def test_a_name_or_the_environment_chooses(squeezenet, tmp_path, monkeypatch):
    put(catalog.weights_folder(), "squeezenet1_1", squeezenet, monkeypatch)
    assert load_backbone("compact_vgg").name == "compact_vgg"
    monkeypatch.setenv("WORKSHOP_BACKBONE", "compact_vgg")
    assert load_backbone().name == "compact_vgg"
    monkeypatch.setenv("WORKSHOP_BACKBONE", "vgg19")
    with pytest.raises(KeyError, match="No backbone is called 'vgg19'. There are: vgg16, resnet18"):
        load_backbone()


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_file_of_one_s_own(squeezenet, tmp_path, ending, whole):
    tensors = squeezenet.state_dict() if whole else features_only(squeezenet)
    file = tmp_path / f"mine.{ending}"
    save_file(tensors, file) if ending == "safetensors" else torch.save(tensors, file)
    backbone = load_backbone("squeezenet1_1", file)
    assert (backbone.network is not None) == whole
    squeezenet.eval()
    with torch.inference_mode():
        maps = squeezenet.features(backbone.transform(photo()).unsqueeze(0))
        assert torch.allclose(check(backbone, 512), maps.mean((2, 3)), atol=1e-5)


def test_resnet18_whole_and_without_its_last_layer(tmp_path):
    torch.manual_seed(0)
    network = torchvision.models.resnet18().eval()
    save_file(network.state_dict(), tmp_path / "whole.safetensors")
    backbone = load_backbone("resnet18", tmp_path / "whole.safetensors")
    features = check(backbone, 512)
    with torch.inference_mode():
        logits = network(backbone.transform(photo()).unsqueeze(0))
        assert torch.allclose(network.fc(features), logits, atol=1e-5)
    cut = {name: t for name, t in network.state_dict().items() if not name.startswith("fc.")}
    save_file(cut, tmp_path / "cut.safetensors")
    backbone = load_backbone("resnet18", tmp_path / "cut.safetensors")
    assert backbone.network is None and torch.equal(check(backbone, 512), features)


def test_the_weights_of_another_network_are_refused(squeezenet, tmp_path):
    save_file(squeezenet.state_dict(), tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="belongs to another network"):
        load_backbone("resnet18", tmp_path / "a.safetensors")
    tensors = features_only(squeezenet)
    tensors.popitem()
    save_file(tensors, tmp_path / "b.safetensors")
    with pytest.raises(ValueError, match=r"another network than squeezenet1_1: \d of its tensors"):
        load_backbone("squeezenet1_1", tmp_path / "b.safetensors")
    save_model(CompactVGG(classes=6, widths=(4, 4)), tmp_path / "plain.safetensors")
    with pytest.raises(ValueError, match="expected a CompactVGG with shortcuts"):
        load_backbone("compact_vgg", tmp_path / "plain.safetensors")
    save_model(LeNet(classes=6), tmp_path / "lenet.safetensors")
    with pytest.raises(ValueError, match=r"holds a LeNet .* expected a CompactVGG with shortcuts"):
        load_backbone("compact_vgg", tmp_path / "lenet.safetensors")
    tensors = squeezenet.state_dict() | {"features.0.weight": torch.zeros(1)}
    save_file(tensors, tmp_path / "c.safetensors")
    with pytest.raises(ValueError, match=r"another network: size mismatch for features\.0"):
        load_backbone("squeezenet1_1", tmp_path / "c.safetensors")


class Surprise:
    def __reduce__(self):
        return os.mkdir, (os.environ["SURPRISE"],)


def test_nothing_in_a_weight_file_is_run(tmp_path, monkeypatch):
    monkeypatch.setenv("SURPRISE", str(tmp_path / "surprise"))
    torch.save({"features.0.weight": Surprise()}, tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes(pickle.dumps(Surprise()))
    for name in ("a.pth", "b.pth"):
        with pytest.raises(ValueError, match="holds more than weights"):
            read_weights(tmp_path / name)
    assert not (tmp_path / "surprise").exists()


def test_damaged_or_missing_files_are_said(squeezenet, tmp_path):
    for ending in ("pth", "safetensors"):
        file = tmp_path / f"cut.{ending}"
        file.write_bytes(b"\x00" * 100)
        with pytest.raises(ValueError, match=r"cut\.\w+ (is damaged or|cannot be read)"):
            read_weights(file)
    with pytest.raises(FileNotFoundError, match=r"There is no weight file .*none\.pth"):
        read_weights(tmp_path / "none.pth")
    torch.save({"epoch": 3}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="other than weights. Expected a state_dict"):
        read_weights(tmp_path / "other.pth")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="other than weights. Expected a state_dict"):
        read_weights(tmp_path / "list.pth")
    with pytest.raises(ValueError, match="Whose weights are in x.pth. Name the network: vgg16"):
        load_backbone(weights="x.pth")
    with pytest.raises(FileNotFoundError, match="is not published anywhere"):
        load_backbone("squeezenet1_1_features")


def test_a_named_network_is_fetched_from_the_mirror(squeezenet, tmp_path, monkeypatch):
    save_file(features_only(squeezenet), tmp_path / SQUEEZENET)
    body = (tmp_path / SQUEEZENET).read_bytes()
    server = Server({SQUEEZENET: body})
    monkeypatch.setenv("WORKSHOP_MIRROR", server.url)
    backbone = load_backbone("squeezenet1_1_features")
    server.__exit__()
    check(backbone, 512)
    assert (catalog.weights_folder() / SQUEEZENET).read_bytes() == body
    assert load_backbone().name == "squeezenet1_1_features"  # now it is the best one here


def pets(folder, size):
    """A tiny data set in the layout of the real one."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 3), ("valid", 2)):
        for label in ("cats", "dogs"):
            place = folder / "dogscats" / part / label
            place.mkdir(parents=True)
            for number in range(count):
                level = 100 * (label == "dogs")
                picture = rng.integers(level, level + 100, (*size, 3), dtype=np.uint8)
                write_png(place / f"{number}.png", picture)
    (folder / "dogscats" / "test1").mkdir()


@pytest.mark.slow
def test_step_10_runs_with_vgg16(home, tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = torchvision.models.vgg16()
    file = put(tmp_path / "torch" / "hub" / "checkpoints", "vgg16", network, monkeypatch)
    backbone = load_backbone()
    assert backbone.name == "vgg16" and len(backbone.classes) == 1000
    features = check(backbone, 4096)
    network.eval()
    with torch.inference_mode():
        picture = backbone.transform(photo()).unsqueeze(0)
        assert torch.allclose(network.classifier[-1](features), network(picture), atol=1e-4)
        assert backbone.convolutions(picture).shape == (1, 512, 7, 7)
    pets(home / "data" / "pets" / "real", (240, 300))
    code = f"""
import dataclasses, helpers.catalog
entry = helpers.catalog.WEIGHTS["vgg16"]
archive = dataclasses.replace(entry.archive, file={file.name!r})
helpers.catalog.WEIGHTS["vgg16"] = dataclasses.replace(entry, archive=archive)
"""
    (tmp_path / "sitecustomize.py").write_text(code)  # what `put` did here, in the kernel too
    result = subprocess.run(
        [sys.executable, "-m", "helpers", "run", "--only", "10", "--data", "real"],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    metrics = json.loads((home / "runs" / "pets" / "vgg16" / "metrics.json").read_text())
    assert metrics["backbone"] == "vgg16" and "valid_accuracy" in metrics
    page = Path(home / "build" / "html" / "10_transfer_learning.html").read_text()
    assert f"VGG16 ({file.name})" in page and "of 134,268,738 weights are trained" in page


def figure(what):
    """Return a percentage from the model card's table, of the network that ships."""
    found = re.search(rf"^\| {what}[^|]* \| ([\d.]+)% \|", CARD.read_text(encoding="utf-8"), re.M)
    assert found, f"the model card has no figure for {what}"
    return float(found[1]) / 100


@pytest.mark.slow
def test_on_real_pictures_it_does_what_its_card_says(home, real_data):
    for name in ("cifar10", "pets"):
        fetch(name, real_data)
    data = open_data("cifar10")
    test = Batches(pictures(data, "test"), data.facts.mean, data.facts.std, batch_size=500)
    logits, labels = [], test.dataset.labels
    network = load_model(catalog.COMPACT)
    with torch.inference_mode():
        logits = torch.cat([network(batch) for batch, _ in test])
    accuracy = (logits.argmax(dim=1) == labels).float().mean().item()
    assert accuracy == pytest.approx(figure("right of 2,000 CIFAR-10 test pictures"), abs=0.002)
    with torch.inference_mode():
        mirrored = torch.cat([network(batch.flip(-1)) for batch, _ in test])
    both = (logits.softmax(dim=1) + mirrored.softmax(dim=1)).argmax(dim=1)
    accuracy = (both == labels).float().mean().item()
    assert accuracy == pytest.approx(figure(".* with the mirror image of each"), abs=0.002)

    backbone = load_backbone("compact_vgg")
    folder = open_data("pets").root / "dogscats"
    train, valid = (
        FeatureCache(
            ImageFolder(folder / part, backbone.transform, loader=read_photo),
            backbone.body,
            home / "cache",
            torch.float32,
        ).load()
        for part in ("train", "valid")
    )
    right = {}
    for dtype in (torch.float16, torch.float32):  # the cache keeps them in float16 elsewhere
        head = train_head(Pictures(train.images.to(dtype), train.labels), classes=2)
        guesses = head(valid.images.to(dtype).float()).argmax(dim=1)
        right[dtype] = (guesses == valid.labels).float().mean().item()
    assert abs(right[torch.float16] - right[torch.float32]) <= 0.005  # half a point: 2 pictures
    assert right[torch.float16] == pytest.approx(figure("right of 400 dogs and cats"), abs=0.01)

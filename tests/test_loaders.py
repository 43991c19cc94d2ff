import pytest
import torch
from conftest import run_python
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision.transforms import v2

from helpers.augment import aoi_augment, photo_augment
from helpers.cache import Pictures, decode_once
from helpers.datasets import CsvImages
from helpers.loaders import (
    Batches,
    SeededShuffle,
    make_loader,
    stratified_split,
    worker_count,
)

LABELS = torch.tensor([0] * 50 + [1] * 20 + [2] * 5 + [3] * 2)


def pictures(count=10, channels=1, side=8):
    images = torch.randint(0, 256, (count, channels, side, side), dtype=torch.uint8)
    return Pictures(images, torch.arange(count) % 2)


def test_each_row_is_in_one_part_and_each_class_in_both():
    train, valid = stratified_split(LABELS, valid=0.2)
    assert sorted([*train.tolist(), *valid.tolist()]) == list(range(len(LABELS)))
    assert LABELS[valid].bincount().tolist() == [10, 4, 1, 1]


def test_the_split_depends_on_the_seed_alone():
    assert torch.equal(stratified_split(LABELS, seed=1)[1], stratified_split(LABELS, seed=1)[1])
    assert not torch.equal(stratified_split(LABELS, seed=1)[1], stratified_split(LABELS, seed=2)[1])


@pytest.mark.parametrize("valid", [0, 1, 20])
def test_a_share_that_is_none_is_refused(valid):
    with pytest.raises(ValueError, match="Expected a share between 0 and 1"):
        stratified_split(LABELS, valid=valid)


def test_shuffling_changes_with_the_epoch_and_repeats_with_the_seed():
    one, two = SeededShuffle(20, seed=3), SeededShuffle(20, seed=3)
    first = list(one)
    one.set_epoch(1)
    assert sorted(first) == list(range(20))
    assert list(one) != first
    assert list(two) == first


def test_batches_are_those_of_a_data_loader(tiny, tmp_path):
    normalise = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.4], [0.2])])
    options = {"classes": ("dark", "bright"), "size": 32}
    files = (tiny / "train.csv", tiny / "train_images")
    slow = make_loader(
        CsvImages(*files, transform=normalise, **options), batch_size=5, shuffle=True
    )
    decoded = decode_once(CsvImages(*files, **options), tmp_path)
    fast = Batches(decoded, 0.4, 0.2, batch_size=5, shuffle=True)
    assert len(slow) == len(fast) == 3
    for (a, x), (b, y) in zip(slow, fast, strict=True):
        assert torch.allclose(a, b, atol=1e-6)
        assert torch.equal(x, y)


def test_each_channel_has_its_own_mean():
    data = pictures(channels=3)
    batch, _ = next(iter(Batches(data, (0.1, 0.2, 0.3), (1, 1, 2))))
    plain, _ = next(iter(Batches(data, 0, 1)))
    assert torch.allclose(batch[:, 1], plain[:, 1] - 0.2)
    assert torch.allclose(batch[:, 2], (plain[:, 2] - 0.3) / 2)


def test_augmentation_repeats_with_the_epoch():
    batches = Batches(pictures(), 0, 1, augment=aoi_augment)
    (first, _), (again, _) = next(iter(batches)), next(iter(batches))
    batches.sampler.set_epoch(1)
    later, _ = next(iter(batches))
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


def test_what_a_loop_does_to_a_batch_stays_there():
    few, features = pictures(), Pictures(torch.rand(10, 7), torch.arange(10))
    for data in (few, features):
        before = Pictures(data.images.clone(), data.labels.clone())
        for batch, labels in Batches(data, batch_size=4):
            batch += 1
            labels += 1
        assert torch.equal(data.images, before.images) and torch.equal(data.labels, before.labels)


@pytest.mark.parametrize("data", [pictures(), Pictures(torch.rand(10, 7), torch.arange(10) % 2)])
def test_a_batch_does_not_depend_on_the_one_after_it(data):
    batches = iter(Batches(data, batch_size=4))
    weight = torch.ones(1, requires_grad=True)
    batch, labels = next(batches)
    loss = nn.functional.cross_entropy(weight * batch.flatten(1), labels)
    for other in next(batches):
        other += 1
    loss.backward()
    assert weight.grad is not None and batch.untyped_storage().nbytes() == batch.nbytes


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_what_an_augmentation_gives_back_becomes_float32(dtype):
    few = pictures()
    (plain, _), *_ = Batches(few, 0.5, 0.2)
    (batch, _), *_ = Batches(few, 0.5, 0.2, augment=lambda batch, _: batch.to(dtype))
    assert batch.dtype == torch.float32 and torch.allclose(batch, plain, atol=1e-2)


def test_any_order_in_memory_will_do():
    few = pictures(channels=3)
    turned = Pictures(few.images.contiguous(memory_format=torch.channels_last), few.labels)
    one, other = (Batches(data, augment=photo_augment) for data in (few, turned))
    assert torch.equal(next(iter(one))[0], next(iter(other))[0])


def test_no_pictures_give_no_batch():
    nothing = pictures(0)
    for shuffle in (False, True):
        assert list(Batches(nothing, shuffle=shuffle, augment=photo_augment)) == []


def test_bytes_are_moved_as_floats_are():
    few = pictures()
    facts = {"mean": 0.4, "std": 0.2, "batch_size": len(few), "seed": 3}
    early = Batches(few, **facts, augment=photo_augment)
    late = Batches(few, **facts, augment=lambda *batch: photo_augment(*batch))
    ((a, _),), ((b, _),) = early, late
    assert a.dtype == torch.float32 and torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_are_the_same_however_many_are_cut_at_once(monkeypatch, shuffle):
    few = pictures()
    together = list(Batches(few, batch_size=4, shuffle=shuffle))
    monkeypatch.setattr("helpers.loaders.BLOCK", 1)
    alone = list(Batches(few, batch_size=4, shuffle=shuffle))
    assert [len(batch) for batch, _ in together] == [len(batch) for batch, _ in alone]
    for (a, some), (b, others) in zip(together, alone, strict=True):
        assert torch.equal(a, b) and torch.equal(some, others)
    seen = torch.cat([batch for batch, _ in alone]).flatten(1)
    assert len(seen) == len(few) == len(seen.unique(dim=0))


def test_features_are_handed_on_as_they_are():
    features = Pictures(torch.rand(5, 7).half(), torch.arange(5))
    first, last = Batches(features, batch_size=3)
    assert first[0].dtype == torch.float32 and torch.equal(first[0], features.images[:3].float())
    assert last[1].tolist() == [3, 4]


def test_workers_start_the_way_windows_and_macos_do(tiny):
    data = CsvImages(tiny / "train.csv", tiny / "train_images", ("dark", "bright"), size=16)
    plain = torch.cat([batch for batch, _ in make_loader(data, batch_size=4)])
    spawned = DataLoader(
        Subset(data, range(12)), batch_size=4, num_workers=2, multiprocessing_context="spawn"
    )
    assert torch.equal(torch.cat([batch for batch, _ in spawned]), plain)
    ours = make_loader(data, batch_size=4, workers=2)
    assert ours.num_workers == 2 and ours.persistent_workers
    assert torch.equal(torch.cat([batch for batch, _ in ours]), plain)


def test_one_core_starts_no_workers(monkeypatch):
    monkeypatch.setattr("helpers.loaders.cpu_cores", lambda: 1)
    assert worker_count() == 0
    monkeypatch.setattr("helpers.loaders.cpu_cores", lambda: 64)
    assert worker_count() == 4


def test_a_single_core_is_enough_to_train(tmp_path):
    code = """
import os
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import torch
from helpers.cache import Pictures
from helpers.loaders import Batches, cpu_cores, make_loader, worker_count
from helpers.models import LeNet
from helpers.training import fit
data = Pictures(torch.randint(0, 255, (8, 1, 32, 32), dtype=torch.uint8), torch.arange(8) % 2)
batches = Batches(data, 0.5, 0.5, batch_size=4)
model = LeNet(2, size=32)
history = fit(model, batches, batches, torch.optim.SGD(model.parameters(), 0.1), epochs=1)
print(cpu_cores(), worker_count(), len(history))
"""
    result = run_python(code)
    assert result.stdout == "1 0 1\n", result.stderr

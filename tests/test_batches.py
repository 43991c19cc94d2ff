"""From pictures to batches: what a DataLoader gives, sooner; the same seed, the same batches."""

import os
import pickle
import tempfile

import pytest
import torch
from torchvision.transforms import v2

from helpers import batches as room
from helpers.batches import Batches, SeededShuffle, make_loader, stratified_split
from helpers.data import CsvImages, Pictures, decode_once

LABELS = torch.tensor([0] * 50 + [1] * 20 + [2] * 5 + [3] * 2 + [4])


def pictures(count=10, channels=1, side=8):
    images = torch.randint(0, 256, (count, channels, side, side), dtype=torch.uint8)
    return Pictures(images, torch.arange(count) % 2)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("valid", "counts"), [(0.2, [10, 4, 1, 1, 0]), (0.99, [49, 19, 4, 1, 0])])
def test_each_row_is_in_one_part_and_each_class_in_both(valid, counts):
    train, held_back = stratified_split(LABELS, valid)
    assert sorted([*train.tolist(), *held_back.tolist()]) == list(range(len(LABELS)))
    assert LABELS[held_back].bincount(minlength=5).tolist() == counts
    assert torch.equal(stratified_split(LABELS, valid)[1], held_back)
    assert not torch.equal(stratified_split(LABELS, valid, seed=1)[1], held_back)
    for wrong in (0, 1, 20):
        with pytest.raises(ValueError, match="Expected a share between 0 and 1"):
            stratified_split(LABELS, wrong)


def test_shuffling_changes_with_the_epoch_and_repeats_with_the_seed():
    one, two, other = SeededShuffle(20, seed=3), SeededShuffle(20, seed=3), SeededShuffle(20, 4)
    first = list(one)
    one.set_epoch(1)
    assert sorted(first) == list(range(20)) == sorted(one) and len(one) == 20
    assert list(one) != first and list(other) != first and list(two) == first


def test_batches_are_those_of_a_data_loader(tiny, tmp_path):
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.1)  # of each channel
    normalise = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])
    options = {"classes": ("dark", "bright"), "size": 32, "channels": 3}
    files = (tiny / "train.csv", tiny / "train_images")
    slow = make_loader(CsvImages(*files, transform=normalise, **options), 5, shuffle=True)
    decoded = decode_once(CsvImages(*files, **options), tmp_path)
    fast = Batches(decoded, mean, std, batch_size=5, shuffle=True)
    assert len(slow) == len(fast) == 3
    for epoch in range(2):
        for loader in (slow, fast):
            loader.sampler.set_epoch(epoch)
        for (a, x), (b, y) in zip(slow, fast, strict=True):
            assert a.dtype == b.dtype and torch.allclose(a, b, atol=1e-6) and torch.equal(x, y)


@pytest.mark.parametrize("augment", [room.aoi_augment, room.photo_augment])
def test_augmentation_repeats_with_the_epoch(augment):
    batches = Batches(pictures(channels=3), batch_size=4, shuffle=True, augment=augment)
    first, again = [[batch for batch, _ in batches] for _ in range(2)]
    batches.sampler.set_epoch(1)
    assert all(map(torch.equal, first, again))
    assert not any(map(torch.equal, first, [batch for batch, _ in batches]))


@pytest.mark.parametrize("data", [pictures(), Pictures(torch.rand(10, 7), torch.arange(10) % 2)])
def test_what_a_loop_does_to_a_batch_stays_there(data):
    before = data.images.clone(), data.labels.clone()
    for batch in Batches(data, batch_size=4):
        for part in batch:
            part += 1
    assert torch.equal(data.images, before[0]) and torch.equal(data.labels, before[1])


def test_features_are_handed_on_as_float32():
    features = Pictures(torch.rand(5, 7).half(), torch.arange(5))
    first, last = Batches(features, 0.5, 0.5, batch_size=3, augment=room.aoi_augment)
    assert first[0].dtype == torch.float32 and torch.equal(first[0], features.images[:3].float())
    assert last[1].tolist() == [3, 4]


def test_workers_are_given_the_pictures_the_way_windows_and_macos_do_it(tiny):
    data = CsvImages(tiny / "train.csv", tiny / "train_images", ("dark", "bright"), size=16)
    sent = pickle.loads(pickle.dumps(data))
    assert all(torch.equal(one, other) for (one, _), (other, _) in zip(data, sent, strict=True))


def test_workers_as_many_as_there_are_cores_to_use(monkeypatch):
    for cores, workers in ((1, 0), (2, 2), (64, 4)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cores: range(n), raising=False)
        assert room.worker_count() == workers
    monkeypatch.setattr(tempfile, "tempdir", "/tmp/" + 80 * "x")  # there they would hang
    assert room.worker_count() == (0 if os.name == "posix" else 4)


# Augmentation


def ramp(count):
    """Pictures whose every pixel says where it was: row, column, picture."""
    rows, columns = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    number = torch.arange(count).view(-1, 1, 1).expand(-1, 8, 8)
    return torch.stack([rows.expand_as(number), columns.expand_as(number), number], 1).byte()


def test_flips_are_drawn_for_each_picture():
    batch = torch.tensor([[0, 1], [2, 3]], dtype=torch.uint8).repeat(200, 1, 1, 1)
    flipped = {tuple(picture.flatten().tolist()) for picture in room.random_flips(batch, seeded())}
    assert flipped == {(0, 1, 2, 3), (1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0)}
    assert (room.random_flips(ramp(200), seeded())[:, 2] == ramp(200)[:, 2]).all()  # in their order


def test_each_picture_is_moved_as_a_whole_by_its_own_whole_pixels():
    batch = ramp(200)
    moved = room.random_shifts(batch, seeded(), most=2)
    assert moved.dtype == torch.uint8 and torch.equal(moved[:, 2], batch[:, 2])
    middle = moved[:, :2, 3:5, 3:5].int() - batch[:, :2, 3:5, 3:5].int()  # far from the reflection
    assert (middle == middle[:, :, :1, :1]).all()
    seen = {tuple(move) for move in middle[:, :, 0, 0].tolist()}
    assert seen == {(down, right) for down in range(-2, 3) for right in range(-2, 3)}


def test_light_stays_in_range_and_differs():
    batch = torch.randint(0, 256, (50, 1, 8, 8), dtype=torch.uint8)
    assert torch.equal(room.random_light(batch, seeded(), brightness=0, contrast=0), batch)
    lit = room.random_light(batch, seeded(), brightness=0.5)
    change = lit.float().mean((1, 2, 3)) - batch.float().mean((1, 2, 3))
    assert lit.dtype == torch.uint8 and change.std() > 15
    dark = room.random_light(torch.zeros_like(batch), seeded(), brightness=0.5)
    assert dark.max() > 100 and dark.min() == 0  # not 255: it does not run over


def test_photographs_are_never_turned_upside_down():
    changed = room.photo_augment(ramp(40), seeded(1)).float()
    down = changed[:, 0, 5] - changed[:, 0, 4]
    across = (changed[:, 1, :, 5] - changed[:, 1, :, 4]).mean(dim=1)
    assert (down >= -1).all() and down.mean() > 0.5
    assert (across > 0.5).any() and (across < -0.5).any()


def test_an_inspection_picture_is_never_turned_by_a_quarter():
    rows, columns, _ = room.aoi_augment(ramp(40), seeded()).float().unbind(1)
    assert (rows.std(dim=2) < 1).all() and (columns.std(dim=1) < 1).all()

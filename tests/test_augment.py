import pytest
import torch

from helpers import augment
from helpers.augment import Bordered, photo_augment, random_flips, random_light, random_shifts
from helpers.cache import Pictures
from helpers.loaders import Batches


def test_flips_are_drawn_for_each_picture():
    batch = torch.arange(4.0).view(1, 1, 2, 2).repeat(200, 1, 1, 1)
    flipped = random_flips(batch, torch.Generator().manual_seed(0))
    assert {tuple(picture.flatten().tolist()) for picture in flipped} == {
        (0, 1, 2, 3),
        (1, 0, 3, 2),
        (2, 3, 0, 1),
        (3, 2, 1, 0),
    }


def test_light_stays_in_range_and_differs():
    batch = torch.rand(50, 1, 4, 4)
    lit = random_light(batch, torch.Generator().manual_seed(0), brightness=0.5)
    assert lit.min() >= 0 and lit.max() <= 1
    assert (lit.mean((1, 2, 3)) - batch.mean((1, 2, 3))).std() > 0.05


def ramp(count):
    """Pictures whose every pixel says where it was: row, column, picture."""
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    number = torch.arange(float(count)).view(-1, 1, 1).expand(-1, 8, 8)
    return torch.stack([rows.expand_as(number), columns.expand_as(number), number], dim=1)


def test_each_picture_is_moved_as_a_whole_by_its_own_whole_pixels():
    batch = ramp(200)
    moved = random_shifts(batch, torch.Generator().manual_seed(0), most=2)
    assert moved.shape == batch.shape and torch.equal(moved[:, 2], batch[:, 2])
    middle = moved[:, :2, 3:5, 3:5] - batch[:, :2, 3:5, 3:5]  # far enough from the reflection
    assert (middle == middle[:, :, :1, :1]).all()
    seen = {tuple(move) for move in middle[:, :, 0, 0].int().tolist()}
    assert seen == {(down, right) for down in range(-2, 3) for right in range(-2, 3)}
    corner = torch.nn.functional.pad(batch[:1], [2] * 4, mode="reflect")[0]
    cuts = [corner[:, y : y + 8, x : x + 8] for y in range(5) for x in range(5)]
    assert any(torch.equal(moved[0], cut) for cut in cuts)


def test_photographs_are_never_turned_upside_down():
    batch = ramp(40)
    changed = photo_augment(batch, torch.Generator().manual_seed(1))
    down = changed[:, 0, 5] - changed[:, 0, 4]
    across = (changed[:, 1, :, 5] - changed[:, 1, :, 4]).mean(dim=1)
    assert (down >= -1).all() and down.mean() > 0.5
    assert (across > 0.5).any() and (across < -0.5).any()


def test_a_move_that_leaves_nothing_is_refused():
    with pytest.raises(
        ValueError, match="8x8 pixels cannot be moved by up to 8: expected at most 7"
    ):
        random_shifts(ramp(3), torch.Generator(), most=8)
    assert random_shifts(ramp(3), torch.Generator(), most=7).shape == (3, 3, 8, 8)


@pytest.mark.parametrize("shape", [(50, 3, 32, 32), (9, 1, 6, 11)])
@pytest.mark.parametrize("rows", [slice(4, None), torch.tensor([7, 2, 2, 8]), slice(0)])
def test_prepared_pictures_are_changed_alike(shape, rows, monkeypatch):
    images = torch.randint(0, 256, shape, dtype=torch.uint8)
    monkeypatch.setattr(augment, "AT_ONCE", 7 * images[:1].nbytes)  # does not divide evenly
    one, other = (torch.Generator().manual_seed(5) for _ in range(2))
    cut = Bordered(images).cut(rows, one)
    assert torch.equal(cut, photo_augment(images[rows], other))
    assert torch.equal(torch.rand(3, generator=one), torch.rand(3, generator=other))


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_are_the_same_where_the_pictures_are_too_many_to_be_prepared(shuffle, monkeypatch):
    images = torch.randint(0, 256, (300, 3, 32, 32), dtype=torch.uint8)
    options = {"batch_size": 16, "shuffle": shuffle, "augment": photo_augment}
    found = []
    for most in (Bordered(images).wide.nbytes, Bordered(images).wide.nbytes - 1):
        monkeypatch.setattr(augment, "MOST_KEPT", most)
        batches = Batches(Pictures(images, torch.arange(300)), 0.4, 0.2, **options)
        again = [list(batches), list(batches)][1]  # in the second pass they are ready
        found.append((batches.prepared is not None, *map(torch.cat, zip(*again, strict=True))))
    (is_prepared, pixels, labels), (is_not, same_pixels, same_labels) = found
    assert is_prepared and not is_not
    assert torch.equal(pixels, same_pixels) and torch.equal(labels, same_labels)


def test_other_pictures_are_prepared_anew():
    dark, bright = (Pictures(torch.full((3, 3, 8, 8), x).byte(), torch.arange(3)) for x in (0, 255))
    batches = Batches(dark, augment=photo_augment)
    ((first, _),) = batches
    batches.dataset = bright
    ((second, _),) = batches
    assert first.max() == 0 and second.min() == 1


def test_pictures_that_cannot_be_moved_so_far_are_not_prepared():
    small = Pictures(torch.zeros(2, 3, 4, 9, dtype=torch.uint8), torch.arange(2))
    with pytest.raises(ValueError, match="4x9 pixels cannot be moved by up to 4"):
        list(Batches(small, augment=photo_augment))

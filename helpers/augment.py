"""Augmentation: random changes of whole batches, and what makes the one for photographs quick."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

MOST_KEPT = 2**29  # bytes that may be spent on making an augmentation quick
AT_ONCE = 2**22  # bytes of pictures


def _moves_pixels(augment: Callable) -> Callable:
    """Mark an augmentation that only moves pixels: it gets the bytes of some batches at once."""
    augment.moves_pixels = True
    return augment


@_moves_pixels
def random_flips(
    batch: Tensor, generator: torch.Generator, dimensions: Sequence[int] = (-1, -2)
) -> Tensor:
    """Mirror each picture left-right with a chance of one half, and top-bottom likewise.

    Parameters
    ----------
    batch : Tensor
        (B, channels, height, width).
    generator : torch.Generator
        Where the random numbers come from.
    dimensions : sequence of int
        -1 for left-right, -2 for top-bottom.

    Returns
    -------
    Tensor
        A new batch of the same shape.
    """
    for dimension in dimensions:
        is_mirrored = torch.rand(len(batch), generator=generator) < 0.5
        rows = torch.arange(len(batch)) + len(batch) * is_mirrored
        # whole pictures are copied: a quarter of the time of torch.where, pixel by pixel
        batch = torch.cat([batch, batch.flip(dimension)]).index_select(0, rows)
    return batch


@_moves_pixels
def random_shifts(batch: Tensor, generator: torch.Generator, most: int = 4) -> Tensor:
    """Move each picture by whole pixels, at most so many; what is left bare shows a reflection.

    Parameters
    ----------
    batch : Tensor
        (B, channels, height, width).
    generator : torch.Generator
        Where the random numbers come from.
    most : int
        Pixels, up, down, left or right.

    Returns
    -------
    Tensor
        A new batch of the same shape.

    Raises
    ------
    ValueError
        If the pictures are not larger than `most`.
    """
    count, _, height, width = batch.shape
    if most >= min(height, width):
        raise ValueError(
            f"Pictures of {height}x{width} pixels cannot be moved by up to {most}: "
            f"expected at most {min(height, width) - 1}."
        )
    if not count:
        return batch
    return _cut_out(_with_border(batch, most), torch.arange(count), generator, most)


def _with_border(batch: Tensor, most: int) -> Tensor:
    return nn.functional.pad(batch, (most,) * 4, mode="reflect").contiguous()


def _cut_out(wide: Tensor, rows: Tensor, generator: torch.Generator, most: int) -> Tensor:
    """Cut pictures out of some that have a border, each at a place of its own."""
    channels, tall, broad = wide.shape[1:]
    height, width = tall - 2 * most, broad - 2 * most
    down, across = torch.randint(2 * most + 1, (2, len(rows), 1), generator=generator)
    corners = channels * rows[:, None] + torch.arange(channels)
    starts = corners * tall * broad + down * broad + across  # of what is cut out of each channel
    # from its first pixel to its last in one run: copied whole, not row by row or pixel by pixel
    runs = wide.view(-1).unfold(0, (height - 1) * broad + width, 1)
    cut = runs.index_select(0, starts.flatten()).unfold(1, width, broad)
    return cut.view(len(rows), channels, height, width)


def random_light(
    batch: Tensor, generator: torch.Generator, brightness: float = 0.06, contrast: float = 0.1
) -> Tensor:
    """Make each picture a little brighter or darker, with a little more or less contrast.

    Parameters
    ----------
    batch : Tensor
        (B, channels, height, width) in 0..1.
    generator : torch.Generator
        Where the random numbers come from.
    brightness : float
        The largest change, as a share of the full scale.
    contrast : float
        The largest change, as a share of the picture's own contrast.

    Returns
    -------
    Tensor
        A new batch of the same shape, cut to 0..1.
    """
    lighter, stronger = 2 * torch.rand(2, len(batch), 1, 1, 1, generator=generator) - 1  # -1..1
    centre = batch.mean(dim=(1, 2, 3), keepdim=True)
    changed = (batch - centre) * (1 + contrast * stronger) + centre + brightness * lighter
    return changed.clamp_(0, 1)


def aoi_augment(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Change an AOI batch as a real line would: mirrored film, other light; see `random_flips`.

    Quarter turns are left out: they would make a horizontal defect a vertical one.
    """
    return random_light(random_flips(batch, generator), generator)


@_moves_pixels
def photo_augment(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Change small photographs as another moment would: mirrored, moved; see `random_flips`."""
    return random_shifts(random_flips(batch, generator, dimensions=[-1]), generator)


class Bordered:
    """Pictures with a border and their mirror images: `photo_augment` becomes one copy of each.

    Parameters
    ----------
    images : Tensor
        (N, channels, height, width). What is made of them is kept in memory, for CIFAR-10 three
        times their bytes: see `fits`. Later changes to them are not seen.
    most : int
        As for `random_shifts`.
    """

    def __init__(self, images: Tensor, most: int = 4) -> None:
        self.images, self.most = images, most
        count, channels, height, width = images.shape
        step = max(1, AT_ONCE // images[:1].nbytes)
        self.wide = images.new_empty(2, count, channels, height + 2 * most, width + 2 * most)
        for first in range(0, count, step):
            part = _with_border(images[first : first + step], most)
            self.wide[0, first : first + step] = part
            self.wide[1, first : first + step] = part.flip(-1)

    @staticmethod
    def fits(images: Tensor, most: int = 4) -> bool:
        """Return whether these can be moved so far, and are not too many to be kept."""
        count, channels, height, width = images.shape
        values = 2 * count * channels * (height + 2 * most) * (width + 2 * most)
        is_small = 0 < values * images.element_size() <= MOST_KEPT
        return is_small and min(height, width) > most

    def cut(self, rows: Tensor | slice, generator: torch.Generator) -> Tensor:
        """Return what `photo_augment` makes of some rows, with the same random numbers."""
        if isinstance(rows, slice):
            rows = torch.arange(len(self.images))[rows]
        is_mirrored = torch.rand(len(rows), generator=generator) < 0.5
        wide = self.wide.flatten(0, 1)
        return _cut_out(wide, rows + len(self.images) * is_mirrored, generator, self.most)


photo_augment.prepare = Bordered  # `Batches` asks every augmentation for this

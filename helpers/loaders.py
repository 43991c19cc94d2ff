"""Batches: the stratified split, seeded shuffling, the workers policy, the in-memory fast path."""

import os
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from helpers.cache import Pictures

BLOCK = 2**20  # bytes of pictures that are cut out at once: calls for a few cost more than bytes
MOST_WORKERS = 4  # more rarely helps a laptop, and each one holds a copy of the Python process


def stratified_split(labels: Tensor, valid: float = 0.2, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Split the rows into a training and a validation part, class by class.

    Parameters
    ----------
    labels : Tensor
        (N,) class numbers.
    valid : float
        The share of each class that goes to validation, between 0 and 1. A class with two
        pictures or more has at least one in each part.
    seed : int
        The same seed gives the same split.

    Returns
    -------
    train, valid : Tensor
        Row numbers in ascending order; together each row once.

    Raises
    ------
    ValueError
        If `valid` is not between 0 and 1.

    Examples
    --------
    >>> train, valid = stratified_split(torch.tensor([0] * 10 + [1] * 5), valid=0.2)
    >>> len(train), len(valid)
    (12, 3)
    """
    if not 0 < valid < 1:
        raise ValueError(f"valid is {valid}. Expected a share between 0 and 1, for example 0.2.")
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        rows = (labels == label).nonzero().flatten()
        count = min(max(1, round(valid * len(rows))), len(rows) - 1)
        chosen[rows[torch.randperm(len(rows), generator=generator)[:count]]] = True
    return (~chosen).nonzero().flatten(), chosen.nonzero().flatten()


class SeededShuffle(Sampler[int]):
    """A new order each epoch, the same orders each time: what a resumed training needs.

    Parameters
    ----------
    count : int
        How many items there are.
    seed : int
        The same seed gives the same orders.
    """

    def __init__(self, count: int, seed: int = 0) -> None:
        self.count = count
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch (the name torch's DistributedSampler uses)."""
        self.epoch = epoch

    def generator(self, rank: int = 0) -> torch.Generator:
        """Return the random numbers of this epoch, others for each process."""
        return torch.Generator().manual_seed(1000 * self.seed + self.epoch + 10**9 * rank)

    def order(self) -> Tensor:
        """Return this epoch's order, (count,) int64."""
        return torch.randperm(self.count, generator=self.generator())

    def __iter__(self) -> Iterator[int]:
        return iter(self.order().tolist())

    def __len__(self) -> int:
        return self.count


def cpu_cores() -> int:
    """Return how many CPU cores this process may use (a container may allow fewer than exist)."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worker_count() -> int:
    """Return how many DataLoader workers are worth starting here: none on a single core."""
    return 0 if cpu_cores() == 1 else min(cpu_cores(), MOST_WORKERS)


def make_loader(
    dataset: Dataset, batch_size: int = 32, shuffle: bool = False, seed: int = 0, workers: int = 0
) -> DataLoader:
    """Return a DataLoader with seeded shuffling.

    Parameters
    ----------
    dataset : Dataset
        Items (picture, label). With workers it must come from a module that can be imported: on
        Windows and macOS a worker is a new Python that imports it again.
    batch_size : int
        Pictures in a batch; the last batch may be smaller.
    shuffle : bool
        True for training.
    seed : int
        The same seed gives the same orders.
    workers : int
        Processes that load beside the training, see `worker_count`. They are kept between epochs.

    Returns
    -------
    DataLoader
        Batches of pictures (B, channels, height, width) and labels (B,).
    """
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=SeededShuffle(len(dataset), seed) if shuffle else None,
        num_workers=workers,
        persistent_workers=workers > 0,
    )


class Batches:
    """The in-memory fast path: whole batches are cut, normalised and augmented at once.

    It yields what a DataLoader over the same pictures yields, many times faster, because nothing
    is done picture by picture in Python.

    Parameters
    ----------
    pictures : Pictures
        (N, channels, height, width) uint8 and labels; or features, (N, ...) floats, which are
        handed on as they are, in float32.
    mean, std : float or sequence of float
        For the input normalisation, on the scale 0..1; one number, or one a channel.
    batch_size : int
        Pictures in a batch; the last batch may be smaller.
    shuffle : bool
        True for training.
    seed : int
        The same seed gives the same orders and augmentations.
    augment : callable, optional
        Called as augment(batch, generator) with a float batch in 0..1. Those below that only move
        pixels are given the bytes of some batches at once, and give bytes back.
    """

    def __init__(
        self,
        pictures: Pictures,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
        batch_size: int = 32,
        shuffle: bool = False,
        seed: int = 0,
        augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    ) -> None:
        self.dataset = pictures
        self.mean = torch.as_tensor(mean, dtype=torch.float32).view(1, -1, 1, 1)
        self.std = torch.as_tensor(std, dtype=torch.float32).view(1, -1, 1, 1)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.augment = augment
        self.sampler = SeededShuffle(len(pictures), seed)
        self.rank, self.processes = 0, 1  # see helpers.parallel

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = self.sampler.generator(self.rank)
        has_pixels = self.dataset.images.dtype == torch.uint8
        is_early = has_pixels and getattr(self.augment, "moves_pixels", False)
        is_late = has_pixels and self.augment is not None and not is_early
        times, plus = 1 / self.std, -self.mean / self.std  # normalised in place: quickest so
        for rows, sizes in self._blocks():
            part = self.dataset[rows]
            images = self.augment(part.images, generator) if is_early else part.images
            for batch, labels in zip(images.split(sizes), part.labels.split(sizes), strict=True):
                batch = batch.to(torch.float32, copy=True)  # (B, channels, height, width)
                scale = 255
                if is_late:
                    batch, scale = self.augment(batch.div_(255), generator).float(), 1
                yield batch.mul_(times / scale).add_(plus) if has_pixels else batch, labels.clone()

    def _blocks(self) -> Iterator[tuple[Tensor | slice, list[int]]]:
        """Yield the rows of some batches, which are cut out at once, and how many each has."""
        count = len(self.dataset)
        order = self.sampler.order() if self.shuffle else torch.arange(count)
        size = self.batch_size * self.dataset.images[:1].nbytes
        step = self.batch_size * max(1, BLOCK // max(1, size))
        for first in range(0, count, step):
            whole = order[first : first + step].split(self.batch_size)
            batches = [batch[self.rank :: self.processes] for batch in whole]
            side_by_side = not self.shuffle and self.processes == 1
            rows = slice(first, first + step) if side_by_side else torch.cat(batches)
            yield rows, [len(batch) for batch in batches]


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
    count, channels, height, width = batch.shape
    if most >= min(height, width):
        raise ValueError(
            f"Pictures of {height}x{width} pixels cannot be moved by up to {most}: "
            f"expected at most {min(height, width) - 1}."
        )
    if not count:
        return batch
    wide = nn.functional.pad(batch, (most,) * 4, mode="reflect").contiguous()
    down, across = torch.randint(2 * most + 1, (2, count, 1), generator=generator)
    tall, broad = wide.shape[2:]
    corners = torch.arange(0, wide.numel(), tall * broad).view(count, channels)
    starts = corners + (down * broad + across)  # of what is cut out of each channel
    # from its first pixel to its last in one run: copied whole, not row by row or pixel by pixel
    runs = wide.view(-1).unfold(0, (height - 1) * broad + width, 1)
    return runs.index_select(0, starts.flatten()).unfold(1, width, broad).view(batch.shape)


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

"""Batches: the stratified split, seeded shuffling, the workers policy, the in-memory fast path."""

import os
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from helpers.augment import Bordered
from helpers.cache import Pictures

BLOCK = 2**22  # bytes of pictures that are cut out at once: fewer, larger copies are quicker
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

    def generator(self) -> torch.Generator:
        """Return the random numbers of this epoch."""
        return torch.Generator().manual_seed(1000 * self.seed + self.epoch)

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
        Called as augment(batch, generator) with a float batch in 0..1. Those of helpers.augment
        that only move pixels are given the bytes of some batches at once, and give bytes back.
        `photo_augment` is not called where the first pass can prepare all pictures for it, in half
        a gigabyte: see `Bordered`.
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
        self.prepared: Bordered | None = None  # see `_cutter`
        self.sampler = SeededShuffle(len(pictures), seed)

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = self.sampler.generator()
        has_pixels = self.dataset.images.dtype == torch.uint8
        is_early = getattr(self.augment, "moves_pixels", False)
        is_late = has_pixels and self.augment is not None and not is_early
        cut = self._cutter(has_pixels and is_early)
        # (pixels / scale - mean) / std is computed in place: quickest so
        scale = 1 if is_late else 255
        times, plus = 1 / self.std / scale, -self.mean / self.std
        for rows, sizes in self._blocks():
            images, known = cut(rows, generator), self.dataset.labels[rows]
            for batch, labels in zip(images.split(sizes), known.split(sizes), strict=True):
                batch = batch.to(torch.float32, copy=True)  # (B, channels, height, width)
                if is_late:
                    batch = self.augment(batch.div_(255), generator).float()
                yield batch.mul_(times).add_(plus) if has_pixels else batch, labels.clone()

    def _cutter(self, moves_pixels: bool) -> Callable[[Tensor | slice, torch.Generator], Tensor]:
        """Return what gives the pictures of some rows, augmented here if that only moves pixels."""
        if not moves_pixels:
            return lambda rows, _: self.dataset[rows].images
        images = self.dataset.images
        prepare = getattr(self.augment, "prepare", None)
        if prepare and prepare.fits(images):
            if self.prepared is None or self.prepared.images is not images:
                self.prepared = prepare(images)
            return self.prepared.cut
        return lambda rows, generator: self.augment(self.dataset[rows].images, generator)

    def _blocks(self) -> Iterator[tuple[Tensor | slice, list[int]]]:
        """Yield the rows of some batches, which are cut out at once, and how many each has."""
        count = len(self.dataset)
        order = self.sampler.order() if self.shuffle else torch.arange(count)
        size = self.batch_size * self.dataset.images[:1].nbytes
        step = self.batch_size * max(1, BLOCK // max(1, size))
        for first in range(0, count, step):
            rows = order[first : first + step]
            sizes = [len(batch) for batch in rows.split(self.batch_size)]
            yield rows if self.shuffle else slice(first, first + step), sizes

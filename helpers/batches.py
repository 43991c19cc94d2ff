"""From decoded pictures to batches: split, shuffle, augment, normalise."""

import os
import tempfile
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import DataLoader, Dataset, Sampler

from helpers.data import Pictures

LONGEST_FOLDER = 70  # letters, of TMPDIR: workers talk by a socket in it, whose path has a limit
MOST_WORKERS = 4  # more rarely helps a laptop, and each one holds a copy of the Python process


def stratified_split(labels: Tensor, valid: float = 0.2, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return the row numbers of a training and a validation part, drawn class by class.

    A class with two pictures or more, `labels` (N,), has at least one in each part.

    >>> train, valid = stratified_split(torch.tensor([0] * 10 + [1] * 5), valid=0.2)
    >>> len(train), len(valid)
    (12, 3)
    """
    if not 0 < valid < 1:
        raise ValueError(f"valid is {valid}. Expected a share between 0 and 1, for example 0.2.")
    generator = torch.Generator().manual_seed(seed)
    held_back = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        rows = (labels == label).nonzero().flatten()
        count = min(max(1, round(valid * len(rows))), len(rows) - 1)
        held_back[rows[torch.randperm(len(rows), generator=generator)[:count]]] = True
    return (~held_back).nonzero().flatten(), held_back.nonzero().flatten()


class SeededShuffle(Sampler[int]):
    """A new order each epoch, the same orders each time: what a resumed training needs."""

    def __init__(self, count: int, seed: int = 0) -> None:
        self.count, self.seed, self.epoch = count, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch, as for torch's DistributedSampler."""
        self.epoch = epoch

    def random_numbers(self) -> torch.Generator:  # one called `generator` Accelerate would replace
        """Return what draws the random numbers of this epoch."""
        return torch.Generator().manual_seed(1000 * self.seed + self.epoch)

    def __iter__(self) -> Iterator[int]:
        return iter(torch.randperm(self.count, generator=self.random_numbers()).tolist())

    def __len__(self) -> int:
        return self.count


def worker_count() -> int:
    """Return how many DataLoader workers are worth starting: none on one core, or if they hang."""
    # a container may allow fewer cores than there are; only Linux tells
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    would_hang = os.name == "posix" and len(tempfile.gettempdir()) > LONGEST_FOLDER
    return 0 if cores == 1 or would_hang else min(cores, MOST_WORKERS)


def make_loader(dataset: Dataset, batch_size=32, shuffle=False, workers=0) -> DataLoader:
    """Return a DataLoader with seeded shuffling; its workers are kept between epochs."""
    sampler = SeededShuffle(len(dataset)) if shuffle else None
    options = {"num_workers": workers, "persistent_workers": workers > 0}
    return DataLoader(dataset, batch_size, sampler=sampler, **options)


class Batches:
    """What a DataLoader over `pictures` yields, cut and normalised a whole batch at a time.

    Parameters
    ----------
    pictures : Pictures
        (N, C, H, W) uint8; or features, (N, ...) floats, which are handed on as float32.
    mean, std : float or sequence of float
        Of the training pictures, in 0..1; one number, or one a channel.
    batch_size, shuffle, seed
        As for a DataLoader; the same seed gives the same orders and augmentations.
    augment : callable, optional
        augment(batch, generator) returns a changed uint8 batch (N, C, H, W). The generator is the
        CPU's wherever the batch is, so that every device sees the same pictures.
    """

    def __init__(
        self, pictures, mean=0.0, std=1.0, batch_size=32, shuffle=False, seed=0, augment=None
    ) -> None:
        self.pictures, self.batch_size = pictures, batch_size
        self.shuffle, self.augment = shuffle, augment
        self.mean = torch.as_tensor(mean, dtype=torch.float32).view(1, -1, 1, 1)
        self.std = torch.as_tensor(std, dtype=torch.float32).view(1, -1, 1, 1)
        self.sampler = SeededShuffle(len(pictures), seed)  # holds seed and epoch: see `fit`

    def to(self, device: torch.device) -> "Batches":
        """Move all pictures to a device: batches are then cut, augmented and normalised there."""
        self.pictures = Pictures(self.pictures.images.to(device), self.pictures.labels.to(device))
        self.mean, self.std = self.mean.to(device), self.std.to(device)
        return self

    def __len__(self) -> int:
        return -(-len(self.pictures) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator, count = self.sampler.random_numbers(), len(self.pictures)
        rows = torch.randperm(count, generator=generator) if self.shuffle else torch.arange(count)
        for few in rows.to(self.pictures.labels.device).split(self.batch_size):
            batch = self.pictures[few]
            images = batch.images
            if images.dtype == torch.uint8:
                if self.augment:
                    images = self.augment(images, generator)
                # not sub_: with the means of three channels, grey grows to three
                images = images.float().div_(255).sub(self.mean).div_(self.std)
            yield images.float(), batch.labels


def random_flips(batch: Tensor, generator: torch.Generator, dimensions=(-1, -2)) -> Tensor:
    """Mirror each picture with a chance of one half: left-right (-1), and top-bottom (-2)."""
    for dimension in dimensions:
        mirrored = (torch.rand(len(batch), generator=generator) < 0.5).to(batch.device)
        rows = torch.arange(len(batch), device=batch.device) + len(batch) * mirrored
        # whole pictures are copied: a quarter of the time of torch.where, pixel by pixel
        batch = torch.cat([batch, batch.flip(dimension)]).index_select(0, rows)
    return batch


def random_shifts(batch: Tensor, generator: torch.Generator, most: int = 4) -> Tensor:
    """Move each picture by at most so many pixels; what is left bare shows a reflection."""
    count, _, height, width = batch.shape
    wide = pad(batch, (most,) * 4, mode="reflect")
    # a view of all that could be cut out: (B, C, 2 * most + 1, 2 * most + 1, height, width)
    cuts = wide.unfold(2, height, 1).unfold(3, width, 1)
    down, across = torch.randint(2 * most + 1, (2, count), generator=generator).to(batch.device)
    return cuts[torch.arange(count, device=batch.device), :, down, across]


def random_light(
    batch: Tensor, generator: torch.Generator, brightness=0.06, contrast=0.1
) -> Tensor:
    """Change each picture's brightness by a share of 255, its contrast by one of its own."""
    chances = torch.rand(2, len(batch), 1, 1, 1, generator=generator).to(batch.device)
    lighter, stronger = 2 * chances - 1  # -1..1
    centre = batch.float().mean(dim=(1, 2, 3), keepdim=True)
    changed = (batch - centre) * (1 + contrast * stronger) + centre + 255 * brightness * lighter
    return changed.round().clamp_(0, 255).to(torch.uint8)


def aoi_augment(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Mirrored film, other light. No quarter turns: they make horizontal defects vertical ones."""
    return random_light(random_flips(batch, generator), generator)


def photo_augment(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Photographs are mirrored left-right and moved by a few pixels."""
    return random_shifts(random_flips(batch, generator, dimensions=[-1]), generator)

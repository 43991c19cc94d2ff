"""Decode every picture of a data set once, and serve them from one file ever after."""

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from helpers.catalog import data_folder
from helpers.datasets import CsvImages, OpenedData, csv_images
from helpers.files import CannotWrite, file_marks, whole_file

AHEAD = 64  # pictures that may wait to be written: memory stays flat, however many there are


@dataclass(frozen=True)
class Pictures:
    """Decoded pictures in memory or in a memory-mapped file.

    Attributes
    ----------
    images : Tensor
        (N, channels, height, width) uint8.
    labels : Tensor
        (N,) int64; -1 where there is no label.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Tensor | slice) -> "Pictures":
        """Return the pictures of some rows, for example one part of a split; of a slice, views."""
        if isinstance(rows, slice):
            return Pictures(self.images[rows], self.labels[rows])
        # whole pictures are copied, not value by value as images[rows] does: twenty times sooner
        return Pictures(self.images.index_select(0, rows), self.labels[rows])


def decode_once(dataset: CsvImages, folder: Path) -> Pictures:
    """Decode and resize every picture once; serve them from a memory-mapped file ever after.

    The file's name is a fingerprint of the picture files (names, sizes, times) and of the size and
    channels asked for, so a picture that was changed is decoded again. Where `folder` cannot be
    written to, the pictures are kept in memory.

    Parameters
    ----------
    dataset : CsvImages
        What to decode, or the `FolderImages` of helpers.archives. Its transform is not applied.
    folder : Path
        Where the cache file goes.

    Returns
    -------
    Pictures
        All pictures, in the order of the data set.

    Raises
    ------
    ValueError
        If a picture cannot be decoded; no cache is left then.
    """
    cache = Path(folder) / f"decoded-{_fingerprint(dataset)}.npy"
    pixels = _cached(cache)
    if pixels is None:
        try:
            with whole_file(cache) as partial:
                _write_npy(partial, dataset)
            pixels = _cached(cache)
        except CannotWrite as error:
            print(f"{error} The pictures are kept in memory instead.")
    if pixels is None:
        pixels = np.stack(list(_decoded(dataset)))
    return Pictures(torch.from_numpy(pixels), dataset.labels)


def _cached(cache: Path) -> np.ndarray | None:
    """Return the pixels of a cache file; None where there is none, or it was cut off."""
    try:
        # mode "c": a write would stay in memory and never reach the file
        return np.load(cache, mmap_mode="c")
    except (FileNotFoundError, ValueError, EOFError):
        return None


def _write_npy(file: Path, dataset: CsvImages) -> None:
    """Write all pictures as one .npy file, few of them in memory at a time."""
    header = {
        "descr": "|u1",
        "fortran_order": False,
        "shape": (len(dataset), dataset.channels, dataset.size, dataset.size),
    }
    with file.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for pixels in _decoded(dataset):
            stream.write(pixels.tobytes())


def _decoded(dataset: CsvImages) -> Iterator[np.ndarray]:
    """Yield the pixels of each picture in order; OpenCV lets threads decode side by side."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        rows = iter(range(len(dataset)))
        coming = deque(threads.submit(dataset.pixels, row) for row in islice(rows, AHEAD))
        for _ in tqdm(range(len(dataset)), desc="Decoding the pictures once"):
            pixels = coming.popleft().result()
            coming.extend(threads.submit(dataset.pixels, row) for row in islice(rows, 1))
            yield pixels


def _fingerprint(dataset: CsvImages) -> str:
    """Return a name that changes when a picture file, the size or the channels change."""
    digest = hashlib.sha256(f"{dataset.size} {dataset.channels} upright".encode())
    for name in dataset.ids:
        marks = file_marks(dataset.image_dir / name)
        digest.update(f"{name} {marks}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def decoded_pictures(data: OpenedData, split: str, size: int = 128) -> Pictures:
    """Return all pictures of the "train" or "test" part, decoded once.

    Parameters
    ----------
    data : OpenedData
        From `open_data`.
    split : str
        "train", or "test" (without labels).
    size : int
        Side in pixels.

    Returns
    -------
    Pictures
        (N, 1, size, size) with their labels.
    """
    return decode_once(csv_images(data, split, size=size), data_folder(data.facts.name) / "cache")

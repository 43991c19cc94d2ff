"""From a data set on disk to pixels in memory: open it, read its parts, decode them all once."""

import hashlib
import os
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from helpers.catalog import DATA_SETS, DataSet, data_folder, replace
from helpers.images import names_below, open_picture, read_table, squeezed
from helpers.own import PARTS, own_facts
from helpers.samples import sample_folder


@dataclass(frozen=True)
class OpenedData:
    """A data set on this machine: its facts, its folder, and "sample", "real" or "own"."""

    facts: DataSet
    root: Path
    source: str


def open_data(name: str) -> OpenedData:
    """Find a data set and print which one it is: the real one where it is here, else the sample.

    Another name is a folder of your own pictures below data/: see helpers/own.py.
    WORKSHOP_DATA=sample or real forces one of them.
    """
    if name not in DATA_SETS:
        return OpenedData(own_facts(name), data_folder(name) / PARTS, "own")
    facts, wanted = DATA_SETS[name], os.environ.get("WORKSHOP_DATA")
    real = data_folder(name) / "real"
    missing = facts.missing(real)
    if wanted == "real" and missing:
        raise FileNotFoundError(f"{real} has no {missing}. Run: python -m workshop data {name}")
    if wanted != "sample" and not missing:
        print(f"{facts.title}: the real data set")
        return OpenedData(facts, real, "real")
    if wanted != "sample" and real.exists():
        print(f"{real} has no {missing}, so it is not used. See: python -m workshop data {name}")
    sample = data_folder(name) / "sample"
    root = sample if sample.is_dir() else sample_folder(facts)  # made at the first use
    print(f"{facts.title}: a drawn sample in the layout of the real data set")
    return OpenedData(facts, root, "sample")


@dataclass(frozen=True)
class Pictures:
    """Pixels (N, C, H, W) uint8, or features (N, outputs), and labels (N,); -1 is no label."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Tensor | slice) -> "Pictures":
        if isinstance(rows, slice):
            return Pictures(self.images[rows], self.labels[rows])
        # whole pictures are copied, not value by value as images[rows] does: twenty times sooner
        return Pictures(self.images.index_select(0, rows), self.labels[rows])


class Images(Dataset):
    """Files with labels, decoded one by one when they are asked for: see `CsvImages`."""

    def __init__(self, samples, size, channels, transform=None) -> None:
        self.samples = samples  # [(file, label), …], as torchvision's ImageFolder has it
        self.labels = torch.tensor([label for _, label in samples], dtype=torch.int64)  # (N,)
        self.size, self.channels, self.transform = size, channels, transform

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = self.pixels(index)
        return self.transform(picture) if self.transform else picture, self.samples[index][1]

    def pixels(self, index: int) -> Tensor:
        """Return one picture as uint8 (C, size, size)."""
        return squeezed(open_picture(self.samples[index][0], self.channels), self.size)


class CsvImages(Images):
    """Pictures named by a CSV with the columns ID (file name) and Label (class number).

    Each is squeezed into a square of `size` pixels; `transform` is applied to that, which is uint8
    (channels, size, size). Without `classes`, for a test set, all labels are -1, whatever the
    table says. An error names the first file that is missing, or row that cannot be right.
    """

    def __init__(self, csv_file, image_dir, classes, size=128, channels=1, transform=None) -> None:
        rows = read_table(csv_file, labelled=bool(classes))
        numbers = {str(label): label for label in range(len(classes))}
        for name, label in rows.items():
            if classes and label not in numbers:
                found = f"{csv_file}: the label {label!r} of {name!r}"
                raise ValueError(f"{found} is no whole number from 0 to {len(classes) - 1}.")
            if not Path(image_dir, name).is_file():
                there = sorted(path.name for path in Path(image_dir).glob("*"))[:1]
                raise FileNotFoundError(f"{csv_file}: {name!r} is not in {image_dir}: {there} is.")
        samples = [(Path(image_dir, name), numbers.get(rows[name], -1)) for name in rows]
        super().__init__(samples, size, channels, transform)


def folder_samples(folder: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    """Return the pictures in one folder for each class, with labels; without classes, with -1.

    As torchvision's ImageFolder, but hidden files and folders never count, and no class may be
    without a picture or not among `classes`.
    """
    tops = {name: name.partition("/")[0] for name in names_below(folder)}
    found = sorted({*tops.values()})
    if not found or (classes and found != sorted(classes)):
        raise FileNotFoundError(f"{folder} has pictures in {found}; expected some in {[*classes]}.")
    labels = {name: label for label, name in enumerate(classes)}
    return [(folder / name, labels.get(top, -1)) for name, top in tops.items()]


class _Array:
    """Stands for all that a pickle imports: NumPy's own arrays would believe what it says."""

    def __setstate__(self, state: tuple) -> None:
        self.raw = state[-1]


class _NumbersOnly(pickle.Unpickler):
    """Unpickles what a CIFAR-10 batch holds, and imports nothing."""

    def find_class(self, module: str, name: str) -> Callable:
        return lambda *_: _Array()


def read_cifar(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read one batch of CIFAR-10: pixels (N, 3072) uint8 and labels (N,); nothing in it is run."""
    try:
        with Path(file).open("rb") as stream:
            batch = _NumbersOnly(stream, encoding="bytes").load()  # Python 2 wrote it
        labels = np.array(batch[b"labels"])
        pixels = np.frombuffer(batch[b"data"].raw, np.uint8).reshape(len(labels), 3072)
        if labels.dtype.kind != "i" or not {*labels.tolist()} <= {*range(10)}:
            raise ValueError("Expected whole labels from 0 to 9.")
    except Exception as error:  # a damaged pickle can fail in any way
        raise ValueError(f"{file} is damaged, or no CIFAR-10. {error} Fetch it again.") from error
    return pixels, labels


def image_dataset(data: OpenedData, part: str, size: int | None = None, transform=None) -> Images:
    """Return one part of a data set, for example "train", decoded one by one; see `CsvImages`."""
    facts, root = data.facts, data.root / data.facts.inner
    classes = () if part in facts.unlabelled else facts.classes
    how = size or facts.size, facts.channels, transform
    if facts.layout == "csv":
        return CsvImages(root / f"{part}.csv", root / f"{part}_images", classes, *how)
    return Images(folder_samples(root / part, classes), *how)


def pictures(data: OpenedData, part: str, size: int | None = None) -> Pictures:
    """Return all pictures of one part, decoded once; CIFAR-10 stays at 32 pixels."""
    if data.facts.layout == "cifar":
        files = {"train": [f"data_batch_{n}" for n in range(1, 6)], "test": ["test_batch"]}[part]
        batches = [read_cifar(data.root / data.facts.inner / file) for file in files]
        pixels, labels = map(np.concatenate, zip(*batches, strict=True))
        return Pictures(torch.from_numpy(pixels).view(-1, 3, 32, 32), torch.from_numpy(labels))
    return decode_once(image_dataset(data, part, size), data_folder(data.facts.name) / "cache")


def mark_of(images: Dataset, *settings: object) -> str:
    """Return a name that changes when a picture file of `images.samples` or a setting does."""
    files = [(str(path), Path(path).stat()) for path, _ in images.samples]
    marks = [(name, status.st_size, status.st_mtime_ns) for name, status in files]
    return hashlib.sha256(f"{settings} {marks}".encode(errors="surrogateescape")).hexdigest()[:16]


def decode_once(images: Images, folder: Path) -> Pictures:
    """Decode every picture once; serve them from a memory-mapped file ever after.

    The file's name is a fingerprint of the picture files, the size and the channels, so a picture
    that was changed is decoded again.
    """
    cache = Path(folder) / f"decoded-{mark_of(images, images.size, images.channels)}.uint8"
    count = len(images)

    def write(part: Path) -> None:  # not through a map: there a full disk kills the kernel
        with part.open("wb") as stream, ThreadPoolExecutor() as threads:  # Pillow lets them work
            decoded = threads.map(images.pixels, range(count))
            for pixels in tqdm(decoded, "Decoding the pictures once", count):
                stream.write(pixels.numpy())

    if not cache.is_file():
        replace(cache, write)
    # mode "c": a write would stay in memory and never reach the file
    pixels = np.memmap(cache, mode="c", shape=(count, images.channels, images.size, images.size))
    return Pictures(torch.from_numpy(pixels), images.labels)

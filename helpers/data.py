"""From files on disk to pixels in memory: open a data set, read a picture, decode them all once."""

import csv
import hashlib
import io
import os
import pickle
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from helpers.catalog import DATA_SETS, DataSet, data_folder, replace
from helpers.samples import sample_folder

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")  # no other program is started
ENDINGS = ("png", "jpg", "jpeg", "jfif", "mpo", "webp", "bmp", "tif", "tiff", "gif", "ppm")
MOST_PIXELS = 100_000_000  # a picture with more is a mistake or a bomb
MOST_SCANS = 100  # of a JPEG, 12 if it is huge: each one decodes all of it again, and 12 are usual
LEAST_SIDE, LONGEST = 16, 50  # pixels; times the shorter side
AT_ONCE = 256  # pictures that are decoded side by side
ARRAY_NAMES = ("numpy.ndarray", "numpy.dtype", "numpy.core.multiarray._reconstruct")  # in a pickle


@dataclass(frozen=True)
class OpenedData:
    """A data set on this machine: its facts, its folder, and "sample" or "real"."""

    facts: DataSet
    root: Path
    source: str


def open_data(name: str) -> OpenedData:
    """Find a data set and print which one it is: the real one where it is here, else the sample.

    WORKSHOP_DATA=sample or real forces one of them.
    """
    if name not in DATA_SETS:
        raise KeyError(f"No data set is called {name!r}. There are: {', '.join(DATA_SETS)}.")
    facts, wanted = DATA_SETS[name], os.environ.get("WORKSHOP_DATA", "")
    if wanted not in ("", "sample", "real"):
        raise ValueError(f"WORKSHOP_DATA is {wanted!r}. Set it to sample or real, or unset it.")
    real = data_folder(name) / "real"
    missing = [part for part in facts.needs if not (real / part).exists()]
    if wanted == "real" and missing:
        raise FileNotFoundError(f"{real} has no {missing[0]}. Run: python -m workshop data {name}")
    if wanted != "sample" and not missing:
        print(f"{facts.title}: the real data set")
        return OpenedData(facts, real, "real")
    if wanted != "sample" and real.exists():
        print(f"{real} has no {missing[0]}, so it is not used. See: python -m workshop data {name}")
    root = sample_folder(facts)
    print(f"{facts.title}: a drawn sample in the layout of the real data set")
    return OpenedData(facts, root, "sample")


def is_picture(path: Path) -> bool:
    """Return whether a file counts as a picture: by its ending, and it is not hidden."""
    return path.suffix.lower()[1:] in ENDINGS and not is_hidden(path.name)


def is_hidden(name: str) -> bool:
    """Return whether a system, an editor or a file server made this file or folder for itself."""
    return name.startswith((".", "@", "__"))


def open_picture(source: Path | bytes, channels: int = 3) -> Image.Image:
    """Read a picture from anybody: RGB, or grey for one channel; upright; of several the first.

    It is measured before it is decoded. A `ValueError` says what is wrong with it.
    """
    name = "the picture" if isinstance(source, bytes) else source
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    try:
        picture = Image.open(io.BytesIO(content), formats=FORMATS)  # decodes nothing yet
        short, long = sorted(picture.size)
        if short * long > MOST_PIXELS or short < LEAST_SIDE or long > LONGEST * short:
            raise ValueError(
                f"it is {picture.width}×{picture.height} pixels. Expected at least {LEAST_SIDE} "
                f"each way, at most {MOST_PIXELS / 1e6:.0f} million, and no strip"
            )
        scans = content.count(b"\xff\xda") if content[:2] == b"\xff\xd8" else 1
        if scans > MOST_SCANS or scans * short * long > 12 * MOST_PIXELS:
            raise ValueError(f"it is a JPEG with {scans} scans. Save it anew")
        ImageOps.exif_transpose(picture, in_place=True)  # as the camera was held
        if picture.mode.startswith("I;16"):  # Pillow's own conversion cuts at 255 and leaves white
            picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
        if picture.mode in ("I", "F"):
            raise ValueError("it has 32 bits per pixel. Save it with 8")
        return picture.convert("L" if channels == 1 else "RGB")
    except Image.UnidentifiedImageError:
        raise ValueError(f"{name} is not a picture in one of {', '.join(FORMATS)}.") from None
    except Exception as error:  # broken files make Pillow raise nearly anything
        raise ValueError(f"{name} cannot be used: {error}.") from error


def read_picture(path: Path, channels: int = 3) -> np.ndarray:
    """Read one picture as uint8: grey (height, width), or RGB (height, width, 3)."""
    return np.asarray(open_picture(path, channels))


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


class _Images(Dataset):
    """Files with labels, decoded one by one when they are asked for."""

    def __init__(self, samples, classes, size, channels, transform) -> None:
        self.samples = samples  # [(file, label), …], as torchvision's ImageFolder has it
        self.labels = torch.tensor([label for _, label in samples], dtype=torch.int64)  # (N,)
        self.classes, self.size = tuple(classes), size
        self.channels, self.transform = channels, transform

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = torch.from_numpy(self.pixels(index))  # (C, size, size) uint8
        if self.transform is not None:
            picture = self.transform(picture)
        return picture, self.samples[index][1]

    def pixels(self, index: int) -> np.ndarray:
        """Return one picture, squeezed into a square, as uint8 (C, size, size)."""
        picture = read_picture(self.samples[index][0], self.channels)
        # INTER_AREA averages, so fine noise does not alias; enlarging it would show blocks
        method = cv2.INTER_AREA if min(picture.shape[:2]) > self.size else cv2.INTER_LINEAR
        picture = cv2.resize(picture, (self.size, self.size), interpolation=method)
        return picture[None] if self.channels == 1 else picture.transpose(2, 0, 1).copy()


class CsvImages(_Images):
    """Pictures named by a CSV with the columns ID (file name) and Label (class number).

    Parameters
    ----------
    csv_file, image_dir : Path
        The table, and the folder that its file names refer to.
    classes : sequence of str
        Class names in the order of the labels.
    size : int
        Side in pixels of the square that every picture is squeezed into.
    channels : int
        1 for grey, 3 for RGB.
    transform : callable, optional
        Applied to the picture, uint8 (channels, size, size).
    labelled : bool
        False for a test set: its labels are -1, whatever the table says.

    Raises
    ------
    FileNotFoundError, ValueError
        If a file is missing, or a row that cannot be right; it names the row.
    """

    def __init__(
        self, csv_file, image_dir, classes, size=128, channels=1, transform=None, labelled=True
    ) -> None:
        if isinstance(classes, str):
            raise ValueError(f"classes is the text {classes!r}. Expected several names: (…, …).")
        rows = _read_table(csv_file, len(classes) if labelled else None)
        self.ids, samples = list(rows), [(Path(image_dir, n), label) for n, label in rows.items()]
        if missing := [file.name for file, _ in samples if not file.is_file()]:
            there = sorted(path.name for path in Path(image_dir).glob("*"))[:1]
            raise FileNotFoundError(
                f"{len(missing)} of {len(rows)} pictures of {csv_file} are not in {image_dir}: "
                f"{missing[0]!r} is the first. What is there begins with {there}."
            )
        super().__init__(samples, classes, size, channels, transform)


def _read_table(csv_file: Path, classes: int | None) -> dict[str, int]:
    """Return the label of each ID, a number below `classes`, or -1 for all; check every row."""
    rows, allowed = {}, {str(label) for label in range(classes or 0)}
    with Path(csv_file).open(encoding="utf-8-sig", newline="") as stream:
        table = csv.DictReader(stream, restval="")
        names = list(table.fieldnames or ())
        if absent := {"ID", "Label" if classes else "ID"} - set(names):
            raise ValueError(
                f"{csv_file} has no column {min(absent)!r}. Its first line is {','.join(names)!r}; "
                "expected ID,Label, with commas and in these letters."
            )
        for row in table:
            if not any(row.values()):  # a spreadsheet leaves empty rows at the end
                continue
            name, label = row["ID"], row["Label"].strip() if classes else ""
            path = PureWindowsPath(name)  # it knows / and C: and \\ on every system
            if name in rows:
                problem = f"{name!r} is there already"
            elif path.anchor or ".." in path.parts:
                problem = f"{name!r} is outside its folder"
            elif classes and label not in allowed:
                problem = f"the label {label!r} is no class, a whole number from 0 to {classes - 1}"
            else:
                rows[name] = int(label or -1)
                continue
            raise ValueError(f"{csv_file}, line {table.line_num}: {problem}.")
    if not rows:
        raise ValueError(f"{csv_file} has no rows. It needs one line for each picture.")
    return rows


class FolderImages(_Images):
    """Photographs in one folder for each class; without classes, in one folder.

    As torchvision's ImageFolder, but hidden files and folders never count, and the class folders
    must be those of `classes`, whose order gives the labels.
    """

    def __init__(
        self, folder: Path, classes: Sequence[str], size=64, channels=3, transform=None
    ) -> None:
        folder, samples = Path(folder), []
        found = [path.name for path in folder.iterdir() if path.is_dir()]
        found = sorted(name for name in found if not is_hidden(name))
        if classes and found != sorted(classes):
            raise ValueError(
                f"{folder} has the class folders {', '.join(found) or '(none)'}; expected "
                f"{', '.join(classes)}."
            )
        for label, name in enumerate(classes or [""], start=0 if classes else -1):
            samples += [(file, label) for file in _picture_files(folder / name)]
        super().__init__(samples, classes, size, channels, transform)


def _picture_files(folder: Path) -> list[Path]:
    """Return the pictures below a folder, in order; print how many other files are left out."""
    paths = [path.relative_to(folder) for path in sorted(folder.rglob("*"))]
    paths = [folder / path for path in paths if not any(map(is_hidden, path.parts))]
    others = [path.name for path in paths if not is_picture(path) and path.is_file()]
    if others:
        print(f"{folder}: {len(others)} files are left out, no pictures, such as {others[0]}")
    if not (files := list(filter(is_picture, paths))):
        raise FileNotFoundError(f"There is no picture in {folder}.")
    return files


class _Array:
    """Stands for NumPy's array and dtype, which would believe whatever a pickle says of memory."""

    def __init__(self, *_: object) -> None:
        self.raw = b""

    def __setstate__(self, state: tuple) -> None:
        self.raw = state[-1]


class _NumbersOnly(pickle.Unpickler):
    """Unpickles what a CIFAR-10 batch holds, and imports nothing."""

    def find_class(self, module: str, name: str) -> type:
        # NumPy 2 calls numpy.core numpy._core
        if module.replace("_core", "core") + "." + name not in ARRAY_NAMES:
            raise ValueError(f"It wants to import {module}.{name}. Nothing was run.")
        return _Array


def read_cifar(file: Path, classes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Read one batch of CIFAR-10: pixels (N, 3072) uint8 and labels (N,); nothing in it is run."""
    batch = _load_pickle(file)
    labels, raw = np.array(batch.get(b"labels")), getattr(batch.get(b"data"), "raw", None)
    if not isinstance(raw, bytes) or labels.ndim != 1 or len(raw) != 3072 * len(labels):
        raise ValueError(f"{file} is damaged: expected 3072 bytes for each label.")
    if labels.dtype.kind != "i" or not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"{file} is damaged: expected whole labels from 0 to {classes - 1}.")
    return np.frombuffer(raw, np.uint8).reshape(-1, 3072), labels


def _load_pickle(file: Path) -> dict:
    try:
        with Path(file).open("rb") as stream:
            return dict(_NumbersOnly(stream, encoding="bytes").load())  # Python 2 wrote it
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        raise ValueError(f"{file} is no CIFAR-10 file. {error} Fetch it again.") from error


def _cifar_pictures(folder: Path, part: str, classes: Sequence[str]) -> Pictures:
    names = _load_pickle(folder / "batches.meta").get(b"label_names")
    if names != [name.encode() for name in classes]:
        raise ValueError(f"batches.meta lists the classes {names}; expected {', '.join(classes)}.")
    files = ["test_batch"] if part == "test" else [f"data_batch_{n}" for n in range(1, 6)]
    batches = [read_cifar(folder / file, len(classes)) for file in files]
    pixels, labels = map(np.concatenate, zip(*batches, strict=True))
    return Pictures(torch.from_numpy(pixels).view(-1, 3, 32, 32), torch.from_numpy(labels))


def image_dataset(data: OpenedData, part: str, size: int | None = None, transform=None) -> _Images:
    """Return one part of a data set, for example "train", decoded one by one; see `CsvImages`."""
    facts = data.facts
    _check_part(facts, part)
    size, labelled = size or facts.size, part not in facts.unlabelled
    if facts.layout == "csv":
        table, folder = data.root / f"{part}.csv", data.root / f"{part}_images"
        return CsvImages(table, folder, facts.classes, size, facts.channels, transform, labelled)
    folder, classes = data.root / facts.inner / part, facts.classes if labelled else ()
    return FolderImages(folder, classes, size, facts.channels, transform)


def pictures(data: OpenedData, part: str, size: int | None = None) -> Pictures:
    """Return all pictures of one part, decoded once; CIFAR-10 stays at 32 pixels."""
    facts = data.facts
    if facts.layout == "cifar":
        _check_part(facts, part)
        return _cifar_pictures(data.root / facts.inner, part, facts.classes)
    return decode_once(image_dataset(data, part, size), data_folder(facts.name) / "cache")


def _check_part(facts: DataSet, part: str) -> None:
    if part not in facts.pictures:
        raise ValueError(
            f"{facts.title} has no part {part!r}. There are: {', '.join(facts.pictures)}."
        )


def mark_of(images: Dataset, *settings: object) -> str:
    """Return a name that changes when a picture file of `images.samples` or a setting does."""
    files = [(str(path), Path(path).stat()) for path, _ in images.samples]
    marks = [(name, status.st_size, status.st_mtime_ns) for name, status in files]
    return hashlib.sha256(f"{settings} {marks}".encode(errors="surrogateescape")).hexdigest()[:16]


def decode_once(images: CsvImages | FolderImages, folder: Path) -> Pictures:
    """Decode every picture once; serve them from a memory-mapped file ever after.

    The file's name is a fingerprint of the picture files, the size and the channels, so a picture
    that was changed is decoded again.
    """
    cache = Path(folder) / f"decoded-{mark_of(images, images.size, images.channels)}.npy"
    count = len(images)
    shape = count, images.channels, images.size, images.size

    def write(part: Path) -> None:  # not through a map: there a full disk kills the kernel
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        bar = tqdm(total=count, desc="Decoding the pictures once")
        with part.open("wb") as stream, ThreadPoolExecutor() as threads, bar:
            np.lib.format.write_array_header_1_0(stream, header)
            for first in range(0, count, AT_ONCE):  # so many wait for the disk at most
                rows = range(first, min(first + AT_ONCE, count))
                for pixels in threads.map(images.pixels, rows):  # Pillow lets threads work
                    stream.write(pixels.tobytes())
                    bar.update()

    if not cache.is_file():
        replace(cache, write)
    # mode "c": a write would stay in memory and never reach the file
    return Pictures(torch.from_numpy(np.load(cache, mmap_mode="c")), images.labels)

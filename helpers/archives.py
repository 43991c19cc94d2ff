"""From an unpacked archive to tensors: CIFAR-10's batches, and folders of classes."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.datasets import ImageFolder

from helpers import cifar
from helpers.cache import Pictures, decode_once
from helpers.catalog import data_folder
from helpers.datasets import OpenedData

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif")
MOST_PIXELS = 100_000_000  # a picture with more is a mistake or a bomb
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # it warns below that
DEEP = ("I;16", "I;16L", "I;16B", "I;16N")  # Pillow's names for 16 bits


def cifar_batches(folder: Path, split: str, classes: Sequence[str] | int = 10) -> Pictures:
    """Read the "train" or "test" part of CIFAR-10 into memory; nothing in the files is run.

    Parameters
    ----------
    folder : Path
        cifar-10-batches-py.
    split : {"train", "test"}
        Five batches, or one.
    classes : sequence of str or int
        Class names, which batches.meta must then list in the same order; or how many.

    Returns
    -------
    Pictures
        images (N, 3, 32, 32) uint8, labels (N,) int64, in the order of the files. The official
        set has 50,000 and 10,000; fewer are accepted.

    Raises
    ------
    FileNotFoundError, ValueError
        See `helpers.cifar.read_batch`; ValueError as well if the classes are others.
    """
    files = cifar.batch_files(folder, split)
    if not isinstance(classes, int):
        named = cifar.load(Path(folder) / "batches.meta").get("label_names")
        named = [str(name, "latin1") if isinstance(name, bytes) else name for name in named or ()]
        if named != list(classes):
            raise ValueError(
                f"batches.meta lists the classes {', '.join(map(str, named)) or '(none)'}; "
                f"expected {', '.join(classes)}. {cifar.AGAIN}"
            )
        classes = len(classes)
    # Each batch goes to its place and is let go before the next one is read: holding all of them
    # and joining them at the end takes twice the memory and twice the time.
    most = sum(file.stat().st_size for file in files if file.is_file()) // cifar.PIXELS
    images = np.empty((most, cifar.PIXELS), dtype=np.uint8)
    labels = np.empty(most, dtype=np.int64)
    rows = 0
    for file in files:
        pixels, numbers = cifar.read_batch(file, classes)
        images[rows : rows + len(pixels)] = pixels
        labels[rows : rows + len(pixels)] = numbers
        rows += len(pixels)
    images = torch.from_numpy(images[:rows]).view(-1, 3, 32, 32)
    return Pictures(images, torch.from_numpy(labels[:rows]))


def read_photo(path: Path) -> Image.Image:
    """Read one photograph as RGB, upright.

    CMYK, grey, palette and 16-bit pictures are converted; a picture that a camera stored lying on
    its side is turned as its EXIF entry says.

    Parameters
    ----------
    path : Path
        Any kind of picture that Pillow reads, whatever its name ends in.

    Returns
    -------
    PIL.Image.Image
        Mode RGB.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, cut off, no picture, animated, far too large, or has no 8 or 16 bits.
    """
    path = Path(path)
    try:
        with Image.open(path) as picture:
            problem = _problem(picture)
            if not problem:
                picture.load()
                upright = ImageOps.exif_transpose(picture)
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no picture {path}.") from None
    except MemoryError:
        raise
    except Exception as error:  # broken files make Pillow raise nearly anything
        raise ValueError(
            f"{path.name} in {path.parent} cannot be decoded: it is damaged, cut off, or not a "
            f"picture ({error}). Get it again, or delete it."
        ) from error
    if problem:
        raise ValueError(f"{path.name} {problem}, or delete it.")
    if upright.mode in DEEP:  # Pillow's own conversion would clip at 255 and leave white
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    if upright.mode in ("I", "F"):
        raise ValueError(
            f"{path.name} has 32 bits per pixel, expected 8 or 16. Convert it, or delete it."
        )
    return upright.convert("RGB")


def _problem(picture: Image.Image) -> str:
    """Return what is wrong with a picture before it is decoded; nothing if it is right."""
    if getattr(picture, "n_frames", 1) > 1 and picture.format != "MPO":
        return (
            f"is an animated {picture.format} with {picture.n_frames} pictures. "
            "Save one of them as a file of its own"
        )
    if picture.width * picture.height > MOST_PIXELS:
        return (
            f"is {picture.width}×{picture.height} pixels, expected at most "
            f"{MOST_PIXELS / 1e6:.0f} million. Make it smaller"
        )
    return ""


class _Folder(ImageFolder):
    """torchvision's ImageFolder, without what the system or an editor puts into folders."""

    def find_classes(self, directory: str | Path) -> tuple[list[str], dict[str, int]]:
        names = sorted(
            path.name
            for path in Path(directory).iterdir()
            if path.is_dir() and not path.name.startswith((".", "_"))
        )
        return names, {name: label for label, name in enumerate(names)}


def _is_picture(path: str) -> bool:
    return not Path(path).name.startswith(".") and path.lower().endswith(PICTURES)


class FolderImages(Dataset):
    """Photographs in one folder for each class, decoded one by one when they are asked for.

    Parameters
    ----------
    folder : Path
        With a folder for each class; or, without classes, with the pictures themselves.
    classes : sequence of str
        Class names in the order of the labels; empty for a test set, whose labels are -1.
    size : int
        Side in pixels of the square that every picture is squeezed into.
    transform : callable, optional
        Applied to the picture, a uint8 tensor (3, size, size).

    Raises
    ------
    FileNotFoundError
        If the folder is missing, or a class folder has no picture.
    ValueError
        If the class folders are others; reading an item raises what `read_photo` raises.
    """

    channels = 3

    def __init__(
        self,
        folder: Path,
        classes: Sequence[str],
        size: int = 64,
        transform: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.image_dir = Path(folder)
        self.classes = tuple(classes)
        self.size = size
        self.transform = transform
        if not self.image_dir.is_dir():
            raise FileNotFoundError(
                f"There is no folder {folder}. Was the archive unpacked completely?"
            )
        samples = self._labelled() if classes else self._unlabelled()
        # names below the folder, with / on every system
        self.ids = [Path(path).relative_to(self.image_dir).as_posix() for path, _ in samples]
        self.labels = torch.tensor([label for _, label in samples], dtype=torch.int64)  # (N,)

    def _labelled(self) -> list[tuple[str, int]]:
        files = _Folder(self.image_dir, is_valid_file=_is_picture, allow_empty=True)
        if sorted(self.classes) != files.classes:
            raise ValueError(
                f"{self.image_dir} has the class folders {', '.join(files.classes) or '(none)'}; "
                f"expected {', '.join(self.classes)}. Rename or move what does not belong there."
            )
        counts = np.bincount(files.targets, minlength=len(files.classes))
        if not counts.all():
            empty = files.classes[int(counts.argmin())]
            raise FileNotFoundError(
                f"The class folder {self.image_dir / empty} has no picture. "
                "Was the archive unpacked completely?"
            )
        order = [self.classes.index(name) for name in files.classes]
        return [(path, order[label]) for path, label in files.samples]

    def _unlabelled(self) -> list[tuple[str, int]]:
        paths = sorted(path for path in self.image_dir.iterdir() if _is_picture(str(path)))
        if not paths:
            raise FileNotFoundError(f"{self.image_dir} has no picture.")
        return [(str(path), -1) for path in paths]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = torch.from_numpy(self.pixels(index))  # (3, size, size) uint8
        if self.transform is not None:
            picture = self.transform(picture)
        return picture, int(self.labels[index])

    def pixels(self, index: int) -> np.ndarray:
        """Return one resized picture as uint8 (3, size, size)."""
        picture = np.asarray(read_photo(self.image_dir / self.ids[index]))  # (height, width, 3)
        is_larger = min(picture.shape[:2]) > self.size
        # INTER_AREA averages when shrinking; when enlarging it would show blocks
        method = cv2.INTER_AREA if is_larger else cv2.INTER_LINEAR
        picture = cv2.resize(picture, (self.size, self.size), interpolation=method)
        return np.ascontiguousarray(picture.transpose(2, 0, 1))


def folder_images(data: OpenedData, split: str, **options) -> FolderImages:
    """Return one part of an opened data set of photographs.

    Parameters
    ----------
    data : OpenedData
        From `helpers.datasets.open_data`.
    split : str
        A part that the catalog names, for example "train"; "test1" has no labels.
    **options
        For `FolderImages`: size, transform.

    Returns
    -------
    FolderImages
        One item a picture.
    """
    classes = () if split == "test1" else data.facts.classes
    return FolderImages(data.root / data.facts.inner / split, classes, **options)


def pictures(data: OpenedData, split: str, size: int = 64) -> Pictures:
    """Return all pictures of one part of CIFAR-10, food or pets.

    Parameters
    ----------
    data : OpenedData
        From `helpers.datasets.open_data`.
    split : str
        A part that the catalog names, for example "train".
    size : int
        Side in pixels; CIFAR-10 stays at 32.

    Returns
    -------
    Pictures
        (N, 3, size, size). Photographs are decoded once and kept in data/<name>/cache.

    Raises
    ------
    ValueError
        If there is no such part; see also `cifar_batches` and `FolderImages`.
    """
    if split not in data.facts.pictures:
        parts = ", ".join(data.facts.pictures)
        raise ValueError(f"{data.facts.title} has no part {split!r}. There are: {parts}.")
    if data.facts.name == "cifar10":
        return cifar_batches(data.root / data.facts.inner, split, data.facts.classes)
    cache = data_folder(data.facts.name) / "cache"
    return decode_once(folder_images(data, split, size=size), cache)

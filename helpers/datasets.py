"""From files on disk to tensors: open a data set, read one picture, the Dataset."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from helpers.catalog import DATA_SETS, DataSet, missing_parts, real_folder
from helpers.samples import sample_folder
from helpers.tables import read_table

SMALLEST_SIDE = 16  # pixels; a picture smaller than this is a thumbnail or a mistake


@dataclass(frozen=True)
class OpenedData:
    """A data set that is on this machine.

    Attributes
    ----------
    facts : DataSet
        Its entry in the catalog.
    root : Path
        The folder with the data set in its genuine layout, for example train.csv, train_images/,
        test.csv and test_images/, or dogscats/train/cats/ and so on.
    source : str
        "sample" for the drawn stand-in, "real" for the real data set.
    """

    facts: DataSet
    root: Path
    source: str


def open_data(name: str) -> OpenedData:
    """Find a data set on this machine and print which one it is; draw the sample if need be.

    The real data set is taken where it lies in data/<name>/real, else the sample. Set
    WORKSHOP_DATA to "sample" or "real" to force one.

    Parameters
    ----------
    name : str
        Its name in the catalog, for example "aoi".

    Returns
    -------
    OpenedData
        Where it lies.

    Raises
    ------
    KeyError
        If the catalog has no such data set.
    FileNotFoundError
        If WORKSHOP_DATA is "real" and the real data set is not there.
    ValueError
        If WORKSHOP_DATA is neither "sample" nor "real".
    """
    if name not in DATA_SETS:
        raise KeyError(f"No data set is called {name!r}. There are: {', '.join(DATA_SETS)}.")
    facts = DATA_SETS[name]
    wanted = os.environ.get("WORKSHOP_DATA", "")
    if wanted not in ("", "sample", "real"):
        raise ValueError(f"WORKSHOP_DATA is {wanted!r}. Set it to sample or real, or unset it.")
    real = real_folder(facts)
    missing = missing_parts(facts, real)
    if wanted == "real" and missing:
        raise FileNotFoundError(
            f"WORKSHOP_DATA is real, but {real} has no {missing[0]}. "
            f"Run python -m helpers data {name} (it comes from {facts.page}), "
            "or unset WORKSHOP_DATA to use the sample."
        )
    if not missing and wanted != "sample":
        print(f"{facts.title}: the real data set")
        return OpenedData(facts, real, "real")
    if real.exists() and wanted != "sample":
        print(f"{real} has no {missing[0]}, so it is not used. See: python -m helpers data {name}")
    folder = sample_folder(facts)
    print(f"{facts.title}: a drawn sample in the layout of the real data set")
    return OpenedData(facts, folder, "sample")


def read_picture(path: Path, channels: int = 1) -> np.ndarray:
    """Read one picture with OpenCV.

    The bytes are read by NumPy and decoded by OpenCV, because cv2.imread cannot open a path with
    letters outside ASCII on Windows.

    Parameters
    ----------
    path : Path
        A PNG, JPEG, BMP or TIFF file with 8 bits per channel.
    channels : int
        1 for grey; 3 for RGB (a grey file is repeated three times).

    Returns
    -------
    numpy.ndarray
        uint8, (height, width) for one channel, (height, width, 3) in the order RGB for three.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty, damaged, tiny, not a picture, or of another depth or colour.
    """
    path = Path(path)
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except (FileNotFoundError, IsADirectoryError):
        raise FileNotFoundError(f"There is no picture {path}.") from None
    if not len(data):
        raise ValueError(f"{path.name} is empty (0 bytes). Copy or download it again.")
    try:
        # as it is, but upright: telephones store how they were held
        picture = cv2.imdecode(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        picture = None
    if picture is None:
        raise ValueError(
            f"{path.name} cannot be decoded: it is damaged, cut off, far too large, or not a "
            "picture. Copy or download it again."
        )
    if picture.dtype != np.uint8:
        raise ValueError(
            f"{path.name} has {8 * picture.itemsize} bits per channel, expected 8. "
            "Convert it first; for 16 bits: (picture // 257).astype('uint8')."
        )
    if min(picture.shape[:2]) < SMALLEST_SIDE:
        height, width = picture.shape[:2]
        raise ValueError(
            f"{path.name} is {width}×{height} pixels, expected at least "
            f"{SMALLEST_SIDE}×{SMALLEST_SIDE}. Is it a thumbnail?"
        )
    if channels == 3:
        is_grey = picture.ndim == 2
        return cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB if is_grey else cv2.COLOR_BGR2RGB)
    if picture.ndim == 3:
        raise ValueError(
            f"{path.name} is a colour picture ({picture.shape[2]} channels), expected grey. "
            "Pass channels=3 to use colour, or convert the file to grey."
        )
    return picture


class CsvImages(Dataset):
    """Pictures named by a CSV, decoded one by one when they are asked for.

    Parameters
    ----------
    csv_file : Path
        Columns ID and Label, see `read_table`.
    image_dir : Path
        The folder with the pictures.
    classes : sequence of str
        Class names in the order of the labels.
    size : int
        Side in pixels of the square that every picture is resized to.
    channels : int
        1 for grey, 3 for RGB.
    transform : callable, optional
        Applied to the picture, a uint8 tensor (channels, size, size).
    labelled : bool
        False for a test set; its labels are -1.

    Raises
    ------
    FileNotFoundError, ValueError
        See `read_table`; reading an item raises what `read_picture` raises.
    """

    def __init__(
        self,
        csv_file: Path,
        image_dir: Path,
        classes: Sequence[str],
        size: int = 128,
        channels: int = 1,
        transform: Callable[[Tensor], Tensor] | None = None,
        labelled: bool = True,
    ) -> None:
        self.image_dir = Path(image_dir)
        self.classes = tuple(classes)
        self.size = size
        self.channels = channels
        self.transform = transform
        table = read_table(csv_file, image_dir, classes, labelled)
        self.ids = list(table["ID"])
        self.labels = torch.from_numpy(table["Label"].to_numpy(copy=True))  # (N,)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = torch.from_numpy(self.pixels(index))  # (channels, size, size) uint8
        if self.transform is not None:
            picture = self.transform(picture)
        return picture, int(self.labels[index])

    def pixels(self, index: int) -> np.ndarray:
        """Return one resized picture as uint8 (channels, size, size)."""
        picture = read_picture(self.image_dir / self.ids[index], self.channels)
        # cv2.resize takes (width, height). INTER_AREA averages, so fine noise does not alias.
        picture = cv2.resize(picture, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return picture[None] if self.channels == 1 else picture.transpose(2, 0, 1).copy()


def csv_images(data: OpenedData, split: str, **options) -> CsvImages:
    """Return the "train" or "test" part of an opened CSV data set.

    Parameters
    ----------
    data : OpenedData
        From `open_data`.
    split : str
        "train", or "test" (without labels).
    **options
        For `CsvImages`: size, channels, transform.

    Returns
    -------
    CsvImages
        One item a row of train.csv or test.csv.
    """
    return CsvImages(
        data.root / f"{split}.csv",
        data.root / f"{split}_images",
        data.facts.classes,
        labelled=split == "train",
        **options,
    )

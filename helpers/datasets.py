"""From files on disk to tensors: the CSV, one picture, the Dataset, the decode-once cache."""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from helpers.catalog import DATA_SETS, DataSet, data_folder
from helpers.files import NOT_WRITABLE, whole_file
from helpers.samples import sample_folder

if TYPE_CHECKING:
    import pandas as pd

SMALLEST_SIDE = 16  # pixels; a picture smaller than this is a thumbnail or a mistake


@dataclass(frozen=True)
class OpenedData:
    """A data set that is on this machine.

    Attributes
    ----------
    facts : DataSet
        Its entry in the catalog.
    root : Path
        The folder with train.csv, train_images/, test.csv and test_images/.
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
    real = data_folder(name) / "real"
    has_real = (real / "train.csv").is_file()
    if wanted == "real" and not has_real:
        raise FileNotFoundError(
            f"WORKSHOP_DATA is real, but {real} has no train.csv. Get the data set from "
            f"{facts.page} and unpack it there, or unset WORKSHOP_DATA to use the sample."
        )
    if has_real and wanted != "sample":
        print(f"{facts.title}: the real data set")
        return OpenedData(facts, real, "real")
    folder = sample_folder(facts)
    print(f"{facts.title}: a drawn sample in the layout of the real data set")
    return OpenedData(facts, folder, "sample")


def read_table(
    csv_file: Path, image_dir: Path, classes: Sequence[str], labelled: bool = True
) -> "pd.DataFrame":
    """Read a CSV with the columns ID (file name) and Label (class number); check every row.

    Parameters
    ----------
    csv_file : Path
        The table.
    image_dir : Path
        The folder that the file names refer to.
    classes : sequence of str
        Class names; a label is a position in it.
    labelled : bool
        False for a test set: what stands in Label is ignored.

    Returns
    -------
    pandas.DataFrame
        ID as str; Label as int64, -1 where there is none.

    Raises
    ------
    FileNotFoundError
        If the CSV or a picture it names is missing.
    ValueError
        If the CSV is empty, has other columns, or a row that cannot be right.
    """
    import pandas as pd

    csv_file, image_dir = Path(csv_file), Path(image_dir)
    if not csv_file.is_file():
        raise FileNotFoundError(f"There is no file {csv_file}. Check the name and the folder.")
    try:
        table = pd.read_csv(csv_file, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{csv_file.name} is not a readable CSV file ({error}). "
            "It needs a first line ID,Label and one line for each picture, in UTF-8."
        ) from error
    for column in ("ID", "Label"):
        if column not in table.columns:
            raise ValueError(
                f"{csv_file.name} has no column {column!r}. Found: {', '.join(table.columns)}. "
                "Column names are case-sensitive."
            )
    table = table[["ID", "Label"]]
    if table.empty:
        raise ValueError(f"{csv_file.name} has no rows. It needs one line for each picture.")
    _check_ids(table["ID"], csv_file.name, image_dir)
    table["Label"] = (
        _whole_labels(table["Label"], csv_file.name, classes)
        if labelled
        else np.full(len(table), -1, dtype=np.int64)
    )
    return table


def _check_ids(ids: "pd.Series", csv_name: str, image_dir: Path) -> None:
    """Refuse a file name that is listed twice, leads out of the folder, or is not there."""
    twice = ids[ids.duplicated()]
    if len(twice):
        raise ValueError(
            f"{csv_name} lists {twice.iloc[0]!r} more than once. Keep one line for each picture."
        )
    for row, name in enumerate(ids, start=2):  # line 1 is the header
        path = PurePosixPath(name.replace("\\", "/"))
        if not name or path.is_absolute() or ".." in path.parts or ":" in name:
            raise ValueError(
                f"{csv_name}, line {row}: the ID {name!r} is not a file name inside "
                f"{image_dir.name}/. Write a plain name such as train_00000.png."
            )
    missing = [name for name in ids if not (image_dir / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of the {len(ids)} pictures that {csv_name} lists are not in "
            f"{image_dir}, the first is {missing[0]!r}. Was the archive unpacked completely?"
        )


def _whole_labels(labels: "pd.Series", csv_name: str, classes: Sequence[str]) -> np.ndarray:
    """Return the labels as int64; refuse what is not a whole number of a class."""
    allowed = {str(number): number for number in range(len(classes))}
    for row, label in enumerate(labels, start=2):
        if label.strip() not in allowed:
            raise ValueError(
                f"{csv_name}, line {row}: the label {label!r} is not a class. Expected a whole "
                f"number from 0 to {len(classes) - 1} ({', '.join(classes)})."
            )
    return np.array([allowed[label.strip()] for label in labels], dtype=np.int64)


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
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no picture {path}.") from None
    if not len(data):
        raise ValueError(f"{path.name} is empty (0 bytes). Copy or download it again.")
    try:
        picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        picture = None
    if picture is None:
        raise ValueError(
            f"{path.name} cannot be decoded: it is damaged, cut off, or not a picture. "
            "Copy or download it again."
        )
    if picture.dtype != np.uint8:
        raise ValueError(
            f"{path.name} has {8 * picture.itemsize} bits per channel, expected 8. "
            "Convert it first: cv2.convertScaleAbs(picture, alpha=255 / picture.max())."
        )
    if min(picture.shape[:2]) < SMALLEST_SIDE:
        height, width = picture.shape[:2]
        raise ValueError(
            f"{path.name} is {width}×{height} pixels, expected at least "
            f"{SMALLEST_SIDE}×{SMALLEST_SIDE}. Is it a thumbnail?"
        )
    if channels == 3:
        to_rgb = {2: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}
        last = picture.shape[2] if picture.ndim == 3 else 2
        return cv2.cvtColor(picture, to_rgb[last])
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

    Examples
    --------
    >>> data = CsvImages("train.csv", "train_images", ("good", "bad"))  # doctest: +SKIP
    >>> picture, label = data[0]                                        # doctest: +SKIP
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

    def __getitem__(self, index: Tensor) -> "Pictures":
        """Return some of the pictures, for example one part of a split."""
        return Pictures(self.images[index], self.labels[index])


def decode_once(dataset: CsvImages, folder: Path) -> Pictures:
    """Decode and resize every picture once; serve them from a memory-mapped file ever after.

    The file's name is a fingerprint of the picture files (names, sizes, times) and of the size and
    channels asked for, so a changed picture is never served stale. Where `folder` cannot be
    written to, the pictures are kept in memory.

    Parameters
    ----------
    dataset : CsvImages
        What to decode. Its transform is not applied.
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
    shape = (len(dataset), dataset.channels, dataset.size, dataset.size)
    cache = Path(folder) / f"decoded-{_fingerprint(dataset)}.npy"
    if not cache.is_file():
        try:
            with whole_file(cache) as partial:
                pixels = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
                _decode_into(pixels, dataset)
                pixels.flush()
                del pixels  # Windows cannot rename a file that is still mapped
        except OSError as error:
            if error.errno not in NOT_WRITABLE:
                raise
            print(f"{error.strerror} The pictures are kept in memory instead.")
            pixels = np.empty(shape, dtype=np.uint8)
            _decode_into(pixels, dataset)
            return Pictures(torch.from_numpy(pixels), dataset.labels)
    # mode "c": a write would stay in memory and never reach the file
    return Pictures(torch.from_numpy(np.load(cache, mmap_mode="c")), dataset.labels)


def _fingerprint(dataset: CsvImages) -> str:
    """Return a name that changes when a picture file, the size or the channels change."""
    digest = hashlib.sha256(f"{dataset.size} {dataset.channels}".encode())
    for name in dataset.ids:
        status = (dataset.image_dir / name).stat()
        digest.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _decode_into(pixels: np.ndarray, dataset: CsvImages) -> None:
    """Fill `pixels` with all pictures; OpenCV lets threads decode side by side."""

    def decode(index: int) -> None:
        pixels[index] = dataset.pixels(index)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        todo = threads.map(decode, range(len(dataset)))
        for _ in tqdm(todo, total=len(dataset), desc="Decoding the pictures once"):
            pass


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

"""Read the pickled files of CIFAR-10 without letting them run anything."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np

PIXELS = 3 * 32 * 32  # one row: the red plane, the green plane, the blue plane
AGAIN = "Delete the folder and fetch CIFAR-10 again."


class ForbiddenImport(ValueError):
    """A pickle wanted to import something that a batch does not need."""


class _Bytes:
    """Stands for NumPy's dtype; a batch holds bytes and nothing else."""

    def __setstate__(self, state: object) -> None:
        """Take no notice: whatever stands there, the data are read as bytes."""


class _Array:
    """Stands for NumPy's array while a batch is read: no code of NumPy sees what the file says."""

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, columns_first, data = state
        if not isinstance(kind, _Bytes) or not isinstance(shape, tuple):
            raise ValueError("its pixels are not bytes")
        if isinstance(data, str):  # how Python 3 writes bytes in the old form
            data = data.encode("latin1")
        pixels = np.frombuffer(data, dtype=np.uint8)  # (rows * PIXELS,), no copy
        self.pixels = pixels.reshape(shape, order="F" if columns_first else "C")


def _new_array(kind: object, shape: object, code: object) -> _Array:
    return _Array()


def _new_dtype(name: object, *options: object) -> _Bytes:
    if name not in ("u1", b"u1", "uint8", b"uint8"):
        raise ValueError(f"its pixels are of the type {name!r}, expected bytes (u1)")
    return _Bytes()


def _old_bytes(text: object, encoding: object) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise ValueError("it holds text in an unknown encoding")
    return text.encode("latin1")


def _array_from_bytes(data: bytes, kind: _Bytes, shape: tuple, order: str) -> _Array:
    array = _Array()
    array.__setstate__((1, shape, kind, order == "F", data))
    return array


# What stands in a batch's pickle -> what is put in its place. NumPy 2 renamed numpy.core.
ALLOWED: dict[tuple[str, str], Callable | str] = {
    ("numpy", "ndarray"): "numpy.ndarray",  # handed on to _new_array only, never called
    ("numpy", "dtype"): _new_dtype,
    ("_codecs", "encode"): _old_bytes,
}
for core in ("numpy.core", "numpy._core"):
    ALLOWED[f"{core}.multiarray", "_reconstruct"] = _new_array
    ALLOWED[f"{core}.numeric", "_frombuffer"] = _array_from_bytes


class _Unpickler(pickle.Unpickler):
    """Unpickles numbers, text, lists, dictionaries and arrays of bytes; nothing else."""

    def find_class(self, module: str, name: str) -> Callable | str:
        if (module, name) not in ALLOWED:
            raise ForbiddenImport(f"{module}.{name}")
        return ALLOWED[module, name]


def load(path: Path) -> dict:
    """Unpickle one file of CIFAR-10: a dictionary of plain values and arrays of bytes.

    Parameters
    ----------
    path : Path
        A batch or batches.meta, written by Python 2 (the official files) or 3.

    Returns
    -------
    dict
        With text for keys.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, or wants to import what no batch needs; nothing has been run then.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}. Was the archive unpacked completely?")
    try:
        with path.open("rb") as file:
            content = _Unpickler(file, encoding="bytes").load()
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}, expected a dictionary")
        return {
            key.decode("latin1") if isinstance(key, bytes) else str(key): value
            for key, value in content.items()
        }
    except ForbiddenImport as error:
        raise ForbiddenImport(
            f"{path.name} wants to import {error}, which no CIFAR-10 file needs. Nothing was run. "
            "Delete the folder and fetch CIFAR-10 again from a source you trust."
        ) from None
    except Exception as error:  # a damaged pickle can fail in any way
        raise ValueError(f"{path.name} is no readable CIFAR-10 file ({error}). {AGAIN}") from error


def read_batch(path: Path, classes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Read one batch.

    Parameters
    ----------
    path : Path
        For example data_batch_1.
    classes : int
        How many classes there are; a label is 0 to classes - 1.

    Returns
    -------
    numpy.ndarray, numpy.ndarray
        Pixels (N, 3072) uint8, not to be written to, and labels (N,) int64.

    Raises
    ------
    FileNotFoundError, ValueError
        See `load`; ValueError as well for wrong shapes, lengths or labels.
    """
    path = Path(path)
    batch = load(path)
    for key in ("data", "labels"):
        if key not in batch:
            raise ValueError(f"{path.name} has no {key!r}. Found: {', '.join(batch)}. {AGAIN}")
    pixels = getattr(batch["data"], "pixels", None)
    if pixels is None or pixels.ndim != 2 or pixels.shape[1] != PIXELS or not len(pixels):
        found = "no array of bytes" if pixels is None else f"shape {pixels.shape}"
        raise ValueError(
            f"{path.name}: expected data of shape (N, {PIXELS}), found {found}. {AGAIN}"
        )
    labels = batch["labels"]
    if not isinstance(labels, list) or len(labels) != len(pixels):
        found = f"{len(labels)} labels" if isinstance(labels, list) else "no list of labels"
        raise ValueError(f"{path.name}: expected {len(pixels)} labels, found {found}. {AGAIN}")
    if set(map(type, labels)) != {int} or min(labels) < 0 or max(labels) >= classes:
        wrong = next(x for x in labels if type(x) is not int or not 0 <= x < classes)
        raise ValueError(
            f"{path.name}: expected labels 0 to {classes - 1}, found {wrong!r}. {AGAIN}"
        )
    return pixels, np.array(labels, dtype=np.int64)


def batch_files(folder: Path, split: str) -> list[Path]:
    """Return the files of the "train" or "test" part in their official order.

    Raises
    ------
    ValueError
        If `split` is neither.
    """
    names = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
    if split not in names:
        raise ValueError(f"CIFAR-10 has no part {split!r}. There are: train, test.")
    return [Path(folder) / name for name in names[split]]

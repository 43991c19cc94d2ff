"""A file of equal rows, written in checked blocks: what an interruption leaves is used again."""

import errno
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import numpy as np

from helpers.files import DISK_FULL, CannotWrite, explained, locked

BLOCK = 32  # rows that are written and checked together


def rows_of(block: int, count: int) -> range:
    """Return the numbers of a block's rows; the last block of `count` rows may be shorter."""
    return range(block * BLOCK, min((block + 1) * BLOCK, count))


class BlockFile:
    """Rows of numbers of one shape, and beside them a journal with a checksum for each block.

    Parameters
    ----------
    file : Path
        The numbers; the journal has the same name with the ending .journal.
    count : int
        How many rows it has when it is finished.
    dtype : numpy.dtype
        Of the numbers.

    Raises
    ------
    CannotWrite
        Each method, where the disk is full or the folder is read-only.
    """

    def __init__(self, file: Path, count: int, dtype: np.dtype) -> None:
        self.file, self.count, self.dtype = Path(file), count, dtype
        self.journal = self.file.with_suffix(".journal")
        self.blocks = range(-(-count // BLOCK))

    def alone(self) -> AbstractContextManager:
        """Let one kernel write while others wait."""
        return locked(self.file.with_suffix(".lock"), "computing the same features")

    def good(self) -> tuple[tuple[int, ...], set[int]]:
        """Return the shape of a row by the journal, and the blocks whose checksums still hold."""
        try:
            text = self.journal.read_text(encoding="ascii")
            shape = tuple(json.loads(text.partition("\n")[0])["shape"])
            lines = re.findall(r"^(\d+) (\d+) $", text, re.MULTILINE)  # no half ones
            sums = {int(block): int(checksum) for block, checksum in lines}
            good, size = set(), self._row_bytes(shape)
            with self.file.open("rb") as file:
                for block, checksum in sums.items():
                    file.seek(block * BLOCK * size)
                    if zlib.crc32(file.read(len(rows_of(block, self.count)) * size)) == checksum:
                        good.add(block)
        except FileNotFoundError:
            return (), set()
        except (ValueError, KeyError, TypeError):
            print("The journal of the feature cache is damaged, so everything is computed again.")
            return (), set()
        if len(good) < len(sums):
            damaged = len(sums) - len(good)
            print(f"The feature cache is damaged: {damaged} of {len(sums)} blocks do not fit.")
            print("They are computed again.")
        return shape, good

    def row(self, number: int, shape: tuple[int, ...]) -> np.ndarray:
        """Read one row."""
        size = self._row_bytes(shape)
        with self.file.open("rb") as file:
            file.seek(number * size)
            return np.frombuffer(file.read(size), self.dtype).reshape(shape).copy()

    def map(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return all rows of a finished file, (count, *shape), memory-mapped."""
        # mode "c": a write would stay in memory and never reach the file
        return np.memmap(self.file, self.dtype, mode="c", shape=(self.count, *shape))

    def write(
        self, computed: Iterable[tuple[int, np.ndarray]], shape: tuple[int, ...] | None = None
    ) -> tuple[int, ...]:
        """Write each block to its place as it comes, then its checksum to the journal.

        Parameters
        ----------
        computed : iterable of (int, numpy.ndarray)
            The number of a block, and its rows.
        shape : tuple of int, optional
            Of a row, to go on with the file that is there; without it, a new one takes its place.

        Returns
        -------
        tuple of int
            The shape of a row.
        """
        if shape is None:
            self._drop()
        try:
            for block, values in computed:
                with self._explained():
                    if shape is None:
                        shape = values.shape[1:]
                        self.file.touch()
                        self.journal.write_text(json.dumps({"shape": shape}), encoding="ascii")
                    self._put(block, values.tobytes(), block * BLOCK * self._row_bytes(shape))
        except CannotWrite as error:
            if error.errno in DISK_FULL:  # what is there would only keep the disk full
                self._remove()
            raise
        return shape

    def _put(self, block: int, content: bytes, place: int) -> None:
        # written, not stored through a map: there a full disk is a crash
        with self.file.open("r+b") as file:
            file.seek(place)
            file.write(content)
        with self.journal.open("a", encoding="ascii") as journal:
            # a line break first: an earlier line may have been cut off before its last blank
            journal.write(f"\n{block} {zlib.crc32(content)} ")

    def _row_bytes(self, shape: tuple[int, ...]) -> int:
        return int(np.prod(shape)) * self.dtype.itemsize

    def _drop(self) -> None:
        """Remove the file, never shorten it: another kernel may have it mapped."""
        self._remove()
        if self.file.exists():  # Windows keeps what is mapped somewhere
            raise explained(PermissionError(errno.EACCES, "in use"), self.file)

    def _remove(self) -> None:
        for file in (self.journal, self.file):
            with suppress(OSError):
                file.unlink(missing_ok=True)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say what to do where the file itself cannot be written."""
        try:
            yield
        except OSError as error:
            raise explained(error, self.file) from error

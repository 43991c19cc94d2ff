"""The samples, stand-ins for the real data sets: shipped as archives, or drawn (AOI)."""

import gzip
import shutil
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from helpers.catalog import MB, SHIPPED, DataSet, data_folder, replace
from helpers.samples import aoi

MOST_PATHS = 400_000  # the 37,500 pictures of dogs and cats lie three folders deep: 150,000


def sample_folder(facts: DataSet) -> Path:
    """Return the folder of a data set's sample; unpack or draw it if it is not there."""
    folder = data_folder(facts.name) / "sample"

    def write(part: Path) -> None:
        archive = SHIPPED / facts.archive.file
        unpack(archive, part, facts.archive.unpacked)
        shutil.copy(archive, part)  # steps 11 and 12 look into it, as into the real one

    if not folder.is_dir():
        replace(folder, write if facts.archive else aoi.write)
    return folder


def unpack(archive: Path, folder: Path, largest: int) -> None:
    """Unpack a .zip, .tgz or .tar.gz of plain files, at most `largest` bytes together.

    `zipfile` and tarfile's "data" filter see to it that nothing is written outside `folder`. After
    an error it may be half full: unpack into one that is thrown away then, see `catalog.replace`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if archive.suffix.lower() == ".zip":
        with zipfile.ZipFile(archive) as bundle:
            entries = [(info, info.filename, info.file_size) for info in bundle.infolist()]
            for info in list(_measured(entries, archive.name, largest)):  # all before the first
                bundle.extract(info, folder)  # writes the declared size at most, checks the CRC
        return
    with _Stream(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tape:
        entries = ((member, member.name, member.size) for member in tape)
        for member in _measured(entries, archive.name, largest):  # each before it is written
            if member.issparse() or not (member.isfile() or member.isdir()):
                raise ValueError(f"{archive.name}: {member.name!r} is no plain file or folder.")
            tape.extract(member, folder, set_attrs=False, filter="data")
        # Only the end of a gzip file tells that something was cut off or flipped before it.
        if len(stream.read(MB)) == MB:
            raise ValueError(f"{archive.name} goes on after its end. Get it again.")


def _measured(entries: Iterable[tuple[Any, str, int]], source: str, largest: int) -> Iterator[Any]:
    """Pass on the first of each (entry, name, bytes), until there are too many of something."""
    space, paths = largest, MOST_PATHS
    for entry, name, size in entries:
        space -= size
        paths -= len(Path(name).parts)  # so many files and folders are made at most
        if size < 0 or space < 0 or paths < 0:
            limits = f"{largest / MB:,.0f} MB or {MOST_PATHS:,} files and folders"
            raise ValueError(f"{source} holds more than {limits}. Get it from its source again.")
        yield entry


class _Stream(gzip.GzipFile):
    """A gzip file that a tar header cannot make read a gigabyte into memory."""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MB:
            raise ValueError(f"{self.name} has a header of {size:,} bytes. Get it again.")
        return super().read(size)

"""The samples, stand-ins for the real data sets: three are shipped as archives, AOI is drawn."""

import gzip
import shutil
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from helpers.catalog import MB, SHIPPED, DataSet, data_folder, replace
from helpers.samples import aoi

# Far more than any data set here has: the real dogs and cats are 37,500 files in 11 folders.
MOST_ENTRIES, MOST_FOLDERS = 100_000, 1_000


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
            entries = ((info, info.filename, info.file_size) for info in bundle.infolist())
            for info in list(_measured(entries, archive.name, largest)):  # all before the first
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise ValueError(f"{archive.name} is packed in an unusual way. Zip it again.")
                bundle.extract(info, folder)  # writes the declared size at most, checks the CRC
        return
    with _Stream(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tape:
        entries = ((member, member.name + "/" * member.isdir(), member.size) for member in tape)
        for member in _measured(entries, archive.name, largest):  # each before it is written
            if member.issparse() or not (member.isfile() or member.isdir()):
                raise ValueError(f"{archive.name}: {member.name!r} is no plain file or folder.")
            tape.extract(member, folder, set_attrs=False, filter="data")
        # Only the end of a gzip file tells that something was cut off or flipped before it.
        if len(stream.read(MB)) == MB:
            raise ValueError(f"{archive.name} goes on after its end. Get it again.")


def _measured(entries: Iterable[tuple[Any, str, int]], source: str, largest: int) -> Iterator[Any]:
    """Pass on the first of each (entry, name, bytes), until there are too many of something."""
    left, seen, folders = largest, set(), 0
    for count, (entry, name, size) in enumerate(entries, 1):
        holder = Path(name + "?").parent  # of "a/", which is a folder, "a"
        if holder not in seen:
            seen.add(holder)
            folders += len(holder.parts)  # so many are made at most
        if not 0 <= size <= left or count > MOST_ENTRIES or folders > MOST_FOLDERS:
            raise ValueError(
                f"{source} holds more than {largest / MB:,.0f} MB, {MOST_ENTRIES:,} entries or "
                f"{MOST_FOLDERS:,} folders. Get it from its source again."
            )
        left -= size
        yield entry


class _Stream(gzip.GzipFile):
    """A gzip file that a tar header cannot make read a gigabyte into memory."""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MB:
            raise ValueError(f"{self.name} has a header of {size:,} bytes. Get it again.")
        return super().read(size)

"""Where real files come from: a folder, the room's mirror, the official address; and trust."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from hashlib import md5
from pathlib import Path
from urllib.parse import urlsplit

import pooch
from tqdm.auto import tqdm

from helpers.catalog import Archive, data_folder
from helpers.download import CHUNK, INSTEAD, DownloadError, Resumable
from helpers.files import NOT_WRITABLE, explained, locked, whole_file

pooch.get_logger().setLevel("WARNING")  # where a download goes is said here, in one line

SUMS = "SHA256SUMS"
BETTER_SPEED = 100e3  # bytes per second; a server below it is left for the fallback address


class Supply:
    """Where files come from: a folder, the room's mirror, or the official addresses.

    Parameters
    ----------
    source : str or Path, optional
        A folder; without it the environment variable WORKSHOP_MIRROR decides.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    """

    def __init__(self, source: str | Path | None = None) -> None:
        self.folder = Path(source).expanduser() if source else None
        self.mirror = "" if source else os.environ.get("WORKSHOP_MIRROR", "").rstrip("/")
        if self.folder and not self.folder.is_dir():
            raise FileNotFoundError(f"There is no folder {self.folder}. Is the stick plugged in?")
        if self.mirror and "://" not in self.mirror:
            self.mirror = f"http://{self.mirror}"

    def __str__(self) -> str:
        return str(self.folder or self.mirror or "the official address")

    @cached_property
    def sums(self) -> dict[str, str]:
        """SHA-256 by file name, from the SHA256SUMS of the folder or mirror."""
        if self.folder:
            file = self.folder / SUMS
            return read_sums(file.read_text(encoding="utf-8-sig")) if file.is_file() else {}
        if self.mirror:
            work = data_folder("download")
            with alone(work):
                fresh = work / SUMS
                Resumable(work / f"{SUMS}.part", 1_000_000)(f"{self.mirror}/{SUMS}", str(fresh))
                return read_sums(fresh.read_text(encoding="utf-8-sig"))
        return {}

    def get(self, archive: Archive, work: Path, room: float) -> tuple[Path, str]:
        """Bring a file into the folder `work`; return its path and one sentence on its origin."""
        target = work / archive.file
        if self.folder:
            self._copy(archive, target)
        elif self.mirror:
            if archive.file not in self.sums:
                has = ", ".join(self.sums) or "nothing"
                raise FileNotFoundError(
                    f"The mirror {self.mirror} does not have {archive.file}. It has: {has}. "
                    "Ask the instructor, or unset WORKSHOP_MIRROR to use the official address."
                )
            known = f"sha256:{self.sums[archive.file]}"
            self._download([f"{self.mirror}/{archive.file}"], archive, target, known, room)
        else:
            known = archive.hash if archive.official else ""
            self._download(list(archive.urls), archive, target, known, room)
        try:
            return target, self._origin(archive, target)
        except ValueError:
            target.unlink()
            raise

    def _copy(self, archive: Archive, target: Path) -> None:
        """Copy a file from the folder, with a progress bar."""
        source = self.folder / archive.file
        if not source.is_file():
            raise FileNotFoundError(
                f"{self.folder} has no file {archive.file}. Expected it there under this name, "
                f"with {SUMS} beside it where it is not the official file."
            )
        for left in target.parent.glob(f".{target.name}.*"):  # by a copy that was killed
            shutil.rmtree(left)
        size = source.stat().st_size
        bar = tqdm(total=size, unit="B", unit_scale=True, desc=archive.file)
        with source.open("rb") as here, whole_file(target) as part, part.open("wb") as there, bar:
            while chunk := here.read(CHUNK):
                there.write(chunk)
                bar.update(len(chunk))

    def _download(
        self, urls: list[str], archive: Archive, target: Path, known: str, room: float
    ) -> None:
        """Download a file from the first address that works."""
        if not urls:
            raise FileNotFoundError(
                f"{archive.file} is not published anywhere. Get it from the instructor: "
                "--from DIR with a USB stick, or WORKSHOP_MIRROR."
            )
        largest = int(1.2 * archive.size) + 1_000_000
        part = target.with_name(f"{target.name}.part")
        for number, url in enumerate(urls, start=1):
            is_last = number == len(urls)
            downloader = Resumable(part, largest, 1000.0 if is_last else BETTER_SPEED, room)
            try:
                pooch.retrieve(
                    url, known or None, target.name, target.parent, downloader=downloader
                )
                return
            except DownloadError as error:
                if is_last:
                    raise
                print(f"{error} Trying {urlsplit(urls[number]).hostname} instead.")
            except ValueError as error:  # pooch: the hash is another one
                if is_last:
                    raise ValueError(
                        f"{archive.file} came down damaged: its hash is not the expected one. "
                        "It was deleted; run this again."
                    ) from error

    def _origin(self, archive: Archive, file: Path) -> str:
        """Return one sentence on whether the file is the official one; refuse what nobody knows."""
        if file.suffix == ".pth":
            digits = file.stem.rsplit("-", 1)[-1]
            if not pooch.file_hash(file).startswith(digits):
                raise ValueError(
                    f"{file.name} from {self} is damaged: its SHA-256 does not start with "
                    f"{digits}. Get it again."
                )
            return "the official file, as the hash in its name says"
        if archive.hash and _fits(file, archive.hash):
            kind = archive.hash.partition(":")[0].upper()
            if archive.official:
                return f"the official archive, {kind} verified"
            return f"{kind} verified, as a public copy notes it; the author publishes none"
        if file.name in self.sums:
            if not _fits(file, f"sha256:{self.sums[file.name]}"):
                raise ValueError(
                    f"{file.name} from {self} is damaged: it is not what {SUMS} beside it says. "
                    "Copy it again."
                )
            is_other = archive.hash or file.stat().st_size != archive.size
            which = "not the official archive; " if archive.urls and is_other else ""
            return f"{which}verified by the {SUMS} of {self}"
        if self.folder:
            raise ValueError(
                f"{file.name} in {self} is refused: it is not the official file, and no {SUMS} "
                "beside it names it, so nothing says whether it is whole. Copy that file too."
            )
        with file.open("rb") as stream:
            start = stream.read(2**20)
        size = file.stat().st_size
        if size != archive.size or (
            archive.start_md5 and md5(start).hexdigest() != archive.start_md5
        ):
            raise ValueError(
                f"{file.name} is {size:,} bytes, expected {archive.size:,}, or begins differently: "
                f"it is cut off or has changed since this workshop was written. {INSTEAD}"
            )
        return "no official hash is known for it; its size is right and its folders are complete"


def read_sums(text: str) -> dict[str, str]:
    """Read a SHA256SUMS file as sha256sum writes it.

    Parameters
    ----------
    text : str
        Lines of 64 hexadecimal digits, a space, a space or an asterisk, and a file name.

    Returns
    -------
    dict of str to str
        Digits by file name. Lines of another form and names with folders are left out.

    Examples
    --------
    >>> read_sums("0" * 64 + "  a.zip")["a.zip"][:8]
    '00000000'
    """
    sums = {}
    for line in text.splitlines():
        digits, _, name = line.strip().partition(" ")
        name = name.lstrip(" *").removeprefix("./")
        is_hash = len(digits) == 64 and set(digits.lower()) <= set("0123456789abcdef")
        if is_hash and name and not set(name) & set("/\\:"):
            sums[name] = digits.lower()
    return sums


def _fits(file: Path, known: str) -> bool:
    """Tell whether a file has a hash, given as "md5:…" or "sha256:…"."""
    algorithm, _, digits = known.partition(":")
    return pooch.file_hash(file, alg=algorithm) == digits


@contextmanager
def alone(work: Path) -> Iterator[None]:
    """Make the folder `work` and keep other processes out of it; empty it when all went well."""
    lock = work / ".lock"
    with locked(lock, "fetching the same"):
        try:
            yield
            for leftover in work.iterdir():
                if leftover != lock:
                    leftover.unlink(missing_ok=True)
        except OSError as error:
            if error.errno not in NOT_WRITABLE:
                raise
            raise explained(error, work) from error

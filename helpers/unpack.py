"""Unpack an archive that nobody vouches for, or refuse it with a sentence."""

import gzip
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path
from unicodedata import normalize

MOST_ENTRIES = 100_000
LONGEST_READ = 64 * 2**20  # bytes; tarfile asks for more at once only when a header is a bomb
LONGEST_NAME, LONGEST_PATH = 200, 400  # characters
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
FORBIDDEN = set('<>:"|?*\\') | {chr(code) for code in range(32)}
RESERVED = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    f"{port}{number}" for port in ("com", "lpt") for number in "123456789¹²³"
}


def unpack(archive: Path, folder: Path, largest: int) -> None:
    """Unpack a .zip, .tgz or .tar.gz file into a folder.

    Only plain files and folders come out. After an error `folder` may be half full: unpack into
    one that is thrown away then, see `files.whole_folder`.

    Parameters
    ----------
    archive : Path
        The file to unpack.
    folder : Path
        An existing folder.
    largest : int
        Bytes that the contents may have together.

    Raises
    ------
    ValueError
        If the file is damaged or no such archive, holds more than `largest` bytes or more than
        MOST_ENTRIES entries, or holds an entry that leads out of the folder, that is no plain file
        or folder, that appears twice, or whose name Windows or macOS cannot hold.
    OSError
        If the disk is full or `folder` is read-only.
    """
    archive, folder = Path(archive), Path(folder)
    guard = _Guard(archive.name, largest)
    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as bundle:
                _unpack_zip(bundle, folder, guard)
        else:
            # not "r:gz": the stream's own length must be watched, header by header
            with _Stream(archive, guard) as stream, tarfile.open(fileobj=stream, mode="r:") as tape:
                _unpack_tar(tape, folder, guard)
                stream.read_to_end()
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise ValueError(
            f"{archive.name} is damaged or not an archive ({error}). Download or copy it again."
        ) from error
    except NotImplementedError as error:  # a zip compressed in a way that Python does not know
        raise ValueError(f"{archive.name} cannot be unpacked: {error}.") from error


def _unpack_tar(tape: tarfile.TarFile, folder: Path, guard: "_Guard") -> None:
    """Unpack one entry after the other; tarfile's own "data" filter looks at each as well."""
    for member in tape:
        if not (member.isfile() or member.isdir()):
            kind = "a link" if member.issym() or member.islnk() else "a device or a pipe"
            guard.refuse(f"{member.name!r} is {kind}; only plain files and folders are unpacked")
        if guard.accepts(member.name, member.size, member.isdir()):
            tape.extract(member, folder, set_attrs=False, filter="data")


def _unpack_zip(bundle: zipfile.ZipFile, folder: Path, guard: "_Guard") -> None:
    """Unpack one entry after the other; zipfile stops at the declared size and checks the CRC."""
    for info in bundle.infolist():
        # zipfile turns \ into / on Windows, and cuts a name at a zero byte: look at the original
        name = info.orig_filename
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            guard.refuse(f"{name!r} is a link or a device; only plain files are unpacked")
        if info.flag_bits & 1 or info.compress_type not in (
            zipfile.ZIP_STORED,
            zipfile.ZIP_DEFLATED,
        ):
            guard.refuse(f"{name!r} needs a password or an unusual method to unpack")
        if guard.accepts(name, info.file_size, info.is_dir()):
            bundle.extract(info, folder)


class _Guard:
    """What was seen of one archive so far, and the refusals that follow from it."""

    def __init__(self, name: str, largest: int) -> None:
        self.name = name
        self.largest = largest
        self.bytes = 0
        self.entries = 0
        # what a file system that is blind to case sees -> as written, and "file" or "folder"
        self.seen: dict[str, tuple[str, str]] = {}

    def refuse(self, reason: str) -> None:
        raise ValueError(f"{self.name} was not unpacked: {reason}. Get the file from its source.")

    def accepts(self, name: str, size: int, is_folder: bool) -> bool:
        """Refuse a bad entry; return False for one that is left out."""
        self.entries += 1
        self.bytes += size
        if self.entries > MOST_ENTRIES:
            self.refuse(f"it holds more than {MOST_ENTRIES:,} entries")
        if self.bytes > self.largest:
            self.refuse(
                f"its contents are larger than the {self.largest / 1e6:,.0f} MB "
                "that this data set may have"
            )
        parts = self._checked_parts(name)
        self._check_spelling(name, parts, is_folder)
        return bool(parts) and parts[0] != "__MACOSX" and not parts[-1].startswith("._")

    def _checked_parts(self, name: str) -> list[str]:
        """Return the parts of an entry's path; refuse names that not every system can hold."""
        if name.startswith(("/", "\\")) or name[1:2] == ":":
            self.refuse(f"{name!r} is an absolute path")
        if ".." in name.replace("\\", "/").split("/"):
            self.refuse(f"{name!r} leads out of the folder")
        if len(name) > LONGEST_PATH:
            self.refuse(f"the path {name[:40]!r}… is longer than {LONGEST_PATH} characters")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        for part in parts:
            if (
                FORBIDDEN & set(part)
                or part[-1] in ". "
                or part.split(".")[0].rstrip().lower() in RESERVED
                or len(part) > LONGEST_NAME
            ):
                self.refuse(f"{name[:80]!r} is a name that Windows cannot hold")
        return parts

    def _check_spelling(self, name: str, parts: list[str], is_folder: bool) -> None:
        """Refuse two entries that are one and the same file for Windows or macOS."""
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth])
            kind = "folder" if is_folder or depth < len(parts) else "file"
            key = normalize("NFC", path).casefold()
            before, seen_as = self.seen.get(key, (path, ""))
            if before != path:
                self.refuse(
                    f"{path!r} and {before!r} differ only in capitals or accents, "
                    "which is one and the same on Windows and macOS"
                )
            if seen_as and (kind, seen_as) != ("folder", "folder"):
                self.refuse(f"{name!r} appears twice")
            self.seen[key] = (path, kind)


class _Stream(gzip.GzipFile):
    """A gzip stream that ends in a refusal, not in full memory or a full disk."""

    def __init__(self, path: Path, guard: _Guard) -> None:
        super().__init__(path, "rb")
        self.guard = guard
        # each entry has a header and is padded: 1 KB each, and some at the end
        self.longest = guard.largest + 1024 * MOST_ENTRIES + 2**20

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= LONGEST_READ or self.tell() + size > self.longest:
            self.guard.refuse("it unpacks to more than it says it holds")
        return super().read(size)

    def read_to_end(self) -> None:
        """Read what follows the last entry, so that a cut or flipped end is noticed too."""
        while self.read(2**20):
            pass

"""Write a file or a folder whole, or not at all."""

import contextlib
import errno
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
NOT_WRITABLE = DISK_FULL + READ_ONLY
STALE_SECONDS = 3600  # a left-over older than this belongs to a process that was killed


class CannotWrite(OSError):
    """The disk is full or a folder is read-only; says what to do about it."""

    def __str__(self) -> str:
        return self.strerror


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Hand out a path beside `path` to write to; move it into place when all went well.

    Whoever reads `path` meanwhile sees the old file or the new one, never half of one. After an
    error the old file is still there.

    Parameters
    ----------
    path : Path
        The file to write or replace. Missing folders are made.

    Yields
    ------
    Path
        Where to write.

    Raises
    ------
    OSError
        With a sentence that says what to do, when the disk is full or the folder is read-only.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_stale(path)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(descriptor)
    except OSError as error:
        raise explained(error, path) from error
    partial = Path(name)
    try:
        with _disk_full_explained(path):
            yield partial
        try:
            partial.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
            _move(partial, path)
        except OSError as error:
            raise explained(error, path) from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Hand out an empty folder beside `path` to fill; move it into place when all went well.

    Two processes may do this at once: both fill a folder of their own, the first one to finish
    wins and the other's work is dropped.

    Parameters
    ----------
    path : Path
        The folder to make. It must not be there yet.

    Yields
    ------
    Path
        The folder to fill.

    Raises
    ------
    OSError
        With a sentence that says what to do, when the disk is full or the folder is read-only.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_stale(path)
        partial = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    except OSError as error:
        raise explained(error, path) from error
    try:
        with _disk_full_explained(path):
            yield partial
        try:
            partial.chmod(0o777 & ~_umask())
            _move(partial, path)
        except OSError as error:
            if not path.is_dir():  # otherwise another process was faster, with the same content
                raise explained(error, path) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def file_marks(path: Path) -> tuple[int, int, int]:
    """Return the size and the times of a file: what changes when somebody changes the file."""
    status = Path(path).stat()
    # st_ctime_ns changes on Linux and macOS even where a copy keeps the old time
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def split_at_marks(text: str, marks: tuple[str, str], name: str) -> tuple[str, str, str]:
    """Return what stands up to the first mark, between the two, and from the second mark on.

    Raises
    ------
    ValueError
        If a mark is missing; `name` says in which file.
    """
    before, first, rest = text.partition(marks[0])
    between, second, after = rest.partition(marks[1])
    if not (first and second):
        raise ValueError(f"{name} has lost its marks. Expected: {' and '.join(marks)}.")
    return before + first, between, second + after


def explained(error: OSError, path: Path) -> OSError:
    """Return `error` again with a sentence that says what to do about it.

    Parameters
    ----------
    error : OSError
        What the operating system said.
    path : Path
        What was to be written.

    Returns
    -------
    OSError
        A `CannotWrite` with the same number, or `error` itself where no advice is known.
    """
    if error.errno in DISK_FULL:
        advice = "The disk is full. Free some space and run this again; no older file was harmed."
    elif error.errno in READ_ONLY:
        advice = (
            "The folder is read-only for you, or another program has the file open. Close it, or "
            "set WORKSHOP_HOME to a folder of your own, and run this again."
        )
    else:
        return error
    return CannotWrite(error.errno, f"Could not write {path}. {advice}")


@contextmanager
def _disk_full_explained(path: Path) -> Iterator[None]:
    """Explain a full disk; an error of another kind need not come from writing to `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise explained(error, path) from error
        raise


def _move(partial: Path, path: Path) -> None:
    """Move into place; on Windows a virus scanner may hold what is new for a moment."""
    for _ in range(4 if sys.platform == "win32" else 0):
        with contextlib.suppress(PermissionError):
            partial.replace(path)
            return
        time.sleep(0.25)
    partial.replace(path)


def _drop_stale(path: Path) -> None:
    """Remove what a killed process left beside `path`."""
    for leftover in path.parent.glob(f".{path.name}.*"):
        with contextlib.suppress(OSError):  # its owner may be alive and faster
            if time.time() - leftover.stat().st_mtime < STALE_SECONDS:
                continue
            if leftover.is_dir():
                shutil.rmtree(leftover)
            else:
                leftover.unlink()


def _umask() -> int:
    """Return the mask that the operating system takes off the rights of new files."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask

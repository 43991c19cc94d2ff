"""Write a file or a folder whole, or not at all."""

import contextlib
import errno
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

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
    """Hand out a path to write to; move what is there into place when all went well.

    Whoever reads `path` meanwhile sees the old file or the new one, never half of one. After an
    error the old file is still there.

    Parameters
    ----------
    path : Path
        The file to write or replace. Missing folders are made.

    Yields
    ------
    Path
        Where to write, in a folder of its own beside `path`.

    Raises
    ------
    OSError
        With a sentence that says what to do, when the disk is full or the folder is read-only.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_stale(path)
        aside = tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise explained(error, path) from error
    partial = Path(aside, path.name)
    try:
        yield partial
        try:
            _move(partial, path)
        except OSError as error:
            if not (partial.is_dir() and path.is_dir()):  # another process made the same folder
                raise explained(error, path) from error
    except OSError as error:  # one of another kind need not come from writing to `path`
        if error.errno in DISK_FULL:
            raise explained(error, path) from error
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Hand out an empty folder to fill; it gets into place as a `whole_file` does.

    `path` must not be there yet. Two processes may do this at once: both fill a folder of their
    own, the first one to finish wins and the other's work is dropped.
    """
    with whole_file(path) as partial:
        partial.mkdir()
        yield partial


@contextmanager
def locked(file: Path, doing: str) -> Iterator[None]:
    """Keep other processes out; the lock is the operating system's, so it ends with the process."""
    lock = FileLock(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0.2)
        except Timeout:
            print(f"Another process is {doing}. Waiting for it …")
            lock.acquire()
    except OSError as error:
        raise explained(error, file) from error
    try:
        yield
    finally:
        lock.release()


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
    """Return `error`, about writing to `path`, with a sentence that says what to do if we know."""
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
            if time.time() - leftover.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(leftover)

import errno
import os
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from conftest import run_python

from helpers.files import CannotWrite, whole_file, whole_folder


def test_the_old_file_survives_an_error(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("old")
    with pytest.raises(RuntimeError), whole_file(file) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_reader_never_sees_half_a_file(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("old")
    with whole_file(file) as partial:
        partial.write_text("half")
        assert file.read_text() == "old"
        partial.write_text("new")
    assert file.read_text() == "new"


def test_an_interrupted_folder_is_not_there(tmp_path):
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "data") as partial:
        (partial / "1.png").touch()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_the_first_of_two_writers_wins(tmp_path):
    with whole_folder(tmp_path / "data") as slow:
        (slow / "who").write_text("slow")
        with whole_folder(tmp_path / "data") as fast:
            (fast / "who").write_text("fast")
    assert (tmp_path / "data" / "who").read_text() == "fast"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_killed_process_leaves_nothing_that_counts(tmp_path):
    code = """
import os, sys, pathlib
from helpers.files import whole_folder
with whole_folder(pathlib.Path(sys.argv[1]) / "data") as partial:
    (partial / "1.png").touch()
    os._exit(9)
"""
    assert run_python(code, tmp_path).returncode == 9
    assert not (tmp_path / "data").exists()
    (leftover,) = tmp_path.iterdir()
    long_ago = time.time() - 7200
    os.utime(leftover, (long_ago, long_ago))
    with whole_folder(tmp_path / "data"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["data"]  # the left-over is gone too


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_full_disk_is_explained_and_harms_nothing(namespace, tmp_path, kind):
    code = f"""
from pathlib import Path
from helpers.files import CannotWrite, whole_file, whole_folder
disk = Path("{tmp_path}")
(disk / "a").write_text("old")
try:
    if "{kind}" == "file":
        with whole_file(disk / "a") as partial:
            partial.write_bytes(b"x" * 3_000_000)
    else:
        with whole_folder(disk / "b") as partial:
            (partial / "big").write_bytes(b"x" * 3_000_000)
except OSError as error:
    print(error.errno, error.strerror)
print((disk / "a").read_text(), sorted(path.name for path in disk.iterdir()))
"""
    (tmp_path.parent / "full.py").write_text(code)
    result = namespace(
        ["-m"],
        f"mount -t tmpfs -o size=1m none {tmp_path}; "
        f"PYTHONPATH=. {sys.executable} {tmp_path.parent}/full.py",
    )
    assert f"{errno.ENOSPC} Could not write" in result.stdout, result
    assert "The disk is full. Free some space" in result.stdout
    assert result.stdout.endswith("old ['a']\n")


def test_a_read_only_folder_is_explained(namespace, tmp_path):
    code = f"""
from pathlib import Path
from helpers.files import whole_file
try:
    with whole_file(Path("{tmp_path}") / "a") as partial:
        pass
except OSError as error:
    print(error)
"""
    (tmp_path.parent / "readonly.py").write_text(code)
    result = namespace(
        ["-m"],
        f"mount -t tmpfs -o ro none {tmp_path}; "
        f"PYTHONPATH=. {sys.executable} {tmp_path.parent}/readonly.py",
    )
    assert (
        "The folder is read-only for you, or another program has the file open." in result.stdout
    ), result


@pytest.mark.parametrize("times", [2, 9])
def test_windows_gets_another_try_where_a_virus_scanner_holds_a_new_file(
    tmp_path, monkeypatch, times
):
    tries = []

    def replace(self, target, really=Path.replace):
        tries.append(target)
        if len(tries) <= times:
            raise PermissionError(13, "held")
        return really(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr("helpers.files.sys.platform", "win32")
    monkeypatch.setattr("helpers.files.time.sleep", lambda seconds: None)
    refused = pytest.raises(CannotWrite, match="another program has the file open")
    with nullcontext() if times == 2 else refused, whole_file(tmp_path / "a") as partial:
        partial.write_text("content")
    assert [file.name for file in tmp_path.iterdir()] == (["a"] if times == 2 else [])

from pathlib import Path

import numpy as np
import pytest
from conftest import run_python

from helpers.blocks import BLOCK, BlockFile, rows_of
from helpers.files import CannotWrite

COUNT = 2 * BLOCK + 5
ROWS = np.arange(COUNT * 6, dtype=np.float32).reshape(COUNT, 2, 3)


@pytest.fixture
def store(tmp_path):
    return BlockFile(tmp_path / "new folder" / "rows.bin", COUNT, ROWS.dtype)


def computed(blocks, until=None, error=None):
    for block in blocks:
        if block == until:
            raise error
        yield block, ROWS[np.array(rows_of(block, COUNT))]


def test_rows_come_back(store):
    with store.alone():
        assert store.good() == ((), set())
        shape = store.write(computed(store.blocks))
    assert (shape, {0, 1, 2}) == store.good()
    assert np.array_equal(store.map(shape), ROWS)
    assert np.array_equal(store.row(COUNT - 1, shape), ROWS[-1])


def test_an_error_of_the_computing_stays_what_it_is_and_what_is_done_is_kept(store):
    with pytest.raises(PermissionError, match="^of a picture$"), store.alone():
        store.write(computed(store.blocks, until=1, error=PermissionError("of a picture")))
    shape, good = store.good()
    assert good == {0}
    with store.alone():
        store.write(computed([1, 2]), shape)
    assert np.array_equal(store.map(shape), ROWS)


@pytest.mark.parametrize("cut", range(1, 12))
def test_half_a_line_in_the_journal_spoils_no_other(store, cut):
    with store.alone():
        shape = store.write(computed([0, 1]))
        whole = store.journal.read_bytes()
        store.journal.write_bytes(whole[:-cut])
        assert store.good()[1] == {0}
        store.write(computed([1, 2]), shape)
    assert store.good()[1] == {0, 1, 2}


def test_a_file_that_another_kernel_holds_on_windows_is_left_as_it_is(store, monkeypatch):
    with store.alone():
        store.write(computed(store.blocks))
        before = store.file.read_bytes()

        def held(self, missing_ok=False):
            raise PermissionError(13, "mapped")

        monkeypatch.setattr(Path, "unlink", held)
        with pytest.raises(CannotWrite, match="another program has the file open"):
            store.write(computed(store.blocks))
    assert store.file.read_bytes() == before


def test_it_needs_no_torch():
    assert (
        run_python("import sys, helpers.blocks; print('torch' in sys.modules)").stdout == "False\n"
    )

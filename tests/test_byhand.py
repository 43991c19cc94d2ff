"""AOI as people really put it there."""

import shutil
import threading
import zipfile

import numpy as np
import pytest
from conftest import write_png

from helpers import byhand
from helpers.__main__ import main
from helpers.catalog import AOI
from helpers.datasets import open_data
from helpers.fetch import fetch
from helpers.mirror import Mirror, write_sums


@pytest.fixture
def aoi(tmp_path):
    """A small data set in the genuine layout, as somebody downloaded it."""
    folder = tmp_path / "downloads"
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        (folder / f"{part}_images").mkdir(parents=True)
        rows = ["ID,Label"]
        for number in range(3):
            name = f"{part}_{number:05}.png"
            write_png(folder / f"{part}_images" / name, rng.integers(0, 9, (20, 20), np.uint8))
            rows.append(f"{name},{number if part == 'train' else ''}")
        (folder / f"{part}.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def real(aoi, home):
    """The same, put into its place."""
    folder = home / "data" / "aoi" / "real"
    shutil.copytree(aoi, folder)
    return folder


def assert_used(home, capsys):
    fetch("aoi")
    said = capsys.readouterr().out
    assert "AOI defect inspection: 3 train, 3 test pictures in" in said
    assert open_data("aoi").source == "real"
    return said


def test_it_says_where_which_files_and_where_to_put_them(home, capsys):
    assert main(["data", "aoi"]) == 1
    said = capsys.readouterr().err
    assert AOI.page in said
    for name in ("train.csv", "train_images.zip", "test.csv", "test_images.zip"):
        assert name in said
    assert str(home / "data" / "aoi" / "real") in said
    assert "Traceback" not in said


def test_in_a_room_with_a_mirror_what_is_in_place_is_put_right_too(
    real, home, tmp_path, monkeypatch
):
    (real / "train.csv").rename(real / "Train.csv.txt")
    with zipfile.ZipFile(tmp_path / "aoi_six_images.zip", "w") as bundle:
        bundle.writestr("train.csv", "ID,Label\n")
    write_sums(tmp_path)
    with Mirror(tmp_path, "127.0.0.1") as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("WORKSHOP_MIRROR", server.address)
        try:
            assert main(["data", "aoi"]) == 0
        finally:
            server.shutdown()
    assert open_data("aoi").source == "real"


def test_what_is_in_place_is_used(real, home, capsys):
    assert assert_used(home, capsys).startswith("Here already")


def test_a_folder_is_taken_whole(aoi, home, capsys):
    fetch("aoi", aoi)
    assert_used(home, capsys)
    assert (aoi / "train.csv").is_file()  # copied, not moved


def test_zips_are_unpacked(aoi, home, capsys):
    for part in ("train", "test"):
        shutil.make_archive(aoi / f"{part}_images", "zip", aoi / f"{part}_images")
        shutil.rmtree(aoi / f"{part}_images")
    fetch("aoi", aoi)
    assert "Unpacked train_images.zip." in capsys.readouterr().out
    assert_used(home, capsys)


def test_a_zip_with_a_folder_in_it_is_unpacked(aoi, home, capsys):
    for part in ("train", "test"):
        shutil.make_archive(aoi / f"{part}_images", "zip", aoi, f"{part}_images")
        shutil.rmtree(aoi / f"{part}_images")
    fetch("aoi", aoi)
    assert "Moved the pictures of train_images/train_images up" in capsys.readouterr().out
    assert_used(home, capsys)


def test_a_nested_folder_is_lifted(real, home, capsys):
    shutil.move(real, real.with_name("x"))
    (real / "aoi" / "data").mkdir(parents=True)
    for path in list(real.with_name("x").iterdir()):
        shutil.move(path, real / "aoi" / "data" / path.name)
    said = assert_used(home, capsys)
    assert "Moved aoi/data/train.csv to train.csv." in said.replace("\\", "/")


def test_pictures_in_a_folder_in_their_folder_are_lifted(real, home, capsys):
    inner = real / "train_images" / "train_images"
    inner.mkdir()
    for path in (real / "train_images").glob("*.png"):
        path.rename(inner / path.name)
    byhand.fetch(AOI, None)
    assert "Moved the pictures of train_images/train_images up" in capsys.readouterr().out
    assert len(list((real / "train_images").glob("*.png"))) == 3
    assert not inner.exists()


def test_unpacked_twice_the_second_is_ignored_and_kept(real, capsys):
    inner = real / "train_images" / "train_images"
    inner.mkdir()
    for path in (real / "train_images").glob("*.png"):
        shutil.copy(path, inner)
    byhand.fetch(AOI, None)
    assert "Ignored train_images/train_images: unpacked a second time" in capsys.readouterr().out
    assert len(list(inner.iterdir())) == 3


def test_what_a_browser_renames_is_found(real, home, capsys):
    (real / "train.csv").rename(real / "train (1).csv")
    (real / "train_images").rename(real / "train_images (2)")
    said = assert_used(home, capsys)
    assert "Moved train (1).csv to train.csv." in said


def test_junk_of_other_programs_is_ignored(real, home, capsys):
    (real / "train_images" / ".DS_Store").write_bytes(b"junk")
    (real / ".ipynb_checkpoints").mkdir()
    (real / ".ipynb_checkpoints" / "train.csv").write_text("old")
    byhand.fetch(AOI, None)
    assert "Ignored .DS_Store, .ipynb_checkpoints: they belong" in capsys.readouterr().out
    assert_used(home, capsys)


@pytest.mark.parametrize("header", ["id,label", " ID , Label ", '"Id","LABEL"', "\ufeffid,Label"])
def test_the_spelling_of_columns_is_corrected_and_the_old_table_kept(real, home, capsys, header):
    rows = (real / "train.csv").read_text(encoding="utf-8").split("\n", 1)[1]
    (real / "train.csv").write_text(f"{header}\n{rows}", encoding="utf-8")
    byhand.fetch(AOI, None)
    assert (real / "train.csv").read_text(encoding="utf-8") == f"ID,Label\n{rows}"
    assert (real / "train.original.csv").read_text(encoding="utf-8") == f"{header}\n{rows}"
    assert "Corrected the column names of train.csv" in capsys.readouterr().out
    assert_used(home, capsys)


def test_semicolons_from_a_spreadsheet_are_corrected(real, capsys):
    table = (real / "train.csv").read_text()
    (real / "train.csv").write_text(table.replace(",", ";"))
    byhand.fetch(AOI, None)
    assert (real / "train.csv").read_text() == table


def test_wrong_columns_are_named(real, home):
    (real / "train.csv").write_text("file,class\n1.png,0\n")
    with pytest.raises(ValueError, match="train.csv has the columns file, class; expected ID"):
        byhand.fetch(AOI, None)


def test_a_missing_table_is_named(real, home, capsys):
    (real / "train.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no train.csv yet. Found: test.csv, test_im"):
        fetch("aoi")
    opened = capsys.readouterr()
    assert opened.out == ""


def test_a_half_right_folder_is_not_used_and_it_says_so(real, home, capsys, monkeypatch):
    shutil.rmtree(real / "train_images")
    sample = home / "data" / "aoi" / f"sample-{AOI.sample_version}"
    sample.mkdir()
    assert open_data("aoi").source == "sample"
    said = capsys.readouterr().out
    assert "has no train_images, so it is not used. See: python -m helpers data aoi" in said


def test_missing_pictures_are_counted(real, home):
    (real / "train_images" / "train_00001.png").unlink()
    with pytest.raises(ValueError, match="1 of the 3 pictures that train.csv lists are not in"):
        byhand.fetch(AOI, None)


def test_without_a_test_part_training_works_and_it_says_so(real, home, capsys):
    (real / "test.csv").unlink()
    byhand.fetch(AOI, None)
    assert "There is no test.csv. Training works without it" in capsys.readouterr().out


def test_a_half_right_source_leaves_nothing(aoi, home):
    (aoi / "train.csv").write_text("file,class\n")
    with pytest.raises(ValueError, match="expected ID,Label"):
        fetch("aoi", aoi)
    assert not (home / "data" / "aoi" / "real").exists()


def test_a_folder_with_nothing_of_it(tmp_path, home):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(FileNotFoundError, match="holds no part of it. AOI defect inspection is"):
        fetch("aoi", tmp_path)

import os
import shutil
import sys
import time

import cv2
import numpy as np
import pytest
import torch
from conftest import write_png
from PIL import Image

from helpers import cache
from helpers.cache import decode_once
from helpers.datasets import CsvImages, open_data, read_picture
from helpers.tables import read_table

CLASSES = ("dark", "bright")


def csv_images(folder, **options):
    return CsvImages(folder / "train.csv", folder / "train_images", CLASSES, **options)


def test_an_item_is_a_resized_picture_and_its_label(tiny):
    data = csv_images(tiny, size=32)
    picture, label = data[3]
    assert len(data) == 12
    assert picture.shape == (1, 32, 32)
    assert picture.dtype == torch.uint8
    assert label == 1
    assert picture[..., :16].float().mean() > picture[..., 16:].float().mean() + 50


def test_the_transform_is_applied(tiny):
    assert csv_images(tiny, transform=lambda picture: picture.float() / 255)[0][0].max() <= 1


def test_colour_comes_as_rgb(tiny):
    blue = np.zeros((40, 40, 3), np.uint8)
    blue[..., 0] = 255  # OpenCV writes BGR
    write_png(tiny / "train_images" / "0.png", blue)
    picture, _ = csv_images(tiny, channels=3, size=16)[0]
    assert picture[:, 0, 0].tolist() == [0, 0, 255]


def test_grey_becomes_three_equal_channels_on_request(tiny):
    picture, _ = csv_images(tiny, channels=3, size=16)[0]
    assert picture.shape == (3, 16, 16)
    assert (picture[0] == picture[2]).all()


def test_transparent_pictures_lose_their_transparency(tmp_path):
    write_png(tmp_path / "a.png", np.full((20, 20, 4), 9, np.uint8))
    assert read_picture(tmp_path / "a.png", channels=3).shape == (20, 20, 3)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("ID,label\n0.png,0\n", "no column 'Label'. Found: ID, label. Column names are case"),
        ("Name,Label\n0.png,0\n", "no column 'ID'. Found: Name, Label"),
        ("ID,Label\n", "has no rows"),
        ("", "not a readable CSV"),
        (
            "ID,Label\n0.png,2\n",
            "line 2: the label '2' is not a class. Expected a whole number from",
        ),
        ("ID,Label\n0.png,0\n1.png,0.5\n", "line 3: the label '0.5'"),
        ("ID,Label\n0.png,\n", "the label '' is not a class"),
        ("ID,Label\n0.png,0\n0.png,1\n", "lists '0.png' more than once"),
        ("ID,Label\n../secret.png,0\n", "'../secret.png' is not a file name inside"),
        ("ID,Label\n/etc/passwd,0\n", "'/etc/passwd' is not a file name inside"),
        ("ID,Label\n./0.png,0\n", "'./0.png' is not a file name inside"),
        ("ID,Label\n0.png,0,\n", "more values than its first line names"),
        ("ID,Label\n\n0.png,7\n", "line 2"),
        ("ID,Label\nC:\\\\a.png,0\n", "is not a file name inside"),
        ("ID,Label\n..\\\\a.png,0\n", "is not a file name inside"),
        ('ID,Label\n"0.png,0\n1.png,1\n', "CSV"),
    ],
)
def test_a_bad_csv_is_explained(tiny, text, sentence):
    (tiny / "train.csv").write_text(text)
    with pytest.raises(ValueError, match="train.csv") as error:
        csv_images(tiny)
    assert sentence in str(error.value)


def test_a_csv_in_another_encoding_is_explained(tiny):
    (tiny / "train.csv").write_bytes("ID,Label\nGröße.png,0\n".encode("utf-16"))
    with pytest.raises(ValueError, match="not a readable CSV"):
        csv_images(tiny)


def test_a_byte_order_mark_is_no_problem(tiny):
    (tiny / "train.csv").write_bytes(b"\xef\xbb\xbfID,Label\r\n0.png,1\r\n")
    assert csv_images(tiny).labels.tolist() == [1]


def test_missing_files_are_explained(tiny):
    (tiny / "train_images" / "3.png").unlink()
    with pytest.raises(FileNotFoundError, match="1 of the 12 pictures.*'3.png'"):
        csv_images(tiny)
    with pytest.raises(FileNotFoundError, match="no file .*none.csv"):
        read_table(tiny / "none.csv", tiny, CLASSES)


def test_labels_of_a_test_set_are_ignored(tiny):
    (tiny / "train.csv").write_text("ID,Label\n0.png,\n1.png,?\n")
    assert csv_images(tiny, labelled=False).labels.tolist() == [-1, -1]


def bad_pictures(folder):
    picture = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    whole = cv2.imencode(".png", picture)[1].tobytes()
    return {
        "empty": b"",
        "cut in the middle": whole[: len(whole) // 2],
        "last bytes missing": whole[:-20],
        "one byte changed": whole[:2000] + bytes([whole[2000] ^ 255]) + whole[2001:],
        "a web page": b"<!doctype html><title>Log in</title>" * 40,
        "16 bits": cv2.imencode(".png", picture.astype(np.uint16) * 256)[1].tobytes(),
        "colour": cv2.imencode(".png", np.dstack([picture] * 3))[1].tobytes(),
        "tiny": cv2.imencode(".png", picture[:4, :4])[1].tobytes(),
        "half a JPEG": cv2.imencode(".jpg", picture)[1].tobytes()[:600],
    }


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("empty", "is empty (0 bytes)"),
        ("cut in the middle", "cannot be decoded"),
        ("last bytes missing", "cannot be decoded"),
        ("one byte changed", "cannot be decoded"),
        ("a web page", "cannot be decoded"),
        ("16 bits", "has 16 bits per channel, expected 8"),
        ("colour", "is a colour picture (3 channels), expected grey. Pass channels=3"),
        ("tiny", "is 4×4 pixels, expected at least 16×16"),
        ("half a JPEG", "cannot be decoded"),
    ],
)
def test_a_bad_picture_is_explained(tiny, fault, sentence):
    (tiny / "train_images" / "5.png").write_bytes(bad_pictures(tiny)[fault])
    data = csv_images(tiny)
    with pytest.raises(ValueError, match=r"5\.png") as error:
        data[5]
    assert sentence in str(error.value)
    assert data[4][0].shape == (1, 128, 128)  # the others can still be read


def test_decoding_once_gives_the_same_pictures(tiny, tmp_path):
    data = csv_images(tiny, size=32)
    pictures = decode_once(data, tmp_path / "cache")
    assert pictures.images.shape == (12, 1, 32, 32)
    assert all(torch.equal(pictures.images[i], data[i][0]) for i in range(12))
    assert torch.equal(pictures.labels, data.labels)
    assert len(pictures[torch.tensor([1, 3])]) == 2


def test_decoding_does_not_run_far_ahead_of_the_disk(tiny, tmp_path, monkeypatch):
    data, asked, most = csv_images(tiny, size=32), [], []
    pixels = data.pixels
    monkeypatch.setattr(cache, "AHEAD", 3)
    monkeypatch.setattr(data, "pixels", lambda row: asked.append(row) or pixels(row))
    for number, _ in enumerate(cache._decoded(data)):
        time.sleep(0.01)  # a slow disk
        most.append(len(asked) - number)
    assert sorted(asked) == list(range(12)) and max(most) <= 4


def test_the_cache_is_used_until_a_picture_changes(tiny, tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    decode_once(csv_images(tiny, size=32), folder)
    monkeypatch.setattr(CsvImages, "pixels", lambda *_: pytest.fail("decoded again"))
    decode_once(csv_images(tiny, size=32), folder)
    monkeypatch.undo()
    write_png(tiny / "train_images" / "0.png", np.full((40, 48), 7, np.uint8))
    os.utime(tiny / "train_images" / "0.png", (1, 1))
    assert (decode_once(csv_images(tiny, size=32), folder).images[0] == 7).all()
    assert decode_once(csv_images(tiny, size=16), folder).images.shape[-1] == 16


def test_a_cut_cache_is_made_again(tiny, tmp_path):
    whole = decode_once(csv_images(tiny), tmp_path).images.clone()
    (file,) = tmp_path.glob("decoded-*.npy")
    file.write_bytes(file.read_bytes()[:2000])
    assert torch.equal(decode_once(csv_images(tiny), tmp_path).images, whole)


def test_a_full_disk_keeps_the_pictures_in_memory(namespace, tiny, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    code = f"""
from pathlib import Path
from helpers.cache import decode_once
from helpers.datasets import CsvImages
folder = Path({str(tiny)!r})
data = CsvImages(folder / "train.csv", folder / "train_images", ("a", "b"), size=512)
print(decode_once(data, Path({str(disk)!r})).images.float().mean() > 0)
print(list(Path({str(disk)!r}).iterdir()))
"""
    script = tmp_path / "full.py"
    script.write_text(code)
    result = namespace(
        ["-m"],
        f'mount -t tmpfs -o size=1m none "{disk}"; "$PYTHON" "{script}"',
        PYTHON=sys.executable,
        PYTHONPATH=".",
    )
    assert "The disk is full" in result.stdout, result
    assert result.stdout.endswith("tensor(True)\n[]\n")


def test_a_bad_picture_leaves_no_cache(tiny, tmp_path):
    (tiny / "train_images" / "5.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"5\.png"):
        decode_once(csv_images(tiny), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_kept_in_memory(tiny, tmp_path, monkeypatch, capsys):
    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    assert len(decode_once(csv_images(tiny), tmp_path / "cache")) == 12
    assert "read-only" in capsys.readouterr().out


def test_writing_into_the_pictures_does_not_change_the_cache(tiny, tmp_path):
    decode_once(csv_images(tiny), tmp_path).images[:] = 0
    assert decode_once(csv_images(tiny), tmp_path).images.max() > 0


def test_the_real_data_set_is_preferred_to_the_sample(home, tiny, monkeypatch, capsys):
    shutil.copytree(tiny, home / "data" / "aoi" / "real")
    sample = home / "data" / "aoi" / "sample-1"
    monkeypatch.setattr("helpers.datasets.sample_folder", lambda facts: sample)
    assert open_data("aoi").source == "real"
    assert "the real data set" in capsys.readouterr().out
    monkeypatch.setenv("WORKSHOP_DATA", "sample")
    assert open_data("aoi").root == sample
    monkeypatch.setenv("WORKSHOP_DATA", "both")
    with pytest.raises(ValueError, match="WORKSHOP_DATA is 'both'. Set it to sample or real"):
        open_data("aoi")


def test_asking_for_real_data_that_is_not_there_says_where_to_get_it(home, monkeypatch):
    monkeypatch.setenv("WORKSHOP_DATA", "real")
    with pytest.raises(FileNotFoundError, match=r"no train\.csv.*helpers data aoi"):
        open_data("aoi")
    with pytest.raises(KeyError, match="No data set is called 'mnist'"):
        open_data("mnist")


def test_a_picture_from_a_telephone_stands_upright(tmp_path):
    pixels = np.zeros((64, 32, 3), np.uint8)
    pixels[:20, :, 0] = 255  # red at the top, as it was seen
    lying = Image.fromarray(np.rot90(pixels))
    exif = lying.getexif()
    exif[0x0112] = 6  # turn it by a quarter to the right
    lying.save(tmp_path / "a.jpg", exif=exif, quality=95)
    seen = read_picture(tmp_path / "a.jpg", channels=3)
    assert seen.shape == (64, 32, 3)
    assert seen[:16].mean(axis=(0, 1))[0] > 200 > 60 > seen[-16:].mean(axis=(0, 1))[0]

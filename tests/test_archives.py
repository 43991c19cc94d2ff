"""Unpacking what may be hostile, and reading what may be broken."""

import gzip
import io
import os
import pickle
import stat
import struct
import sys
import tarfile
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from conftest import run_python
from PIL import Image

from helpers import unpack as room
from helpers.archives import FolderImages, cifar_batches, folder_images, pictures, read_photo
from helpers.catalog import CIFAR10, DATA_SETS, FOOD, PETS
from helpers.cifar import read_batch
from helpers.datasets import OpenedData
from helpers.inventory import count_pictures
from helpers.unpack import unpack

SMALL = 1_000_000  # bytes; what an archive here may unpack to


def tar(path, *entries):
    """Write a .tgz; an entry is a name, or (name, contents), or a TarInfo with contents."""
    with tarfile.open(path, "w:gz") as tape:
        for entry in entries:
            name, body = (entry, b"x") if isinstance(entry, str | tarfile.TarInfo) else entry
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if info.type == tarfile.REGTYPE:
                info.size = len(body)
            tape.addfile(info, io.BytesIO(body) if info.isfile() else None)
    return path


def zipped(path, *entries):
    """Write a .zip; an entry is a name or (name, contents)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for entry in entries:
            name, body = (entry, b"x") if isinstance(entry, str | zipfile.ZipInfo) else entry
            bundle.writestr(name, body)
    return path


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "a" / "b" / "out"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(params=["tgz", "zip"])
def pack(request, tmp_path):
    """Write an archive of either kind."""
    writer = {"tgz": tar, "zip": zipped}[request.param]
    return lambda *entries: writer(tmp_path / f"data.{request.param}", *entries)


def files_below(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def refused(archive, out, match):
    """Check that an archive is refused in one sentence, and that nothing came out beside `out`."""
    outside = files_below(out.parents[2])
    with pytest.raises(ValueError, match=match) as caught:
        unpack(archive, out, SMALL)
    assert str(caught.value).startswith(f"{archive.name} ")
    new = set(files_below(out.parents[2])) - set(outside)
    assert all(name.startswith("a/b/out/") for name in new)


def test_plain_files_and_folders_come_out(pack, out):
    unpack(pack(("train/cats/1.jpg", b"one"), "Größe 数据/2.jpg", "./3.jpg"), out, SMALL)
    assert files_below(out) == ["3.jpg", "Größe 数据/2.jpg", "train/cats/1.jpg"]
    assert (out / "train" / "cats" / "1.jpg").read_bytes() == b"one"


def test_what_a_mac_adds_is_left_out(pack, out):
    unpack(pack("__MACOSX/1.jpg", "train/._1.jpg", "train/1.jpg"), out, SMALL)
    assert files_below(out) == ["train/1.jpg"]


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "..", "a/..", "..\\evil"])
def test_leading_out_is_refused(pack, out, name):
    refused(pack("good", name), out, "leads out of the folder")


@pytest.mark.parametrize("name", ["/tmp/evil", "C:\\evil", "c:evil", "\\\\server\\evil"])
def test_absolute_paths_are_refused(pack, out, name):
    refused(pack("good", name), out, "is an absolute path")


@pytest.mark.parametrize(
    "name",
    ["con", "train/NUL.jpg", "Com1.txt", "lpt9", "ab:c", "a?.jpg", "a*", 'a"', "a|b", "a<", "dot.",
     "blank ", "folder./1.jpg", "tab\t", "a\\b", "x" * 201],
)  # fmt: skip
def test_names_that_windows_cannot_hold_are_refused(pack, out, name):
    refused(pack("good", name), out, "is a name that Windows cannot hold")


def test_a_path_far_too_long_is_refused(pack, out):
    refused(pack("/".join(["long" * 10] * 11)), out, "is longer than 400 characters")


@pytest.mark.parametrize(
    "names",
    [("a.jpg", "A.jpg"), ("Train/1", "train/2"), ("ü", "u\u0308"), ("straße", "STRASSE"),
     ("a/B/c", "a/b/d")],
)  # fmt: skip
def test_names_that_collide_on_windows_or_a_mac_are_refused(pack, out, names):
    refused(pack(*names), out, "differ only in capitals or accents")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "names", [("a", "a"), ("a", "./a"), ("a/b", "a//b"), ("a", "a/b"), ("a/b", "a")]
)
def test_the_same_name_twice_is_refused(pack, out, names):
    refused(pack(*names), out, "appears twice")


@pytest.mark.parametrize(
    "kind, target",
    [
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.SYMTYPE, "../../outside"),
        (tarfile.SYMTYPE, "good"),
        (tarfile.LNKTYPE, "../../outside"),
        (tarfile.LNKTYPE, "/etc/passwd"),
    ],
)
def test_links_are_refused(tmp_path, out, kind, target):
    refused(tar(tmp_path / "a.tgz", "good", special("link", kind, target)), out, "is a link")


def test_a_link_cannot_be_used_to_write_outside(tmp_path, out):
    link = special("link", tarfile.SYMTYPE, "..")
    refused(tar(tmp_path / "a.tgz", link, "link/evil"), out, "is a link")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_are_refused(tmp_path, out, kind):
    refused(tar(tmp_path / "a.tgz", special("null", kind)), out, "is a device or a pipe")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_a_zip_are_refused(tmp_path, out, kind):
    info = zipfile.ZipInfo("link")
    info.external_attr = (kind | 0o777) << 16
    refused(zipped(tmp_path / "a.zip", (info, "../../outside")), out, "is a link or a device")


def test_a_bomb_that_says_so_is_refused_before_it_is_unpacked(pack, out):
    archive = pack("good", ("zeros", bytes(SMALL)))
    refused(archive, out, "its contents are larger than the 1 MB")
    assert files_below(out) == ["good"]


def test_many_small_files_are_counted_together(pack, out):
    refused(pack(*((f"{n}", bytes(SMALL // 10)) for n in range(11))), out, "larger than the 1 MB")


def test_too_many_entries_are_refused(pack, out, monkeypatch):
    monkeypatch.setattr(room, "MOST_ENTRIES", 20)
    refused(pack(*(f"{n}" for n in range(21))), out, "holds more than 20 entries")


def test_a_zip_that_understates_a_file_is_refused(tmp_path, out):
    archive = zipped(tmp_path / "a.zip", ("zeros", bytes(5 * SMALL)))
    body = archive.read_bytes().replace(struct.pack("<I", 5 * SMALL), struct.pack("<I", 10))
    archive.write_bytes(body)
    refused(archive, out, "is damaged or not an archive")
    assert sum(p.stat().st_size for p in out.rglob("*")) <= 10


def test_a_tar_whose_header_is_a_bomb_is_refused(tmp_path, out):
    # a "pax" header is text that tarfile reads into memory whole: here 300 MB of blanks
    archive = tmp_path / "a.tgz"
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 300 * 2**20
    with gzip.open(archive, "wb", compresslevel=1) as stream:
        stream.write(header.tobuf())
        for _ in range(300):
            stream.write(b" " * 2**20)
    tracemalloc.start()
    for largest in (SMALL, 10**9):
        with pytest.raises(ValueError, match="unpacks to more than it says"):
            unpack(archive, out, largest)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * 2**20


def test_a_tar_with_a_bomb_behind_its_end_is_refused(tmp_path, out, monkeypatch):
    monkeypatch.setattr(room, "MOST_ENTRIES", 10)
    archive = tar(tmp_path / "a.tgz", "good")
    with gzip.open(archive, "ab") as stream:
        stream.write(bytes(5 * SMALL))
    refused(archive, out, "unpacks to more than it says")


def test_a_damaged_archive_is_refused(pack, out):
    archive = pack(("noise", np.random.default_rng(0).bytes(100_000)))
    body = archive.read_bytes()
    for broken in (body[:50_000], b"", b"no archive", body[:40_000] + b"?" + body[40_001:]):
        archive.write_bytes(broken)
        refused(archive, out, "is damaged or not an archive|appears twice")


def test_a_locked_zip_is_refused(tmp_path, out):
    archive = zipped(tmp_path / "a.zip", "secret")
    body = bytearray(archive.read_bytes())
    body[6] |= 1
    body[body.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(body)
    refused(archive, out, "needs a password")


# CIFAR-10


def batch(rows=20, seed=0, **changes):
    rng = np.random.default_rng(seed)
    content = {
        b"batch_label": b"testing",
        b"labels": [n % 10 for n in range(rows)],
        b"data": rng.integers(0, 256, (rows, 3072), dtype=np.uint8),
        b"filenames": [b"a.png"] * rows,
    }
    content |= {key.encode(): value for key, value in changes.items()}
    return {key: value for key, value in content.items() if value is not None}


@pytest.fixture
def cifar(tmp_path):
    folder = tmp_path / "real" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for number in range(1, 6):
        (folder / f"data_batch_{number}").write_bytes(pickle.dumps(batch(seed=number), 2))
    (folder / "test_batch").write_bytes(pickle.dumps(batch(8, seed=9), 2))
    names = [name.encode() for name in CIFAR10.classes]
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": names}, 2))
    return folder


def test_cifar_is_read_in_order(cifar):
    train = cifar_batches(cifar, "train", CIFAR10.classes)
    assert (train.images.shape, train.images.dtype) == ((100, 3, 32, 32), torch.uint8)
    assert (train.labels.shape, train.labels.dtype) == ((100,), torch.int64)
    for number in range(1, 6):
        expected = batch(seed=number)
        rows = slice(20 * (number - 1), 20 * number)
        assert np.array_equal(train.images[rows].reshape(20, 3072).numpy(), expected[b"data"])
        assert train.labels[rows].tolist() == expected[b"labels"]
    assert len(cifar_batches(cifar, "test")) == 8
    data = OpenedData(CIFAR10, cifar.parent, "real")
    assert torch.equal(pictures(data, "train").images, train.images)
    assert count_pictures(CIFAR10, cifar.parent) == {"train": 100, "test": 8}
    train.images[0] = 0  # memory of its own, not the file's


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_form_of_pickle_is_read(tmp_path, protocol):
    expected = batch()
    (tmp_path / "batch").write_bytes(pickle.dumps(expected, protocol))
    pixels, labels = read_batch(tmp_path / "batch")
    assert np.array_equal(pixels, expected[b"data"])
    assert labels.tolist() == expected[b"labels"]


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_the_form_of_python_2_is_read(tmp_path, core):
    """Bytes as BINSTRING, which Python 3 cannot write: put together by hand."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3072), dtype=np.uint8)
    body = (
        b"\x80\x02}(U\x06labelsq\x01]q\x02(K\x03K\x07eU\x04dataq\x03"
        + f"c{core}.multiarray\n_reconstruct\n".encode()
        + b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02M\x00\x0c\x86"
        + b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89T" + struct.pack("<i", 6144) + pixels.tobytes() + b"tbu."
    )  # fmt: skip
    assert np.array_equal(pickle.loads(body, encoding="bytes")[b"data"], pixels)
    (tmp_path / "batch").write_bytes(body)
    got, labels = read_batch(tmp_path / "batch")
    assert np.array_equal(got, pixels)
    assert labels.tolist() == [3, 7]


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


class Sneaky:
    def __reduce__(self):
        return getattr, (0, "real")


def test_a_pickle_that_would_run_code_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for protocol in (0, 2, 4):
        (tmp_path / "data_batch_1").write_bytes(pickle.dumps(batch(labels=Evil()), protocol))
        name = f"{os.system.__module__}.system"
        with pytest.raises(ValueError, match=f"data_batch_1 wants to import {name}, which no"):
            read_batch(tmp_path / "data_batch_1")
        assert not (tmp_path / "evil").exists()
    pickle.loads((tmp_path / "data_batch_1").read_bytes())
    assert (tmp_path / "evil").exists()  # it really would have
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(batch(labels=Sneaky()), 2))
    with pytest.raises(ValueError, match=r"wants to import __builtin__\.getattr"):
        read_batch(tmp_path / "data_batch_1")


def test_an_array_as_large_as_the_world_is_not_made(tmp_path):
    body = b"\x80\x02cnumpy\nndarray\n(\x8a\x06\x00\x00\x00\x00\x00\x10t\x85R."
    (tmp_path / "batch").write_bytes(body)
    with pytest.raises(ValueError, match="no readable CIFAR-10 file .'str' object is not callable"):
        read_batch(tmp_path / "batch")


@pytest.mark.parametrize(
    "changes, match",
    [
        ({"data": None}, "has no 'data'. Found: batch_label, labels, filenames"),
        ({"labels": None}, "has no 'labels'"),
        (
            {"data": np.zeros((20, 3071), np.uint8)},
            r"expected data of shape \(N, 3072\), found",
        ),
        ({"data": np.zeros((20, 3, 1024), np.uint8)}, r"found shape \(20, 3, 1024\)"),
        ({"data": np.zeros((0, 3072), np.uint8), "labels": []}, r"found shape \(0, 3072\)"),
        ({"data": b"bytes"}, "found no array of bytes"),
        ({"data": np.zeros((20, 3072), np.float32)}, "of the type 'f4', expected bytes"),
        ({"data": np.zeros((19, 3072), np.uint8)}, "expected 19 labels, found 20 labels"),
        ({"labels": [0] * 19}, "expected 20 labels, found 19 labels"),
        ({"labels": "many"}, "found no list of labels"),
        ({"labels": [0] * 19 + [10]}, "expected labels 0 to 9, found 10"),
        ({"labels": [-1] + [0] * 19}, "expected labels 0 to 9, found -1"),
        ({"labels": [0.5] * 20}, "expected labels 0 to 9, found 0.5"),
        ({"labels": [True] * 20}, "expected labels 0 to 9, found True"),
        ({"labels": [None] * 20}, "expected labels 0 to 9, found None"),
    ],
)
def test_a_batch_that_cannot_be_right_is_refused(tmp_path, changes, match):
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(batch(**changes), 4))
    with pytest.raises(ValueError, match=match) as caught:
        read_batch(tmp_path / "data_batch_1")
    assert "data_batch_1" in str(caught.value)


def test_a_batch_that_is_cut_off_or_nonsense_is_refused(tmp_path):
    whole = pickle.dumps(batch(), 2)
    for body in (whole[:-1], whole[:30_000], whole[:2], b"", b"nonsense", pickle.dumps([1])):
        (tmp_path / "data_batch_1").write_bytes(body)
        with pytest.raises(ValueError, match="data_batch_1 is no readable CIFAR-10 file"):
            read_batch(tmp_path / "data_batch_1")
    with pytest.raises(FileNotFoundError, match="Was the archive unpacked completely"):
        read_batch(tmp_path / "data_batch_2")


def test_other_classes_or_parts_are_refused(cifar):
    (cifar / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"a", b"b"]}, 2))
    with pytest.raises(ValueError, match="lists the classes a, b; expected airplane, automobile"):
        cifar_batches(cifar, "train", CIFAR10.classes)
    with pytest.raises(ValueError, match="no part 'valid'. There are: train, test"):
        cifar_batches(cifar, "valid")
    with pytest.raises(ValueError, match="no part 'valid'. There are: train, test"):
        pictures(OpenedData(CIFAR10, cifar.parent, "real"), "valid")


# Folders of photographs


@pytest.fixture
def food(tmp_path):
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for label, name in enumerate(FOOD.classes):
            folder = tmp_path / "food" / part / name
            folder.mkdir(parents=True)
            for number in range(3):
                size = (30 + 10 * number, 40)
                picture = rng.integers(80 * label, 80 * label + 20, (*size, 3), dtype=np.uint8)
                Image.fromarray(picture).save(folder / f"{number}.jpg")
    return OpenedData(FOOD, tmp_path / "food", "real")


def test_a_folder_of_classes_is_read(food, home):
    train = pictures(food, "train", size=32)
    assert (train.images.shape, train.images.dtype) == ((9, 3, 32, 32), torch.uint8)
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    brightness = train.images.float().mean(dim=(1, 2, 3))
    assert torch.allclose(brightness, 80.0 * train.labels + 10, atol=4)
    cached = pictures(food, "train", size=32)
    assert torch.equal(cached.images, train.images)
    dataset = folder_images(food, "test", size=16, transform=lambda picture: picture.float())
    assert dataset[0][0].dtype == torch.float32
    assert dataset.ids[0] == "pizza/0.jpg"
    assert count_pictures(FOOD, food.root) == {"train": 9, "test": 9}


def test_hidden_files_are_ignored(food, home):
    train = food.root / "train"
    for junk in (".DS_Store", "pizza/.DS_Store", "pizza/._0.jpg", "pizza/Thumbs.db", "notes.txt"):
        (train / junk).write_bytes(b"junk")
    (train / ".ipynb_checkpoints").mkdir()
    (train / ".ipynb_checkpoints" / "0.jpg").write_bytes(b"junk")
    (train / "__MACOSX").mkdir()
    assert len(pictures(food, "train", size=16)) == 9
    assert count_pictures(FOOD, food.root)["train"] == 9


def test_an_empty_class_folder_is_refused(food):
    for file in (food.root / "train" / "steak").iterdir():
        file.rename(file.with_name("." + file.name))
    with pytest.raises(FileNotFoundError, match="The class folder .*steak has no picture"):
        folder_images(food, "train")


def test_other_class_folders_are_refused(food):
    (food.root / "train" / "steak").rename(food.root / "train" / "salad")
    with pytest.raises(ValueError, match="pizza, salad, sushi; expected pizza, steak, sushi"):
        folder_images(food, "train")
    with pytest.raises(ValueError, match="no part 'valid'. There are: train, test"):
        pictures(food, "valid")
    with pytest.raises(FileNotFoundError, match="There is no folder .*valid"):
        FolderImages(food.root / "valid", FOOD.classes)


def test_pictures_without_labels(tmp_path, home):
    folder = tmp_path / "dogscats" / "test1"
    folder.mkdir(parents=True)
    data = OpenedData(PETS, tmp_path, "real")
    with pytest.raises(FileNotFoundError, match="test1 has no picture"):
        pictures(data, "test1")
    Image.new("RGB", (20, 30), (0, 0, 255)).save(folder / "1.jpg")
    test = pictures(data, "test1", size=16)
    assert test.labels.tolist() == [-1]
    assert test.images[0, :, 5, 5].tolist() == pytest.approx([0, 0, 255], abs=3)


def test_a_picture_is_squeezed_into_the_square(tmp_path):
    (tmp_path / "a").mkdir()
    picture = np.zeros((40, 80, 3), np.uint8)
    picture[:, 20:60] = 255  # the middle square is white
    Image.fromarray(picture).save(tmp_path / "a" / "1.png")
    ((squeezed, _),) = FolderImages(tmp_path, ("a",), 20)
    assert squeezed[0, 10].tolist() == [0] * 5 + [255] * 10 + [0] * 5


@pytest.mark.parametrize("place, byte", [(8, 7), (12, 1)])  # Pillow: TypeError, ValueError
def test_a_tiff_with_a_wrong_byte_is_refused_by_name(tmp_path, place, byte):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "TIFF")
    buffer.getbuffer()[place] = byte
    (tmp_path / "a.tif").write_bytes(buffer.getvalue())
    with pytest.raises(ValueError, match="a.tif in .* cannot be decoded"):
        read_photo(tmp_path / "a.tif")


def test_a_truncated_jpeg_is_refused_by_name(food):
    file = food.root / "train" / "sushi" / "2.jpg"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"2\.jpg in .*sushi cannot be decoded: .*[Tt]runcated"):
        pictures(food, "train")


def test_what_is_no_picture_is_refused(tmp_path):
    file = tmp_path / "1.jpg"
    for body in (b"", b"no picture", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"):
        file.write_bytes(body)
        with pytest.raises(ValueError, match=r"1\.jpg in .* cannot be decoded"):
            read_photo(file)
    with pytest.raises(FileNotFoundError, match="There is no picture"):
        read_photo(tmp_path / "2.jpg")


def test_a_gif_called_jpg_is_read_unless_it_moves(tmp_path):
    red, blue = (Image.new("P", (20, 20), n) for n in (0, 1))
    for frame in (red, blue):
        frame.putpalette([255, 0, 0, 0, 0, 255])
    red.save(tmp_path / "still.jpg", format="GIF")
    assert read_photo(tmp_path / "still.jpg").getpixel((5, 5)) == (255, 0, 0)
    red.save(tmp_path / "moving.jpg", format="GIF", save_all=True, append_images=[blue])
    with pytest.raises(ValueError, match=r"moving\.jpg is an animated GIF with 2 pictures"):
        read_photo(tmp_path / "moving.jpg")


def test_cmyk_is_converted(tmp_path):
    Image.new("RGB", (20, 20), (200, 30, 60)).convert("CMYK").save(tmp_path / "1.jpg", quality=95)
    assert read_photo(tmp_path / "1.jpg").getpixel((5, 5)) == pytest.approx((200, 30, 60), abs=6)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bits_are_scaled_not_clipped(tmp_path, ending):
    deep = np.linspace(0, 65535, 256, dtype=np.uint16).repeat(16).reshape(64, 64)
    Image.fromarray(deep).save(tmp_path / f"1.{ending}")
    got = np.asarray(read_photo(tmp_path / f"1.{ending}"))
    assert np.array_equal(got[..., 0], deep >> 8)
    assert np.array_equal(got[..., 0], got[..., 2])


def test_32_bits_are_refused(tmp_path):
    Image.fromarray(np.zeros((20, 20), np.float32)).save(tmp_path / "1.tif")
    with pytest.raises(ValueError, match=r"1\.tif has 32 bits per pixel, expected 8 or 16"):
        read_photo(tmp_path / "1.tif")


def test_a_picture_on_its_side_is_turned(tmp_path):
    picture = Image.new("RGB", (40, 20), "black")
    picture.paste("white", (0, 0, 20, 20))  # the left half
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    picture.save(tmp_path / "1.jpg", exif=exif, quality=95)
    got = read_photo(tmp_path / "1.jpg")
    assert got.size == (20, 40)
    assert got.getpixel((10, 5)) == pytest.approx((255, 255, 255), abs=3)
    assert got.getpixel((10, 35)) == pytest.approx((0, 0, 0), abs=3)


def test_grey_and_transparent_pictures_become_rgb(tmp_path):
    for mode in ("L", "LA", "RGBA", "1", "P"):
        Image.new(mode, (20, 20)).save(tmp_path / "1.png")
        assert read_photo(tmp_path / "1.png").mode == "RGB"


def test_a_picture_far_too_large_is_refused(tmp_path):
    Image.new("1", (20_000, 6_000)).save(tmp_path / "1.png")
    with pytest.raises(ValueError, match="is 20000×6000 pixels, expected at most 100 million"):
        read_photo(tmp_path / "1.png")
    Image.new("1", (40_000, 6_000)).save(tmp_path / "1.png")
    with pytest.raises(ValueError, match="cannot be decoded"):
        read_photo(tmp_path / "1.png")


def test_the_catalog_fits_the_readers():
    for facts in DATA_SETS.values():
        assert tuple(facts.classes) == tuple(sorted(facts.classes)) or facts.name in ("aoi",)
        assert set(facts.pictures) >= {"train"}


def test_the_command_line_needs_no_torch_to_say_what_is_here():
    code = "import sys; import helpers.fetch, helpers.mirror; print('torch' in sys.modules)"
    assert run_python(code).stdout == "False\n", sys.executable

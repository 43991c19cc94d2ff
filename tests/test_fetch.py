"""Fetching from folders and from servers that do not behave. Nothing is mocked: see `Server`."""

import hashlib
import io
import shutil
import sys
import time
import zipfile
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
from conftest import at_most_this_large, write_png
from filelock import FileLock
from test_data import check_cifar

from helpers import catalog
from helpers.catalog import Archive
from helpers.data import open_data, pictures
from helpers.transfer import VGG16
from workshop import fetch as room
from workshop.__main__ import main
from workshop.fetch import fetch, table

ZIP = "pizza_steak_sushi.zip"


class Server(ThreadingHTTPServer):
    """Gives out `files`, bytes by name. Each request takes the next of `answers`; the last stays.

    An answer is a function of the handler, the file's bytes and the first byte that is wanted.
    """

    def __init__(self, files, *answers):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.answers, self.asked = dict(files), list(answers or [well]), []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def __exit__(self, *error):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """Clients that go away are what these tests are about."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        name, span = self.path.rsplit("/", 1)[-1], self.headers.get("Range", "")
        if name not in self.server.files:
            self.send_error(404)
        else:
            self.server.asked.append(span)
            answers = self.server.answers
            give = answers.pop(0) if len(answers) > 1 else answers[0]
            give(self, self.server.files[name], int(span[6:-1] or 0))

    def head(self, status, length, kind="application/zip"):
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Content-Type", kind)
        self.end_headers()

    def log_message(self, *words):
        pass


def drip(piece, pause, after=None):
    """Send a piece at a time, or with `after` hang up after so many bytes."""

    def give(handler, whole, start):
        handler.head(206 if start else 200, len(whole) - start)
        for at in range(start, len(whole) if after is None else start + after, piece):
            handler.wfile.write(whole[at : at + piece])
            time.sleep(pause)

    return give


def cut(after):
    return drip(max(after, 1), 0, after)


def says(status, body=b"", kind="application/zip", length=None):
    def give(handler, whole, start):
        handler.head(status, len(body) if length is None else length, kind)
        handler.wfile.write(body)

    return give


def no_ranges(handler, whole, start):
    well(handler, whole, 0)


def flipped(handler, whole, start):
    well(handler, whole[:900] + bytes([whole[900] ^ 1]) + whole[901:], start)


well, gone = drip(10**9, 0), says(404)
page = says(200, b"<p>Please log in", "text/html; charset=utf-8")


def food_zip(leave_out="", seed=0):
    """Return an archive in the layout of the food data, two noisy pictures for each class."""
    rng, file = np.random.default_rng(seed), io.BytesIO()
    with zipfile.ZipFile(file, "w") as bundle:
        for part in ("train", "test"):
            for label in sorted({"pizza", "steak", "sushi"} - {leave_out}):
                for number in range(2):
                    picture = cv2.imencode(".png", rng.integers(0, 255, (40, 48, 3), np.uint8))[1]
                    bundle.writestr(f"{part}/{label}/{number}.png", picture.tobytes())
        bundle.writestr("noise", rng.bytes(300_000 + seed))  # so that there is something to cut
    return file.getvalue()


FOOD = food_zip()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Wait for milliseconds, not for seconds; no mirror."""
    monkeypatch.setattr(room, "PAUSES", [0.01] * 4)
    monkeypatch.delenv("WORKSHOP_MIRROR", raising=False)


def publish(monkeypatch, *servers, body=FOOD, known=""):
    """Let the catalog say that the food archive is published at these servers."""
    urls = tuple(f"{server.url}/{ZIP}" for server in servers)
    known = known or f"md5:{hashlib.md5(body).hexdigest()}"
    archive = Archive(ZIP, urls, len(body), 10**7, known.removeprefix("none"))
    facts = replace(catalog.FOOD, archive=archive, pictures={"train": 6, "test": 6})
    monkeypatch.setitem(catalog.DATA_SETS, "food", facts)


@pytest.fixture
def official(monkeypatch):
    return partial(publish, monkeypatch)


def sums(files):
    return "".join(f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in files.items())


def assert_complete(home, body=FOOD):
    real = home / "data" / "food" / "real"
    assert (real / ZIP).read_bytes() == body
    assert len(list(real.rglob("*.png"))) == 12
    assert sorted(path.name for path in real.parent.iterdir()) == [".food.lock", "real"]


def assert_absent(home):
    assert not (home / "data" / "food" / "real").exists()
    assert not list((home / "data" / "food").rglob("*.zip"))  # at most a .part


def test_what_is_here_is_not_fetched_again(home, official, capsys):
    with Server({ZIP: FOOD}) as server:
        official(server)
        assert fetch("food") == fetch("food") == home / "data" / "food" / "real"
        assert server.asked == [""]
    assert_complete(home)
    said = capsys.readouterr().out
    assert "Pizza, steak, sushi: 6 train, 6 test pictures\nHere now: " in said
    assert said.splitlines()[-1].startswith("Here already: ")


@pytest.mark.parametrize("bad", [gone, flipped, cut(1000)])
def test_the_next_address_is_tried(home, official, capsys, bad):
    with Server({ZIP: FOOD}, bad) as first, Server({ZIP: FOOD}) as second:
        official(first, second)
        fetch("food")
        assert second.asked == [""]  # what came from elsewhere is not gone on with
    assert_complete(home)
    assert f"{first.url}/{ZIP}" in capsys.readouterr().out  # and what is wrong with it


def test_the_mirror_comes_first(home, official, monkeypatch):
    with Server({ZIP: FOOD}) as mirror, Server({ZIP: FOOD}) as server:
        official(server)
        monkeypatch.setenv("WORKSHOP_MIRROR", mirror.url.removeprefix("http://") + "/")
        fetch("food")
        assert (mirror.asked, server.asked) == ([""], [])
    assert_complete(home)


def test_without_a_connection_it_says_so_at_once(home, official, monkeypatch, capsys):
    with Server({}) as server:
        official(server)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setattr(room, "PAUSES", [60])
    with pytest.raises(ConnectionError, match="The notebooks run without it"):
        fetch("food")
    assert "there is no connection (ProxyError)" in capsys.readouterr().out


def test_the_weights_are_known_by_the_hash_in_their_name(home, tmp_path, monkeypatch):
    body, digits = b"weights", hashlib.sha256(b"weights").hexdigest()[:8]
    file = f"net-{digits}.pth"
    with Server({file: body}) as server:
        known = Archive(file, (f"{server.url}/{file}",), len(body), 0, f"sha256:{digits}")
        monkeypatch.setattr(room, "WEIGHTS", known)
        assert fetch("vgg16").read_bytes() == body
    (home / "data" / "weights" / file).unlink()
    (tmp_path / file).write_bytes(b"others")
    (tmp_path / room.SUMS).write_text(sums({file: b"others"}))
    with pytest.raises(ValueError, match="is damaged or another file"):
        fetch("vgg16", tmp_path)
    (tmp_path / file).write_bytes(body)
    assert fetch("vgg16", tmp_path).read_bytes() == body
    assert (tmp_path / file).is_file()  # copied, not moved


def test_the_weights_are_those_of_torchvision():
    assert room.WEIGHTS.urls == (VGG16.url,) and room.WEIGHTS.file == Path(VGG16.url).name
    assert VGG16.url.endswith(f"-{room.WEIGHTS.hash.removeprefix('sha256:')}.pth")
    assert room.WEIGHTS.size / 2**20 == pytest.approx(VGG16.meta["_file_size"], abs=0.01)
    assert "vgg16: weights (553 MB): not here" in table()


@pytest.fixture
def aoi(tmp_path):
    """A small data set in the genuine layout, as somebody downloaded and unpacked it."""
    folder = tmp_path / "stick"
    for part in ("train", "test"):
        (folder / f"{part}_images").mkdir(parents=True)
        names = [f"{part}_{number:05}.png" for number in range(3)]
        for name in names:
            picture = np.full((20, 20), 99, np.uint8)
            write_png(folder / f"{part}_images" / name, picture)
        rows = [f"{name},{n if part == 'train' else ''}\n" for n, name in enumerate(names)]
        (folder / f"{part}.csv").write_text("ID,Label\n" + "".join(rows))
    return folder


def pack(stick, inner):
    for part in ("train", "test"):
        base = [stick, f"{part}_images"] if inner else [stick / f"{part}_images"]
        shutil.make_archive(stick / f"{part}_images", "zip", *base)
        shutil.rmtree(stick / f"{part}_images")


def nest(stick):
    shutil.move(stick / "train_images", stick / "inner")
    (stick / "train_images").mkdir()
    shutil.move(stick / "inner", stick / "train_images" / "train_images")


@pytest.mark.parametrize(
    "change",
    [
        lambda stick: pack(stick, inner=False),
        lambda stick: pack(stick, inner=True),
        nest,  # as Windows unpacks
        lambda stick: (stick / "test.csv").unlink(),
    ],
)
def test_aoi_is_taken_as_people_have_it(aoi, home, capsys, change):
    change(aoi)
    room.data(None, aoi)
    data = open_data("aoi")
    assert data.source == "real"
    assert pictures(data, "train").labels.tolist() == [0, 1, 2]
    tests = ", 3 test (of 10,142)" * (aoi / "test.csv").is_file()
    assert f"3 train (of 2,528){tests} pictures" in capsys.readouterr().out


def test_aoi_without_its_files_says_which_and_where_from(home, aoi, official):
    official()
    (aoi / "train_images").rename(aoi / "elsewhere")
    (aoi / ZIP).write_bytes(FOOD)
    with pytest.raises(ValueError, match="not AOI defect inspection: there is no train_images"):
        room.data(None, aoi)
    assert_complete(home)  # the rest was taken
    (aoi / "elsewhere").rename(aoi / "train_images")
    with pytest.raises(FileNotFoundError, match="has no file that this workshop knows"):
        room.data(None, home)
    with pytest.raises(FileNotFoundError, match=f"train.csv, .* from {catalog.AOI.page}, then"):
        fetch("aoi")
    (aoi / "train.csv").unlink()
    with pytest.raises(ValueError, match="not AOI defect inspection: there is no train.csv in it"):
        fetch("aoi", aoi)
    (aoi / "train.csv").write_text("ID,Label\nlost.png,0\n")
    with pytest.raises(FileNotFoundError, match="'lost.png'"):
        fetch("aoi", aoi)
    assert not (home / "data" / "aoi" / "real").exists()


def test_what_is_not_the_data_set_is_refused_and_nothing_stays(home, official, tmp_path):
    body = food_zip(leave_out="steak")
    official(body=body)
    (tmp_path / ZIP).write_bytes(body)
    with pytest.raises(ValueError, match="not Pizza, steak, sushi: there is no train/steak in it"):
        room.data(None, tmp_path)
    assert_absent(home)
    (home / "data" / "food" / "real" / "train").mkdir(parents=True)
    with pytest.raises(ValueError, match="has no train/pizza. Move it away and run this again"):
        fetch("food", tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no file sizes")
def test_a_full_disk_leaves_no_data(home, tmp_path, official, capsys):
    official()
    (tmp_path / ZIP).write_bytes(FOOD)
    with at_most_this_large(len(FOOD) - 100):
        assert main(["data", "--from", str(tmp_path)]) == 1
    assert "File too large" in capsys.readouterr().err
    assert_absent(home)
    assert main(["data", "--from", str(tmp_path)]) == 0
    assert_complete(home)


def test_what_could_not_be_unpacked_is_not_fetched_again(home, official, monkeypatch):
    with Server({ZIP: FOOD}) as server:
        official(server)
        with monkeypatch.context() as patch, pytest.raises(OSError, match="no room"):
            patch.setattr(room, "_unpack", Mock(side_effect=OSError("no room")))
            fetch("food")
        fetch("food")
        assert server.asked == [""]
    assert_complete(home)


def test_two_at_once_do_not_mix(home, official):
    (home / "data" / "food").mkdir(parents=True)
    with FileLock(home / "data" / "food" / ".food.lock"), pytest.raises(OSError, match="lock"):
        fetch("food")


REAL = {  # counts of each class
    ("cifar10", "train"): [5000] * 10,
    ("cifar10", "test"): [196, 198, 195, 199, 198, 185, 216, 193, 217, 203],
    ("food", "train"): [78, 75, 72],
    ("food", "test"): [25, 19, 31],
    ("pets", "train"): [500, 500],
    ("pets", "valid"): [200, 200],
    ("pets", "test1"): [100],  # no label
}


def test_real_archives_are_taken_from_a_folder_and_every_picture_is_read(home, real_data, capsys):
    room.data(None, real_data)
    said = capsys.readouterr().out
    assert "CIFAR-10: 50,000 train, 2,000 test (of 10,000) pictures" in said
    assert "Pizza, steak, sushi: 225 train, 75 test pictures" in said
    assert "1,000 train (of 23,000), 400 valid (of 2,000), 100 test1 (of 12,500)" in said
    assert "cifar-10-python.tar.gz is not the official file, but the one that SHA256SUMS" in said
    for (name, part), counts in REAL.items():
        got = pictures(open_data(name), part, size=32)
        assert (got.labels - got.labels.min()).bincount().tolist() == counts, (name, part)
        assert got.images.flatten(1).float().std(dim=1).min() > 0  # no picture is blank
    check_cifar(open_data("cifar10").root, 50_000)
    assert (home / "data" / "cifar10" / "real" / "cifar-10-python.tar.gz").is_file()
    assert not list((home / "data").glob("*/download*"))

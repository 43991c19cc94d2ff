"""Hostile and broken inputs. A case is a line of a table; the test below the table says what holds.

Nothing is written outside its folder, nothing in an input is run, nothing grows larger than it may,
and nothing half-written is taken for whole. Which exception comes is often the library's choice.
"""

import contextlib
import gzip
import io
import os
import pickle
import re
import stat
import struct
import sys
import tarfile
import zipfile
import zlib
from http.client import HTTPConnection
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
import test_fetch
import torch
from PIL import Image
from safetensors import SafetensorError
from test_fetch import FOOD, ZIP, Server, says, well
from test_mirror import serving
from test_serve import in_bytes

from helpers import data, images, samples, training, transfer
from helpers.batches import Batches
from helpers.models import LeNet
from helpers.serve import MOST_BYTES, Predictor
from workshop import fetch


def each(table):
    """Run a test for each line of a table, `name: (what makes the input, what comes of it)`."""
    lines = [pytest.param(name, *line, id=name) for name, line in table.items()]
    return pytest.mark.parametrize(("name", "make", "outcome"), lines)


# Archives: a function writes one to a path. What comes out is a list of files, or an error.

SMALL = 1_000_000  # bytes that an archive here may unpack to
LINK, HARD, FIFO = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE
FOLDER, TAR_END = tarfile.DIRTYPE, bytes(1024)


def member(name, kind=tarfile.REGTYPE, target="", size=0, **headers):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.pax_headers = kind, target, size, headers
    return info


def tar(*entries):
    """Write names, (name, contents) and members, which may have any contents."""

    def make(path):
        with tarfile.open(path, "w:gz", compresslevel=1) as tape:
            for entry in entries:
                info, body = entry if isinstance(entry, tuple) else (entry, b"x")
                if isinstance(info, str):
                    info = member(info, size=len(body))
                tape.addfile(info, io.BytesIO(body))

    return make


def zipped(*entries, swap=(b"", b"")):
    """Write names and (name, contents); at last swap bytes of the whole archive for others."""

    def make(path):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
            for entry in entries:
                info, body = entry if isinstance(entry, tuple) else (entry, b"x")
                bundle.writestr(info, body, zipfile.ZIP_DEFLATED)
        path.write_bytes(path.read_bytes().replace(*swap))

    return make


def packed(*blocks):
    """Write what tarfile's own writer would not write."""
    return lambda path: path.write_bytes(gzip.compress(b"".join(blocks), 1))


ZIP_LINK = zipfile.ZipInfo("link")
ZIP_LINK.external_attr = (stat.S_IFLNK | 0o777) << 16
LIE = struct.pack("<I", 5 * SMALL), struct.pack("<I", 10)  # a size
SPARSE = {"GNU.sparse.map": "0,600000,0,600000", "GNU.sparse.size": "21"}
MANY, DEEP = [str(n) for n in range(201)], [f"{n}/" + "a/" * 40 + "1.jpg" for n in range(30)]
NAMES = ["a/1.jpg", "Größe 数据/2", "3"]
LIBRARY = tarfile.TarError, zipfile.BadZipFile, zlib.error, NotImplementedError
PLAIN, TOO_MUCH = "is no plain file", "holds more than 1 MB or "
ARCHIVES = {
    "honest.tgz": (tar("a/1.jpg", member("b", FOLDER), "Größe 数据/2", "./3"), NAMES),
    "leads out.tgz": (tar("good", "../evil"), "outside the destination"),
    "absolute.tgz": (tar("/evil"), ["evil"]),
    "link out.tgz": (tar(member("link", LINK, "/etc/passwd")), PLAIN),
    "through a link.tgz": (tar(member("link", LINK, ".."), "link/evil"), PLAIN),
    "hard link.tgz": (tar(member("link", HARD, "../../outside")), PLAIN),
    "pipe.tgz": (tar(member("pipe", FIFO)), PLAIN),
    "sparse.tgz": (tar((member("s", size=600_000, **SPARSE), bytes(600_000))), PLAIN),
    "bomb.tgz": (tar("good", ("zeros", bytes(SMALL))), TOO_MUCH),
    "size below zero.tgz": (packed(member("a", size=-512).tobuf(), TAR_END), TOO_MUCH + "|invalid"),
    "entries.tgz": (tar(*MANY), TOO_MUCH),
    "deep folders.tgz": (tar(*DEEP), TOO_MUCH),
    "deep name.tgz": (tar("a/" * 2000 + "1.jpg"), TOO_MUCH),
    "header.tgz": (
        packed(member("x", tarfile.XHDTYPE, size=9 * SMALL).tobuf(), bytes(SMALL)),
        "has a header",
    ),
    "behind the end.tgz": (packed(member("a").tobuf(), TAR_END, bytes(9 * SMALL)), "goes on after"),
    "honest.zip": (zipped("a/1.jpg", "b/", "Größe 数据/2", "./3"), NAMES),
    "leads out.zip": (zipped("good", "../evil", "a/../../evil"), ["a/evil", "evil", "good"]),
    "absolute.zip": (zipped("/evil"), ["evil"]),
    "link.zip": (zipped((ZIP_LINK, b"../../outside")), ["link"]),  # a file with these words
    "bomb.zip": (zipped("good", ("zeros", bytes(SMALL))), TOO_MUCH),
    "size too low.zip": (zipped(("zeros", bytes(5 * SMALL)), swap=LIE), "Bad CRC"),
    "entries.zip": (zipped(*MANY), TOO_MUCH),
    "deep folders.zip": (zipped(*DEEP), TOO_MUCH),
}


def below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@each(ARCHIVES)
def test_archives(name, make, outcome, tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "MOST_PATHS", 200)
    (tmp_path / "a" / "b").mkdir(parents=True)
    archive, out = tmp_path / "a" / "b" / name, tmp_path / "a" / "b" / "out"
    make(archive)
    before = below(tmp_path)
    if isinstance(outcome, str):
        with pytest.raises(Exception, match=outcome):
            samples.unpack(archive, out, SMALL)
    else:
        samples.unpack(archive, out, SMALL)
        assert [path for path in below(out) if (out / path).is_file()] == sorted(outcome)
    came = list(out.rglob("*"))
    assert [name for name in below(tmp_path) if not name.startswith("a/b/out")] == before
    assert not any(path.is_symlink() or not (path.is_file() or path.is_dir()) for path in came)
    assert sum(path.stat().st_size for path in came if path.is_file()) <= SMALL
    assert len(came) <= (0 if name.endswith(".zip") and outcome == TOO_MUCH else 300)


@pytest.mark.parametrize("name, write", [("a.tgz", tar), ("a.zip", zipped)])
def test_an_archive_cut_off_or_flipped_anywhere_is_not_taken_for_whole(name, write, tmp_path):
    noise = np.random.default_rng(0).bytes(3000)
    write(("a/1.jpg", noise), ("2", noise[::-1]))(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    cut = [whole[:length] for length in range(0, len(whole), 41)] + [whole[:-1]]
    flip = [whole[:n] + bytes([whole[n] ^ 255]) + whole[n + 1 :] for n in range(52, 6000, 41)]
    for number, broken in enumerate(cut + flip):
        (tmp_path / name).write_bytes(broken)
        with pytest.raises((ValueError, OSError, EOFError, *LIBRARY)):
            samples.unpack(tmp_path / name, tmp_path / f"{number}", SMALL)


# Uploads: what somebody sends to the page. Each is refused in one sentence, and not decoded.


def png(width, height, *data):
    """Write a PNG that says how large it is, and has other data."""
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", size), *((b"IDAT", zlib.compress(one)) for one in data), (b"IEND", b"")]
    bodies = [(len(body), kind + body) for kind, body in parts]
    chunks = [
        struct.pack(">I", n) + body + struct.pack(">I", zlib.crc32(body)) for n, body in bodies
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def scans(count, side):
    """Write a progressive JPEG that says how large it is, and repeats its last scan."""
    buffer = io.BytesIO()
    Image.new("L", (64, 64)).save(buffer, "JPEG", progressive=True)
    whole = buffer.getvalue()
    size, last = whole.index(b"\xff\xc2") + 5, whole.rindex(b"\xff\xda")
    head = whole[:size] + struct.pack(">HH", side, side) + whole[size + 4 : -2]
    return head + whole[last:-2] * count + whole[-2:]


PHOTO = in_bytes(Image.effect_noise((128, 128), 50))
NONE = "is not a picture"
UPLOADS = {
    "what starts Ghostscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", NONE),
    "a bomb": (png(30_000, 30_000, bytes(10**6)), "pixels"),
    "large by its own account": (in_bytes(Image.new("1", (12_000, 12_000))), "pixels"),
    "without a side": (png(0, 0), "picture"),
    "tiny": (in_bytes(Image.new("L", (8, 8))), "at least 16 each way"),
    "a strip": (in_bytes(Image.new("L", (40_000, 40))), "no strip"),
    "30 scans of a huge picture": (scans(30, 9900), "scans"),
    "32 bits": (in_bytes(Image.new("F", (64, 64)), "TIFF"), "32 bits"),
    "too many bytes": (PHOTO + bytes(MOST_BYTES), "20 MB"),
}


@each(UPLOADS)
def test_uploads(name, make, outcome):
    before = psutil.Process().memory_info().rss
    answer = Predictor.__new__(Predictor).ask(make)  # it has no network that could be asked
    assert outcome in answer.refusal and "\n" not in answer.refusal
    assert not answer.probabilities and answer.picture is None
    assert psutil.Process().memory_info().rss - before < 150e6


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
def test_a_picture_that_is_cut_off_is_not_taken_for_whole(kind):
    whole = in_bytes(Image.effect_noise((64, 64), 90).convert("L"), kind)
    assert images.open_picture(whole).size == (64, 64)
    for length in [0, 1, 7, *range(20, len(whole) - 40, 97), len(whole) - 40]:
        with pytest.raises(ValueError, match="^the picture "):
            images.open_picture(whole[:length])


# Tables: a train.csv beside a folder with one picture, 007.png. Each is refused in one sentence.

TABLES = {
    "semicolons": ("ID;Label\n007.png;0\n", "is 'ID;Label'; expected ID,Label, with commas"),
    "a lost zero": ("ID,Label\n7.png,0\n", r"'7.png' is not in .*: \['007.png'\] is"),
    "a label too high": ("ID,Label\n007.png,2\n", "'2' of '007.png' is no .* from 0 to 1"),
    "half a label": ("ID,Label\n007.png,0.5\n", "the label '0.5'"),
    "no label": ("ID,Label\n007.png\n", "the label ''"),
    "twice": ("ID,Label\n007.png,0\n007.png,0\n", "line 3: '007.png' is there already"),
    "leads out": ("ID,Label\n../train.csv,0\n", "is outside its folder"),
    "leads out of Windows": ("ID,Label\n..\\train.csv,0\n", "is outside its folder"),
    "absolute": ("ID,Label\n/etc/passwd,0\n", "is outside its folder"),
    "a drive": ("ID,Label\nC:007.png,0\n", "is outside its folder"),
    "nothing": ("", "The first line of .* is ''"),
    "another encoding": ("ID,Label\n007.png,0\n".encode("utf-16"), "codec can't decode"),
}


@each(TABLES)
def test_tables(name, make, outcome, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "007.png").write_bytes(PHOTO)
    (tmp_path / "train.csv").write_bytes(make if isinstance(make, bytes) else make.encode())
    with pytest.raises((ValueError, FileNotFoundError), match=outcome):
        data.CsvImages(tmp_path / "train.csv", tmp_path / "pictures", ["a", "b"])


# CIFAR-10: a pickle as Python 2 wrote it. What comes out is its labels, or an error.


def short(text):
    return b"U" + bytes([len(text)]) + text


def numbers(kind, state):
    return b"cnumpy\ndtype\n" + short(kind) + b"K\x00K\x01\x87R(K\x03U\x01|N" + state + b"tb"


BYTES = numbers(b"u1", b"NNK\x00K\x00K\x00")


def array(kind=BYTES, rows=2, raw=None):
    raw = bytes(3072 * rows) if raw is None else raw
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    state = b"(K\x01K" + bytes([rows]) + b"M\x00\x0c\x86" + kind + b"\x89T"
    return made + state + struct.pack("<i", len(raw)) + raw + b"tb"


def batch(labels=b"](K\x03K\x07e", pixels=None):
    pixels = array() if pixels is None else pixels
    return b"\x80\x02}(" + short(b"labels") + labels + short(b"data") + pixels + b"u."


def call(function, *words):
    """Call a function as protocol 0 does: its name in two lines, and texts."""
    return b"c" + function + b"\n(" + b"".join(b"S'" + word + b"'\n" for word in words) + b"tR"


# NumPy's own dtype believes this state: eight bytes of the file would be taken for an object.
OBJECT = b"U\x01a\x85}U\x01a" + numbers(b"O8", b"NNK\x08K\x08K?") + b"K\x00\x86sK\x08K\x01K\x00"
FORGED = array(numbers(b"V8", OBJECT), raw=b"A" * 3072 * 16)
DAMAGED = "is damaged"
BATCHES = {
    "honest": (batch(), [3, 7]),
    "a command": (batch(call(b"os\nsystem", b"touch evil")), DAMAGED),
    "a chain of dots": (b"\x80\x04\x8c\x05numpy\x8c\x11os.path.os.system\x93.", DAMAGED),
    "NumPy's own reader": (batch(call(b"numpy\nload", b"evil")), DAMAGED),
    "by number": (b"\x80\x02\x82\x01.", DAMAGED),
    "forged objects": (batch(FORGED), DAMAGED),
    "forged pixels": (batch(pixels=FORGED), DAMAGED),
    "an array as large as the world": (batch(b"cnumpy\nndarray\n(J\xff\xff\xff\x7ftR"), DAMAGED),
    "too few pixels": (batch(pixels=array(raw=bytes(3071))), DAMAGED),
    "pixels that are text": (batch(pixels=short(b"pixels")), DAMAGED),
    "no rows": (batch(b"]", array(rows=0)), DAMAGED),
    "a label too high": (batch(b"](K\x03K\x0ae"), DAMAGED),
    "half a label": (batch(b"](K\x03G?\xe0\0\0\0\0\0\0e"), DAMAGED),
    "a label that is true": (batch(b"](\x88\x88e"), DAMAGED),
    "labels in labels": (batch(b"](](K\x03e](K\x07ee"), DAMAGED),
    "no labels": (batch(b"N"), DAMAGED),
    "a list": (b"]K\x03a.", DAMAGED),
    "nonsense": (b"nonsense", DAMAGED),
}


@each(BATCHES)
def test_batches(name, make, outcome, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data_batch_1").write_bytes(make)
    if isinstance(outcome, str):
        with pytest.raises(ValueError, match=f"data_batch_1 .*{outcome}"):
            data.read_cifar(tmp_path / "data_batch_1")
    else:
        pixels, labels = data.read_cifar(tmp_path / "data_batch_1")
        assert labels.tolist() == outcome and pixels.shape == (2, 3072)
    assert below(tmp_path) == ["data_batch_1"]


def test_a_batch_that_is_cut_off_is_not_taken_for_whole(tmp_path):
    whole = batch()
    for length in [*range(0, len(whole), 61), len(whole) - 1]:
        (tmp_path / "data_batch_1").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=DAMAGED):
            data.read_cifar(tmp_path / "data_batch_1")


# Downloads: what a server does with one request after another. What comes is the data set, or an
# error and nothing; and a server that behaves again brings it in any case.

TRUNCATED = test_fetch.cut(100_000)
DOWNLOADS = {
    "cut off, cut off again": ((TRUNCATED, test_fetch.cut(50_000), well), None),
    "cut off, no ranges": ((TRUNCATED, test_fetch.no_ranges), None),
    "cut off, then busy": ((TRUNCATED, says(503), well), None),
    "cut off, then a page": ((TRUNCATED, test_fetch.page), "A web page came instead of .*Log in"),
    "a page": ((test_fetch.page,), "A web page came instead of http.*Log in with a browser"),
    "one bit flipped": ((test_fetch.flipped,), "is damaged or another file. It was deleted"),
    "length too long": ((says(200, FOOD, length=len(FOOD) + 9),), "broken: IncompleteRead"),
    "body byte by byte": ((test_fetch.drip(1, 0.01),), "is too slow. What came is kept"),
    "too many bytes": ((says(200, FOOD + bytes(10**7)),), "is damaged or another file"),
    "falls silent": ((test_fetch.drip(1, 2),), "Read timed out"),
}


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(fetch, "PAUSES", [0.01] * 4)
    monkeypatch.setattr(fetch, "SLOW_SECONDS", 0.3)
    monkeypatch.setattr(fetch, "TIMEOUT", (5, 0.3))
    monkeypatch.delenv("WORKSHOP_MIRROR", raising=False)


@each(DOWNLOADS)
def test_downloads(name, make, outcome, home, monkeypatch, impatient, capsys):
    with Server({ZIP: FOOD}, *make) as server:
        test_fetch.publish(monkeypatch, server)
        if outcome:
            with pytest.raises(ConnectionError, match="No address gave"):
                fetch.fetch("food")
            assert re.search(outcome, capsys.readouterr().out)
            test_fetch.assert_absent(home)
            server.answers = [well]
        fetch.fetch("food")
    test_fetch.assert_complete(home)
    if name == "cut off, cut off again":
        assert server.asked == ["", "bytes=100000-", "bytes=150000-"]
    if name == "cut off, then a page":
        assert server.asked[-1] == "bytes=100000-"  # the page has cost nothing


# SHA256SUMS: by a mirror, which is not asked for it, or in a folder; the file; what the line says;
# the hash that the catalog knows. The official address is dead. Is the file taken?

OWN = test_fetch.food_zip(seed=1)  # somebody's own copy: a whole data set, not the official one
LISTS = {
    "mirror, lies about the official file": (("mirror", FOOD, b"lie", FOOD), True),
    "mirror, lists its own": (("mirror", OWN, OWN, FOOD), False),
    "mirror, lists its own, no hash known": (("mirror", OWN, OWN, None), False),
    "mirror, right size, no hash known": (("mirror", FOOD, None, None), True),
    "folder, lies about the official file": (("folder", FOOD, b"lie", FOOD), True),
    "folder, lists its own": (("folder", OWN, OWN, FOOD), True),
    "folder, does not list its own": (("folder", OWN, None, FOOD), False),
    "folder, lists the official file, has its own": (("folder", OWN, FOOD, FOOD), False),
    "folder, lies, no hash known": (("folder", FOOD, b"lie", None), False),
    "folder, wrong size, no hash known": (("folder", OWN, None, None), False),
    "folder, right size, no hash known": (("folder", FOOD, None, None), True),
}


@each(LISTS)
def test_sha256sums(name, make, outcome, home, monkeypatch, impatient, tmp_path):
    way, body, listed, known = make
    files = {ZIP: body}
    if listed:
        files[fetch.SUMS] = f"not a line\n{test_fetch.sums({ZIP: listed})}".encode()
    for file, content in files.items():
        (tmp_path / file).write_bytes(content)
    with Server(files) as server, Server({}) as dead:
        test_fetch.publish(monkeypatch, dead, known="" if known else "none")
        if way == "mirror":
            monkeypatch.setenv("WORKSHOP_MIRROR", server.url)
        with contextlib.nullcontext() if outcome else pytest.raises((ValueError, ConnectionError)):
            fetch.fetch("food", tmp_path if way == "folder" else None)
    assert (tmp_path / ZIP).read_bytes() == body  # nobody's stick is changed
    if outcome:
        test_fetch.assert_complete(home, body)
    else:
        test_fetch.assert_absent(home)


# The mirror: what lies in its folder, or is asked for, and must not leave this computer.


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes are made otherwise there")
def test_the_mirror_gives_nothing_else_away(tmp_path):
    stick, net = tmp_path / "stick", "vgg16-397923af.pth"
    stick.mkdir()
    for name in (net, ZIP, ".env", f".{net}", f"{net}~", "train.csv", fetch.SUMS, "../out"):
        (stick / name).write_text("weights" if name == net else "secret")
    (stick / "dogscats.tgz").symlink_to(tmp_path / "out")
    os.mkfifo(stick / "cifar-10-python.tar.gz")
    names = [path.name for path in stick.iterdir() if path.name != net]
    odd = ["", "../out", "%2e%2e/out", "/etc/passwd", f"{net}/", f"./{net}", f"{net}%00"]
    with serving(stick) as url:
        (stick / ZIP).unlink()  # since it was looked at
        for name in [net, *names, *odd]:
            with contextlib.closing(HTTPConnection(urlsplit(url).netloc)) as ask:
                ask.request("GET", f"/{name}")
                answer = ask.getresponse()
                assert answer.status == (200 if name == net else 404), name
                assert b"secret" not in answer.read()


# Checkpoints and weights: a file that should be a training, a network, or pretrained weights. Each
# is refused, and nothing in it is run.


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


def saved(content):
    torch.save(content, buffer := io.BytesIO())
    return buffer.getvalue()


def tensors(header, size=None):
    return struct.pack("<Q", len(header) if size is None else size) + header


def resume(folder):
    model = LeNet(classes=2, size=20)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    batches = Batches(data.Pictures(torch.zeros(2, 1, 20, 20), torch.arange(2)))
    return training.fit(model, batches, batches, optimizer, 1, folder, resume=True, desc=None)


READERS = {
    "last.pt": resume,
    "model.safetensors": lambda folder: training.load_model(folder / "model.safetensors"),
    "squeezenet1_1-b8a52dc0.pth": lambda folder: transfer.load_backbone("squeezenet1_1"),
}
UNSAFE = "Weights only load failed"
CUT_OFF = RuntimeError, EOFError, OSError, pickle.UnpicklingError, SafetensorError
CHECKPOINTS = {
    "last.pt, a command": (saved(Evil()), UNSAFE),
    "last.pt, a command of old": (pickle.dumps(Evil(), 2), "magic|Weights only"),
    "last.pt, nonsense": (b"nonsense", UNSAFE),
    "model.safetensors, a command": (saved(Evil()), "header"),
    "model.safetensors, no network": (tensors(b"{}"), "NoneType"),
    "model.safetensors, nonsense": (b"nonsense", "header"),
    "squeezenet1_1-b8a52dc0.pth, a command": (saved(Evil()), "unsupported GLOBAL"),
}


@each(CHECKPOINTS)
def test_checkpoints(name, make, outcome, home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = name.split(",")[0]
    folder = home / "data" / "weights"
    folder.mkdir(parents=True)
    (folder / file).write_bytes(make)
    with pytest.raises(Exception, match=outcome):
        READERS[file](folder)
    assert below(home) == ["data", "data/weights", f"data/weights/{file}"]
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("file", ["last.pt", "model.safetensors"])
def test_a_checkpoint_that_is_cut_off_is_not_taken_for_whole(file, tmp_path):
    resume(tmp_path)
    READERS[file](tmp_path)
    whole = (tmp_path / file).read_bytes()
    for length in [*range(0, len(whole), len(whole) // 40), len(whole) - 1]:
        (tmp_path / file).write_bytes(whole[:length])
        with pytest.raises(CUT_OFF):
            READERS[file](tmp_path)

import contextlib, os, sys
from http.client import HTTPConnection
from threading import Thread
import pytest
import test_fetch
from test_faults import each
from test_fetch import FOOD, ZIP, Server, says, well
from workshop import fetch
from workshop.mirror import Mirror


# Downloads: what a server does with one request after another. What comes is the data set, or an
# error and nothing; and a server that behaves again brings it in any case.

TRUNCATED = test_fetch.cut(100_000)
DOWNLOADS = {
    "cut off, cut off again": ((TRUNCATED, test_fetch.cut(50_000), well), None),
    "cut off, no ranges": ((TRUNCATED, test_fetch.no_ranges), None),
    "cut off, then busy": ((TRUNCATED, says(503), well), None),
    "cut off, then a page": ((TRUNCATED, test_fetch.page), "A web page came instead of .*Log in"),
    "a page": ((test_fetch.page,), "A web page came instead of http.*Log in with a browser"),
    "a page called zip": ((says(200, b"<!DOCTYPE html><p>Log in"),), "A web page came instead"),
    "one bit flipped": ((test_fetch.flipped,), "is damaged or another file. It was deleted"),
    "length too long": ((says(200, FOOD, length=len(FOOD) + 9),), "broken: IncompleteRead"),
    "length too short": ((says(200, FOOD, length=len(FOOD) - 9),), "is damaged or another file"),
    "a terabyte": ((says(200, b"PK", length=10**12),), "is far too large"),
    "head byte by byte": ((test_fetch.slow_head,), "gives no answer in 0 seconds"),
    "body byte by byte": ((test_fetch.drip(1, 0.01),), "is too slow .0.1 kB/s.. What came is kept"),
    "falls silent": ((test_fetch.drip(1, 2),), "Read timed out"),
}


@pytest.fixture
def impatient(monkeypatch):
    for name, seconds in (("PAUSE", 0.01), ("HEAD", 0.4), ("SLOW", 0.3)):
        monkeypatch.setattr(fetch, f"{name}_SECONDS", seconds)
    monkeypatch.setattr(fetch, "TIMEOUT", (5, 0.3))
    monkeypatch.delenv("WORKSHOP_MIRROR", raising=False)


@each(DOWNLOADS)
def test_downloads(name, make, outcome, home, monkeypatch, impatient):
    with Server({ZIP: FOOD}, *make) as server:
        test_fetch.publish(monkeypatch, server)
        if outcome:
            with pytest.raises(ConnectionError, match=outcome):
                fetch.fetch("food")
            test_fetch.assert_absent(home)
            server.answers = [well]
        fetch.fetch("food")
    test_fetch.assert_complete(home)
    if name == "cut off, cut off again":
        assert server.asked == ["", "bytes=100000-", "bytes=150000-"]
    if name == "cut off, then a page":
        assert server.asked[-1] == "bytes=100000-"  # the page has cost nothing


# SHA256SUMS: by a mirror or in a folder; the file; what the line says; the hash that the catalog
# knows. The official address is dead. Is the file taken?

OWN = test_fetch.food_zip(seed=1)  # somebody's own copy: a whole data set, not the official one
LISTS = {
    "mirror, lies about the official file": (("mirror", FOOD, b"lie", FOOD), True),
    "mirror, does not list the official file": (("mirror", FOOD, None, FOOD), True),
    "mirror, lists its own": (("mirror", OWN, OWN, FOOD), False),
    "mirror, lists its own, no hash known": (("mirror", OWN, OWN, None), True),
    "mirror, lies, no hash known": (("mirror", FOOD, b"lie", None), False),
    "mirror, does not list it, no hash known": (("mirror", FOOD, None, None), False),
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
    stick = tmp_path / "stick"
    (stick / "vgg16-397923af.pth").mkdir(parents=True)
    for name in ("train.csv", "test.csv", ".env", ".train.csv", "train.csv~", "own.zip", "../out"):
        (stick / name).write_text("secret" if name != "train.csv" else "ID,Label")
    (stick / "dogscats.tgz").symlink_to(tmp_path / "out")
    (stick / "train_images.zip").symlink_to("train.csv")
    os.mkfifo(stick / "test_images.zip")
    (stick / fetch.SUMS).write_text(f"{'0' * 64}  own.zip\n")
    names = [path.name for path in stick.iterdir() if path.name not in ("train.csv", fetch.SUMS)]
    odd = ["", "../out", "%2e%2e/out", "/etc/passwd", "train.csv/", "./train.csv", "train.csv%00"]
    with Mirror(stick, 0) as server:
        (stick / "test.csv").unlink()
        (stick / "test.csv").symlink_to(tmp_path / "out")  # changed since it was looked at
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        for name in ["train.csv", fetch.SUMS, *names, *odd]:
            with contextlib.closing(HTTPConnection("127.0.0.1", server.server_address[1])) as ask:
                ask.request("GET", f"/{name}")
                answer = ask.getresponse()
                body = answer.read()
            assert answer.status == (200 if name in ("train.csv", fetch.SUMS) else 404), name
            assert b"secret" not in body
            if name == fetch.SUMS:
                assert body.split()[1::2] == [b"train.csv", b"test.csv"]
        server.shutdown()

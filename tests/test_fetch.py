"""Fetching from servers and folders that do not behave. Nothing here is mocked: see Server."""

import errno
import hashlib
import io
import os
import random
import shutil
import ssl
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from conftest import REPOSITORY, run_python
from misbehaving_server import (
    Server,
    claim,
    cut,
    endless,
    flip,
    hang,
    no_ranges,
    portal,
    status,
    sums,
    trickle,
    well,
)

from helpers import catalog, download, supply
from helpers.__main__ import main
from helpers.download import DownloadError
from helpers.fetch import fetch, offered

ZIP = "pizza_steak_sushi.zip"


def food_zip(seed=0, padding=300_000, leave_out=""):
    """Return an archive in the layout of the food data: two noisy pictures for each class."""
    rng = np.random.default_rng(seed)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as bundle:
        for part in ("train", "test"):
            for label in ("pizza", "steak", "sushi"):
                if f"{part}/{label}" == leave_out:
                    continue
                for number in range(2):
                    picture = rng.integers(0, 255, (40, 48, 3), dtype=np.uint8)
                    bundle.writestr(
                        f"{part}/{label}/{number}.jpg", cv2.imencode(".jpg", picture)[1].tobytes()
                    )
        bundle.writestr("readme.bin", rng.bytes(padding))  # so that there is something to cut
    return file.getvalue()


FOOD = food_zip()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Wait for milliseconds, not seconds; no proxy, no mirror."""
    monkeypatch.setattr(download, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(download, "READ_SECONDS", 5)
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "workshop_mirror"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def pauses(monkeypatch):
    """The seconds that the download would have waited, in turn; it does not wait."""
    taken = []
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=taken.append)
    monkeypatch.setattr(download, "time", clock)
    return taken


@pytest.fixture
def mirror(home, monkeypatch):
    """Start a server, as WORKSHOP_MIRROR, with the food archive and these faults."""
    servers = []

    def start(*faults, body=FOOD, sums_faults=(), **options):
        steps = {ZIP: faults or [well], "SHA256SUMS": sums_faults or [well]}
        server = Server({ZIP: body}, steps, **options)
        servers.append(server)
        monkeypatch.setenv("WORKSHOP_MIRROR", server.url)
        return server

    yield start
    for server in servers:
        server.__exit__()


def official(monkeypatch, *urls, body=FOOD, **changes):
    """Let the catalog say that the food archive is published at these addresses."""
    entry = replace(catalog.FOOD.archive, urls=urls, size=len(body), **changes)
    monkeypatch.setitem(catalog.DATA_SETS, "food", replace(catalog.FOOD, archive=entry))


def assert_complete(home, body=FOOD):
    real = home / "data" / "food" / "real"
    assert (real / ZIP).read_bytes() == body
    assert len(list(real.rglob("*.jpg"))) == 12
    assert (real / "train" / "sushi" / "1.jpg").is_file()
    left = sorted(path.name for path in (home / "data" / "food").iterdir())
    assert left == ["download", "real"]
    assert [path.name for path in (home / "data" / "food" / "download").iterdir()] == [".lock"]


def assert_absent(home):
    assert not (home / "data" / "food" / "real").exists()


def test_a_download_is_verified_unpacked_and_not_repeated(home, mirror, capsys):
    server = mirror()
    assert fetch("food") == home / "data" / "food" / "real"
    assert_complete(home)
    said = capsys.readouterr().out
    assert "Pizza, steak, sushi: 6 train, 6 test pictures in" in said
    assert "not the official archive; verified by the SHA256SUMS of http://127.0.0.1" in said
    before = len(server.requests)
    fetch("food")
    assert capsys.readouterr().out.startswith("Here already. Pizza, steak, sushi: 6 train, 6 test")
    assert len(server.requests) == before


def test_a_cut_connection_is_resumed_not_restarted(home, mirror):
    server = mirror(cut(100_000), cut(50_000), well)
    fetch("food")
    assert_complete(home)
    assert server.sent[ZIP] == len(FOOD)
    assert server.asked(ZIP) == ["", "bytes=100000-", "bytes=150000-"]


def test_a_download_given_up_is_resumed_by_the_next_call(home, mirror):
    server = mirror(cut(100_000), cut(0))
    with pytest.raises(DownloadError, match=r"cut \(5 attempts\). 0.1 MB are kept: run this"):
        fetch("food")
    assert_absent(home)
    server.faults[f"/{ZIP}"] = [well]
    fetch("food")
    assert_complete(home)
    assert server.sent[ZIP] == len(FOOD)


@pytest.mark.parametrize("longer", [0, 1000])
def test_a_file_that_changed_meanwhile_is_fetched_anew(home, mirror, longer):
    server = mirror(cut(100_000), cut(0))
    with pytest.raises(DownloadError):
        fetch("food")
    other = food_zip(seed=1)
    other = food_zip(seed=1, padding=300_000 + len(FOOD) - len(other) + longer)
    assert len(other) == len(FOOD) + longer
    server.files |= {f"/{ZIP}": other, "/SHA256SUMS": sums({ZIP: other}).encode()}
    server.faults[f"/{ZIP}"] = [well]
    fetch("food")
    assert_complete(home, other)


def test_a_server_without_ranges_is_downloaded_from_the_beginning(home, mirror):
    server = mirror(cut(100_000), no_ranges)
    fetch("food")
    assert_complete(home)
    assert server.sent[ZIP] == len(FOOD) + 100_000


def test_a_part_longer_than_the_file_is_dropped(home, mirror):
    server = mirror(cut(300_000), status(416), well)
    fetch("food")
    assert_complete(home)
    assert server.asked(ZIP) == ["", "bytes=300000-", ""]


def test_a_hanging_server_ends_in_a_clear_message(home, mirror, monkeypatch):
    monkeypatch.setattr(download, "READ_SECONDS", 0.2)
    mirror(hang(1000))
    with pytest.raises(DownloadError, match="sent nothing for 0 seconds .*without it, on"):
        fetch("food")
    assert_absent(home)


def test_a_server_that_never_answers_ends_in_a_clear_message(home, mirror, monkeypatch):
    monkeypatch.setattr(download, "READ_SECONDS", 0.2)

    def silent(handler, body, start):
        handler.server.closing.wait(20)

    mirror(silent)
    with pytest.raises(DownloadError, match="sent nothing for 0 seconds"):
        fetch("food")


def test_a_server_that_only_trickles_is_left(home, mirror, monkeypatch):
    monkeypatch.setattr(download, "SLOW_SECONDS", 0.3)
    mirror(trickle(10, 0.05))
    with pytest.raises(DownloadError, match="comes too slowly"):
        fetch("food")


def test_a_server_that_never_ends_is_left(home, mirror):
    mirror(endless)
    with pytest.raises(DownloadError, match="does not end"):
        fetch("food")
    assert_absent(home)


def test_a_missing_file_says_so_at_once(home, mirror):
    server = mirror(status(404))
    with pytest.raises(DownloadError, match="is not there any more .the server answers 404"):
        fetch("food")
    assert len(server.asked(ZIP)) == 1


def test_a_busy_server_is_asked_again_when_it_says(home, mirror, pauses):
    server = mirror(status(429, Retry_After="7"), status(503), well)
    fetch("food")
    assert pauses == [7, 0.02]
    assert_complete(home)
    assert len(server.asked(ZIP)) == 3


@pytest.mark.parametrize("code", [429, 503])
def test_a_server_that_stays_busy_is_given_up(home, mirror, code):
    server = mirror(status(code))
    with pytest.raises(DownloadError, match=f"the server answers {code} .*5 attempts"):
        fetch("food")
    assert len(server.asked(ZIP)) == download.ATTEMPTS


def test_a_server_that_asks_for_an_hour_is_not_waited_for(home, mirror):
    mirror(status(503, Retry_After="3600"))
    with pytest.raises(DownloadError, match="asks to wait 60 minutes. Run this again then"):
        fetch("food")


def test_pauses_double(home, mirror, pauses):
    mirror(status(503), status(503), status(503), well)
    fetch("food")
    assert pauses == [0.01, 0.02, 0.04]


def test_a_length_that_is_too_long_is_noticed(home, mirror):
    mirror(claim(len(FOOD) + 1000))
    with pytest.raises(DownloadError, match="the connection was cut .5 attempts"):
        fetch("food")
    assert_absent(home)


def test_a_range_that_is_too_short_is_asked_for_again(home, mirror):
    def half(handler, body, start):
        end = (start + len(body)) // 2
        handler.head(206, end - start, start, len(body))
        handler.send(body[start:end])

    server = mirror(cut(100_000), half, well)
    fetch("food")
    assert_complete(home)
    assert server.sent[ZIP] == len(FOOD)


def test_another_range_than_was_asked_for_is_not_appended(home, mirror):
    def other(handler, body, start):
        handler.head(206, len(body), 0, len(body))
        handler.send(body)

    server = mirror(cut(100_000), other, well)
    fetch("food")
    assert_complete(home)
    assert server.asked(ZIP) == ["", "bytes=100000-", ""]


def test_a_length_that_is_too_short_is_noticed(home, mirror):
    mirror(claim(len(FOOD) - 1000))
    with pytest.raises(ValueError, match="came down damaged: its hash is not the expected one"):
        fetch("food")
    assert_absent(home)


def test_a_file_far_too_large_is_not_downloaded(home, mirror):
    server = mirror(claim(10**12))
    with pytest.raises(DownloadError, match="is 1,000,000 MB, expected at most 20 MB"):
        fetch("food")
    assert len(server.asked(ZIP)) == 1
    assert not list((home / "data" / "food" / "download").glob("*.part"))


def test_one_flipped_bit_is_noticed_and_nothing_stays(home, mirror):
    server = mirror(flip(200_000), well)
    with pytest.raises(ValueError, match="came down damaged: .* It was deleted; run this again"):
        fetch("food")
    assert_absent(home)
    fetch("food")
    assert_complete(home)
    assert server.asked(ZIP) == ["", ""]  # the damaged bytes were not gone on with


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
@pytest.mark.parametrize("where", ["archive", "sums"])
def test_a_log_in_page_is_recognised(home, mirror, kind, where):
    page = portal(kind)
    mirror(*[page] * (where == "archive"), sums_faults=[page] * (where == "sums"))
    with pytest.raises(DownloadError, match="A web page came instead .* Log in with a browser"):
        fetch("food")
    assert_absent(home)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://nobody.invalid"])
def test_without_a_network_it_says_at_once_what_works(home, monkeypatch, capsys, address, pauses):
    monkeypatch.setenv("WORKSHOP_MIRROR", address)
    assert main(["data", "food"]) == 1
    assert pauses == []
    said = capsys.readouterr().err
    assert said.startswith("There is no connection to ")
    assert "The notebooks run without it, on the drawn sample" in said
    assert "Traceback" not in said
    assert said.count("\n") == 1


def test_a_proxy_is_used(home, mirror, monkeypatch):
    server = mirror()
    monkeypatch.setenv("WORKSHOP_MIRROR", "http://mirror.invalid")
    monkeypatch.setenv("HTTP_PROXY", server.url)
    fetch("food")
    assert_complete(home)


def test_a_host_in_no_proxy_is_asked_directly(home, mirror, monkeypatch):
    mirror()
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match="The proxy in HTTP_PROXY .* add 127.0.0.1 to"):
        fetch("food")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    fetch("food")
    assert_complete(home)


def test_a_certificate_nobody_knows_is_explained(home, mirror, tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("no openssl here to make a certificate with")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
    names = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "certificate")]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    mirror(tls=tls)
    with pytest.raises(DownloadError, match="certificate of 127.0.0.1 is not accepted, .* date"):
        fetch("food")


def test_an_address_that_is_none_is_explained(home, monkeypatch):
    monkeypatch.setenv("WORKSHOP_MIRROR", "ftp://127.0.0.1")
    with pytest.raises(DownloadError, match="is no web address"):
        fetch("food")


def test_a_mirror_without_the_file_says_what_it_has(home, monkeypatch):
    with Server({"other.zip": b"x"}) as server:
        monkeypatch.setenv("WORKSHOP_MIRROR", server.url)
        with pytest.raises(FileNotFoundError, match="does not have pizza.*It has: other.zip"):
            fetch("food")


def test_an_archive_without_a_part_is_refused(home, mirror):
    mirror(body=food_zip(leave_out="test/steak"))
    with pytest.raises(ValueError, match="has no test/steak, so it is not the data set"):
        fetch("food")
    assert_absent(home)


def test_the_official_hash_is_verified_and_named(home, monkeypatch, capsys):
    digits = hashlib.md5(FOOD).hexdigest()
    with Server({ZIP: FOOD}) as server:
        official(monkeypatch, f"{server.url}/{ZIP}", hash=f"md5:{digits}", official=True)
        fetch("food")
    assert "(the official archive, MD5 verified)" in capsys.readouterr().out


def test_the_fallback_address_is_tried(home, monkeypatch, capsys):
    digits = hashlib.md5(FOOD).hexdigest()
    with (
        Server({ZIP: FOOD}, {ZIP: [status(404)]}) as gone,
        Server({ZIP: FOOD}, {ZIP: [flip(9)]}) as bad,
        Server({ZIP: FOOD}) as good,
    ):
        urls = [f"{server.url}/{ZIP}" for server in (gone, bad, good)]
        official(monkeypatch, *urls, hash=f"md5:{digits}", official=True)
        fetch("food")
    assert_complete(home)
    assert "Trying 127.0.0.1 instead" in capsys.readouterr().out


def test_a_slow_official_server_is_left_for_the_fallback(home, monkeypatch):
    monkeypatch.setattr(download, "SLOW_SECONDS", 0.2)
    monkeypatch.setattr(supply, "BETTER_SPEED", 1e6)
    digits = hashlib.md5(FOOD).hexdigest()
    with (
        Server({ZIP: FOOD}, {ZIP: [trickle(20_000, 0.05)]}) as slow,  # 400 kB/s
        Server({ZIP: FOOD}) as good,
    ):
        urls = [f"{server.url}/{ZIP}" for server in (slow, good)]
        official(monkeypatch, *urls, hash=f"md5:{digits}", official=True)
        fetch("food")
        assert slow.sent[ZIP] < len(FOOD)
        assert len(slow.asked(ZIP)) == 1
    assert_complete(home)


def test_without_an_official_hash_the_size_decides_and_it_is_said(home, monkeypatch, capsys):
    with Server({ZIP: FOOD}) as server:
        official(monkeypatch, f"{server.url}/{ZIP}", hash="")
        fetch("food")
        assert "no official hash is known for it; its size is right" in capsys.readouterr().out
        shutil.rmtree(home / "data" / "food")
        official(monkeypatch, f"{server.url}/{ZIP}", hash="", body=FOOD + b"x")
        with pytest.raises(ValueError, match="bytes, expected .* has changed since this workshop"):
            fetch("food")
        start = hashlib.md5(b"another start").hexdigest()
        official(monkeypatch, f"{server.url}/{ZIP}", hash="", start_md5=start)
        with pytest.raises(ValueError, match="begins differently"):
            fetch("food")
    assert_absent(home)


def test_size_and_time_come_before_the_first_byte(home, monkeypatch, capsys):
    body = food_zip(padding=6_000_000)
    with Server({ZIP: body}, {ZIP: [cut(0)]}) as server:
        official(monkeypatch, f"{server.url}/{ZIP}", body=body)
        with pytest.raises(DownloadError):
            fetch("food")
        assert server.sent[ZIP] == 0
    assert f"{ZIP}: 6 MB, about 1 min at 2 MB/s" in capsys.readouterr().out


def test_a_folder_with_sums_is_accepted_and_said_to_be_not_official(home, tmp_path, capsys):
    (tmp_path / ZIP).write_bytes(FOOD)
    (tmp_path / "SHA256SUMS").write_text(sums({ZIP: FOOD}).replace("\n", "\r\n"))
    fetch("food", tmp_path)
    assert_complete(home)
    assert f"not the official archive; verified by the SHA256SUMS of {tmp_path}" in (
        capsys.readouterr().out
    )


def test_a_folder_with_the_official_file_needs_no_sums(home, tmp_path, monkeypatch, capsys):
    (tmp_path / ZIP).write_bytes(FOOD)
    official(monkeypatch, hash=f"sha256:{hashlib.sha256(FOOD).hexdigest()}", official=True)
    fetch("food", tmp_path)
    assert "(the official archive, SHA256 verified)" in capsys.readouterr().out


def test_a_folder_with_neither_is_refused_with_the_reason(home, tmp_path):
    (tmp_path / ZIP).write_bytes(FOOD)
    with pytest.raises(ValueError, match="is refused: it is not the official file, and no SHA"):
        fetch("food", tmp_path)
    assert_absent(home)
    assert not (home / "data" / "food" / "download" / ZIP).exists()


def test_a_damaged_file_in_a_folder_is_refused(home, tmp_path):
    (tmp_path / "SHA256SUMS").write_text(sums({ZIP: FOOD}))
    (tmp_path / ZIP).write_bytes(FOOD[:-1] + b"x")
    with pytest.raises(ValueError, match="is damaged: it is not what SHA256SUMS beside it says"):
        fetch("food", tmp_path)
    assert_absent(home)


def test_a_folder_without_the_file_or_no_folder(home, tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match="has no file pizza_steak_sushi.zip. Expected it"):
        fetch("food", tmp_path)
    assert main(["data", "food", "--from", str(tmp_path / "stick")]) == 1
    assert "Is the stick plugged in?" in capsys.readouterr().err
    assert main(["data", "--from", str(tmp_path)]) == 1
    assert "holds no file that this workshop knows" in capsys.readouterr().err


def test_everything_that_a_folder_offers_is_taken(home, tmp_path, capsys):
    files = {ZIP: FOOD, "squeezenet1_1_features.safetensors": b"weights"}
    for name, body in files.items():
        (tmp_path / name).write_bytes(body)
    (tmp_path / "SHA256SUMS").write_text(sums(files))
    assert offered(tmp_path) == ["food", "squeezenet1_1_features"]
    assert main(["data", "--from", str(tmp_path)]) == 0
    assert_complete(home)
    weights = home / "data" / "weights" / "squeezenet1_1_features.safetensors"
    assert weights.read_bytes() == b"weights"


def test_torchvision_weights_must_have_the_hash_in_their_name(home, tmp_path, monkeypatch):
    body = b"weights of a network"
    digits = hashlib.sha256(body).hexdigest()[:8]
    for name, content in ((f"net-{digits}.pth", body), ("net-00000000.pth", body)):
        archive = catalog.Archive(name, (), len(content), 0)
        entry = replace(catalog.WEIGHTS["vgg16"], archive=archive)
        monkeypatch.setitem(catalog.WEIGHTS, name, entry)
        (tmp_path / name).write_bytes(content)
    assert fetch(f"net-{digits}.pth", tmp_path).read_bytes() == body
    with pytest.raises(ValueError, match="is damaged: its SHA-256 does not start with 00000000"):
        fetch("net-00000000.pth", tmp_path)
    assert not (home / "data" / "weights" / "net-00000000.pth").exists()
    with Server({f"net-{digits}.pth": body}) as server:
        monkeypatch.setenv("WORKSHOP_MIRROR", server.url)
        (home / "data" / "weights" / f"net-{digits}.pth").unlink()
        assert fetch(f"net-{digits}.pth").read_bytes() == body


def test_an_unknown_name_and_a_folder_half_there(home, capsys):
    assert main(["data", "mnist"]) == 1
    assert capsys.readouterr().err.startswith("Nothing is called 'mnist'. There are: aoi, cifar10")
    (home / "data" / "food" / "real" / "train").mkdir(parents=True)
    with pytest.raises(ValueError, match="is there but has no train/pizza. Move that folder away"):
        fetch("food")


def test_the_table_shows_what_is_here(home, mirror, capsys):
    mirror()
    fetch("food")
    capsys.readouterr()
    assert main(["data"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NAME", "IN", "USE", "PICTURES", "ON", "DISK", "LICENCE"]
    assert any(line.split()[:5] == ["food", "real", "6", "+", "6"] for line in lines)
    assert any(line.startswith("pets ") and "drawn on first use" in line for line in lines)
    assert any("(839 MB)" in line and line.endswith("helpers data pets") for line in lines)
    assert any(line.startswith("squeezenet1_1_features ") for line in lines)
    assert not any(line.endswith("data squeezenet1_1_features") for line in lines)  # no address


def test_the_table_lives_with_damaged_data(home, mirror, capsys):
    folder = home / "data" / "cifar10" / "real" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for need in catalog.CIFAR10.needs:
        (folder.parent / need).write_bytes(b"damaged")
    assert main(["data"]) == 0
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("cifar10"))
    assert "damaged" in line


def test_too_little_room_is_said_before_the_download(home, mirror, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 500_000))
    server = mirror()
    with pytest.raises(DownloadError, match="needs 1 MB on the disk, and 0 MB are free"):
        fetch("food")
    assert server.sent.get(ZIP, 0) <= len(FOOD)
    assert not list((home / "data" / "food" / "download").glob("*.part"))


def command(*words, **environment):
    """Start the command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "helpers", *words],
        cwd=REPOSITORY,
        env=os.environ | {name: str(value) for name, value in environment.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_full_disk_leaves_nothing_behind(home, mirror, tmp_path, namespace):
    mirror()
    (tmp_path / ZIP).write_bytes(FOOD)
    (tmp_path / "SHA256SUMS").write_text(sums({ZIP: FOOD}))
    fill = f'head -c 2900000 /dev/zero > "{home}/filler"'
    for words, match in (
        ("", "MB are free. Free some space"),  # a download is not even begun
        (f'--from "{tmp_path}"', "The disk is full. Free some space"),
    ):
        result = namespace(
            ["-m"],
            f'mount -t tmpfs -o size=3m none "{home}"; {fill}; '
            f'"$PYTHON" -m helpers data food {words} || echo "exit $?"; ls "{home}/data/food"',
            PYTHON=sys.executable,
        )
        assert match in result.stderr, result
        assert "Traceback" not in result.stderr
        assert result.stdout.split()[-3:] == ["exit", "1", "download"]


def test_a_disk_that_fills_up_while_unpacking_leaves_no_data(home, tmp_path, namespace):
    # the archive fits, its contents do not: 4 MB of zeros, well compressed
    file = io.BytesIO(food_zip())
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("zeros.bin", bytes(4_000_000))
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / ZIP).write_bytes(file.getvalue())
    (stick / "SHA256SUMS").write_text(sums({ZIP: file.getvalue()}))
    result = namespace(
        ["-m"],
        f'mount -t tmpfs -o size=3m none "{home}"; '
        f'"$PYTHON" -m helpers data food --from "{stick}" || echo "exit $?"; '
        f'ls -A "{home}/data/food"',
        PYTHON=sys.executable,
    )
    assert "The disk is full. Free some space and run this again" in result.stderr, result
    assert "Traceback" not in result.stderr
    assert result.stdout.split()[-3:] == ["exit", "1", "download"]


def test_a_copy_that_fills_the_disk_leaves_nothing_behind(home, tmp_path, monkeypatch):
    (tmp_path / ZIP).write_bytes(FOOD)
    (tmp_path / "SHA256SUMS").write_text(sums({ZIP: FOOD}))

    def full(bar, count):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(supply.tqdm, "update", full)
    with pytest.raises(OSError, match="The disk is full. Free some space and run this again"):
        fetch("food", tmp_path)
    assert [path.name for path in (home / "data" / "food" / "download").iterdir()] == [".lock"]


def test_a_read_only_folder_is_explained(home, tmp_path, namespace):
    (tmp_path / ZIP).write_bytes(FOOD)
    (tmp_path / "SHA256SUMS").write_text(sums({ZIP: FOOD}))
    result = namespace(
        ["-m"],
        f'mount -t tmpfs -o ro none "{home}"; '
        f'"$PYTHON" -m helpers data food --from "{tmp_path}" || echo "exit $?"',
        PYTHON=sys.executable,
    )
    assert "The folder is read-only for you" in result.stderr, result
    assert "WORKSHOP_HOME" in result.stderr
    assert "Traceback" not in result.stderr
    assert "exit 1" in result.stdout


def test_killed_while_downloading_it_is_gone_on_with(home, mirror):
    large = food_zip(padding=3_000_000)
    chance = random.Random(0)
    pieces = [chance.randrange(400_000, 900_000) for _ in range(3)]
    server = mirror(*map(hang, pieces), well, body=large)
    download = home / "data" / "food" / "download"
    sizes = [0]
    for piece in pieces:
        process = command("data", "food")
        enough = sizes[-1] + piece - 2**18  # what it holds back in memory is lost with it
        while sum(file.stat().st_size for file in download.glob("*.part")) < enough:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.kill()
        process.communicate()
        sizes.append(next(download.glob("*.part")).stat().st_size)
        assert_absent(home)
    finish("data", "food")
    assert_complete(home, large)
    assert server.asked(ZIP) == ["", *(f"bytes={size}-" for size in sizes[1:])]


DIES = """
import os, sys, zipfile
from helpers import files
from helpers.__main__ import main
left, extract = int(sys.argv[1]), zipfile.ZipFile.extract
def dying(*words):
    global left
    left -= 1
    return extract(*words) if left else os._exit(9)
zipfile.ZipFile.extract = dying
files._move = lambda new, place: os._exit(8) if new.is_dir() else new.replace(place)
main(["data", "food", "--from", sys.argv[2]])
"""


@pytest.mark.parametrize("entry", [1, 7, 13, 0])  # of 13; 0: all are there, but not in place yet
def test_killed_while_unpacking_it_is_absent_and_then_complete(home, tmp_path, entry):
    (tmp_path / ZIP).write_bytes(FOOD)
    (tmp_path / "SHA256SUMS").write_text(sums({ZIP: FOOD}))
    for _ in "ab":
        assert run_python(DIES, entry, tmp_path).returncode == (9 if entry else 8)
        assert_absent(home)
        assert list((home / "data" / "food").glob(".real.*"))  # it had begun
    finish("data", "food", "--from", str(tmp_path))
    assert_complete(home)


def finish(*words):
    """Run a command to its end; a second time it has nothing to do."""
    process = command(*words)
    said = process.communicate()
    assert process.returncode == 0, said
    assert command(*words).communicate()[0].startswith("Here already")


def test_two_processes_at_once_download_once(home, mirror):
    gate = threading.Event()

    def wait(handler, body, start):
        gate.wait(120)
        well(handler, body, start)

    server = mirror(wait)
    first = command("data", "food")
    while not server.asked(ZIP):
        time.sleep(0.01)
    second = command("data", "food", PYTHONUNBUFFERED=1)
    assert second.stdout.readline().startswith("Another process is fetching the same. Waiting")
    gate.set()
    for process in (first, second):
        said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        assert "6 train, 6 test pictures" in said[0]
    assert_complete(home)
    assert server.sent[ZIP] == len(FOOD)

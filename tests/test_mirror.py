"""The instructor's laptop, and a room of thirty."""

import hashlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import requests
from conftest import REPOSITORY
from misbehaving_server import sums

from helpers.__main__ import main
from helpers.download import Resumable
from helpers.fetch import fetch
from helpers.mirror import Mirror, write_sums

FILES = {
    "big.zip": np.random.default_rng(0).bytes(8_000_000),
    "net.pth": np.random.default_rng(1).bytes(500_000),
    "empty.tgz": b"",
}


@pytest.fixture
def folder(tmp_path):
    stick = tmp_path / "Stick ü"
    stick.mkdir()
    for name, body in FILES.items():
        (stick / name).write_bytes(body)
    (stick / "SHA256SUMS").write_text(sums(FILES))
    (stick / "private.txt").write_text("not for the room")
    (tmp_path / "outside.txt").write_text("outside")
    return stick


@pytest.fixture
def lines():
    return []


@pytest.fixture
def mirror(folder, lines):
    with Mirror(folder, "127.0.0.1", say=lines.append) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def get(mirror, path, **headers):
    """Ask for a path exactly as written; requests would tidy it up."""
    connection = http.client.HTTPConnection(*mirror.server_address[:2], timeout=10)
    connection.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def wait_for(lines, count):
    """Wait until the server has said so many lines: it speaks just after the file has arrived."""
    end = time.monotonic() + 60
    while len(lines) < count and time.monotonic() < end:
        time.sleep(0.01)
    assert len(lines) == count


def test_only_what_the_sums_name_is_given_out(mirror):
    for name, body in FILES.items():
        answer, got = get(mirror, f"/{name}")
        assert (answer.status, got) == (200, body)
    assert get(mirror, "/SHA256SUMS")[1].decode() == sums(FILES)
    for path in (
        "/", "/private.txt", "/../outside.txt", "/%2e%2e/outside.txt", "//etc/passwd", "/big.zip/",
        "/./big.zip", "/..%5coutside.txt", "/BIG.ZIP", "/big.zip%00",
    ):  # fmt: skip
        assert get(mirror, path)[0].status == 404, path


def test_nothing_can_be_written(mirror, folder):
    before = sorted(path.name for path in folder.iterdir())
    for method in ("PUT", "POST", "DELETE", "PATCH"):
        assert requests.request(method, f"{mirror.address}/big.zip", timeout=10).status_code == 501
    assert sorted(path.name for path in folder.iterdir()) == before
    assert (folder / "big.zip").read_bytes() == FILES["big.zip"]


def test_what_is_missing_is_sent_alone(mirror):
    tag = get(mirror, "/net.pth")[0].headers["ETag"]
    answer, got = get(mirror, "/big.zip", Range="bytes=7999990-")
    assert (answer.status, got) == (206, FILES["big.zip"][-10:])
    assert answer.headers["Content-Range"] == "bytes 7999990-7999999/8000000"
    answer, got = get(mirror, "/big.zip", Range="bytes=5-", If_Range=tag)  # of another file
    assert (answer.status, len(got)) == (200, 8_000_000)
    # what else a range may say is ignored, as RFC 9110 (14.2) allows; so is one beyond the end
    for odd in ("bytes=8000000-", "bytes=5-9", "bytes=-5", "bytes=1-2,4-5", "rows=1-", "bytes=a-"):
        assert get(mirror, "/big.zip", Range=odd)[0].status == 200


def test_thirty_downloads_at_once_have_the_right_hashes(mirror, tmp_path, lines):
    def attend(number):
        target = tmp_path / f"{number}"
        Resumable(tmp_path / f"{number}.part", 10**8)(f"{mirror.address}/big.zip", str(target))
        return hashlib.sha256(target.read_bytes()).hexdigest()

    with ThreadPoolExecutor(30) as room:
        hashes = set(room.map(attend, range(30)))
    assert hashes == {hashlib.sha256(FILES["big.zip"]).hexdigest()}
    wait_for(lines, 30)
    assert lines[-1] == "127.0.0.1 has big.zip. Computers that have it: big.zip 1."


def test_a_whole_room_may_knock_at_the_same_moment(folder):
    with Mirror(folder, "127.0.0.1") as busy:  # it does not get round to opening the door
        waiting = [socket.create_connection(busy.server_address[:2], timeout=2) for _ in range(30)]
        for connection in waiting:
            connection.close()


def test_a_room_that_never_reads_blocks_nobody(mirror):
    idle = [http.client.HTTPConnection(*mirror.server_address[:2]) for _ in range(40)]
    for connection in idle:
        connection.request("GET", "/big.zip")  # and never reads the answer
    assert requests.get(f"{mirror.address}/net.pth", timeout=10).content == FILES["net.pth"]
    for connection in idle:
        connection.close()


def test_the_count_is_of_computers_and_of_whole_files(mirror, lines):
    for count, (path, wanted) in enumerate(
        [("/big.zip", "bytes=10-"), ("/big.zip", "bytes=0-"), ("/net.pth", "bytes=0-")], start=1
    ):  # with the first, the rest has come: now it is whole
        get(mirror, path, Range=wanted)
        wait_for(lines, count)
    assert lines[-1] == "127.0.0.1 has net.pth. Computers that have it: big.zip 1, net.pth 1."


def test_what_was_cut_off_does_not_count(mirror, lines):
    with socket.create_connection(mirror.server_address[:2], timeout=10) as raw:
        raw.sendall(b"GET /big.zip HTTP/1.1\r\nHost: x\r\n\r\n")
        raw.recv(10)
    get(mirror, "/net.pth")
    wait_for(lines, 1)
    assert lines == ["127.0.0.1 has net.pth. Computers that have it: net.pth 1."]


def test_a_folder_without_sums_says_how_to_make_them(folder):
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(FileNotFoundError, match="has no SHA256SUMS.*--write-sums"):
        Mirror(folder)
    write_sums(folder)
    written = (folder / "SHA256SUMS").read_text()
    assert sorted(written.splitlines()) == sorted(sums(FILES).splitlines())
    with Mirror(folder, "127.0.0.1") as server:
        assert set(server.sums) == set(FILES)


def test_a_damaged_or_missing_file_is_not_served(folder):
    (folder / "net.pth").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="net.pth is not what SHA256SUMS says: it is damaged"):
        Mirror(folder)
    (folder / "net.pth").unlink()
    with pytest.raises(FileNotFoundError, match="SHA256SUMS names net.pth, which is not in"):
        Mirror(folder)


def test_a_port_in_use_is_explained(mirror, folder, capsys):
    port = mirror.server_address[1]
    assert main(["mirror", str(folder), "--bind", "127.0.0.1", "--port", str(port)]) == 1
    assert f"Port {port} of 127.0.0.1 cannot be used" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="no Ctrl-C can be sent on Windows")
def test_the_command_prints_the_address_serves_and_stops(folder, home, monkeypatch):
    process = subprocess.Popen(
        [sys.executable, "-m", "helpers", "mirror", folder, "--bind", "127.0.0.1", "--port", "0"],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell starts what runs in the background deaf to Ctrl-C, and the deafness is inherited
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    said = ""

    def read_until(words):
        nonlocal said
        while words not in said:
            assert process.poll() is None, process.communicate()
            said += process.stdout.readline()

    read_until("Ctrl-C")
    address = re.search(r"WORKSHOP_MIRROR=(http://127\.0\.0\.1:\d+)", said)[1]
    assert requests.get(f"{address}/net.pth", timeout=10).content == FILES["net.pth"]
    monkeypatch.setenv("WORKSHOP_MIRROR", address)
    with pytest.raises(FileNotFoundError, match="does not have squeezenet1_1_features.safetensors"):
        fetch("squeezenet1_1_features")
    read_until("127.0.0.1 has net.pth")  # said after the file has arrived
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert "Traceback" not in error


def test_all_networks_means_an_address_that_others_can_use(folder):
    with Mirror(folder) as server:
        assert re.fullmatch(r"http://\d+\.\d+\.\d+\.\d+:\d+", server.address)
        assert "0.0.0.0" not in server.address

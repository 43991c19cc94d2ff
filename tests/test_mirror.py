"""The instructor's laptop, and a room of thirty."""

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Thread

import numpy as np
import pytest
import requests
from test_fetch import sums

from workshop.__main__ import main
from workshop.fetch import fetch
from workshop.mirror import Mirror

FILES = {
    "pizza_steak_sushi.zip": np.random.default_rng(0).bytes(8_000_000),
    "resnet18-f37072fd.pth": np.random.default_rng(1).bytes(500_000),
    "train.csv": b"ID,Label\n",
    "test.csv": b"",
}


@pytest.fixture
def folder(tmp_path):
    stick = tmp_path / "Stick ü"
    stick.mkdir()
    for name, body in FILES.items():
        (stick / name).write_bytes(body)
    (stick / "private.txt").write_text("not for the room")
    return stick


@contextmanager
def serving(folder):
    with Mirror(folder, 0) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def get(url, **headers):
    return requests.get(url, headers=headers, timeout=20)


def test_it_gives_out_what_the_catalog_knows(folder, capsys):
    with serving(folder) as url:
        for name, body in FILES.items():
            assert get(f"{url}/{name}").content == body
        assert sorted(get(f"{url}/SHA256SUMS").text.splitlines()) == sorted(
            sums(FILES).splitlines()
        )
        for method in ("PUT", "POST", "DELETE", "HEAD"):
            assert requests.request(method, f"{url}/train.csv", timeout=20).status_code == 501
    assert capsys.readouterr().out.splitlines() == [f"127.0.0.1 has {name}" for name in FILES]
    with pytest.raises(FileNotFoundError, match="has no file that this workshop knows"):
        Mirror(folder.parent, 0)


def test_what_is_missing_is_sent_alone(folder):
    whole = FILES["pizza_steak_sushi.zip"]
    with serving(folder) as url:
        answer = get(f"{url}/pizza_steak_sushi.zip", Range="bytes=7999990-")
        assert (answer.status_code, answer.content) == (206, whole[-10:])
        assert answer.headers["Content-Range"] == "bytes 7999990-7999999/8000000"
        # what else a range may say is ignored, as RFC 9110 (14.2) allows; so is one beyond the end
        for odd in ("bytes=8000000-", "bytes=5-9", "bytes=-5", "bytes=0-", "rows=1-", "bytes=1e3-"):
            answer = get(f"{url}/pizza_steak_sushi.zip", Range=odd)
            assert (answer.status_code, answer.content) == (200, whole), odd


def test_thirty_at_once_get_the_right_bytes(folder):
    with serving(folder) as url, ThreadPoolExecutor(30) as attendees:
        answers = attendees.map(lambda _: get(f"{url}/pizza_steak_sushi.zip").content, range(30))
        assert set(answers) == {FILES["pizza_steak_sushi.zip"]}


def test_half_requests_do_not_stop_the_room(folder):
    with serving(folder) as url, ExitStack() as opened:
        address = ("127.0.0.1", int(url.rsplit(":", 1)[-1]))
        for number in range(100):
            one = opened.enter_context(socket.create_connection(address, timeout=20))
            if number % 2:  # and never reads
                one.sendall(b"GET /pizza_steak_sushi.zip HTTP/1.0\r\n\r\n")
        assert get(f"{url}/train.csv").content == FILES["train.csv"]


def test_the_command_prints_the_address_serves_and_stops(folder, home, monkeypatch, capsys):
    def attended_then_ctrl_c(server):
        Thread(target=super(Mirror, server).serve_forever, args=(0.02,), daemon=True).start()
        said = capsys.readouterr().out
        port = re.search(r"WORKSHOP_MIRROR=http://\d+\.\d+\.\d+\.\d+:(\d+)\n", said)[1]
        monkeypatch.setenv("WORKSHOP_MIRROR", f"127.0.0.1:{port}")
        with pytest.raises(FileNotFoundError, match="AOI needs a log-in"):
            fetch("aoi")
        assert get(f"http://127.0.0.1:{port}/train.csv").content == FILES["train.csv"]
        server.shutdown()
        raise KeyboardInterrupt

    monkeypatch.setattr(Mirror, "serve_forever", attended_then_ctrl_c)
    assert main(["mirror", str(folder), "--port", "0"]) == 0
    assert capsys.readouterr().out == "127.0.0.1 has train.csv\n"

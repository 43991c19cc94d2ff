"""The instructor's laptop."""

import asyncio
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from threading import Thread

import numpy as np
import pytest
import requests
from conftest import REPOSITORY, free_port

from workshop import mirror

ZIP, NET = "pizza_steak_sushi.zip", "vgg16-397923af.pth"
FILES = {
    ZIP: np.random.default_rng(0).bytes(8_000_000),
    NET: np.random.default_rng(1).bytes(500_000),
    "dogscats.tgz": b"",
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
    port, loop = int(free_port()), asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    task = asyncio.run_coroutine_threadsafe(mirror.serving(folder, port), loop)
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert not task.done(), task.exception()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        task.cancel()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def get(url, **headers):
    return requests.get(url, headers=headers, timeout=20)


def test_it_gives_out_what_the_catalog_knows(folder):
    with serving(folder) as url:
        for name, body in FILES.items():
            assert get(f"{url}/{name}").content == body
        assert get(f"{url}/{ZIP}", Range="bytes=7999990-").content == FILES[ZIP][-10:]
    (folder.parent / "train.csv").touch()
    with pytest.raises(FileNotFoundError, match="that this workshop knows"):
        mirror.serve(folder.parent)


@pytest.mark.skipif(sys.platform == "win32", reason="no Ctrl-C can be sent on Windows")
def test_the_command_prints_the_address_serves_and_stops(folder, home):
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "workshop", "mirror", folder, "--port", port],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell starts what runs in the background deaf to Ctrl-C, and the deafness is inherited
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    said = ""
    while "Ctrl-C" not in said:
        assert process.poll() is None, process.communicate()
        said += process.stdout.readline()
    assert re.search(rf"WORKSHOP_MIRROR=http://[0-9.]+:{port}\n", said)
    assert get(f"http://127.0.0.1:{port}/{NET}").content == FILES[NET]
    assert f"200 GET /{NET} (" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "Stopped.\n")

"""The instructor's laptop serves a folder's archives to the room."""

import contextlib
import re
import socket
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from urllib.parse import unquote, urlsplit

import pooch
from tqdm.auto import tqdm

from helpers.files import whole_file
from helpers.supply import SUMS, read_sums

PORT = 8080
IDLE_SECONDS = 60  # a connection that takes nothing for so long is closed
SUFFIXES = (".zip", ".tgz", ".tar.gz", ".pth", ".safetensors")


def serve(folder: str | Path, bind: str = "", port: int = PORT) -> None:
    """Serve a folder until Ctrl-C, and print who has what.

    Parameters
    ----------
    folder : str or Path
        With the archives and a SHA256SUMS file; only what that names is given out.
    bind : str
        Address to listen on; empty for all networks this computer is in.
    port : int
        0 for any free one.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no SHA256SUMS, or a file that it names is missing or damaged.
    OSError
        If the address or port cannot be used.
    """
    with Mirror(folder, bind, port, say=print) as mirror:
        print(f"Serving {', '.join(mirror.sums)}.")
        print("Write on the board:")
        print(f"    WORKSHOP_MIRROR={mirror.address}")
        print("Everybody in the network can read these files. Stop with Ctrl-C.", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            mirror.serve_forever()


def write_sums(folder: str | Path) -> Path:
    """Write SHA256SUMS for the archives and weight files in a folder, and return its path."""
    folder = Path(folder)
    files = sorted(path for path in folder.glob("*") if path.name.endswith(SUFFIXES))
    if not files:
        raise FileNotFoundError(f"{folder} has no archives (expected {', '.join(SUFFIXES)}).")
    lines = [f"{pooch.file_hash(path)}  {path.name}\n" for path in tqdm(files, desc="Hashing")]
    with whole_file(folder / SUMS) as partial:
        partial.write_text("".join(lines), encoding="utf-8", newline="\n")
    return folder / SUMS


class Mirror(ThreadingTCPServer):
    """A read-only web server for the files that SHA256SUMS names, with a thread per attendee.

    Arguments and errors are those of `serve`; `say` gets a line whenever a whole file has arrived.
    """

    allow_reuse_address = sys.platform != "win32"  # there two servers would share a port
    daemon_threads = True  # Ctrl-C does not wait for the slowest attendee
    request_queue_size = 128  # a whole room starts at the same moment; 5 is the default

    def __init__(
        self, folder: str | Path, bind: str = "", port: int = 0, say: Callable = lambda line: None
    ) -> None:
        self.folder = Path(folder)
        self.say = say
        self.sums = _verified_sums(self.folder)
        self.holders: dict[str, set[str]] = {name: set() for name in self.sums}
        self.lock = threading.Lock()
        try:
            super().__init__((bind, port), _Handler)
        except OSError as error:
            raise OSError(
                error.errno,
                f"Port {port} of {bind or 'this computer'} cannot be used ({error.strerror}). "
                "Choose another with --port, for example --port 8081.",
            ) from error

    @property
    def address(self) -> str:
        """The address for the board, for example http://192.168.0.7:8080."""
        host, port = self.server_address
        return f"http://{_own_address() if host == '0.0.0.0' else host}:{port}"

    def received(self, name: str, address: str) -> None:
        """Count a file that has arrived, and say who has what."""
        with self.lock:
            self.holders[name].add(address)
            count = ", ".join(f"{file} {len(who)}" for file, who in self.holders.items() if who)
            self.say(f"{address} has {name}. Computers that have it: {count}.")

    def handle_error(self, request: object, client_address: tuple) -> None:
        """Say nothing: an attendee who closes the lid is no fault of the server."""


class _Handler(BaseHTTPRequestHandler):
    """Answers GET for SHA256SUMS and the files it names, from a byte on if that is asked for."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    server: Mirror

    def do_GET(self) -> None:
        name = unquote(urlsplit(self.path).path).removeprefix("/")
        # A comparison with the list, not with the disk: no spelling of .. can lead out.
        if name != SUMS and name not in self.server.sums:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        path = self.server.folder / name
        size = path.stat().st_size
        tag = f'"{self.server.sums.get(name) or path.stat().st_mtime_ns}"'
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted and self.headers.get("If-Range", tag) == tag else 0
        start = start if start < size else 0  # whoever asks for something else gets all
        self.send_response(HTTPStatus.PARTIAL_CONTENT if start else HTTPStatus.OK)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(size - start))
        self.send_header("ETag", tag)
        self.end_headers()
        with path.open("rb") as file:
            self.connection.sendfile(file, start)  # the operating system copies where it can
        if name in self.server.sums:
            self.server.received(name, self.client_address[0])

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing for each request: the count of who has what says more."""


def _verified_sums(folder: Path) -> dict[str, str]:
    """Return what SHA256SUMS names, after a look at every file."""
    file = folder / SUMS
    if not file.is_file():
        raise FileNotFoundError(
            f"{folder} has no {SUMS}, which says what to give out. Write it with "
            f"python -m helpers mirror {folder} --write-sums, if you trust the files there."
        )
    sums = read_sums(file.read_text(encoding="utf-8-sig"))
    for name, digits in tqdm(sums.items(), desc="Checking the files"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{SUMS} names {name}, which is not in {folder}.")
        if pooch.file_hash(folder / name) != digits:
            raise ValueError(f"{name} is not what {SUMS} says: it is damaged. Copy it again.")
    return sums


def _own_address() -> str:
    """Return this computer's address in the network it would use to reach others."""
    with (
        contextlib.suppress(OSError),  # no network: nobody else can come anyway
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
    ):
        probe.connect(("192.0.2.1", 9))  # for documentation only, RFC 5737; nothing is sent
        return probe.getsockname()[0]
    return "127.0.0.1"

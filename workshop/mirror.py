"""The instructor's laptop gives a folder's archives and weights to the room."""

import os
import re
import socket
from contextlib import suppress
from hashlib import file_digest
from http.server import BaseHTTPRequestHandler
from io import SEEK_END, BytesIO
from pathlib import Path
from socketserver import ThreadingTCPServer

from helpers.catalog import DATA_SETS
from workshop.fetch import SUMS, WEIGHTS, files


def serve(folder: Path, port: int = 8080) -> None:
    """Serve what the workshop knows of a folder until Ctrl-C, and print who has taken what."""
    with Mirror(folder, port) as mirror:
        print(f"Serving {', '.join(mirror.sums)}. Write on the board:")
        print(f"    WORKSHOP_MIRROR=http://{_own_address()}:{mirror.server_address[1]}")
        print("Everybody in the network can read these files. Stop with Ctrl-C.", flush=True)
        with suppress(KeyboardInterrupt):
            mirror.serve_forever()


class Mirror(ThreadingTCPServer):
    """A web server for the catalog's files in a folder, and for a SHA256SUMS of them."""

    allow_reuse_address = os.name == "posix"  # on Windows two servers would share the port
    daemon_threads = True  # Ctrl-C does not wait for the slowest attendee
    request_queue_size = 128  # a whole room starts at the same moment

    def __init__(self, folder: Path, port: int) -> None:
        known = [archive.file for name in (*DATA_SETS, *WEIGHTS) for archive in files(name)]
        self.folder, self.sums = Path(folder), {}
        for path in filter(_is_plain, (self.folder / file for file in known)):
            with path.open("rb") as stream:
                self.sums[path.name] = file_digest(stream, "sha256").hexdigest()
        if not self.sums:
            raise FileNotFoundError(f"{folder} has no file that this workshop knows.")
        super().__init__(("", port), _Handler)

    def handle_error(self, request: object, client_address: tuple) -> None:
        """Say nothing: an attendee who closes the lid is no fault of the server."""


class _Handler(BaseHTTPRequestHandler):
    """Answers GET, from a byte on if that is asked for; one request a connection."""

    timeout = 30.0  # seconds without a byte of the request, or without taking one

    def do_GET(self) -> None:
        sums, name = self.server.sums, self.path.removeprefix("/")
        # The name is looked up in the list, not on the disk: no spelling of .. leads out.
        if name == SUMS:
            file = BytesIO("".join(f"{sums[one]}  {one}\n" for one in sums).encode())
        elif name in sums and _is_plain(self.server.folder / name):
            file = (self.server.folder / name).open("rb")
        else:
            self.send_error(404)
            return
        with file:
            size = file.seek(0, SEEK_END)
            wanted = re.fullmatch(r"bytes=([0-9]{1,15})-", self.headers.get("Range", ""))
            start = int(wanted[1]) if wanted and int(wanted[1]) < size else 0
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            self.send_header("Content-Length", str(size - start))
            self.end_headers()
            file.seek(start)  # Windows sends from here, Linux from `start`
            self.connection.sendfile(file, start)
        if name != SUMS:
            print(f"{self.client_address[0]} has {name}", flush=True)

    def log_message(self, *args: object) -> None:
        """Say nothing of single requests."""


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()  # a link may lead out of the folder


def _own_address() -> str:
    """Return this computer's address in the network that it would use to reach others."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # for documentation only, RFC 5737; nothing is sent
        return probe.getsockname()[0]
    return "127.0.0.1"  # without a network nobody else can come

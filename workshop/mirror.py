"""The instructor's laptop gives a folder's archives and weights to the room."""

import asyncio
import re
import socket
from contextlib import suppress
from pathlib import Path

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, StaticFileHandler

from workshop.fetch import files_in


def serve(folder: Path, port: int = 8080) -> None:
    """Serve what the workshop knows of a folder until Ctrl-C, and print who takes what."""

    async def forever() -> None:
        address = f"{_own_address()}:{start(folder, port)}"
        print(f"Write on the board:\n    WORKSHOP_MIRROR=http://{address}")
        print("Everybody in the network can read these files. Stop with Ctrl-C.", flush=True)
        await asyncio.Event().wait()

    asyncio.run(forever())


def start(folder: Path, port: int) -> int:
    """Serve a folder in the running event loop, and return the port."""
    if not (names := files_in(folder).values()):
        raise FileNotFoundError(f"{folder} has no archive or weights that this workshop knows.")
    print(f"Serving {', '.join(names)}.")
    paths = f"/({'|'.join(map(re.escape, names))})"  # no spelling of .. leads out
    sockets = bind_sockets(port, "0.0.0.0")
    # seconds: who opens connections and asks nothing does not keep the room out
    server = HTTPServer(Application([(paths, _File, {"path": folder})]), idle_connection_timeout=5)
    server.add_sockets(sockets)
    return sockets[0].getsockname()[1]


class _File(StaticFileHandler):
    """One file, or what is missing of it."""

    def validate_absolute_path(self, root: str, absolute_path: str) -> str | None:
        if Path(absolute_path).is_symlink():  # it may lead out of the folder
            raise HTTPError(404)
        return super().validate_absolute_path(root, absolute_path)

    def on_finish(self) -> None:
        if self.get_status() in (200, 206):
            print(f"{self.request.remote_ip} took {self.path_args[0]}", flush=True)


def _own_address() -> str:
    """Return this computer's address in the network that it would use to reach others."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # for documentation only, RFC 5737; nothing is sent
        return probe.getsockname()[0]
    return "127.0.0.1"  # without a network nobody else can come

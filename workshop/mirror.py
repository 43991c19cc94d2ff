"""The instructor's laptop gives a folder's archives and weights to the room."""

import asyncio
import logging
import re
import socket
from contextlib import suppress
from pathlib import Path

from tornado.web import Application, StaticFileHandler

from workshop.fetch import files_in


def serve(folder: Path, port: int = 8080) -> None:
    """Serve what the workshop knows of a folder until Ctrl-C; Tornado's log says who takes what."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    asyncio.run(serving(folder, port))


async def serving(folder: Path, port: int) -> None:
    """Serve a folder until this is cancelled, and print the address for the board."""
    # AOI is everybody's own to get: it needs a log-in
    files = [file for name, file in files_in(folder).items() if name != "aoi"]
    files = [file for file in files if not (folder / file).is_symlink()]  # it may lead elsewhere
    if not files:
        raise FileNotFoundError(f"{folder} has no archive or weights that this workshop knows.")
    paths = f"/({'|'.join(map(re.escape, files))})"  # no spelling of .. leads out
    application = Application([(paths, StaticFileHandler, {"path": folder})])
    # seconds: who opens connections and asks nothing does not keep the room out
    application.listen(port, idle_connection_timeout=5)
    print(f"Serving {', '.join(files)}. Write on the board:")
    print(f"    WORKSHOP_MIRROR=http://{_own_address()}:{port}")
    print("Everybody in the network can read these files. Stop with Ctrl-C.", flush=True)
    await asyncio.Event().wait()


def _own_address() -> str:
    """Return this computer's address in the network that it would use to reach others."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # for documentation only, RFC 5737; nothing is sent
        return probe.getsockname()[0]
    return "127.0.0.1"  # without a network nobody else can come

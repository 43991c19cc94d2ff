"""Run a command where nothing but this machine can be reached.

Usage: python tests/cut_network.py COMMAND …

On Linux it runs in a network namespace of its own (unshare -r -n), where there is only loopback,
which has to be switched on. Where that is not allowed, Python's sockets refuse to leave this
machine.
"""

import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1
NAMESPACE = ["unshare", "-r", "-n"]


def main(command):
    """Run the command with the network cut and return its exit code."""
    if command[0] == "--inside":
        import fcntl

        with socket.socket() as control:
            fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
        os.execvp(command[1], command[1:])
    if shutil.which("unshare") and subprocess.call([*NAMESPACE, "true"], stderr=-3) == 0:
        return subprocess.call([*NAMESPACE, sys.executable, __file__, "--inside", *command])
    paths = [str(Path(__file__).parent / "no_network"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    return subprocess.call(command, env=environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

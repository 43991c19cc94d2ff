"""Run a command where nothing but this machine can be reached.

In a network namespace of its own (unshare -r -n) there is only loopback, and it has to be switched
on.
Usage: unshare -r -n python tests/cut_network.py COMMAND …
"""

import fcntl
import os
import socket
import struct
import sys

SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1

if __name__ == "__main__":
    with socket.socket() as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
    try:
        socket.create_connection(
            ("192.0.2.1", 80), timeout=2
        )  # an address reserved for documentation
    except OSError:
        pass
    else:
        sys.exit("The network is not cut.")
    os.execvp(sys.argv[1], sys.argv[1:])

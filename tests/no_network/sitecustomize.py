"""Where network namespaces are not allowed: refuse every connection that leaves this machine."""

import socket

_connect = socket.socket.connect


def connect(self, address):
    host = address[0] if isinstance(address, tuple) else "local"
    if host not in ("127.0.0.1", "::1", "localhost", "local"):
        raise OSError(f"the network is cut: {host}")
    return _connect(self, address)


socket.socket.connect = connect

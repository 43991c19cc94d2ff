"""Where network namespaces are not allowed: refuse whatever would leave this machine."""

import socket

HERE = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "local", "", None)


def refusing(function, host_of):
    """Return the function, refusing any host but this one."""

    def guarded(*words, **options):
        host = host_of(words)
        if (host.decode() if isinstance(host, bytes) else host) not in HERE:
            raise OSError(f"the network is cut: {host}")
        return function(*words, **options)

    return guarded


def _host(words):
    """Return the host of a method call with an address; unix sockets have none."""
    return words[-1][0] if isinstance(words[-1], tuple) else "local"


for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, refusing(getattr(socket.socket, name), _host))
socket.getaddrinfo = refusing(socket.getaddrinfo, lambda words: words[0])

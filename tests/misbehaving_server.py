"""A web server on 127.0.0.1 that gives out bytes and, when told, misbehaves."""

import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORTAL = b"<!DOCTYPE html><html><title>Hotel Wi-Fi</title>Please log in.</html>"


class Server(ThreadingHTTPServer):
    """Give out `files` (bytes by path), misbehaving as `faults` says.

    `faults` holds, by path, a list of functions; each request to the path takes the first one off
    the list, and the last one stays. A function gets (handler, body, start) and answers.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, files=(), faults=(), with_sums=True, tls=None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = {f"/{name}": body for name, body in dict(files).items()}
        self.faults = {f"/{name}": list(steps) for name, steps in dict(faults).items()}
        self.requests = []  # (path, Range header or "")
        self.sent = {}  # bytes of bodies by path
        self.closing = threading.Event()
        if with_sums:
            self.files["/SHA256SUMS"] = sums(dict(files)).encode()
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def __exit__(self, *error):
        self.closing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """Clients that go away are what these tests are about."""

    def asked(self, name):
        return [span for path, span in self.requests if path == f"/{name}"]


def sums(files):
    return "".join(f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in files.items())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = "/" + self.path.rsplit("/", 1)[-1]  # a proxy is asked for http://host/path
        span = self.headers.get("Range", "")
        self.server.requests.append((path, span))
        self.asked_for = self.path
        body = self.server.files.get(path)
        steps = self.server.faults.get(path, [well])
        fault = steps.pop(0) if len(steps) > 1 else steps[0]
        if body is None and fault is well:
            return self.send_error(404)
        start = int(span.removeprefix("bytes=").split("-")[0]) if span else 0
        tag = self.headers.get("If-Range")
        if tag and tag != etag(body):
            start = 0
        fault(self, body, start)

    def head(self, status, length, start=0, size=0, **headers):
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def send(self, piece):
        path = self.requests_path()
        # counted first: when the client has the last byte, a test may look at once
        self.server.sent[path] = self.server.sent.get(path, 0) + len(piece)
        self.wfile.write(piece)

    def requests_path(self):
        return self.path.rsplit("/", 1)[-1]

    def start(self, body, start, **headers):
        status = 206 if start else 200
        headers.setdefault("ETag", etag(body))
        self.head(status, len(body) - start, start, len(body), **headers)

    def log_message(self, *args):
        pass


def etag(body):
    return f'"{hashlib.md5(body).hexdigest()}"'


def well(handler, body, start):
    handler.start(body, start)
    handler.send(body[start:])


def cut(after):
    """Send so many bytes, then hang up."""

    def answer(handler, body, start):
        handler.start(body, start)
        handler.send(body[start : start + after])
        handler.close_connection = True

    return answer


def hang(after=0):
    """Send so many bytes, then nothing more."""

    def answer(handler, body, start):
        handler.start(body, start)
        handler.send(body[start : start + after])
        handler.server.closing.wait(20)
        handler.close_connection = True

    return answer


def trickle(piece, pause):
    """Send a little at a time."""

    def answer(handler, body, start):
        handler.start(body, start)
        for at in range(start, len(body), piece):
            handler.send(body[at : at + piece])
            if handler.server.closing.wait(pause):
                break

    return answer


def status(code, **headers):
    """Refuse."""

    def answer(handler, body, start):
        handler.head(code, 0, **headers)

    return answer


def claim(length):
    """Announce so many bytes, whatever follows."""

    def answer(handler, body, start):
        handler.head(200, length)
        handler.send(body[: min(length, len(body))])
        handler.close_connection = True

    return answer


def flip(at):
    """Change one bit."""

    def answer(handler, body, start):
        changed = bytearray(body)
        changed[at] ^= 1
        handler.start(body, start)
        handler.send(bytes(changed[start:]))

    return answer


def portal(kind):
    """Answer with a log-in page, as hotels do."""

    def answer(handler, body, start):
        # a page that says what it is need not look like one
        page = b"<!-- -->" + PORTAL if kind.startswith("text/html") else PORTAL
        handler.head(200, len(page), Content_Type=kind)
        handler.send(page)

    return answer


def no_ranges(handler, body, start):
    """Send all from the beginning, whatever was asked for."""
    handler.start(body, 0)
    handler.send(body)


def endless(handler, body, start):
    """Send without a length and without an end."""
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    since = time.monotonic()
    while time.monotonic() - since < 20 and not handler.server.closing.is_set():
        handler.send(b"x" * 100_000)
    handler.close_connection = True

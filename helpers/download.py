"""A downloader for pooch that goes on where a broken download stopped."""

import email.utils
import json
import shutil
import time
from pathlib import Path
from urllib.parse import urlsplit

import requests
from tqdm.auto import tqdm
from urllib3.exceptions import HTTPError, NewConnectionError

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0  # without a byte
SLOW_SECONDS = 30.0  # below the least speed
ATTEMPTS = 5  # in a row that bring nothing new
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds; the pause doubles each time
WORTH_IT = 64 * 1024  # bytes; an attempt that brings as much does not count as failed
TRY_LATER = (408, 425, 429, 500, 502, 503, 504)
CHUNK = 256 * 1024
USUAL_SPEED = 2e6  # bytes per second; a conference's Wi-Fi on a good day
WORTH_A_BAR = 100_000  # bytes
WORTH_SAYING = 5e6  # bytes; less is here before one has read the sentence
WEB_PAGE = (b"<!doctype html", b"<html", b"<head")
INSTEAD = (
    "The notebooks run without it, on the drawn sample. For the real data try another network, "
    "the instructor's mirror (set WORKSHOP_MIRROR) or a folder or USB stick (--from DIR)."
)


class DownloadError(OSError):
    """A download that did not work, with a sentence that says what to do."""


class _TryAgain(Exception):
    """A fault that may be gone in a moment; `pause` is what the server asks for, in seconds."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


class Resumable:
    """Download one file over HTTP, piece by piece if need be.

    The bytes go to `part`, which stays there after an error and after a kill; the next call asks
    for the rest (Range, with If-Range so that a changed file starts anew; RFC 9110, sections 13
    and 14). requests takes proxies from HTTP_PROXY, HTTPS_PROXY and NO_PROXY.

    Parameters
    ----------
    part : Path
        Where unfinished bytes are kept. Only one process may use it at a time.
    largest : int
        Bytes; a larger file is refused.
    least_speed : float
        Bytes per second; a server that stays below it for SLOW_SECONDS is left at once.
    room : float
        How many times the file's size must be free on the disk: 1, or more to unpack it as well.
    """

    def __init__(
        self, part: Path, largest: int, least_speed: float = 1000.0, room: float = 1.0
    ) -> None:
        self.part = Path(part)
        self.notes = self.part.with_name(self.part.name + ".json")
        self.largest = largest
        self.least_speed = least_speed
        self.room = room
        self.announced = False

    def __call__(self, url: str, output_file: str, pooch: object = None) -> None:
        """Download `url` to `output_file`; this is what pooch calls.

        Raises
        ------
        DownloadError
            If the file cannot be had, with the reason.
        OSError
            If the disk is full or the folder is read-only.
        """
        failures = 0
        while True:
            before = self._size()
            try:
                self._attempt(url)
                break
            except _TryAgain as problem:
                failures = 1 if self._size() >= before + WORTH_IT else failures + 1
                if failures >= ATTEMPTS:
                    kept = self._size()
                    raise DownloadError(
                        f"{url} could not be downloaded: {problem} ({failures} attempts). "
                        + (
                            f"{kept / 1e6:.1f} MB are kept: run this again to go on. "
                            if kept
                            else ""
                        )
                        + INSTEAD
                    ) from problem
                doubled = FIRST_PAUSE * 2 ** (failures - 1)
                time.sleep(max(problem.pause, min(doubled, LONGEST_PAUSE)))
        self.part.replace(output_file)
        self.notes.unlink(missing_ok=True)

    def _attempt(self, url: str) -> None:
        """Ask for what is missing and append it; return when the file is complete."""
        start, notes = self._size(), self._read_notes(url)
        headers = {"Accept-Encoding": "identity", "User-Agent": "image-classification-workshop"}
        if start and notes:
            headers["Range"] = f"bytes={start}-"
            if notes["validator"]:
                headers["If-Range"] = notes["validator"]
        try:
            timeout = (CONNECT_SECONDS, READ_SECONDS)
            with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
                self._check_status(response, url)
                if response.status_code != 206:
                    start = 0
                self._receive(response, url, start, notes)
        except (requests.RequestException, HTTPError) as error:
            raise self._explained(error, url) from error

    def _check_status(self, response: requests.Response, url: str) -> None:
        """Return if the file follows; otherwise say what the server's answer means."""
        status = response.status_code
        if status == 416:  # the part is longer than the file: it belongs to something else
            self._forget()
            raise _TryAgain("the file on the server has changed")
        if status in TRY_LATER:
            pause = _seconds(response.headers.get("Retry-After", ""))
            busy = f"the server answers {status} ({response.reason or 'busy'})"
            if pause > LONGEST_PAUSE:
                raise DownloadError(
                    f"{url}: {busy} and asks to wait {pause / 60:.0f} minutes. "
                    f"Run this again then. {INSTEAD}"
                )
            raise _TryAgain(busy, pause)
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        if status not in (200, 206) and not (is_page and status in (401, 403, 511)):
            meaning = "is not there any more" if status in (404, 410) else "is not given out"
            raise DownloadError(f"{url} {meaning} (the server answers {status}). {INSTEAD}")
        if is_page:
            raise self._portal(url)

    def _receive(
        self, response: requests.Response, url: str, start: int, notes: dict | None
    ) -> None:
        """Append the body of a response at byte `start`."""
        total = _total(response, start)
        if start and total != (notes or {}).get("total"):
            self._forget()
            raise _TryAgain("the file on the server has changed")
        if total is not None and total > self.largest:
            raise DownloadError(
                f"{url} is {total / 1e6:,.0f} MB, expected at most {self.largest / 1e6:,.0f} MB. "
                "It is not the file that was meant, so it is not downloaded."
            )
        name = urlsplit(url).path.rsplit("/", 1)[-1]
        self._announce(name, start, total)
        if not start:
            self._write_notes(response, url, total)
        since, arrived = time.monotonic(), 0
        quiet = total is not None and total < WORTH_A_BAR
        bar = tqdm(
            total=total,
            initial=start,
            unit="B",
            unit_scale=True,
            desc=name,
            disable=quiet,
            leave=False,
        )
        with self.part.open("ab" if start else "wb") as file, bar:
            # read1 returns what has come; read would wait until a slow server has filled CHUNK
            while chunk := response.raw.read1(CHUNK, decode_content=False):
                if not file.tell() and chunk.lstrip()[:20].lower().startswith(WEB_PAGE):
                    raise self._portal(url)
                file.write(chunk)
                bar.update(len(chunk))
                arrived += len(chunk)
                if file.tell() > self.largest:
                    raise DownloadError(f"{url} does not end. It is not the file that was meant.")
                if time.monotonic() - since > SLOW_SECONDS:
                    if arrived < self.least_speed * SLOW_SECONDS:
                        raise DownloadError(
                            f"{url} comes too slowly ({arrived / SLOW_SECONDS / 1e3:.1f} kB/s). "
                            f"Run this again to go on. {INSTEAD}"
                        )
                    since, arrived = time.monotonic(), 0
            if total is not None and file.tell() < total:
                raise _TryAgain(
                    f"the connection was cut after {file.tell() / 1e6:.1f} of {total / 1e6:.1f} MB"
                )

    def _announce(self, name: str, start: int, total: int | None) -> None:
        """Say how much is coming and how long it may take; refuse what cannot fit on the disk."""
        if total is None or self.announced:
            return
        self.announced = True
        free = shutil.disk_usage(self.part.parent).free
        needed = self.room * total - start
        if needed > free:
            raise DownloadError(
                f"{name} needs {needed / 1e6:,.0f} MB on the disk, and {free / 1e6:,.0f} MB are "
                "free. Free some space, or set WORKSHOP_HOME to a folder on another disk.",
            )
        if total > WORTH_SAYING:
            minutes = (total - start) / USUAL_SPEED / 60
            kept = f", of which {start / 1e6:,.0f} MB are here already" if start else ""
            print(f"{name}: {total / 1e6:,.0f} MB{kept}, about {max(minutes, 1):.0f} min at 2 MB/s")

    def _explained(self, error: Exception, url: str) -> Exception:
        """Return what to raise instead of an error of the network."""
        host = urlsplit(url).hostname
        reason = getattr(error.args[0] if error.args else None, "reason", None)
        if isinstance(error, requests.exceptions.SSLError):
            return DownloadError(
                f"The certificate of {host} is not accepted, so nothing was downloaded. Log in to "
                "the Wi-Fi in a browser, check this computer's date, or ask who runs its proxy. "
                + INSTEAD
            )
        if isinstance(error, requests.exceptions.ProxyError):
            return DownloadError(
                f"The proxy in HTTP_PROXY or HTTPS_PROXY does not lead to {host}. Correct it, or "
                f"add {host} to NO_PROXY. {INSTEAD}"
            )
        if isinstance(reason, NewConnectionError) or isinstance(error, requests.ConnectTimeout):
            if self._size():  # it worked a moment ago
                return _TryAgain(f"there is no connection to {host}")
            return DownloadError(f"There is no connection to {host}. {INSTEAD}")
        if isinstance(error, ValueError):  # requests' errors about the address itself
            return DownloadError(
                f"{url} is no web address. Expected http:// and a computer's name."
            )
        if isinstance(error, requests.TooManyRedirects):
            return self._portal(url)
        if isinstance(error, requests.Timeout) or "timed out" in str(error):
            return _TryAgain(f"the server sent nothing for {READ_SECONDS:.0f} seconds")
        return _TryAgain("the connection was cut")

    def _portal(self, url: str) -> DownloadError:
        """Return the error for a web page in place of a file."""
        return DownloadError(
            f"A web page came instead of {url}: usually the log-in page of a hotel's or a "
            "conference's Wi-Fi. Log in with a browser and run this again."
        )

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)

    def _write_notes(self, response: requests.Response, url: str, total: int | None) -> None:
        """Keep what tells whether the file on the server is still the same."""
        self._forget()  # first, so that a kill cannot leave new notes beside old bytes
        etag = response.headers.get("ETag", "")
        strong = etag if etag and not etag.startswith("W/") else ""
        validator = strong or response.headers.get("Last-Modified", "")
        notes = {"url": url, "validator": validator, "total": total}
        self.notes.write_text(json.dumps(notes), encoding="utf-8")

    def _read_notes(self, url: str) -> dict | None:
        """Return the notes of the part if it can be gone on with."""
        try:
            notes = json.loads(self.notes.read_text(encoding="utf-8"))
            return notes if notes["url"] == url and notes["total"] else None
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _total(response: requests.Response, start: int) -> int | None:
    """Return the size in bytes of the whole file; None where the server does not say."""
    if start:
        unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
        first, _, last = rest.partition("-")
        size = last.partition("/")[2]
        fits = unit == "bytes" and first == str(start) and size.isdigit()
        return int(size) if fits else None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _seconds(retry_after: str) -> float:
    """Return a Retry-After header, a number or a date, in seconds from now.

    Examples
    --------
    >>> _seconds("7"), _seconds("soon")
    (7.0, 0.0)
    """
    if retry_after.isdigit():
        return float(retry_after)
    try:
        then = email.utils.parsedate_to_datetime(retry_after).timestamp()
    except ValueError:
        return 0.0
    return max(0.0, then - time.time())

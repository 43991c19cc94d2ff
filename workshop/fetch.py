"""Real data and weights, from a folder, the room's mirror or the web; and your own pictures."""

import hashlib
import os
import re
import shutil
import time
from functools import partial
from pathlib import Path
from zlib import crc32

import requests
from filelock import FileLock
from tqdm.auto import tqdm
from urllib3.exceptions import HTTPError

from helpers.catalog import AOI, DATA_SETS, Archive, DataSet, data_folder, replace
from helpers.data import OpenedData, image_dataset, pictures
from helpers.images import is_hidden
from helpers.own import can_be_class, own_facts
from helpers.samples import sample_folder, unpack
from helpers.survey import survey

WEIGHTS = Archive(  # of VGG16
    "vgg16-397923af.pth",  # the digits begin the file's SHA-256
    ("https://download.pytorch.org/models/vgg16-397923af.pth",),
    size=553_433_881,
    unpacked=0,
    hash="sha256:397923af",
)
SUMS = "SHA256SUMS"  # beside the files on a USB stick
LARGEST = 6_000_000_000  # bytes; the pictures of AOI have about 2 GB
BY_HAND = ("train.csv", "train_images", "test.csv", "test_images")  # AOI needs a log-in
AOI_BY_HAND = f"download {', '.join(BY_HAND)} (zip) from {AOI.page}, then run "
AOI_BY_HAND += "python -m workshop data aoi --from FOLDER"
PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds before each further try
PIECE = 256 * 1024  # bytes
TIMEOUT = 10.0  # seconds: to connect, and without a byte
SLOW_SECONDS, LEAST_SPEED = 20.0, 20_000  # after so long, fewer bytes a second are too few


def data(name: str | None, source: Path | None) -> None:
    """Get data or weights, from `source` if there is one; without a name all of it, or a table."""
    if name in DATA_SETS or name == "vgg16":
        fetch(name, source)
    elif name:
        own(name, source)
    elif source:
        for known in reversed(files_in(source)):  # AOI last: it may be incomplete
            fetch(known, source)
    else:
        print(table())


def fetch(name: str, source: Path | None = None) -> Path:
    """Get a real data set or weights, unless they are here, and return where they are."""
    facts = DATA_SETS.get(name)
    archive = facts.archive if facts else WEIGHTS
    target = data_folder(name) / "real" if facts else data_folder("weights") / archive.file
    if target.exists():
        if facts and (missing := facts.missing(target)):
            raise ValueError(f"{target} has no {missing}. Move it away and run this again.")
        print(f"Here already: {target}")
        return target
    if not (archive or source):
        raise FileNotFoundError(f"AOI needs a log-in: {AOI_BY_HAND}.")
    work = target.parent / f"download-{name}"
    work.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / f".{name}.lock", timeout=0):  # one process at a time
        if not archive:
            fill = partial(_gather, source)
        else:
            file = _take(archive, source) if source else _download(archive, work)
            fill = partial(_unpack, file, facts) if facts else partial(shutil.copyfile, file)
        replace(target, fill)
        shutil.rmtree(work)
    print(f"Here now: {target}")
    return target


def files_in(folder: Path) -> dict[str, str]:
    """Return which data sets and weights a folder has: the name of each one's (first) file."""
    known = {name: facts.archive for name, facts in DATA_SETS.items()} | {"vgg16": WEIGHTS}
    files = {name: archive.file if archive else BY_HAND[0] for name, archive in known.items()}
    files = {name: file for name, file in files.items() if (folder / file).is_file()}
    if not files:
        raise FileNotFoundError(f"{folder} has no file that this workshop knows.")
    return files


def own(name: str, source: Path | None = None) -> None:
    """Put the pictures of `source`, a folder or a zip, into data/`name`; say what lies there."""
    if not can_be_class(name):
        raise ValueError(f"{name!r} cannot be the name of a folder below data/.")
    if source:
        folder = data_folder(name)
        if folder.exists():
            raise FileExistsError(f"{folder} is there already. Take another name, or move it away.")
        replace(folder, partial(_bring, source))
    own_facts(name)
    print(*survey(name), sep="\n")


def samples() -> None:
    """Prepare the sample of each data set now, not at its first use."""
    for facts in DATA_SETS.values():
        print(f"{facts.title}: {sample_folder(facts)}", flush=True)


def table() -> str:
    """Return what is here of each data set and of VGG16, and how to get the rest."""
    lines = ["Get one: python -m workshop data NAME. Whose they are: see data/README.md."]
    for name, facts in DATA_SETS.items():
        size = f"{facts.archive.size / 1e6:,.0f} MB" if facts.archive else "needs a log-in"
        here = "the sample" if facts.missing(data_folder(name) / "real") else "the real one"
        lines.append(f"{name}: {facts.title} ({size}): {here}")
    here = "here" if (data_folder("weights") / WEIGHTS.file).is_file() else "not here"
    lines.append(f"vgg16: weights ({WEIGHTS.size / 1e6:,.0f} MB): {here}")
    return "\n".join([*lines, f"For aoi: {AOI_BY_HAND}."])


def _bring(source: Path, folder: Path) -> None:
    """Copy or unpack pictures; bring up what was packed one folder too deep."""
    if source.is_dir():
        shutil.copytree(source, folder, ignore=lambda _, names: list(filter(is_hidden, names)))
    else:
        unpack(source, folder, LARGEST)
    inside = [path for path in folder.iterdir() if not is_hidden(path.name)]
    if len(inside) == 1 and inside[0].is_dir():
        inner = inside[0].rename(folder.with_name(".inner"))
        shutil.rmtree(folder)
        inner.rename(folder)


def _check(facts: DataSet, root: Path) -> None:
    """Count the pictures with the notebooks' readers; refuse what is not the data set."""
    if missing := facts.missing(root):
        raise ValueError(f"That is not {facts.title}: there is no {missing} in it.")
    read, counts = pictures if facts.layout == "cifar" else image_dataset, []
    for part, published in facts.pictures.items():
        if facts.layout != "csv" or (root / f"{part}.csv").is_file():  # AOI may lack the test
            count = len(read(OpenedData(facts, root, "real"), part))
            counts.append(f"{count:,} {part}" + f" (of {published:,})" * (count != published))
    print(f"{facts.title}: {', '.join(counts)} pictures")


def _fits(file: Path, known: str, size: int) -> bool:
    """Tell whether a file has the hash, or its beginning; without a hash, the size decides."""
    if not known:
        return size == file.stat().st_size
    kind, _, digits = known.partition(":")
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, kind).hexdigest().startswith(digits)


def _take(archive: Archive, source: Path) -> Path:
    """Return a file of the folder `source`, verified."""
    file, sums = source / archive.file, source / SUMS
    text = sums.read_text(encoding="utf-8-sig", errors="replace") if sums.is_file() else ""
    found = re.search(rf"^([0-9a-fA-F]{{64}}) [ *]{re.escape(file.name)}\s*$", text, re.MULTILINE)
    listed = f"sha256:{found[1].lower()}" if found else ""
    if _fits(file, archive.hash or listed, archive.size):
        return file
    # A copy of somebody's own, from a folder they chose. No mirror is believed that much.
    if archive is not WEIGHTS and listed and _fits(file, listed, archive.size):
        print(f"{file.name} is not the official file, but the one that {SUMS} beside it names.")
        return file
    raise ValueError(
        f"{file} is damaged or another file: its hash or size is not the official one, nor named "
        f"by a {SUMS} beside it. Copy it again."
    )


def _download(archive: Archive, work: Path) -> Path:
    """Bring a file into the folder `work` from the first address that has the right one."""
    urls, file = [*archive.urls], work / archive.file
    if file.is_file() and _fits(file, archive.hash, archive.size):
        return file  # there was no room to unpack it
    if mirror := os.environ.get("WORKSHOP_MIRROR", "").strip().rstrip("/"):
        mirror = mirror if "://" in mirror else f"http://{mirror}"  # people leave it out
        urls.insert(0, f"{mirror}/{archive.file}")
    for url in urls:
        part = work / f"{crc32(url.encode()):08x}.part"  # never of two addresses
        try:
            _receive_all(url, part, archive.size)
            if _fits(part, archive.hash, archive.size):
                return part.replace(file)
            part.unlink()
            print(f"{url} is damaged or another file. It was deleted.")
        except ConnectionError as error:
            print(error)
    raise ConnectionError(
        f"No address gave {archive.file}. The notebooks run without it. For the real thing try "
        "another network, WORKSHOP_MIRROR, or a folder or USB stick (--from DIR)."
    )


def _unpack(file: Path, facts: DataSet, part: Path) -> None:
    """Make the new folder out of an archive."""
    print(f"Unpacking {facts.title}")
    unpack(file, part, facts.archive.unpacked)
    shutil.copyfile(file, part / file.name)  # the notebooks open it, too
    _check(facts, part)


def _gather(source: Path, part: Path) -> None:
    """Make the new folder out of what somebody downloaded by hand, packed or unpacked."""
    part.mkdir()
    for name in BY_HAND:
        packed, plain = source / f"{name}.zip", source / name
        if packed.is_file() or plain.is_dir():
            _bring(packed if packed.is_file() else plain, part / name)
        elif plain.is_file():
            shutil.copyfile(plain, part / name)
    _check(AOI, part)


def _receive_all(url: str, part: Path, size: int) -> None:
    """Download a file; what a broken download leaves is gone on with, now or by the next call."""
    for pause in (*PAUSES, None):
        try:
            return _receive(url, part, size)
        except (requests.RequestException, HTTPError) as error:
            is_lost = isinstance(error, requests.ConnectionError)
            reason = f"there is no connection ({type(error).__name__})" if is_lost else error
            if pause is None or not part.is_file():  # nothing came: it did not break off
                raise ConnectionError(f"{url}: {reason}.") from error
            print(f"{url} broke off ({reason}). Going on.")
            time.sleep(pause)


def _receive(url: str, part: Path, size: int) -> None:
    """Append to `part` what it lacks; more than `size` bytes show that it is another file."""
    start = part.stat().st_size if part.is_file() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == 416:
            return  # there is no more of it
        response.raise_for_status()
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise ConnectionError(
                f"A web page came instead of {url}, usually the log-in page of a Wi-Fi. "
                "Log in with a browser and run this again."
            )
        start = start if response.status_code == 206 else 0
        since = time.monotonic()
        bar = tqdm(total=size, initial=start, unit="B", unit_scale=True, desc=Path(url).name)
        with part.open("ab" if start else "wb") as file, bar:
            # read1 gives what has come; read would lose the piece in which a connection breaks
            while piece := response.raw.read1(PIECE, decode_content=False):
                bar.update(file.write(piece))
                if file.tell() > size:
                    break
                seconds = time.monotonic() - since
                if seconds > SLOW_SECONDS and file.tell() - start < LEAST_SPEED * seconds:
                    kept = "What came is kept: run this again to go on."
                    raise ConnectionError(f"{url} is too slow. {kept}")

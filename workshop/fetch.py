"""Real data and weights: from a folder, the room's mirror or the web; verified, then placed."""

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import requests
import torchvision
from filelock import FileLock
from tqdm.auto import tqdm
from urllib3.exceptions import HTTPError

from helpers.catalog import AOI, DATA_SETS, Archive, DataSet, data_folder, replace, weights_folder
from helpers.data import OpenedData, image_dataset, pictures
from helpers.images import is_hidden
from helpers.samples import unpack

SUMS = "SHA256SUMS"  # beside the files on a mirror or a USB stick
LARGEST = 6_000_000_000  # bytes; the pictures of AOI have about 2 GB
BY_HAND = tuple(  # AOI needs a log-in, so neither size nor hash is known
    Archive(file, (), size=0, unpacked=LARGEST)
    for file in ("train.csv", "train_images.zip", "test.csv", "test_images.zip")
)
WEIGHTS = torchvision.models.list_models(torchvision.models)
AOI_BY_HAND = f"download {', '.join(one.file for one in BY_HAND)} from {AOI.page}, then run "
AOI_BY_HAND += "python -m workshop data aoi --from FOLDER"
TRIES = 5
PAUSE_SECONDS = 1.0  # before the second try; doubled for each one after
PIECE = 256 * 1024  # bytes
TIMEOUT = (10.0, 10.0)  # seconds: to connect, and without a byte
SLOW_SECONDS, LEAST_SPEED = 20.0, 20_000  # after so long, fewer bytes a second are too few


def fetch(name: str, source: Path | None = None) -> Path:
    """Get a real data set or weights, unless they are here, and return where they are."""
    wanted, facts = files(name), DATA_SETS.get(name)
    target = data_folder(name) / "real" if facts else weights_folder() / wanted[0].file
    if target.exists():
        if facts and (missing := _missing(facts, target)):
            raise ValueError(f"{target} has no {missing[0]}. Move it away and run this again.")
        print(f"Here already: {target}")
        return target
    work = target.parent / f"download-{name}"
    work.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / f".{name}.lock", timeout=0):  # one process at a time
        sums = {} if wanted[0].hash and not source else _sums(source, work)
        if wanted is BY_HAND:  # which of them are there, packed or unpacked?
            there = {path.name for path in source.iterdir()} if source else set(sums)
            wanted = [one for one in BY_HAND if {one.file, one.file.removesuffix(".zip")} & there]
            if not set(BY_HAND[:2]) <= set(wanted):
                raise FileNotFoundError(f"AOI needs a log-in: {AOI_BY_HAND}.")
        get, bring = (_take, shutil.copyfile) if source else (_download, shutil.move)
        got = [get(archive, source or work, sums) for archive in wanted]
        replace(target, lambda part: _fill(part, facts, got, bring))
        shutil.rmtree(work)
    print(f"Here now: {target}")
    return target


def take(source: Path) -> None:
    """Get every data set and weight file that a folder has."""
    there = {path.name for path in source.iterdir()}
    names = [name for name in (*DATA_SETS, *WEIGHTS) if files(name)[0].file in there]
    if not names:
        raise FileNotFoundError(f"{source} has no file that this workshop knows.")
    for name in names:
        fetch(name, source)


def files(name: str) -> tuple[Archive, ...]:
    """Return the files that a data set or weights are published as."""
    if name in DATA_SETS:
        archive = DATA_SETS[name].archive
        return (archive,) if archive else BY_HAND
    weights = torchvision.models.get_model_weights(name).DEFAULT
    file, size = Path(weights.url), int(weights.meta["_file_size"] * 2**20)
    digits = file.stem.rsplit("-", 1)[-1]  # they begin the file's SHA-256
    return (Archive(file.name, (weights.url,), size, unpacked=0, hash=f"sha256:{digits}"),)


def table() -> str:
    """Return what is here of each data set and of the weights, and how to get the rest."""
    lines = ["Get one: python -m workshop data NAME. Whose they are: see data/README.md."]
    for name, facts in DATA_SETS.items():
        size = f"{facts.archive.size / 1e6:,.0f} MB" if facts.archive else "needs a log-in"
        here = "the sample" if _missing(facts, data_folder(name) / "real") else "the real one"
        lines.append(f"{name}: {facts.title} ({size}): {here}")
    for name in ("vgg16", "resnet18"):  # the usual ones, of all that torchvision has
        (archive,) = files(name)
        here = "here" if (weights_folder() / archive.file).is_file() else "not here"
        lines.append(f"{name}: weights ({archive.size / 1e6:,.0f} MB): {here}")
    return "\n".join([*lines, f"For aoi: {AOI_BY_HAND}."])


def lift(folder: Path) -> None:
    """Bring up what was packed one folder too deep."""
    inside = [path for path in folder.iterdir() if not is_hidden(path.name)]
    if len(inside) == 1 and inside[0].is_dir():
        inner = inside[0].rename(folder.with_name(".inner"))
        shutil.rmtree(folder)
        inner.rename(folder)


def _missing(facts: DataSet, folder: Path) -> list[str]:
    return [need for need in facts.needs if not (folder / need).exists()]


def _count(facts: DataSet, root: Path) -> str:
    """Count the pictures with the readers of the notebooks, which refuse what they cannot read."""
    read, counts = pictures if facts.layout == "cifar" else image_dataset, []
    for part, published in facts.pictures.items():
        if facts.layout != "csv" or (root / f"{part}.csv").is_file():  # AOI may lack the test
            count = len(read(OpenedData(facts, root, "real"), part))
            counts.append(f"{count:,} {part}" + f" (of {published:,})" * (count != published))
    return ", ".join(counts)


def _mirror() -> list[str]:
    """Return the mirror's address, if one is set; people leave out its http://."""
    address = os.environ.get("WORKSHOP_MIRROR", "").strip().rstrip("/")
    return [address if "://" in address else f"http://{address}"] if address else []


def _sums(source: Path | None, work: Path) -> dict[str, str]:
    """Return what a folder's or else the mirror's SHA256SUMS lists: "sha256:…" by file name."""
    listed = (source or work) / SUMS
    if not source:
        listed.unlink(missing_ok=True)  # of another day's mirror
    for address in [] if source else _mirror():
        try:
            _receive_all(f"{address}/{SUMS}", listed, largest=100_000)
        except ConnectionError as error:
            print(error)
    text = listed.read_text(encoding="utf-8-sig", errors="replace") if listed.is_file() else ""
    lines = re.findall(r"^([0-9a-fA-F]{64}) [ *](.+)$", text, re.MULTILINE)
    return {name.strip(): f"sha256:{digits.lower()}" for digits, name in lines}


def _fits(file: Path, known: str, size: int) -> bool:
    """Tell whether a file has the hash, or its beginning; without a hash, the size decides."""
    if not known:
        return size in (0, file.stat().st_size)
    kind, _, digits = known.partition(":")
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, kind).hexdigest().startswith(digits)


def _take(archive: Archive, source: Path, sums: dict[str, str]) -> Path:
    """Return a file of the folder `source`, verified; or the folder that was unpacked from it."""
    file, listed = source / archive.file, sums.get(archive.file, "")
    if archive in BY_HAND and not file.is_file():
        return source / file.stem
    if not _fits(file, archive.hash or listed, archive.size):
        # A copy of somebody's own, from a folder they chose. No mirror is believed that much.
        if not (archive.unpacked and listed and _fits(file, listed, 0)):
            raise ValueError(
                f"{file} is damaged or another file: its hash or size is not the official one, "
                f"nor named by a {SUMS} beside it. Copy it again."
            )
        print(f"{file.name} is not the official file, but the one that {SUMS} beside it names.")
    return file


def _download(archive: Archive, work: Path, sums: dict[str, str]) -> Path:
    """Bring a file into the folder `work` from the first address that has the right one."""
    places = [(url, archive.hash) for url in archive.urls]
    if known := archive.hash or sums.get(archive.file, ""):  # the official one goes before
        places = [(f"{address}/{archive.file}", known) for address in _mirror()] + places
    file = work / archive.file
    for url, known in places:
        try:
            _receive_all(url, file, 2 * archive.size or LARGEST)
            if _fits(file, known, archive.size):
                return file
            file.unlink()
            raise ConnectionError(f"{url} is damaged or another file. It was deleted.")
        except ConnectionError as error:
            if url == places[-1][0]:
                raise ConnectionError(
                    f"{error} The notebooks run without it. For the real thing try another "
                    "network, WORKSHOP_MIRROR, or a folder or USB stick (--from DIR)."
                ) from error
            print(f"{error} Trying the next address.")


def _fill(part: Path, facts: DataSet | None, got: list[Path], bring: Callable) -> None:
    """Make the new file or folder out of what was got; refuse what is not the data set."""
    if not facts:
        bring(got[0], part)
        return
    print(f"Unpacking {facts.title}")
    part.mkdir()
    for file in got:
        if file.is_dir():
            shutil.copytree(file, part / file.name)
        elif facts.archive:
            unpack(file, part, facts.archive.unpacked)
            bring(file, part / file.name)  # the notebooks open it, too
        elif file.suffix == ".zip":
            unpack(file, part / file.stem, LARGEST)
        else:
            bring(file, part / file.name)
    for folder in part.glob("*_images"):
        lift(folder)
    if missing := _missing(facts, part):
        raise ValueError(f"That is not {facts.title}: there is no {missing[0]} in it.")
    print(f"{facts.title}: {_count(facts, part)} pictures")


def _receive_all(url: str, file: Path, largest: int) -> None:
    """Download a file; what a broken download leaves is gone on with, now or by the next call."""
    part = file.with_name(f"{file.name}.{crc32(url.encode()):08x}.part")  # never of two addresses
    for attempt in range(1, TRIES + 1):
        try:
            _receive(url, part, largest)
            part.replace(file)
            return
        except (requests.RequestException, HTTPError) as error:
            is_lost = isinstance(error, requests.ConnectionError)
            reason = f"there is no connection ({type(error).__name__})" if is_lost else error
            if attempt == TRIES or not part.is_file():  # nothing came: it did not break off
                raise ConnectionError(f"{url}: {reason}.") from error
            print(f"{url} broke off ({reason}). Going on.")
            time.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))


def _receive(url: str, part: Path, largest: int) -> None:
    """Append to `part` what it lacks."""
    start = part.stat().st_size if part.is_file() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == 416:
            part.unlink()  # longer than the file: it belongs to something else
        response.raise_for_status()
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise ConnectionError(
                f"A web page came instead of {url}, usually the log-in page of a Wi-Fi. "
                "Log in with a browser and run this again."
            )
        start = start if response.status_code == 206 else 0
        total, since = start + (response.raw.length_remaining or 0), time.monotonic()
        bar = tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=Path(url).name)
        with part.open("ab" if start else "wb") as file, bar:
            # read1 gives what has come; read would lose the piece in which a connection breaks
            while piece := response.raw.read1(PIECE, decode_content=False):
                bar.update(file.write(piece))
                if max(total, file.tell()) > largest:
                    raise ConnectionError(f"{url} is far too large: it is not the file expected.")
                seconds = time.monotonic() - since
                if seconds > SLOW_SECONDS and file.tell() - start < LEAST_SPEED * seconds:
                    kept = "What came is kept: run this again to go on."
                    raise ConnectionError(f"{url} is too slow. {kept}")

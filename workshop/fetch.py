"""Real data and weights: from a folder, the room's mirror or the web; verified, then placed."""

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from zlib import crc32

import requests
import torchvision
from filelock import FileLock
from tqdm.auto import tqdm
from urllib3.exceptions import HTTPError

from helpers.catalog import DATA_SETS, Archive, DataSet, data_folder, replace, weights_folder
from helpers.data import OpenedData, image_dataset, pictures
from helpers.samples import unpack

SUMS = "SHA256SUMS"  # beside the files on a mirror or a USB stick
LARGEST = 6_000_000_000  # bytes; the pictures of AOI have about 2 GB
BY_HAND = tuple(  # AOI needs a log-in, so neither size nor hash is known
    Archive(file, (), size=0, unpacked=LARGEST)
    for file in ("train.csv", "train_images.zip", "test.csv", "test_images.zip")
)
WEIGHTS = torchvision.models.list_models(torchvision.models)
FOUR = ", ".join(one.file for one in BY_HAND)
USUAL_WEIGHTS = ("vgg16", "resnet18")  # the table shows these
TRIES = 5
PAUSE_SECONDS = 1.0  # before the second try; doubled for each one after
PIECE = 256 * 1024  # bytes
TIMEOUT = (10.0, 10.0)  # seconds: to connect, and without a byte
HEAD_SECONDS = 20.0  # until an answer has begun
SLOW_SECONDS, LEAST_SPEED = 20.0, 20_000  # fewer bytes a second for so long: it is given up
INSTEAD = (
    "The notebooks run without it. For the real thing try another network, the instructor's mirror "
    "(set WORKSHOP_MIRROR) or a folder or USB stick (--from DIR)."
)


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
        if wanted is BY_HAND:
            there = {path.name for path in source.iterdir()} if source else set(sums)
            wanted = _offered(facts, there)
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
    if name not in WEIGHTS:
        raise ValueError(
            f"Nothing is called {name!r}. There are: {', '.join((*DATA_SETS, *USUAL_WEIGHTS))} "
            "and torchvision's other networks."
        )
    weights = torchvision.models.get_model_weights(name).DEFAULT
    file = weights.url.rsplit("/", 1)[-1]
    digits = Path(file).stem.rsplit("-", 1)[-1]  # they begin the file's SHA-256
    megabytes = weights.meta["_file_size"]
    return (Archive(file, (weights.url,), int(megabytes * 2**20), 0, f"sha256:{digits}"),)


def table() -> str:
    """Return what is here of each data set and of the weights, and how to get the rest."""
    lines = []
    for name in (*DATA_SETS, *USUAL_WEIGHTS):
        archive, facts = files(name)[0], DATA_SETS.get(name)
        is_here = not facts and (weights_folder() / archive.file).is_file()
        size = f"{archive.size / 1e6:,.0f} MB" if archive.size else "needs a log-in"
        how = "" if archive.size else f"download {FOUR} there, then "
        lines += [
            f"{name}: {facts.title if facts else 'weights'} ({size})",
            f"    here: {_state(facts) if facts else 'yes' if is_here else 'nothing'}",
            f"    licence: {facts.licence if facts else 'BSD-3-Clause; ImageNet: research only'}",
            f"    page: {facts.page if facts else archive.urls[0]}",
            f"    get it: {how}python -m workshop data {name}{' --from FOLDER' * bool(how)}",
        ]
    return "\n".join(lines)


def _state(facts: DataSet) -> str:
    if not _missing(facts, data_folder(facts.name) / "real"):
        return "the real one"
    is_there = (data_folder(facts.name) / "sample").is_dir()
    return "the sample" if is_there else "nothing; the sample comes at first use"


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
        listed.unlink(missing_ok=True)
        for address in _mirror():
            try:
                _receive_all(f"{address}/{SUMS}", listed, largest=100_000)
            except ConnectionError as error:
                print(error)
    text = listed.read_text(encoding="utf-8-sig", errors="replace") if listed.is_file() else ""
    lines = re.findall(r"^([0-9a-fA-F]{64}) [ *](.+)$", text, re.MULTILINE)
    return {name.strip(): f"sha256:{digits.lower()}" for digits, name in lines}


def _offered(facts: DataSet, there: set[str]) -> list[Archive]:
    """Return which files of a data set with a log-in are there, packed or unpacked."""
    offered = [one for one in BY_HAND if {one.file, one.file.removesuffix(".zip")} & there]
    if not set(BY_HAND[:2]) <= set(offered):
        raise FileNotFoundError(
            f"{facts.title} needs a log-in. Download {FOUR} from {facts.page}, then run python -m "
            f"workshop data {facts.name} --from FOLDER. Found: "
            f"{', '.join(one.file for one in offered) or 'none of them'}."
        )
    return offered


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
    if _fits(file, archive.hash or listed, archive.size):
        return file
    if archive.unpacked and listed and _fits(file, listed, 0):
        # A copy of somebody's own, from a folder they chose. No mirror is believed that much.
        print(f"{file.name} is not the official file, but the one that {SUMS} beside it names.")
        return file
    raise ValueError(
        f"{file} is damaged or another file: its hash or size is not the official one, nor named "
        f"by a {SUMS} beside it. Copy it again."
    )


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
                raise ConnectionError(f"{error} {INSTEAD}") from error
            print(f"{error} Trying the next address.")


def _fill(part: Path, facts: DataSet | None, got: list[Path], bring: Callable) -> None:
    """Make the new file or folder out of what was got; refuse what is not the data set."""
    if not facts:
        bring(got[0], part)
        return
    part.mkdir()
    for file in got:
        if file.is_dir():
            shutil.copytree(file, part / file.name)
            continue
        if file.suffix != ".csv":
            print(f"Unpacking {file.name}")
            inside = part if facts.archive else part / file.stem
            unpack(file, inside, facts.archive.unpacked if facts.archive else LARGEST)
        if facts.archive or file.suffix == ".csv":
            bring(file, part / file.name)  # the notebooks open the archives, too
    for inner in list(part.glob("*_images/*_images")):  # packed, or unpacked, one folder too deep
        inner.rename(part / "inner")
        shutil.rmtree(inner.parent)
        (part / "inner").rename(inner.parent)
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


def _answer(url: str, start: int) -> requests.Response:
    """Ask for a file from the byte `start` on, and wait for the answer to begin.

    In a thread, because the timeout of requests begins anew with every byte of a head.
    """
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    answer = Future()

    def ask() -> None:
        try:
            answer.set_result(requests.get(url, headers=headers, stream=True, timeout=TIMEOUT))
        except Exception as error:
            answer.set_exception(error)

    Thread(target=ask, daemon=True).start()
    try:
        return answer.result(HEAD_SECONDS)
    except TimeoutError:
        raise ConnectionError(f"{url} gives no answer in {HEAD_SECONDS:.0f} seconds.") from None


def _receive(url: str, part: Path, largest: int) -> None:
    """Append to `part` what it lacks."""
    start = part.stat().st_size if part.is_file() else 0
    with _answer(url, start) as response:
        if response.status_code == 416:
            part.unlink()  # longer than the file: it belongs to something else
        response.raise_for_status()
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise ConnectionError(
                f"A web page came instead of {url}: usually the log-in page of a hotel's or "
                "conference's Wi-Fi. Log in with a browser and run this again."
            )
        # read1 returns what has come; read would lose the piece in which a connection breaks
        piece = response.raw.read1(PIECE, decode_content=False)
        start = start if response.status_code == 206 else 0
        total = start + len(piece) + (response.raw.length_remaining or 0)
        bar = tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=Path(url).name)
        since, before = time.monotonic(), start
        with part.open("ab" if start else "wb") as file, bar:
            while piece:
                bar.update(file.write(piece))
                if max(total, file.tell()) > largest:
                    raise ConnectionError(f"{url} is far too large: it is not the file expected.")
                seconds, came = time.monotonic() - since, file.tell() - before
                if seconds > SLOW_SECONDS:
                    if came < LEAST_SPEED * seconds:
                        raise ConnectionError(
                            f"{url} is too slow ({came / seconds / 1e3:.1f} kB/s). What came is "
                            "kept: run this again to go on."
                        )
                    since, before = time.monotonic(), file.tell()
                piece = response.raw.read1(PIECE, decode_content=False)

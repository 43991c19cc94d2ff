"""From a URL, a mirror or a folder to a verified archive, safely unpacked in its place."""

import shutil
from pathlib import Path, PurePosixPath

from helpers import byhand
from helpers.catalog import (
    DATA_SETS,
    WEIGHTS,
    Archive,
    DataSet,
    Weights,
    data_folder,
    missing_parts,
    real_folder,
    weights_folder,
)
from helpers.files import whole_folder
from helpers.inventory import ORIGIN, describe
from helpers.supply import Supply, alone
from helpers.unpack import unpack


def fetch(name: str, source: str | Path | None = None) -> Path:
    """Get a real data set or a weight file, unless it is here already; print what is here now.

    Parameters
    ----------
    name : str
        In the catalog, for example "cifar10" or "vgg16".
    source : str or Path, optional
        A folder or USB stick to take it from. Without it: the mirror that WORKSHOP_MIRROR names,
        else the official address.

    Returns
    -------
    Path
        The folder of the data set, or the weight file.

    Raises
    ------
    KeyError
        If the catalog has no such name.
    FileNotFoundError, ValueError
        If the source does not have it, or what it has is damaged or not to be trusted.
    OSError
        If it cannot be downloaded or written.
    """
    if name not in DATA_SETS and name not in WEIGHTS:
        names = ", ".join([*DATA_SETS, *WEIGHTS])
        raise KeyError(f"Nothing is called {name!r}. There are: {names}.")
    supply = Supply(source)
    if name in WEIGHTS:
        return _fetch_weights(WEIGHTS[name].archive, supply)
    facts = DATA_SETS[name]
    real = real_folder(facts)
    is_here = not missing_parts(facts, real)
    has_extras = (supply.folder or not is_here) and _fetch_extras(facts, supply)
    if is_here:
        print(f"Here already. {describe(facts, real)}")
    elif facts.archive is None:
        began = real.is_dir() and not supply.folder  # somebody has put files there
        if began or not has_extras or byhand.find(supply.folder):
            byhand.fetch(facts, supply.folder)
            print(describe(facts, real))
    elif real.exists():
        raise ValueError(
            f"{real} is there but has no {missing_parts(facts, real)[0]}. "
            f"Move that folder away and run this again. {facts.by_hand}"
        )
    else:
        _place(facts.archive, real, supply, facts)
        print(describe(facts, real))
    return real


def offered(source: str | Path) -> list[str]:
    """Return the names of the data sets and weights that a folder holds files of."""
    folder = Supply(source).folder
    entries = {**DATA_SETS, **WEIGHTS}
    return [
        name
        for name, facts in entries.items()
        if any((folder / archive.file).is_file() for archive in _archives(facts))
        or (name == "aoi" and byhand.find(folder))
    ]


def _archives(facts: DataSet | Weights) -> list[Archive]:
    return [archive for archive in (facts.archive, *getattr(facts, "extras", ())) if archive]


def _fetch_extras(facts: DataSet, supply: Supply) -> bool:
    """Put real pictures that are not the whole data set beside it; tell whether there are some."""
    found = False
    if not (supply.folder or supply.mirror):
        return False
    for extra in facts.extras:
        target = data_folder(facts.name) / PurePosixPath(extra.file).stem
        if extra.file in supply.sums:
            found = True
            if not target.exists():
                _place(extra, target, supply)
            print(f"{facts.title}: some real pictures, not the whole data set, in {target}.")
    return found


def _place(archive: Archive, target: Path, supply: Supply, facts: DataSet | None = None) -> None:
    """Get an archive and put it with its contents into `target`, in whole or not at all."""
    work = target.parent / "download"
    with alone(work):
        if target.exists():  # another process was faster
            return
        for leftover in target.parent.glob(f".{target.name}.*"):  # of a process that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        file, origin = supply.get(archive, work, room=2.1)
        try:
            with whole_folder(target) as partial:
                unpack(file, partial, archive.unpacked)
                if facts and (missing := missing_parts(facts, partial)):
                    raise ValueError(
                        f"{archive.file} has no {missing[0]}, so it is not the data set that was "
                        "expected. Get the file again."
                    )
                if facts:
                    describe(facts, partial)  # reads CIFAR-10's batches, so refuses bad ones
                (partial / ORIGIN).write_text(f"{origin}\n", encoding="utf-8")
                file.replace(partial / archive.file)
        except ValueError:
            file.unlink(missing_ok=True)
            raise


def _fetch_weights(archive: Archive, supply: Supply) -> Path:
    """Get a weight file into data/weights/."""
    target = weights_folder() / archive.file
    if target.is_file():
        print(f"Here already: {target}.")
        return target
    work = weights_folder() / "download"
    with alone(work):
        if not target.is_file():
            file, origin = supply.get(archive, work, room=1.0)
            file.replace(target)
            print(f"{target} ({origin}).")
    return target

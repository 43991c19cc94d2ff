"""`python -m workshop data`: what it means, and pictures of your own, from a folder or a zip."""

import shutil
from functools import partial
from pathlib import Path

from helpers.catalog import DATA_SETS, data_folder, replace
from helpers.images import is_hidden
from helpers.own import can_be_class, own_facts
from helpers.samples import unpack
from helpers.survey import survey
from workshop.fetch import LARGEST, WEIGHTS, fetch, lift, table, take


def data(name: str | None, source: Path | None) -> None:
    """Get data or weights, from `source` if there is one; without a name all of it, or a table."""
    if name in DATA_SETS or name in WEIGHTS:
        fetch(name, source)
    elif name:
        own(name, source)
    elif source:
        take(source)
    else:
        print(table())


def own(name: str, source: Path | None = None) -> None:
    """Put the pictures of `source`, a folder or a zip, into data/`name`; say what lies there."""
    if not can_be_class(name):
        raise ValueError(f"{name!r} cannot be the name of a folder below data/.")
    folder = data_folder(name)
    if source and folder.exists():
        raise FileExistsError(f"{folder} is there already. Take another name, or move it away.")
    if source:
        replace(folder, partial(_bring, source))
    own_facts(name)
    print(*survey(name), sep="\n")


def _bring(source: Path, folder: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, folder, ignore=lambda _, names: list(filter(is_hidden, names)))
    else:
        unpack(source, folder, LARGEST)
    lift(folder)

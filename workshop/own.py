"""Pictures of your own: brought from a folder or a zip, and what there is to know about them."""

import shutil
from functools import partial
from pathlib import Path

from helpers.catalog import data_folder, replace
from helpers.images import is_hidden
from helpers.own import can_be_class, own_facts
from helpers.samples import unpack
from helpers.survey import survey
from workshop.fetch import LARGEST


def own(name: str, source: Path | None = None) -> None:
    """Put the pictures of `source`, a folder or a zip, into data/`name`; say what lies there."""
    if not can_be_class(name):
        raise ValueError(f"{name!r} cannot be the name of a folder below data/.")
    folder = data_folder(name)
    if source and folder.exists():
        raise FileExistsError(f"{folder} is there already. Take another name, or move it away.")
    if source:
        replace(folder, partial(_bring, Path(source).expanduser()))
    own_facts(name)
    print(*survey(name), sep="\n")


def _bring(source: Path, folder: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, folder, ignore=lambda _, names: list(filter(is_hidden, names)))
    else:
        unpack(source, folder, LARGEST)
    inside = [path for path in folder.iterdir() if not is_hidden(path.name)]
    if len(inside) == 1 and inside[0].is_dir():  # packed one folder too deep
        deep = inside[0].rename(folder / ".deep")
        for path in deep.iterdir():
            path.rename(folder / path.name)
        deep.rmdir()

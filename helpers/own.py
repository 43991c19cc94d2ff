"""Pictures of your own as a data set: found, split once, described in a file that you may correct.

    data/my_pictures/cats/…, dogs/…             yours: a folder for each class; or these folders in
                                                train/ and valid/ or test/; or a CSV with ID and
                                                Label, and a folder with its pictures
    data/my_pictures/facts.json                 classes, channels, size, mean and deviation
    data/my_pictures/__parts/train/cats/…       the split: links to your pictures, no copies

A split stays: a new picture joins the part that lacks most, one that you deleted leaves its part.
"""

import contextlib
import filecmp
import itertools
import json
import os
import random
import shutil
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

import pandas as pd
import torch
from tqdm.auto import tqdm

from helpers.catalog import DATA_SETS, DataSet, data_folder, replace
from helpers.images import files_below, is_hidden, is_picture, open_picture, read_table, squeezed

NAMES = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}
SHARE = 0.2  # of each class, for the validation and for the test part where there is none
PARTS = "__parts"  # the folder of the split
FEW = 10  # pictures of a class: with fewer, no accuracy means anything


@dataclass
class Found:
    """What lies in a folder: part, class, name and file of each picture; "" is not said."""

    pictures: list[tuple[str, str, str, Path]] = field(default_factory=list)
    left_out: dict[Path, str] = field(default_factory=dict)  # and why

    def add(self, folder: Path, part: str, label: str) -> None:
        """Add every picture below a folder; hidden files and folders never count."""
        for file in files_below(folder):
            if is_picture(file):
                self.pictures.append((part, label, file.relative_to(folder).as_posix(), file))
            else:
                self.left_out[file] = "no picture by its ending. HEIC: let the telephone make JPEG"


def own_facts(name: str) -> DataSet:
    """Return the facts of the pictures in data/`name`; split and measure them first."""
    if not can_be_class(name):
        raise ValueError(f"{name!r} cannot be the name of a folder below data/.")
    folder = data_folder(name)
    if not folder.is_dir():
        known = f"The workshop's data sets are {', '.join(DATA_SETS)}"
        raise FileNotFoundError(f"{known}. Yours needs {folder} with one folder for each class.")
    found = find(folder)
    classes, counts = split(found, folder / PARTS)
    facts = _facts(name, folder, classes, counts)
    each = ", ".join(f"{count} {part}" for part, count in counts.items())
    print(f"{facts.title}: pictures of your own, {len(classes)} classes ({each})")
    if found.left_out:
        print(f"{len(found.left_out)} files are left out: python -m workshop data {name} says why")
    return facts


def find(folder: Path) -> Found:
    """Find the pictures in a folder and what they show, by their folders or by a CSV."""
    found, inside = Found(), _folders(folder)
    named = [(NAMES[path.name.lower()], path) for path in inside if path.name.lower() in NAMES]
    tables = [file for file in sorted(folder.glob("*.csv")) if not is_hidden(file.name)]
    parted = [table for table in tables if table.stem.lower() in NAMES]
    if len(tables) > 1 and not parted:
        names = ", ".join(table.name for table in tables)
        raise ValueError(f"{folder} has {names}. Expected one CSV, or train.csv and test.csv.")
    if tables:
        for table in parted or tables:
            _read(found, table, NAMES.get(table.stem.lower(), ""))
    else:
        is_split = any(part == "train" and _folders(path) for part, path in named)  # else a class
        if is_split and len(named) > len(dict(named)):
            names = ", ".join(path.name for _, path in named)
            raise ValueError(f"{folder} has {names}: two folders for one part. Join them.")
        for part, place in named if is_split else [("", folder)]:
            for label in _folders(place):
                found.add(label, part, label.name)
            if part == "test" and not _folders(place):
                found.add(place, part, "")  # nobody knows what they show
        others = [path for path in inside if is_split and path.name.lower() not in NAMES]
        found.left_out |= dict.fromkeys(others, "beside train/, and none of valid/ and test/")
    labels = {label for _, label, *_ in found.pictures} - {""}
    if len(labels) < 2:
        raise FileNotFoundError(
            f"{folder} has no two classes. Expected one folder of pictures for each class, or "
            "these in train/ and valid/, or a CSV with ID and Label and a folder of pictures."
        )
    if all(map(str.isdecimal, labels)):  # 02 is before 10 for whoever sorts names: ImageFolder
        digits = max(map(len, labels))
        found.pictures = [(p, label and label.zfill(digits), *n) for p, label, *n in found.pictures]
    return found


def can_be_class(label: str) -> bool:
    """Return whether a text can be the name of a class, and so of a folder."""
    is_name = label == PurePosixPath(label).name and "\\" not in label
    return bool(label) and is_name and not is_hidden(label)


def _folders(folder: Path) -> list[Path]:
    """Return the folders in a folder that hold pictures, in order: not our cache, not hidden."""
    inside = [path for path in sorted(folder.iterdir()) if path.is_dir()]  # also what is linked
    return [path for path in inside if not is_hidden(path.name) and names_below(path)]


def names_below(folder: Path) -> list[str]:
    """Return the names of the pictures below a folder, in order."""
    files = filter(is_picture, files_below(folder))
    return [file.relative_to(folder).as_posix() for file in files]


def _read(found: Found, table: Path, part: str) -> None:
    """Add what a CSV lists; its pictures lie beside it or in a folder beside it."""
    rows = read_table(table, labelled=part != "test")
    first = next(iter(rows), "")
    places = [table.with_name(f"{table.stem}_images"), table.parent, *_folders(table.parent)]
    place = next((place for place in places if (place / first).is_file()), None)
    if place is None:
        raise FileNotFoundError(f"{table} lists {first!r}, which is neither beside it nor below.")
    for name, label in rows.items():
        if not can_be_class(label) and (label or part != "test"):
            raise ValueError(f"{table}: {label!r} cannot be the name of a class.")
        if (place / name).is_file():
            found.pictures.append((part, label, name, place / name))
        else:
            found.left_out[place / name] = "in the table, but not there"


def split(found: Found, tree: Path) -> tuple[list[str], dict[str, int]]:
    """Link each picture into a part; return the classes in order, and each part's count."""
    classes = sorted({label for _, label, *_ in found.pictures} - {""})
    given = {part for part, *_ in found.pictures}
    cut = [part for part in ("valid", "test") if part not in given]
    shares = dict.fromkeys(cut, SHARE) | {"train": 1 - SHARE * len(cut)}
    there = {name: part for part in shares for name in names_below(tree / part)}  # class/…: before
    joined = Counter((name.partition("/")[0], part) for name, part in there.items())
    random.Random(0).shuffle(found.pictures)
    wanted = {}
    for part, label, name, file in found.pictures:
        if part in ("", "train"):
            total = 1 + sum(joined[label, other] for other in shares)
            lacks = {other: shares[other] * total - joined[label, other] for other in shares}
            part = there.get(f"{label}/{name}") or max(lacks, key=lacks.get)
            joined[label, part] += f"{label}/{name}" not in there
        wanted[tree / part / label / name] = file
    new = [link for link in wanted if not (link.is_file() and filecmp.cmp(wanted[link], link))]
    for link in tqdm(new, "Looking at your pictures", disable=not new):
        try:
            open_picture(wanted[link])
            replace(link, partial(_link, wanted[link]))
        except ValueError as error:
            found.left_out[wanted.pop(link)] = str(error)
    for file in files_below(tree):
        if file not in wanted and file != tree / "test.csv":
            file.unlink()
            with contextlib.suppress(OSError):  # other files are there
                os.removedirs(file.parent)
    for part, label in itertools.product(("train", *cut), classes):
        if not names_below(tree / part / label):
            raise ValueError(f"{label!r} has no picture for the part {part!r}: take {FEW} or more.")
    parts = {part: names_below(tree / part) for part in ("train", "valid", "test")}
    table = pd.DataFrame({"ID": parts["test"], "Label": None})  # what step 09 fills in
    replace(tree / "test.csv", partial(table.to_csv, index=False))
    return classes, {part: len(names) for part, names in parts.items()}


def _link(file: Path, link: Path) -> None:
    try:
        os.link(file, link)
    except OSError:  # some disks know no links
        shutil.copy2(file, link)


def _facts(name: str, folder: Path, classes: list[str], counts: dict[str, int]) -> DataSet:
    """Read facts.json; measure and write it where there is none."""
    file, tree = folder / "facts.json", folder / PARTS
    if not file.is_file():
        about = {"title": name.replace("_", " "), "classes": classes, "channels": 3, "size": 64}
        names = names_below(tree / "train")
        some = [tree / "train" / name for name in names[:: 1 + len(names) // 1000]]
        images = torch.stack([squeezed(open_picture(one), 64) for one in some])
        images = images.float() / 255  # (N, 3, 64, 64)
        if images.eq(images[:, :1]).all():
            images, about = images[:, :1], about | {"channels": 1, "size": 128}
        std, mean = torch.std_mean(images, dim=(0, 2, 3))
        about["mean"], about["std"] = ([round(x, 3) for x in one.tolist()] for one in (mean, std))
        text = json.dumps(about, indent=2, ensure_ascii=False)
        replace(file, lambda part: part.write_text(text + "\n", encoding="utf-8"))
    unlabelled = () if (tree / "test" / classes[0]).is_dir() else ("test",)
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        about = {key: tuple(v) if isinstance(v, list) else v for key, v in about.items()}
        facts = DataSet(name=name, **about, pictures=counts, unlabelled=unlabelled)
        if list(facts.classes) != classes:
            listed, found = ", ".join(facts.classes), ", ".join(classes)
            raise ValueError(f"it lists the classes {listed}; there are {found}")
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file}: {error}. Correct it, or delete it: it is made anew.") from None
    return facts

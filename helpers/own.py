"""Pictures of your own as a data set: found, split once, described in a file that you may correct.

    data/my_pictures/cats/…, dogs/…             yours: a folder for each class; or these folders in
                                                train/ and valid/ or test/; or a CSV with ID and
                                                Label, and a folder with its pictures
    data/my_pictures/facts.json                 classes, channels, size, mean and deviation
    data/my_pictures/__parts/train/cats/…       the split: links to your pictures, no copies

A split stays: a new picture joins the part that lacks most, one that you deleted leaves its part.
"""

import filecmp
import itertools
import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from tqdm.auto import tqdm

from helpers import images
from helpers.catalog import DATA_SETS, DataSet, data_folder, replace

NAMES = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}
SHARE = 0.2  # of each class, for the validation and for the test part where there is none
Picture = tuple[str, str, str, Path]  # its part, class, name and file; "" is not said
PARTS = "__parts"  # the folder of the split


def own_facts(name: str) -> DataSet:
    """Return the facts of the pictures in data/`name`; split and measure them first."""
    if not can_be_class(name):
        raise ValueError(f"{name!r} cannot be the name of a folder below data/.")
    folder = data_folder(name)
    if not folder.is_dir():
        known = f"The workshop's data sets are {', '.join(DATA_SETS)}"
        raise FileNotFoundError(f"{known}. Yours needs {folder} with one folder for each class.")
    classes, counts, left_out = split(folder)
    facts = _facts(name, folder, classes, counts)
    each = ", ".join(f"{count} {part}" for part, count in counts.items())
    print(f"{facts.title}: pictures of your own, {len(classes)} classes ({each})")
    if left_out:
        print(f"{len(left_out)} files are left out: python -m workshop data {name} says why")
    return facts


def find(folder: Path) -> tuple[list[Picture], dict[Path, str]]:
    """Find the pictures that a CSV or folders name; also return what is left out, and why."""
    tables = [file for file in sorted(folder.glob("*.csv")) if not images.is_hidden(file.name)]
    parted = [table for table in tables if table.stem.lower() in NAMES]
    if len(tables) > 1 and not parted:
        names = ", ".join(table.name for table in tables)
        raise ValueError(f"{folder} has {names}. Expected one CSV, or train.csv and test.csv.")
    ways = map(_by_table, parted or tables) if tables else [_by_folders(folder)]
    listed, left_out = [*itertools.chain(*ways)], {}
    for *_, file in listed:
        if file.is_dir():
            left_out[file] = "beside train/, and none of valid/ and test/"
        elif not file.is_file():
            left_out[file] = "in the table, but not there"
        elif not images.is_picture(file):
            left_out[file] = "no picture by its ending. HEIC: let the telephone make JPEG"
    pictures = [one for one in listed if one[-1] not in left_out]
    labels = {label for _, label, *_ in pictures} - {""}
    if len(labels) < 2:
        why = "".join(f" {file} is {reason}." for file, reason in [*left_out.items()][:1])
        raise FileNotFoundError(
            f"{folder} has no two classes. Expected one folder of pictures for each class, or "
            f"these in train/ and valid/, or a CSV with ID and Label and a folder of pictures.{why}"
        )
    if all(map(str.isdecimal, labels)):  # 02 is before 10 for whoever sorts names: ImageFolder
        digits = max(map(len, labels))
        pictures = [(part, label and label.zfill(digits), *rest) for part, label, *rest in pictures]
    return pictures, left_out


def can_be_class(label: str) -> bool:
    """Return whether a text can be the name of a class, and so of a folder."""
    return bool(label) and not images.is_hidden(label) and "/" not in label and "\\" not in label


def _by_folders(folder: Path) -> Iterator[Picture]:
    """Yield what is in the folders; one that is neither a part nor a class comes as it is."""
    parts = {path: NAMES.get(path.name.lower(), "") for path in images.class_folders(folder)}
    if not any(part == "train" and images.class_folders(path) for path, part in parts.items()):
        parts = {folder: ""}  # a class may be called train
    for place, part in parts.items():
        if place != folder and not part:
            yield "", "", place.name, place
            continue
        for inside in images.class_folders(place) or ([place] if part == "test" else []):
            label = "" if inside == place else inside.name  # a test set may have no classes
            for file in images.files_below(inside):
                yield part, label, file.relative_to(inside).as_posix(), file


def _by_table(table: Path) -> Iterator[Picture]:
    """Yield what a CSV lists; its pictures lie beside it or in a folder beside it."""
    part = NAMES.get(table.stem.lower(), "")
    rows = images.read_table(table, labelled=part != "test")
    places = [table.with_name(f"{table.stem}_images"), table.parent]
    places += images.class_folders(table.parent)
    place = max(places, key=lambda place: sum((place / name).is_file() for name in rows))
    for name, label in rows.items():
        if not can_be_class(label) and (label or part != "test"):
            raise ValueError(f"{table}: {label!r} cannot be the name of a class.")
        yield part, label, name, place / name


def split(folder: Path) -> tuple[list[str], dict[str, int], dict[Path, str]]:
    """Link each picture into a part; return the classes, each part's count, what is left out."""
    (pictures, left_out), tree = find(folder), folder / PARTS
    classes = sorted({label for _, label, *_ in pictures} - {""})
    given = {part for part, *_ in pictures}
    cut = [part for part in ("valid", "test") if part not in given]
    shares = dict.fromkeys(cut, SHARE) | {"train": 1 - SHARE * len(cut)}
    there = {one: part for part in shares for one in images.names_below(tree / part)}  # class/…
    joined = Counter((name.partition("/")[0], part) for name, part in there.items())
    random.Random(0).shuffle(pictures)
    wanted = {}
    for part, label, name, file in pictures:
        if part in ("", "train"):
            total = 1 + sum(joined[label, other] for other in shares)
            lacks = {other: shares[other] * total - joined[label, other] for other in shares}
            part = there.get(f"{label}/{name}") or max(lacks, key=lacks.get)
            joined[label, part] += f"{label}/{name}" not in there
        link = tree / part / label / name
        if link in wanted:  # the part has two folders, for example val/ and valid/
            left_out[file] = "another picture of this part and class has its name"
        wanted.setdefault(link, file)
    new = [link for link in wanted if not (link.is_file() and filecmp.cmp(wanted[link], link))]
    for link in tqdm(new, "Looking at your pictures", disable=not new):
        try:
            images.open_picture(wanted[link])
            replace(link, partial(_link, wanted[link]))
        except ValueError as error:
            left_out[wanted.pop(link)] = str(error)
    for file in images.files_below(tree):
        if file not in wanted and file != tree / "test.csv":
            file.unlink()
    parts = {part: images.names_below(tree / part) for part in ("train", "valid", "test")}
    table = pd.DataFrame({"ID": parts["test"], "Label": None})  # what step 09 fills in
    replace(tree / "test.csv", partial(table.to_csv, index=False))
    return classes, {part: len(names) for part, names in parts.items()}, left_out


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
        names = images.names_below(tree / "train")
        some = [tree / "train" / name for name in names[:: 1 + len(names) // 1000]]
        pixels = torch.stack([images.squeezed(images.open_picture(one), 64) for one in some])
        pixels = pixels.float() / 255  # (N, 3, 64, 64)
        if pixels.eq(pixels[:, :1]).all():
            pixels, about = pixels[:, :1], about | {"channels": 1, "size": 128}
        std, mean = torch.std_mean(pixels, dim=(0, 2, 3))
        about["mean"], about["std"] = ([round(x, 3) for x in one.tolist()] for one in (mean, std))
        text = json.dumps(about, indent=2, ensure_ascii=False)
        replace(file, lambda part: part.write_text(text + "\n", encoding="utf-8"))
    known = any(images.names_below(tree / "test" / label) for label in classes)
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        if about["classes"] != classes:  # a network that was trained would mistake one for another
            listed, found = ", ".join(about["classes"]), ", ".join(classes)
            raise ValueError(f"it lists the classes {listed}; there are {found}")
        about |= {key: tuple(about[key]) for key in ("classes", "mean", "std")}
        return DataSet(name=name, **about, pictures=counts, unlabelled=() if known else ("test",))
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{file}: {error}. Correct it, or delete it: it is made anew.") from None

"""Pictures of your own as a data set: found, split once, described in a file that you may correct.

    data/my_pictures/cats/…, dogs/…             yours: a folder for each class; or these folders in
                                                train/ and valid/ or test/; or a CSV with ID and
                                                Label, and a folder with its pictures
    data/my_pictures/facts.json                 classes, channels, size, mean and deviation
    data/my_pictures/__parts/train/cats/…       the split: links to your pictures, no copies

A split stays: a new picture joins the part that lacks most, one that you deleted leaves its part.
"""

import csv
import json
import os
import random
import shutil
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

import torch
from tqdm.auto import tqdm

from helpers.catalog import DATA_SETS, DataSet, data_folder, replace
from helpers.images import (
    files_below,
    is_hidden,
    is_picture,
    open_picture,
    read_table,
    squeezed,
)

NAMES = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}
SHARE = 0.2  # of each class, for the validation and for the test part where there is none
PARTS = "__parts"  # the folder of the split
FEW = 10  # pictures of a class: with fewer, no accuracy means anything


@dataclass
class Found:
    """What lies in a folder; "" stands for a part, or a class, that is not said."""

    # (part, class, name, file)
    pictures: list[tuple[str, str, str, Path]] = field(default_factory=list)
    left_out: dict[Path, str] = field(default_factory=dict)  # and why

    def add(self, folder: Path, part: str, label: str) -> None:
        """Add every picture below a folder; hidden files and folders never count."""
        for file in files_below(folder):
            if is_picture(file):
                name = file.relative_to(folder).as_posix()
                self.pictures.append((part, label, name, file))
            elif file.suffix.lower() in (".heic", ".heif"):
                self.left_out[file] = "HEIC. Let the telephone export it as JPEG"
            else:
                self.left_out[file] = "not a picture by its ending"


def own_facts(name: str) -> DataSet:
    """Return the facts of the pictures in data/`name`; split and measure them where that is to do.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such folder, no class in it, or a class has too few pictures for its parts.
    """
    if not can_be_class(name):
        raise ValueError(f"{name!r} cannot be the name of a folder below data/.")
    folder = data_folder(name)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"There is no folder {folder}. For pictures of your own make it, with one folder for "
            f"each class. The workshop's data sets are: {', '.join(DATA_SETS)}."
        )
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
    tables = [file for file in sorted(folder.glob("*.csv")) if not is_hidden(file.name)]
    parted = [table for table in tables if NAMES.get(table.stem.lower())]
    if len(tables) > 1 and not parted:
        names = ", ".join(table.name for table in tables)
        raise ValueError(f"{folder} has {names}. Expected one CSV, or train.csv and test.csv.")
    found, inside = Found(), _folders(folder)
    named = [path for path in inside if path.name.lower() in NAMES]
    parts = {NAMES[path.name.lower()]: path for path in named}
    if tables:
        for table in parted or tables:
            _read(found, table, NAMES.get(table.stem.lower(), "") if parted else "")
    elif "train" in parts and _folders(parts["train"]):  # else it is a class: trains and planes
        if len(named) > len(parts):
            names = ", ".join(path.name for path in named)
            raise ValueError(f"{folder} has {names}: two folders for one part. Join them.")
        others = [path for path in inside if path not in named]
        found.left_out |= dict.fromkeys(others, "beside train/, and none of valid/ and test/")
        for part, path in parts.items():
            for label in _folders(path):
                found.add(label, part, label.name)
            if part == "test" and not _folders(path):
                found.add(path, part, "")  # nobody knows what they show
    else:
        for label in inside:
            found.add(label, "", label.name)
    if len({label for _, label, *_ in found.pictures} - {""}) < 2:
        raise FileNotFoundError(
            f"{folder} has no two classes. Expected one folder of pictures for each class, or "
            "these in train/ and valid/, or a CSV with ID and Label and a folder of pictures."
        )
    return found


def can_be_class(label: str) -> bool:
    """Return whether a text can be the name of a class, and so of a folder."""
    is_name = label == PurePosixPath(label).name and "\\" not in label
    return bool(label) and is_name and not is_hidden(label)


def _folders(folder: Path) -> list[Path]:
    """Return the folders in a folder that hold pictures, in order: not our cache, not hidden."""
    inside = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    inside = [path for path in inside if not is_hidden(path.name)]
    return [path for path in inside if any(map(is_picture, path.rglob("*")))]


def _read(found: Found, table: Path, part: str) -> None:
    """Add what a CSV lists; its pictures lie beside it or in a folder beside it."""
    rows = read_table(table, labelled=part != "test")
    first = next(iter(rows))
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
    labels = {label for _, label, *_ in found.pictures} - {""}
    digits = max(map(len, labels)) if all(map(str.isdecimal, labels)) else 0
    found.pictures = [  # 02 comes before 10 for everybody who sorts names, such as ImageFolder
        (part, label and label.zfill(digits), *rest) for part, label, *rest in found.pictures
    ]
    classes = sorted({label.zfill(digits) for label in labels})
    given = {part for part, *_ in found.pictures} - {""}
    cut = [part for part in ("valid", "test") if part not in given]
    shares = dict.fromkeys(cut, SHARE) | {"train": 1 - SHARE * len(cut)}
    there = {  # (class, name): the part that it joined before
        (label, name): part
        for part in shares
        for label in classes
        for name in names_below(tree / part / label)
    }
    joined = Counter((label, part) for (label, _), part in there.items())
    random.Random(0).shuffle(found.pictures)
    wanted = {}
    for part, label, name, file in found.pictures:
        if part in ("", "train"):
            total = 1 + sum(joined[label, other] for other in shares)
            lacks = {other: shares[other] * total - joined[label, other] for other in shares}
            part = there.get((label, name)) or max(lacks, key=lacks.get)
            joined[label, part] += (label, name) not in there
        wanted[tree / part / label / name] = file
    new = [link for link, file in wanted.items() if not _same(file, link)]
    for link in tqdm(new, "Looking at your pictures", disable=not new):
        try:
            open_picture(wanted[link])
            replace(link, partial(_link, wanted[link]))
        except ValueError as error:
            found.left_out[wanted.pop(link)] = str(error)
    for path in sorted(tree.rglob("*"), reverse=True):  # what is inside a folder before it
        if any(map(is_hidden, path.relative_to(tree).parts)):
            continue  # another process is making it
        if path.is_file() and path not in wanted and path != tree / "test.csv":
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    counts = {part: len(names_below(tree / part)) for part in ("train", "valid", "test")}
    for part in ("train", *cut):
        for label in classes:
            if not names_below(tree / part / label):
                raise ValueError(
                    f"{label!r} has no picture left for the part {part!r}. Each class needs at "
                    f"least {1 + len(cut)} here, and {FEW} before an accuracy means anything."
                )
    tests = [name.removeprefix("test/") for name in names_below(tree) if name.startswith("test/")]
    replace(tree / "test.csv", partial(_write_table, tests))  # what step 09 fills in
    return classes, counts


def _write_table(names: list[str], file: Path) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("ID", "Label"), *((name, "") for name in names)])


def names_below(folder: Path) -> list[str]:
    """Return the pictures below a folder, in the order of `FolderImages`."""
    files = filter(is_picture, files_below(folder))
    return [file.relative_to(folder).as_posix() for file in files]


def _same(file: Path, link: Path) -> bool:
    if not link.is_file():
        return False
    one, other = file.stat(), link.stat()
    return one.st_size == other.st_size and abs(one.st_mtime - other.st_mtime) < 3  # FAT: 2 s


def _link(file: Path, link: Path) -> None:
    try:
        os.link(file, link)
    except OSError:  # some disks know no links
        shutil.copy2(file, link)


def _facts(name: str, folder: Path, classes: list[str], counts: dict[str, int]) -> DataSet:
    """Read facts.json; measure and write it where there is none."""
    file, title = folder / "facts.json", name.replace("_", " ")
    unlabelled = () if (folder / PARTS / "test" / classes[0]).is_dir() else ("test",)
    fixed = {"layout": "folders", "licence": "yours", "page": "", "needs": (), "pictures": counts}

    def data_set(about: dict) -> DataSet:
        return DataSet(name=name, **about, **fixed, unlabelled=unlabelled)

    if not file.is_file():
        about = {"title": title, "classes": classes, "channels": 3, "size": 64}
        files = names_below(folder / PARTS / "train")
        files = [folder / PARTS / "train" / file for file in files[:: 1 + len(files) // 1000]]
        images = torch.stack([squeezed(open_picture(file), 64) for file in files])
        images = images.float() / 255  # (N, 3, 64, 64)
        if images.eq(images[:, :1]).all():
            images, about = images[:, :1], about | {"channels": 1, "size": 128}
        mean, std = images.mean(dim=(0, 2, 3)), images.std(dim=(0, 2, 3))
        about |= {"mean": [round(x, 3) for x in mean.tolist()]}
        about |= {"std": [round(x, 3) for x in std.tolist()]}
        lines = [
            f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in about.items()
        ]
        text = "{\n" + ",\n".join(lines) + "\n}\n"
        replace(file, lambda part: part.write_text(text, encoding="utf-8"))
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        about = {key: tuple(v) if isinstance(v, list) else v for key, v in about.items()}
        facts = data_set(about)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file}: {error}. Correct it, or delete it: it is made anew.") from None
    if list(facts.classes) != classes:
        raise ValueError(
            f"{file} lists the classes {', '.join(facts.classes)}; there are {', '.join(classes)}. "
            "Correct it, or delete it: it is made anew."
        )
    return facts

"""Data sets that need a log-in: put right what was fetched by hand, or say what is wrong."""

import csv
import re
import shutil
from pathlib import Path

from helpers.catalog import DataSet, missing_parts, real_folder
from helpers.files import whole_file, whole_folder
from helpers.unpack import unpack

COLUMNS = ("ID", "Label")
PARTS = ("train.csv", "train_images", "test.csv", "test_images")
LARGEST = 6_000_000_000  # bytes; the AOI pictures have about 2 GB
DEPTH = 3  # folders inside folders that are searched
JUNK = {"__MACOSX", "Thumbs.db", "desktop.ini"}
# train.csv, Train.csv, "train (1).csv", train.csv.txt; train_images, "test_images (2)"
TABLE = re.compile(r"(train|test)( ?\(\d+\))?\.csv(\.txt)?", re.IGNORECASE)
FOLDER = re.compile(r"(train|test)_images( ?\(\d+\))?", re.IGNORECASE)


def fetch(facts: DataSet, source: Path | None) -> None:
    """Put what was fetched by hand into its place, and right; or say what is missing.

    Parameters
    ----------
    facts : DataSet
        Its entry in the catalog; the layout is that of AOI.
    source : Path or None
        A folder that holds it or its parts, unpacked or as .zip files. None if the files were put
        into their place already.

    Raises
    ------
    FileNotFoundError
        If parts are missing, with where to get them and where to put them.
    ValueError
        If a table has the wrong columns or names pictures that are not there.
    """
    real = real_folder(facts)
    if source is None:
        if not real.is_dir():
            raise FileNotFoundError(instructions(facts))
        _finish(facts, real)
        return
    parts = find(source)
    if not parts:
        raise FileNotFoundError(f"{source} holds no part of it. {instructions(facts)}")
    if real.exists():
        raise ValueError(
            f"{real} is there already, but is not complete. Run python -m helpers data "
            f"{facts.name} to see why, or move that folder away and run this again."
        )
    with whole_folder(real) as partial:
        for path in parts:
            if path.is_dir():
                shutil.copytree(path, partial / path.name)
            else:
                shutil.copyfile(path, partial / path.name)
        _finish(facts, partial)


def instructions(facts: DataSet) -> str:
    """Return where to get the data set, which files, and where to put them."""
    return (
        f"{facts.title} is fetched by hand from {facts.page}. {facts.by_hand} Put them into "
        f"{real_folder(facts)} and run python -m helpers data {facts.name}, or run "
        f"python -m helpers data {facts.name} --from FOLDER. Until then the drawn sample is used."
    )


def find(folder: Path | None) -> list[Path]:
    """Return the tables, picture folders and .zip files of them in a folder or inside it."""
    found: dict[str, Path] = {}
    for path in _below(folder, DEPTH) if folder else ():
        name = _part(path) or _part(path.with_suffix("")) * (path.suffix.lower() == ".zip")
        if name:
            found.setdefault(name, path)  # the one that lies highest
    return list(found.values())


def put_right(folder: Path) -> list[str]:
    """Bring the parts of a data set into the genuine layout, where that loses nothing.

    Unpacks .zip files, lifts parts out of nested folders, corrects file names and the spelling of
    column names. Nothing is deleted, and a table that is changed is kept as *.original.csv.

    Parameters
    ----------
    folder : Path
        Where the files lie.

    Returns
    -------
    list of str
        One sentence for each thing that was done or ignored.
    """
    said = []
    if _missing(folder):
        for bundle in [path for path in _below(folder, 1) if path.suffix.lower() == ".zip"]:
            target = folder / bundle.stem
            if not target.exists():
                with whole_folder(target) as partial:
                    unpack(bundle, partial, LARGEST)
                said.append(f"Unpacked {bundle.name}.")
    for need in _missing(folder):
        for path in _below(folder, DEPTH):
            if _part(path) == need and path != folder / need:
                path.rename(folder / need)
                said.append(f"Moved {path.relative_to(folder)} to {need}.")
                break
    for need in PARTS:
        if (folder / need).is_dir():
            said += _straighten(folder / need)
        elif (folder / need).is_file():
            said += _correct_header(folder / need)
    junk = {path.name for path in folder.rglob("*") if _is_junk(path)}
    if junk:
        said.append(f"Ignored {', '.join(sorted(junk))}: they belong to other programs.")
    return said


def _straighten(images: Path) -> list[str]:
    """Lift the pictures out of a folder inside their folder."""
    here = _below(images, 1)
    folders = [path for path in here if path.is_dir()]
    if len(folders) != 1:
        return []
    inner = folders[0]
    if any(path.is_file() for path in here):
        return [f"Ignored {images.name}/{inner.name}: unpacked a second time. You can delete it."]
    for path in list(inner.iterdir()):
        if not (images / path.name).exists():
            path.rename(images / path.name)
    if not any(inner.iterdir()):
        inner.rmdir()
    return [f"Moved the pictures of {images.name}/{inner.name} up into {images.name}."]


def _correct_header(table: Path) -> list[str]:
    """Write the column names as ID,Label where only capitals, blanks or semicolons differ."""
    text = table.read_text(encoding="utf-8-sig", errors="replace")
    head, newline, rows = text.partition("\n")
    if ";" in head and "," not in text:
        head, rows = head.replace(";", ","), rows.replace(";", ",")
    names = [name.strip(' \r"') for name in head.split(",")]
    spelling = {column.lower(): column for column in COLUMNS}
    names = [spelling.get(name.lower(), name) for name in names]
    corrected = ",".join(names) + newline + rows
    if not set(COLUMNS) <= set(names) or corrected.replace("\r", "") == text.replace("\r", ""):
        return []
    original = table.with_name(f"{table.stem}.original.csv")
    shutil.copyfile(table, original)
    with whole_file(table) as partial:
        partial.write_text(corrected, encoding="utf-8", newline="")
    return [f"Corrected the column names of {table.name}; the old one is {original.name}."]


def _finish(facts: DataSet, folder: Path) -> None:
    """Put a folder right, print what was done, and raise if it is not complete then."""
    for sentence in put_right(folder):
        print(sentence)
    missing = missing_parts(facts, folder)
    if missing:
        found = ", ".join(sorted(path.name for path in _below(folder, 1))) or "nothing"
        raise FileNotFoundError(
            f"{facts.title} has no {', '.join(missing)} yet. Found: {found}. {instructions(facts)}"
        )
    for table, images in (PARTS[:2], PARTS[2:]):
        if not _missing(folder, (table, images)):
            _check_table(folder / table, folder / images)
    for part in _missing(folder):
        print(f"There is no {part}. Training works without it; the last step, the test, does not.")


def _check_table(table: Path, images: Path) -> None:
    """Check that a table has its columns and that its pictures are there."""
    with table.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = csv.DictReader(file)
        names = list(rows.fieldnames or [])
        if not set(COLUMNS) <= set(names):
            raise ValueError(
                f"{table.name} has the columns {', '.join(names) or '(none)'}; expected ID,Label. "
                "Download it again from the page it came from."
            )
        ids = [row["ID"] or "" for row in rows]
    here = {path.name for path in images.iterdir()}
    lost = [name for name in ids if name not in here]
    if lost or not ids:
        raise ValueError(
            f"{len(lost)} of the {len(ids)} pictures that {table.name} lists are not in "
            f"{images.name}, the first is {lost[0] if lost else '(none)'}. Unpack it again."
        )


def _part(path: Path) -> str:
    """Return which part of the data set a path looks like by its name; "" for none."""
    if match := TABLE.fullmatch(path.name):
        return f"{match[1].lower()}.csv"
    if match := FOLDER.fullmatch(path.name):
        return f"{match[1].lower()}_images"
    return ""


def _missing(folder: Path, parts: tuple[str, ...] = PARTS) -> list[str]:
    return [part for part in parts if not (folder / part).exists()]


def _below(folder: Path, depth: int) -> list[Path]:
    """Return what lies in a folder and inside it, the highest first, without hidden things."""
    found, level = [], [Path(folder)]
    for _ in range(depth):
        level = [
            path
            for parent in level
            if parent.is_dir()
            for path in sorted(parent.iterdir())
            if not _is_junk(path)
        ]
        found += level
    return found


def _is_junk(path: Path) -> bool:
    return path.name.startswith(".") or path.name in JUNK

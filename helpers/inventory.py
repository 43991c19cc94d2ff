"""What is on this machine: pictures, bytes, where from."""

import os
from pathlib import Path

from helpers import cifar
from helpers.catalog import (
    DATA_SETS,
    WEIGHTS,
    DataSet,
    data_folder,
    missing_parts,
    real_folder,
    weights_folder,
)

ORIGIN = "origin.txt"  # beside the archive: one sentence about where it came from
PICTURES = {".jpg", ".jpeg", ".png"}


def count_pictures(facts: DataSet, root: Path) -> dict[str, int]:
    """Count the pictures of each part of a data set.

    Parameters
    ----------
    facts : DataSet
        Its entry in the catalog.
    root : Path
        Where it lies. Every batch of CIFAR-10 is read and checked for that; elsewhere files are
        counted by their names.

    Returns
    -------
    dict of str to int
        By part; 0 where a part is missing.

    Raises
    ------
    FileNotFoundError, ValueError
        If a batch of CIFAR-10 is missing or damaged.
    """
    inner = Path(root) / facts.inner
    if facts.name == "cifar10":
        return {
            part: sum(len(cifar.read_batch(file)[1]) for file in cifar.batch_files(inner, part))
            for part in facts.pictures
        }
    suffix = "_images" if facts.name == "aoi" else ""
    return {part: len(_pictures(inner / f"{part}{suffix}")) for part in facts.pictures}


def _pictures(folder: Path) -> list[Path]:
    """Return the picture files below a folder; hidden ones do not count."""
    return [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def describe(facts: DataSet, root: Path) -> str:
    """Return one line: what is there now, and where from."""
    parts = ", ".join(f"{n:,} {part}" for part, n in count_pictures(facts, root).items() if n)
    origin = Path(root) / ORIGIN
    came = f" ({origin.read_text(encoding='utf-8').strip()})" if origin.is_file() else ""
    return f"{facts.title}: {parts} pictures in {root}{came}."


def table() -> str:
    """Return what `python -m helpers data` prints: a line for each data set and weight file."""
    rows = [("NAME", "IN USE", "PICTURES", "ON DISK", "LICENCE")]
    advice = []
    for facts in DATA_SETS.values():
        root, source = real_folder(facts), "real"
        if missing_parts(facts, root) or os.environ.get("WORKSHOP_DATA") == "sample":
            source = "sample"
            root = data_folder(facts.name) / f"sample-{facts.sample_version}"
            size = f" ({facts.archive.size / 1e6:,.0f} MB)" if facts.archive else " (log-in needed)"
            advice.append((f"{facts.title}{size}", facts.name))
        pictures = "drawn on first use"
        if root.is_dir():
            try:
                pictures = " + ".join(f"{n:,}" for n in count_pictures(facts, root).values())
            except (OSError, ValueError):  # the reader says why when it is opened
                pictures = "damaged"
        rows.append((facts.name, source, pictures, _size(root), facts.licence))
    for facts in WEIGHTS.values():
        file = weights_folder() / facts.archive.file
        rows.append((facts.name, "yes" if file.is_file() else "-", "", _size(file), facts.licence))
        if not file.is_file() and facts.archive.urls:
            advice.append(
                (f"{facts.title} weights ({facts.archive.size / 1e6:,.0f} MB)", facts.name)
            )
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])
        for row in rows
    ]
    if advice:
        lines += ["", "To get the rest (add --from DIR for a folder or USB stick):"]
        width = max(len(what) for what, _ in advice)
        lines += [f"  {what.ljust(width)}  python -m helpers data {name}" for what, name in advice]
    return "\n".join(lines)


def _size(path: Path) -> str:
    """Return what a file or folder takes on the disk, in MB."""
    if path.is_file():
        total = path.stat().st_size
    else:
        total = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return f"{total / 1e6:,.1f} MB" if total else "-"

"""Read a CSV that names pictures, and check every row of it."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def read_table(
    csv_file: Path, image_dir: Path, classes: Sequence[str], labelled: bool = True
) -> "pd.DataFrame":
    """Read a CSV with the columns ID (file name) and Label (class number); check every row.

    Parameters
    ----------
    csv_file : Path
        The table.
    image_dir : Path
        The folder that the file names refer to.
    classes : sequence of str
        Class names; a label is a position in it.
    labelled : bool
        False for a test set: what stands in Label is ignored.

    Returns
    -------
    pandas.DataFrame
        ID as str; Label as int64, -1 where there is none.

    Raises
    ------
    FileNotFoundError
        If the CSV or a picture it names is missing.
    ValueError
        If the CSV is empty, has other columns, or a row that cannot be right.
    """
    import pandas as pd

    csv_file, image_dir = Path(csv_file), Path(image_dir)
    if not csv_file.is_file():
        raise FileNotFoundError(f"There is no file {csv_file}. Check the name and the folder.")
    try:
        table = pd.read_csv(
            csv_file,
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            skip_blank_lines=False,  # so that a row's number is its line in the file
        )
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{csv_file.name} is not a readable CSV file ({error}). "
            "It needs a first line ID,Label and one line for each picture, in UTF-8."
        ) from error
    if not isinstance(table.index, pd.RangeIndex):  # pandas took the first value for an index
        raise ValueError(f"{csv_file.name} has lines with more values than its first line names.")
    for column in ("ID", "Label"):
        if column not in table.columns:
            raise ValueError(
                f"{csv_file.name} has no column {column!r}. Found: {', '.join(table.columns)}. "
                "Column names are case-sensitive."
            )
    table = table[["ID", "Label"]]
    if table.empty:
        raise ValueError(f"{csv_file.name} has no rows. It needs one line for each picture.")
    _check_ids(table["ID"], csv_file.name, image_dir)
    table["Label"] = (
        _whole_labels(table["Label"], csv_file.name, classes)
        if labelled
        else np.full(len(table), -1, dtype=np.int64)
    )
    return table


def _check_ids(ids: "pd.Series", csv_name: str, image_dir: Path) -> None:
    """Refuse a file name that is listed twice, leads out of the folder, or is not there."""
    twice = ids[ids.duplicated()]
    if len(twice):
        raise ValueError(
            f"{csv_name} lists {twice.iloc[0]!r} more than once. Keep one line for each picture."
        )
    for row, name in enumerate(ids, start=2):  # line 1 is the header
        path = PurePosixPath(name)
        is_plain = name and name == path.as_posix() and not set(name) & set("\\:")
        if not is_plain or path.is_absolute() or ".." in path.parts:
            raise ValueError(
                f"{csv_name}, line {row}: the ID {name!r} is not a file name inside "
                f"{image_dir.name}/. Write a plain name such as train_00000.png."
            )
    missing = [name for name in ids if not (image_dir / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of the {len(ids)} pictures that {csv_name} lists are not in "
            f"{image_dir}, the first is {missing[0]!r}. Was the archive unpacked completely?"
        )


def _whole_labels(labels: "pd.Series", csv_name: str, classes: Sequence[str]) -> np.ndarray:
    """Return the labels as int64; refuse what is not a whole number of a class."""
    allowed = {str(number): number for number in range(len(classes))}
    for row, label in enumerate(labels, start=2):
        if label.strip() not in allowed:
            raise ValueError(
                f"{csv_name}, line {row}: the label {label!r} is not a class. Expected a whole "
                f"number from 0 to {len(classes) - 1} ({', '.join(classes)})."
            )
    return np.array([allowed[label.strip()] for label in labels], dtype=np.int64)

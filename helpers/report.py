"""From a trained network to answers: predictions, the confusion matrix, the submission CSV."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from helpers.training import Loader

if TYPE_CHECKING:
    import pandas as pd


@torch.no_grad()
def predict(model: nn.Module, loader: Loader) -> Tensor:
    """Return the probability of each class for each picture.

    Parameters
    ----------
    model : nn.Module
        Gives logits. Left in evaluation mode.
    loader : iterable
        Batches (pictures, labels) in a fixed order; the labels are not looked at.

    Returns
    -------
    Tensor
        (N, classes) float32 on the CPU; each row adds up to 1.
    """
    device = next(model.parameters()).device
    model.eval()
    parts = [model(pictures.to(device)).float().softmax(dim=1).cpu() for pictures, _ in loader]
    if not sum(map(len, parts)):
        raise ValueError("The loader gave no batch. Is the data set empty?")
    return torch.cat(parts)


def confusion_matrix(truth: Tensor, predicted: Tensor, classes: Sequence[str]) -> "pd.DataFrame":
    """Count how often each class (row) was taken for each class (column).

    Parameters
    ----------
    truth, predicted : Tensor
        (N,) class numbers.
    classes : sequence of str
        Class names.

    Returns
    -------
    pandas.DataFrame
        Counts; the diagonal is right.

    Examples
    --------
    >>> truth, predicted = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1])
    >>> confusion_matrix(truth, predicted, ["a", "b"]).values.tolist()
    [[1, 1], [0, 1]]
    """
    import pandas as pd

    cells = torch.bincount(truth * len(classes) + predicted, minlength=len(classes) ** 2)
    counts = cells.view(len(classes), len(classes)).numpy()
    return pd.DataFrame(counts, pd.Index(classes, name="true"), pd.Index(classes, name="predicted"))


def class_scores(confusion: "pd.DataFrame") -> "pd.DataFrame":
    """Return precision and recall of each class from a confusion matrix.

    Parameters
    ----------
    confusion : pandas.DataFrame
        From `confusion_matrix`.

    Returns
    -------
    pandas.DataFrame
        One row a class: pictures (count), precision and recall in 0..1 (not a number where the
        class never occurs).
    """
    import numpy as np
    import pandas as pd

    right = pd.Series(np.diag(confusion), confusion.index)
    named, true = confusion.sum(axis=0).to_numpy(), confusion.sum(axis=1)
    return pd.DataFrame({"pictures": true, "precision": right / named, "recall": right / true})


def submission_faults(file: Path, test_csv: Path, classes: int) -> list[str]:
    """Say everything that the competition would reject in a submission.

    Parameters
    ----------
    file : Path
        The submission.
    test_csv : Path
        The competition's list of pictures.
    classes : int
        How many classes there are.

    Returns
    -------
    list of str
        One sentence a fault; empty if there is none.
    """
    with Path(test_csv).open(newline="", encoding="utf-8-sig") as text:
        wanted = [row["ID"] for row in csv.DictReader(text)]
    try:
        with Path(file).open(newline="", encoding="utf-8") as text:
            rows = list(csv.reader(text))
    except FileNotFoundError:
        return [f"There is no file {file}."]
    except UnicodeDecodeError:
        return ["The file is not UTF-8 text. Was it saved by a spreadsheet program?"]
    if rows and rows[0][:1] == ["\ufeffID"]:
        return ["The file starts with a byte order mark. Save it as plain UTF-8."]
    if not rows or rows[0] != ["ID", "Label"]:
        found = ",".join(rows[0]) if rows else "an empty file"
        return [f"The first line must be ID,Label. Found: {found}."]
    faults = []
    crooked = [number for number, row in enumerate(rows[1:], start=2) if len(row) != 2]
    if crooked:
        return [f"Line {crooked[0]} does not have two values."]
    ids = [row[0] for row in rows[1:]]
    missing, unknown = set(wanted) - set(ids), set(ids) - set(wanted)
    if missing:
        faults.append(f"IDs are missing ({len(missing)}), for example {min(missing)}.")
    if unknown:
        faults.append(f"IDs are not in the test set ({len(unknown)}), for example {min(unknown)}.")
    if len(ids) != len(set(ids)):
        twice = Counter(ids).most_common(1)[0][0]
        faults.append(f"Some IDs stand there more than once, for example {twice}.")
    if not faults and ids != wanted:
        faults.append("The IDs are not in the order of test.csv.")
    allowed = {str(number) for number in range(classes)}
    wrong = next((row for row in rows[1:] if row[1] not in allowed), None)
    if wrong:
        faults.append(
            f"{wrong[0]} has the label {wrong[1]!r}, not a whole number from 0 to {classes - 1}."
        )
    return faults

"""From a trained network to answers: predictions, the confusion matrix, the submission CSV."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn


@torch.no_grad()
def predict(model: nn.Module, loader) -> Tensor:
    """Return the probability of each class for each picture, (N, classes), on the CPU."""
    device = next(model.parameters()).device
    model.eval()
    logits = torch.cat([model(pictures.to(device)).float().cpu() for pictures, _ in loader])
    return logits.softmax(dim=1)


def confusion_matrix(truth: Tensor, predicted: Tensor, classes: Sequence[str]) -> pd.DataFrame:
    """Count how often each class (row) was taken for each class (column); the diagonal is right.

    >>> truth, predicted = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1])
    >>> confusion_matrix(truth, predicted, ["a", "b"]).values.tolist()
    [[1, 1], [0, 1]]
    """
    cells = torch.bincount(truth * len(classes) + predicted, minlength=len(classes) ** 2)
    counts = cells.view(len(classes), len(classes)).numpy()
    return pd.DataFrame(counts, pd.Index(classes, name="true"), pd.Index(classes, name="predicted"))


def class_scores(confusion: pd.DataFrame) -> pd.DataFrame:
    """Return pictures, precision and recall of each class from a confusion matrix."""
    right = pd.Series(confusion.to_numpy().diagonal(), confusion.index)
    named, true = confusion.sum(axis=0).to_numpy(), confusion.sum(axis=1)
    return pd.DataFrame({"pictures": true, "precision": right / named, "recall": right / true})


def submission_faults(file: Path, test_csv: Path, classes: int) -> list[str]:
    """Return one sentence for each thing that the competition would reject in a submission."""
    text = Path(file).read_bytes()
    if text.startswith(b"\xef\xbb\xbf"):
        return ["The file starts with a byte order mark. Save it as plain UTF-8."]
    rows = [line.split(",") for line in text.decode("utf-8", "replace").splitlines()]
    if not rows or rows[0] != ["ID", "Label"]:
        return [f"The first line must be ID,Label. Found: {','.join(rows[0]) if rows else ''!r}."]
    crooked = [number for number, row in enumerate(rows, start=1) if len(row) != 2]
    if crooked:
        return [f"Line {crooked[0]} does not have two values."]
    ids, faults = [row[0] for row in rows[1:]], []
    wanted = list(pd.read_csv(test_csv, dtype=str, encoding="utf-8-sig")["ID"])
    if missing := set(wanted) - set(ids):
        faults.append(f"IDs are missing ({len(missing)}), for example {min(missing)}.")
    if unknown := set(ids) - set(wanted):
        faults.append(f"IDs are not in the test set ({len(unknown)}), for example {min(unknown)}.")
    if not faults and ids != wanted:
        faults.append("The IDs are not those of test.csv in their order, each once.")
    allowed = {str(number) for number in range(classes)}
    if wrong := next((row for row in rows[1:] if row[1] not in allowed), None):
        faults.append(
            f"{wrong[0]} has the label {wrong[1]!r}: not a number from 0 to {classes - 1}."
        )
    return faults

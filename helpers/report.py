"""From a trained network to answers: predictions, each class's scores, checks of a submission."""

from itertools import zip_longest
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


def class_scores(confusion: pd.DataFrame) -> pd.DataFrame:
    """Return pictures, precision and recall of each class from a confusion matrix."""
    right = pd.Series(confusion.to_numpy().diagonal(), confusion.index)
    named, true = confusion.sum(axis=0).to_numpy(), confusion.sum(axis=1)
    return pd.DataFrame({"pictures": true, "precision": right / named, "recall": right / true})


def submission_faults(file: Path, test_csv: Path, classes: int) -> list[str]:
    """Return what the competition would reject in a submission: the first line that is wrong."""
    lines = Path(file).read_text("utf-8", "replace").splitlines()
    names = pd.read_csv(test_csv, dtype=str, encoding="utf-8-sig")["ID"]
    if lines[:1] != ["ID,Label"]:  # a byte order mark is seen, too
        return [f"The first line must be ID,Label. Found: {''.join(lines[:1])!r}."]
    for number, (line, name) in enumerate(zip_longest(lines[1:], names), start=2):
        if name is None or line not in [f"{name},{label}" for label in range(classes)]:
            wanted = f"{name} and a number from 0 to {classes - 1}" if name else "the end"
            return [f"Line {number} must be {wanted}. Found: {line or ''!r}."]
    return []

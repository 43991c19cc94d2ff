"""Steps 03, 04 and 11: from files and rows of bytes to batches of pictures."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from helpers.checks.feedback import Wrong, as_tensor, exercise, same, two


@exercise("03", "AOIDataset", "`__init__` only stores; `__getitem__` does the steps of the list.")
def dataset(answer: type) -> None:
    """Length, pixels, labels, transform and what is no picture: all are as they should be."""
    with tempfile.TemporaryDirectory(prefix="Größe-数据-") as place:  # no cv2.imread on Windows
        folder = Path(place)
        rows = ["ID,Label", "0.png,0", "1.png,2", "2.png,4", "gone.png,1", "broken.png,1"]
        (folder / "t.csv").write_text("\n".join(rows))
        (folder / "broken.png").write_bytes(b"no picture")
        pictures = np.random.default_rng(0).integers(0, 256, (3, 60, 60), dtype=np.uint8)
        for number, picture in enumerate(pictures):
            (folder / f"{number}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
        answer(folder / "t.csv", folder / "nothing here")  # reads no picture yet
        small = answer(folder / "t.csv", folder, size=15)
        same(len(small), 5, "`__len__` is the number of rows of the table.")
        two(small[2], "picture", "label")
        found, label = small[2]
        shrunk = cv2.resize(pictures[2], (15, 15), interpolation=cv2.INTER_AREA)
        expected = torch.from_numpy(shrunk).unsqueeze(0)
        skipped = torch.from_numpy(cv2.resize(pictures[2], (15, 15))).unsqueeze(0)
        mistakes = {
            "pixels were skipped: pass interpolation=cv2.INTER_AREA to resize.": skipped,
            "the channel is missing. Add it in front: `unsqueeze(0)`.": expected[0],
            "three channels: read with cv2.IMREAD_GRAYSCALE.": torch.stack([expected] * 3, dim=-1),
            "the pixels were scaled here; that is the transform's work.": expected / 255,
        }
        same(found, expected, "which picture it is, or how it was read and resized.", mistakes)
        if isinstance(label, bool | str | float) or getattr(label, "dtype", None) is torch.float:
            raise Wrong("the label must be a whole number: int(...).", label, 4)
        same(label, 4, "the label belongs to another row, or is not from the column Label.")

        moved = answer(folder / "t.csv", folder, 15, lambda x: x.float() + 1000 * len(x))
        cause = "the transform was not used, its result was lost, or it came before the channel."
        same(moved[2][0], expected + 1000.0, cause)
        level = cv2.utils.logging.setLogLevel(0)  # OpenCV would warn about the missing file
        for index, name in ((3, "gone.png"), (4, "broken.png")):
            try:
                found = small[index]
            except Exception as error:
                found = f"{type(error).__name__}: {error}"
            if not (isinstance(found, str) and name in found):
                cause = "OpenCV gives None for what is no picture: raise an error with the name."
                raise Wrong(cause, found, f"ValueError: {name} …", f"For {name}: ")
        cv2.utils.logging.setLogLevel(level)


@exercise("04", "collate", "zip(*items) makes one sequence of pictures and one of labels.")
def collate(answer: Callable) -> None:
    """Pictures stacked along a new first dimension, labels as int64."""
    items = [(torch.full((1, 4, 5), float(number)), number + 1) for number in range(3)]
    pair = answer(items)
    two(pair, "pictures", "labels")
    stack, labels = torch.stack([picture for picture, _ in items]), torch.tensor([1, 2, 3])
    mistakes = {
        "`cat` joins along an old dimension. Use `torch.stack`.": stack.flatten(0, 1),
        "pictures and labels are swapped.": labels,
    }
    same(pair[0], stack, "stack them along a new first dimension.", mistakes, "The pictures: ")
    same(pair[1], labels, "they must be a tensor of whole numbers, int64.", case="The labels: ")


@exercise("11", "to_picture", "The row holds the red plane, then green, then blue: (3, 32, 32).")
def to_picture(answer: Callable) -> None:
    """Channel, height, width, and every pixel in its place."""
    row = np.random.default_rng(0).integers(0, 256, 3072, dtype=np.uint8)
    expected, mixed = torch.from_numpy(row).view(3, 32, 32), torch.from_numpy(row).view(32, 32, 3)
    mistakes = {
        "reshape(32, 32, 3) mixes the planes; they lie one after another.": mixed,
        "reshape(32, 32, 3) mixes the planes: use (3, 32, 32).": mixed.movedim(-1, 0),
    }
    same(as_tensor(answer(row)), expected, "(channel, height, width) = (3, 32, 32).", mistakes)


@exercise("11", "normalise_batch", "mean and std need the shape (1, 3, 1, 1): `view`.")
def normalise_batch(answer: Callable) -> None:
    """All pictures at once, each channel with its own mean and deviation."""
    images = torch.randint(0, 256, (4, 3, 3, 3), dtype=torch.uint8)
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.25, 0.3])
    m, s, unit = mean.view(3, 1, 1), std.view(3, 1, 1), images.float() / 255
    mistakes = {
        "the means went to columns: view(1, 3, 1, 1).": (unit - mean) / std,
        "the means went to rows: view(1, 3, 1, 1).": (unit - m.view(3, 1)) / s.view(3, 1),
        "the range: the pixels are still 0 to 255.": (images.float() - m) / s,
    }
    found = answer(images, tuple(mean.tolist()), tuple(std.tolist()))
    same(found, (unit - m) / s, "(pixel / 255 - mean) / std.", mistakes)

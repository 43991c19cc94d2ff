"""The sample of CIFAR-10, with fewer pictures.

Each class has its usual surroundings and shares them with others: sky and water with ships,
aeroplanes and birds, roads with cars and trucks, grass and woods with the animals.
"""

import pickle
import struct
from io import BytesIO

import cv2
import numpy as np
from tqdm.contrib.concurrent import thread_map

from draw.drawing import Array, Canvas, photograph
from draw.scenes import SCENES, SUBJECTS
from helpers.catalog import CIFAR10

CLASSES = CIFAR10.classes
COUNTS = {"train": 500, "test": 500}  # pictures in each batch
BATCHES = {f"data_batch_{n}": f"training batch {n} of 5" for n in range(1, 6)}
BATCHES["test_batch"] = "testing batch 1 of 1"
SIZE, CANVAS_SIZE = 32, 80  # pixels along each side, as stored and as drawn


def draw(label: int, rng: np.random.Generator) -> Array:
    """Draw one picture of a class, 0 to 9, shape (32, 32, 3)."""
    canvas = Canvas.blank(CANVAS_SIZE, CANVAS_SIZE, rng)
    scenes, weights = zip(*SCENES[label], strict=True)
    scenes[rng.choice(len(scenes), p=np.array(weights) / sum(weights))](canvas)
    x, y = rng.normal(0, 0.16, 2)
    size, turn = np.exp(rng.normal(-0.1, 0.25)), rng.normal(0, 8)
    SUBJECTS[label](canvas.place(x, y, size, turn, flip=rng.random() < 0.5))
    small = cv2.resize(canvas.pixels, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return photograph(Canvas(small, rng, canvas.frame), sharpness=0.35)


def files(seed: int = 0) -> dict[str, bytes]:
    """Return the contents of the archive by their names."""
    classes, jobs = {}, []
    for part, name in enumerate(BATCHES):
        split = int(name == "test_batch")
        order = np.arange((COUNTS["train"], COUNTS["test"])[split]) % len(CLASSES)  # all as often
        classes[name] = np.random.default_rng([seed, part, split]).permutation(order)
        for index, label in enumerate(classes[name]):
            jobs.append((label, np.random.default_rng([seed, part, label, index])))
    pictures = iter(thread_map(draw, *zip(*jobs, strict=True), desc="Drawing pictures"))
    meta = {
        b"num_cases_per_batch": COUNTS["train"],
        b"label_names": [name.encode() for name in CLASSES],
        b"num_vis": 3 * SIZE**2,
    }
    contents = {f"{CIFAR10.inner}/batches.meta": _old_pickle(meta)}
    for name, batch in classes.items():
        rows = np.stack([next(pictures).transpose(2, 0, 1).ravel() for _ in batch])  # (N, 3072)
        names = [f"{CLASSES[label]}_s_{index:06d}.png" for index, label in enumerate(batch)]
        contents[f"{CIFAR10.inner}/{name}"] = _old_pickle(
            {
                b"batch_label": BATCHES[name].encode(),
                b"labels": batch.tolist(),
                b"data": rows,
                b"filenames": [one.encode() for one in names],
            }
        )
    return contents


class _OldPickler(pickle._Pickler):
    """Writes bytes as the strings of Python 2, which the official files were pickled with.

    So they read like those: bytes with encoding="bytes", text with encoding="latin1".
    """

    def _save_string(self, text: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<i", len(text)) + text)

    dispatch = pickle._Pickler.dispatch | {bytes: _save_string}


def _old_pickle(content: dict) -> bytes:
    file = BytesIO()
    _OldPickler(file, protocol=2).dump(content)
    return file.getvalue()

"""The sample of the pizza, steak and sushi pictures.

All three are served on the same tables and plates, next to the same vegetables, and in the same
light. What tells them apart is the dish itself: its outline, its parts and its pattern.
"""

import numpy as np

from draw.dishes import DISHES, lay
from draw.drawing import Array, Canvas, choose, photograph
from draw.packing import draw_jpegs
from helpers.catalog import FOOD

COUNTS = {"train": (78, 75, 72), "test": (25, 19, 31)}  # as in the real data set


def draw(label: int, rng: np.random.Generator) -> Array:
    """Draw pizza (0), steak (1) or sushi (2), (H, W, 3); the shorter side has 140 to 260 pixels."""
    short = int(rng.integers(140, 261))
    long = int(short * choose(rng, (1, 1, 1.2, 1.33, 1.33, 1.5)))
    height, width = (short, long) if rng.random() < 0.75 else (long, short)
    canvas = Canvas.blank(height, width, rng)
    table = canvas.tilt(rng.uniform(0.6, 1), rng.uniform(0, 0.25))
    lay(table)
    closeness = np.exp(rng.normal(0.14, 0.25))
    x, y = rng.normal(0, 0.2, 2)
    DISHES[label](table.place(x, y, closeness, rng.uniform(-180, 180)))
    return photograph(canvas)


def files(seed: int = 0) -> dict[str, bytes]:
    """Return the contents of the archive by their names."""
    jobs = {}
    for part, (split, counts) in enumerate(COUNTS.items()):
        for label, (name, count) in enumerate(zip(FOOD.classes, counts, strict=True)):
            for index in range(count):
                rng = np.random.default_rng([seed, part, label, index])
                number = 100_003 + 37_619 * index + 7 * label + part  # they are no row of numbers
                jobs[f"{split}/{name}/{number}.jpg"] = (label, rng)
    return draw_jpegs(draw, jobs)

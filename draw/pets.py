"""The sample of the dogs and cats.

Cats and dogs share everything that would be too easy: coats, poses, surroundings, light. What tells
them apart is what tells the real ones apart: ears, eyes, muzzle, nose, whiskers and tongue.
"""

import numpy as np

from draw.animals import draw_animal
from draw.drawing import (
    EVERYWHERE,
    Array,
    Canvas,
    Paint,
    box,
    choose,
    ellipse,
    jitter,
    photograph,
)
from draw.packing import draw_jpegs

CLASSES = ("cat", "dog")
COUNTS = {"train": 300, "valid": 100, "test1": 25}  # pictures of each class
SAMPLE_COUNTS = {"train": 8, "valid": 4}  # of these, copies in the folder "sample"
ROOMS = (
    (Paint((196, 186, 168), 0.03, 0.6), Paint((150, 108, 72), 0.10, 0.15)),  # wall, wooden floor
    (Paint((168, 178, 186), 0.03, 0.6), Paint((170, 160, 150), 0.08, 0.03)),  # wall, carpet
    (Paint((132, 88, 76), 0.06, 0.3), Paint((118, 72, 64), 0.08, 0.05)),  # sofa
    (Paint((74, 96, 58), 0.2, 0.1, (120, 146, 84)), Paint((104, 138, 66), 0.18, 0.04)),  # garden
    (Paint((160, 190, 216), 0.03, 0.8), Paint((128, 146, 84), 0.15, 0.04)),  # sky, meadow
    (Paint((66, 62, 64), 0.08, 0.4), Paint((96, 88, 84), 0.10, 0.10)),  # dim corner
    (Paint((206, 204, 200), 0.03, 0.5), Paint((176, 184, 192), 0.06, 0.20)),  # bed
)


def draw(label: int, rng: np.random.Generator) -> Array:
    """Draw a cat (0) or a dog (1), shape (H, W, 3); width and height differ."""
    width = int(rng.integers(120, 261))
    height = int(np.clip(width * rng.choice([0.75, 0.8, 1, 1.2, 1.33]), 100, 260))
    canvas = Canvas.blank(height, width, rng)
    _room(canvas)
    x, y, turn = rng.normal(0, 0.18), rng.normal(0, 0.12), rng.normal(0, 9)
    draw_animal(canvas.place(x, y, 1, turn, flip=rng.random() < 0.5), label)
    if rng.random() < 0.12:
        _bars(canvas)
    return photograph(canvas)


def files(seed: int = 0) -> dict[str, bytes]:
    """Return the contents of the archive by their names."""
    jobs, few = {}, []
    for part, (split, count) in enumerate(COUNTS.items()):
        for index in range(count):
            for label, name in enumerate(CLASSES):
                path = f"dogscats/{split}/{name}s/{name}.{index + part * 1000}.jpg"
                if split == "test1":  # without labels: whichever class comes next
                    path = f"dogscats/test1/{2 * index + label + 1}.jpg"
                jobs[path] = (label, np.random.default_rng([seed, part, label, index]))
                if index < SAMPLE_COUNTS.get(split, 0):
                    few.append(path)
    drawn = draw_jpegs(draw, jobs)
    copies = {path.replace("dogscats/", "dogscats/sample/"): drawn[path] for path in sorted(few)}
    return drawn | copies


def _room(canvas: Canvas) -> None:
    """Draw a wall or the outdoors, a floor, and now and then something lying about."""
    rng = canvas.rng
    back, floor = choose(rng, ROOMS)
    canvas.fill(EVERYWHERE, back.varied(rng))
    for _ in range(rng.integers(0, 3)):
        x, y, size = rng.uniform(-1.3, 1.3), rng.uniform(-1.2, 0.2), rng.uniform(0.2, 0.6)
        thing = box(x - size, y - size * rng.uniform(0.3, 1.5), x + size, y + size)
        canvas.fill(thing, Paint(jitter(rng, back.colour, 45), 0.05, 0.3), soft=0.04)
    horizon = rng.uniform(-0.2, 0.8)
    ground = canvas.place(0, horizon, angle=rng.normal(0, 4))
    ground.fill(box(-4, 0, 4, 4), floor.varied(rng), 0.02)
    if rng.random() < 0.4:
        ball = ellipse(rng.uniform(-1.2, 1.2), rng.uniform(0.6, 1), rng.uniform(0.08, 0.22))
        canvas.fill(ball, Paint(tuple(rng.uniform(40, 230, 3)), light=0.7))


def _bars(canvas: Canvas) -> None:
    """Draw the bars of a cage in front of everything."""
    step, colour = canvas.rng.uniform(0.3, 0.6), jitter(canvas.rng, (150, 150, 150), 40)
    canvas.stroke([np.array([[x, -3], [x, 3]]) for x in np.arange(-2, 2, step)], 0.04, colour)

"""Draw a stand-in for the dogs and cats data set in its genuine layout.

Cats and dogs share everything that would be too easy: coats, poses, surroundings, light. What tells
them apart is what tells the real ones apart: ears, eyes, muzzle, nose, whiskers and tongue.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers.samples.drawing import (
    EVERYWHERE,
    Array,
    Canvas,
    Colour,
    Paint,
    blob,
    box,
    choose,
    draw_all,
    ellipse,
    jitter,
    jpeg,
    photograph,
    smooth,
    write_tar_gz,
)

CLASSES = ("cat", "dog")
COUNTS = {"train": 300, "valid": 100, "test1": 25}  # pictures of each class
SAMPLE_COUNTS = {"train": 8, "valid": 4}  # of these, copies in the folder "sample"
BLACK, WHITE, PINK, TONGUE = (28, 25, 24), (236, 232, 225), (214, 150, 145), (214, 96, 104)
COATS = (
    BLACK,
    (92, 88, 86),
    (150, 146, 142),
    WHITE,
    (203, 140, 78),
    (128, 88, 58),
    (222, 190, 146),
)
PATCHES = (WHITE, WHITE, BLACK, (140, 96, 60))
CAT_EYES = ((176, 186, 78), (206, 164, 54), (120, 168, 96), (118, 168, 204))
DOG_EYES = ((74, 46, 28), (52, 34, 24), (110, 72, 36), (120, 150, 180))
ROOMS = (
    (Paint((196, 186, 168), 0.03, 0.6), Paint((150, 108, 72), 0.10, 0.15)),  # wall, wooden floor
    (Paint((168, 178, 186), 0.03, 0.6), Paint((170, 160, 150), 0.08, 0.03)),  # wall, carpet
    (Paint((132, 88, 76), 0.06, 0.3), Paint((118, 72, 64), 0.08, 0.05)),  # sofa
    (Paint((74, 96, 58), 0.2, 0.1, (120, 146, 84)), Paint((104, 138, 66), 0.18, 0.04)),  # garden
    (Paint((160, 190, 216), 0.03, 0.8), Paint((128, 146, 84), 0.15, 0.04)),  # sky, meadow
    (Paint((66, 62, 64), 0.08, 0.4), Paint((96, 88, 84), 0.10, 0.10)),  # dim corner
    (Paint((206, 204, 200), 0.03, 0.5), Paint((176, 184, 192), 0.06, 0.20)),  # bed
)


@dataclass(frozen=True)
class Coat:
    """The fur of one animal."""

    fur: Paint
    dark: Colour
    pale: Colour
    stripes: bool


def draw(label: int, rng: np.random.Generator) -> Array:
    """Draw one photograph.

    Parameters
    ----------
    label : int
        0 for a cat, 1 for a dog.
    rng : numpy.random.Generator
        Source of everything random in the picture.

    Returns
    -------
    numpy.ndarray
        Red, green, blue, shape (H, W, 3), uint8; width and height differ.
    """
    width = int(rng.integers(120, 261))
    height = int(np.clip(width * rng.choice([0.75, 0.8, 1, 1.2, 1.33]), 100, 260))
    canvas = Canvas.blank(height, width, rng)
    _room(canvas)
    x, y, turn = rng.normal(0, 0.18), rng.normal(0, 0.12), rng.normal(0, 9)
    animal(canvas.place(x, y, 1, turn, flip=rng.random() < 0.5), label)
    if rng.random() < 0.12:
        _bars(canvas)
    return photograph(canvas)


def animal(canvas: Canvas, label: int) -> None:
    """Draw a cat (0) or a dog (1) about as large as the canvas, in one of several poses."""
    rng = canvas.rng
    coat = _coat(rng, striped=(0.45, 0.12)[label])
    pose = rng.choice(len(POSES), p=POSE_WEIGHTS)
    head = POSES[pose](canvas, coat, label)
    HEADS[label](head.place(scale=rng.uniform(0.9, 1.1), angle=rng.normal(0, 10)), coat)


def write(folder: Path, seed: int = 0) -> None:
    """Put the archive of the data set into an existing empty folder.

    Parameters
    ----------
    folder : pathlib.Path
        Receives ``dogscats.tgz``.
    seed : int
        Seed of the whole data set; the same seed gives the same bytes.
    """
    jobs = _jobs(seed)
    pictures = draw_all(lambda job: jpeg(draw(*job)), list(jobs.values()))
    files = dict(zip(jobs, pictures, strict=True))
    write_tar_gz(folder / "dogscats.tgz", files | _sample(files), level=1)


def _jobs(seed: int) -> dict[str, tuple[int, np.random.Generator]]:
    """Return what to draw for each name in the archive."""
    jobs = {}
    for part, (split, count) in enumerate(COUNTS.items()):
        for index in range(count):
            for label, name in enumerate(CLASSES):
                path = f"{split}/{name}s/{name}.{index + part * 1000}.jpg"
                if split == "test1":  # without labels: whichever class comes next
                    path = f"{split}/{2 * index + label + 1}.jpg"
                rng = np.random.default_rng([seed, part, label, index])
                jobs[f"dogscats/{path}"] = (label, rng)
    return jobs


def _sample(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return copies of a few pictures under the names of the folder "sample"."""
    copies = {}
    for split, count in SAMPLE_COUNTS.items():
        for name in CLASSES:
            folder = f"dogscats/{split}/{name}s/"
            for path in [path for path in files if path.startswith(folder)][:count]:
                copies[path.replace("dogscats/", "dogscats/sample/")] = files[path]
    return copies


def _coat(rng: np.random.Generator, striped: float) -> Coat:
    colour = jitter(rng, choose(rng, COATS), 14)
    other = jitter(rng, choose(rng, PATCHES), 8) if rng.random() < 0.35 else None
    pitch = rng.uniform(0.06, 0.22)
    fur = Paint(colour, 0.07, pitch, other, rng.uniform(0.15, 0.5), light=rng.uniform(0, 0.35))
    dark = tuple(0.55 * value for value in colour)
    pale = tuple(0.45 * value + 0.55 * 232 for value in colour)
    return Coat(fur, dark, pale, rng.random() < striped)


def _room(canvas: Canvas) -> None:
    """Draw a wall or the outdoors, a floor, and now and then something lying about."""
    rng = canvas.rng
    back, floor = choose(rng, ROOMS)
    canvas.fill(EVERYWHERE, Paint(jitter(rng, back.colour), back.grain, back.pitch, back.other))
    for _ in range(rng.integers(0, 3)):
        x, y, size = rng.uniform(-1.3, 1.3), rng.uniform(-1.2, 0.2), rng.uniform(0.2, 0.6)
        thing = box(x - size, y - size * rng.uniform(0.3, 1.5), x + size, y + size)
        canvas.fill(thing, Paint(jitter(rng, back.colour, 45), 0.05, 0.3), soft=0.04)
    horizon = rng.uniform(-0.2, 0.8)
    ground = canvas.place(0, horizon, angle=rng.normal(0, 4))
    ground.fill(box(-4, 0, 4, 4), Paint(jitter(rng, floor.colour), floor.grain, floor.pitch), 0.02)
    if rng.random() < 0.4:
        ball = ellipse(rng.uniform(-1.2, 1.2), rng.uniform(0.6, 1), rng.uniform(0.08, 0.22))
        canvas.fill(ball, Paint(tuple(rng.uniform(40, 230, 3)), light=0.7))


def _bars(canvas: Canvas) -> None:
    """Draw the bars of a cage in front of everything."""
    step, colour = canvas.rng.uniform(0.3, 0.6), jitter(canvas.rng, (150, 150, 150), 40)
    canvas.stroke([np.array([[x, -3], [x, 3]]) for x in np.arange(-2, 2, step)], 0.04, colour)


def _furry(canvas: Canvas, outline: Array, coat: Coat, length: float = 0.12) -> None:
    canvas.fill(outline, coat.fur, soft=0.015)
    canvas.hair(outline, coat.dark, length, 0.35)
    canvas.hair(outline, coat.pale, length, 0.3)


def _close_up(canvas: Canvas, coat: Coat, label: int) -> Canvas:
    chest = blob(canvas.rng, 0, 1.2, 0.75, 0.8)
    _furry(canvas, chest, coat, 0.15)
    return canvas.place(scale=canvas.rng.uniform(0.65, 0.95))


def _sitting(canvas: Canvas, coat: Coat, label: int) -> Canvas:
    rng = canvas.rng
    _tail(canvas, coat, label, 0.35, 0.8)
    stout = rng.uniform(0.36, 0.5)
    _furry(canvas, smooth((-0.2, -0.4), (0.2, -0.4), (stout, 0.5), (stout, 1), (-stout, 1),
                          (-stout, 0.5)), coat)  # fmt: skip
    if rng.random() < 0.4:
        canvas.fill(blob(rng, 0, 0.15, 0.18, 0.3), Paint(coat.pale), soft=0.05)
    for x in (-0.16, 0.16):
        _furry(canvas, smooth((x - 0.1, 0.1), (x + 0.1, 0.1), (x + 0.11, 1.05), (x - 0.11, 1.05)),
               coat, 0.06)  # fmt: skip
        canvas.stroke(np.array([[x, 0.94], [x, 1.02]]), 0.02, coat.dark)
    _bands(canvas, coat, [(-0.3, y, 0.3, y) for y in (0, 0.2, 0.4, 0.6)])
    return canvas.place(rng.normal(0, 0.06), -0.45, rng.uniform(0.4, 0.52))


def _lying(canvas: Canvas, coat: Coat, label: int) -> Canvas:
    rng = canvas.rng
    _tail(canvas, coat, label, 0.9, 0.45)
    _furry(canvas, smooth((-0.6, 0), (0.3, -0.15), (1, 0.1), (1.05, 0.75), (-0.6, 0.75)), coat)
    _bands(canvas, coat, [(x, -0.05, x + 0.06, 0.4) for x in (0.1, 0.3, 0.5, 0.7)])
    for x in (-0.75, -0.3):
        _furry(
            canvas, smooth((x, 0.45), (x + 0.3, 0.5), (x + 0.2, 0.82), (x - 0.15, 0.8)), coat, 0.06
        )
    return canvas.place(-0.42, rng.uniform(-0.2, 0.15), rng.uniform(0.4, 0.52))


def _standing(canvas: Canvas, coat: Coat, label: int) -> Canvas:
    rng = canvas.rng
    _tail(canvas, coat, label, 0.75, 0)
    for x in (-0.42, -0.2, 0.5, 0.72):
        leg = smooth((x - 0.1, 0.2), (x + 0.12, 0.2), (x + 0.07, 0.95), (x - 0.1, 0.95))
        _furry(canvas, leg, coat, 0.06)
    _furry(canvas, smooth((-0.7, -0.25), (0.8, -0.2), (0.9, 0.4), (-0.55, 0.5)), coat)
    _bands(canvas, coat, [(x, -0.1, x + 0.05, 0.3) for x in (-0.2, 0, 0.2, 0.4, 0.6)])
    return canvas.place(-0.6, rng.uniform(-0.5, -0.3), rng.uniform(0.36, 0.45))


def _tail(canvas: Canvas, coat: Coat, label: int, x: float, y: float) -> None:
    """Draw a tail that starts at (x, y); most dogs carry it higher and thicker than most cats."""
    rng = canvas.rng
    rise, bend = rng.uniform(-0.7, 0.3), rng.uniform(-0.3, 0.3)
    line = smooth((x - 0.2, y), (x + 0.2, y), (x + 0.45, y + rise / 2 + bend), (x + 0.5, y + rise),
                  closed=False)  # fmt: skip
    canvas.stroke(line, rng.uniform(0.08, 0.13) + 0.05 * label, coat.fur)


def _bands(canvas: Canvas, coat: Coat, bands: list[tuple[float, float, float, float]]) -> None:
    """Draw the stripes of a tabby or a brindle."""
    if coat.stripes:
        wobble = canvas.rng.normal(0, 0.03, (len(bands), 4))
        lines = [line.reshape(2, 2) for line in np.array(bands) + wobble]
        canvas.stroke(lines, 0.05, coat.dark, 0.6)


def _cat_head(canvas: Canvas, coat: Coat) -> None:
    rng = canvas.rng
    wide, high = rng.uniform(0.72, 0.86), rng.uniform(0.62, 0.72)
    yaw = rng.normal(0, 0.1)
    folded = rng.random() < 0.07
    for side in (-1, 1):
        tip = (side * rng.uniform(0.6, 0.75), -0.62 if folded else -rng.uniform(0.95, 1.2))
        ear = np.array([(side * 0.18, -0.5), tip, (side * 0.74, -0.15)])
        _furry(canvas, smooth(*ear, *ear[1:2]), coat, 0.08)
        inner = ear.mean(axis=0) + 0.55 * (ear - ear.mean(axis=0))
        canvas.fill(inner, Paint(jitter(rng, PINK), 0.08), soft=0.04, opacity=0.8)
    _furry(canvas, blob(rng, 0, 0, wide, high, 0.03), coat)
    _bands(canvas, coat, [(x, -0.58, x * 0.8, -0.3) for x in (-0.2, 0, 0.2)])
    _bands(canvas, coat, [(s * 0.45, y, s * 0.72, y + 0.05) for s in (-1, 1) for y in (0.1, 0.25)])
    face = canvas.place(yaw, rng.normal(0, 0.04))
    iris, pupil = jitter(rng, choose(rng, CAT_EYES)), rng.uniform(0.03, 0.1)
    asleep = rng.random() < 0.06
    for side in (-1, 1):
        _cat_eye(face.place(side * 0.32, -0.06, angle=side * -8), iris, pupil, asleep)
    muzzle = Paint(coat.pale if rng.random() < 0.6 else coat.fur.colour)
    for side in (-1, 1):
        face.fill(blob(rng, side * 0.12, 0.33, 0.17, 0.13), muzzle, soft=0.03)
    nose = smooth((-0.1, 0.16), (0.1, 0.16), (0, 0.28))
    face.fill(nose, jitter(rng, PINK if rng.random() < 0.6 else (60, 44, 44)))
    mouth = [ellipse(side * 0.08, 0.32, 0.08, 0.08, 0, 180) for side in (-1, 1)]
    face.stroke(mouth, 0.02, (60, 40, 40))
    whiskers = [
        np.array([[side * 0.2, 0.3 + y / 4], [side * rng.uniform(0.8, 1.1), 0.25 + y]])
        for side in (-1, 1)
        for y in (-0.12, 0.02, 0.16)
    ]
    face.stroke(whiskers, 0.014, WHITE if rng.random() < 0.7 else BLACK, 0.8)


def _cat_eye(eye: Canvas, iris: Colour, pupil: float, asleep: bool) -> None:
    if asleep:
        eye.stroke(ellipse(0, 0, 0.15, 0.06, 0, 180), 0.03, BLACK)
        return
    eye.fill(ellipse(0, 0, 0.18, 0.15), BLACK)
    eye.fill(ellipse(0, 0, 0.155, 0.125), Paint(iris, light=-0.3))
    eye.fill(ellipse(0, 0, pupil, 0.12), (10, 10, 10))
    eye.fill(ellipse(-0.04, -0.05, 0.03), WHITE)


def _dog_head(canvas: Canvas, coat: Coat) -> None:
    rng = canvas.rng
    wide, high = rng.uniform(0.55, 0.72), rng.uniform(0.66, 0.8)
    face = canvas.place(rng.normal(0, 0.12), rng.normal(0, 0.04))
    pricked = rng.random() < 0.25
    ear_coat = (
        coat
        if rng.random() < 0.5
        else Coat(Paint(coat.dark, 0.07), coat.dark, coat.fur.colour, False)
    )
    if pricked:
        for side in (-1, 1):
            _pricked_ear(canvas, ear_coat, side)
    _furry(canvas, blob(rng, 0, 0, wide, high, 0.04), coat)
    if not pricked:
        for side in (-1, 1):
            _floppy_ear(canvas, ear_coat, side, wide)
    _bands(canvas, coat, [(x, -0.6, x * 0.8, -0.3) for x in (-0.2, 0, 0.2)])
    if rng.random() < 0.25:
        face.fill(blob(rng, 0, -0.3, 0.12, 0.5), Paint(coat.pale), soft=0.05)  # blaze
    iris = jitter(rng, choose(rng, DOG_EYES), 8)
    for side in (-1, 1):
        eye = face.place(side * 0.27, -0.17)
        eye.fill(ellipse(0, 0, 0.11, 0.09), (20, 16, 14))
        eye.fill(ellipse(0, 0, 0.08, 0.075), iris)
        eye.fill(ellipse(0, 0, 0.045), (8, 8, 8))
        eye.fill(ellipse(-0.03, -0.03, 0.025), WHITE)
    _snout(face, coat)


def _pricked_ear(canvas: Canvas, coat: Coat, side: int) -> None:
    rng = canvas.rng
    tip = (side * rng.uniform(0.5, 0.7), -rng.uniform(1, 1.25))
    ear = np.array([(side * 0.15, -0.55), tip, (side * 0.62, -0.25)])
    _furry(canvas, smooth(*ear, *ear[1:2]), coat, 0.08)
    inner = ear.mean(axis=0) + 0.5 * (ear - ear.mean(axis=0))
    canvas.fill(inner, Paint(jitter(rng, (150, 110, 100)), 0.08), soft=0.05, opacity=0.7)


def _floppy_ear(canvas: Canvas, coat: Coat, side: int, wide: float) -> None:
    rng = canvas.rng
    long, out = rng.uniform(0.1, 0.7), rng.uniform(0.1, 0.3)
    far = wide + out
    ear = smooth((wide * 0.55, -0.68), (far, -0.55), (far + 0.05, long), (wide - 0.05, long - 0.1))
    _furry(canvas, ear * (side, 1), coat)


def _snout(face: Canvas, coat: Coat) -> None:
    """Draw what stands out of a dog's face: muzzle, nose, mouth and perhaps the tongue."""
    rng = face.rng
    pale = rng.random() < 0.55
    muzzle = Paint(coat.pale if pale else coat.fur.colour, 0.06, 0.05, light=0.3)
    if rng.random() < 0.45:
        tongue = smooth((-0.13, 0.5), (0.13, 0.5), (0.12, rng.uniform(0.75, 1)), (-0.12, 0.85))
        face.fill(tongue, Paint(jitter(rng, TONGUE), 0.05))
        face.stroke(np.array([[0, 0.55], [0, 0.75]]), 0.02, (170, 70, 80))
    outline = blob(rng, 0, 0.33, rng.uniform(0.28, 0.38), rng.uniform(0.3, 0.38), 0.04)
    face.fill(outline, muzzle, soft=0.03)
    face.hair(outline, coat.dark, 0.06, 0.25)
    face.fill(ellipse(0, 0.18, 0.16, 0.115), (30, 26, 26))
    face.fill(ellipse(-0.05, 0.14, 0.04, 0.025), (150, 146, 146), soft=0.01)
    face.stroke(np.array([[0, 0.28], [0, 0.45]]), 0.025, (40, 28, 28))
    mouth = [ellipse(side * 0.13, 0.43, 0.13, 0.1, 0, 180) for side in (-1, 1)]
    face.stroke(mouth, 0.025, (40, 28, 28))


HEADS = (_cat_head, _dog_head)
POSES = (_close_up, _sitting, _lying, _standing)
POSE_WEIGHTS = (0.5, 0.22, 0.16, 0.12)

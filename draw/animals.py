"""Cats and dogs, as the pets sample and the CIFAR-10 sample show them."""

from dataclasses import dataclass

import numpy as np

from draw.drawing import (
    Array,
    Canvas,
    Colour,
    Paint,
    blob,
    ellipse,
    jitter,
    pick,
    shade,
    smooth,
)

BLACK, WHITE, PINK, TONGUE = (28, 25, 24), (236, 232, 225), (214, 150, 145), (214, 96, 104)
COATS = (BLACK, (92, 88, 86), (150, 146, 142), WHITE, (203, 140, 78), (128, 88, 58),
         (222, 190, 146))  # fmt: skip
PATCHES = (WHITE, WHITE, BLACK, (140, 96, 60))
CAT_EYES = ((176, 186, 78), (206, 164, 54), (120, 168, 96), (118, 168, 204))
DOG_EYES = ((74, 46, 28), (52, 34, 24), (110, 72, 36), (120, 150, 180))


@dataclass(frozen=True)
class Coat:
    """The fur of one animal."""

    fur: Paint
    dark: Colour
    pale: Colour
    stripes: bool


def draw_animal(canvas: Canvas, label: int) -> None:
    """Draw a cat (0) or a dog (1) about as large as the canvas, in one of several poses."""
    rng = canvas.rng
    coat = _coat(rng, striped=(0.45, 0.12)[label])
    pose = rng.choice(len(POSES), p=POSE_WEIGHTS)
    head = POSES[pose](canvas, coat, label)
    HEADS[label](head.place(scale=rng.uniform(0.9, 1.1), angle=rng.normal(0, 10)), coat)


def _coat(rng: np.random.Generator, striped: float) -> Coat:
    colour = pick(rng, COATS, 14)
    other = pick(rng, PATCHES, 8) if rng.random() < 0.35 else None
    pitch = rng.uniform(0.06, 0.22)
    fur = Paint(colour, 0.07, pitch, other, rng.uniform(0.15, 0.5), light=rng.uniform(0, 0.35))
    return Coat(fur, shade(colour, 0.55), shade(colour, 0.45, 232), rng.random() < striped)


def _furry(canvas: Canvas, outline: Array, coat: Coat, length: float = 0.12) -> None:
    canvas.fill(outline, coat.fur, soft=0.015)
    canvas.hair(outline, coat.dark, length, 0.35)
    canvas.hair(outline, coat.pale, length, 0.3)


def _close_up(canvas: Canvas, coat: Coat, label: int) -> Canvas:
    _furry(canvas, blob(canvas.rng, 0, 1.2, 0.75, 0.8), coat, 0.15)
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
        paw = smooth((x, 0.45), (x + 0.3, 0.5), (x + 0.2, 0.82), (x - 0.15, 0.8))
        _furry(canvas, paw, coat, 0.06)
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
        _pointed_ear(canvas, coat, ear, 0.55, PINK, soft=0.04, opacity=0.8)
    _furry(canvas, blob(rng, 0, 0, wide, high, 0.03), coat)
    _bands(canvas, coat, [(x, -0.58, x * 0.8, -0.3) for x in (-0.2, 0, 0.2)])
    _bands(canvas, coat, [(s * 0.45, y, s * 0.72, y + 0.05) for s in (-1, 1) for y in (0.1, 0.25)])
    face = canvas.place(yaw, rng.normal(0, 0.04))
    iris, pupil = pick(rng, CAT_EYES), rng.uniform(0.03, 0.1)
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
    ear_coat = coat
    if rng.random() >= 0.5:
        ear_coat = Coat(Paint(coat.dark, 0.07), coat.dark, coat.fur.colour, stripes=False)
    if pricked:
        for side in (-1, 1):
            tip = (side * rng.uniform(0.5, 0.7), -rng.uniform(1, 1.25))
            ear = np.array([(side * 0.15, -0.55), tip, (side * 0.62, -0.25)])
            _pointed_ear(canvas, ear_coat, ear, 0.5, (150, 110, 100), soft=0.05, opacity=0.7)
    _furry(canvas, blob(rng, 0, 0, wide, high, 0.04), coat)
    if not pricked:
        for side in (-1, 1):
            _floppy_ear(canvas, ear_coat, side, wide)
    _bands(canvas, coat, [(x, -0.6, x * 0.8, -0.3) for x in (-0.2, 0, 0.2)])
    if rng.random() < 0.25:
        face.fill(blob(rng, 0, -0.3, 0.12, 0.5), Paint(coat.pale), soft=0.05)  # blaze
    iris = pick(rng, DOG_EYES, 8)
    for side in (-1, 1):
        eye = face.place(side * 0.27, -0.17)
        eye.fill(ellipse(0, 0, 0.11, 0.09), (20, 16, 14))
        eye.fill(ellipse(0, 0, 0.08, 0.075), iris)
        eye.fill(ellipse(0, 0, 0.045), (8, 8, 8))
        eye.fill(ellipse(-0.03, -0.03, 0.025), WHITE)
    _snout(face, coat)


def _pointed_ear(
    canvas: Canvas, coat: Coat, ear: Array, share: float, skin: Colour, soft: float, opacity: float
) -> None:
    """Draw a triangle with bare skin inside it, smaller by that share."""
    _furry(canvas, smooth(*ear, *ear[1:2]), coat, 0.08)
    inner = ear.mean(axis=0) + share * (ear - ear.mean(axis=0))
    canvas.fill(inner, Paint(jitter(canvas.rng, skin), 0.08), soft=soft, opacity=opacity)


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

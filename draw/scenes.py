"""What the pictures of the CIFAR-10 sample show: ten subjects in their surroundings."""

from functools import partial

import numpy as np

from draw.animals import draw_animal
from draw.drawing import (
    EVERYWHERE,
    Canvas,
    Colour,
    Paint,
    blob,
    box,
    ellipse,
    jitter,
    pick,
    shade,
    smooth,
)

GLASS, RUBBER, STEEL = (70, 90, 106), (28, 28, 30), (168, 172, 178)
PAINTS = ((190, 40, 36), (36, 70, 150), (226, 224, 220), (40, 42, 46), (150, 154, 160),
          (212, 172, 50), (46, 110, 70), (110, 30, 40))  # fmt: skip
SKY, SEA, GRASS = (142, 182, 222), (58, 100, 132), (108, 142, 70)
HIDES = ((134, 86, 50), (92, 58, 38), (164, 116, 72), (60, 44, 38), (196, 168, 130))
FROGS = ((96, 138, 54), (122, 116, 60), (132, 92, 54), (70, 104, 60), (170, 120, 50))
FEATHERS = ((112, 84, 62), (60, 62, 70), (190, 186, 178), (176, 76, 50), (66, 104, 150),
            (190, 160, 60))  # fmt: skip


def _sky(canvas: Canvas) -> None:
    rng = canvas.rng
    cloud = (232, 234, 238) if rng.random() < 0.6 else None
    colour = pick(rng, (SKY, (96, 140, 206), (196, 204, 212), (212, 180, 160)), 18)
    canvas.fill(EVERYWHERE, Paint(colour, 0.03, 0.5, cloud, rng.uniform(0.1, 0.6)))


def _ground(canvas: Canvas, horizon: float, paint: Paint) -> None:
    """Draw something flat below a horizon that is not quite level."""
    ground = canvas.place(0, horizon, angle=canvas.rng.normal(0, 2))
    ground.fill(box(-4, 0, 4, 4), paint, soft=0.02)


def _sea(canvas: Canvas) -> None:
    rng = canvas.rng
    _sky(canvas)
    colour = pick(rng, (SEA, (90, 130, 140), (120, 140, 156), (40, 70, 100)), 14)
    _ground(canvas, rng.uniform(-0.4, 0.5), Paint(colour, 0.14, 0.06))


def _meadow(canvas: Canvas) -> None:
    rng = canvas.rng
    _sky(canvas)
    if rng.random() < 0.6:  # woods at the far end
        colour = jitter(rng, (64, 82, 50), 14)
        _ground(canvas, rng.uniform(-0.8, -0.1), Paint(colour, 0.25, 0.1))
    colour = pick(rng, (GRASS, (150, 146, 84), (140, 116, 78)), 16)
    _ground(canvas, rng.uniform(-0.2, 0.6), Paint(colour, 0.14, 0.05))


def _woods(canvas: Canvas) -> None:
    rng = canvas.rng
    colour = pick(rng, ((62, 84, 46), (96, 90, 58), (120, 130, 80)), 16)
    canvas.fill(EVERYWHERE, Paint(colour, 0.25, 0.12, shade(colour, 1.4), 0.35))
    for x in rng.uniform(-1, 1, rng.integers(0, 5)):
        canvas.fill(box(x - 0.06, -2, x + 0.06, rng.uniform(0.3, 1.2)), jitter(rng, (74, 58, 44)))


def _road(canvas: Canvas) -> None:
    rng = canvas.rng
    (_sky, _meadow, _woods, _wall)[rng.integers(4)](canvas)
    _ground(canvas, rng.uniform(0, 0.6), Paint(jitter(rng, (124, 122, 120), 20), 0.06, 0.05))


def _wall(canvas: Canvas) -> None:
    """Draw a plain backdrop or the side of a house."""
    rng = canvas.rng
    colour = pick(rng, ((228, 226, 222), (150, 140, 130), (180, 160, 140), (96, 92, 96)))
    canvas.fill(EVERYWHERE, Paint(colour, 0.04, 0.3))
    if rng.random() < 0.4:
        for x in np.arange(-1.2, 1.2, 0.6):
            canvas.fill(box(x, -0.9, x + 0.3, -0.3), jitter(rng, GLASS))
    _ground(canvas, rng.uniform(0.3, 0.9), Paint(shade(colour, 0.8), 0.06, 0.1))


def _leaves(canvas: Canvas) -> None:
    rng = canvas.rng
    colour = pick(rng, (GRASS, (92, 76, 54), (60, 70, 58), (150, 140, 124)), 16)
    canvas.fill(EVERYWHERE, Paint(colour, 0.2, 0.08, shade(colour, 0.7)))


def _airplane(at: Canvas) -> None:
    rng = at.rng
    colour = pick(rng, ((226, 228, 230), (150, 156, 164), (86, 94, 90), (190, 60, 50)))
    body, wing = Paint(colour, light=0.4), Paint(shade(colour, 0.72))
    thick = rng.uniform(0.09, 0.15)
    if rng.random() < 0.3:  # seen from above or below
        at = at.place(angle=rng.uniform(-60, 60))
        sweep, span = rng.uniform(0, 0.5), rng.uniform(0.6, 0.9)
        for side in (-1, 1):
            at.fill([(-0.15, 0), (0.2, 0), (sweep, side * span), (sweep - 0.14, side * span)], wing)
            at.fill([(0.6, 0), (0.78, 0), (0.85, side * 0.3), (0.75, side * 0.3)], wing)
        at.fill(ellipse(0, 0, 0.85, thick), body)
        return
    at = at.place(angle=rng.normal(0, 12))
    at.fill([(0.55, -0.05), (0.85, -0.05), (0.95, -0.5), (0.78, -0.5)], wing)
    at.fill([(-0.1, 0), (0.15, 0), (0.5, -0.38), (0.38, -0.38)], wing)
    at.fill(smooth((-0.95, 0.02), (-0.75, -thick), (0.9, -thick * 0.8), (0.98, -0.03), (0.3, thick),
                   (-0.75, thick)), body)  # fmt: skip
    at.fill([(-0.2, 0.05), (0.15, 0.05), (0.55, 0.42), (0.4, 0.42)], wing)
    at.fill(ellipse(0.02, 0.2, 0.13, 0.06), STEEL)
    at.stroke(np.array([[-0.7, -0.03], [0.7, -0.03]]), 0.04, GLASS, 0.7)


def _wheels(at: Canvas, places: tuple[float, ...], y: float, size: float) -> None:
    for x in places:
        at.fill(ellipse(x, y, size), RUBBER)
        at.fill(ellipse(x, y, size * 0.5), STEEL)


def _shadow(at: Canvas, y: float) -> None:
    at.fill(ellipse(0, y, 1, 0.08), (16, 16, 18), soft=0.06, opacity=0.6)


def _automobile(at: Canvas) -> None:
    rng = at.rng
    colour = Paint(pick(rng, PAINTS), light=0.4)
    if rng.random() < 0.35:
        _front(at, colour, roof=rng.uniform(-0.5, -0.4))
        return
    _shadow(at, 0.5)
    roof, front = rng.uniform(-0.48, -0.3), rng.uniform(-0.55, -0.3)
    back = rng.uniform(0.3, 0.8)
    cabin = smooth((front - 0.2, 0), (front + 0.1, roof), (back - 0.2, roof), (back + 0.15, 0))
    at.fill(cabin, colour)
    at.fill(smooth((front - 0.05, -0.02), (front + 0.16, roof + 0.08), (back - 0.25, roof + 0.08),
                   (back, -0.02)), jitter(rng, GLASS))  # fmt: skip
    at.stroke(np.array([[0.08, roof], [0.08, 0]]), 0.05, colour)
    at.fill(smooth((-0.98, 0.05), (-0.5, -0.08), (0.85, -0.08), (0.98, 0.1), (0.95, 0.42),
                   (-0.98, 0.42)), colour)  # fmt: skip
    at.fill(ellipse(-0.9, 0.12, 0.06), (240, 232, 200))
    _wheels(at, (-0.58, 0.58), 0.4, rng.uniform(0.17, 0.22))


def _front(at: Canvas, colour: Paint, roof: float) -> None:
    """Draw a car or, with a high roof, a truck that comes towards you."""
    _shadow(at, 0.58)
    for side in (-1, 1):
        at.fill(box(side * 0.5 - 0.12, 0.3, side * 0.5 + 0.12, 0.62), RUBBER)
    at.fill(smooth((-0.55, 0), (-0.45, roof), (0.45, roof), (0.55, 0)), colour)
    screen = smooth((-0.46, 0), (-0.38, roof * 0.85), (0.38, roof * 0.85), (0.46, 0))
    at.fill(screen, jitter(at.rng, GLASS))
    at.fill(smooth((-0.68, 0.5), (-0.66, -0.08), (0.66, -0.08), (0.68, 0.5)), colour)
    at.fill(box(-0.3, 0.15, 0.3, 0.3), (50, 50, 54))
    for side in (-1, 1):
        at.fill(ellipse(side * 0.48, 0.17, 0.09), (244, 238, 214))


def _truck(at: Canvas) -> None:
    rng = at.rng
    colour = Paint(pick(rng, PAINTS), light=0.3)
    if rng.random() < 0.2:
        _front(at, colour, roof=rng.uniform(-0.95, -0.75))
        return
    _shadow(at, 0.6)
    load = Paint(pick(rng, (*PAINTS, (230, 230, 228), (140, 110, 80))), light=0.25)
    top = rng.choice([rng.uniform(-0.7, -0.5), rng.uniform(-0.1, 0.1)], p=[0.75, 0.25])
    at.fill(box(-0.3, top, 1, 0.38), load)
    cab = rng.uniform(-0.5, -0.2)
    at.fill(smooth((-0.98, 0.5), (-0.95, 0), (-0.75, cab), (-0.34, cab), (-0.34, 0.5)), colour)
    window = smooth((-0.9, 0), (-0.72, cab + 0.07), (-0.5, cab + 0.07), (-0.5, 0.02))
    at.fill(window, jitter(rng, GLASS))
    at.fill(box(-0.9, 0.36, 1, 0.46), (40, 40, 44))
    _wheels(at, (-0.66, 0.45, 0.78)[: rng.integers(2, 4)], 0.5, rng.uniform(0.15, 0.19))


def _ship(at: Canvas) -> None:
    rng = at.rng
    hull = Paint(pick(rng, PAINTS), light=0.2)
    deck = rng.uniform(0.05, 0.2)
    if rng.random() < 0.35:  # under sail
        at.stroke(np.array([[0, deck], [0, -0.95]]), 0.04, (90, 70, 50))
        sail = Paint(pick(rng, ((238, 236, 230), (238, 236, 230), (200, 90, 60))), light=0.2)
        at.fill([(0.05, -0.9), (0.05, deck - 0.08), (rng.uniform(0.4, 0.7), deck - 0.08)], sail)
        at.fill([(-0.05, -0.75), (-0.05, deck - 0.08), (-0.5, deck - 0.08)], sail)
    else:
        for level in range(rng.integers(1, 4)):
            left, right = -0.3 + 0.1 * level, rng.uniform(0.3, 0.7)
            house = box(left, deck - 0.17 * (level + 1), right, deck - 0.17 * level)
            at.fill(house, jitter(rng, (232, 230, 226), 8))
            y = deck - 0.17 * level - 0.1
            at.stroke(np.array([[left + 0.05, y], [right - 0.05, y]]), 0.05, GLASS)
        funnel = rng.uniform(0, 0.3)
        at.fill(box(funnel, -0.55, funnel + 0.16, deck - 0.1), pick(rng, PAINTS))
    at.fill([(-1, deck), (1, deck), (0.8, 0.4), (-0.75, 0.4)], hull)
    at.stroke(np.array([[-0.9, 0.42], [0.95, 0.42]]), 0.06, (214, 222, 226), 0.7)


def _bird(at: Canvas) -> None:
    rng = at.rng
    colour = pick(rng, FEATHERS)
    body, dark = Paint(colour, 0.08, light=0.3), Paint(shade(colour, 0.65), 0.08)
    pale = Paint(shade(colour, 0.4, 226), 0.06)
    if rng.random() < 0.3:  # in flight
        for side in (-1, 1):
            bend = (side * 0.5, -rng.uniform(0.1, 0.6))
            at.fill(smooth((-0.15, 0), bend, (side, -0.2), (0.15, 0.1)), dark)
        at.fill(ellipse(0, 0.02, 0.3, 0.13), body)
    else:
        at.fill(smooth((0.3, 0.15), (0.9, 0.35), (0.95, 0.5), (0.3, 0.4)), dark)  # tail
        for x in (-0.08, 0.08):
            at.stroke(np.array([[x, 0.4], [x + 0.03, 0.85]]), 0.04, (120, 90, 60))
        at.fill(blob(rng, 0, 0.15, 0.45, rng.uniform(0.3, 0.38)), body)
        at.fill(blob(rng, -0.12, 0.26, 0.26, 0.22), pale, soft=0.05)
        at.fill(smooth((-0.1, 0), (0.35, 0.05), (0.5, 0.35), (0, 0.3)), dark)  # wing
    head = at.place(-0.36, rng.uniform(-0.5, -0.15))
    at.stroke(np.array([[-0.2, 0.05], [-0.36, -0.2]]), 0.2, body)
    head.fill(ellipse(0, 0, 0.2), body)
    head.fill([(-0.14, -0.08), (-0.46, 0.04), (-0.14, 0.1)], jitter(rng, (214, 150, 50), 20))
    head.fill(ellipse(-0.07, -0.04, 0.045), (12, 12, 12))


def _frog(at: Canvas) -> None:
    rng = at.rng
    colour = pick(rng, FROGS)
    skin = Paint(colour, 0.1, 0.06, shade(colour, 0.6), rng.uniform(0.05, 0.4), 0.4)
    pale = Paint(shade(colour, 0.5, 220))
    at.fill(ellipse(0, 0.5, 0.85, 0.14), (16, 18, 14), soft=0.08, opacity=0.5)
    for side in (-1, 1):
        at.fill(blob(rng, side * 0.55, 0.28, 0.34, 0.24), skin)  # thigh
        at.stroke(np.array([[side * 0.3, 0.3], [side * 0.42, 0.58], [side * 0.6, 0.6]]), 0.1, skin)
    at.fill(blob(rng, 0, 0.12, 0.56, 0.42), skin)
    at.fill(blob(rng, 0, 0.3, 0.38, 0.22), pale, soft=0.05, opacity=rng.uniform(0, 0.9))
    face = at.place(rng.normal(0, 0.15), rng.uniform(-0.3, -0.1))
    face.fill(ellipse(0, 0, 0.46, 0.26), skin)
    for side in (-1, 1):
        face.fill(ellipse(side * 0.28, -0.2, 0.15), skin)
        face.fill(ellipse(side * 0.29, -0.2, 0.1), jitter(rng, (206, 176, 70)))
        face.fill(ellipse(side * 0.3, -0.2, 0.06), (10, 10, 10))
    face.stroke(ellipse(0, -0.02, 0.36, 0.16, 10, 170), 0.03, shade(colour, 0.4))


def _four_legs(at: Canvas, hide: Paint, dark: Colour, slim: float) -> Canvas:
    """Draw a grazing animal without its head; return where the head belongs."""
    rng = at.rng
    for x in (-0.42, -0.28, 0.42, 0.56):
        foot = x + rng.normal(0, 0.08)
        at.stroke(np.array([[x, 0.1], [foot, 0.55], [foot, 0.9]]), 0.13 * slim, hide)
        at.stroke(np.array([[foot, 0.84], [foot, 0.92]]), 0.13 * slim, dark)
    back = rng.uniform(-0.22, -0.12)
    at.fill(smooth((-0.6, back), (0, back + 0.04), (0.65, back), (0.72, 0.25 * slim),
                   (0, 0.3 * slim), (-0.6, 0.3 * slim)), hide)  # fmt: skip
    grazing = rng.random() < 0.15
    x, y = (-0.95, 0.5) if grazing else (-0.78 + rng.normal(0, 0.06), rng.uniform(-0.75, -0.55))
    at.fill([(-0.62, back), (-0.3, back), (-0.5, 0.2), (x - 0.02, y + 0.1), (x + 0.12, y)], hide)
    return at.place(x, y, 1, rng.normal(-35 if grazing else 0, 8))


def _muzzle(head: Canvas, hide: Paint, dark: Colour) -> None:
    outline = smooth((0.18, -0.12), (0.16, 0.1), (-0.26, 0.26), (-0.32, 0.12), (-0.05, -0.12))
    head.fill(outline, hide)
    head.fill(ellipse(-0.26, 0.18, 0.06), dark)
    head.fill(ellipse(0, -0.01, 0.035), (12, 12, 12))


def _deer(at: Canvas) -> None:
    rng = at.rng
    colour = pick(rng, HIDES[:3])
    dark = shade(colour, 0.5)
    spots = (224, 206, 180) if rng.random() < 0.25 else None
    hide = Paint(colour, 0.08, 0.05, spots, 0.1, light=0.3)
    at.fill(ellipse(0.7, -0.05, 0.1), (236, 228, 214))  # tail
    head = _four_legs(at, hide, dark, rng.uniform(0.6, 0.85))
    for side in (-1, 1):
        head.fill(ellipse(0.1 + 0.14 * side, -0.16, 0.12, 0.055), hide)
    if rng.random() < 0.6:
        for x in (0, 0.16):
            reach = rng.uniform(0.3, 0.5)
            beam = smooth((x, -0.1), (x + 0.2, -0.3), (x + 0.1, -0.15 - reach), closed=False)
            head.stroke(beam, 0.045, (150, 124, 92))
            head.stroke(np.array([[x + 0.13, -0.28], [x - 0.08, -0.4]]), 0.04, (150, 124, 92))
    _muzzle(head, hide, dark)


def _horse(at: Canvas) -> None:
    rng = at.rng
    colour = pick(rng, (*HIDES, (226, 222, 216), (120, 116, 114)))
    dark = shade(colour, 0.4)
    spots = (234, 230, 222) if rng.random() < 0.15 else None
    hide = Paint(colour, 0.06, 0.06, spots, 0.35, light=0.4)
    hair = Paint(pick(rng, (dark, (40, 32, 28), (214, 190, 150))), 0.15)
    at.fill(smooth((0.62, -0.2), (0.82, -0.1), (0.9, 0.5), (0.74, 0.45)), hair)  # tail
    head = _four_legs(at, hide, dark, rng.uniform(0.95, 1.2))
    head.fill(smooth((0.05, -0.2), (0.25, -0.1), (0.5, 0.5), (0.3, 0.45)), hair)  # mane
    head.fill([(0.05, -0.12), (0.1, -0.28), (0.17, -0.12)], hide)
    _muzzle(head, hide, dark)


_cat, _dog = partial(draw_animal, label=0), partial(draw_animal, label=1)
# What each class is, and how often it is seen in which surroundings.
SUBJECTS = (
    _airplane, _automobile, _bird, _cat, _deer, _dog, _frog, _horse, _ship, _truck,
)  # fmt: skip
HOME = ((_wall, 3), (_leaves, 2), (_meadow, 2), (_woods, 1))
SCENES = (
    ((_sky, 5), (_road, 3), (_sea, 2), (_wall, 1)),
    ((_road, 6), (_wall, 2), (_meadow, 2), (_sea, 1)),
    ((_sky, 3), (_woods, 3), (_leaves, 2), (_sea, 3), (_meadow, 1)),
    HOME,
    ((_meadow, 4), (_woods, 4), (_leaves, 1), (_sky, 1)),
    HOME,
    ((_leaves, 4), (_wall, 2), (_woods, 2), (_sea, 1)),
    ((_meadow, 5), (_woods, 2), (_wall, 1), (_road, 1)),
    ((_sea, 7), (_sky, 2)),
    ((_road, 6), (_wall, 2), (_meadow, 2), (_sky, 1)),
)

"""What the pictures of the food sample show: laid tables with pizza, steak and sushi."""

from collections.abc import Callable

import numpy as np

from draw.drawing import (
    EVERYWHERE,
    Array,
    Canvas,
    Colour,
    Paint,
    blob,
    box,
    choose,
    ellipse,
    jitter,
    pick,
    shade,
    smooth,
)

TABLES = (
    Paint((150, 104, 66), 0.10, 0.25),  # wood
    Paint((92, 62, 44), 0.12, 0.25),  # dark wood
    Paint((222, 216, 206), 0.03, 0.40),  # white cloth
    Paint((60, 58, 60), 0.10, 0.03),  # slate
    Paint((168, 160, 152), 0.14, 0.03, (120, 112, 106)),  # granite
    Paint((146, 46, 44), 0.05, 0.05),  # red cloth
    Paint((96, 112, 132), 0.05, 0.30),  # blue cloth
)
PLATES = ((238, 236, 230), (226, 220, 206), (50, 50, 54), (150, 170, 186), (176, 128, 80))
BROWN, CHAR, FAT, PINK_MEAT = (122, 74, 48), (46, 28, 22), (226, 200, 158), (196, 92, 84)
SAUCE, CHEESE, CRUST, BURNT = (178, 58, 30), (236, 200, 122), (206, 152, 86), (96, 56, 32)
RICE, NORI = (238, 234, 222), (30, 38, 34)
FISH = ((236, 128, 78), (200, 62, 66), (238, 190, 170), (240, 236, 226), (226, 160, 70))
CORES = (*FISH, (120, 164, 74), (234, 206, 92), (90, 60, 40))
GREENS = ((70, 112, 44), (98, 142, 58), (52, 88, 40), (140, 170, 86))


def lay(table: Canvas) -> None:
    """Draw the table top and, at its far end, things that belong to no dish."""
    rng = table.rng
    top = choose(rng, TABLES)
    table.fill(EVERYWHERE, top.varied(rng))
    pattern = table.place(angle=rng.uniform(0, 180))
    if rng.random() < 0.4:  # planks or checks
        lines = [np.array([[x, -6], [x, 6]]) for x in np.arange(-5, 5, rng.uniform(0.25, 0.7))]
        dark = shade(top.colour, 0.7)
        pattern.stroke(lines, rng.uniform(0.02, 0.15), dark, 0.6)
        if rng.random() < 0.4:
            pattern.place(angle=90).stroke(lines, 0.1, dark, 0.6)
    for _ in range(rng.integers(0, 4)):
        angle = rng.uniform(0, 2 * np.pi)
        place = 1.35 * np.array([np.cos(angle), np.sin(angle)])
        choose(rng, (_glass, _glass, _small_bowl, _cutlery))(table.place(*place))


def _glass(at: Canvas) -> None:
    colour = choose(at.rng, ((196, 204, 208), (120, 60, 40), (206, 170, 90), (90, 110, 90)))
    at.fill(ellipse(0.05, 0.05, 0.3), (30, 25, 22), soft=0.08, opacity=0.4)
    at.fill(ellipse(0, 0, 0.27), (214, 218, 220), opacity=0.8)
    at.fill(ellipse(0, 0, 0.23), Paint(jitter(at.rng, colour), light=0.4))


def _small_bowl(at: Canvas) -> None:
    rng = at.rng
    at.fill(ellipse(0.04, 0.04, 0.36), (30, 25, 22), soft=0.08, opacity=0.4)
    at.fill(ellipse(0, 0, 0.34), pick(rng, PLATES))
    inside = pick(rng, ((60, 30, 20), (190, 60, 40), (236, 226, 200), (90, 130, 60)))
    at.fill(ellipse(0, 0, 0.27), Paint(inside, 0.06, light=-0.3))


def _cutlery(at: Canvas) -> None:
    at = at.place(angle=at.rng.uniform(0, 180))
    line = np.array([[-0.6, 0], [0.6, 0]])
    at.stroke(line + 0.03, 0.07, (30, 25, 22), 0.4)
    at.stroke(line, 0.06, Paint((190, 190, 192), light=0.4))


def _plate(at: Canvas, round_share: float = 0.7) -> None:
    """Draw a plate, a board or nothing at all."""
    rng = at.rng
    if rng.random() < 0.15:
        return
    colour = pick(rng, PLATES, 8)
    if rng.random() < round_share:
        outlines = [ellipse(0, 0, size) for size in (1.12, 0.84, 0.8)]
    else:
        wide, high = rng.uniform(1, 1.4), rng.uniform(0.7, 0.95)
        outlines = [box(-wide * s, -high * s, wide * s, high * s) for s in (1, 0.86, 0.84)]
    at.fill(outlines[0] + 0.06, (25, 20, 18), soft=0.1, opacity=0.5)
    at.fill(outlines[0], Paint(colour, 0.02, 0.3))
    at.fill(outlines[1], shade(colour, 0.86), soft=0.02)
    at.fill(outlines[2], Paint(colour, 0.02, 0.3, light=0.1), soft=0.02)


def _slab(at: Canvas, outline: Array, top: Paint, side: Paint, height: float) -> None:
    """Fill an outline that stands out of the table by some height, with its shadow."""
    below = at.below(height)
    at.fill(outline + 1.4 * below, (20, 15, 12), soft=0.04, opacity=0.55)
    for part in (1, 0.66, 0.33):
        at.fill(outline + part * below, side)
    at.fill(outline, top)


def _salad(at: Canvas) -> None:
    rng = at.rng
    for _ in range(rng.integers(5, 12)):
        leaf = blob(rng, *rng.normal(0, 0.16, 2), 0.13, 0.09, 0.3)
        at.fill(leaf, Paint(pick(rng, GREENS, 14), 0.12, 0.03, light=0.5))


def _fries(at: Canvas) -> None:
    rng = at.rng
    for _ in range(rng.integers(8, 16)):
        chip = at.place(*rng.normal(0, 0.15, 2), 1, rng.uniform(0, 180))
        colour = jitter(rng, (222, 172, 84), 12)
        _slab(chip, box(-0.22, -0.03, 0.22, 0.03), Paint(colour, 0.06), Paint((150, 98, 44)), 0.03)


def _tomatoes(at: Canvas) -> None:
    rng = at.rng
    for _ in range(rng.integers(2, 5)):
        x, y = rng.normal(0, 0.16, 2)
        at.fill(ellipse(x, y, 0.12), Paint(jitter(rng, (198, 52, 36)), light=0.6))
        at.fill(ellipse(x - 0.04, y - 0.04, 0.025), (246, 226, 216), soft=0.01)


def _mash(at: Canvas) -> None:
    colour = choose(at.rng, ((232, 214, 160), (240, 236, 228), (226, 176, 150)))
    _slab(at, blob(at.rng, 0, 0, 0.26, 0.2, 0.15), Paint(colour, 0.08, 0.05, light=0.3),
          Paint(shade(colour, 0.8)), 0.05)  # fmt: skip


def _pizza(at: Canvas) -> None:
    """Draw a whole pizza, one that lacks slices, or a single slice."""
    rng = at.rng
    _plate(at)
    kind = rng.choice(3, p=(0.6, 0.22, 0.18))
    start, end = 0, 360
    if kind == 1:
        start = rng.uniform(30, 110)
    elif kind == 2:
        end = rng.uniform(38, 62)
        at = at.place(-0.6, -0.25, 1.35)
    swing, phase = rng.normal(0, 0.012, 5), rng.uniform(0, 6, 5)
    angle = np.radians(np.linspace(start, end, 90, endpoint=kind != 0))
    radius = 0.92 + sum(swing[k] * np.cos((k + 2) * angle + phase[k]) for k in range(5))
    edge = np.column_stack([np.cos(angle), np.sin(angle)]) * radius[:, None]
    tip = np.zeros((int(kind != 0), 2))
    colour = jitter(rng, CRUST, 22)
    crust = Paint(colour, 0.10, 0.04, BURNT, rng.uniform(0.05, 0.25), light=0.2)
    _slab(at, np.vstack([edge, tip]), crust, Paint(shade(colour, 0.6)), 0.05)
    rim = rng.uniform(0.78, 0.9)
    at.fill(np.vstack([edge * (rim + 0.03), tip]), Paint(jitter(rng, SAUCE), 0.1), soft=0.015)
    cheese = Paint(jitter(rng, CHEESE, 20), 0.07, rng.uniform(0.04, 0.12), jitter(rng, SAUCE),
                   rng.uniform(0.1, 0.5))  # fmt: skip
    at.fill(np.vstack([edge * (rim - 0.02), tip]), cheese, soft=0.02)
    _toppings(at, start, end, rim)
    if rng.random() < 0.5:
        for cut in np.radians(np.arange(start, end, 45)):
            at.stroke(np.array([[0, 0], [np.cos(cut), np.sin(cut)]]) * 0.9, 0.02, (110, 62, 30))


def _toppings(at: Canvas, start: float, end: float, rim: float) -> None:
    rng = at.rng
    for _ in range(rng.integers(1, 4)):
        topping = choose(rng, TOPPINGS)
        count = int(rng.integers(8, 26) * (end - start) / 360) + 2
        for _ in range(count):
            angle = np.radians(rng.uniform(start + 5, end - 5))
            away = (rim - 0.12) * np.sqrt(rng.uniform(0.03, 1)) * 0.92
            topping(at.place(away * np.cos(angle), away * np.sin(angle), 1, rng.uniform(0, 360)))


def _salami(at: Canvas) -> None:
    rng = at.rng
    disc = blob(rng, 0, 0, 0.105, 0.1, 0.04)
    at.fill(disc, shade((170, 50, 34), 0.6))
    at.fill(disc * 0.88, Paint(jitter(rng, (176, 56, 40), 8), 0.08, 0.02, (208, 112, 76), 0.25))


def _olive(at: Canvas) -> None:
    colour = choose(at.rng, ((36, 30, 32), (92, 98, 44)))
    at.stroke(ellipse(0, 0, 0.04, 0.035, 0, 359), 0.03, colour)


def _leaf(at: Canvas) -> None:
    rng = at.rng
    leaf = smooth((-0.13, 0), (0, -0.07), (0.13, 0), (0, 0.07))
    at.fill(leaf, Paint(pick(rng, GREENS), 0.1, 0.02, light=0.4))
    at.stroke(np.array([[-0.1, 0], [0.1, 0]]), 0.012, (150, 176, 100))


def _mushroom(at: Canvas) -> None:
    cap = smooth((-0.1, 0), (-0.06, -0.09), (0.06, -0.09), (0.1, 0), (0.03, 0), (0.03, 0.09),
                 (-0.03, 0.09), (-0.03, 0))  # fmt: skip
    at.fill(cap * 1.2, (132, 100, 70))
    at.fill(cap, Paint(jitter(at.rng, (218, 196, 162)), 0.06))


def _pepper(at: Canvas) -> None:
    colour = pick(at.rng, ((90, 140, 50), (200, 50, 36), (232, 180, 50), (170, 70, 110)))
    at.stroke(ellipse(0, 0, 0.13, 0.09, 0, 170), 0.035, colour)


def _melted_cheese(at: Canvas) -> None:
    at.fill(blob(at.rng, 0, 0, 0.1, 0.09, 0.2), Paint((244, 228, 186), 0.04, light=0.2), soft=0.02)


def _steak(at: Canvas) -> None:
    """Draw a grilled steak, whole or in slices, with something beside it."""
    rng = at.rng
    _plate(at)
    for _ in range(rng.integers(1, 4)):
        angle = rng.uniform(0, 2 * np.pi)
        side = at.place(0.58 * np.cos(angle), 0.58 * np.sin(angle), rng.uniform(0.9, 1.5))
        choose(rng, SIDES)(side)
    if rng.random() < 0.4:
        pool = blob(rng, 0.1, 0.1, 0.75, 0.5, 0.15)
        at.fill(pool, Paint(jitter(rng, (92, 48, 28)), 0.1, light=0.3), soft=0.03, opacity=0.8)
    meat = at.place(*rng.normal(0, 0.08, 2), rng.uniform(0.95, 1.25), rng.uniform(-180, 180))
    (_whole_steak if rng.random() < 0.68 else _sliced_steak)(meat)


def _whole_steak(at: Canvas) -> None:
    rng = at.rng
    outline = blob(rng, 0, 0, rng.uniform(0.58, 0.72), rng.uniform(0.36, 0.5), 0.12)
    colour = jitter(rng, BROWN, 24)
    top = Paint(colour, 0.14, 0.04, shade(colour, 0.62), rng.uniform(0.2, 0.5), 0.3)
    _slab(at, outline, top, Paint(shade(colour, 0.62), 0.1), rng.uniform(0.07, 0.15))
    if rng.random() < 0.55:  # a rim of fat along one side
        first = rng.integers(0, 48)
        rim = np.roll(outline, first, axis=0)[: rng.integers(12, 24)] * 0.96
        at.stroke(rim, rng.uniform(0.05, 0.09), Paint(jitter(rng, FAT), 0.08, 0.03))
    if rng.random() < 0.7:
        _grill_marks(at, outline)
    if rng.random() < 0.3:
        butter = at.place(*rng.normal(0, 0.12, 2), 1, rng.uniform(0, 90))
        piece = box(-0.09, -0.07, 0.09, 0.07)
        _slab(butter, piece, Paint((246, 226, 140)), Paint((206, 180, 96)), 0.04)
    elif rng.random() < 0.5:
        for _ in range(rng.integers(3, 12)):
            _leaf(at.place(*rng.normal(0, 0.14, 2), rng.uniform(0.3, 0.9), rng.uniform(0, 360)))


def _grill_marks(at: Canvas, outline: Array) -> None:
    """Draw dark parallel lines that end inside the outline, sometimes crossed by others."""
    rng = at.rng
    opacity = rng.uniform(0.5, 0.9)
    step = rng.uniform(0.13, 0.22)
    for turn in (0, 70)[: rng.integers(1, 3)]:
        tilt = np.radians(rng.uniform(30, 60) + turn)
        along = np.array([np.cos(tilt), np.sin(tilt)])
        across = np.array([-np.sin(tilt), np.cos(tilt)])
        marks = []
        for offset in np.arange(-0.6, 0.6, step):
            near = outline[np.abs(outline @ across - offset) < 0.06] @ along
            if len(near) > 1 and np.ptp(near) > 0.2:
                ends = np.array([near.min() + 0.06, near.max() - 0.06])
                marks.append(ends[:, None] * along + offset * across)
        if marks:
            at.stroke(marks, rng.uniform(0.03, 0.05), CHAR, opacity)


def _sliced_steak(at: Canvas) -> None:
    rng = at.rng
    count = rng.integers(5, 9)
    colour, inside = jitter(rng, BROWN, 24), jitter(rng, PINK_MEAT, 16)
    for place in np.linspace(-0.48, 0.48, count):
        slice_at = at.place(place, rng.normal(0, 0.03), rng.uniform(1, 1.15), rng.normal(8, 4))
        high = rng.uniform(0.36, 0.44) * (1 - 0.6 * place**2)
        halves = ellipse(-0.05, 0, 0.09, high, 90, 270), ellipse(0.03, 0, 0.12, high, -90, 90)
        outline = np.vstack(halves)
        dark = Paint(shade(colour, 0.6), 0.1)
        _slab(slice_at, outline, Paint(colour, 0.12, 0.03), dark, 0.05)
        pink = Paint(inside, 0.07, 0.04, shade(inside, 0.85), light=0.2)
        slice_at.fill(outline * [0.7, 0.88], pink, soft=0.02)


def _sushi(at: Canvas) -> None:
    """Draw rows of rolls and of nigiri on a plate or a board, with wasabi and ginger."""
    rng = at.rng
    _plate(at, round_share=0.35)
    rows = rng.integers(1, 4)
    kinds = [choose(rng, PIECES) for _ in range(rows)]
    size = rng.uniform(0.8, 1.15) * (1.35, 1.1, 0.95)[rows - 1]
    for row, (draw_piece, pitch) in enumerate(kinds):
        y = (row - (rows - 1) / 2) * 0.46 * size
        core, count = choose(rng, CORES), rng.integers(3, 6)
        for column in range(count):
            x = (column - (count - 1) / 2) * pitch * size
            piece = at.place(x, y + rng.normal(0, 0.03), size, rng.normal(0, 5))
            draw_piece(piece, jitter(rng, core, 8))
    if rng.random() < 0.55:
        wasabi = blob(rng, rng.uniform(-0.8, 0.8), 0.72, 0.13, 0.1, 0.2)
        at.fill(wasabi, Paint(jitter(rng, (150, 180, 84)), 0.1, 0.03, light=0.4))
    if rng.random() < 0.45:
        for _ in range(5):
            slip = blob(rng, *rng.normal((0.6, -0.7), 0.08), 0.13, 0.07, 0.2)
            at.fill(slip, Paint(jitter(rng, (240, 196, 178), 8), 0.05, light=0.4))
    if rng.random() < 0.3:
        sticks = [np.array([[-1.4, 0.95 + gap], [1.4, 0.85]]) for gap in (0, 0.12)]
        at.stroke(sticks, 0.05, jitter(rng, (120, 70, 40), 20))


def _maki(at: Canvas, core: Colour) -> None:
    """Draw a roll in its sheet of seaweed, cut side up."""
    rng = at.rng
    outline = blob(rng, 0, 0, 0.17, 0.17, 0.03)
    _slab(at, outline, Paint(NORI, 0.2), Paint(NORI, 0.15, light=0.8), 0.13)
    at.fill(outline * 0.86, Paint(jitter(rng, RICE, 6), 0.10, 0.02))
    at.fill(blob(rng, *rng.normal(0, 0.012, 2), 0.07, 0.065, 0.15), Paint(core, 0.1, 0.03))
    if rng.random() < 0.5:
        at.fill(blob(rng, 0.03, 0.03, 0.035, 0.03), pick(rng, CORES))


def _inside_out(at: Canvas, core: Colour) -> None:
    """Draw a roll that has the rice outside, with sesame or roe on it."""
    rng = at.rng
    outline = blob(rng, 0, 0, 0.185, 0.18, 0.04)
    speck = choose(rng, ((226, 120, 50), (180, 150, 96), (60, 54, 48), RICE))
    rice = Paint(jitter(rng, RICE, 6), 0.09, 0.02, speck, 0.25)
    _slab(at, outline, rice, rice, 0.13)
    at.stroke(np.vstack([outline, outline[:1]]) * 0.58, 0.022, NORI)
    at.fill(outline * 0.5, Paint(core, 0.1, 0.03, choose(rng, CORES), 0.35))


def _nigiri(at: Canvas, core: Colour) -> None:
    """Draw a slice of fish on a pillow of rice."""
    rng = at.rng
    pillow = smooth((-0.14, -0.26), (0.14, -0.26), (0.14, 0.26), (-0.14, 0.26))
    rice = Paint(jitter(rng, RICE, 6), 0.09, 0.02)
    _slab(at, pillow * 1.05, rice, rice, 0.09)
    colour = core if rng.random() < 0.2 else pick(rng, FISH, 8)
    topping = smooth((-0.15, -0.3), (0.15, -0.3), (0.16, 0.29), (-0.15, 0.31))
    at.fill(topping, Paint(colour, 0.05, light=0.35), soft=0.01)
    stripes = [np.array([[-0.11, y], [0.11, y + 0.08]]) for y in np.arange(-0.22, 0.2, 0.075)]
    at.stroke(stripes, 0.014, (248, 226, 208), 0.7)
    if rng.random() < 0.2:
        at.fill(box(-0.16, -0.05, 0.16, 0.05), Paint(NORI, 0.1))


TOPPINGS: tuple[Callable[[Canvas], None], ...] = (
    _salami, _salami, _olive, _leaf, _mushroom, _pepper, _melted_cheese,
)  # fmt: skip
SIDES = (_salad, _fries, _tomatoes, _mash)
PIECES = ((_maki, 0.36), (_maki, 0.36), (_inside_out, 0.36), (_nigiri, 0.32))  # and how far apart
DISHES = (_pizza, _steak, _sushi)

"""The sample of the solar cells, in the layout of the package `elpv-dataset`.

Cells of one module share their kind, their brightness, their bars and how often they are broken,
and stand one after the other: so who splits them by chance meets them again, as in the real ones.
"""

import cv2
import numpy as np

from draw.drawing import Array, noise, ramp
from draw.packing import draw_jpegs

ARCHIVE = "solar_cells.zip"
MODULES, CELLS, SIDE = 12, 12, 150  # cells of a module; pixels, half of the real ones
KINDS = ("mono", "poly")
# how many of 12 cells are of the probabilities 0, 1/3, 2/3 and 1, from a sound module to a bad one
SHARES = ((10, 2, 0, 0), (9, 1, 1, 1), (3, 1, 1, 7), (1, 1, 2, 8))


def draw(module: int, doubt: int, rng: np.random.Generator, seed: int) -> Array:
    """Draw a cell, (150, 150, 3); of `doubt` 3 everybody sees the defect, of 0 there is none."""
    own = np.random.default_rng([seed, module])  # the same for each cell of a module
    level, edge, mono = own.uniform(110, 185), own.uniform(0, 0.15), KINDS[module % 2] == "mono"
    bars, dashes = own.integers(2, 4), own.uniform(4, 9) if mono and own.random() < 0.6 else 0
    shape = (SIDE, SIDE)
    light = 1 - edge * ramp(shape, own.uniform(0, 3)) + rng.normal(0, 0.03)
    light += 0.015 * noise(rng, shape, 1) + 0.02 * noise(own, shape, 40)
    if not mono:  # crystals, and dislocations that look like dirt
        light += 0.05 * noise(rng, shape, 24) - 0.2 * (noise(rng, shape, 6) - 1).clip(0)
    x = np.arange(SIDE)
    for bar in range(bars):
        y = round(SIDE * (bar + 0.5) / bars)
        there = 1 if not dashes else np.sin(x * dashes / 12) > -0.2
        light[y - 1 : y + 2] *= 1 - 0.5 * np.broadcast_to(there, SIDE)
    if doubt:
        light *= _broken(rng, doubt)
    if mono:  # cut from a round rod
        away = np.abs(np.indices(shape) - SIDE / 2).sum(axis=0)
        light[away > 0.86 * SIDE] *= 0.25
    light[[0, 1, -1, -2]] *= 0.4
    light[:, [0, 1, -1, -2]] *= 0.4
    pixels = np.rint(level * light).clip(0, 255).astype(np.uint8)
    return np.repeat(cv2.GaussianBlur(pixels, (3, 3), 0.6)[..., None], 3, axis=2)


def _broken(rng: np.random.Generator, doubt: int) -> Array:
    """Return by how much each place is darker: a short finger, a faint crack, cracks and shadow."""
    share = np.ones((SIDE, SIDE), np.float32)
    at = rng.uniform(0.25, 0.75, 2) * SIDE
    if doubt == 1:
        x, y, length = *at.astype(int), int(rng.integers(12, 30))
        share[y : y + length, x : x + 2] = 0.75
        return share
    angles = rng.uniform(0, np.pi) + np.cumsum(rng.uniform(0.8, 2.4, doubt))
    ends = [at + 1.2 * SIDE * np.array([np.cos(a), np.sin(a)]) for a in angles]
    if doubt == 3 and rng.random() < 0.2:  # what the cracks cut off is dark
        cv2.fillPoly(share, [np.rint([at, *ends[:2]]).astype(int)], rng.uniform(0.5, 0.8))
    for end in ends:
        steps = np.linspace(0, 1, 12)[:, None]
        line = at + (end - at) * steps + rng.normal(0, 2.5, (12, 2)) * steps
        grey = 0.92 if doubt == 2 else rng.uniform(0.7, 0.93)
        cv2.polylines(share, [np.rint(line).astype(int)], False, grey, 1, cv2.LINE_AA)
    return share


def files(seed: int = 0) -> dict[str, bytes]:
    """Return the contents of the archive by their names."""
    lines, jobs = [], {}
    for module in range(MODULES):
        doubts = np.repeat(np.arange(4), SHARES[module // 2 % len(SHARES)])
        for doubt in np.random.default_rng([seed, module]).permutation(doubts)[:CELLS]:
            name = f"images/cell{len(jobs) + 1:04}.jpg"
            lines.append(f"{name} {doubt / 3:.16f} {KINDS[module % 2]}\n")
            rng = np.random.default_rng([seed, module, len(jobs)])
            jobs[name] = (module, int(doubt), rng, seed)
    return {"labels.csv": "".join(lines).encode()} | draw_jpegs(draw, jobs)

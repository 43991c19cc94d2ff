"""What the drawn photographs share: a canvas, its paints and a camera."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

Array = np.ndarray
Points = Array | list[tuple[float, float]]  # x to the right and y down, shape (N, 2)
Colour = tuple[float, float, float]  # red, green, blue, 0 to 255

FINE = 4  # binary digits after the point that cv2 is given with each coordinate


@dataclass(frozen=True)
class Paint:
    """What an outline is filled with."""

    colour: Colour
    grain: float = 0.04  # how much its brightness varies, as a share
    pitch: float = 0.05  # the size of the grains, in drawing units
    other: Colour | None = None  # of blotches, if there are any
    share: float = 0.4  # part of the area that the blotches take, 0 to 1
    light: float = 0.0  # how much brighter the top left is than the bottom right, as a share

    def varied(self, rng: np.random.Generator) -> "Paint":
        """Return the same paint in a colour near its own."""
        return replace(self, colour=jitter(rng, self.colour))


Ink = Paint | Colour


class Canvas:
    """Pixels, red, green, blue, 0 to 255, (H, W, 3), float32, with coordinates of their own.

    At first, (0, 0) is the middle, the shorter side reaches from -1 to 1, and y points down. The
    frame is the homography from such units to pixels, (3, 3).
    """

    def __init__(self, pixels: Array, rng: np.random.Generator, frame: Array) -> None:
        self.pixels, self.rng, self.frame = pixels, rng, frame
        # The frame's derivative at (0, 0): how a small drawing there is turned and scaled.
        self.slope = frame[:2, :2] - np.outer(frame[:2, 2], frame[2, :2]) / frame[2, 2]
        self.slope /= frame[2, 2]
        self.unit = math.sqrt(abs(np.linalg.det(self.slope)))  # pixels

    @classmethod
    def blank(cls, height: int, width: int, rng: np.random.Generator) -> "Canvas":
        """Return an empty canvas of that many pixels."""
        half = min(height, width) / 2
        frame = np.array([[half, 0, width / 2], [0, half, height / 2], [0, 0, 1]])
        return cls(np.zeros((height, width, 3), np.float32), rng, frame)

    def place(
        self, x: float = 0, y: float = 0, scale: float = 1, angle: float = 0, flip: bool = False
    ) -> "Canvas":
        """Return the same pixels under coordinates that are moved, scaled and turned (degrees)."""
        across, down = scale * math.cos(math.radians(angle)), scale * math.sin(math.radians(angle))
        mirror = -1 if flip else 1
        step = np.array([[mirror * across, -down, x], [mirror * down, across, y], [0, 0, 1]])
        return Canvas(self.pixels, self.rng, self.frame @ step)

    def tilt(self, squash: float, depth: float) -> "Canvas":
        """Return the same pixels seen as a table top: squashed, and smaller towards the top."""
        step = np.array([[1, 0, 0], [0, squash, 0], [0, -depth, 1]])
        return Canvas(self.pixels, self.rng, self.frame @ step)

    def below(self, distance: float) -> Array:
        """Return the step that leads straight down in the picture, whichever way this is turned."""
        return np.linalg.solve(self.slope, (0, self.unit * distance))

    def fill(self, outline: Points, paint: Ink, soft: float = 0, opacity: float = 1) -> None:
        """Fill an outline, shape (N, 2); `soft` blurs its edge by that many drawing units."""
        self._print([np.asarray(outline)], paint, opacity, blur=soft * self.unit)

    def stroke(
        self, lines: Array | list[Array], width: float, paint: Ink, opacity: float = 1
    ) -> None:
        """Draw one line, shape (N, 2), or several."""
        lines = [lines] if isinstance(lines, np.ndarray) and lines.ndim == 2 else lines
        thick = width * self.unit
        # A line cannot be thinner than a pixel, but it can be fainter.
        self._print(lines, paint, opacity * min(thick, 1), thick=thick)

    def hair(self, outline: Array, colour: Colour, length: float, opacity: float = 0.5) -> None:
        """Draw short hairs all over an outline, pointing outwards and down."""
        middle = outline.mean(axis=0)
        dense = 30 + 3 * np.ptp(outline, axis=0).prod() / length**2
        count = int(min(dense, 3 * self.unit))  # more would not show
        spread = np.sqrt(self.rng.uniform(0, 0.9, (count, 1)))
        root = middle + spread * (self.rng.choice(outline, count) - middle)
        away = root - middle
        away /= np.linalg.norm(away, axis=1, keepdims=True) + 1e-6
        away += self.rng.normal((0, 0.4), 0.35, (count, 2))
        self.stroke(np.stack([root, root + length * away], axis=1), 0.012, colour, opacity)

    def _print(
        self, lines: Sequence[Array], paint: Ink, opacity: float, blur: float = 0, thick: float = 0
    ) -> None:
        """Fill the lines, or draw them where they are thick, on a small mask; let paint through."""
        points = self._to_pixels(np.concatenate(lines))
        reach = 4 + 2.4 * blur + thick
        height, width = self.pixels.shape[:2]
        left, top = np.maximum(np.floor(points.min(axis=0) - reach), 0).astype(int)
        right, bottom = np.minimum(np.ceil(points.max(axis=0) + reach), (width, height)).astype(int)
        if right <= left or bottom <= top:
            return  # out of the picture
        mask = np.zeros((bottom - top, right - left), np.uint8)
        at = np.rint((points - (left, top)) * 2**FINE).astype(np.int32)
        ends = np.cumsum([len(line) for line in lines])
        parts = [at[end - len(line) : end] for end, line in zip(ends, lines, strict=True)]
        if thick:
            cv2.polylines(mask, parts, False, 255, max(round(thick), 1), cv2.LINE_AA, FINE)
        else:
            cv2.fillPoly(mask, parts, 255, cv2.LINE_AA, FINE)
        if blur > 0.3:
            # Two boxes cost less than a Gaussian. A stack blur costs even less, but what OpenCV
            # makes of it depends on the number of threads.
            square = (2 * math.ceil(1.2 * blur) + 1,) * 2
            mask = cv2.blur(cv2.blur(mask, square), square)
        part = self.pixels[top:bottom, left:right]
        is_plain = not isinstance(paint, Paint)
        ink = np.float32(paint) if is_plain else self._mix(paint, part.shape[:2])
        part += (mask * np.float32(opacity / 255))[..., None] * (ink - part)

    def _to_pixels(self, points: Array) -> Array:
        points = np.column_stack([points, np.ones(len(points))]) @ self.frame.T
        # What lies behind the eye is pushed to the horizon, far outside the picture.
        return np.clip(points[:, :2] / np.maximum(points[:, 2:], 0.02), -3000, 3000)

    def _mix(self, paint: Paint, shape: tuple[int, int]) -> Array:
        """Return the paint's colour at each pixel of a part of the picture."""
        colour = np.float32(paint.colour)
        if min(shape) < 6:  # too small to show more
            return colour
        if paint.other:
            blotch = noise(self.rng, shape, paint.pitch * self.unit * 2)
            limit = np.quantile(blotch[::3, ::3], 1 - paint.share)
            blotch = np.clip(0.5 + 3 * (blotch - limit), 0, 1)[..., None]
            colour = colour + blotch * (np.float32(paint.other) - colour)
        bright = 1 + paint.grain * noise(self.rng, shape, paint.pitch * self.unit)
        if paint.light:
            bright += paint.light * (0.5 - ramp(shape, 0.9))
        return colour * bright[..., None]


def noise(rng: np.random.Generator, shape: tuple[int, int], pitch: float) -> Array:
    """Return noise of mean 0 and deviation near 1, with grains of `pitch` pixels, float32."""
    pitch = max(pitch, 1)
    coarse = (math.ceil(shape[0] / pitch) + 1, math.ceil(shape[1] / pitch) + 1)
    grains = rng.standard_normal(coarse, dtype=np.float32)
    return cv2.resize(grains, shape[::-1], interpolation=cv2.INTER_CUBIC)


def ramp(shape: tuple[int, int], angle: float) -> Array:
    """Return a slope from 0 to 1 that rises in the direction `angle` (radians), float32."""
    down = np.linspace(-0.5, 0.5, shape[0], dtype=np.float32)[:, None]
    across = np.linspace(-0.5, 0.5, shape[1], dtype=np.float32)
    slope = across * math.cos(angle) + down * math.sin(angle)
    return 0.5 + slope / (abs(math.cos(angle)) + abs(math.sin(angle)))


def ellipse(
    x: float, y: float, across: float, down: float | None = None, start: float = 0, end: float = 360
) -> Array:
    """Return points on an ellipse, or on its arc from `start` to `end` degrees, shape (48, 2)."""
    angle = np.radians(np.linspace(start, end, 48, endpoint=end - start < 360))
    return np.column_stack(
        [x + across * np.cos(angle), y + (across if down is None else down) * np.sin(angle)]
    )


def blob(
    rng: np.random.Generator, x: float, y: float, across: float, down: float, wobble: float = 0.06
) -> Array:
    """Return an ellipse that bulges here and there, shape (48, 2)."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    swing, phase = rng.normal(0, wobble, 4), rng.uniform(0, 2 * np.pi, 4)
    bulge = 1 + sum(swing[k] * np.cos((k + 2) * angle + phase[k]) / (k + 1) for k in range(4))
    around = np.column_stack([np.cos(angle), np.sin(angle)]) * bulge[:, None]
    return around * [across, down] + [x, y]


def box(left: float, top: float, right: float, bottom: float) -> Array:
    """Return the corners of a rectangle, shape (4, 2)."""
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)


def smooth(*points: tuple[float, float], closed: bool = True) -> Array:
    """Return a rounded outline or line through the neighbourhood of a few points (Chaikin)."""
    line = np.array(points, float)
    for _ in range(3):
        following = np.roll(line, -1, axis=0)
        cut = np.stack([0.75 * line + 0.25 * following, 0.25 * line + 0.75 * following], axis=1)
        line = cut.reshape(-1, 2) if closed else np.vstack([line[:1], *cut[:-1], line[-1:]])
    return line


EVERYWHERE = box(-9, -9, 9, 9)


def jitter(rng: np.random.Generator, colour: Colour, amount: float = 12) -> Colour:
    """Return a colour near another one."""
    change = rng.normal(0, amount) + rng.normal(0, amount / 2, 3)
    return tuple(np.clip(np.array(colour) + change, 4, 250))


def choose(rng: np.random.Generator, options: Sequence) -> Any:
    """Return one of the options, whatever they are."""
    return options[rng.integers(len(options))]


def pick(rng: np.random.Generator, colours: Sequence[Colour], amount: float = 12) -> Colour:
    """Return a colour near one of several."""
    return jitter(rng, choose(rng, colours), amount)


def shade(colour: Colour, share: float, grey: float = 0) -> Colour:
    """Return a colour mixed with a grey, black at first; with a share above 1 it is brighter."""
    return tuple(share * value + (1 - share) * grey for value in colour)


def photograph(canvas: Canvas, sharpness: float = 1) -> Array:
    """Return what a middling camera makes of a canvas, (H, W, 3), uint8: light, tint, blur, noise.

    The larger the sharpness, the less blur; 1 suits a picture of about 200 pixels.
    """
    rng, shape = canvas.rng, canvas.pixels.shape[:2]
    light = 1 + rng.uniform(0, 0.5) * (ramp(shape, rng.uniform(0, 2 * np.pi)) - 0.5)
    tint = (math.exp(rng.normal(0, 0.17)) * rng.normal(1, 0.045, 3)).astype(np.float32)
    contrast, level = np.float32(rng.uniform(0.75, 1.1)), np.float32(rng.normal(0, 12))
    pixels = (canvas.pixels * light[..., None] * tint - 120) * contrast + 120 + level
    blur = math.exp(rng.uniform(-1.2, 0.6)) * min(shape) / 200 / sharpness
    if blur > 0.3:
        pixels = cv2.GaussianBlur(pixels, (0, 0), blur)
    pixels += np.float32(rng.uniform(1, 7)) * rng.standard_normal((*shape, 1), dtype=np.float32)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)

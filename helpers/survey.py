"""What there is to know about pictures of your own before you train: counts, odd ones, copies."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from PIL import Image

from helpers.catalog import data_folder
from helpers.images import names_below, open_picture
from helpers.own import PARTS, split

FEW = 10  # pictures of a class: with fewer, no accuracy means anything
TINY = 64  # pixels
ALIKE = 5  # of 64 bits that differ between near copies, at most


def survey(name: str) -> Iterator[str]:
    """Say what there is to know before one trains on own pictures, a line each."""
    tree, (classes, parts, left_out) = data_folder(name) / PARTS, split(data_folder(name))
    for label in classes:
        each = {part: len(names_below(tree / part / label)) for part in parts}
        few = f". Fewer than {FEW}: take more" if sum(each.values()) < FEW else ""
        yield f"{label}: " + ", ".join(f"{count} {part}" for part, count in each.items()) + few
    looks, sizes, odd = {}, [], {}
    for name in names_below(tree):
        picture = open_picture(tree / name)
        sizes.append(picture.size)
        grey = np.asarray(picture.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=int)
        brighter = grey[:, 1:] > grey[:, :-1]  # than its neighbour: the picture's dHash
        looks[name] = int.from_bytes(np.packbits(brighter).tobytes())
        if np.std(picture) < 2:
            odd[name] = "nearly of one colour"
        elif min(picture.size) < TINY:
            odd[name] = f"smaller than {TINY} pixels"
    wide, high = np.array(sizes).T
    yield f"width {wide.min()} to {wide.max()}, height {high.min()} to {high.max()} pixels"
    shapes = {"lie": wide > high, "stand": wide < high, "are square": wide == high}
    yield ", ".join(f"{count.sum()} {shape}" for shape, count in shapes.items())
    yield from (f"odd: {name} is {why}" for name, why in odd.items())
    for one, other in combinations(looks, 2):
        if (looks[one] ^ looks[other]).bit_count() > ALIKE:
            continue
        same = (tree / one).read_bytes() == (tree / other).read_bytes()
        leak = one.partition("/")[0] != other.partition("/")[0]
        kind = "the same picture twice" if same else "near copies"
        yield f"{kind}{', in two parts (a leak)' * leak}: {one} and {other}"
    yield from (f"left out: {file}: {why}" for file, why in left_out.items())

"""Make a guard from the pictures of a data set, and measure how often it is wrong."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from helpers.archives import folder_images
from helpers.catalog import DATA_SETS
from helpers.datasets import OpenedData, csv_images
from helpers.guard import HELD_BACK, Guard
from helpers.samples import sample_folder
from helpers.uploads import read_upload

REFERENCE = 600  # pictures
STRANGE = ("aoi", "food")  # whose samples stand for strange pictures: they are drawn quickly
Maps = Callable[[list[Image.Image]], Tensor]  # what the last convolutions make of some pictures
Readers = Iterable[Callable[[], Image.Image]]  # each reads one picture when it is called


def measured_guard(data: OpenedData, maps: Maps) -> Guard:
    """Learn what is familiar from training pictures, and measure how well that works.

    Parameters
    ----------
    data : OpenedData
        What the network was trained on. The samples of `STRANGE` stand for strange pictures.
    maps : callable
        Gives the maps (B, channels, h, w) of some pictures.

    Returns
    -------
    Guard
        Its rates: "false_alarms": how many of the data set's own test pictures are refused, in
        0..1, not a number where there are none; "detected": the same for the samples of other
        data sets, by name.
    """
    some = tqdm(_some(data, "train", REFERENCE), desc="Learning what is familiar")
    guard = Guard.learn(maps([read()]) for read in some)
    try:
        own = _refused(guard, _some(data, _last(data), 100), maps)
    except FileNotFoundError:  # AOI can be trained without its test pictures
        own = math.nan
    detected = {}
    for facts in map(DATA_SETS.get, STRANGE):
        if facts is not data.facts:
            other = OpenedData(facts, sample_folder(facts), "sample")
            detected[facts.name] = _refused(guard, _some(other, _last(other), 100), maps)
    return replace(guard, rates={"false_alarms": own, "detected": detected})


def held_back(data: OpenedData) -> Iterator[Image.Image]:
    """Yield the training pictures that set a guard's limit; the others are what it knows."""
    return (read() for read in _some(data, "train", REFERENCE)[::HELD_BACK])


def told(guard: Guard) -> str:
    """Return in a sentence how well a guard works, as it was measured."""
    others = [f"{p:.0%} of {DATA_SETS[n].title}" for n, p in guard.rates["detected"].items()]
    alarms = guard.rates["false_alarms"]
    unknown = "an unknown part (there are no test pictures)"
    return (
        f"It refuses {unknown if math.isnan(alarms) else f'{alarms:.0%}'} of its own kind of "
        f"pictures (false alarms), and of strange ones: {', '.join(others)}."
    )


def _refused(guard: Guard, pictures: Readers, maps: Maps) -> float:
    """Return which part of some pictures, 0..1, the guard refuses."""
    scores = torch.cat([guard.scores(maps([read()])) for read in pictures])
    return (scores > guard.limit).float().mean().item()


def _last(data: OpenedData) -> str:
    return list(data.facts.pictures)[-1]


def _some(data: OpenedData, split: str, most: int) -> list[Callable[[], Image.Image]]:
    """Return what reads up to `most` pictures of a part, evenly chosen, as uploads are read."""
    images = (csv_images if data.facts.name == "aoi" else folder_images)(data, split)
    rows = np.linspace(0, len(images) - 1, min(len(images), most)).astype(int)
    return [partial(read_upload, images.image_dir / images.ids[row]) for row in rows]

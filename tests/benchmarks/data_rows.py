"""Rows about data: a pass over the inspection pictures, and one over CIFAR-10."""

import pickle
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import torch
from torch import nn

from helpers.archives import cifar_batches, pictures
from helpers.augment import photo_augment
from helpers.cache import Pictures, decode_once
from helpers.cifar import batch_files
from helpers.datasets import csv_images, open_data
from helpers.loaders import Batches
from helpers.models import CompactVGG
from helpers.training import best_device, mixed_precision, train_epoch

from . import courses
from .harness import Bench, Line, Spread, compared, seconds


def consume(batches: Iterable) -> None:
    """Take every batch and do nothing with it."""
    for _ in batches:
        pass


def copies(batches: list[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Yield a copy of each batch: the least that can be done to hand out new ones."""
    return (batch.clone() for batch in batches)


def aoi_passes(bench: Bench) -> Iterator[Line]:
    """One pass over 512x512 PNGs at 128x128, batches of 32."""
    with bench.silence():
        data = open_data("aoi")
        ours = csv_images(data, "train")
    mean, std = data.facts.mean, data.facts.std
    theirs = courses.OnePngAtATime(data.root, mean, std)
    if bench.quick:
        ours.ids, ours.labels = ours.ids[:160], ours.labels[:160]
        theirs.table = theirs.table[:160]
    slow = torch.utils.data.DataLoader(theirs, batch_size=32)
    what = f"{data.source}, {len(ours)} PNGs"

    def first() -> None:
        with tempfile.TemporaryDirectory(dir=bench.scratch) as folder, bench.silence():
            consume(Batches(decode_once(ours, Path(folder)), mean, std, batch_size=32))

    with bench.silence():
        decoded = Batches(decode_once(ours, bench.scratch / "aoi"), mean, std, batch_size=32)
    ready = [batch for batch, _ in decoded]
    goal = "first pass at least 1.5×"
    found = bench.pairs(seconds(lambda: consume(slow)), seconds(first), warm_up=False)
    yield compared("AOI: first pass, decode once", what, goal, found, 1.5)
    found = bench.pairs(
        seconds(lambda: consume(slow)), seconds(lambda: consume(decoded)), warm_up=False
    )
    limit = bench.pairs(
        seconds(lambda: consume(decoded)), seconds(lambda: consume(copies(ready))), count=15
    )
    times = limit.ratios().median
    yield compared(
        "AOI: every later pass",
        what,
        "at least 40×, within 2× of copying the bytes",
        found,
        40,
        met=times <= 2,
        limit=f"{times:.1f}× a copy",
    )


def cifar_loading(bench: Bench) -> Iterator[Line]:
    """CIFAR-10 into memory: as a plain pickle, or checked."""
    with bench.silence():
        data = open_data("cifar10")
    folder = data.root / data.facts.inner
    files = [*batch_files(folder, "train"), *batch_files(folder, "test")]

    def plain() -> None:
        for file in files:
            with file.open("rb") as stream:
                pickle.load(stream, encoding="bytes")

    def ours() -> None:
        for split in ("train", "test"):
            cifar_batches(folder, split, data.facts.classes)

    found = bench.pairs(seconds(plain), seconds(ours))
    what = f"{data.source}, {len(files)} files"
    yield compared("CIFAR-10: into memory, checked", what, "at least 0.5×", found, 0.5)


def cifar_pass(bench: Bench) -> Iterator[Line]:
    """One pass of normalised, flipped, shifted batches of 128; and their share of a step."""
    with bench.silence():
        data = open_data("cifar10")
        train = pictures(data, "train")
    if bench.quick:
        train = train[torch.arange(min(len(train), 5000))]
    mean, std, what = data.facts.mean, data.facts.std, f"{data.source}, {len(train):,} pictures"
    slow = torch.utils.data.DataLoader(
        courses.OneArrayAtATime(train.images, train.labels, mean, std), batch_size=128, shuffle=True
    )
    options = {"batch_size": 128, "shuffle": True}
    fast = Batches(train, mean, std, **options, augment=photo_augment)
    ready = [batch for batch, _ in fast]
    found = bench.pairs(seconds(lambda: consume(slow)), seconds(lambda: consume(fast)))
    limit = bench.pairs(
        seconds(lambda: consume(fast)), seconds(lambda: consume(copies(ready))), count=5
    )
    yield compared(
        "CIFAR-10: one pass",
        what,
        "at least 20×",
        found,
        20,
        limit=f"{limit.ratios().median:.1f}× a copy",
        note="The course's way does not flip or shift; ours does. Its first pass, not timed, makes "
        "copies with a border, three times the bytes of the pictures.",
    )
    yield _data_share(bench, train, fast, what)


def _data_share(bench: Bench, train: Pictures, fast: Batches, what: str) -> Line:
    """Return which share of a training step of step 11's longer training is the data's."""
    device = best_device()
    precision = mixed_precision(device, on_cpu=True)
    model = CompactVGG(10, widths=(16, 32, 64, 128)).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    steps = 10 if bench.quick else 30

    def training() -> None:
        parts = (model, islice(fast, steps), nn.CrossEntropyLoss(), optimizer)
        train_epoch(*parts, precision=precision)

    found = bench.pairs(
        seconds(training), seconds(lambda: consume(islice(fast, steps))), warm_up=True
    )
    shares = Spread.of([100 * b / a for a, b in zip(found.course, found.ours, strict=True)])
    return Line(
        "CIFAR-10: the data's share of a training step",
        what,
        "under 3 %",
        ours=shares.median,
        unit="%",
        met=shares.median < 3,
        note=f"Quartiles {shares.low:.1f} to {shares.high:.1f} %; the network of step 11's longer "
        "training, 128 flipped and shifted pictures a step.",
    )

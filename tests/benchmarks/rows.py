"""The rows of the table. Each function is given `quick`, and yields what it can measure here."""

import asyncio
import json
import math
import multiprocessing
import os
import re
import statistics
import tempfile
from collections import deque
from functools import partial
from pathlib import Path
from unittest import mock

import nbformat
import torch
from torch import nn
from torchvision.datasets import ImageFolder
from torchvision.models import vgg16
from torchvision.transforms import v2

from helpers.batches import Batches, photo_augment
from helpers.catalog import home
from helpers.data import Pictures, image_dataset, open_data, pictures
from helpers.models import CompactVGG, LeNet
from helpers.report import predict
from helpers.training import best_device, fit, mixed_precision
from helpers.transfer import Backbone, FeatureCache, train_head
from workshop.notebooks import execute
from workshop.room import notebook_files

from . import courses, in_turn, row, timed
from .histories import seeded_cells

STATUS = Path("/proc/self/status")  # on Linux: the memory that a process took at most
consume = partial(deque, maxlen=0)  # takes every batch and does nothing with it


def aoi(quick):
    """A pass over 512x512 PNGs at 128x128, batches of 32; ours were decoded before."""
    data, few = open_data("aoi"), slice(160 if quick else None)
    scale, files = (data.facts.mean, data.facts.std), image_dataset(data, "train").samples[few]
    slow, fast = courses.from_files(files, *scale), Batches(pictures(data, "train")[few], *scale)
    found = in_turn(lambda: consume(slow), lambda: consume(fast), quick)
    what = f"{data.source}, {len(files)} PNGs"
    yield row("AOI: every later pass", what, "at least 40×", *found, ratio=40)


def some_of_cifar(quick):
    """Return CIFAR-10's training pictures, what they are, their mean and deviation; the test."""
    data = open_data("cifar10")
    train = pictures(data, "train")[: 4000 if quick else None]
    what, scale = f"{data.source}, {len(train):,} pictures", (data.facts.mean, data.facts.std)
    return train, what, scale, pictures(data, "test")


def trained(batches, epochs=1, **settings):
    """Return a network trained as in step 11: one cycle, and 16 bits where that is fast."""
    torch.manual_seed(batches.sampler.seed)
    device, rate = best_device(), 0.2 * batches.batch_size / 128
    model = CompactVGG(10, **settings).to(device)
    options = {"momentum": 0.9, "weight_decay": 5e-4, "nesterov": True}
    optimizer = torch.optim.SGD(model.parameters(), rate, **options)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, epochs * len(batches))
    options = {"scheduler": cycle, "precision": mixed_precision(device)}
    fit(model, batches, Batches(batches.pictures[:1]), optimizer, epochs, **options)
    return model


def cifar(quick):
    """A pass of normalised, flipped, shifted batches; their share of a training step."""
    train, what, scale, _ = some_of_cifar(quick)
    options = {"batch_size": 128, "shuffle": True, "augment": photo_augment}
    slow, fast = courses.from_memory(train, *scale), Batches(train, *scale, **options)
    found = in_turn(lambda: consume(slow), lambda: consume(fast), quick)
    yield row("CIFAR-10: one pass", what, "at least 8×", *found, ratio=8)
    some = Batches(train[:2500], *scale, **options)
    found = in_turn(lambda: trained(some, widths=(16, 32, 64, 128)), lambda: consume(some), quick)
    shares = [100 * part / whole for whole, part in zip(*found, strict=True)]
    work = "CIFAR-10: the data's share of a training step"
    yield row(work, what, "under 3 %", ours=shares, unit="%", most=3)


def training(quick):
    """Ten epochs of the course, in parts with a training of ours after each; then ours as long."""
    train, what, scale, test = some_of_cifar(quick)

    def accuracy(model, *looks):
        chances = sum(predict(model, Batches(look, *scale, batch_size=500)) for look in looks)
        return 100 * (chances.argmax(dim=1) == test.labels).float().mean().item()

    def ours(widths, batch_size, passes, seed=0):  # a part of a pass, or several
        epochs = math.ceil(passes)
        some = train[: round(len(train) * passes / epochs)]
        batches = Batches(some, *scale, batch_size, shuffle=True, seed=seed)
        return trained(batches, epochs, widths=widths, patch=2)

    torch.manual_seed(0)
    plain, slow, models = LeNet(10, channels=3, size=32), courses.from_memory(train, *scale), []
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.001, momentum=0.9)
    epochs = 10 // (3 if quick else 5)
    parts, short = in_turn(
        lambda: courses.train_epochs(plain, slow, optimizer, epochs),
        lambda: models.append(ours((16, 32, 64), 64, passes=0.4, seed=len(models))),
        quick,
    )
    course = [10 / epochs * seconds for seconds in parts]
    reached, worst = accuracy(plain, test), min(accuracy(model, test) for model in models)
    work = "CIFAR-10: seconds to the accuracy of the course's ten epochs"
    yield row(work, what, "at least 10×", course, short, ratio=10, met=worst >= reached)
    larger = partial(ours, (32, 64, 128), 128)
    allowed, (_, trial) = statistics.median(course), timed(larger, 0.2)
    model, used = timed(larger, 0.85 * allowed * 0.2 / trial)
    twice = accuracy(model, test, Pictures(test.images.flip(-1), test.labels))
    work = "CIFAR-10: accuracy in the wall time of the course's ten epochs"
    met = twice >= 80 and used <= allowed
    yield row(work, what, "at least 80 %", [reached], [twice], unit="%", met=met)


def photographs(side, most):
    """Return photographs of dogs and cats for a network of side x side, and whose they are."""
    data = open_data("pets")
    steps = [v2.Resize((side, side)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    images = ImageFolder(data.root / data.facts.inner / "train", v2.Compose(steps))
    images.samples = images.samples[:: max(1, len(images.samples) // most)][:most]
    return images, data.source


def features_cached(network, images):
    """Compute features the workshop's way."""
    backbone = Backbone("any", network, network, 25088, 0, images.transform, ())
    with tempfile.TemporaryDirectory() as folder:
        FeatureCache(images, backbone, Path(folder)).compute()


def vgg(quick):
    """VGG16's maps of 224x224 pictures; random weights cost the same."""
    images, source = photographs(224, 8 if quick else 32)
    theirs, ours = (nn.Sequential(vgg16().features.eval(), nn.Flatten()) for _ in range(2))
    ours.to(memory_format=torch.channels_last)  # as load_backbone does
    course = partial(courses.features_in_lists, theirs, images)
    found = in_turn(course, partial(features_cached, ours, images), quick)
    what, goal = f"{source}, {len(images)} photographs", "at least 1.5× with bf16, else 1×"
    ratio = 1.5 if mixed_precision(best_device()) else 1
    yield row("VGG16 features of 224×224 pictures", what, goal, *found, ratio=ratio)


def peaks(way):
    """Return the MB that features of 800 pictures, and of 2,000, take beyond a first batch."""
    images, _ = photographs(64, 8)
    network = nn.Sequential(nn.Conv2d(3, 512, 9, stride=9), nn.Flatten()).eval()  # (N, 25088)
    eight, found = images.samples, []
    for count in (32, 800, 2000):
        images.samples = eight * (count // 8)
        way(network, images)
        found.append(int(re.search(r"VmHWM:\s*(\d+) kB", STATUS.read_text())[1]) / 1000)
    return found[1] - found[0], found[2] - found[0]


def memory(quick):
    """The memory that caching takes, each way in a process of its own."""
    ways = [features_cached, courses.features_in_lists]
    work, what = "Peak memory while caching features of 2,000 pictures", "8 photographs, 64×64"
    if STATUS.is_file():
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as fresh:
            (less, ours), (_, course) = fresh.map(peaks, ways, chunksize=1)
        goal, met = "flat, at least 5× lower", ours <= 1.3 * less + 10
        yield row(work, what, goal, [course], [ours], unit="MB", ratio=5, met=met)


def head(quick):
    """An epoch of the last layer: through VGG16's frozen layers, and on cached features."""
    rows = 128 if quick else 512
    theirs, labels = vgg16(num_classes=2).classifier, torch.randint(2, (rows,))
    theirs[:-1].requires_grad_(False)
    slow = [*zip(torch.rand(rows, 25088).split(64), labels.split(64), strict=True)]
    optimizer = torch.optim.SGD(theirs[-1].parameters(), lr=0.01)
    epoch = partial(courses.train_epochs, theirs, slow, optimizer)
    hundred = partial(train_head, torch.rand(rows, 4096), labels)
    course, ours = in_turn(epoch, hundred, quick)
    course, ours = [1000 * s for s in course], [1000 / 100 * s for s in ours]  # ms an epoch
    what, goal = f"random features of {rows} pictures", "at least 300×"
    yield row("Head of VGG16: an epoch", what, goal, course, ours, unit="ms", ratio=300)


def picture(quick):
    """Step 02 on a fresh machine, until its first picture: the sample is drawn on the way."""
    notebook = nbformat.read(*notebook_files("02"), as_version=4)
    drawn = [n for n, cell in enumerate(notebook.cells) if "image/" in str(cell.get("outputs"))]
    notebook.cells = notebook.cells[: drawn[0] + 1]
    fresh, ours = partial(mock.patch.dict, os.environ, WORKSHOP_DATA="sample"), []
    for _ in range(1 if quick else 3):
        with tempfile.TemporaryDirectory() as place, fresh(WORKSHOP_HOME=place, MPLCONFIGDIR=place):
            ours.append(timed(asyncio.run, execute(notebook))[1])
    work = "step 02 on a fresh clone: time to the first picture"
    yield row(work, "sample, drawn on the way", "at most 15 s", ours=ours, most=15)


def notebooks(quick):
    """What the last `make run` took, if it was one of all notebooks."""
    file, every = home() / "build" / "run.json", len(notebook_files())
    report = json.loads(file.read_text()) if file.is_file() else {"notebooks": []}
    if len(report["notebooks"]) == every:
        what, ours = f"all {every} notebooks", [report["total_seconds"] / 60]
        yield row("make run, the last time", what, "at most 5 min", ours=ours, unit="min", most=5)


def gpu(quick):
    """Step 11's cells for a GPU, as they stand there; seed by seed."""
    if not torch.cuda.is_available():
        return
    cells = seeded_cells("11")
    lines = r"^(?:(?:import|from) |(?:data|facts|train, test|device|precision) = ).*"
    parts = r"def (whitening|half_mirrored|six_views|recorded|step_of)|RATES =|quick"
    used = re.findall(lines, "\n".join(cells), flags=re.M)
    used += [cell for cell in cells if re.search(parts, cell)]
    seconds, shares = [], []
    for seed in range(1 if quick else 5):
        exec("\n".join(used), names := {"seed": seed})
        seconds.append(names["quick_seconds"])
        shares.append(names["hits"] / len(names["asked"]))
    source, accuracy = names["data"].source, statistics.mean(shares)
    what = f"{source}, on {torch.cuda.get_device_name()}: {accuracy:.1%} of the test pictures"
    work, goal = "CIFAR-10 on a GPU, step 11's quick training", "91.9 % within 3.4 s"
    yield row(work, what, goal, ours=seconds, most=3.4, met=accuracy >= 0.919)


ROWS = {f.__name__: f for f in (aoi, cifar, training, vgg, memory, head, picture, notebooks, gpu)}

"""The rows of the table. Each is given `quick` and an empty folder, and yields its lines."""

import json
import math
import multiprocessing
import os
import pickle
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from unittest import mock

import nbformat
import torch
import torchvision
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from helpers.batches import Batches, photo_augment
from helpers.catalog import REPOSITORY, home, run_folder
from helpers.data import Pictures, decode_once, image_dataset, open_data, pictures
from helpers.models import CompactVGG, LeNet
from helpers.report import predict
from helpers.training import best_device, mixed_precision, train_epoch, write_metrics
from helpers.transfer import Backbone, FeatureCache
from workshop.notebooks import execute
from workshop.room import code_cells, notebook_files

from . import Row, courses, in_turn, seconds


def consume(batches: Iterable) -> None:
    """Take every batch and do nothing with it."""
    for _ in batches:
        pass


def aoi(quick: bool, scratch: Path) -> Iterator[Row]:
    """Passes over 512x512 PNGs at 128x128, batches of 32."""
    data = open_data("aoi")
    mean, std = data.facts.mean, data.facts.std
    ours, theirs = image_dataset(data, "train"), courses.OnePngAtATime(data.root, mean, std)
    if quick:
        ours.samples, ours.labels = ours.samples[:160], ours.labels[:160]
        theirs.table = theirs.table[:160]
    what, slow = f"{data.source}, {len(ours)} PNGs", DataLoader(theirs, batch_size=32)

    def first() -> None:
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            consume(Batches(decode_once(ours, Path(folder)), mean, std))

    course = seconds(lambda: consume(slow))
    found = in_turn(course, seconds(first), quick, warm_up=False)
    yield Row("AOI: first pass, decode once", what, "at least 1.5×", **found, ratio=1.5)
    decoded = Batches(decode_once(ours, scratch), mean, std)
    found = in_turn(course, seconds(lambda: consume(decoded)), quick)
    yield Row("AOI: every later pass", what, "at least 40×", **found, ratio=40)


def cifar(quick: bool, scratch: Path) -> Iterator[Row]:
    """CIFAR-10 into memory; a pass of normalised, flipped, shifted batches; their share."""
    data = open_data("cifar10")
    facts, folder = data.facts, data.root / data.facts.inner
    files = [folder / "test_batch", *folder.glob("data_batch_*")]

    def plain() -> None:
        for file in files:
            pickle.loads(file.read_bytes(), encoding="bytes")

    found = in_turn(
        seconds(plain), seconds(lambda: [pictures(data, part) for part in facts.pictures]), quick
    )
    what = f"{data.source}, {len(files)} files"
    yield Row("CIFAR-10: into memory, checked", what, "at least 0.5×", **found, ratio=0.5)
    train = pictures(data, "train")[: 5000 if quick else None]
    what = f"{data.source}, {len(train):,} pictures"
    items = courses.OneArrayAtATime(train.images, train.labels, facts.mean, facts.std)
    slow = DataLoader(items, batch_size=128, shuffle=True)
    options = {"batch_size": 128, "shuffle": True, "augment": photo_augment}
    fast = Batches(train, facts.mean, facts.std, **options)
    found = in_turn(seconds(lambda: consume(slow)), seconds(lambda: consume(fast)), quick)
    yield Row("CIFAR-10: one pass", what, "at least 8×", **found, ratio=8)
    model = CompactVGG(10, widths=(16, 32, 64, 128))  # of step 11's longer training
    model.to(best_device(), memory_format=torch.channels_last)
    optimizer, steps = torch.optim.SGD(model.parameters(), lr=0.01), 10 if quick else 30
    step = partial(train_epoch, loss_fn=nn.CrossEntropyLoss(), optimizer=optimizer)
    step = partial(step, precision=mixed_precision(best_device()))
    whole = seconds(lambda: step(model, islice(fast, steps)))
    found = in_turn(whole, seconds(lambda: consume(islice(fast, steps))), quick)
    shares = tuple(100 * b / a for a, b in zip(*found.values(), strict=True))
    work = "CIFAR-10: the data's share of a training step"
    yield Row(work, what, "under 3 %", ours=shares, unit="%", most=3)


def ours_trained(
    data, train: Pictures, epochs: float, size: int, widths: tuple, seed: int = 0
) -> nn.Module:
    """Train a small network with step 11's recipe, for a part of an epoch or for several."""
    torch.manual_seed(seed)
    model, rate = CompactVGG(10, widths, patch=2), 0.2 * size / 128
    model.to(best_device(), memory_format=torch.channels_last)
    options = {"batch_size": size, "shuffle": True, "seed": seed}
    batches = Batches(train, data.facts.mean, data.facts.std, **options)
    steps = max(2, round(epochs * len(batches)))
    options = {"momentum": 0.9, "weight_decay": 5e-4, "nesterov": True}
    optimizer = torch.optim.SGD(model.parameters(), rate, **options)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps)
    precision = mixed_precision(best_device())
    for epoch in range(math.ceil(steps / len(batches))):
        batches.sampler.set_epoch(epoch)
        part = islice(batches, steps - epoch * len(batches))
        train_epoch(model, part, nn.CrossEntropyLoss(), optimizer, cycle, precision=precision)
    return model


def training(quick: bool, scratch: Path) -> Iterator[Row]:
    """Ten epochs of the course, in parts with a training of ours after each; then ours as long."""
    data = open_data("cifar10")
    train = pictures(data, "train")[: 4000 if quick else None]
    facts, what = data.facts, f"{data.source}, {len(train):,} pictures"
    test = pictures(data, "test")
    mirrored = Pictures(test.images.flip(-1), test.labels)

    def accuracy(model: nn.Module, *looks: Pictures) -> float:
        batches = [Batches(look, facts.mean, facts.std, batch_size=500) for look in looks]
        named = sum(predict(model, look) for look in batches).argmax(dim=1)
        return 100 * (named == test.labels).float().mean().item()

    torch.manual_seed(0)
    plain, trained = LeNet(10, channels=3, size=32), []
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.001, momentum=0.9)
    items = courses.OneArrayAtATime(train.images, train.labels, facts.mean, facts.std)
    slow, part = DataLoader(items, 128, shuffle=True), 10 // (3 if quick else 5)
    course = seconds(lambda: courses.train_epochs(plain, slow, optimizer, part))
    few = partial(ours_trained, data, train, 0.4, 64, (16, 32, 64))
    ours = seconds(lambda: trained.append(few(seed=len(trained))))
    found = in_turn(lambda: 10 / part * course(), ours, quick, warm_up=False)
    reached, worst = accuracy(plain, test), min(accuracy(model, test) for model in trained)
    work = "CIFAR-10: seconds to the accuracy of the course's ten epochs"
    yield Row(work, what, "at least 10×", **found, ratio=10, met=worst >= reached)
    allowed = statistics.median(found["course"])
    larger = partial(ours_trained, data, train, size=128, widths=(32, 64, 128))
    epochs = 0.85 * allowed * 0.2 / seconds(lambda: larger(0.2))()
    used = seconds(lambda: trained.append(larger(epochs)))()
    ours = accuracy(trained[-1], test, mirrored)  # asked twice, see step 11
    work = "CIFAR-10: accuracy in the wall time of the course's ten epochs"
    met = ours >= 80 and used <= allowed
    yield Row(work, what, "at least 80 %", (reached,), (ours,), unit="%", met=met)


def photographs(side: int, count: int) -> tuple[ImageFolder, str]:
    """Return photographs of dogs and cats for a network of side x side, and whose they are."""
    data = open_data("pets")
    steps = [v2.Resize((side, side)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    images = ImageFolder(data.root / data.facts.inner / "train", v2.Compose(steps))
    images.samples = images.samples[:: max(1, len(images.samples) // count)][:count]
    return images, data.source


def cached(images: ImageFolder, network: nn.Module, folder: Path) -> None:
    """Compute features the workshop's way."""
    backbone = Backbone("any", network, network, 25088, 0, images.transform, ())
    FeatureCache(images, backbone, folder).load()


def vgg(quick: bool, scratch: Path) -> Iterator[Row]:
    """VGG16's maps of 224x224 pictures; random weights cost the same."""
    images, source = photographs(224, 8 if quick else 32)
    network = nn.Sequential(torchvision.models.vgg16().features.eval(), nn.Flatten())
    copy = nn.Sequential(torchvision.models.vgg16().features.eval(), nn.Flatten())
    copy.to(memory_format=torch.channels_last)  # as load_backbone does
    slow = DataLoader(images, batch_size=32)

    def ours() -> None:
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            cached(images, copy, Path(folder))

    course = seconds(lambda: courses.features_in_lists(network, slow))
    found = in_turn(course, seconds(ours), quick, warm_up=False)
    what, has_half = f"{source}, {len(images)} photographs", mixed_precision(best_device())
    goal = "at least 1.5× where the CPU has bf16"
    yield Row("VGG16 features of 224×224 pictures", what, goal, **found, ratio=has_half and 1.5)


def peak(way: str, count: int) -> float:
    """Cache features in this process; return the MB that it took beyond those of a first batch."""
    images, _ = photographs(64, 8)
    network = nn.Sequential(nn.Conv2d(3, 512, 9, stride=9), nn.Flatten()).eval()  # (N, 25088)

    def work(amount: int) -> float:
        images.samples = images.samples[:8] * (amount // 8)
        with tempfile.TemporaryDirectory() as folder:
            if way == "ours":
                cached(images, network, Path(folder))
            else:
                courses.features_in_lists(network, DataLoader(images, batch_size=32))
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) / 1000

    before = work(32)
    return work(count) - before


def memory(quick: bool, scratch: Path) -> Iterator[Row]:
    """The memory that caching takes, at some pictures and at five times as many."""
    few = 400 if quick else 800
    work = f"Peak memory while caching features of {5 * few:,} pictures"
    what, goal = "8 photographs, 64×64", "flat, at least 5× lower"
    row = partial(Row, work, what, goal, unit="MB")
    if sys.platform != "linux":
        yield row()
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as fresh:
        tasks = ("ours", few), ("ours", 5 * few), ("", 5 * few)
        less, ours, course = fresh.map(peak, *zip(*tasks, strict=True))
    yield row((course,), (ours,), ratio=5, met=ours <= 1.3 * less + 10)


def head(quick: bool, scratch: Path) -> Iterator[Row]:
    """An epoch of the last layer: through VGG16's frozen layers, and on cached features."""
    count, epochs = 128 if quick else 512, 100
    theirs, labels = courses.vgg_classifier(), torch.randint(2, (count,))
    slow = [*zip(torch.rand(count, 25088).split(64), labels.split(64), strict=True)]
    optimizer = torch.optim.SGD(theirs[-1].parameters(), lr=0.01)
    features = torch.rand(count, 4096)

    def ours() -> None:  # all of them at once, as step 10 does
        scaled, layer = (features - features.mean(dim=0)) / features.std(dim=0), nn.Linear(4096, 2)
        fast = torch.optim.Adam(layer.parameters(), lr=0.01, weight_decay=0.2)
        courses.train_epochs(layer, [(scaled, labels)], fast, epochs)

    course = seconds(lambda: courses.train_epochs(theirs, slow, optimizer))
    found = in_turn(lambda: 1000 * course(), lambda: 1000 / epochs * seconds(ours)(), quick)
    what = f"random features of {count} pictures"
    yield Row("Head of VGG16: an epoch", what, "at least 300×", **found, unit="ms", ratio=300)


def gpu(quick: bool, scratch: Path) -> Iterator[Row]:
    """Step 11's cells for a GPU, as they stand there; seed by seed."""
    found, what = [], "real"
    if torch.cuda.is_available() and (data := open_data("cifar10")).source == "real":
        cells = code_cells(*notebook_files("11"))
        (first,) = (n for n, source in enumerate(cells) if source.startswith("def quick_conv"))
        (last,) = (n for n, source in enumerate(cells) if source.startswith("asked = "))
        made = "def whitening", "def small_shifts", "def six_views"
        before = [one for one in cells if any(map(one.__contains__, made))]
        source = "\n".join([*before, *cells[first : last + 1]])
        names = {"torch": torch, "nn": nn, "pairwise": pairwise, "time": time, "Batches": Batches}
        names |= {"data": data, "facts": data.facts, "device": best_device()}
        names |= {"train": pictures(data, "train"), "test": pictures(data, "test")}
        names |= {"precision": mixed_precision(best_device())}
        names |= {"run_folder": run_folder, "write_metrics": write_metrics}
        for seed in range(1 if quick else 5):
            exec(source.replace("manual_seed(0)", f"manual_seed({seed})"), names)
            found.append((names["quick_seconds"], names["hits"] / len(names["test"])))
        accuracy = statistics.mean(accuracy for _, accuracy in found)
        what = f"real, on {torch.cuda.get_device_name()}: {accuracy:.1%} of the test pictures"
    yield Row(
        "CIFAR-10 on a GPU, step 11's quick training",
        what,
        "91.9 % within 3.4 s",
        ours=tuple(seconds for seconds, _ in found),
        most=3.4,
        met=bool(found) and accuracy >= 0.919,
    )


def importing(quick: bool, scratch: Path) -> Iterator[Row]:
    """Import the rooms that most notebooks use, after torch."""
    code = "import time, torch, torch.utils.data; start = time.perf_counter(); "
    code += "import helpers.recipes, helpers.report; print(time.perf_counter() - start)"
    options = {"cwd": REPOSITORY, "stdout": subprocess.PIPE, "check": True}
    command = [sys.executable, "-c", code]
    found = [float(subprocess.run(command, **options).stdout) for _ in range(4 if quick else 6)]
    ours = tuple(found[1:])  # the first one read the files
    yield Row("import helpers, beyond torch", "–", "under 0.3 s", ours=ours, most=0.3)


def picture(quick: bool, scratch: Path) -> Iterator[Row]:
    """Step 02 on a fresh machine, until its first picture: the sample is drawn on the way."""
    (file,) = notebook_files("02")
    notebook = nbformat.read(file, as_version=4)
    drawn = [n for n, cell in enumerate(notebook.cells) if "image/" in str(cell.get("outputs"))]
    notebook.cells = notebook.cells[: drawn[0] + 1]

    def once() -> None:
        with tempfile.TemporaryDirectory(dir=scratch) as place:
            fresh = {"WORKSHOP_HOME": place, "WORKSHOP_DATA": "sample", "MPLCONFIGDIR": place}
            with mock.patch.dict(os.environ, fresh):
                execute(notebook, file.parent)

    ours = tuple(seconds(once)() for _ in range(1 if quick else 3))
    work = "step 02 on a fresh clone: time to the first picture"
    yield Row(work, "sample, drawn on the way", "at most 15 s", ours=ours, most=15)


def notebooks(quick: bool, scratch: Path) -> Iterator[Row]:
    """What the last `make run` took, where there was one."""
    file, ours = home() / "build" / "run.json", ()
    report, count = json.loads(file.read_text()) if file.is_file() else {}, len(notebook_files())
    if len(report.get("notebooks", ())) == count:
        ours = (report["total_seconds"] / 60,)
    what = f"all {count} notebooks"
    yield Row("make run, the last time", what, "at most 5 min", ours=ours, unit="min", most=5)


ROWS = {
    row.__name__: row
    for row in (aoi, cifar, training, gpu, vgg, memory, head, importing, picture, notebooks)
}

"""Rows about training: CIFAR-10 to an accuracy and in a time, a LeNet step, a head."""

import math
import time
from collections.abc import Callable, Iterator
from itertools import islice

import torch
from torch import nn

from helpers.archives import pictures
from helpers.cache import Pictures
from helpers.datasets import OpenedData, open_data
from helpers.loaders import Batches
from helpers.models import CompactVGG, LeNet
from helpers.optim import Muon
from helpers.training import best_device, evaluate, mixed_precision, train_epoch
from helpers.transfer import train_head

from . import courses
from .harness import Bench, Line, Pairs, Spread, compared, seconds

COURSE_EPOCHS = 10
OUR_EPOCHS = 0.4


def course_batches(data: OpenedData, train: Pictures) -> torch.utils.data.DataLoader:
    """Return CIFAR-10 as the course feeds it to the network."""
    items = courses.OneArrayAtATime(train.images, train.labels, data.facts.mean, data.facts.std)
    return torch.utils.data.DataLoader(items, batch_size=128, shuffle=True)


def ours_trained(
    data: OpenedData, train: Pictures, epochs: float, seed: int = 0
) -> tuple[nn.Module, float]:
    """Train step 11's small network as the one that ships; return it and the seconds it took."""
    device = best_device()
    precision = mixed_precision(device, on_cpu=True)
    torch.manual_seed(seed)
    model = CompactVGG(10, widths=(32, 64, 128), patch=2)
    model = model.to(device, memory_format=torch.channels_last)
    batches = Batches(
        train, data.facts.mean, data.facts.std, batch_size=256, shuffle=True, seed=seed
    )
    others = [weight for weight in model.parameters() if weight.ndim != 4]
    filters = [weight for weight in model.parameters() if weight.ndim == 4]
    optimizer = Muon(
        [{"params": filters, "lr": 0.1, "momentum": 0.6}, {"params": others, "lr": 0.1}]
    )
    steps = round(epochs * len(batches))
    fall = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, steps)
    start = time.perf_counter()
    for epoch in range(math.ceil(steps / len(batches))):
        batches.sampler.set_epoch(epoch + 1)
        part = islice(batches, steps - epoch * len(batches))
        train_epoch(model, part, nn.CrossEntropyLoss(), optimizer, fall, precision=precision)
    return model, time.perf_counter() - start


def cifar_training(bench: Bench) -> Iterator[Line]:
    """The course's ten epochs; ours to the same accuracy, and ours in the same time.

    The ten epochs are cut into five parts, with a training of ours after each. So both ways meet
    the machine in the same state.
    """
    with bench.silence():
        data = open_data("cifar10")
        train, test = pictures(data, "train"), pictures(data, "test")
    if bench.quick:
        train = train[torch.arange(min(len(train), 4000))]
    facts = data.facts
    what = f"{data.source}, {len(train):,} pictures"
    tests = Batches(test, facts.mean, facts.std, batch_size=500)

    def accuracy(model: nn.Module) -> float:
        return evaluate(model, tests, nn.CrossEntropyLoss()).accuracy

    torch.manual_seed(0)
    plain = courses.LeNet5(10, 3, 32)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.001, momentum=0.9)
    batches = course_batches(data, train)
    share = COURSE_EPOCHS // 5
    reached: list[float] = []

    def ours() -> float:
        model, taken = ours_trained(data, train, OUR_EPOCHS, seed=len(reached))
        reached.append(accuracy(model))
        return taken

    part = seconds(lambda: courses.train_epochs(plain, batches, optimizer, share))
    found = bench.pairs(lambda: part() * COURSE_EPOCHS / share, ours, warm_up=False)
    course_accuracy = accuracy(plain)
    lowest = min(reached)
    yield compared(
        "CIFAR-10: seconds to the accuracy of the course's ten epochs",
        what,
        "at least 10× sooner",
        found,
        10,
        met=lowest >= course_accuracy,
        note=f"The course: ten epochs, {course_accuracy:.1%} of the test pictures. Ours: step 11's "
        f"small network with `Muon`, {OUR_EPOCHS} of an epoch: {lowest:.1%} in the worst of five.",
    )
    yield _in_the_same_time(data, train, accuracy, found, course_accuracy, what)


def _in_the_same_time(
    data: OpenedData,
    train: Pictures,
    accuracy: Callable[[nn.Module], float],
    found: Pairs,
    course_accuracy: float,
    what: str,
) -> Line:
    allowed = Spread.of(found.course).median
    epochs = 0.85 * allowed * OUR_EPOCHS / Spread.of(found.ours).median
    model, taken = ours_trained(data, train, epochs)
    ours = accuracy(model)
    return Line(
        "CIFAR-10: accuracy in the wall time of the course's ten epochs",
        what,
        "at least 80 %",
        course=100 * course_accuracy,
        ours=100 * ours,
        unit="%",
        met=ours >= 0.8 and taken <= allowed,
        note=f"One training: {epochs:.1f} epochs in {taken:.0f} s, where the course took "
        f"{allowed:.0f} s. For 85 % it takes about three times as long: step 11's longer training.",
    )


def lenet_step(bench: Bench) -> Iterator[Line]:
    """One training step of a LeNet on 32 pictures of 128x128, in each way that the CPU offers."""
    with bench.silence():
        data = open_data("aoi")
    batch = torch.rand(32, 1, 128, 128)
    labels = torch.randint(6, (32,))
    steps = 3 if bench.quick else 10
    size = {"classes": 6, "channels": 1, "size": 128}

    def stepping(model: nn.Module, order: torch.memory_format, half: bool) -> Callable[[], float]:
        model = model.to(memory_format=order)
        pictures = batch.contiguous(memory_format=order)
        optimizer = torch.optim.AdamW(model.parameters())
        precision = torch.bfloat16 if half else None
        loss_fn = nn.CrossEntropyLoss()
        return seconds(
            lambda: train_epoch(
                model, [(pictures, labels)] * steps, loss_fn, optimizer, precision=precision
            )
        )

    theirs = stepping(courses.LeNet5(**size), torch.contiguous_format, False)
    ways = {
        "contiguous": (torch.contiguous_format, False),
        "channels_last": (torch.channels_last, False),
        "bfloat16": (torch.contiguous_format, True),
        "channels_last, bfloat16": (torch.channels_last, True),
    }
    found = {name: bench.pairs(theirs, stepping(LeNet(**size), *way)) for name, way in ways.items()}
    ratios = {name: pairs.ratios() for name, pairs in found.items()}
    has_half = mixed_precision(best_device(), on_cpu=True) is not None
    used = "channels_last, bfloat16" if has_half else "channels_last"  # as helpers.recipes does
    best = max(ratios, key=lambda name: ratios[name].median)
    others = "; ".join(f"{name} {ratio.median:.2f}×" for name, ratio in ratios.items())
    yield compared(
        "LeNet: a training step at 128×128",
        f"random numbers, {data.facts.title}'s shape",
        "the best that the CPU offers",
        found[used],
        0,
        scale=1000 / steps,
        unit="ms",
        met=ratios[used].median >= 0.9 * ratios[best].median,
        note=f"Measured against the course's: {others}.",
    )


def head_epoch(bench: Bench) -> Iterator[Line]:
    """An epoch of the last layer: through VGG16's frozen layers, and on cached features."""
    count = 128 if bench.quick else 512
    theirs = courses.vgg_classifier()
    optimizer = torch.optim.SGD(theirs[-1].parameters(), lr=0.01)
    maps, labels = torch.rand(count, 25088), torch.randint(2, (count,))
    slow = [*zip(maps.split(64), labels.split(64), strict=True)]
    features = Pictures(torch.rand(count, 4096).half(), labels)
    steps = 100
    found = bench.pairs(
        seconds(lambda: courses.train_epochs(theirs, slow, optimizer)),
        lambda: seconds(lambda: train_head(features, classes=2, steps=steps))() / steps,
    )
    yield compared(
        "Head of VGG16: an epoch",
        f"random features of {count} pictures",
        "at least 300×",
        found,
        300,
        scale=1000,
        unit="ms",
        note=f"Ours: a {steps}th of {steps} epochs, the scaling included.",
    )

"""Rows about features: VGG16 on photographs, and the memory that caching takes."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from helpers.archives import read_photo
from helpers.catalog import REPOSITORY
from helpers.datasets import open_data
from helpers.features import FeatureCache
from helpers.precision import forward, quickest
from helpers.training import mixed_precision

from . import courses
from .growth import linked_copies
from .harness import Bench, Line, Spread, compared, seconds
from .limits import matrix_speed


def photographs(bench: Bench, count: int) -> tuple[ImageFolder, str]:
    """Return photographs of dogs and cats for a network of 224x224, and whose they are."""
    with bench.silence():
        data = open_data("pets")
    steps = [v2.Resize(256), v2.CenterCrop(224), v2.ToImage(), v2.ToDtype(torch.float32, True)]
    folder = data.root / data.facts.inner / "train"
    images = ImageFolder(folder, v2.Compose(steps), loader=read_photo)
    images.samples = images.samples[:: max(1, len(images.samples) // count)][:count]
    return images, f"{data.source}, {len(images.samples)} photographs"


def vgg_features(bench: Bench) -> Iterator[Line]:
    """VGG16's maps of 224x224 pictures."""
    images, what = photographs(bench, 12 if bench.quick else 64)
    torch.manual_seed(0)
    network = torchvision.models.vgg16().features.eval()  # random weights cost the same
    copy = torchvision.models.vgg16().features.eval()
    slow = torch.utils.data.DataLoader(images, batch_size=32)
    used = []

    def ours() -> None:
        with tempfile.TemporaryDirectory(dir=bench.scratch) as folder, bench.silence():
            cache = FeatureCache(images, copy, Path(folder))
            cache.load()
            used.append(cache.precision)

    found = bench.pairs(
        seconds(lambda: courses.features_in_lists(network, slow)), seconds(ours), warm_up=False
    )
    dtype = used[-1]
    speed = operations_a_second(copy, torch.rand(8 if bench.quick else 32, 3, 224, 224), dtype)
    times = matrix_speed(dtype) / speed
    is_half = mixed_precision(torch.device("cpu"), on_cpu=True) is not None
    yield compared(
        "VGG16 features of 224×224 pictures",
        what,
        "at least 1.8× where the CPU has bf16, within 1.3× of the matrix product",
        found,
        1.8 if is_half else 0,
        met=times <= 1.3,
        limit=f"{times:.2f}× a matrix product",
        note="Random weights. From file to cache, with all checks. The network alone, in "
        f"{str(dtype).removeprefix('torch.')}: {speed / 1e9:.0f} of "
        f"{matrix_speed(dtype) / 1e9:.0f} billion operations a second.",
    )


@torch.no_grad()
def operations_a_second(network: nn.Module, batch: torch.Tensor, dtype: torch.dtype) -> float:
    """Return the floating-point operations a second of a network at its best of three tries."""
    with FlopCounterMode(display=False) as counter:
        network(batch[:1])
    batch = batch.contiguous(memory_format=torch.channels_last)
    quick = quickest(network, batch.device, dtype)
    taken = min(seconds(lambda: forward(quick, batch, dtype))() for _ in range(3))
    return len(batch) * counter.get_total_flops() / taken


def cache_memory(bench: Bench) -> Iterator[Line]:
    """The memory that caching takes on top of what the process had before."""
    work = "Peak memory while caching features of 5,000 pictures"
    what, goal = "copies of 8 photographs, 64×64", "flat, at least 5× lower"
    if bench.quick:
        yield Line(work, what, goal, note="Left out with --quick.")
        return
    counts = (1000, 5000)
    images, _ = photographs(bench, 8)
    few = linked_copies([Path(path) for path, _ in images.samples], bench.scratch / "memory")
    peaks = {}

    def peak(way: str, count: int) -> float:
        command = [sys.executable, "-m", "tests.benchmarks.feature_rows", way, str(few), str(count)]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
        return float(done.stdout.split()[-1])

    for way in ("course", "ours"):
        peaks[way] = peak(way, counts[0])
    found = bench.pairs(
        lambda: peak("course", counts[1]), lambda: peak("ours", counts[1]), warm_up=False
    )
    ours = Spread.of(found.ours).median
    is_flat = ours <= 1.3 * peaks["ours"] + 10
    yield compared(
        work,
        what,
        goal,
        found,
        5,
        unit="MB",
        met=is_flat,
        note="On top of what the process had after its first batch. A network of one convolution "
        "with maps as large as VGG16's, 25,088 numbers. "
        f"At {counts[0]:,} pictures: the course {peaks['course']:.0f} MB, ours "
        f"{peaks['ours']:.0f} MB.",
    )


def _peak_in_here(way: str, folder: Path, count: int) -> float:
    """Cache features in this process; return the MB it took at most, beyond a first batch."""
    import psutil

    from helpers.checkpoints import peak_memory

    steps = [v2.Resize((64, 64)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    images = ImageFolder(folder, v2.Compose(steps), loader=read_photo)
    network = nn.Conv2d(3, 512, 9, stride=9).eval()  # (N, 512, 7, 7)
    images.samples = images.samples * (count // len(images.samples) + 1)

    def work(amount: int, name: str) -> None:
        whole, images.samples = images.samples, images.samples[:amount]
        if way == "ours":
            with tempfile.TemporaryDirectory() as place:
                FeatureCache(images, network, Path(place) / name).load()
        else:
            batches = torch.utils.data.DataLoader(images, batch_size=32)
            kept = courses.features_in_lists(network, batches)
            del kept
        images.samples = whole

    work(32, "first")
    before = psutil.Process().memory_info().rss
    work(count, "second")
    return max(0.1, (peak_memory() - before) / 1e6)


if __name__ == "__main__":
    way, folder, count = sys.argv[1:]
    print(_peak_in_here(way, Path(folder), int(count)))

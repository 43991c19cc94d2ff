"""A trained network that answers for any picture, or says plainly why it should not."""

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from tqdm.auto import tqdm

from helpers.archives import folder_images
from helpers.catalog import DATA_SETS, DataSet, data_folder, home, run_folder
from helpers.checkpoints import load_model
from helpers.datasets import OpenedData, csv_images, open_data
from helpers.guard import Guard, read_guard
from helpers.models import LeNet
from helpers.recipes import aoi_lenet
from helpers.training import best_device
from helpers.transfer import load_backbone
from helpers.uploads import read_upload
from helpers.weights import weights_mark

FAMILIAR, OWN = 600, 100  # training pictures to learn from, test pictures to measure with
SOME = 8  # pictures that are asked about together: quicker, and they fit into memory


@dataclass(frozen=True)
class Answer:
    """What a network says about a picture.

    Attributes
    ----------
    refusal : str
        Why the answer must not be used; empty where it may.
    probabilities : dict
        Of each class in 0..1, the largest first; empty where there is no picture.
    score : float
        The distance to the training pictures; not a number where there is no picture.
    picture : PIL.Image.Image or None
        What was judged, RGB and upright.
    heat : numpy.ndarray or None
        The class activation map, (h, w) in 0..1: what the network looked at. Source: Draelos and
        Carin, Use HiResCAM instead of Grad-CAM for faithful explanations, 2020.
    """

    refusal: str
    probabilities: dict[str, float] = field(default_factory=dict)
    score: float = math.nan
    picture: Image.Image | None = None
    heat: np.ndarray | None = None

    def __str__(self) -> str:
        if self.refusal:
            return f"refused: {self.refusal}"
        return ", ".join(f"{name} {p:.0%}" for name, p in list(self.probabilities.items())[:3])


class Predictor:
    """A trained run that answers for any picture, with a guard against strange ones.

    Parameters
    ----------
    run : str or Path, optional
        runs/<data set>/<run>, counted from the workshop's home, with model.safetensors (a LeNet) or
        head.safetensors (with the backbone that metrics.json names). Without it: step 07's network,
        trained if need be.

    Attributes
    ----------
    classes : tuple of str
        What it tells apart.
    network : nn.Module
        A batch of pictures to probabilities, (B, classes).
    guard : Guard
        Made from the pictures that it was trained on, and kept beside it.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such run, or the data that it was trained on are not here any more.
    """

    def __init__(self, run: str | Path | None = None) -> None:
        self.run = _found(run)
        self.facts = DATA_SETS[self.run.parent.name]
        self.classes = self.facts.classes
        metrics = json.loads((self.run / "metrics.json").read_text(encoding="utf-8"))
        if (self.run / "head.safetensors").is_file():
            parts, self._transform = _on_backbone(self.run, metrics, len(self.classes))
        else:
            parts, self._transform = _lenet(self.run / "model.safetensors", self.facts)
        self.device = best_device()
        self.network = nn.Sequential(*parts, nn.Softmax(dim=1)).eval().to(self.device)
        self.network.requires_grad_(False)
        self.convolutions, self.head = parts[0], nn.Sequential(*parts[1:])
        mark = weights_mark(self.network)
        kept = self.run / "guard.safetensors"
        self.guard = read_guard(kept, mark)
        if self.guard is None or not len(self.guard.own):
            self.guard = self._learned(metrics.get("source") or "")
            with contextlib.suppress(OSError):  # it is made again the next time
                self.guard.write(kept, mark)

    def ask(self, picture: bytes | str | Path | Image.Image) -> Answer:
        """Return the answer for one picture; see `ask_all`."""
        return self.ask_all([picture])[0]

    def ask_all(self, pictures: Sequence[bytes | str | Path | Image.Image]) -> list[Answer]:
        """Return the answer for each picture, computed as one batch.

        Parameters
        ----------
        pictures : sequence of bytes, path or PIL.Image.Image
            See `read_upload`. What cannot be read gets a refusal; the others do not suffer.

        Returns
        -------
        list of Answer
            In the same order.
        """
        answers: list[Answer | None] = []
        photos = []
        for picture in pictures:
            try:
                photos.append(read_upload(picture))
                answers.append(None)
            except ValueError as error:
                answers.append(Answer(str(error)))
        judged = self._judged(photos) if photos else None
        return [answer or next(judged) for answer in answers]

    def _judged(self, photos: list[Image.Image]) -> Iterator[Answer]:
        maps = self._maps(photos)
        scores = self.guard.scores(maps)
        logits = self.head(maps.requires_grad_())  # (B, classes)
        (slope,) = torch.autograd.grad(logits.amax(dim=1).sum(), maps)
        # HiResCAM: Grad-CAM of step 10 averages the slopes over a map first. After a global average
        # that is the same; the linear layers of a LeNet weigh each place differently.
        heat = (slope * maps).sum(dim=1).relu().detach()  # (B, h, w)
        heat = (heat / heat.amax(dim=(1, 2), keepdim=True).clamp(min=1e-9)).cpu().numpy()
        limit = self.guard.limit
        found = zip(photos, logits.softmax(dim=1).tolist(), scores.tolist(), heat, strict=True)
        for photo, row, score, looked in found:
            ranked = sorted(zip(self.classes, row, strict=True), key=lambda pair: -pair[1])
            refusal = (
                f"this is unlike the pictures it learned from ({self.facts.title}: distance "
                f"{score:.1f}, at most {limit:.1f})."
            )
            refusal = "" if score <= limit else refusal  # one that is no number is refused, too
            yield Answer(refusal, dict(ranked), score, photo, looked)

    def batch(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Return pictures as the network takes them, (B, channels, size, size)."""
        return torch.stack([self._transform(picture) for picture in pictures])

    @torch.no_grad()
    def _maps(self, photos: list[Image.Image]) -> Tensor:
        """Return what the last convolutions make of the pictures, (B, C, h, w)."""
        return self.convolutions(self.batch(photos).to(self.device))

    def _learned(self, source: str) -> Guard:
        """Make the guard from the data that it was trained on, read as uploads are."""
        data = OpenedData(self.facts, data_folder(self.facts.name) / source, source)
        if not source or not data.root.is_dir():
            raise ValueError(
                f"{self.run} was trained on {source or 'unknown data'}, which is not here. "
                "Train it again with the data that are."
            )

        def maps(split: str, most: int) -> Iterator[Tensor]:
            images = (csv_images if self.facts.name == "aoi" else folder_images)(data, split)
            rows = np.linspace(0, len(images) - 1, min(len(images), most)).astype(int)
            for row in tqdm(rows, desc=f"Looking at pictures: {split}"):
                file = images.image_dir / images.ids[row]
                try:
                    yield self._maps([read_upload(file)])
                except ValueError as error:
                    raise ValueError(f"{file}: {error}") from error

        last = list(self.facts.pictures)[-1]
        try:
            test = list(maps(last, OWN))
        except FileNotFoundError:  # AOI can be trained without its test pictures
            test = []
        return Guard.learn(maps("train", FAMILIAR), test)


def _found(run: str | Path | None) -> Path:
    """Return a run's folder in the workshop's home."""
    folder = (home() / (run or run_folder("aoi", "lenet"))).resolve()
    if run is None and not (folder / "metrics.json").is_file():
        aoi_lenet(open_data("aoi"))
    if folder.parent.name not in DATA_SETS or not (folder / "metrics.json").is_file():
        raise FileNotFoundError(
            f"There is no run in {folder}. Expected runs/<data set>/<run>, such as runs/aoi/lenet; "
            "steps 07, 10 and 12 make them."
        )
    return folder


Parts = tuple[list[nn.Module], Callable[[Image.Image], Tensor]]


def _on_backbone(run: Path, metrics: dict, classes: int) -> Parts:
    """Return convolutions, what follows them, the last layer; and what prepares a picture."""
    backbone = load_backbone(metrics["backbone"])
    if metrics.get("backbone_weights") != backbone.mark:
        raise ValueError(
            f"{run} was trained on other weights of {backbone.name} than are here. "
            "Train it again: steps 10 and 12 do."
        )
    head = load_model(run / "head.safetensors", nn.Linear(backbone.outputs, classes))
    return [backbone.convolutions, backbone.rest, head], backbone.transform


def _lenet(file: Path, facts: DataSet) -> Parts:
    """Return the same of a LeNet."""
    model = load_model(file)
    if not isinstance(model, LeNet) or model.settings["channels"] != 1:
        raise ValueError(
            f"{file} holds a {type(model).__name__} {model.settings}, expected a LeNet for "
            "grey pictures."
        )
    size = (model.settings["size"],) * 2

    def prepare(picture: Image.Image) -> Tensor:
        pixels = np.asarray(picture.convert("L"))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        return (torch.from_numpy(pixels)[None].float() / 255 - facts.mean) / facts.std

    relu = nn.ReLU()
    convolutions = nn.Sequential(model.conv1, model.pool, relu, model.conv2, model.pool, relu)
    rest = nn.Sequential(nn.Flatten(), model.linear1, relu, model.linear2, relu)
    return [convolutions, rest, model.linear3], prepare


def report(run: str | None, pictures: Sequence[str]) -> int:
    """Print the answer for each picture, one a line; return 1 if one was refused, else 0."""
    with contextlib.redirect_stdout(sys.stderr):  # which network and data: not an answer
        predictor = Predictor(run)
    refused = False
    for first in range(0, len(pictures), SOME):
        some = pictures[first : first + SOME]
        for picture, answer in zip(some, predictor.ask_all(some), strict=True):
            print(f"{picture}: {answer}", flush=True)
            refused |= bool(answer.refusal)
    return int(refused)

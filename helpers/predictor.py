"""A trained network that answers for any picture, or says plainly why it should not."""

import contextlib
import hashlib
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from helpers.catalog import DATA_SETS, data_folder, home, run_folder
from helpers.checkpoints import load_model
from helpers.datasets import OpenedData, open_data
from helpers.familiar import held_back, measured_guard
from helpers.guard import read_guard
from helpers.models import LeNet
from helpers.recipes import aoi_lenet
from helpers.training import best_device
from helpers.transfer import load_backbone
from helpers.uploads import read_upload


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
        runs/<data set>/<run> with model.safetensors (a LeNet) or head.safetensors (with the
        backbone that metrics.json names). Without it: step 07's network, trained if need be.

    Attributes
    ----------
    classes : tuple of str
        What it tells apart.
    network : nn.Module
        A batch of pictures to probabilities, (B, classes).
    guard : Guard
        How it is made and measured: see `helpers.familiar.measured_guard`.

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
            file, backbone = self.run / "head.safetensors", load_backbone(metrics["backbone"])
            if metrics.get("backbone_weights") != backbone.mark:
                raise ValueError(
                    f"{self.run} was trained on other weights of {backbone.name} than are here. "
                    "Train it again: steps 10 and 12 do."
                )
            self.head = load_model(file, nn.Linear(backbone.outputs, len(self.classes)))
            parts, self._transform = (backbone.convolutions, backbone.rest), backbone.transform
            self._shape = (3, backbone.size, backbone.size)
        else:
            file = self.run / "model.safetensors"
            model = load_model(file)
            if not isinstance(model, LeNet) or model.settings["channels"] != 1:
                raise ValueError(
                    f"{file} holds a {type(model).__name__} {model.settings}, expected a LeNet for "
                    "grey pictures."
                )
            self.head, parts, self._transform = model.linear3, _cut(model), self._grey
            self._shape = (1, model.settings["size"], model.settings["size"])
        self.device = best_device()
        self.convolutions, self.rest = (part.to(self.device).eval() for part in parts)
        self.head.to(self.device)
        self.network = nn.Sequential(self.convolutions, self.rest, self.head, nn.Softmax(dim=1))
        self.network.requires_grad_(False)
        mark = hashlib.sha256(
            file.read_bytes() + str(metrics.get("backbone_weights")).encode()
        ).hexdigest()
        kept = self.run / "guard.safetensors"
        self.guard = read_guard(kept, mark)
        self.source = metrics.get("source", "")
        if self.guard is None:
            self.guard = measured_guard(self._data(), self._maps)
            self.guard.write(kept, mark)

    def _grey(self, picture: Image.Image) -> Tensor:
        pixels = cv2.resize(
            np.asarray(picture.convert("L")), self._shape[1:], interpolation=cv2.INTER_AREA
        )
        return (torch.from_numpy(pixels)[None].float() / 255 - self.facts.mean) / self.facts.std

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
        judged = iter(self._judge(photos) if photos else ())
        return [answer or next(judged) for answer in answers]

    def _judge(self, photos: list[Image.Image]) -> list[Answer]:
        maps = self._maps(photos)
        scores = self.guard.scores(maps)
        logits = self.head(self.rest(maps.requires_grad_()))  # (B, classes)
        (slope,) = torch.autograd.grad(logits.amax(dim=1).sum(), maps)
        # HiResCAM: Grad-CAM of step 10 averages the slopes over a map first. After a global average
        # that is the same; the linear layers of a LeNet weigh each place differently.
        heat = (slope * maps).sum(dim=1).relu().detach()  # (B, h, w)
        heat = (heat / heat.amax(dim=(1, 2), keepdim=True).clamp(min=1e-9)).cpu().numpy()
        found = zip(photos, logits.softmax(dim=1).tolist(), scores.tolist(), heat, strict=True)
        answers = []
        for photo, row, score, looked in found:
            ranked = sorted(zip(self.classes, row, strict=True), key=lambda pair: -pair[1])
            answers.append(Answer(self._verdict(score), dict(ranked), score, photo, looked))
        return answers

    def _verdict(self, score: float) -> str:
        if score <= self.guard.limit:
            return ""
        return (
            f"this is unlike the pictures it learned from ({self.facts.title}: distance "
            f"{score:.1f}, at most {self.guard.limit:.1f})."
        )

    def batch(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Return pictures as the network takes them, (B, channels, size, size)."""
        return torch.stack([self._transform(picture) for picture in pictures])

    @torch.no_grad()
    def _maps(self, photos: list[Image.Image]) -> Tensor:
        """Return what the last convolutions make of the pictures, (B, C, h, w)."""
        return self.convolutions(self.batch(photos).to(self.device))

    def held_back(self) -> Iterator[Image.Image]:
        """Yield the training pictures that set the guard's limit; the others are what it knows."""
        return held_back(self._data())

    def _data(self) -> OpenedData:
        """Return the data that it was trained on."""
        data = OpenedData(self.facts, data_folder(self.facts.name) / self.source, self.source)
        if not self.source or not data.root.is_dir():
            raise ValueError(
                f"{self.run} was trained on {self.source or 'unknown data'}, which is not here. "
                "Train it again with the data that are."
            )
        return data


def _found(run: str | Path | None) -> Path:
    """Return a run's folder, looked for here and in the workshop's home."""
    default = run_folder("aoi", "lenet")
    folder = home() / (run or default)
    if run and not folder.is_dir():
        folder = Path(run)
    if folder == default and not (folder / "metrics.json").is_file():
        aoi_lenet(open_data("aoi"))
    folder = folder.resolve()
    if folder.parent.name not in DATA_SETS or not (folder / "metrics.json").is_file():
        raise FileNotFoundError(
            f"There is no run in {folder}. Expected runs/<data set>/<run>, such as runs/aoi/lenet; "
            "steps 07, 10 and 12 make them."
        )
    return folder


def _cut(model: LeNet) -> tuple[nn.Sequential, nn.Sequential]:
    """Return a LeNet's convolutions, and what comes between them and its last layer."""
    relu = nn.ReLU()
    return (
        nn.Sequential(model.conv1, model.pool, relu, model.conv2, model.pool, relu),
        nn.Sequential(nn.Flatten(), model.linear1, relu, model.linear2, relu),
    )


def report(run: str | None, pictures: Sequence[str]) -> int:
    """Print the answer for each picture, one a line.

    Returns
    -------
    int
        1 if a picture was refused, else 0.
    """
    with contextlib.redirect_stdout(sys.stderr):  # which network and data: not an answer
        predictor = Predictor(run)
    refused = False
    for picture in pictures:  # an answer holds the whole picture, so one at a time
        answer = predictor.ask(picture)
        print(f"{picture}: {answer}", flush=True)
        refused |= bool(answer.refusal)
    return int(refused)

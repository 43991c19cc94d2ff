"""A trained network that answers for any picture, or says plainly why it should not."""

import contextlib
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from tqdm.auto import tqdm

from helpers.archives import folder_images
from helpers.catalog import DATA_SETS, DataSet, data_folder, home
from helpers.checkpoints import load_model
from helpers.datasets import OpenedData, csv_images
from helpers.files import whole_file
from helpers.guard import Guard, point
from helpers.models import LeNet
from helpers.training import best_device
from helpers.transfer import load_backbone
from helpers.uploads import read_upload
from helpers.weights import weights_mark

FAMILIAR, OWN = 600, 100  # training pictures to learn from, test pictures to measure with


@dataclass(frozen=True)
class Answer:
    """What a network says about a picture."""

    refusal: str  # why the answer must not be used; empty where it may
    probabilities: dict[str, float] = field(default_factory=dict)  # the largest first
    score: float = math.nan  # the distance to the training pictures
    picture: Image.Image | None = None  # what was judged, RGB and upright
    heat: np.ndarray | None = None  # what the network looked at, (h, w) in 0..1

    def __str__(self) -> str:
        if self.refusal:
            return f"refused: {self.refusal}"
        return ", ".join(f"{name} {p:.0%}" for name, p in list(self.probabilities.items())[:3])


class Predictor:
    """A trained run that answers for any picture, with a guard against strange ones.

    Parameters
    ----------
    run : str or Path
        runs/<data set>/<run>, counted from the workshop's home, with model.safetensors (a LeNet) or
        head.safetensors (with the backbone that metrics.json names).

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such run, or the data that it was trained on are not here any more.
    """

    def __init__(self, run: str | Path) -> None:
        self.run = (home() / run).resolve()
        if self.run.parent.name not in DATA_SETS or not (self.run / "metrics.json").is_file():
            raise FileNotFoundError(
                f"There is no run in {self.run}. Expected runs/<data set>/<run>, such as "
                "runs/aoi/lenet; steps 07, 10 and 12 make them."
            )
        self.facts = DATA_SETS[self.run.parent.name]
        self.classes = self.facts.classes
        metrics = json.loads((self.run / "metrics.json").read_text(encoding="utf-8"))
        if (self.run / "head.safetensors").is_file():
            cut = _on_backbone(self.run, metrics, len(self.classes))
        else:
            cut = _lenet(self.run / "model.safetensors", self.facts)
        self.convolutions, self.head, self.prepare = cut
        self.device = best_device()
        # pictures, (B, channels, size, size), to probabilities, (B, classes)
        self.network = nn.Sequential(self.convolutions, self.head, nn.Softmax(dim=1))
        self.network.eval().requires_grad_(False).to(self.device)
        kept = self.run / f"guard-{weights_mark(self.network)}.safetensors"
        try:
            self.guard = Guard(**load_file(kept))
        except (OSError, SafetensorError, TypeError):  # there is none yet, or no whole one
            self.guard = self._learned(metrics.get("source", ""))
            with contextlib.suppress(OSError), whole_file(kept) as partial:
                partial.write_bytes(save(vars(self.guard)))

    def ask(self, content: bytes | str | Path) -> Answer:
        """Return the answer for one picture; a refusal where `read_upload` cannot read it."""
        try:
            picture = read_upload(content)
        except ValueError as error:
            return Answer(str(error))
        maps = self._maps(picture)
        with torch.enable_grad():
            logits = self.head(maps.requires_grad_())  # (1, classes)
            (slope,) = torch.autograd.grad(logits.max(), maps)
        # HiResCAM (Draelos and Carin, 2020): Grad-CAM of step 10 averages the slopes over a map
        # first. After a global average that is the same; the linear layers of a LeNet weigh each
        # place differently.
        heat = (slope * maps)[0].sum(dim=0).relu().detach().cpu()  # (h, w)
        heat = (heat / heat.max().clamp(min=1e-9)).numpy()
        named = zip(self.classes, logits[0].softmax(dim=0).tolist(), strict=True)
        score, limit = self.guard.score(point(maps[0])), self.guard.limit
        refusal = (
            f"this is unlike the pictures it learned from ({self.facts.title}: distance "
            f"{score:.1f}, at most {limit:.1f})."
        )
        refusal = "" if score <= limit else refusal  # one that is no number is refused, too
        return Answer(refusal, dict(sorted(named, key=lambda p: -p[1])), score, picture, heat)

    @torch.no_grad()
    def _maps(self, picture: Image.Image) -> Tensor:
        """Return what the last convolutions make of a picture, (1, channels, h, w)."""
        return self.convolutions(self.prepare(picture)[None].to(self.device))

    def _learned(self, source: str) -> Guard:
        """Make the guard from the data that it was trained on, read as uploads are."""
        data = OpenedData(self.facts, data_folder(self.facts.name) / source, source)

        def points(split: str, most: int) -> Tensor:
            images = (csv_images if self.facts.name == "aoi" else folder_images)(data, split)
            rows = np.linspace(0, len(images) - 1, min(len(images), most)).astype(int)
            found = []
            for row in tqdm(rows, desc=f"Looking at pictures: {split}"):
                with contextlib.suppress(ValueError):  # it would be refused unread
                    picture = read_upload(images.image_dir / images.ids[row])
                    found.append(point(self._maps(picture)[0]))
            return torch.stack(found) if found else torch.empty(0)

        known = points("train", FAMILIAR)
        *_, last = self.facts.pictures
        try:
            own = points(last, OWN)
        except FileNotFoundError:  # AOI can be trained without its test pictures
            own = known[:0]
        return Guard.learn(known, own)


Cut = tuple[nn.Module, nn.Module, Callable[[Image.Image], Tensor]]


def _on_backbone(run: Path, metrics: dict, classes: int) -> Cut:
    """Return the convolutions, what follows them, and what prepares a picture."""
    backbone = load_backbone(metrics["backbone"])
    if metrics.get("backbone_weights") != backbone.mark:
        raise ValueError(
            f"{run} was trained on other weights of {backbone.name} than are here. "
            "Train it again: steps 10 and 12 do."
        )
    head = load_model(run / "head.safetensors", nn.Linear(backbone.outputs, classes))
    return backbone.convolutions, nn.Sequential(backbone.rest, head), backbone.transform


def _lenet(file: Path, facts: DataSet) -> Cut:
    """Return the same of a LeNet for grey pictures of 128x128 pixels."""
    model, relu = load_model(file, LeNet(len(facts.classes))), nn.ReLU()

    def prepare(picture: Image.Image) -> Tensor:
        pixels = np.asarray(picture.convert("L"))
        pixels = cv2.resize(pixels, (128, 128), interpolation=cv2.INTER_AREA)
        return (torch.from_numpy(pixels)[None].float() / 255 - facts.mean) / facts.std

    convolutions = nn.Sequential(model.conv1, model.pool, relu, model.conv2, model.pool, relu)
    head = nn.Sequential(nn.Flatten(), model.linear1, relu, model.linear2, relu, model.linear3)
    return convolutions, head, prepare


def report(run: str, pictures: Sequence[str]) -> int:
    """Print the answer for each picture, one a line; return 1 if one was refused, else 0."""
    with contextlib.redirect_stdout(sys.stderr):  # which network: not an answer
        predictor = Predictor(run)
    refused = False
    for picture in pictures:
        answer = predictor.ask(picture)
        print(f"{picture}: {answer}", flush=True)
        refused |= bool(answer.refusal)
    return int(refused)

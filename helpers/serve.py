"""A trained network that answers for any picture, or refuses; and what a page for it needs."""

import contextlib
import json
import math
import os
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.v2.functional import normalize
from tqdm.auto import tqdm

from helpers.catalog import DATA_SETS, data_folder, home
from helpers.data import OpenedData, image_dataset, open_data
from helpers.images import open_picture, squeezed
from helpers.models import layer_outputs
from helpers.training import best_device, load_model
from helpers.transfer import load_backbone

MOST_BYTES = 20_000_000  # a telephone's pictures have less
FAMILIAR, OWN = 600, 100  # training pictures to learn from, test pictures to measure with
NEIGHBOUR, QUANTILE = 5, 0.95
FEW = 50  # pictures: with fewer, a spread cannot be told, and none can be spared
LOCK = threading.RLock()  # a page may ask twice at once, and while it is taught


@dataclass(frozen=True)
class Answer:
    """What a network says about a picture."""

    refusal: str  # why the answer must not be used; empty where it may
    probabilities: dict[str, float] = field(default_factory=dict)  # the largest first
    score: float = math.nan  # the distance to the training pictures
    picture: Image.Image | None = None  # what was judged, upright
    heat: np.ndarray | None = None  # what the network looked at, (h, w) in 0..1

    def __str__(self) -> str:
        named = [f"{name} {p:.0%}" for name, p in self.probabilities.items()]
        return f"refused: {self.refusal}" if self.refusal else ", ".join(named[:3])


class Predictor:
    """The network in a run folder, with a guard against pictures unlike its training pictures.

    The score of a picture is the distance to its fifth-nearest training picture, between the means
    and deviations of its last maps. Every fifth picture is held back, and 95 % of those are within
    the limit. (Sun et al., Out-of-distribution detection with deep nearest neighbors, 2022.) Of
    fewer than 50 all are kept, as directions; the furthest from any other sets the limit.
    """

    def __init__(self, run: str | Path) -> None:
        self.run = (home() / run).resolve()
        name, file = self.run.parent.name, self.run / "metrics.json"
        if not file.is_file():
            raise FileNotFoundError(f"No {file}. Expected runs/<data set>/<run>, as in step 07.")
        metrics = json.loads(file.read_text(encoding="utf-8"))
        # what it was trained on, whatever else is here now
        facts, source = DATA_SETS.get(name), metrics.get("source", "own")
        data = OpenedData(facts, data_folder(name) / source, source) if facts else open_data(name)
        self.facts, self.classes = data.facts, data.facts.classes
        if "backbone" in metrics:
            backbone = load_backbone(metrics["backbone"])
            if metrics["backbone_weights"] != backbone.mark:
                raise ValueError(f"{self.run} was trained on other weights: run its notebook.")
            head = nn.Linear(backbone.outputs, len(self.classes))
            head = load_model(self.run / "head.safetensors", head)
            self.model, self.prepare = nn.Sequential(backbone.body, head), backbone.transform
        else:
            self.model, self.prepare = load_model(self.run / "model.safetensors"), self._resized
        *_, last = (layer for layer in self.model.modules() if isinstance(layer, nn.Linear))
        for values in last.parameters():  # calibrates the probabilities: see step 14
            values.data /= metrics.get("temperature", 1.0)
        self.model.eval().requires_grad_(False).to(best_device())
        self.network = nn.Sequential(self.model, nn.Softmax(dim=1))  # to probabilities (N, classes)
        self.remember(self._points(data, "train", FAMILIAR))
        self.measured = "How many good pictures it refuses is unknown: there are no test pictures."
        *_, test = self.facts.pictures  # the part that nobody trained on
        with contextlib.suppress(FileNotFoundError):  # AOI can be trained without test pictures
            own = self._scores(self._points(data, test, OWN), self.neighbour)
            alarms = (~(own <= self.limit)).float().mean().item()
            self.measured = f"It refuses {alarms:.0%} of {len(own)} test pictures of its own kind."

    def _resized(self, picture: Image.Image) -> Tensor:
        facts = self.facts  # all of this as the training pictures were made
        pixels = squeezed(picture.convert("L" if facts.channels == 1 else "RGB"), facts.size)
        return normalize(pixels / 255, facts.mean, facts.std)  # (C, size, size)

    @torch.no_grad()
    def _points(self, data: OpenedData, part: str, most: int) -> Tensor:
        files = [file for file, _ in image_dataset(data, part).samples]
        rows = np.linspace(0, len(files) - 1, min(len(files), most)).astype(int)
        bar = tqdm(rows, desc=f"Looking at pictures: {part}")
        pictures = (self.prepare(open_picture(files[row])) for row in bar)
        return torch.stack([point_of(look(self.model, picture)[1]) for picture in pictures])

    def remember(self, points: Tensor) -> None:
        """Keep the points (N, 2 * C) of familiar pictures, and set the limit."""
        if len(points) < FEW:
            self.scaled, self.neighbour = nn.functional.normalize, 1
            self.known = self.scaled(points)
            self.familiar = self._scores(points, 2)  # the nearest is the picture itself
            self.limit = self.familiar.max().item()
            return
        held_back = torch.arange(len(points)) % 5 == 0
        spread = points[~held_back].std(dim=0)
        spread += 0.1 * spread.mean() + 1e-9  # a filter may hardly ever answer
        self.scaled, self.neighbour = lambda points: points / spread, NEIGHBOUR
        self.known = self.scaled(points[~held_back])
        self.familiar = self._scores(points[held_back], NEIGHBOUR)  # they set the limit
        self.limit = self.familiar.quantile(QUANTILE).item()

    def _scores(self, points: Tensor, neighbour: int) -> Tensor:
        exact = "donot_use_mm_for_euclid_dist"  # the other mode is quicker, and loses digits
        away = torch.cdist(self.scaled(points), self.known, compute_mode=exact)
        return away.kthvalue(neighbour).values  # (N,)

    def ask(self, content: bytes | str | Path) -> Answer:
        """Return the answer for one picture: the content of a file, or where it lies."""
        try:
            if not isinstance(content, bytes):
                with Path(content).open("rb") as file:
                    content = file.read(MOST_BYTES + 1)
            if len(content) > MOST_BYTES:
                return Answer(f"it has over {MOST_BYTES / 1e6:.0f} MB. Make it smaller.")
            picture = open_picture(content)
        except (OSError, ValueError) as error:
            return Answer(str(error))
        with LOCK:
            logits, maps = look(self.model, self.prepare(picture))
            score = self._scores(point_of(maps)[None], self.neighbour).item()
            classes, limit = self.classes, self.limit
        (slope,) = torch.autograd.grad(logits.max(), maps)
        # HiResCAM (Draelos and Carin, 2020): Grad-CAM averages the slopes over a map first
        heat = (slope * maps)[0].sum(dim=0).relu().detach().cpu()  # (h, w)
        heat = (heat / heat.max().clamp(min=1e-9)).numpy()
        refusal = f"this is unlike what it learned from (distance {score:.3g} > {limit:.3g})."
        refusal = "" if score <= limit else refusal  # a score that is no number is refused
        named = zip(classes, logits.softmax(dim=0).tolist(), strict=True)
        probabilities = dict(sorted(named, key=lambda pair: -pair[1]))
        return Answer(refusal, probabilities, score, picture, heat)


def look(model: nn.Module, picture: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits (classes,) of a picture (C, H, W), and its last maps, (1, F, h, w)."""
    device = next(model.parameters()).device
    with LOCK:
        outputs = layer_outputs(model, picture[None].to(device).requires_grad_())
    *_, maps = (x for _, x in outputs if x.ndim == 4 and x.shape[2:].numel() > 1)
    return outputs[-1][1][0], maps


def point_of(maps: Tensor) -> Tensor:
    """Return how strongly and how unevenly each filter answers, (2 * C,), for maps (1, C, h, w)."""
    maps = maps[0].detach().float().relu().cpu().flatten(1)  # (C, h * w)
    return torch.cat([maps.mean(dim=1), maps.std(dim=1, correction=0)]).sqrt()


def photo_input():
    """Return Gradio's picture component, which now gives the file as it came, not decoded."""
    import gradio as gr

    uploads = (home() / "build" / "uploads").resolve()
    os.environ |= {"GRADIO_TEMP_DIR": str(uploads), "GRADIO_ANALYTICS_ENABLED": "False"}
    shutil.rmtree(uploads, ignore_errors=True)  # a page that was killed may have left some

    def uploaded(payload) -> str | None:  # `Predictor.ask` measures it before it decodes it
        if payload and not Path(payload.path or "").resolve().is_relative_to(uploads):
            raise gr.Error("This file was not uploaded: send the picture itself.")
        return payload and payload.path

    async def kept(path: str) -> str:  # Gradio would fetch it from any address that it is given
        return path

    # on the object: Gradio would write a file beside this one for a class of ours
    photo = gr.Image(type="filepath", sources=["upload", "webcam"], label="Your picture")
    photo.preprocess, photo.async_move_resource_to_block_cache = uploaded, kept
    return photo


async def gate(request, call_next):
    """Let through what a page of this machine asks for, and turn strangers away."""
    from starlette.responses import PlainTextResponse

    own, path = f"http://{request.headers['host']}", request.scope["path"]
    if request.headers.get("origin", own) != own:
        return PlainTextResponse("Another page may not ask.", 403)
    if "://" in path or "process_recording" in path:
        return PlainTextResponse("Nothing is fetched for you.", 403)
    size = request.headers.get("content-length", "0" if request.method in ("GET", "HEAD") else "")
    chunked = "transfer-encoding" in request.headers  # it would count for more than the length
    if chunked or not size.isdecimal() or int(size) > MOST_BYTES + 100_000:
        return PlainTextResponse("Too large.", 413)  # all files in it together
    answer = await call_next(request)
    answer.headers["content-security-policy"] = "frame-ancestors 'none'"  # no page shows this one
    return answer


def launch(page) -> str:
    """Show a page for this machine only, and return its address."""
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    # a name that somebody's server made to lead here (DNS rebinding) is not one of these
    layers = [Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])]
    layers.append(Middleware(BaseHTTPMiddleware, dispatch=gate))
    options = {"server_name": "127.0.0.1", "share": False, "inline": False, "quiet": True}
    options |= {"footer_links": [], "prevent_thread_lock": True, "max_file_size": MOST_BYTES}
    options["app_kwargs"] = {"middleware": layers}
    proxies = os.environ.get("no_proxy")
    os.environ["no_proxy"] = "*"  # Gradio asks its own page whether it is there
    try:
        return page.launch(**options)[1]
    finally:
        os.environ.pop("no_proxy") if proxies is None else os.environ.update(no_proxy=proxies)

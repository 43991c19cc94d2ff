"""A trained network that answers for any picture, or refuses; on the command line and on a page."""

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
from tqdm.auto import tqdm

from helpers.catalog import DATA_SETS, data_folder, home
from helpers.data import OpenedData, image_dataset, open_data
from helpers.images import open_picture, squeezed
from helpers.training import best_device, load_model
from helpers.transfer import load_backbone

MOST_BYTES = 20_000_000  # a telephone's pictures have less
FAMILIAR, OWN = 600, 100  # training pictures to learn from, test pictures to measure with
NEIGHBOUR, QUANTILE = 5, 0.95
FEW = 50  # pictures: with fewer, a spread cannot be told, and none can be spared


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
    and deviations of its last maps. One training picture in five is held back; a picture is refused
    if it is further away than 95 % of those. Source: Sun et al., Out-of-distribution detection with
    deep nearest neighbors, 2022. Of fewer than 50 all are kept, and the furthest from any other
    sets the limit; distances are between directions then.
    """

    def __init__(self, run: str | Path) -> None:
        self.run = (home() / run).resolve()
        name, metrics = self.run.parent.name, self.run / "metrics.json"
        if not metrics.is_file():
            raise FileNotFoundError(
                f"There is no run in {self.run}. Expected runs/<data set>/<run>, such as "
                "runs/aoi/lenet; steps 07, 10 and 12 make them."
            )
        metrics = json.loads(metrics.read_text(encoding="utf-8"))
        if name in DATA_SETS:
            folder = data_folder(name) / metrics["source"]
            data = OpenedData(DATA_SETS[name], folder, metrics["source"])
        else:
            data = open_data(name)
        self.facts, self.classes = data.facts, data.facts.classes
        if "backbone" in metrics:
            self.model, self.prepare = self._on_backbone(metrics)
        else:
            self.model, self.prepare = load_model(self.run / "model.safetensors"), self._resized
        *_, last = (layer for layer in self.model.modules() if isinstance(layer, nn.Linear))
        for values in last.parameters():  # calibrates the probabilities: see step 14
            values.data /= metrics.get("temperature", 1.0)
        self.device, self.lock = best_device(), threading.Lock()
        self.model.eval().requires_grad_(False).to(self.device)
        self.network = nn.Sequential(self.model, nn.Softmax(dim=1))  # to probabilities (N, classes)
        self._learn(data)

    def _on_backbone(self, metrics: dict) -> tuple[nn.Module, object]:
        backbone = load_backbone(metrics["backbone"])
        if metrics["backbone_weights"] != backbone.mark:
            raise ValueError(f"{self.run} was trained on other weights. Run its notebook again.")
        head = nn.Linear(backbone.outputs, len(self.classes))
        head = load_model(self.run / "head.safetensors", head)
        return nn.Sequential(backbone.body, head), backbone.transform

    def _resized(self, picture: Image.Image) -> Tensor:
        facts = self.facts  # all of this as the training pictures were made
        pixels = squeezed(picture.convert("L" if facts.channels == 1 else "RGB"), facts.size)
        mean, std = (torch.as_tensor(x).view(-1, 1, 1) for x in (facts.mean, facts.std))
        return (pixels / 255 - mean) / std  # (C, size, size)

    def _learn(self, data: OpenedData) -> None:
        """Learn what is familiar from training pictures, and measure it with test pictures."""
        self._remember(self._points(data, "train", FAMILIAR))
        self.measured = "How many good pictures it refuses is unknown: there are no test pictures."
        *_, last = self.facts.pictures  # the part that nobody trained on
        with contextlib.suppress(FileNotFoundError):  # AOI can be trained without test pictures
            own = self._scores(self._points(data, last, OWN))
            alarms = (~(own <= self.limit)).float().mean().item()
            self.measured = f"It refuses {alarms:.0%} of {len(own)} test pictures of its own kind."

    def _remember(self, points: Tensor) -> None:
        """Keep familiar points (N, 2 * C), and set the limit."""
        self.few = len(points) < FEW
        if self.few:
            self.known = nn.functional.normalize(points, dim=1)
            self.familiar = self._distances(self.known).kthvalue(2).values  # the first is itself
            self.limit = self.familiar.max().item()
            return
        held_back = torch.arange(len(points)) % 5 == 0
        spread = points[~held_back].std(dim=0)
        self.scale = spread + 0.1 * spread.mean() + 1e-9  # a filter may hardly ever answer
        self.known = points[~held_back] / self.scale
        self.familiar = self._scores(points[held_back])  # they set the limit
        self.limit = self.familiar.quantile(QUANTILE).item()

    def _points(self, data: OpenedData, part: str, most: int) -> Tensor:
        files = [file for file, _ in image_dataset(data, part).samples]
        rows = np.linspace(0, len(files) - 1, min(len(files), most)).astype(int)
        bar = tqdm(rows, desc=f"Looking at pictures: {part}")
        with torch.no_grad():
            return torch.stack([point_of(self._maps(open_picture(files[row]))[1]) for row in bar])

    def _scores(self, points: Tensor) -> Tensor:
        if self.few:
            return self._distances(nn.functional.normalize(points, dim=1)).amin(dim=1)
        return self._distances(points / self.scale).kthvalue(NEIGHBOUR).values

    def _distances(self, points: Tensor) -> Tensor:
        # the other mode is quicker, and loses digits
        return torch.cdist(points, self.known, compute_mode="donot_use_mm_for_euclid_dist")

    def _maps(self, picture: Image.Image) -> tuple[Tensor, Tensor]:
        """Return the logits (classes,), and the last maps that they are made of, (1, C, h, w)."""
        caught = []

        def catch(layer: nn.Module, inputs: tuple, output: Tensor) -> Tensor | None:
            if output.ndim != 4 or output.shape[2:].numel() == 1:
                return None
            caught.append(output.detach().requires_grad_())
            return caught[-1].clone()  # some layers overwrite what they are given

        layers = [layer for layer in self.model.modules() if not list(layer.children())]
        with self.lock:  # a page may ask twice at once
            hooks = [layer.register_forward_hook(catch) for layer in layers]
            logits = self.model(self.prepare(picture)[None].to(self.device))[0]
            for hook in hooks:
                hook.remove()
        return logits, caught[-1]

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
        with torch.enable_grad():
            logits, maps = self._maps(picture)
            (slope,) = torch.autograd.grad(logits.max(), maps)
        # HiResCAM (Draelos and Carin, 2020): Grad-CAM averages the slopes over a map first
        heat = (slope * maps)[0].sum(dim=0).relu().detach().cpu()  # (h, w)
        score = self._scores(point_of(maps)[None]).item()
        named = zip(self.classes, logits.softmax(dim=0).tolist(), strict=True)
        probabilities = dict(sorted(named, key=lambda pair: -pair[1]))
        refusal = f"this is unlike what it learned from (distance {score:.3g} > {self.limit:.3g})."
        refusal = "" if score <= self.limit else refusal  # a score that is no number is refused
        heat = (heat / heat.max().clamp(min=1e-9)).numpy()
        return Answer(refusal, probabilities, score, picture, heat)


def point_of(maps: Tensor) -> Tensor:
    """Return how strongly and how unevenly each filter answers, (2 * C,), for maps (1, C, h, w)."""
    maps = maps[0].detach().float().relu().cpu().flatten(1)  # (C, h * w)
    return torch.cat([maps.mean(dim=1), maps.std(dim=1, correction=0)]).sqrt()


def photo_input():
    """Return Gradio's picture component, but one that decodes nothing and fetches nothing.

    It gives the file that was uploaded as it came, so that `Predictor.ask` can measure it first.
    """
    import gradio as gr

    uploads = home() / "build" / "uploads"
    os.environ |= {"GRADIO_TEMP_DIR": str(uploads), "GRADIO_ANALYTICS_ENABLED": "False"}
    shutil.rmtree(uploads, ignore_errors=True)  # a page that was killed may have left some

    def uploaded(payload) -> str | None:
        if payload and not Path(payload.path or "").resolve().is_relative_to(uploads.resolve()):
            raise gr.Error("This file was not uploaded: send the picture itself.")
        return payload and payload.path

    async def kept(path: str) -> str:
        return path

    # on the object: Gradio would write a file beside this one for a class of ours
    photo = gr.Image(type="filepath", sources=["upload", "webcam"], label="Your picture")
    photo.preprocess = uploaded
    photo.async_move_resource_to_block_cache = kept
    return photo


def page(predictor: Predictor):
    """Build the web page: a picture in; a verdict, the classes and the map out."""
    import gradio as gr

    def ask(path: str | None):
        if path is None:  # the picture was taken away
            return "", None, None
        answer = predictor.ask(path)
        if answer.refusal:
            return f"### No answer\n{answer.refusal[:1].upper()}{answer.refusal[1:]}", None, None
        near = f"Distance {answer.score:.3g}, at most {predictor.limit:.3g}"
        verdict = f"### {next(iter(answer.probabilities))}\n{near}: like what it learned from."
        return verdict, answer.probabilities, _overlay(answer)

    photo = photo_input()  # first: it says where the others put their files, too
    outputs = [gr.Markdown(), gr.Label(label="Classes", num_top_classes=5)]
    outputs.append(gr.Image(label="What it looked at", format="jpeg", buttons=[]))
    title = f"{predictor.facts.title}: {', '.join(predictor.classes)}"
    options = {"live": True, "api_name": "ask", "flagging_mode": "never", "delete_cache": (60, 300)}
    options |= {"title": title, "description": predictor.measured}
    return gr.Interface(ask, photo, outputs, **options).queue(max_size=20)


def _overlay(answer: Answer) -> Image.Image:
    """Return the picture, the darker the less the network looked at a place."""
    picture = answer.picture.copy()
    picture.thumbnail((512, 512))
    shade = Image.fromarray((55 + 200 * answer.heat).astype(np.uint8)).resize(picture.size)
    return Image.composite(picture, Image.new("RGB", picture.size), shade)


async def gate(request, call_next):
    """Let through what a page of this machine asks for, and turn strangers away."""
    from starlette.responses import PlainTextResponse

    own, path = f"http://{request.headers['host']}", request.scope["path"]
    if request.headers.get("origin", own) != own:
        return PlainTextResponse("Another page may not ask.", 403)
    if "://" in path or "process_recording" in path:
        return PlainTextResponse("Nothing is fetched for you.", 403)
    size = request.headers.get("content-length", "0" if request.method in ("GET", "HEAD") else "")
    if not size.isdecimal() or int(size) > MOST_BYTES + 100_000:  # of all files in it together
        return PlainTextResponse("Too large.", 413)
    answer = await call_next(request)
    answer.headers["content-security-policy"] = "frame-ancestors 'none'"  # no page shows this one
    return answer


def launch(page, **options) -> str:
    """Show a page for this machine only, and return its address; options are Gradio's."""
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    # a name that somebody's server made to lead here (DNS rebinding) is not one of these
    layers = [Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])]
    layers.append(Middleware(BaseHTTPMiddleware, dispatch=gate))
    options |= {"server_name": "127.0.0.1", "share": False, "inline": False, "quiet": True}
    options |= {"max_file_size": MOST_BYTES, "footer_links": [], "prevent_thread_lock": True}
    proxies = os.environ.get("no_proxy")
    os.environ["no_proxy"] = "*"  # Gradio asks its own page whether it is there
    try:
        return page.launch(**options, app_kwargs={"middleware": layers})[1]
    finally:
        os.environ.pop("no_proxy") if proxies is None else os.environ.update(no_proxy=proxies)

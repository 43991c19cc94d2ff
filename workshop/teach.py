"""A trained network at work: in a terminal, or on a page where you also teach it new classes."""

import contextlib
import sys
import time
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from helpers import serve
from helpers.catalog import data_folder, replace
from helpers.images import class_folders, names_below, open_picture
from helpers.own import NAMES, can_be_class
from helpers.training import best_device
from helpers.transfer import Backbone, load_backbone, train_head

LEAST = 3  # pictures of a class
SIDE = 1024  # pixels of a kept picture, at most


class Teacher:
    """Keeps pictures of new classes in data/taught, and makes a predictor answer with those.

    Features are kept for each picture, so that only the linear layer is left to learn.
    """

    def __init__(self, predictor: serve.Predictor) -> None:
        self.predictor, self.folder = predictor, data_folder("taught")
        self.looks: dict[tuple[Path, int], tuple[Tensor, Tensor]] = {}  # features, point

    @cached_property
    def backbone(self) -> Backbone:
        """The pretrained network, loaded for the first picture."""
        return load_backbone()

    def pictures(self) -> dict[str, list[Path]]:
        """Return the pictures of each class, also those that were put into the folder by hand."""
        labels = class_folders(self.folder)
        return {label.name: [label / name for name in names_below(label)] for label in labels}

    def keep(self, label: str, content: bytes) -> str:
        """Keep a picture of a class, without what the camera wrote into the file."""
        label = label.strip()
        if not can_be_class(label) or label.lower() in NAMES:
            raise ValueError(f"{label!r} cannot be the name of a class: it becomes a folder.")
        picture = open_picture(content)
        picture.thumbnail((SIDE, SIDE))
        folder = self.folder / label
        taken = [int(file.stem) for file in folder.glob("*") if file.stem.isdecimal()]
        file = folder / f"{max(taken, default=0) + 1:04}.jpg"
        replace(file, lambda part: picture.save(part, "JPEG", quality=95))
        self._look(file)
        return f"Kept: {label}/{file.name}"

    def learn(self) -> str:
        """Learn the classes in the folder; say what was learned, and how well it can be told."""
        start, found = time.perf_counter(), self.pictures()
        if len(found) < 2:
            raise ValueError(f"Two classes at least are needed, and there are {len(found)}.")
        if few := [label for label, files in found.items() if len(files) < LEAST]:
            raise ValueError(f"{few[0]!r} has fewer than {LEAST} pictures. Take some more.")
        looks = [self._look(file) for files in found.values() for file in files]
        features, points = (torch.stack(part) for part in zip(*looks, strict=True))
        labels = torch.tensor([n for n, files in enumerate(found.values()) for _ in files])
        head = train_head(features, labels).to(best_device())
        asked, own = self.predictor, labels[:, None] == labels
        with serve.LOCK:  # nobody is answered by half of one network and half of another
            asked.model = nn.Sequential(self.backbone.body, head)
            asked.prepare, asked.classes = self.backbone.transform, tuple(found)
            asked.remember(points)
            scaled = asked.scaled(points)
            away = torch.cdist(scaled, scaled).fill_diagonal_(torch.inf)
            near = away.masked_fill(~own, torch.inf).amin(dim=1)  # (N,) to the same class
            far = away.masked_fill(own, torch.inf).amin(dim=1)  # and to the others
            # a camera takes near copies, so the limit goes half the way to the other classes
            asked.limit = max(asked.limit, (near.median() + far.median()).item() / 2)
        seconds = time.perf_counter() - start
        return (
            f"Learned {', '.join(found)} in {seconds:.1f} s. Of {len(labels)} pictures "
            f"{(near < far).sum()} are most like another one of their class."
        )

    @torch.no_grad()
    def _look(self, file: Path) -> tuple[Tensor, Tensor]:
        key = file, file.stat().st_mtime_ns
        if key not in self.looks:
            picture = self.backbone.transform(open_picture(file))
            features, maps = serve.look(self.backbone.body, picture)
            self.looks[key] = features.cpu(), serve.point_of(maps)
        return self.looks[key]


def page(predictor: serve.Predictor):
    """Build the page with two tabs: in one it answers, in the other it is taught."""
    import gradio as gr

    teacher = Teacher(predictor)
    title = f"{predictor.facts.title}: {', '.join(predictor.classes)}"

    def ask(path: str | None):
        if path is None:  # the picture was taken away
            return "", None, None
        answer = predictor.ask(path)
        if answer.refusal:
            return f"### No answer\n{answer.refusal[:1].upper()}{answer.refusal[1:]}", None, None
        near = f"Distance {answer.score:.3g}, at most {predictor.limit:.3g}"
        verdict = f"### {next(iter(answer.probabilities))}\n{near}: like what it learned from."
        picture = answer.picture.copy()
        picture.thumbnail((512, 512))
        light = Image.fromarray((55 + 200 * answer.heat).astype(np.uint8)).resize(picture.size)
        looked = Image.composite(picture, Image.new("RGB", picture.size), light)
        return verdict, answer.probabilities, looked

    def said(call, *words) -> str:
        try:
            return call(*words)
        except (OSError, ValueError) as error:
            return str(error)

    def keep(label: str, path: str | None):
        kept = said(teacher.keep, label, Path(path).read_bytes()) if path else ""
        return kept, None  # ready for the next picture

    asked, photo = serve.photo_input(), serve.photo_input()  # first: Gradio gets its settings there
    with gr.Blocks(title=title, delete_cache=(60, 300)) as both:
        with gr.Tab("Ask"):
            gr.Markdown(f"# {title}\n{predictor.measured}")
            with gr.Row():
                asked.render()
                with gr.Column():
                    answer = [gr.Markdown(), gr.Label(label="Classes", num_top_classes=5)]
                    answer.append(gr.Image(label="What it looked at", format="jpeg", buttons=[]))
        with gr.Tab("Teach"), gr.Row():
            with gr.Column():
                name = gr.Textbox(label="Name of the class")
                photo.render()
            with gr.Column():
                gr.Markdown(
                    "Name a class, then take or choose five to ten pictures of it, one after the "
                    f"other. They are kept in `{teacher.folder}`, where you may add and delete "
                    "some. After Learn, the tab Ask answers with these classes."
                )
                button, done = gr.Button("Learn", variant="primary"), gr.Markdown()
        asked.change(ask, asked, answer, api_name="ask")
        photo.input(keep, [name, photo], [done, photo], api_name="keep")
        button.click(lambda: said(teacher.learn), None, done, api_name="learn")
    return both.queue(max_size=20)


def app(run: str) -> None:
    """Show the page of a run until Ctrl-C."""
    both = page(serve.Predictor(run))
    print(f"The page is at {serve.launch(both)} for this machine only. Ctrl-C ends it.", flush=True)
    both.block_thread()


def predict(run: str, pictures: list[str]) -> int:
    """Print what a network says about pictures; return 1 if one was refused."""
    with contextlib.redirect_stdout(sys.stderr):  # which network: not an answer
        predictor = serve.Predictor(run)
    refused = False
    for picture in pictures:
        answer = predictor.ask(picture)
        print(f"{picture}: {answer}", flush=True)
        refused |= bool(answer.refusal)
    return int(refused)

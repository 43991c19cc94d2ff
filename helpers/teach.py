"""Classes of your own, taught on the page: a few pictures of each, and one linear layer."""

import threading
import time
from functools import cached_property
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from helpers import serve
from helpers.catalog import data_folder, replace
from helpers.images import is_hidden, is_picture, open_picture
from helpers.own import NAMES, can_be_class
from helpers.training import best_device
from helpers.transfer import Backbone, load_backbone, train_head

LEAST = 3  # pictures of a class
SIDE = 1024  # pixels of a kept picture, at most


class Teacher(serve.Predictor):
    """A predictor that answers as another one does, until it has learned what is in data/taught.

    Features are kept for each picture, so that only the linear layer is left to learn.
    """

    def __init__(self, before: serve.Predictor) -> None:  # there is no run to load
        self.before, self.folder, self.head = before, data_folder("taught"), None
        self.facts, self.classes = before.facts, before.classes
        self.limit, self.measured = before.limit, before.measured
        self.device, self.lock = best_device(), threading.Lock()
        self.looks: dict[tuple[Path, int], tuple[Tensor, Tensor]] = {}  # features, point

    @cached_property
    def backbone(self) -> Backbone:
        """The pretrained network, loaded for the first picture."""
        return load_backbone()

    model = property(lambda self: self.backbone.body)
    prepare = property(lambda self: self.backbone.transform)

    def pictures(self) -> dict[str, list[Path]]:
        """Return the pictures of each class, also those that were put into the folder by hand."""
        found: dict[str, list[Path]] = {}
        for file in sorted(self.folder.glob("*/*")):
            if is_picture(file) and not is_hidden(file.parent.name):
                found.setdefault(file.parent.name, []).append(file)
        return found

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
        head = train_head(features, labels).to(self.device)
        self._remember(points)
        nearest = self._distances(self.known).fill_diagonal_(torch.inf)
        own = labels[:, None] == labels
        near = nearest.masked_fill(~own, torch.inf).amin(dim=1)  # (N,) to the same class
        far = nearest.masked_fill(own, torch.inf).amin(dim=1)  # and to the others
        # a camera takes near copies, so the limit goes half the way to the other classes
        self.limit = max(self.limit, (near.median() + far.median()).item() / 2)
        self.head, self.classes = head, tuple(found)
        seconds = time.perf_counter() - start
        return (
            f"Learned {', '.join(found)} in {seconds:.1f} s. Of {len(labels)} pictures "
            f"{(near < far).sum()} are most like another one of their class."
        )

    def _look(self, file: Path) -> tuple[Tensor, Tensor]:
        key = file, file.stat().st_mtime_ns
        if key not in self.looks:
            with torch.no_grad():
                features, maps = super()._maps(open_picture(file))
            self.looks[key] = features.cpu(), serve.point_of(maps)
        return self.looks[key]

    def _maps(self, picture: Image.Image) -> tuple[Tensor, Tensor]:
        features, maps = super()._maps(picture)
        return self.head(features), maps

    def ask(self, content: bytes | str | Path) -> serve.Answer:
        """Return the answer for one picture, as `Predictor.ask` does."""
        return super().ask(content) if self.head else self.before.ask(content)


def page(predictor: serve.Predictor):
    """Build the page with two tabs: in one it answers, in the other it is taught."""
    import gradio as gr

    teacher = Teacher(predictor)

    def counts() -> str:
        found = teacher.pictures().items()
        return "\n".join(f"- {label}: {len(files)} pictures" for label, files in found)

    def keep(label: str, path: str | None):
        said = "" if path is None else _said(teacher.keep, label, Path(path).read_bytes())
        return said, counts(), None  # ready for the next picture

    asking = serve.page(teacher)
    with gr.Blocks(title=asking.title, delete_cache=(60, 300)) as both:
        with gr.Tab("Ask"):
            asking.render()
        with gr.Tab("Teach"), gr.Row():
            with gr.Column():
                name, photo = gr.Textbox(label="Name of the class"), serve.photo_input()
            with gr.Column():
                gr.Markdown(
                    "Name a class, then take or choose five to ten pictures of it, one after the "
                    f"other. They are kept in `{teacher.folder}`, where you may add and delete "
                    "some. After Learn, the tab Ask answers with these classes."
                )
                list_, button = gr.Markdown(counts), gr.Button("Learn", variant="primary")
                said = gr.Markdown()
        photo.input(keep, [name, photo], [said, list_, photo], api_name="keep")
        button.click(
            lambda: (_said(teacher.learn), counts()), None, [said, list_], api_name="learn"
        )
    return both.queue(max_size=20)


def _said(call, *words) -> str:
    try:
        return call(*words)
    except (OSError, ValueError) as error:
        return str(error)

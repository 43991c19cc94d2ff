"""Pretrained networks, cut where transfer learning cuts them, and the layer trained on top."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torchvision.transforms import v2

from helpers.cache import Pictures
from helpers.catalog import CIFAR10, COMPACT, WEIGHTS
from helpers.checkpoints import load_model
from helpers.fetch import fetch
from helpers.models import CompactVGG
from helpers.training import best_device
from helpers.weights import find_weights, read_weights, weights_mark

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
COMPACT_SIZE = 48  # pixels
EXPECT = {  # name: what to expect of it; the best comes first
    "vgg16": "the course's network: large, slow without a GPU",
    "resnet18": "as good as VGG16 for a twelfth of the weights",
    "squeezenet1_1": "quick, made for small computers",
    "squeezenet1_1_features": "quick, made for small computers",
    "compact_vgg": "very quick; it learned from small pictures, so ImageNet weights do better",
}


@dataclass(frozen=True)
class Backbone:
    """A pretrained network, taken apart where transfer learning cuts it.

    Attributes
    ----------
    name, title : str
        As `load_backbone` takes it; for people.
    convolutions : nn.Module
        Pictures (N, 3, size, size) to maps (N, channels, height, width).
    rest : nn.Module
        Maps to features (N, outputs): everything that is left but the last layer.
    outputs : int
        How many features a picture has.
    size : int
        Side of the pictures in pixels.
    transform : v2.Transform
        From a PIL picture to what the network expects, (3, size, size).
    network : nn.Module or None
        Uncut, to logits of `classes`; None where the weights hold the convolutions only.
    classes : tuple of str
        What the uncut network tells apart.
    """

    name: str
    title: str
    convolutions: nn.Module
    rest: nn.Module
    outputs: int
    size: int
    transform: v2.Transform
    network: nn.Module | None
    classes: tuple[str, ...]

    @property
    def body(self) -> nn.Sequential:
        """Pictures to features: the convolutions and the rest."""
        return nn.Sequential(self.convolutions, self.rest).eval()

    @property
    def mark(self) -> str:
        """A fingerprint of the weights: a layer that was trained on top belongs to them alone."""
        return weights_mark(self.body)


def load_backbone(name: str | None = None, weights: str | Path | None = None) -> Backbone:
    """Load a pretrained network and print which one it is.

    ImageNet weights are looked for in data/weights and in torch's own cache; a network that is
    named here but has no weights yet is fetched, see `helpers.fetch.fetch`.

    Parameters
    ----------
    name : str, optional
        "vgg16", "resnet18", "squeezenet1_1", "squeezenet1_1_features", or "compact_vgg", which
        ships with the workshop. Without it: the one that WORKSHOP_BACKBONE names, else the best
        one whose weights are on this machine.
    weights : str or Path, optional
        A .pth or .safetensors file to take instead; whole, or with the convolutions only.

    Returns
    -------
    Backbone
        In evaluation mode on the best device.

    Raises
    ------
    KeyError
        If there is no such network.
    FileNotFoundError, ValueError
        If the weights are missing, damaged, those of another network, or of an unnamed one.
    OSError
        If they cannot be fetched.
    """
    if weights and not name:
        raise ValueError(f"Whose weights are in {weights}? Name the network: {', '.join(EXPECT)}.")
    name = name or os.environ.get("WORKSHOP_BACKBONE") or _best()
    if name not in EXPECT:
        raise KeyError(f"No backbone is called {name!r}. There are: {', '.join(EXPECT)}.")
    if name == "compact_vgg":
        backbone = _compact(Path(weights) if weights else COMPACT)
    else:
        file = Path(weights) if weights else find_weights(name) or fetch(name)
        backbone = _torchvision(name, file)
    for part in (backbone.convolutions, backbone.rest, backbone.network):
        if part is not None:
            part.eval().to(best_device())
    numbers = sum(p.numel() for p in backbone.body.parameters()) / 1e6
    print(
        f"{backbone.title}: {numbers:.1f} million weights, {backbone.size}x{backbone.size} pixels"
    )
    print(f"({EXPECT[name]})")
    return backbone


def train_head(features: Pictures, classes: int, decay: float = 0.2, steps: int = 100) -> nn.Linear:
    """Train a linear layer on features, all pictures in one batch (step 10 writes it out).

    Source: log-softmax (multinomial logistic) regression with L2 regularisation.

    Parameters
    ----------
    features : Pictures
        (N, outputs) and labels.
    classes : int
        How many logits come out.
    decay : float
        Weight decay, on features brought to the same scale.
    steps : int
        Steps of Adam.

    Returns
    -------
    nn.Linear
        Takes features as they are: the scaling is part of its weights.
    """
    values = features.images.float()
    mean, std = values.mean(dim=0), values.std(dim=0, correction=0) + 1e-6
    values = (values - mean) / std
    torch.manual_seed(0)
    head = nn.Linear(values.shape[1], classes)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.01, weight_decay=decay)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(head(values), features.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        head.weight /= std
        head.bias -= head.weight @ mean
    return head


def _best() -> str:
    """Return the first of `EXPECT` whose weights are here."""
    return next(name for name in EXPECT if name not in WEIGHTS or find_weights(name))


class _LastBlock(nn.Module):
    """What each convolution of the last block makes, (N, 3 * channels, height, width).

    The last one knows most about the classes it was trained on, those before more about others.
    """

    def __init__(self, features: nn.Sequential) -> None:
        super().__init__()
        self.first, self.last = features[:-1], features[-1]

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.first(pictures)
        return torch.cat([maps, *self.last.both(maps)], dim=1)


def _compact(file: Path) -> Backbone:
    network = load_model(file)
    if not isinstance(network, CompactVGG) or not network.settings["shortcuts"]:
        raise ValueError(
            f"{file} holds a {type(network).__name__} {network.settings}, expected a CompactVGG "
            "with shortcuts."
        )
    return Backbone(
        name="compact_vgg",
        title="The compact VGG of this workshop, trained on CIFAR-10",
        convolutions=_LastBlock(network.features),
        rest=_average(),
        outputs=3 * network.head.in_features,
        size=COMPACT_SIZE,
        # squeezed into the square: with so few pixels, what the middle leaves out is missed
        transform=_transform((COMPACT_SIZE, COMPACT_SIZE), COMPACT_SIZE, CIFAR10.mean, CIFAR10.std),
        network=network,
        classes=CIFAR10.classes[: network.head.out_features],
    )


def _torchvision(name: str, file: Path) -> Backbone:
    """Build one of torchvision's networks and fill it with the weights of a file."""
    architecture = name.removesuffix("_features")
    network = torchvision.models.get_model(architecture)
    tensors = read_weights(file)
    try:
        missing, unexpected = network.load_state_dict(tensors, strict=False)
    except RuntimeError as error:  # it lists every tensor of another shape
        said = str(error).splitlines()[-1].strip()
        raise ValueError(f"{file} belongs to another network: {said}") from error
    last = ("classifier.", "fc.")  # how torchvision calls what follows the convolutions
    is_whole = not missing
    if unexpected or not all(key.startswith(last) for key in missing):
        raise ValueError(
            f"{file} belongs to another network than {architecture}: {len(missing)} of its tensors "
            f"are missing, {len(unexpected)} are unknown. Get the file again, or name its network."
        )
    facts = torchvision.models.get_model_weights(architecture).DEFAULT.meta
    rest, outputs = _average(), 512
    if architecture == "resnet18":
        convolutions = nn.Sequential(*list(network.children())[:-2])
    else:
        convolutions = network.features
    if architecture == "vgg16" and is_whole:
        rest = nn.Sequential(network.avgpool, nn.Flatten(), *network.classifier[:-1])
        outputs = network.classifier[-1].in_features
    return Backbone(
        name=name,
        title=f"{WEIGHTS[name].title} ({file.name})",
        convolutions=convolutions,
        rest=rest,
        outputs=outputs,
        size=224,
        transform=_transform(256, 224, IMAGENET_MEAN, IMAGENET_STD),
        network=network if is_whole else None,
        classes=tuple(facts["categories"]) if is_whole else (),
    )


def _average() -> nn.Sequential:
    """Return layers that average each map to one number."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _transform(
    resize: int | tuple[int, int], crop: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> v2.Transform:
    """Return the transform: shorter side to `resize`, or both, the middle cut out, normalised."""
    return v2.Compose(
        [
            v2.Resize(resize),
            v2.CenterCrop(crop),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(mean, std),
        ]
    )

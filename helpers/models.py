"""The networks, the convolution size formula, and an estimate of the memory they need."""

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise

import torch
from torch import Tensor, nn


def conv_output_size(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    """Return the side of what a convolution or pooling layer puts out (see torch.nn.Conv2d).

    >>> conv_output_size(128, kernel=5), conv_output_size(124, kernel=2, stride=2)
    (124, 62)
    """
    return (size + 2 * padding - kernel) // stride + 1


class LeNet(nn.Module):
    """Two convolutions and three linear layers, for square pictures of any size.

    Source: LeCun et al., Gradient-based learning applied to document recognition, 1998; with ReLU
    and maximum pooling, as is usual today.
    """

    def __init__(self, classes: int, channels: int = 1, size: int = 128) -> None:
        super().__init__()
        self.settings = {"classes": classes, "channels": channels, "size": size}
        for _ in range(2):
            size = conv_output_size(conv_output_size(size, kernel=5), kernel=2, stride=2)
        self.conv1 = nn.Conv2d(channels, 6, kernel_size=5)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.pool = nn.MaxPool2d(2)
        self.linear1 = nn.Linear(16 * size * size, 120)
        self.linear2 = nn.Linear(120, 84)
        self.linear3 = nn.Linear(84, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return logits (N, classes) for pictures (N, channels, size, size)."""
        x = self.pool(self.conv1(pictures)).relu()  # for 128: (N, 6, 62, 62)
        x = self.pool(self.conv2(x)).relu()  # (N, 16, 29, 29)
        x = self.linear1(x.flatten(1)).relu()  # (N, 120)
        x = self.linear2(x).relu()  # (N, 84)
        return self.linear3(x)


class CompactVGG(nn.Module):
    """A small VGG-style network: 3x3 convolutions, batch normalisation, a global average.

    `widths` are the channels of the first convolution, then of each block, which halves the sides.
    `patch=2` takes 2x2 pixels as one place: a quarter of the places, and of the work.
    """

    def __init__(self, classes: int, widths=(32, 64, 128, 256), patch=1) -> None:
        super().__init__()
        self.settings = {"classes": classes, "widths": list(widths), "patch": patch}
        layers = [nn.PixelUnshuffle(patch)] if patch > 1 else []
        layers += convolution(3 * patch**2, widths[0])
        for inputs, outputs in pairwise(widths):
            layers += convolution(inputs, outputs, pool=True)
            layers += convolution(outputs, outputs)
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return logits (N, classes) for pictures (N, 3, height, width), or (N, 1, …), grey."""
        return self.head(self.features(pictures.expand(-1, 3, -1, -1)).mean(dim=(2, 3)))


def convolution(inputs: int, outputs: int, pool: bool = False) -> list[nn.Module]:
    """Return a 3x3 convolution with what belongs to it; to pool early leaves less to do."""
    return [
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False),
        *([nn.MaxPool2d(2)] if pool else []),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


ARCHITECTURES = {"LeNet": LeNet, "CompactVGG": CompactVGG}


def memory_estimate(model: nn.Module, picture: Sequence[int], batch_size: int) -> dict[str, int]:
    """Estimate the bytes that a training step with Adam needs, part by part.

    `picture` is (C, H, W). Activations are what each layer puts out, kept for the backward pass.
    """
    weights = sum(p.nbytes for p in model.parameters())
    trained = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    parts = {"weights": weights, "gradients": trained, "optimiser": 2 * trained}  # two moments
    one = next(model.parameters()).new_zeros(1, *picture)
    # by address: a layer whose output lies where its input does only views or overwrites it
    kept = [y.untyped_storage() for y in [one, *(y for _, y in layer_outputs(model, one))]]
    kept = {storage.data_ptr(): storage.nbytes() for storage in kept}
    parts["activations"] = batch_size * sum(kept.values())
    return parts | {"total": sum(parts.values())}


def layer_outputs(model: nn.Module, pictures: Tensor) -> list[tuple[nn.Module, Tensor]]:
    """Return each layer and each block of layers with its output, in the order they end."""
    seen, was_training = [], model.training

    def note(layer: nn.Module, _, output: Tensor) -> None:
        if isinstance(output, Tensor):  # attention gives two
            seen.append((layer, output))

    with ExitStack() as hooks:
        for layer in model.modules():
            hooks.enter_context(layer.register_forward_hook(note))
        model.eval()(pictures)
    model.train(was_training)
    return seen


def saved_bytes(model: nn.Module, batch: Tensor) -> int:
    """Measure what PyTorch keeps of a forward pass for the backward pass, without the weights.

    Source: the documentation of torch.autograd.graph.saved_tensors_hooks.
    """
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    device = next(model.parameters()).device
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        _ = model(batch.to(device))  # holds what was saved, so that no address is used twice
    return sum(size for address, size in kept.items() if address not in weights)

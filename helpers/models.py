"""The networks, the convolution size formula, and an estimate of the memory they need."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


def conv_output_size(
    size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int:
    """Return the side of what a convolution or pooling layer puts out.

    Source: the formula in the documentation of torch.nn.Conv2d.

    Parameters
    ----------
    size, kernel, stride, padding, dilation : int
        Of the input and the layer, in pixels.

    Returns
    -------
    int
        Pixels.

    Raises
    ------
    ValueError
        If nothing is left: the kernel is larger than the padded input.

    Examples
    --------
    >>> conv_output_size(128, kernel=5)
    124
    >>> conv_output_size(124, kernel=2, stride=2)
    62
    """
    reach = dilation * (kernel - 1) + 1
    output = (size + 2 * padding - reach) // stride + 1
    if output < 1:
        raise ValueError(
            f"A kernel that reaches over {reach} pixels does not fit into an input of {size} "
            f"pixels with a padding of {padding}. Use larger pictures or fewer layers."
        )
    return output


class LeNet(nn.Module):
    """Two convolutions and three linear layers, for square pictures of any size.

    Source: LeCun et al., Gradient-based learning applied to document recognition, 1998; with ReLU
    and maximum pooling, as is usual today.

    Parameters
    ----------
    classes : int
        How many numbers (logits) come out.
    channels : int
        1 for grey pictures, 3 for colour.
    size : int
        Side of the pictures in pixels.

    Examples
    --------
    >>> LeNet(classes=6, size=128)(torch.zeros(2, 1, 128, 128)).shape
    torch.Size([2, 6])
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
        """Return the logits, (N, classes), of pictures (N, channels, size, size)."""
        # ReLU after pooling gives the same numbers as before it, and has a quarter of them to do
        x = self.pool(self.conv1(pictures)).relu()  # for 128: (N, 6, 62, 62)
        x = self.pool(self.conv2(x)).relu()  # (N, 16, 29, 29)
        x = self.linear1(x.flatten(1)).relu()  # (N, 120)
        x = self.linear2(x).relu()  # (N, 84)
        return self.linear3(x)


class CompactVGG(nn.Module):
    """A small VGG-style network: 3x3 convolutions, batch normalisation, a global average.

    Because of the average it takes pictures of any size from 32 pixels. Each block halves the
    sides: it pools before batch normalisation and ReLU, which leaves them a quarter of the work.

    Source: Simonyan and Zisserman, Very deep convolutional networks for large-scale image
    recognition, 2014; Ioffe and Szegedy, Batch normalization, 2015.

    Parameters
    ----------
    classes : int
        How many numbers (logits) come out.
    widths : sequence of int
        Channels of the first convolution, then of each block.
    patch : int
        2 to begin with patches of 2x2 pixels as one place with 12 channels: a quarter of the
        places, and of the work.
    shortcuts : bool
        True for three convolutions a block instead of two, the last two with a way around them.

    Examples
    --------
    >>> CompactVGG(classes=10)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        classes: int,
        widths: Sequence[int] = (32, 64, 128, 256),
        patch: int = 1,
        shortcuts: bool = False,
    ) -> None:
        super().__init__()
        self.settings = {"classes": classes, "widths": list(widths), "patch": patch}
        self.settings |= {"shortcuts": shortcuts}
        layers = [nn.PixelUnshuffle(patch)] if patch > 1 else []
        layers += _convolution(3 * patch**2, widths[0])
        for inputs, outputs in pairwise(widths):
            layers += _convolution(inputs, outputs, pool=True)
            layers += [Shortcut(outputs)] if shortcuts else _convolution(outputs, outputs)
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the logits, (N, classes), of pictures (N, 3, height, width)."""
        maps = self.features(pictures)  # for 32: (N, 256, 4, 4)
        return self.head(maps.mean(dim=(2, 3)))


def _convolution(inputs: int, outputs: int, pool: bool = False) -> list[nn.Module]:
    """Return a 3x3 convolution with what belongs to it; the sides stay, or are halved."""
    return [
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False),
        *([nn.MaxPool2d(2)] if pool else []),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


class Shortcut(nn.Module):
    """Two convolutions that add to what they are given: a deep network learns more easily so.

    Source: He et al., Deep residual learning for image recognition, 2015.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Sequential(*_convolution(channels, channels))
        self.second = nn.Sequential(*_convolution(channels, channels)[:-1])  # ReLU comes later

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape, (N, channels, height, width)."""
        return self.both(maps)[1]

    def both(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maps after the first convolution, and after all."""
        middle = self.first(maps)
        return middle, (maps + self.second(middle)).relu()


ARCHITECTURES = {"LeNet": LeNet, "CompactVGG": CompactVGG}


def memory_estimate(
    model: nn.Module, picture: tuple[int, int, int], batch_size: int, moments: int = 2
) -> dict[str, int]:
    """Estimate the memory that a training step needs.

    Counted are the weights; one gradient and `moments` optimiser numbers for each trained weight;
    and what each layer puts out, kept for the backward pass (its gradient is made layer by layer
    and freed again).

    Parameters
    ----------
    model : nn.Module
        The network.
    picture : tuple of int
        (channels, height, width) of one input.
    batch_size : int
        Pictures in a batch.
    moments : int
        Numbers the optimiser keeps for each weight: 0 for SGD, 1 with momentum, 2 for Adam.

    Returns
    -------
    dict
        Bytes for "weights", "gradients", "optimiser", "activations" and "total".
    """
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    parts = {
        "weights": weights,
        "gradients": trained,
        "optimiser": moments * trained,
        "activations": batch_size * _activation_bytes(model, picture),
    }
    return parts | {"total": sum(parts.values())}


def _activation_bytes(model: nn.Module, picture: tuple[int, int, int]) -> int:
    """Return the bytes of one picture and of what each layer makes of it."""
    first = next(model.parameters())
    seen = [math.prod(picture) * first.element_size()]

    def note(layer: nn.Module, inputs: tuple, output: Tensor | tuple) -> None:
        known = {tensor.data_ptr() for tensor in inputs if isinstance(tensor, Tensor)}
        for tensor in output if isinstance(output, tuple) else (output,):
            # one at the address of its input only views or overwrites it
            if isinstance(tensor, Tensor) and tensor.data_ptr() not in known:
                seen.append(tensor.numel() * tensor.element_size())

    leaves = [layer for layer in model.modules() if not list(layer.children())]
    hooks = [layer.register_forward_hook(note) for layer in leaves]
    modes = {layer: layer.training for layer in model.modules()}
    try:
        model.eval()
        with torch.no_grad():
            model(torch.zeros(1, *picture, dtype=first.dtype, device=first.device))
    finally:
        for layer, mode in modes.items():
            layer.training = mode
        for hook in hooks:
            hook.remove()
    return sum(seen)


def saved_bytes(model: nn.Module, batch: Tensor) -> int:
    """Measure what PyTorch keeps of a forward pass for the backward pass.

    Source: the documentation of torch.autograd.graph.saved_tensors_hooks.

    Parameters
    ----------
    model : nn.Module
        The network.
    batch : Tensor
        (N, channels, height, width).

    Returns
    -------
    int
        Bytes, each piece of memory counted once, without the weights.
    """
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = model(batch)  # holds what was saved, so that no address is used twice
    del output
    return sum(kept.values())

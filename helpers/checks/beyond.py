"""The exercises of steps 10 to 12: features, archives, folders of pictures."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from helpers.checks.loops import NO_EVAL, spied, spy_batches
from helpers.feedback import Wrong, exercise, no_softmax, same, two


@exercise(
    "10",
    "new_head",
    "body.requires_grad_(False) freezes every weight of the body.",
    "Give back nn.Linear(outputs, classes): it is new, so it can learn.",
)
def new_head(answer: Callable) -> None:
    """The body is frozen, the head can learn."""
    body = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.BatchNorm1d(5))
    head = answer(body, 5, 3)
    frozen = [not parameter.requires_grad for parameter in body.parameters()]
    if not isinstance(head, nn.Module):
        raise Wrong("give back the new layer.", head, nn.Linear(5, 3))
    sum(parameter.numel() for parameter in head.parameters())  # a lazy layer has none yet
    try:
        logits = head(torch.randn(2, 5))
    except RuntimeError:
        logits = torch.zeros(0)
    if logits.shape != (2, 3):
        raise Wrong("the head turns `outputs` numbers into `classes`: nn.Linear(outputs, classes).")
    if not any(frozen):
        raise Wrong("nothing is frozen: body.requires_grad_(False), with the underscore.")
    if not all(frozen):
        raise Wrong("only a part of the body is frozen.", sum(frozen), len(frozen))
    if not all(parameter.requires_grad for parameter in head.parameters()):
        raise Wrong("the head is frozen too. Then nothing can learn.")
    no_softmax(logits)


@exercise(
    "10",
    "compute_features",
    "network.eval(); inside `with torch.no_grad():` a loop over the batches.",
    "Collect network(pictures) and labels in two lists, and join each with torch.cat.",
)
def compute_features(answer: Callable) -> None:
    """Every picture once, in order, in evaluation mode, without gradients."""
    network, expected = spied()
    pair = answer(network, spy_batches())
    two(pair, "features", "labels")
    labels = torch.cat([labels for _, labels in spy_batches()])
    same(
        *(pair[0], expected, "one row of features for each picture, in order."),
        turned=(labels, "first the features, then the labels."),
        first=(expected[:4], "only the first batch: `return` is inside the loop."),
        last=(expected[8:], "only the last batch is left: collect all, then `torch.cat`."),
        softmax=(expected.softmax(dim=1), "features, not probabilities: no softmax."),
        mean=(expected.mean(dim=0), "one row for each picture, no average over them."),
    )
    same(pair[1], labels, "the labels, in the same order.")
    if network.modes[0][0]:
        raise Wrong(NO_EVAL)


@exercise(
    "11",
    "to_picture",
    "The row holds the red plane, then green, then blue. Each plane goes line by line.",
    "row.reshape(3, 32, 32) is (channel, height, width).",
)
def to_picture(answer: Callable) -> None:
    """Channel, height, width, and every pixel in its place."""
    row = np.random.default_rng(0).integers(0, 256, 3072, dtype=np.uint8)
    good = torch.from_numpy(row).view(3, 32, 32)
    found = answer(row)
    if isinstance(found, np.ndarray):
        found = torch.from_numpy(np.ascontiguousarray(found))
    mixed = torch.from_numpy(row).view(32, 32, 3)
    same(
        *(found, good, "(channel, height, width) = (3, 32, 32)."),
        mixed=(mixed, "reshape(32, 32, 3) mixes the planes; they lie one after another."),
        turned=(mixed.movedim(-1, 0), "reshape(32, 32, 3) mixes the planes: use (3, 32, 32)."),
        grey=(good[0], "this is the red plane only."),
        unit=(good / 255, "leave the pixels as they are: uint8, 0 to 255."),
    )


@exercise(
    "11",
    "normalise_batch",
    "mean and std have three numbers, one a channel. Their shape must be (1, 3, 1, 1).",
    "torch.tensor(mean).view(1, 3, 1, 1); then (images.float() / 255 - mean) / std",
)
def normalise_batch(answer: Callable) -> None:
    """All pictures at once, each channel with its own mean and deviation."""
    images = torch.randint(0, 256, (4, 3, 3, 3), dtype=torch.uint8)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    m, s = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)
    unit = images.float() / 255
    same(
        *(answer(images, mean, std), (unit - m) / s, "(pixel / 255 - mean) / std."),
        columns=((unit - m.view(3)) / s.view(3), "the means went to columns: view(1, 3, 1, 1)."),
        rows=((unit - m.view(3, 1)) / s.view(3, 1), "the means went to rows: view(1, 3, 1, 1)."),
        range=((images.float() - m) / s, "the range: the pixels are still 0 to 255."),
        own=((unit - unit.mean()) / unit.std(), "use the mean and std that were given."),
        half=(unit - m, "the standard deviation was forgotten."),
        times=((unit - m) * s, "divide by the standard deviation, do not multiply."),
    )


@exercise(
    "12",
    "block",
    "nn.Sequential of Conv2d, ReLU, Conv2d, ReLU, MaxPool2d(2).",
    "Both kernels have 3x3 and no padding: 64 -> 62 -> 60 -> 30.",
)
def block(answer: Callable) -> None:
    """Two convolutions with ReLU, and a pooling: 64 pixels become 30."""
    made = answer(3, 8)
    if not isinstance(made, nn.Module):
        raise Wrong("give back a module: nn.Sequential(…).", made, nn.Sequential())
    convolutions = [layer for layer in made.modules() if isinstance(layer, nn.Conv2d)]
    if len(convolutions) != 2:
        raise Wrong("two convolutions are wanted.", len(convolutions), 2)
    seen: list[Tensor] = []
    for layer in convolutions:
        layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    found = made(torch.randn(2, 3, 64, 64))
    sides = {
        60: "the pooling is missing.",
        32: "there is a padding; this network has none.",
        28: "the kernels are 5x5. 3x3 is wanted.",
    }
    if found.shape != (2, 8, 30, 30):
        what = sides.get(found.shape[-1], "kernel, stride or padding differ.")
        what = what if found.shape[1] == 8 else "it must give `outputs` channels."
        raise Wrong(what, tuple(found.shape), (2, 8, 30, 30), "Shapes: ")
    if (found < 0).any() or (seen[1] < 0).any():
        raise Wrong("a ReLU belongs after each of the two convolutions.")
    if any(isinstance(layer, nn.AvgPool2d) for layer in made.modules()):
        raise Wrong("this network keeps the largest of four: nn.MaxPool2d.")


@exercise(
    "12",
    "flatten_size",
    "Send the dummy picture through the layers, and look at the shape that comes out.",
    "layers(picture).flatten(1).shape[1]: everything but the batch dimension, multiplied.",
)
def flatten_size(answer: Callable) -> None:
    """Measured with a dummy picture, for layers of any kind."""
    for layers, side in ((nn.Conv2d(3, 10, 3), 8), (nn.MaxPool2d(2), 12), (nn.Conv2d(3, 4, 5), 9)):
        out = layers(torch.zeros(1, 3, side, side))
        found = answer(layers, torch.zeros(1, 3, side, side))
        same(
            *(found, out[0].numel(), "channels * height * width of what comes out."),
            rows=(1, "this is the number of pictures. The numbers for one are in shape[1]."),
            side=(out.shape[-1] ** 2, "the channels were forgotten."),
            channels=(out.shape[1], "height and width were forgotten."),
            before=(3 * side * side, "this is the size before the layers."),
            fixed=(1690, "this number fits one network only: measure it."),
        )
        if isinstance(found, Tensor):
            raise Wrong("a plain number is wanted, for nn.Linear.", found, out[0].numel())

"""The exercises of steps 03 to 06: data, network, loss."""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy as loss_of

from helpers.feedback import Wrong, exercise, no_softmax, same, two


@exercise(
    "03",
    "AOIDataset",
    "`__init__` stores the table, the folder, the size and the transform with `self.`.",
    "In `__getitem__`: cv2.imread(path, cv2.IMREAD_GRAYSCALE), stop if it is None, cv2.resize,"
    " torch.from_numpy(...).unsqueeze(0), the transform if there is one, int(row['Label']).",
)
def dataset(answer: type) -> None:
    """Length, pixels, labels, transform and a missing file are all as they should be."""
    with tempfile.TemporaryDirectory() as place:
        folder, rows = Path(place), ["ID,Label"]
        y, x = np.mgrid[:60, :60]
        pictures = [np.uint8(2 * x + y + 7 * number + (x * y) % 5 * 12) for number in range(3)]
        for number, picture in enumerate(pictures):
            (folder / f"{number}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
            rows.append(f"{number}.png,{2 * number}")
        (folder / "t.csv").write_text("\n".join([*rows, "gone.png,1"]))
        answer(folder / "t.csv", folder / "nothing here")  # reads no picture yet
        small = answer(folder / "t.csv", folder, size=15)
        same(len(small), 4, "`__len__` is the number of rows of the table.")
        two(small[2], "picture", "label")
        found, label = small[2]
        shrunk = cv2.resize(pictures[2], (15, 15), interpolation=cv2.INTER_AREA)
        expected = torch.from_numpy(shrunk).unsqueeze(0)
        skipped = torch.from_numpy(cv2.resize(pictures[2], (15, 15))).unsqueeze(0)
        colour = expected.expand(3, -1, -1)
        same(
            *(found, expected, "which picture it is, or how it was read and resized."),
            skipped=(skipped, "pixels were skipped: pass interpolation=cv2.INTER_AREA to resize."),
            flat=(expected[0], "the channel is missing. Add it in front: `unsqueeze(0)`."),
            colour=(colour, "three channels: read with cv2.IMREAD_GRAYSCALE."),
            bgr=(colour.movedim(0, -1), "three channels: read with cv2.IMREAD_GRAYSCALE."),
            first=(torch.zeros_like(expected), "the picture is empty."),
            original=(torch.from_numpy(pictures[2])[None], "it was not resized to `self.size`."),
            scaled=(expected / 255, "the pixels were scaled here; that is the transform's work."),
        )
        if isinstance(label, bool | str | float) or getattr(label, "dtype", None) is torch.float:
            raise Wrong("the label must be a whole number: int(...).", label, 4)
        same(label, 4, "the label belongs to another row, or is not from the column Label.")

        def shift(picture: Tensor) -> Tensor:
            if not isinstance(picture, Tensor) or picture.ndim != 3:
                raise Wrong("make a tensor and add the channel before you call the transform.")
            return picture.float() + 1000

        moved = answer(folder / "t.csv", folder, size=15, transform=shift)
        same(moved[2][0], expected + 1000.0, "the transform was not used, or its result was lost.")
        log = cv2.utils.logging
        level = log.setLogLevel(log.LOG_LEVEL_SILENT)  # OpenCV would warn about the missing file
        try:
            small[3]
        except cv2.error:
            raise Wrong("cv2.imread gives None for a missing file; test for it.") from None
        except FileNotFoundError as error:
            if "gone.png" not in str(error):
                raise Wrong("the error for a missing file should name the file.") from None
        except Exception as error:
            what = "a missing file must raise FileNotFoundError."
            raise Wrong(what, type(error).__name__, "FileNotFoundError") from None
        else:
            raise Wrong("a missing file was passed over in silence.")
        finally:
            log.setLogLevel(level)


@exercise(
    "03",
    "normalise",
    "Three steps: to float32 in 0..1, minus the mean, divided by the standard deviation.",
    "picture.float() / 255, then - mean, then / std.",
)
def normalise(answer: Callable) -> None:
    """A float32 tensor, scaled to 0..1, then shifted and scaled."""
    picture = torch.arange(0, 240, 20, dtype=torch.uint8).view(1, 3, 4)
    unit, found = picture.float() / 255, answer(picture, 0.6, 0.2)
    same(
        *(found, (unit - 0.6) / 0.2, "compare with (picture / 255 - mean) / std."),
        range=((picture.float() - 0.6) / 0.2, "the range: the pixels are still 0 to 255."),
        whole=((picture // 255 - 0.6) / 0.2, "`//` drops everything behind the point. Use `/`."),
        own=((unit - unit.mean()) / unit.std(), "use the mean and std that are given."),
        half=(unit - 0.6, "the standard deviation was forgotten."),
        mean=(unit / 0.2, "the mean was forgotten."),
        times=((unit - 0.6) * 0.2, "divide by the standard deviation, do not multiply."),
        brackets=(unit - 0.6 / 0.2, "brackets: subtract first, then divide."),
    )


@exercise(
    "04",
    "count_batches",
    "How often does the batch size fit in, and what is left over?",
    "Round up for the number of batches; the last one has what the others leave.",
)
def count_batches(answer: Callable) -> None:
    """Also when the last batch is full, and when there is only one."""
    for pictures, size, expected in ((100, 32, (4, 4)), (96, 32, (3, 32)), (5, 8, (1, 5))):
        full, left = pictures // size, pictures % size
        found = answer(pictures, size)
        found = tuple(int(n) for n in found) if isinstance(found, tuple | list) else found
        same(
            *(found, expected, "round up; the last batch has what the others leave."),
            f"{pictures} pictures, batches of {size}: ",
            down=((full, left), "the last, smaller batch is a batch too, and never empty."),
            more=((full, left + size), "the last, smaller batch is a batch too: round up."),
            empty=((full + 1, left), "with nothing left over there is no further batch."),
            last=((expected[0], left), "the last batch is never empty."),
            turned=(expected[::-1], "first the number of batches, then the size of the last."),
        )


@exercise(
    "04",
    "collate",
    "zip(*items) makes one sequence of pictures and one of labels.",
    "torch.stack puts tensors along a new first dimension; torch.tensor makes one of numbers.",
)
def collate(answer: Callable) -> None:
    """Pictures stacked along a new first dimension, labels as int64."""
    items = [(torch.full((1, 4, 5), float(number)), number + 1) for number in range(3)]
    pair = answer(items)
    two(pair, "pictures", "labels")
    stack = torch.stack([picture for picture, _ in items])
    labels = torch.tensor([1, 2, 3])
    same(
        *(pair[0], stack, "the pictures are not stacked along a new first dimension."),
        cat=(stack.flatten(0, 1), "`cat` joins along an old dimension. Use `torch.stack`."),
        last=(stack.movedim(0, -1), "the new dimension must be the first one."),
        labels=(labels, "pictures and labels are swapped."),
    )
    same(pair[1], labels, "labels must be a tensor of whole numbers, int64.")


@exercise(
    "05",
    "conv_output_size",
    "Translate the formula word for word. *floor* of a division is `//`.",
    "(size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1",
)
def conv_output_size(answer: Callable) -> None:
    """The same as PyTorch for nine combinations."""
    cases = (
        *((128, 5, 1, 0, 1), (124, 2, 2, 0, 1), (32, 3, 1, 1, 1), (33, 2, 2, 0, 1)),
        *((7, 7, 1, 0, 1), (64, 7, 2, 3, 1), (20, 3, 1, 0, 2)),
        *((31, 3, 2, 2, 3), (224, 11, 4, 2, 1)),
    )

    def each(formula: Callable) -> tuple:
        return tuple(formula(n, dilation * (k - 1), s, p) for n, k, s, p, dilation in cases)

    names = ("size", "kernel", "stride", "padding", "dilation")
    found = tuple(answer(**dict(zip(names, case, strict=True))) for case in cases)
    layers = [nn.Conv2d(1, 1, *case[1:]) for case in cases]
    pairs = zip(layers, cases, strict=True)
    expected = tuple(layer(torch.zeros(1, 1, n, n)).shape[-1] for layer, (n, *_) in pairs)
    slips = {
        each(lambda n, k, s, p: (n + 2 * p - k - 1) // s): "the last + 1 is missing.",
        each(lambda n, k, s, p: (n + p - k - 1) // s + 1): "padding is on both sides: twice.",
        each(lambda n, k, s, p: (n + 2 * p - k) // s + 1): "the - 1 inside is missing.",
    }
    for one, right, case in zip(found, expected, cases, strict=True):
        call = ", ".join(f"{name}={value}" for name, value in zip(names, case, strict=True))
        cause = slips.get(found, "compare with the formula, term by term.")
        same(one, right, cause, f"conv_output_size({call}): ")
        if not isinstance(one, int):
            raise Wrong("round down: `//`, not `/`. It must be a whole number.", one, right)


@exercise(
    "05",
    "LeNet",
    "In `__init__`: super().__init__(), then each layer with `self.`. In `forward`: use them.",
    "After two rounds of convolution 5 and pooling 2 the side is given by conv_output_size;"
    " the first linear layer has 16 * side * side inputs. No softmax at the end.",
)
def lenet(answer: type) -> None:
    """It fits pictures of any size, and every layer takes part and can learn."""
    for classes, channels, size in ((6, 1, 128), (10, 3, 32), (4, 1, 51)):
        model = answer(classes=classes, channels=channels, size=size)
        side = ((size - 4) // 2 - 4) // 2
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                layer.register_forward_pre_hook(_after_relu)
        try:
            logits = model(torch.randn(3, channels, size, size))
        except RuntimeError as error:
            raise _misfit(error, 16 * side**2) from None
        if logits is None:
            raise Wrong("`forward` gives nothing back: `return` is missing.")
        if logits.shape != (3, classes):
            what = "one number for each picture and class comes out; the shapes are:"
            raise Wrong(what, tuple(logits.shape), (3, classes))
        no_softmax(logits)
        if (logits >= 0).all():
            raise Wrong("no negative number comes out: is there a ReLU after the last layer?")
        weights = 25 * (6 * channels + 6 * 16) + 16 * side**2 * 120 + 120 * 84 + 84 * classes
        found = sum(p.numel() for p in model.parameters() if p.ndim > 1)
        if found != weights:
            what = "a layer is not stored with `self.` (a plain list hides it), or differs in size."
            raise Wrong(what, found, weights, "Weights: ")
        logits.square().sum().backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is None or not parameter.grad.abs().sum():
                raise Wrong(f"`{name}` has no part in it: `forward` does not use that layer.")


def _after_relu(layer: nn.Linear, inputs: tuple[Tensor]) -> None:
    """Look at what goes into the second and the third linear layer."""
    if layer.in_features in (120, 84) and (inputs[0] < 0).any():
        raise Wrong(f"there is no ReLU before the linear layer with {layer.in_features} inputs.")


def _misfit(error: RuntimeError, inputs: int) -> Exception:
    """Return what is wrong when a linear layer does not fit; else the error itself."""
    found = re.search(r"\((\d+)x(\d+) and (\d+)x(\d+)\)", str(error))
    if not found:
        return error
    rows, given, wanted, _ = map(int, found.groups())
    if rows != 3:
        return Wrong("flatten everything but the batch dimension: `x = x.flatten(1)`.")
    if given != inputs:
        return Wrong("one layer's outputs are the next one's inputs.", given, wanted, "Inputs: ")
    what = "the first linear layer has a fixed size. Compute it from `size`."
    return Wrong(what, wanted, given, "Inputs of the first linear layer: ")


@exercise(
    "06",
    "cross_entropy",
    "First the probabilities (dim=1), then the one of the right class in each row.",
    "probabilities[torch.arange(len(labels)), labels] picks them; then -log, then the mean.",
)
def cross_entropy(answer: Callable) -> None:
    """The same as nn.CrossEntropyLoss, the mean over the batch."""
    logits = torch.tensor([[2.0, 0.5, -1.0], [0.0, 1.5, 0.3], [1.0, -2.0, 0.1], [0.2, 0.2, 3.0]])
    labels = torch.tensor([0, 2, 0, 1])
    p = logits.softmax(dim=1)[range(4), labels]
    every = logits.log_softmax(dim=1)[:, labels]
    by_hand = Wrong("do it by hand, without nn.CrossEntropyLoss.")
    with mock.patch.object(nn.CrossEntropyLoss, "forward", side_effect=by_hand):
        found = answer(logits, labels)
    same(
        *(found, loss_of(logits, labels), "softmax, the right class, -log, mean."),
        sign=(p.log().mean(), "the minus sign is missing."),
        total=(-p.log().sum(), "it is the mean of the batch, not the sum."),
        late=(-p.mean().log(), "first the logarithm of each, then the mean."),
        log=(-p.mean(), "the logarithm is missing."),
        twice=(loss_of(logits.softmax(dim=1), labels), "softmax twice."),
        dim=(-logits.softmax(0)[range(4), labels].log().mean(), "over the classes is dim=1."),
        raw=(-logits[range(4), labels].mean(), "softmax is missing: logits are no probabilities."),
        all=(-every.mean(), "[:, labels] takes them all in every row."),
        each=(-p.log(), "one number for the batch is wanted: the mean."),
    )  # fmt: skip


@exercise(
    "06",
    "sgd_step",
    "new = old - rate * gradient, for each parameter, in place: `parameter -= ...`",
    "Afterwards clear the gradient: parameter.grad = None (or parameter.grad.zero_()).",
    first=lambda: torch.optim.SGD([torch.zeros(1)], lr=1.0).zero_grad(),  # imports for seconds
)
def sgd_step(answer: Callable) -> None:
    """Every parameter moved against its gradient, and the gradients are cleared."""
    layer = nn.Linear(3, 2)
    layer(torch.ones(4, 3)).square().sum().backward()
    old = [(p.detach().clone(), p.grad.clone()) for p in layer.parameters()]
    answer(layer.parameters(), 0.1)
    for parameter, (value, gradient) in zip(layer.parameters(), old, strict=True):
        same(
            *(parameter.detach(), value - 0.1 * gradient, "new = old - rate * gradient."),
            nothing=(value, "nothing moved: use `p -= …`, before you clear the gradient."),
            up=(value + 0.1 * gradient, "it goes up the hill: subtract, do not add."),
            far=(value - gradient, "the rate was forgotten."),
            sign=(value - 0.1 * gradient.sign(), "use the gradient, not only its sign."),
        )
        if parameter.grad is not None and parameter.grad.any():
            what = "the gradients are not cleared. (You can go through `parameters` only once.)"
            raise Wrong(what)

"""Steps 05, 10 and 12: layers, their sizes, and networks made of them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from helpers.checks.feedback import Wrong, exercise, same


def _corr2d(picture: Tensor, kernel: Tensor) -> Tensor:
    return conv2d(picture[None, None], kernel[None, None])[0, 0]


@exercise("05", "corr2d", "Two loops, one in the other; picture[row : row + height, …] cuts out.")
def corr2d(answer: Callable) -> None:
    """One sum of products for each place of the window, and no place is left out."""
    numbers = torch.Generator().manual_seed(0)
    for (height, width), (down, across) in (((6, 8), (3, 2)), ((5, 4), (1, 3)), ((3, 3), (3, 3))):
        picture = torch.rand(height, width, generator=numbers)
        kernel = torch.rand(down, across, generator=numbers) - 0.5
        expected = _corr2d(picture, kernel)
        last = torch.zeros_like(expected)
        last[-1, -1] = expected[-1, -1]
        mistakes = {
            "this is one product or the mean; the sum is wanted.": expected / kernel.numel(),
            "the kernel is turned round here. It lies on the window as it is.": _corr2d(
                picture, kernel.flip(0, 1)
            ),
            "the sum comes once, for the last place: store it inside both loops.": last,
        }
        case = f"A picture of {height} × {width}, a kernel of {down} × {across}: "
        found = answer(picture.clone(), kernel.clone())
        same(found, expected, "compare one number with its products.", mistakes, case)


@exercise(
    "05",
    "LeNet",
    "16 * size * size -> 120 -> 84 -> classes: three layers, stored with `self.`. In `forward`"
    " flatten(1) first, a ReLU after the first two, and nothing after the last.",
)
def lenet(answer: type) -> None:
    """It fits pictures of any size, and every layer takes part and can learn."""
    for classes, channels, size in ((6, 1, 128), (10, 3, 32), (4, 1, 51)):
        model = answer(classes=classes, channels=channels, size=size)
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                layer.register_forward_pre_hook(_after_relu)
        logits = model(torch.randn(3, channels, size, size))
        same(tuple(logits.shape), (3, classes), "one number a picture and class.", case="Shape: ")
        _no_softmax(logits)
        if (logits >= 0).all() and (logits == 0).any():  # that all are positive may be chance
            raise Wrong("there is a ReLU after the last layer. Logits may be negative.")
        linear = sum(parameter.ndim == 2 for parameter in model.parameters())
        same(linear, 3, "store each with `self.`; a plain list hides it.", case="Linear layers: ")
        logits.square().sum().backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is None or not parameter.grad.any():
                raise Wrong(f"`{name}` has no part in it: `forward` does not use that layer.")


def _after_relu(layer: nn.Linear, inputs: tuple[Tensor]) -> None:
    """Look at what goes into a linear layer: it comes from a ReLU, each time."""
    if (inputs[0] < 0).any():
        raise Wrong(f"there is no ReLU before the linear layer with {layer.in_features} inputs.")


def _no_softmax(logits: Tensor) -> None:
    """Refuse probabilities, of which each row adds up to 1."""
    if (logits >= 0).all() and torch.allclose(logits.sum(dim=1), torch.ones(len(logits))):
        raise Wrong("there is a softmax at the end. The loss does that: give back logits.")


@exercise("10", "new_head", "body.requires_grad_(False); give back nn.Linear(outputs, classes).")
def new_head(answer: Callable) -> None:
    """The body is frozen, the head can learn."""
    body = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.BatchNorm1d(5))
    head = answer(body, 5, 3)
    if not isinstance(head, nn.Module):
        raise Wrong("give back the new layer.", head, nn.Linear(5, 3))
    logits = head(torch.randn(2, 5))
    same(tuple(logits.shape), (2, 3), "one number a picture and class.", case="Shape: ")
    _no_softmax(logits)
    frozen = sum(not parameter.requires_grad for parameter in body.parameters())
    mistakes = {"nothing is frozen: body.requires_grad_(False), with the underscore.": 0}
    same(frozen, 4, "only a part of the body is frozen.", mistakes, "Frozen: ")
    if not all(parameter.requires_grad for parameter in head.parameters()):
        raise Wrong("the head is frozen too. Then nothing can learn.")


@exercise("10", "parameter_groups", 'Two dictionaries with "params" and "lr", in a list.')
def parameter_groups(answer: Callable) -> None:
    """All weights can learn, those of the body with a tenth of the head's rate."""
    for rate in (0.01, 0.5):
        body, head = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5)), nn.Linear(5, 3)
        body.requires_grad_(False)
        groups = answer(body, head, rate)
        groups = torch.optim.SGD(groups, lr=99.0).param_groups  # generators become lists
        rates = {id(weight): group["lr"] for group in groups for weight in group["params"]}
        for part, name, wanted in ((head, "head", rate), (body, "body", rate / 10)):
            if missing := [n for n, weight in part.named_parameters() if id(weight) not in rates]:
                raise Wrong(f"these weights of the {name} are in no group: {', '.join(missing)}.")
            found = max(rates[id(weight)] for weight in part.parameters())
            case = f"The rate of the {name}, for {rate=}: "
            same(found, wanted, "the head gets `rate`, the body a tenth of it.", case=case)
        if not all(weight.requires_grad for weight in body.parameters()):
            raise Wrong("the body is still frozen: body.requires_grad_(True).")


@exercise("12", "block", "Conv2d, ReLU, Conv2d, ReLU, MaxPool2d(2): 64 -> 62 -> 60 -> 30 pixels.")
def block(answer: Callable) -> None:
    """Two convolutions with ReLU, and a pooling: 64 pixels become 30."""
    made = answer(3, 8)
    if not isinstance(made, nn.Module):
        raise Wrong("give back a module: nn.Sequential(…).", made, nn.Sequential())
    convolutions = [layer for layer in made.modules() if isinstance(layer, nn.Conv2d)]
    same(len(convolutions), 2, "two of them are wanted.", case="Convolutions: ")
    seen: list[Tensor] = []
    convolutions[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    found = made(torch.randn(2, 3, 64, 64))
    mistakes = {
        "the pooling is missing.": (2, 8, 60, 60),
        "there is a padding; this network has none.": (2, 8, 32, 32),
        "the kernels are 5x5. 3x3 is wanted.": (2, 8, 28, 28),
    }
    cause = "the channels, or kernel, stride or padding, differ."
    same(tuple(found.shape), (2, 8, 30, 30), cause, mistakes, "Shapes: ")
    if (found < 0).any() or (seen[0] < 0).any():
        raise Wrong("a ReLU belongs after each of the two convolutions.")
    if any(isinstance(layer, nn.AvgPool2d) for layer in made.modules()):
        raise Wrong("this network keeps the largest of four: nn.MaxPool2d.")


@exercise("12", "flatten_size", "Send the picture through, and multiply what is in its shape.")
def flatten_size(answer: Callable) -> None:
    """Measured with a dummy picture, for layers of any kind."""
    for layers, side in ((nn.Conv2d(3, 10, 3), 8), (nn.MaxPool2d(2), 12), (nn.Conv2d(3, 4, 5), 9)):
        out = layers(torch.zeros(1, 3, side, side))
        found, expected = answer(layers, torch.zeros(1, 3, side, side)), out[0].numel()
        mistakes = {
            "this is the number of pictures. The numbers for one are in shape[1].": 1,
            "the channels were forgotten.": out.shape[-1] ** 2,
            "height and width were forgotten.": out.shape[1],
        }
        same(found, expected, "channels * height * width of what comes out.", mistakes)

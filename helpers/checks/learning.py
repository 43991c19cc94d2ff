"""Steps 06, 07 and 15: the loss, the loop of training, and gradients of several processes."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from helpers.checks.feedback import Wrong, exercise, same, two


class Spy(nn.Module):
    """A linear layer that remembers how it was called."""

    def __init__(self) -> None:
        super().__init__()
        torch.default_generator.manual_seed(3)
        self.layer = nn.Linear(4, 3)
        self.modes: list[bool] = []  # training mode

    def forward(self, pictures: Tensor) -> Tensor:
        """Return logits (N, 3) of (N, 1, 2, 2)."""
        self.modes.append(self.training)
        return self.layer(pictures.as_subclass(Tensor).flatten(1))

    def to(self, *words: Any, **options: Any) -> "Spy":
        """Stay where the batches are."""
        return self


class WatchedTensor(Tensor):
    """A tensor that notices whether it is sent to a device, and stays where it is."""

    sent: ClassVar[set[str]] = set()  # "pictures", "labels"

    def to(self, *words: Any, **options: Any) -> Tensor:
        """Return a plain tensor in the same place."""
        WatchedTensor.sent.add("pictures" if self.is_floating_point() else "labels")
        return self.as_subclass(Tensor)

    cuda = to


def spy_batches() -> list[tuple[Tensor, Tensor]]:
    """Return three batches of 4, 4 and 1 pictures (N, 1, 2, 2); the small one is hard."""
    WatchedTensor.sent = set()
    pictures = torch.randn(9, 1, 2, 2, generator=torch.Generator().manual_seed(5))
    pictures[8] *= 5
    parts = (part.as_subclass(WatchedTensor).split(4) for part in (pictures, torch.arange(9) % 3))
    return list(zip(*parts, strict=True))


def spied() -> tuple[Spy, Tensor]:
    """Return a network in training mode, and what it should give for all batches, (9, 3)."""
    network = Spy()
    logits = network(torch.cat([pictures for pictures, _ in spy_batches()])).detach()
    network.modes.clear()
    return network, logits


@exercise("06", "cross_entropy", "log(p) is logits - logits.logsumexp(dim=1, keepdim=True).")
def cross_entropy(answer: Callable) -> None:
    """The same as nn.CrossEntropyLoss, the mean over the batch."""
    logits = torch.tensor([[2.0, 0.5, -1.0], [0.0, 1.5, 0.3], [1.0, -2.0, 0.1], [0.2, 0.2, 3.0]])
    labels = torch.tensor([0, 2, 0, 1])
    found = answer(logits, labels)
    loss, other_way = (functional.nll_loss(logits.log_softmax(dim), labels) for dim in (1, 0))
    mistakes = {
        "the minus sign is missing.": -loss,
        "it is the mean of the batch, not the sum.": 4 * loss,
        "the probabilities are over the classes: dim=1.": other_way,
        "[:, labels] takes them all in every row.": -logits.log_softmax(1)[:, labels].mean(),
    }
    same(found, loss, "one of the four: softmax, the right class, -log, mean.", mistakes)
    found = answer(torch.tensor([[100.0, 0.0, 0.0]]), torch.tensor([0]))
    cause = "exp(100) is infinite in float32. Use logsumexp, or subtract the largest logit first."
    same(found, torch.tensor(0.0), cause, case="For a logit of 100: ")


def _epoch(rate: float, clear: bool = True, softmax: bool = False) -> tuple[Tensor, float, float]:
    """Return weights, loss and accuracy of an epoch done as it should be, or wrongly."""
    model, total, right = Spy(), 0.0, 0
    for pictures, labels in spy_batches():
        logits = model(pictures)
        loss = functional.cross_entropy(logits.softmax(dim=1) if softmax else logits, labels)
        if clear:
            model.zero_grad()
        loss.backward()
        with torch.no_grad():
            model.layer.weight -= rate * model.layer.weight.grad
            model.layer.bias -= rate * model.layer.bias.grad
        total += loss.item() * len(labels)
        right += (logits.argmax(dim=1) == labels).sum().item()
    return model.layer.weight.detach(), total / 9, right / 9


@exercise("07", "train_epoch", "Five lines: logits, loss, zero_grad, backward, step.")
def train_epoch(answer: Callable) -> None:
    """Each batch moves the weights once, and every picture counts the same."""
    weight, loss, accuracy = _epoch(rate=0.5)
    mistakes = {
        "no weight changed: clear, `backward`, `step`.": Spy().layer.weight.detach(),
        "`zero_grad` is missing: gradients add up.": _epoch(rate=0.5, clear=False)[0],
        "softmax before the loss, which has one.": _epoch(rate=0.5, softmax=True)[0],
    }
    model = Spy().eval()  # it must change this
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    pair = answer(model, spy_batches(), nn.CrossEntropyLoss(), optimizer)
    found, cause = model.layer.weight.detach(), "the five lines, or their order."
    same(found, weight, cause, mistakes, "The weights afterwards: ")
    same(len(model.modes), 3, "the network must see each batch once.", case="Batches: ")
    two(pair, "loss", "accuracy")
    same(pair[0], loss, "it must be the average over all pictures.", case="The loss: ")
    same(pair[1], accuracy, "divide the right answers by all pictures.", case="The accuracy: ")
    if not all(model.modes):
        raise Wrong("the network is in evaluation mode. Call `model.train()` first.")
    for part in ("pictures", "labels"):  # last: it must not hide another mistake
        if part not in WatchedTensor.sent:
            raise Wrong(f"the {part} never go to the device, `{part}.to(device)`: no GPU can work.")


@exercise("15", "average_over_ranks", "Add up gradient * count, and divide by sum(counts).")
def average_over_ranks(answer: Callable) -> None:
    """The gradient of the whole batch comes out, however it was dealt out."""
    gradients = torch.tensor([[1.0, -2.0, 0.5], [4.0, 1.0, 3.5], [-3.0, 0.0, 2.0]])
    counts = [4, 3, 1]
    total = (gradients * torch.tensor(counts).unsqueeze(1)).sum(dim=0)
    given = gradients.clone()
    found = answer(list(given), list(counts))  # views, so that a change is seen
    if not torch.equal(given, gradients):
        raise Wrong("the gradients that were given are changed: do not use `*=` or `+=` on them.")
    mistakes = {
        "a plain mean: one picture counts as much as four.": gradients.mean(dim=0),
        "this is the sum over all pictures: divide by sum(counts).": total,
        "divide by the number of pictures, not of processes.": total / 3,
    }
    same(found, total / 8, "each process weighs as much as it saw pictures.", mistakes)

"""The exercises of steps 07 to 09: training, evaluation, prediction."""

import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy as loss_of

from helpers.feedback import Wrong, exercise, same, two

AVERAGE = "you averaged the averages of the batches, but the last batch is smaller."
NO_EVAL = "the network is in training mode. Call `model.eval()` first."


class Spy(nn.Module):
    """A linear layer that remembers how it was called."""

    def __init__(self) -> None:
        super().__init__()
        torch.default_generator.manual_seed(3)  # torch.manual_seed would change a GPU's as well
        self.layer = nn.Linear(4, 3)
        self.modes: list[tuple[bool, bool]] = []  # training mode, gradients on

    def forward(self, pictures: Tensor) -> Tensor:
        """Return logits (N, 3) of (N, 1, 2, 2)."""
        self.modes.append((self.training, torch.is_grad_enabled()))
        plain = pictures.as_subclass(Tensor).flatten(1)
        return self.layer(plain.to(self.layer.weight.device))


class _Watched(Tensor):
    """A tensor that notices whether it is sent to a device."""

    sent = False

    def to(self, *words: Any, **options: Any) -> Tensor:
        """Send a plain copy."""
        _Watched.sent = True
        return self.as_subclass(Tensor).to(*words, **options)

    def cuda(self, *words: Any) -> Tensor:
        """Take a move to a GPU for one to the device."""
        return self.to("cpu")


def spy_batches() -> list[tuple[Tensor, Tensor]]:
    """Return three batches of 4, 4 and 1 pictures (N, 1, 2, 2); the small one is hard."""
    random = torch.Generator().manual_seed(5)
    pictures, labels = torch.randn(9, 1, 2, 2, generator=random), torch.tensor([0, 1, 2] * 3)
    pictures[8] *= 5
    return list(zip(pictures.split(4), labels.split(4), strict=True))


def spied() -> tuple[Spy, Tensor]:
    """Return a network in training mode, and what it should give for all batches, (9, 3)."""
    network = Spy()
    logits = network(torch.cat([pictures for pictures, _ in spy_batches()])).detach()
    network.modes.clear()
    return network.train(), logits


def _epoch(rate: float, clear: bool = True, softmax: bool = False) -> types.SimpleNamespace:
    """Train (or with rate 0 evaluate) for an epoch as it should be done, or with a mistake."""
    model, losses, right = Spy(), [], 0
    for pictures, labels in spy_batches():
        logits = model(pictures)
        loss = loss_of(logits.softmax(dim=1) if softmax else logits, labels)
        if clear:
            model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= rate * parameter.grad
        losses.append(loss.item())
        right += (logits.argmax(dim=1) == labels).sum().item()
    return types.SimpleNamespace(
        weight=model.layer.weight.detach(),
        loss=(4 * losses[0] + 4 * losses[1] + losses[2]) / 9,
        batch_mean=sum(losses) / 3,
        last=losses[2],
        accuracy=right / 9,
    )


def _check_loop(answer: Callable, rate: float) -> tuple[Spy, types.SimpleNamespace]:
    """Call a training or evaluation loop, and check the numbers that it gives back."""
    device = getattr(answer, "__globals__", {}).get("device", "cpu")  # that of the notebook
    model, good = Spy().to(device), _epoch(rate)
    model.train(not rate)  # the mode that it must change
    _Watched.sent = False
    batches = [(pictures.as_subclass(_Watched), labels) for pictures, labels in spy_batches()]
    optimizer = [torch.optim.SGD(model.parameters(), rate)] if rate else []
    pair = answer(model, batches, nn.CrossEntropyLoss(), *optimizer)
    two(pair, "loss", "accuracy")
    if len(model.modes) != 3:
        raise Wrong("the network must see each batch once.", len(model.modes), 3)
    if not _Watched.sent:
        raise Wrong("the batch never goes to the device: `pictures.to(device)`. Fails on a GPU.")
    if rate:
        same(
            *(model.layer.weight.detach().cpu(), good.weight, "the five lines, or their order."),
            "The weights afterwards: ",
            nothing=(Spy().layer.weight, "no weight changed: clear, `backward`, `step`."),
            clear=(_epoch(rate, clear=False).weight, "`zero_grad` is missing: gradients add up."),
            softmax=(_epoch(rate, softmax=True).weight, "softmax before the loss, which has one."),
        )  # fmt: skip
    same(
        *(pair[0], good.loss, "it must be the average over all pictures."),
        "The loss: ",
        batches=(good.batch_mean, AVERAGE),
        total=(9 * good.loss, "losses were added up, but not divided."),
        sum=(3 * good.batch_mean, "losses were added up, but not divided."),
        last=(good.last, "this is the loss of the last batch only."),
        softmax=(_epoch(rate, softmax=True).loss, "softmax before the loss, which has one."),
        turned=(good.accuracy, "first the loss, then the accuracy."),
    )
    same(
        *(pair[1], good.accuracy, "it must be the right answers divided by all pictures."),
        "The accuracy: ",
        percent=(100 * good.accuracy, "a share of 1, not of 100."),
        count=(9 * good.accuracy, "divide the right ones by all pictures."),
        batches=(9 * good.accuracy / 3, "divide by the number of pictures, not of batches."),
    )
    return model, good


@exercise(
    "07",
    "train_epoch",
    "The five lines of step 06: logits, loss, zero_grad, backward, step.",
    "logits = model(pictures); loss = loss_fn(logits, labels); optimizer.zero_grad();"
    " loss.backward(); optimizer.step()",
    first=lambda: torch.optim.SGD([torch.zeros(1)], lr=1.0).zero_grad(),  # imports for seconds
)
def train_epoch(answer: Callable) -> None:
    """Each batch moves the weights once, and every picture counts the same."""
    model, _ = _check_loop(answer, rate=0.5)
    if not all(training for training, _ in model.modes):
        raise Wrong("the network is in evaluation mode. Call `model.train()` first.")


@exercise(
    "07",
    "evaluate",
    "As in train_epoch, without zero_grad, backward and step; count right ones and pictures.",
    "total_loss += loss * len(labels), and at the end divide by the number of pictures.",
)
def evaluate(answer: Callable) -> None:
    """Evaluation mode, no gradients, no change, and every picture counts the same."""
    model, _ = _check_loop(answer, rate=0.0)
    if any(training for training, _ in model.modes):
        raise Wrong(NO_EVAL)
    if any(gradients for _, gradients in model.modes):
        raise Wrong("gradients are on. Put `@torch.no_grad()` above, or `with torch.no_grad():`.")


@exercise(
    "08",
    "best_epoch",
    "history['valid_accuracy'].idxmax() is a row; the epoch is in the column 'epoch'.",
    "int(history.loc[history['valid_accuracy'].idxmax(), 'epoch'])",
)
def best_epoch(answer: Callable) -> None:
    """The epoch with the highest accuracy on the validation part."""
    import pandas as pd

    history = pd.DataFrame(
        {
            "epoch": [3, 4, 5, 6, 7],  # as after `resume`
            "train_accuracy": [0.2, 0.5, 0.7, 0.8, 0.99],
            "valid_loss": [1.9, 1.0, 0.8, 0.7, 1.2],
            "valid_accuracy": [0.3, 0.6, 0.9, 0.7, 0.6],
        }
    )
    found = answer(history)
    same(
        *(found, 5, "compare with the highest number in the column valid_accuracy."),
        next=(3, "the epochs need not begin at 1. The epoch is in the column 'epoch'."),
        row=(2, "this is the row, counted from 0. The epoch is in the column 'epoch'."),
        train=(7, "this is the last epoch, or the best on the training part."),
        loss=(6, "this has the lowest loss; asked for is the highest accuracy."),
        value=(0.9, "this is the accuracy; asked for is its epoch."),
    )
    if isinstance(found, float):
        raise Wrong("a plain whole number is wanted: int(…).", found, 5)


@exercise(
    "08",
    "count_pairs",
    "Begin with zeros (classes, classes). One loop over zip(true, predicted).",
    "counts[t, p] += 1: the row is the true class, the column the predicted one.",
)
def count_pairs(answer: Callable) -> None:
    """Rows are the true classes, columns the predicted ones, every picture counted once."""
    true, predicted = torch.tensor([0, 0, 0, 1, 2, 2, 0]), torch.tensor([0, 1, 1, 1, 2, 0, 1])
    expected = torch.tensor([[1, 3, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]])
    found = answer(true, predicted, 4)
    found = torch.from_numpy(found) if isinstance(found, np.ndarray) else found
    same(
        *(found, expected, "every pair (true, predicted) counts one."),
        turned=(expected.T, "rows and columns are swapped: the row is the true class."),
        once=((expected > 0).long(), "a pair that comes twice counts only once. Add 1 for each."),
        right=(expected.diag().diag(), "only the right ones were counted."),
        small=(expected[:3, :3], "a class without pictures needs its row and column too."),
        share=(expected / 7, "counts are wanted, not shares."),
    )


@exercise(
    "09",
    "predict",
    "model.eval(); no gradients; model(pictures).softmax(dim=1) for each batch.",
    "Collect them in a list and join them with torch.cat.",
)
def predict(answer: Callable) -> None:
    """Probabilities for every picture, in evaluation mode, without gradients."""
    model, logits = spied()
    found = answer(model, spy_batches())
    last = logits[8:].softmax(dim=1)
    columns = torch.cat([part.softmax(dim=0) for part in logits.split(4)])
    same(
        *(found, logits.softmax(dim=1), "one row of probabilities for each picture, in order."),
        logits=(logits, "these are logits. Use `.softmax(dim=1)`."),
        dim=(columns, "over the classes: dim=1."),
        last=(last, "only the last batch is left: collect all, then `torch.cat`."),
        first=(logits[:4].softmax(dim=1), "only the first batch: `return` is inside the loop."),
        labels=(logits.argmax(dim=1), "the probabilities are wanted, not only the winner."),
    )  # fmt: skip
    if model.modes[0][0]:
        raise Wrong(NO_EVAL)


@exercise(
    "09",
    "write_submission",
    "Read test.csv with pandas, set its column Label, and write it with to_csv.",
    "table['Label'] = predicted.numpy(); table.to_csv(file, index=False)",
)
def write_submission(answer: Callable) -> None:
    """ID and Label, in the order of test.csv, whole numbers, no further column."""
    with tempfile.TemporaryDirectory() as place:
        test, file = Path(place) / "test.csv", Path(place) / "out.csv"
        test.write_text("ID,Label\nb.png,\na.png,\nc.png,\n")
        answer(test, torch.tensor([2, 0, 1]), file)
        if not file.is_file():
            raise Wrong("no file was written: to_csv(file, …).")
        lines = file.read_text().split()
    good = ["ID,Label", "b.png,2", "a.png,0", "c.png,1"]
    same(
        *(lines, good, "compare the lines."),
        index=([",ID,Label", "0,b.png,2", "1,a.png,0", "2,c.png,1"], "index=False is missing."),
        empty=(["ID,Label", "b.png,", "a.png,", "c.png,"], "the table has no labels."),
        floats=(["ID,Label", "b.png,2.0", "a.png,0.0", "c.png,1.0"], "labels are whole numbers."),
        sorted=(["ID,Label", "a.png,0", "b.png,2", "c.png,1"], "keep the order of test.csv."),
        text=(
            ["ID,Label", "b.png,tensor(2)", "a.png,tensor(0)", "c.png,tensor(1)"],
            "a list of tensors becomes text: predicted.numpy().",
        ),
        mixed=(["ID,Label", "a.png,2", "b.png,0", "c.png,1"], "sorted names lost their labels."),
        header=(good[1:], "the first line must be ID,Label: no header=False."),
    )

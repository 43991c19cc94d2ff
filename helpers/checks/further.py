"""The exercises of steps 13 to 15: tracking, a web page, several processes."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from helpers.feedback import Wrong, exercise, same


@exercise(
    "13",
    "summarise",
    "Group the rows by what makes a setting: network, rate and augmented. The seed is luck.",
    'table.groupby(["network", "rate", "augmented"])["valid_accuracy"].agg(["mean", "std"])',
)
def summarise(answer: Callable) -> None:
    """One row for each setting: the mean over its seeds, and how far they are apart."""
    setting = ["network", "rate", "augmented"]
    random = np.random.default_rng(0)
    rows = [
        (network, rate, augmented, seed, random.random())
        for network in ("LeNet", "Other")
        for rate in (1e-4, 1e-3)
        for augmented in (False, True)
        for seed in range(4 if augmented else 3)
    ]
    table = pd.DataFrame(rows, columns=[*setting, "seed", "valid_accuracy"])
    table = table.sample(frac=1, random_state=0).reset_index(drop=True)

    def numbers(column: pd.Series) -> torch.Tensor:
        return torch.tensor(column.tolist(), dtype=torch.float64)

    accuracy = table.groupby(setting)["valid_accuracy"]
    found = answer(table.copy())
    if isinstance(found, pd.Series):
        raise Wrong('two numbers for each setting are wanted: .agg(["mean", "std"]).')
    if not isinstance(found, pd.DataFrame):
        raise Wrong("give back a table.", type(found).__name__, "DataFrame")
    flat = found.reset_index()
    missing = [name for name in (*setting, "mean", "std") if name not in flat]
    if len(flat) == len(table) and missing != ["mean", "std"]:
        raise Wrong("do not group by the seed, it is luck: the spread is over the seeds.", 30, 8)
    if missing:
        what = "these must be columns or the index of the table."
        raise Wrong(what, [str(name) for name in flat.columns], [*setting, "mean", "std"])
    same(len(flat), 8, "one row for each setting is wanted.", case="Rows: ")
    flat = flat.sort_values(setting)
    same(
        *(numbers(flat["mean"]), numbers(accuracy.mean()), "the mean of valid_accuracy."),
        case="mean: ",
        best=(numbers(accuracy.max()), "this is the best seed, not the mean of them."),
        median=(numbers(accuracy.median()), "this is the median, not the mean."),
    )
    same(
        *(numbers(flat["std"]), numbers(accuracy.std()), "the standard deviation of the seeds."),
        case="std: ",
        all=(numbers(accuracy.std(ddof=0)), "three seeds are a sample: divide by n - 1."),
        error=(numbers(accuracy.sem()), "this is the error of the mean, not the spread."),
        square=(numbers(accuracy.var()), "this is the variance: its square root is wanted."),
    )


@exercise(
    "14",
    "find_limit",
    "Sort the distances in your head: a part of 1 - false_alarms must lie below the limit.",
    "distances.quantile(1 - false_alarms)",
)
def find_limit(answer: Callable) -> None:
    """So many of the familiar pictures lie beyond it, and no more."""
    distances = torch.rand(401, generator=torch.Generator().manual_seed(0)) ** 2
    most = distances.max().item()
    for part in (0.05, 0.2):
        found = answer(distances.clone(), part)
        same(
            *(found, distances.quantile(1 - part).item(), "the 1 - false_alarms quantile."),
            other=(distances.quantile(part).item(), "this is the other end: 1 - false_alarms."),
            largest=(most, "nothing at all would be refused."),
            scaled=((1 - part) * most, "a part of the pictures is meant, not of the largest."),
            mean=(distances.mean().item(), "beyond the mean lie far too many."),
            median=(distances.median().item(), "beyond the median lies a half."),
            fixed=(distances.quantile(0.95).item(), "this fits one rate only: use false_alarms."),
        )


@exercise(
    "15",
    "average_over_ranks",
    "A process that saw more pictures counts more: multiply each gradient by its count first.",
    "Add up gradient * count over the processes, and divide by sum(counts).",
)
def average_over_ranks(answer: Callable) -> None:
    """The gradient of the whole batch comes out, however it was dealt out."""
    gradients = torch.tensor([[1.0, -2.0, 0.5], [4.0, 1.0, 3.5], [-3.0, 0.0, 2.0]])
    counts = [4, 3, 1]
    weights = torch.tensor(counts).unsqueeze(1)
    total = (gradients * weights).sum(dim=0)
    given = [gradient.clone() for gradient in gradients]
    found = answer(given, list(counts))
    if any(not torch.equal(a, b) for a, b in zip(given, gradients, strict=True)):
        raise Wrong("the gradients that were given are changed: do not use `*=` or `+=` on them.")
    same(
        *(found, total / 8, "each process weighs as much as it saw pictures."),
        plain=(gradients.mean(dim=0), "a plain mean: a process with one picture counts too much."),
        undivided=(total, "this is the sum over all pictures: divide by sum(counts)."),
        processes=(total / 3, "divide by the number of pictures, not of processes."),
        summed=(gradients.sum(dim=0), "this is the sum of the averages. Weigh and divide."),
        other=((gradients / weights).sum(dim=0), "multiply each gradient by its count."),
        first=(gradients[0], "this is the first process alone."),
        scalar=(total.sum() / 8, "one number for each weight: add over the processes only."),
    )
    same(answer([gradients[0]], [5]), gradients[0], "one process alone keeps its gradient.")

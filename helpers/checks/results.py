"""Steps 08 to 10, 13, 14, 16 and 17: what networks give, and the tables and files made of it."""

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from helpers.checks.feedback import Wrong, as_tensor, exercise, same, two
from helpers.checks.learning import spied, spy_batches


@exercise("08", "count_pairs", "Begin with zeros; counts[t, p] += 1 for each pair.")
def count_pairs(answer: Callable) -> None:
    """Rows are the true classes, columns the predicted ones, every picture counted once."""
    true, predicted = torch.tensor([0, 0, 0, 1, 2, 2, 0]), torch.tensor([0, 1, 1, 1, 2, 0, 1])
    expected = torch.tensor([[1, 3, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]])
    mistakes = {
        "rows and columns are swapped: the row is the true class.": expected.T,
        "a pair that comes twice counts only once. Add 1 for each.": expected.clamp(max=1),
        "a class without pictures needs its row and column too.": expected[:3, :3],
    }
    found = as_tensor(answer(true, predicted, 4))
    same(found, expected, "every pair (true, predicted) counts one.", mistakes)


@exercise("09", "write_submission", "Read test.csv, set its column Label, write it with to_csv.")
def write_submission(answer: Callable) -> None:
    """ID and Label, in the order of test.csv, whole numbers, no further column."""
    with tempfile.TemporaryDirectory() as place:
        test, file = Path(place) / "test.csv", Path(place) / "out.csv"
        test.write_text("ID,Label\nb.png,\na.png,\nc.png,\n")
        answer(test, torch.tensor([2, 0, 1]), file)
        if not file.is_file():
            raise Wrong("no file was written: to_csv(file, …).")
        found = " ".join(file.read_text().split())
    text = "tensors in a list become text: use predicted.numpy()."
    mistakes = {
        "index=False is missing.": ",ID,Label 0,b.png,2 1,a.png,0 2,c.png,1",
        "the table has no labels.": "ID,Label b.png, a.png, c.png,",
        "labels are whole numbers.": "ID,Label b.png,2.0 a.png,0.0 c.png,1.0",
        text: "ID,Label b.png,tensor(2) a.png,tensor(0) c.png,tensor(1)",
    }
    same(found, "ID,Label b.png,2 a.png,0 c.png,1", "compare the lines.", mistakes)


@exercise("10", "compute_features", "network.eval(), no gradients, two lists, torch.cat for each.")
def compute_features(answer: Callable) -> None:
    """Every picture once, in order, in evaluation mode, without gradients."""
    network, expected = spied()
    pair, labels = answer(network, spy_batches()), torch.arange(9) % 3
    two(pair, "features", "labels")
    mistakes = {
        "first the features, then the labels.": labels,
        "only the first batch: `return` is inside the loop.": expected[:4],
        "only the last batch is left: collect all, then `torch.cat`.": expected[8:],
    }
    same(pair[0], expected, "one row for each picture, in order.", mistakes, "The features: ")
    same(pair[1], labels, "one for each picture, in order.", case="The labels: ")
    if network.modes[0]:
        raise Wrong("the network is in training mode. Call `model.eval()` first.")


@exercise("13", "summarise", "groupby what makes a setting (not the seed), then .agg of two names.")
def summarise(answer: Callable) -> None:
    """One row for each setting: the mean over its seeds, and how far they are apart."""
    setting = ["network", "rate", "augmented"]
    rows = itertools.product(("LeNet", "Other"), (1e-4, 1e-3), (False, True), range(3))
    table = pd.DataFrame(rows, columns=[*setting, "seed"])
    table["valid_accuracy"] = np.random.default_rng(0).random(len(table))
    found = answer(table.sample(frac=1, random_state=0).reset_index(drop=True))
    if not isinstance(found, pd.DataFrame):
        raise Wrong('give back a table of two numbers for each setting: .agg(["mean", "std"]).')
    found = found.reset_index()
    if len(found) == len(table):
        raise Wrong("do not group by the seed, it is luck: the spread is over the seeds.")
    if not {*setting, "mean", "std"} <= set(found):
        cause = "these must be columns or the index of the table."
        raise Wrong(cause, [str(name) for name in found], [*setting, "mean", "std"])
    same(len(found), 8, "one row for each setting is wanted.", case="Rows: ")
    groups = table.groupby(setting)["valid_accuracy"]
    mistakes = {
        "a few seeds are a sample: divide by n - 1.": torch.tensor(groups.std(ddof=0).tolist()),
        "this is the variance: its square root is wanted.": torch.tensor(groups.var().tolist()),
    }
    for name in ("mean", "std"):
        numbers, expected = found.sort_values(setting)[name].tolist(), groups.agg(name).tolist()
        cause, case = f"the {name} over the seeds.", f"{name}: "
        same(torch.tensor(numbers), torch.tensor(expected), cause, mistakes, case)


@exercise("13", "suspects", "probabilities.max(dim=1) gives how sure, and the answer; argsort.")
def suspects(answer: Callable) -> None:
    """Rows where the network and the label disagree, the surest first, and no more than asked."""
    probabilities = torch.tensor(
        [[0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.05, 0.05, 0.9], [0.2, 0.7, 0.1], [0.5, 0.1, 0.4]]
    )
    labels, sure = torch.tensor([1, 1, 0, 2, 2]), torch.tensor([2, 3, 0, 4])  # row 1 agrees
    places = torch.tensor([1, 2, 0])
    for count in (3, 2):
        mistakes = {
            "the surest come first: descending=True.": sure.flip(0)[:count],
            "only rows where answer and label differ count.": torch.tensor([2, 1, 3])[:count],
            "give back rows of the table, not places among the wrong ones.": places[:count],
            "not more than `count`.": sure,
        }
        found = answer(probabilities.clone(), labels.clone(), count)
        found = torch.as_tensor(found) if isinstance(found, list | np.ndarray) else found
        same(found, sure[:count], "row numbers, the surest first.", mistakes, f"{count} rows: ")


@exercise("14", "find_limit", "A part of 1 - false_alarms must lie below: `quantile`.")
def find_limit(answer: Callable) -> None:
    """So many of the familiar pictures lie beyond it, and no more."""
    distances = torch.rand(401, generator=torch.Generator().manual_seed(0)) ** 2
    largest = distances.max().item()
    for part in (0.05, 0.2):
        found, expected = answer(distances.clone(), part), distances.quantile(1 - part).item()
        mistakes = {
            "this is the other end: 1 - false_alarms.": distances.quantile(part).item(),
            "a part of the pictures is meant, not of the largest.": (1 - part) * largest,
            "this fits one rate only: use false_alarms.": distances.quantile(0.95).item(),
        }
        same(found, expected, "the 1 - false_alarms quantile.", mistakes)


@exercise("16", "folds", "rows = (labels == label).nonzero().flatten(); then cut these rows.")
def folds(answer: Callable) -> None:
    """In each fold a block of neighbours of every class, as equal as possible."""
    labels = torch.tensor([0, 0, 1, 0, 0, 1, 1, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 1, 0])  # 11 and 9
    for count in (3, 4):
        found, case = as_tensor(answer(labels.clone(), count)), f"{count} folds: "
        if not isinstance(found, torch.Tensor) or found.shape != labels.shape:
            raise Wrong("one number for each picture is wanted, in a tensor.")
        if found.is_floating_point():
            raise Wrong("whole numbers are wanted.")
        same(found.min().item(), 0, "the folds are counted from 0.", case=case)
        same(found.max().item(), count - 1, f"the last fold is {count - 1}.", case=case)
        for label in (0, 1):
            own = found[labels == label]
            if (own.diff() < 0).any():
                raise Wrong("neighbours are in different folds. Cut blocks: the order must stay.")
            sizes = own.bincount(minlength=count)
            if sizes.max() - sizes.min() > 1:
                cause = "each class by itself, as equal as possible:"
                raise Wrong(f"{cause} class {label} has {sizes.tolist()}.")


@exercise("16", "answer_or_pass", "probabilities.max(dim=1) gives how sure it is, and the class.")
def answer_or_pass(answer: Callable) -> None:
    """The class where it is sure enough, also just so, and -1 elsewhere."""
    rows = [[0.75, 0.25, 0], [0.125, 0.25, 0.625], [0.25, 0.5, 0.25], [0, 0, 1]]
    probabilities = torch.tensor(rows)
    for threshold, expected in ((0.625, [0, 2, -1, 2]), (0.75, [0, -1, -1, 2])):
        found = as_tensor(answer(probabilities.clone(), threshold))
        sure, best = probabilities.max(dim=1)
        mistakes = {
            "it is turned round: pass where it is below.": best.where(sure < threshold, -1),
            "at the threshold itself it answers.": best.where(sure > threshold, -1),
            "0 is a class. Pass with -1.": best.where(sure >= threshold, 0),
            "this is how sure it is; the class is wanted.": sure.where(sure >= threshold, -1),
        }
        cause = "one class or -1 for each row: the maximum is over dim=1."
        same(found, torch.tensor(expected), cause, mistakes, f"Threshold {threshold}: ")


@exercise("17", "sure_loss", "weights = 2 * (probability - 0.5).abs(); reduction='none'.")
def sure_loss(answer: Callable) -> None:
    """A label counts the more the surer it is, and a doubtful one counts still."""
    probability = torch.tensor([0, 1 / 3, 2 / 3, 1, 1, 0.5])
    logits = torch.tensor([[1.0, -1], [0.5, 2], [3, 0], [-1, 2], [2, 1], [0, 5]])
    targets, weights = (probability >= 0.5).long(), 2 * (probability - 0.5).abs()
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    whole, by_probability = weights * losses, probability @ losses / probability.sum()
    mistakes = {
        "divide by the sum of the weights, not by the number of cells.": whole.mean(),
        "the mean is still to be taken: divide by the sum of the weights.": whole.sum(),
        "every label pulls alike: is reduction='none' there, and the weights?": losses.mean(),
        "the weight is the distance from one half, not the probability.": by_probability,
    }
    found = answer(logits, probability.clone())
    same(found, whole.sum() / weights.sum(), "weights, losses, or their mean.", mistakes)


@exercise("17", "by_module", "Shuffle modules.unique(), take a quarter, then torch.isin.")
def by_module(answer: Callable) -> None:
    """Every cell once, no module on both sides, a quarter of them to test, by the seed."""
    modules = torch.arange(90) // 8 + 3  # twelve of them, and the last one is short
    tested = []
    for seed in (0, 0, 1, 2):
        pair = answer(modules.clone(), seed)
        two(pair, "train", "test")
        train, test = (torch.as_tensor(part) for part in pair)
        if torch.bool in (train.dtype, test.dtype):
            raise Wrong("row numbers are wanted, not True and False: `.nonzero().flatten()`.")
        if sorted([*train.tolist(), *test.tolist()]) != list(range(90)):
            raise Wrong("each row must be in one of the two parts, and only once.")
        trained, held = ({*modules[part].tolist()} for part in (train, test))
        if trained & held:
            raise Wrong(f"module {min(trained & held)} has cells in both parts.")
        swapped = {"first train, then test.": 9, "a quarter of the modules, not of the rows.": 1}
        same(len(held), 3, "a quarter of twelve modules.", swapped, "Modules in test: ")
        tested.append(held)
    if tested[0] != tested[1]:
        raise Wrong("the same seed gives another split: Generator().manual_seed(seed).")
    if tested[0] == tested[2] == tested[3]:
        raise Wrong("every seed gives the same split: shuffle the modules by `seed`.")

"""A finding that a lesson prints comes out False where it is false; its links lead somewhere."""

import ast
import contextlib
import inspect
import io
import math
import random
import re
from importlib import import_module
from pkgutil import resolve_name
from types import SimpleNamespace

import nbformat
import pandas as pd
import torch
from conftest import REPOSITORY, notebook_cell, quick

from helpers import plots, recipes
from helpers.batches import stratified_split
from helpers.catalog import FOOD, data_folder
from helpers.checks.reference import code_cells
from helpers.samples import sample_folder
from workshop.room import notebook_files


def said(step):
    """Run the code cells of a notebook, with short trainings; return what it says."""
    (file,) = notebook_files(f"{step:02}")
    source = quick("\n".join(code_cells(file)))
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(compile(source, file.name, "exec"), {"__name__": file.stem})
    return dict(re.findall(r"^(.*): (True|False)$", output.getvalue(), flags=re.M))


def test_without_anything_to_learn_step_12_finds_nothing(home, monkeypatch):
    """The pictures are dealt out to the classes by chance."""
    chance, sample = random.Random(0), sample_folder(FOOD)
    for part, most in (("train", 60), ("test", 45)):
        files = sorted((sample / part).rglob("*.jpg"))
        for number, file in enumerate(chance.sample(files, most)):
            target = data_folder("food") / "real" / part / FOOD.classes[number % 3]
            target.mkdir(parents=True, exist_ok=True)
            file.rename(target / file.name)
    titles = []
    monkeypatch.setattr(plots, "_show", lambda *_, **__: titles.append(plots.plt.gcf()))
    found = said(12)
    named = [found[name] for name in found if name.startswith(("features", "TinyVGG"))]
    assert named == ["False"] * 3, found
    assert found["the validation loss turned"] == "False"
    shown = " ".join(plots.describe(figure) for figure in titles)
    assert len(re.findall(r"features are (\d|1\d) points (ahead|behind)", shown)) == 2
    plots.plt.close("all")


# in these steps the first use of each class of PyTorch is linked
ALL_LINKED = (*range(1, 10), 13, 15)
PAGE = r"https://docs\.pytorch\.org/(?:docs|vision)/stable/(?:generated/)?(\w[\w.]*)\.html(?:#([\w.]+))?"


def torch_classes(sources):
    """Return the classes of torch and torchvision that code names."""
    names, found = {}, set()
    for tree in map(ast.parse, sources):
        for one in ast.walk(tree):
            if isinstance(one, ast.Import):
                names |= {n.name: import_module(n.name) for n in one.names if n.name == "torch"}
            elif isinstance(one, ast.ImportFrom) and one.module.startswith("torch"):
                names |= {n.name: resolve_name(f"{one.module}:{n.name}") for n in one.names}
        for one in ast.walk(tree):
            first, *rest = ast.unparse(one).split(".") if isinstance(one, ast.expr) else [""]
            value = names.get(first)
            for name in rest:
                value = getattr(value, name, None)
            found |= {value} if inspect.isclass(value) else set()
    return found


def test_the_documentation_of_each_class_is_linked_where_it_is_first_used():
    seen, linked = set(), {}
    for file in sorted((REPOSITORY / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(file, 4).cells
        text = "".join(cell.source for cell in cells if cell.cell_type == "markdown")
        here = set()
        for link in re.findall(r"\]\((https?://[^)]*pytorch\.org/[^)]*)\)", text):
            page = re.fullmatch(PAGE, link)
            assert page, f"{file.name}: {link} is no page of the documentation"
            assert link not in linked, f"{link} is linked in {linked[link]}, and in {file.name}"
            linked[link] = file.name
            here.add(resolve_name(page[2] or page[1]))  # an error if there is no such thing
        used = torch_classes(source for source in code_cells(file) if not source.startswith("%"))
        missing = {one.__name__ for one in used - seen - here}
        assert not missing or int(file.name[:2]) not in ALL_LINKED, f"{file.name}: {missing}"
        seen |= used
    assert len(linked) > 15


def test_twelve_labels_are_kept_when_all_are_given(home):
    """Step 02: buttons for the attendee, a CSV for step 09."""
    rows = [(f"{number}.png", number % 3) for number in range(12)]
    space = {"twelve": pd.DataFrame(rows, columns=["ID", "Label"]), "classes": ("a", "b", "c")}
    space["data"] = SimpleNamespace(source="sample")
    for text in ("def answer(", "buttons = ["):
        exec(notebook_cell(2, text), space)
    kept = home / "runs" / "aoi" / "you_sample.csv"
    for number in range(13):  # the last click is one too many
        assert kept.exists() == (number == 12)
        assert number == 12 or space["note"].value == f"Picture {number + 1} of 12"
        space["buttons"][min(number % 3, 1)].click()
    assert space["note"].value == "8 of 12 are right."
    table = pd.read_csv(kept)
    assert table["ID"].tolist() == [name for name, _ in rows]
    assert table["Label"].tolist() == [0, 1, 1] * 4


def test_the_split_of_step_04_is_the_one_that_helpers_makes():
    labels = torch.tensor([0] * 9 + [1] * 5 + [2] * 2 + [3] * 40)[torch.randperm(56)]
    space = {"torch": torch, "dataset": SimpleNamespace(labels=labels)}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(notebook_cell(4, "train_rows, valid_rows = [], []"), space)
    for ours, parts in zip(stratified_split(labels), ("train_rows", "valid_rows"), strict=True):
        assert ours.tolist() == sorted(space[parts])


def test_the_recipe_is_what_step_07_trains():
    """The steps after 07 train the same network where its run is missing."""
    own, ours = notebook_cell(7, "CosineAnnealingLR(optim"), notebook_cell(7, "def train_lenet")
    (seed,) = re.findall(r"SEED = .*, (\d+)$", own, flags=re.M)
    ((epochs, rate),) = re.findall(r"^EPOCHS, RATE = (.*), (.*)$", ours, flags=re.M)
    found = int(epochs), float(rate), int(seed)
    assert found == (recipes.LENET_EPOCHS, recipes.LENET_RATE, recipes.LENET_SEED)
    every = "train[torch.arange(0, len(train), 4)]"
    assert every in notebook_cell(7, "few = ") and every in inspect.getsource(recipes.trained_lenet)


def test_of_the_three_rates_of_step_06_the_middle_one_goes_down():
    """The loss of a bias, and its slope, with two classes."""
    space = {"torch": torch, "loss_at": lambda v: math.log1p(math.exp(v)) - 0.4 * v}
    space["slope_at"] = lambda v: 1 / (1 + math.exp(-v)) - 0.4
    exec(notebook_cell(6, "for axis, rate in zip"), space)
    titles = [
        axis.get_title(plots.plt.rcParams["axes.titlelocation"]) for axis in plots.plt.gcf().axes
    ]
    ends = [float(title.rpartition(" ")[2]) for title in titles[1:]]
    assert len(ends) == 3 and min(ends) == ends[1]
    plots.plt.close("all")

"""The loop, the files of a run, and what a resumed run must be."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from helpers import recipes, training
from helpers.batches import Batches, make_loader, random_flips
from helpers.catalog import AOI
from helpers.data import OpenedData, Pictures
from helpers.models import LeNet
from helpers.training import Scores, evaluate, fit, load_model, mixed_precision, save_model

FILES = ["history.csv", "last.pt", "metrics.json", "model.safetensors"]
NAMES = ["train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "seconds"]
LOSS = nn.CrossEntropyLoss()


def easy(count=22):
    """Pictures of 20x20 whose class is their brightness."""
    labels = torch.arange(count) % 2
    noise = torch.rand(count, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    return Pictures((100 * noise + 100 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels)


def batches(count=22, size=8, **options):
    return Batches(easy(count), 0.5, 0.25, batch_size=size, **options)


def setup(make=lambda: LeNet(classes=2, size=20), rate=1e-2, schedule=None, **options):
    """Return the first arguments of `fit`: always the same network, and 8, 8 and 6 pictures."""
    torch.manual_seed(0)
    model = make()
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    parts = {"model": model, "optimizer": optimizer, "valid": batches()}
    parts["train"] = batches(shuffle=True, augment=random_flips)
    return parts | ({"scheduler": schedule(optimizer)} if schedule else {}) | options


def noisy():
    """A network that draws random numbers and keeps running averages."""
    return nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(400, 2))


class StopsAt:
    """Batches whose n-th reading is interrupted."""

    def __init__(self, batches, reading):
        self.batches, self.left = batches, reading

    def __iter__(self):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        return iter(self.batches)


def numbers(history):
    return history.drop(columns="seconds")


def test_averages_weigh_the_smaller_last_batch_rightly():
    parts = setup(rate=0.0, train=batches())  # a rate of 0 learns nothing
    ((pictures, labels),) = batches(size=22)
    logits = parts["model"](pictures)
    wanted = LOSS(logits, labels).item(), (logits.argmax(1) == labels).float().mean().item()
    learned = training.train_epoch(parts["model"], parts["train"], LOSS, parts["optimizer"])
    for scores in (learned, evaluate(parts["model"], parts["valid"], LOSS)):
        assert scores == pytest.approx(wanted, rel=1e-5)


def test_evaluation_changes_nothing():
    model = setup(noisy)["model"]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert evaluate(model, batches(), LOSS) == evaluate(model, batches(), LOSS)
    assert all(torch.equal(before[name], after) for name, after in model.state_dict().items())
    assert not model.training and all(p.grad is None for p in model.parameters())


def test_the_run_folder_holds_the_best_network_and_plain_numbers(tmp_path):
    notes = {"source": "sample", "rate": np.float32(0.5), "mean": torch.ones(2)}
    history = fit(**setup(), epochs=3, run=tmp_path, notes=notes)
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "history.csv"), history)
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8")) == {
        "source": "sample",
        "rate": 0.5,
        "mean": [1, 1],
        "valid_accuracy": 1,
        "best_epoch": 3,
        "epochs": 3,
        "seconds": pytest.approx(history["seconds"].sum()),
        "device": "cpu",
    }
    best = load_model(tmp_path / "model.safetensors")
    assert evaluate(best, batches(), LOSS).loss == history["valid_loss"].min()


def test_the_best_is_the_most_accurate_then_the_one_with_less_loss_then_the_first(
    tmp_path, monkeypatch
):
    script, weights = [(0.9, 0.5), (0.8, 0.5), (0.9, 0.6), (0.9, 0.6), (0.1, 0.4)], []

    def scripted(model, *_):
        weights.append(model.linear3.bias.clone())
        return Scores(*script[len(weights) - 1])

    monkeypatch.setattr(training, "evaluate", scripted)
    for epochs, best in enumerate([1, 2, 3, 3, 3], start=1):
        fit(**setup(), epochs=epochs, run=tmp_path, resume=True)
        kept = load_file(tmp_path / "model.safetensors")["linear3.bias"]
        assert torch.equal(kept, weights[best - 1]), epochs
        assert json.loads((tmp_path / "metrics.json").read_bytes())["best_epoch"] == best


def one_cycle(steps=12, highest=0.02):
    return lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, highest, steps)


def loader(**options):
    pictures = easy()
    dataset = TensorDataset(pictures.images / 255, pictures.labels)
    return DataLoader(dataset, 8, **options) if options else make_loader(dataset, 8, shuffle=True)


RUNS = {
    "constant": lambda: {"rate": np.logspace(-3, -1, 3)[1]},  # a number of NumPy
    "one cycle": lambda: {"schedule": one_cycle()},
    "a loader": lambda: {"train": loader()},
    "a loader that shuffles": lambda: {"train": loader(shuffle=True)},
}


def same_run(one, two):
    """Compare two run folders to the byte, but for the seconds."""
    rows = [numbers(pd.read_csv(run / "history.csv")) for run in (one, two)]
    best = [json.loads((run / "metrics.json").read_bytes()) | {"seconds": 0} for run in (one, two)]
    models = [(run / "model.safetensors").read_bytes() for run in (one, two)]
    return rows[0].equals(rows[1]) and best[0] == best[1] and models[0] == models[1]


@pytest.mark.parametrize("kind", RUNS)
def test_a_resumed_run_equals_one_that_was_never_interrupted(tmp_path, kind):
    def run(folder, **options):
        parts = setup(noisy, **RUNS[kind]())
        parts["valid"] = StopsAt(parts["valid"], options.pop("stops", 0))
        return fit(**parts, epochs=4, run=tmp_path / folder, **options)

    whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("cut", stops=3)
    assert len(pd.read_csv(tmp_path / "cut" / "history.csv")) == 2
    torch.rand(7)  # other random numbers were drawn meanwhile
    resumed = run("cut", resume=True)
    assert numbers(resumed).equals(numbers(whole))
    assert same_run(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.parametrize("make", [batches, lambda **_: loader()])
def test_each_epoch_has_its_own_order_and_each_batch_its_rate(make):
    parts = setup(schedule=one_cycle(), train=make(shuffle=True))
    fit(**parts, epochs=4)
    assert parts["train"].sampler.epoch == 4 and parts["scheduler"].last_epoch == 12


def test_an_epoch_that_ends_while_files_are_written_is_done_once_more(tmp_path, monkeypatch):
    fit(**setup(), epochs=2, run=tmp_path / "whole")
    replace = training.replace

    def stops(path, write):
        if path.name == file:
            raise KeyboardInterrupt
        replace(path, write)

    for file in FILES:
        run = tmp_path / file
        fit(**setup(), epochs=1, run=run)
        monkeypatch.setattr(training, "replace", stops)
        with pytest.raises(KeyboardInterrupt):
            fit(**setup(), epochs=2, run=run, resume=True)
        monkeypatch.undo()
        fit(**setup(), epochs=2, run=run, resume=True)
        assert same_run(run, tmp_path / "whole"), file


def test_a_run_that_was_begun_anew_does_not_become_the_old_one_again(tmp_path):
    fit(**setup(), epochs=2, run=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fit(**setup(valid=StopsAt(batches(), 1)), epochs=2, run=tmp_path)
    assert (tmp_path / "model.safetensors").is_file()  # what was best so far stays
    again = fit(**setup(rate=1e-4), epochs=2, run=tmp_path, resume=True)
    assert numbers(again).equals(numbers(fit(**setup(rate=1e-4), epochs=2)))


OTHERS = {
    "rate": (lambda: setup(schedule=one_cycle(highest=0.05)), r"rates \[0.002\], 3"),
    "steps": (lambda: setup(schedule=one_cycle(15)), "steps 12, not .* steps 15"),
    "no schedule": (setup, "steps 12, not LeNet, Adam, rates .0.01., 3 batches, steps None. Give"),
    "batches": (lambda: setup(train=batches(9), schedule=one_cycle()), "not .* 2 batches"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_belongs_to_another_run_is_not_resumed(name, tmp_path):
    make, message = OTHERS[name]
    fit(**setup(schedule=one_cycle()), epochs=1, run=tmp_path)
    with pytest.raises(
        ValueError, match=rf"last.pt has LeNet, .*rates \[0.0008\], 3 batches.*{message}"
    ):
        fit(**make(), epochs=3, run=tmp_path, resume=True)


def test_an_optimizer_of_another_network_is_refused():
    with pytest.raises(ValueError, match="no parameter of this model"):
        fit(**setup() | {"optimizer": setup()["optimizer"]}, epochs=1)


@pytest.mark.parametrize(("rate", "size"), [(1e20, 8), (1e30, 64)])  # in training; in validation
def test_a_loss_that_is_no_number_stops_the_training(rate, size, tmp_path):
    with pytest.raises(FloatingPointError, match="epoch 1 is no number: lower the rate"):
        fit(**setup(rate=rate, train=batches(size=size)), epochs=3, run=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_lone_last_picture_is_left_out_where_batch_norm_cannot_learn_from_it():
    def normed():
        return nn.Sequential(nn.Flatten(), nn.Linear(400, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))

    for make, steps in ((normed, 2), (lambda: LeNet(2, size=20), 3)):
        parts = setup(make, train=batches(17))
        fit(**parts, epochs=1)
        assert next(iter(parts["optimizer"].state.values()))["step"] == steps


class Notes:
    """A logger that remembers what it was told."""

    def __init__(self, breaks=False):
        self.calls, self.breaks = [], breaks

    def log(self, epoch, numbers):
        self.calls.append((epoch, list(numbers)))
        if self.breaks:
            raise OSError("the disk is full")

    def close(self, finished):
        self.calls.append(finished)


def test_each_logger_is_given_every_epoch_and_closed():
    first, second = loggers = Notes(), Notes()
    fit(**setup(), epochs=2, loggers=loggers)
    assert first.calls == second.calls == [(1, NAMES), (2, NAMES), True]
    with pytest.raises(KeyboardInterrupt):
        fit(**setup(valid=StopsAt(batches(), 2)), epochs=3, loggers=[stopped := Notes()])
    assert stopped.calls == [(1, NAMES), False]


def test_a_logger_that_fails_loses_no_epoch_and_the_others_are_closed(tmp_path):
    with pytest.raises(OSError, match="the disk is full"):
        fit(**setup(), epochs=2, run=tmp_path, loggers=[notes := Notes(), Notes(breaks=True)])
    assert notes.calls[-1] is False
    assert len(fit(**setup(), epochs=1, run=tmp_path, resume=True)) == 1


def test_networks_of_one_s_own_come_back(tmp_path):
    file, shared = tmp_path / "a.safetensors", nn.Linear(4, 4)
    named = nn.Sequential()
    named.module, named.head = nn.Linear(4, 4), nn.Linear(4, 3)
    for mine in (named, nn.Sequential(shared, shared), nn.Conv2d(1, 3, 2)):
        mine = mine.to(memory_format=torch.channels_last)
        wanted = {name: weight.clone() for name, weight in mine.state_dict().items()}
        save_model(mine, file)
        for weight in mine.parameters():
            nn.init.zeros_(weight)
        found = load_model(file, mine.train())
        assert all(torch.equal(wanted[n], weight) for n, weight in found.state_dict().items())
        assert found is mine and not found.training


def test_the_precision_that_is_named_is_used():
    seen, parts = set(), setup()
    parts["model"].conv1.register_forward_hook(lambda layer, x, output: seen.add(output.dtype))
    assert fit(**parts, epochs=6, precision=torch.bfloat16)["valid_accuracy"].iloc[-1] == 1
    assert seen == {torch.bfloat16} and parts["model"].conv1.weight.dtype == torch.float32


def test_bfloat16_is_for_devices_that_compute_in_it(monkeypatch):
    for native, wanted in ((True, torch.bfloat16), (False, None)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda n=native: {"avx512_bf16": n})
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda n=native, **_: n)
        assert mixed_precision(torch.device("cpu")) is wanted
        assert mixed_precision(torch.device("cuda")) is wanted
    assert mixed_precision(torch.device("mps")) is None


def test_the_recipe_is_made_once_for_each_source(home, tiny, monkeypatch, capsys):
    monkeypatch.setattr(recipes, "LENET_EPOCHS", 1)
    data = OpenedData(AOI, tiny, "sample")
    train, valid = recipes.train_and_valid(data)
    assert len(train) == 10 and valid.labels.tolist() == [0, 1]
    run = recipes.trained_lenet(data)
    assert run == home / "runs" / "aoi" / "lenet" and run.name in capsys.readouterr().err
    first = (run / "last.pt").stat().st_mtime_ns
    assert recipes.trained_lenet(data) == run and (run / "last.pt").stat().st_mtime_ns == first
    recipes.trained_lenet(OpenedData(AOI, tiny, "real"))
    assert (run / "last.pt").stat().st_mtime_ns != first
    assert recipes.trained_lenet(data, augmented=False).name == "lenet_plain"
    assert load_model(run / "model.safetensors").settings["classes"] == 6

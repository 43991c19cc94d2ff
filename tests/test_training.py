import contextlib
import csv
import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import run_python
from safetensors.torch import load_file
from torch import nn

from helpers.augment import random_flips
from helpers.cache import Pictures
from helpers.checkpoints import load_model, peak_memory, save_model, write_metrics
from helpers.loaders import Batches
from helpers.models import LeNet
from helpers.training import evaluate, fit, mixed_precision, train_epoch


def easy(count=22, side=20):
    """Pictures whose class is their brightness."""
    labels = torch.arange(count) % 2
    noise = torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(0))
    return Pictures((100 * noise + 100 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels)


def setup(seed=0, rate=1e-2, **options):
    torch.manual_seed(seed)
    model = LeNet(classes=2, size=20)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    train = Batches(easy(), 0.5, 0.25, batch_size=8, shuffle=True, augment=random_flips)
    valid = Batches(easy(), 0.5, 0.25, batch_size=8)
    return {"model": model, "optimizer": optimizer, "train": train, "valid": valid} | options


def test_it_learns():
    history = fit(**setup(), epochs=6)
    assert history["valid_accuracy"].iloc[-1] == 1
    assert list(history["epoch"]) == [1, 2, 3, 4, 5, 6]


class Stops(Batches):
    def __iter__(self):
        raise KeyboardInterrupt


def test_a_run_that_was_begun_anew_does_not_become_the_old_one_again(tmp_path):
    old = fit(**setup(), epochs=2, run=tmp_path)
    parts = setup(rate=1e-4)
    with pytest.raises(KeyboardInterrupt):
        fit(**parts | {"train": Stops(easy(), batch_size=8)}, epochs=2, run=tmp_path)
    assert (tmp_path / "model.safetensors").is_file()  # what was best so far stays
    new = fit(**parts, epochs=2, run=tmp_path, resume=True)
    assert new["train_loss"].iloc[0] != old["train_loss"].iloc[0]


def test_averages_weigh_the_smaller_last_batch_rightly():
    parts = setup()
    loss_fn = nn.CrossEntropyLoss()
    scores = evaluate(parts["model"], parts["valid"], loss_fn)  # batches of 8, 8 and 6
    (whole,) = Batches(easy(), 0.5, 0.25, batch_size=22)
    logits = parts["model"](whole[0])
    assert scores.loss == pytest.approx(loss_fn(logits, whole[1]).item(), rel=1e-5)
    assert scores.accuracy == pytest.approx((logits.argmax(1) == whole[1]).float().mean().item())


def test_evaluation_changes_nothing():
    parts = setup()
    before = {name: value.clone() for name, value in parts["model"].state_dict().items()}
    evaluate(parts["model"], parts["valid"], nn.CrossEntropyLoss())
    after = parts["model"].state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not parts["model"].training


def test_the_run_folder_holds_the_best_network_and_its_numbers(tmp_path):
    parts = setup()
    history = fit(**parts, epochs=3, run=tmp_path, notes={"source": "sample-1"})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "history.csv",
        "last.pt",
        "metrics.json",
        "model.safetensors",
    ]
    with (tmp_path / "history.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["valid_accuracy"] == history["valid_accuracy"].max()
    assert metrics["source"] == "sample-1"
    assert all(not isinstance(value, dict | list) for value in metrics.values())
    best = load_model(tmp_path / "model.safetensors")
    scores = evaluate(best, parts["valid"], nn.CrossEntropyLoss())
    assert scores.accuracy == metrics["valid_accuracy"]


def test_a_worse_epoch_does_not_replace_the_best(tmp_path):
    fit(**setup(), epochs=6, run=tmp_path)
    best = (tmp_path / "model.safetensors").read_bytes()
    parts = setup()
    fit(**parts, epochs=6, run=tmp_path, resume=True)  # nothing left to do
    parts["optimizer"].param_groups[0]["lr"] = 5.0  # from here on it only gets worse
    history = fit(**parts | {"optimizer": Adam(parts)}, epochs=8, run=tmp_path, resume=True)
    assert history["valid_accuracy"].iloc[-1] < 1
    assert (tmp_path / "model.safetensors").read_bytes() == best


class Adam(torch.optim.Adam):
    """Spoils the last layer at each step."""

    def __init__(self, parts):
        super().__init__(parts["model"].parameters())
        self.layer = parts["model"].linear3

    def step(self):
        with torch.no_grad():
            self.layer.bias.copy_(torch.tensor([50.0, -50.0]))


@pytest.mark.parametrize("scheduled", [False, True])
def test_a_resumed_run_equals_one_that_was_never_interrupted(tmp_path, scheduled):
    def run(folder, stops, resume):
        parts = setup()
        if scheduled:
            parts["scheduler"] = torch.optim.lr_scheduler.OneCycleLR(
                parts["optimizer"], max_lr=0.01, total_steps=4 * len(parts["train"])
            )
        if stops:
            parts["valid"] = StopsAt(parts["valid"], stops)
        return fit(**parts, epochs=4, run=folder, resume=resume).drop(columns="seconds")

    whole = run(tmp_path / "whole", 0, False)
    with pytest.raises(KeyboardInterrupt) as interrupt:
        run(tmp_path / "cut", 3, False)
    assert interrupt.value.__notes__[0] == "Stopped after 2 of 4 epochs."
    assert "resume=True" in interrupt.value.__notes__[1]
    kept = pd.read_csv(tmp_path / "cut" / "history.csv")
    assert len(kept) == 2
    resumed = run(tmp_path / "cut", 0, True)
    assert resumed.equals(whole)
    weights = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("cut", "whole")]
    assert weights[0] == weights[1]


class StopsAt:
    """Valid batches during whose n-th reading somebody presses Ctrl-C."""

    def __init__(self, batches, reading):
        self.batches, self.left = batches, reading

    def __iter__(self):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        return iter(self.batches)


def test_a_loss_that_is_no_number_stops_the_training(tmp_path):
    with pytest.raises(FloatingPointError, match="Try a learning rate ten times smaller"):
        fit(**setup(rate=1e20), epochs=3, run=tmp_path)
    one_step = setup(rate=1e30, train=Batches(easy(), 0.5, 0.25, batch_size=64))
    with pytest.raises(FloatingPointError):  # here only the validation sees it
        fit(**one_step, epochs=1, run=tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_batches_are_explained():
    parts = setup()
    empty = Batches(easy()[torch.arange(0)], 0.5, 0.25)
    with pytest.raises(ValueError, match="no batch. Is the data set or the split empty"):
        train_epoch(parts["model"], empty, nn.CrossEntropyLoss(), parts["optimizer"])


def test_a_cut_checkpoint_is_explained(tmp_path):
    fit(**setup(), epochs=1, run=tmp_path)
    for name in ("model.safetensors", "last.pt"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged or cut off"):
        load_model(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"last\.pt is damaged or cut off.*resume=False"):
        fit(**setup(), epochs=2, run=tmp_path, resume=True)
    with pytest.raises(FileNotFoundError, match="There is no checkpoint"):
        load_model(tmp_path / "none.safetensors")


def test_a_checkpoint_of_another_network_is_explained(tmp_path):
    fit(**setup(), epochs=1, run=tmp_path)
    with pytest.raises(ValueError, match="belongs to another network than LeNet"):
        load_model(tmp_path / "model.safetensors", LeNet(classes=5, size=20))
    other = LeNet(classes=5, size=20)
    parts = setup() | {"model": other, "optimizer": torch.optim.Adam(other.parameters())}
    with pytest.raises(ValueError, match=r"last\.pt belongs to another network"):
        fit(**parts, epochs=2, run=tmp_path, resume=True)
    save_model(nn.Linear(2, 2), tmp_path / "linear.safetensors")
    with pytest.raises(ValueError, match="holds Linear, not one of helpers.models"):
        load_model(tmp_path / "linear.safetensors")


def test_a_checkpoint_cannot_run_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("code ran",)

    torch.save({"progress": Evil()}, tmp_path / "last.pt")
    with pytest.raises(ValueError, match="damaged"):
        fit(**setup(), epochs=1, run=tmp_path, resume=True)


def test_a_network_of_your_own_comes_back(tmp_path):
    mine = nn.Sequential(nn.Flatten(), nn.Linear(400, 2))
    save_model(mine, tmp_path / "mine.safetensors")
    other = nn.Sequential(nn.Flatten(), nn.Linear(400, 2))
    load_model(tmp_path / "mine.safetensors", other)
    assert torch.equal(mine[1].weight, other[1].weight)


def test_a_full_disk_keeps_the_last_whole_checkpoint(namespace, tmp_path):
    code = f"""
import sys
sys.path.insert(0, "tests")
from pathlib import Path
from test_training import fit, setup, load_model
disk = Path("{tmp_path}")
fit(**setup(), epochs=1, run=disk)
(disk / "filler").write_bytes(b"x" * (2_900_000 - sum(f.stat().st_size for f in disk.iterdir())))
try:
    fit(**setup(), epochs=3, run=disk, resume=True)
except OSError as error:
    print(error)
print(type(load_model(disk / "model.safetensors")).__name__, sorted(f.name for f in disk.iterdir()))
fit(**setup(), epochs=1, run=disk, resume=True)
print("resumable")
"""
    script = tmp_path.parent / "full.py"
    script.write_text(code)
    result = namespace(
        ["-m"], f'mount -t tmpfs -o size=3m none "{tmp_path}"; $PYTHON "{script}"', **python()
    )
    assert "The disk is full. Free some space" in result.stdout, result
    assert "LeNet ['filler', 'history.csv', 'last.pt', 'metrics.json'" in result.stdout, result
    assert "resumable" in result.stdout


def python():
    return {"PYTHON": sys.executable, "PYTHONPATH": "."}


def noisy(parts):
    """A network whose result depends on torch's random numbers and on running averages."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(400, 2))
    return parts | {"model": model, "optimizer": torch.optim.Adam(model.parameters(), lr=1e-2)}


def test_resuming_goes_on_with_the_random_numbers(tmp_path):
    whole = fit(**noisy(setup()), epochs=3)
    fit(**noisy(setup()), epochs=1, run=tmp_path)
    resumed = fit(**noisy(setup()), epochs=3, run=tmp_path, resume=True)
    assert resumed.drop(columns="seconds").equals(whole.drop(columns="seconds"))


def schedule(parts, steps):
    optimizer = parts["optimizer"]
    made = torch.optim.lr_scheduler.OneCycleLR(optimizer, np.float64(0.01), total_steps=steps)
    return parts | {"scheduler": made}


def test_resuming_with_something_else_is_explained(tmp_path):
    fit(**schedule(setup(), 9), epochs=1, run=tmp_path)
    sgd = setup()
    sgd["optimizer"] = torch.optim.SGD(sgd["model"].parameters(), lr=0.1)
    fewer = setup(train=Batches(easy(9), 0.5, 0.25, batch_size=8, shuffle=True))
    for parts, found in (
        (schedule(setup(), 12), "OneCycleLR schedule of 12 steps"),
        (setup(), "no schedule"),
        (schedule(sgd, 9), "now it is SGD"),
        (schedule(fewer, 9), "2 batches an epoch"),
    ):
        with pytest.raises(ValueError, match=f"was made with Adam, 3 batches.*{found}"):
            fit(**parts, epochs=3, run=tmp_path, resume=True)
    assert len(fit(**schedule(setup(), 9), epochs=3, run=tmp_path, resume=True)) == 3


def test_a_schedule_of_another_length_is_noticed_whatever_its_kind(tmp_path):
    def linear(steps):
        parts = setup()
        scheduler = torch.optim.lr_scheduler.LinearLR(parts["optimizer"], 1, 0.1, steps)
        return parts | {"scheduler": scheduler}

    fit(**linear(9), epochs=1, run=tmp_path)
    with pytest.raises(ValueError, match="of 9 steps; now it is .*LinearLR schedule of 12 steps"):
        fit(**linear(12), epochs=3, run=tmp_path, resume=True)


def test_a_damaged_last_checkpoint_is_always_explained(tmp_path):
    fit(**setup(), epochs=1, run=tmp_path)
    whole = (tmp_path / "last.pt").read_bytes()
    rng = np.random.default_rng(0)
    (tmp_path / "last.pt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"last\.pt is damaged or cut off"):
        fit(**setup(), epochs=2, run=tmp_path, resume=True)
    for _ in range(40):
        spoilt = bytearray(whole[: rng.integers(len(whole))] if rng.random() < 0.5 else whole)
        for place in rng.integers(0, max(len(spoilt), 1), 20):
            if len(spoilt):
                spoilt[place] ^= 255
        (tmp_path / "last.pt").write_bytes(spoilt)
        with contextlib.suppress(ValueError, FloatingPointError):
            fit(**setup(), epochs=1, run=tmp_path, resume=True)


def test_a_loss_that_is_no_average_is_refused():
    with pytest.raises(ValueError, match="reduction='sum'. Expected the mean"):
        fit(**setup(), epochs=1, loss_fn=nn.CrossEntropyLoss(reduction="sum"))


def test_shared_weights_and_a_lenet_of_your_own_can_be_saved(tmp_path):
    layer = nn.Linear(400, 400)
    tied = nn.Sequential(nn.Flatten(), layer, layer, nn.Linear(400, 2))
    save_model(tied, tmp_path / "tied.safetensors")
    load_model(tmp_path / "tied.safetensors", tied)
    own = type("LeNet", (nn.Sequential,), {})(nn.Linear(2, 2))
    save_model(own, tmp_path / "own.safetensors")
    with pytest.raises(ValueError, match="holds LeNet, not one of helpers.models"):
        load_model(tmp_path / "own.safetensors")


def test_mixed_precision_is_for_gpus_that_compute_in_it():
    assert mixed_precision(torch.device("cpu")) is None


def test_the_loop_also_runs_in_bfloat16(monkeypatch):
    monkeypatch.setattr("helpers.training.mixed_precision", lambda device: torch.bfloat16)
    parts = setup()
    history = fit(**parts, epochs=6)
    assert history["valid_accuracy"].iloc[-1] == 1
    assert parts["model"].conv1.weight.dtype == torch.float32


def test_a_cpu_is_asked_for_bfloat16_only_where_told(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert mixed_precision(cpu) is None
    assert mixed_precision(cpu, on_cpu=True) == torch.bfloat16
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert mixed_precision(cpu, on_cpu=True) is None


def test_the_precision_that_is_named_is_used():
    seen = []
    parts = setup()
    parts["model"].conv1.register_forward_hook(lambda layer, x, output: seen.append(output.dtype))
    fit(**parts, epochs=1, precision=torch.bfloat16)
    assert set(seen) == {torch.bfloat16}


def test_metrics_are_plain_json(tmp_path):
    file = write_metrics(tmp_path / "run", {"valid_accuracy": 0.5, "source": "sample"})
    assert file == tmp_path / "run" / "metrics.json"
    assert json.loads(file.read_text()) == {"valid_accuracy": 0.5, "source": "sample"}


def test_the_peak_of_memory_is_this_process_s_own(tmp_path):
    """A process that was started by a larger one does not count what that one had."""
    large = torch.ones(100_000_000)  # 400 MB here
    here = peak_memory()
    child = run_python("from helpers.checkpoints import peak_memory; print(peak_memory())")
    assert large.nbytes == 400_000_000 and here > large.nbytes
    assert int(child.stdout) < here - 200_000_000


def test_a_network_with_a_part_called_module_is_kept_whole(tmp_path):
    model = nn.Sequential()
    model.module, model.head = nn.Linear(4, 4), nn.Linear(4, 3)
    train = Batches(Pictures(torch.randn(8, 4), torch.arange(8) % 3))
    fit(model, train, train, torch.optim.SGD(model.parameters(), 0.1), 1, run=tmp_path)
    kept = load_file(tmp_path / "model.safetensors")
    assert set(kept) == {"module.weight", "module.bias", "head.weight", "head.bias"}

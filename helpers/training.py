"""Train and evaluate a network: one epoch, and whole runs that can be resumed."""

import json
import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from torch import Tensor, distributed, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.utils._pytree import tree_map_only
from tqdm.auto import tqdm

from helpers.catalog import replace
from helpers.models import ARCHITECTURES

Loader = Iterable[tuple[Tensor, Tensor]]  # batches: pictures (B, C, H, W) and labels (B,)


class Scores(NamedTuple):
    """Averages over pictures: the loss, and the accuracy in 0..1."""

    loss: float
    accuracy: float


def best_device() -> torch.device:
    """Return the fastest device here: an NVIDIA or AMD GPU, Apple's GPU, or the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def mixed_precision(device: torch.device) -> torch.dtype | None:
    """Return bfloat16 where the device computes with it natively, else None for float32."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16")
    return torch.bfloat16 if native else None


def train_epoch(
    model: nn.Module,
    loader: Loader,
    loss_fn: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    scheduler: LRScheduler | None = None,
    bar: tqdm | None = None,
    precision: torch.dtype | None = None,
) -> Scores:
    """Improve the network, and step the scheduler, after each batch of training pictures.

    Without an optimizer the network is only measured: see `evaluate`.
    """
    model.train(optimizer is not None)
    device = next(model.parameters()).device
    normed = any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in model.modules())
    total_loss, correct, count = 0, 0, 0
    for pictures, labels in loader:
        if optimizer and normed and len(labels) == 1 and count:
            continue  # one picture has no spread: batch norm cannot learn from it
        pictures, labels = pictures.to(device), labels.to(device)
        with torch.autocast(device.type, precision, enabled=precision is not None):
            logits = model(pictures)
            loss = loss_fn(logits, labels)
        if optimizer:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if scheduler:
                scheduler.step()
            if bar is not None:
                bar.update()
        # still tensors, so that a GPU computes on while Python prepares the next batch
        total_loss += loss.detach() * len(labels)  # the last batch is smaller, so weigh each one
        correct += (logits.argmax(dim=1) == labels).sum()
        count += len(labels)
    sums = torch.tensor([float(total_loss), float(correct), count], device=device)
    if optimizer and distributed.is_initialized():
        distributed.all_reduce(sums)  # what the other processes saw counts: see scale.py
    loss_sum, right, count = sums.tolist()
    return Scores(loss_sum / count, right / count)


@torch.no_grad()
def evaluate(
    model: nn.Module, loader: Loader, loss_fn: nn.Module, precision: torch.dtype | None = None
) -> Scores:
    """Measure the network without changing it; it is left in evaluation mode."""
    return train_epoch(model, loader, loss_fn, optimizer=None, precision=precision)


def fit(
    model: nn.Module,
    train: Loader,
    valid: Loader,
    optimizer: torch.optim.Optimizer,
    epochs: int,
    run: Path | None = None,
    loss_fn: nn.Module | None = None,
    scheduler: LRScheduler | None = None,
    resume: bool = False,
    notes: dict | None = None,
    desc: str | None = "Epoch",
    precision: torch.dtype | None = None,
    loggers: Sequence = (),
) -> pd.DataFrame:
    """Train for some epochs; keep the network that was best on the validation part.

    Parameters
    ----------
    model, optimizer
        The network, already on its device, and what improves it.
    train, valid : iterable
        Batches of pictures (B, C, H, W) and labels (B,).
    run : Path, optional
        Folder for model.safetensors (the best network so far), history.csv, metrics.json and
        last.pt, written after each epoch.
    loss_fn, scheduler, precision
        The mean loss of a batch, cross-entropy if there is none; what is stepped after each batch;
        what `mixed_precision` returns.
    resume : bool
        True to go on from last.pt, if there is one, as if nothing had happened.
    notes, desc, loggers
        Plain values to add to metrics.json; what stands before the bar, None for no bar; objects
        with `log(epoch, numbers)`, called after each epoch, and `close(finished)`: see step 13.

    Returns
    -------
    pandas.DataFrame
        One row an epoch: epoch, train_loss, train_accuracy, valid_loss, valid_accuracy, seconds.

    Raises
    ------
    FloatingPointError, ValueError
        If the loss is no number any more; if `optimizer` or last.pt is that of another training.
    """
    run, loss_fn = run and Path(run), loss_fn or nn.CrossEntropyLoss()
    if not {p for group in optimizer.param_groups for p in group["params"]} & {*model.parameters()}:
        raise ValueError("The optimizer holds no parameter of this model. Make it from this one.")
    ddp = isinstance(model, nn.parallel.DistributedDataParallel)
    network = model.module if ddp else getattr(model, "_orig_mod", model)  # torch.compile's
    if not ddp:  # which has taken note of the order of the numbers
        network.to(memory_format=torch.channels_last)  # convolutions are quicker with this one
    parts = {"model": network, "optimizer": optimizer}
    parts |= {"scheduler": scheduler} if scheduler else {}
    kinds = ", ".join(type(part).__name__ for part in parts.values())
    rates = [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]
    steps = getattr(scheduler, "total_steps", getattr(scheduler, "T_max", None))
    settings = f"{kinds}, rates {rates}, {len(train)} batches, steps {steps}"
    history = _resumed(run / "last.pt", parts, settings) if run and resume else []
    if distributed.is_initialized() and distributed.get_rank():
        run, loggers = None, ()  # the first process writes
    if run and not history:
        (run / "last.pt").unlink(missing_ok=True)  # nobody shall resume that one by mistake
    total, done = epochs * len(train), len(history) * len(train)
    # not ten times a second: where a notebook is only executed, nobody takes so many messages
    bar = tqdm(total=total, initial=done, desc=desc, disable=desc is None, mininterval=0.5)
    finished = False
    try:
        for epoch in range(len(history) + 1, epochs + 1):
            bar.set_description(f"{desc} {epoch}/{epochs}")
            for shuffle in (train, getattr(train, "sampler", None)):
                if hasattr(shuffle, "set_epoch"):
                    shuffle.set_epoch(epoch)
            start = time.perf_counter()
            learned = train_epoch(model, train, loss_fn, optimizer, scheduler, bar, precision)
            tested = evaluate(model, valid, loss_fn, precision)
            if not math.isfinite(learned.loss + tested.loss):
                raise FloatingPointError(f"The loss of epoch {epoch} is no number: lower the rate.")
            bar.set_postfix(loss=f"{learned.loss:.3f}", valid_accuracy=f"{tested.accuracy:.1%}")
            numbers = {"train_loss": learned.loss, "train_accuracy": learned.accuracy}
            numbers |= {"valid_loss": tested.loss, "valid_accuracy": tested.accuracy}
            numbers |= {"seconds": time.perf_counter() - start}
            history.append({"epoch": epoch} | numbers)
            if run:
                _keep(run, parts, settings, history, notes or {})
            for logger in loggers:
                logger.log(epoch, numbers)
        finished = True
    finally:
        bar.close()
        for logger in loggers:
            logger.close(finished)
    return pd.DataFrame(history)


def _keep(run: Path, parts: dict, settings: str, history: list[dict], notes: dict) -> None:
    """Write a run's files; each replaces the old one whole, whenever the process ends."""
    model, table = parts["model"], pd.DataFrame(history)
    best = max(history, key=lambda row: (row["valid_accuracy"], -row["valid_loss"]))
    if best is history[-1]:
        save_model(model, run / "model.safetensors")
    replace(run / "history.csv", lambda file: table.to_csv(file, index=False))
    numbers = {"valid_accuracy": best["valid_accuracy"], "best_epoch": best["epoch"]}
    numbers |= {"epochs": len(table), "seconds": table["seconds"].sum()}
    write_metrics(run, notes | numbers | {"device": next(model.parameters()).device.type})
    # last.pt at last: a run that dies sooner does this epoch once more, and writes all of it
    state = {name: part.state_dict() for name, part in parts.items()}
    # NumPy's numbers, as learning rates may be, become Python's: weights_only reads no others
    state = tree_map_only(np.generic, np.generic.item, state)
    state |= {"settings": settings, "history": history}
    state["random"] = {kind: of.get_rng_state() for kind, of in _generators(model).items()}
    replace(run / "last.pt", lambda file: torch.save(state, file))


def _generators(model: nn.Module) -> dict:
    """Return what draws torch's random numbers, on the CPU and on the network's device."""
    kind = next(model.parameters()).device.type
    return {"cpu": torch} | ({} if kind == "cpu" else {kind: torch.get_device_module(kind)})


def _resumed(file: Path, parts: dict, settings: str) -> list[dict]:
    """Bring the parts to where a run stopped, and return its history."""
    if not file.is_file():
        return []
    state = torch.load(file, map_location="cpu", weights_only=True)  # nothing in it is run
    if state["settings"] != settings:
        raise ValueError(
            f"{file} has {state['settings']}, not {settings}. Give it the same, or resume=False."
        )
    for name, part in parts.items():
        part.load_state_dict(state[name])
    for kind, generator in _generators(parts["model"]).items():
        if kind in state["random"]:  # it may have been trained on another device
            generator.set_rng_state(state["random"][kind])
    return state["history"]


def write_metrics(run: Path, numbers: dict) -> Path:
    """Write the plain numbers of a run to metrics.json in its folder, and return that file."""
    file = Path(run) / "metrics.json"
    plain = json.dumps(numbers, indent=2, default=lambda x: getattr(x, "tolist", x.__str__)())
    replace(file, lambda part: part.write_text(plain + "\n", encoding="utf-8"))
    return file


def save_model(model: nn.Module, file: Path) -> None:
    """Write the weights, and what `load_model` needs to build the network again."""
    about = {"architecture": type(model).__name__, "settings": getattr(model, "settings", {})}
    about = {"network": json.dumps(about)}
    replace(Path(file), lambda part: safetensors.torch.save_model(model, part, about))


def load_model(file: Path, model: nn.Module | None = None) -> nn.Module:
    """Read a network back, in evaluation mode; another class needs `model`, one like it."""
    if model is None:
        with safetensors.safe_open(file, framework="pt") as opened:
            about = json.loads(opened.metadata()["network"])
        model = ARCHITECTURES[about["architecture"]](**about["settings"])
    safetensors.torch.load_model(model, file)
    return model.eval()

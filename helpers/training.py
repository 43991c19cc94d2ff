"""Train and evaluate a network: one epoch, and whole runs that can be resumed."""

import contextlib
import io
import json
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import safetensors
import safetensors.torch
import torch
from torch import Tensor, distributed, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.utils._pytree import tree_map_only
from tqdm.auto import tqdm

from helpers.catalog import replace
from helpers.models import ARCHITECTURES

Loader = Iterable[tuple[Tensor, Tensor]]  # batches: pictures (B, C, H, W) and labels (B,)


@dataclass(frozen=True)
class Scores:
    """Averages over pictures: the loss, and the accuracy in 0..1."""

    loss: float
    accuracy: float


def best_device() -> torch.device:
    """Return the fastest device here: an NVIDIA or AMD GPU, Apple's GPU, or the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def mixed_precision(device: torch.device) -> torch.dtype | None:
    """Return bfloat16 where the device computes with it natively, else None for float32.

    On a CPU it pays where the network is in channels_last and has many channels.
    """
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16")
    return torch.bfloat16 if native else None


def train_epoch(
    model: nn.Module,
    loader: Loader,
    loss_fn: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: LRScheduler | None = None,
    bar: tqdm | None = None,
    precision: torch.dtype | None = None,
) -> Scores:
    """Show the network every training picture once and improve it after each batch.

    `scheduler` is stepped after each batch; `precision` is that of `mixed_precision`.
    """

    def learn(loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        if bar is not None:
            bar.update()

    return _show_all(model.train(), loader, loss_fn, precision, learn)


@torch.no_grad()
def evaluate(
    model: nn.Module, loader: Loader, loss_fn: nn.Module, precision: torch.dtype | None = None
) -> Scores:
    """Measure the network without changing it; it is left in evaluation mode."""
    return _show_all(model.eval(), loader, loss_fn, precision)


def _show_all(model, loader, loss_fn, precision, learn=None) -> Scores:
    """Show the network every picture; `learn` is called with the loss of each batch."""
    device = next(model.parameters()).device
    normed = any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in model.modules())
    losses, hits, counts = [], [], []
    for pictures, labels in loader:
        if learn and normed and len(labels) == 1 and counts:
            continue  # one picture has no spread: batch norm cannot learn from it
        pictures, labels = pictures.to(device), labels.to(device)
        with torch.autocast(device.type, precision, enabled=precision is not None):
            logits = model(pictures)
            loss = loss_fn(logits, labels)
        if learn:
            learn(loss)
        losses.append(loss.detach())
        hits.append((logits.argmax(dim=1) == labels).sum())
        counts.append(len(labels))
    if not counts:
        raise ValueError("The loader gave no batch. Is the data set or the split empty?")
    # read only now: a GPU computes on while Python prepares the next batch, until it must answer
    losses = torch.stack(losses).tolist()
    count, correct = sum(counts), torch.stack(hits).sum().item()
    # the last batch is smaller, so weigh each one
    total_loss = sum(loss * part for loss, part in zip(losses, counts, strict=True))
    if learn and distributed.is_initialized():  # what the other processes saw counts: see scale.py
        distributed.all_reduce(sums := torch.tensor([total_loss, correct, count], device=device))
        total_loss, correct, count = sums.tolist()
    return Scores(total_loss / count, correct / count)


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
    loss_fn : nn.Module, optional
        Gives the mean over a batch of logits (B, classes); else it is cross-entropy.
    scheduler : LRScheduler, optional
        Stepped after each batch; ReduceLROnPlateau after each epoch, with the validation loss.
    resume : bool
        True to go on from last.pt, if there is one, as if nothing had happened. Without a
        scheduler the learning rate is that of `optimizer` as it is given.
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
        If the loss is no longer a number; if there are no batches, `optimizer` holds no parameter
        of `model`, or last.pt is damaged or belongs to another network, optimizer or schedule.
    """
    loss_fn = loss_fn or nn.CrossEntropyLoss()
    if not {p for group in optimizer.param_groups for p in group["params"]} & {*model.parameters()}:
        raise ValueError("The optimizer holds no parameter of this model. Make it from this one.")
    parts = {"model": unwrapped(model), "optimizer": optimizer}
    parts |= {"scheduler": scheduler} if scheduler else {}
    settings = _settings(parts, len(train))
    history = _resumed(Path(run), parts, settings) if run and resume else []
    if distributed.is_initialized() and distributed.get_rank():
        run, loggers = None, ()  # the first process writes
    if run and not history:
        Path(run, "last.pt").unlink(missing_ok=True)  # nobody shall resume that one by mistake
    plateau = isinstance(scheduler, ReduceLROnPlateau)
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
            start, each_batch = time.perf_counter(), None if plateau else scheduler
            learned = train_epoch(model, train, loss_fn, optimizer, each_batch, bar, precision)
            tested = evaluate(model, valid, loss_fn, precision)
            if not math.isfinite(learned.loss + tested.loss):
                raise FloatingPointError(
                    f"The loss of epoch {epoch} is no number any more. Try a tenth of the rate."
                )
            if plateau:
                scheduler.step(tested.loss)
            bar.set_postfix(loss=f"{learned.loss:.3f}", valid_accuracy=f"{tested.accuracy:.1%}")
            numbers = {"train_loss": learned.loss, "train_accuracy": learned.accuracy}
            numbers |= {"valid_loss": tested.loss, "valid_accuracy": tested.accuracy}
            numbers["seconds"] = time.perf_counter() - start
            history.append({"epoch": epoch} | numbers)
            if run:
                _keep(Path(run), parts, settings, history, notes or {})
            for logger in loggers:
                logger.log(epoch, numbers)
        finished = True
    finally:
        bar.close()
        for logger in loggers:
            logger.close(finished)
    return pd.DataFrame(history)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the network itself, without what torch.compile or several processes put around it."""
    model = getattr(model, "_orig_mod", model)
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


def _settings(parts: dict, batches: int) -> str:
    """Return in words what a run and the one that resumes it must have in common."""
    optimizer = getattr(parts["optimizer"], "optimizer", parts["optimizer"])  # Accelerate's has one
    words, scheduler = [type(optimizer).__name__, f"{batches} batches"], parts.get("scheduler")
    lengths = ("total_steps", "total_iters", "T_max")  # how torch's schedules call it
    words += [f"{n}={getattr(scheduler, n)}" for n in lengths if hasattr(scheduler, n)]
    return ", ".join([*words, type(scheduler).__name__ if scheduler else "no schedule"])


def _generators(model: nn.Module) -> dict:
    """Return what draws torch's random numbers, on the CPU and on the network's device."""
    kind = next(model.parameters()).device.type
    return {"cpu": torch} | ({} if kind == "cpu" else {kind: torch.get_device_module(kind)})


def _keep(run: Path, parts: dict, settings: str, history: list[dict], notes: dict) -> None:
    """Write a run's files; each replaces the old one whole, whenever the process ends."""
    best = max(history, key=lambda row: (row["valid_accuracy"], -row["valid_loss"]))
    model = parts["model"]
    if best is history[-1]:
        save_model(model, run / "model.safetensors")
    replace(run / "history.csv", lambda file: pd.DataFrame(history).to_csv(file, index=False))
    numbers = {"valid_accuracy": best["valid_accuracy"], "best_epoch": best["epoch"]}
    numbers |= {"epochs": len(history), "seconds": sum(row["seconds"] for row in history)}
    numbers["parameters"] = sum(p.numel() for p in model.parameters())
    write_metrics(run, notes | numbers | {"device": next(model.parameters()).device.type})
    # last.pt at last: a run that dies sooner does this epoch once more, and writes all of it
    state = {name: part.state_dict() for name, part in parts.items()}
    # NumPy's numbers, which learning rates often are, become Python's: no others are read back
    state = tree_map_only(np.generic, np.generic.item, state)
    state |= {"settings": settings, "history": history}
    state["random"] = {kind: of.get_rng_state() for kind, of in _generators(model).items()}
    buffer = io.BytesIO()  # made in memory first, so that a full disk is an OSError like any other
    torch.save(state, buffer)
    replace(run / "last.pt", lambda file: file.write_bytes(buffer.getbuffer()))


@contextlib.contextmanager
def _explained(file: Path, advice: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # damaged files and other networks make torch raise nearly anything
        reason = str(error).split("\n")[0]
        raise ValueError(f"{file} is damaged, or does not fit ({reason}). {advice}") from error


def _resumed(run: Path, parts: dict, settings: str) -> list[dict]:
    """Bring the parts to where a run stopped, and return its history."""
    file = run / "last.pt"
    if not file.is_file():
        return []
    rates = [group["lr"] for group in parts["optimizer"].param_groups]
    with _explained(file, "Call fit with resume=False to start over."):
        state = torch.load(file, map_location="cpu", weights_only=True)
        if state["settings"] != settings:
            raise ValueError(f"made with {state['settings']}; now it is {settings}")
        for name, part in parts.items():
            part.load_state_dict(state[name])
        for kind, generator in _generators(parts["model"]).items():
            if kind in state["random"]:  # it may have been trained on another device
                generator.set_rng_state(state["random"][kind])
    if "scheduler" not in parts:
        for group, rate in zip(parts["optimizer"].param_groups, rates, strict=True):
            group["lr"] = rate
    return state["history"]


def write_metrics(run: Path, numbers: dict) -> Path:
    """Write the plain numbers of a run to metrics.json in its folder, and return that file."""
    file = Path(run) / "metrics.json"
    # NumPy's and torch's numbers have tolist; whatever else it is, it shall not end a training
    plain = json.dumps(numbers, indent=2, default=lambda x: getattr(x, "tolist", x.__str__)())
    replace(file, lambda part: part.write_text(plain + "\n", encoding="utf-8"))
    return file


def save_model(model: nn.Module, file: Path) -> None:
    """Write the weights, and what `load_model` needs to build the network again."""
    model = unwrapped(model)
    about = {"architecture": type(model).__name__, "settings": getattr(model, "settings", {})}
    about = {"network": json.dumps(about)}
    replace(Path(file), lambda part: safetensors.torch.save_model(model, part, about))


def load_model(file: Path, model: nn.Module | None = None) -> nn.Module:
    """Read a network back, in evaluation mode; `model` is one of the same shape to fill."""
    if not Path(file).is_file():
        raise FileNotFoundError(f"There is no checkpoint {file}. Run the training notebook first.")
    with _explained(file, "Train it again, or pass a network of its kind as model=."):
        if model is None:
            with safetensors.safe_open(file, framework="pt") as opened:
                about = json.loads(opened.metadata()["network"])
            model = ARCHITECTURES[about["architecture"]](**about["settings"])
        safetensors.torch.load_model(model, file)
    return model.eval()

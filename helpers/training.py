"""Train and evaluate a network: one epoch, and whole runs that can be resumed."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm.auto import tqdm

from helpers.checkpoints import Keeper

if TYPE_CHECKING:
    import pandas as pd

Loader = Iterable[tuple[Tensor, Tensor]]  # a DataLoader or Batches


@dataclass(frozen=True)
class Scores:
    """Averages over pictures: the loss, and the accuracy in 0..1."""

    loss: float
    accuracy: float


@runtime_checkable
class Logger(Protocol):
    """Where `fit` writes the numbers of a training, besides its run folder: see step 13."""

    def log(self, epoch: int, numbers: Mapping[str, float]) -> None:
        """Write down the numbers of an epoch, counted from 1, so that nothing can lose them."""

    def close(self, finished: bool = True) -> None:
        """End it; `finished` is False where the training was stopped or failed."""


def best_device() -> torch.device:
    """Return the fastest device here: an NVIDIA or AMD GPU, Apple's GPU, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def mixed_precision(device: torch.device, on_cpu: bool = False) -> torch.dtype | None:
    """Return bfloat16 where the device computes with it natively, else None for float32.

    Parameters
    ----------
    device : torch.device
        Where the network is.
    on_cpu : bool
        True to ask CPUs as well. It pays where the network is in channels_last, most of all with
        many channels.
    """
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    if device.type == "cpu" and on_cpu and torch.cpu.get_capabilities().get("avx512_bf16"):
        return torch.bfloat16
    return None


def train_epoch(
    model: nn.Module,
    loader: Loader,
    loss_fn: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    bar: tqdm | None = None,
    precision: torch.dtype | None = None,
) -> Scores:
    """Show the network every training picture once and improve it after each batch.

    Parameters
    ----------
    model : nn.Module
        Its parameters say which device is used.
    loader : iterable
        Batches of pictures (B, C, H, W) and labels (B,).
    loss_fn : nn.Module
        Loss of logits (B, classes) and labels, averaged over the batch.
    optimizer : torch.optim.Optimizer
        Holds the model's parameters.
    scheduler : LRScheduler, optional
        Stepped after every batch.
    bar : tqdm, optional
        Moved on by one a batch.
    precision : torch.dtype, optional
        See `mixed_precision`, which decides if none is given.

    Returns
    -------
    Scores
        Of the epoch, measured while the network was changing.
    """
    device = next(model.parameters()).device
    precision = precision or mixed_precision(device)
    model.train()
    total_loss, correct, count = 0.0, 0, 0
    for pictures, labels in loader:
        pictures, labels = pictures.to(device), labels.to(device)
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype=precision, enabled=precision is not None):
            logits = model(pictures)
            loss = loss_fn(logits, labels)
        loss.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        total_loss += loss.item() * len(labels)  # the last batch is smaller, so weigh each one
        correct += (logits.argmax(dim=1) == labels).sum().item()
        count += len(labels)
        if bar is not None:
            bar.update()
    return _averages(model, total_loss, correct, count)


@torch.no_grad()
def evaluate(
    model: nn.Module, loader: Loader, loss_fn: nn.Module, precision: torch.dtype | None = None
) -> Scores:
    """Measure the network without changing it.

    Parameters
    ----------
    model : nn.Module
        Its parameters say which device is used. Left in evaluation mode.
    loader : iterable
        Batches of pictures (B, C, H, W) and labels (B,).
    loss_fn : nn.Module
        Loss of logits (B, classes) and labels, averaged over the batch.
    precision : torch.dtype, optional
        See `mixed_precision`, which decides if none is given.

    Returns
    -------
    Scores
        Averages over all pictures (with class weights, of the batches' weighted averages).
    """
    device = next(model.parameters()).device
    precision = precision or mixed_precision(device)
    network = _unwrapped(model).eval()
    if network is not model:  # all processes judge the first one's, which is the one that is kept
        for buffer in network.buffers():
            distributed.broadcast(buffer, 0)
    total_loss, correct, count = 0.0, 0, 0
    for pictures, labels in loader:
        pictures, labels = pictures.to(device), labels.to(device)
        with torch.autocast(device.type, dtype=precision, enabled=precision is not None):
            logits = network(pictures)
            loss = loss_fn(logits, labels)
        total_loss += loss.item() * len(labels)
        correct += (logits.argmax(dim=1) == labels).sum().item()
        count += len(labels)
    return _averages(model, total_loss, correct, count)


def _unwrapped(model: nn.Module) -> nn.Module:
    return model.module if isinstance(model, DistributedDataParallel) else model


def _averages(model: nn.Module, *sums: float) -> Scores:
    """Return the averages over all pictures, also those that other processes saw."""
    parts = [sums]
    if isinstance(model, DistributedDataParallel):
        parts = [sums] * distributed.get_world_size()
        distributed.all_gather_object(parts, sums)
    total_loss, correct, count = map(sum, zip(*parts, strict=True))
    if not count:
        raise ValueError("The loader gave no batch. Is the data set or the split empty?")
    return Scores(total_loss / count, correct / count)


def fit(
    model: nn.Module,
    train: Loader,
    valid: Loader,
    optimizer: torch.optim.Optimizer,
    epochs: int,
    run: Path | None = None,
    loss_fn: nn.Module | None = None,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    resume: bool = False,
    notes: dict | None = None,
    desc: str | None = "Epoch",
    precision: torch.dtype | None = None,
    loggers: Iterable[Logger] = (),
) -> "pd.DataFrame":
    """Train for some epochs; keep the network that was best on the validation part.

    With a `run` folder it leaves there, after each epoch: model.safetensors (the best network),
    history.csv, metrics.json, and last.pt, from which `resume` goes on as if nothing had happened
    (with DataLoader workers: nearly so, because they draw their own random numbers).

    Parameters
    ----------
    model : nn.Module
        Moved to no other device: do that before making the optimizer.
    train, valid : iterable
        Batches of pictures (B, C, H, W) and labels (B,).
    optimizer : torch.optim.Optimizer
        Holds the model's parameters.
    epochs : int
        How often every training picture is shown.
    run : Path, optional
        The folder for the results; made if need be.
    loss_fn : nn.Module, optional
        Cross-entropy if none is given.
    scheduler : LRScheduler, optional
        Stepped after every batch.
    resume : bool
        True to go on from last.pt in `run` where there is one. False forgets it at once; the best
        network stays until there is a new one.
    notes : dict, optional
        Plain values to add to metrics.json, such as the data's source.
    desc : str or None
        Stands at the front of the progress bar; None for no bar.
    precision : torch.dtype, optional
        See `mixed_precision`, which decides if none is given.
    loggers : iterable of Logger
        Each is given every epoch, after `run` has it, and closed at the end, whatever the end is.

    Returns
    -------
    pandas.DataFrame
        One row an epoch: epoch, train_loss, train_accuracy, valid_loss, valid_accuracy, seconds.

    Raises
    ------
    KeyboardInterrupt
        When it is stopped; what was finished is in `run`.
    FloatingPointError
        If the loss is no longer a number.
    TypeError
        If something in `loggers` is no logger.
    ValueError
        If there are no batches, the loss is no mean, or last.pt is damaged or was made with
        another network, optimizer, schedule or number of batches.
    OSError
        If `run` cannot be written to; the files of the epoch before are still whole.
    """
    import pandas as pd

    loss_fn = loss_fn or nn.CrossEntropyLoss()
    if getattr(loss_fn, "reduction", "mean") != "mean":
        raise ValueError(f"The loss has reduction={loss_fn.reduction!r}. Expected the mean.")
    network = _unwrapped(model)
    leads = network is model or distributed.get_rank() == 0  # the others write nothing
    loggers = tuple(loggers) if leads else ()
    for logger in loggers:
        if not isinstance(logger, Logger):
            raise TypeError(f"{logger!r} is no logger: expected the methods log and close.")
    folder = Path(run) if run and leads else None
    keeper = Keeper(folder, network, optimizer, scheduler, len(train), notes)
    saved = [keeper.saved() if resume else None]
    if network is not model:
        distributed.broadcast_object_list(saved)  # what the first process has read
    history = keeper.start_over() if saved[0] is None else keeper.load(saved[0])
    done = len(history)
    with (
        tqdm(
            total=epochs * len(train),
            initial=done * len(train),
            desc=f"{desc} {done}/{epochs}",
            disable=desc is None or not leads,
        ) as bar,
        _closed_at_the_end(loggers),
    ):
        try:
            for epoch in range(done + 1, epochs + 1):
                bar.set_description(f"{desc} {epoch}/{epochs}")
                parts = (model, train, valid, optimizer, loss_fn, scheduler)
                row = _one_epoch(*parts, bar, epoch, precision)
                keeper.keep(history, row)
                numbers = {name: value for name, value in row.items() if name != "epoch"}
                for logger in loggers:
                    logger.log(epoch, numbers)
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(f"Stopped after {len(history)} of {epochs} epochs.")
            if run and history:
                interrupt.add_note(f"They are in {run}: call fit again with resume=True.")
            raise
    return pd.DataFrame(history)


@contextmanager
def _closed_at_the_end(loggers: tuple[Logger, ...]) -> Iterator[None]:
    """Close every logger, also where the training stops half way or another one fails."""
    finished = False
    with ExitStack() as ends:
        for logger in loggers:
            ends.callback(lambda logger=logger: logger.close(finished))
        yield
        finished = True


def _one_epoch(model, train, valid, optimizer, loss_fn, scheduler, bar, epoch, precision) -> dict:
    """Train and evaluate once; return the row of the history."""
    shuffle = getattr(train, "sampler", None)
    if hasattr(shuffle, "set_epoch"):
        shuffle.set_epoch(epoch)
    start = time.perf_counter()
    trained = train_epoch(model, train, loss_fn, optimizer, scheduler, bar, precision)
    tested = evaluate(model, valid, loss_fn, precision)
    if not math.isfinite(trained.loss + tested.loss):
        raise FloatingPointError(
            f"The loss of epoch {epoch} is no longer a number to learn from. "
            "Try a learning rate ten times smaller."
        )
    bar.set_postfix(loss=f"{trained.loss:.3f}", valid_accuracy=f"{tested.accuracy:.1%}")
    return {
        "epoch": epoch,
        "train_loss": trained.loss,
        "train_accuracy": trained.accuracy,
        "valid_loss": tested.loss,
        "valid_accuracy": tested.accuracy,
        "seconds": time.perf_counter() - start,
    }

"""Train and evaluate a network: one epoch, whole runs, checkpoints, and resuming."""

import csv
import io
import json
import math
import pickle
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn
from tqdm.auto import tqdm

from helpers.files import whole_file
from helpers.models import ARCHITECTURES

if TYPE_CHECKING:
    import pandas as pd

Loader = Iterable[tuple[Tensor, Tensor]]  # a DataLoader or Batches


@dataclass(frozen=True)
class Scores:
    """Averages over pictures: the loss, and the accuracy in 0..1."""

    loss: float
    accuracy: float


@dataclass
class _Progress:
    """What a run has to remember to go on after an interruption."""

    epoch: int = 0
    history: list[dict] = field(default_factory=list)
    best_accuracy: float = -1.0
    best_loss: float = math.inf
    best_epoch: int = 0


def best_device() -> torch.device:
    """Return the fastest device here: an NVIDIA or AMD GPU, Apple's GPU, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def mixed_precision(device: torch.device) -> torch.dtype | None:
    """Return bfloat16 where the device computes with it natively, else None for float32."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return None


def train_epoch(
    model: nn.Module,
    loader: Loader,
    loss_fn: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    bar: tqdm | None = None,
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

    Returns
    -------
    Scores
        Of the epoch, measured while the network was changing.
    """
    device = next(model.parameters()).device
    precision = mixed_precision(device)
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
    return _averages(total_loss, correct, count)


@torch.no_grad()
def evaluate(model: nn.Module, loader: Loader, loss_fn: nn.Module) -> Scores:
    """Measure the network without changing it.

    Parameters
    ----------
    model : nn.Module
        Its parameters say which device is used. Left in evaluation mode.
    loader : iterable
        Batches of pictures (B, C, H, W) and labels (B,).
    loss_fn : nn.Module
        Loss of logits (B, classes) and labels, averaged over the batch.

    Returns
    -------
    Scores
        Averages over all pictures.
    """
    device = next(model.parameters()).device
    precision = mixed_precision(device)
    model.eval()
    total_loss, correct, count = 0.0, 0, 0
    for pictures, labels in loader:
        pictures, labels = pictures.to(device), labels.to(device)
        with torch.autocast(device.type, dtype=precision, enabled=precision is not None):
            logits = model(pictures)
            loss = loss_fn(logits, labels)
        total_loss += loss.item() * len(labels)
        correct += (logits.argmax(dim=1) == labels).sum().item()
        count += len(labels)
    return _averages(total_loss, correct, count)


def _averages(total_loss: float, correct: int, count: int) -> Scores:
    """Return the averages over `count` pictures."""
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
    desc: str = "Epoch",
) -> "pd.DataFrame":
    """Train for some epochs; keep the network that was best on the validation part.

    With a `run` folder it leaves there, after each epoch: model.safetensors (the best network),
    history.csv, metrics.json, and last.pt, from which `resume` goes on as if nothing had happened.

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
        True to go on from last.pt in `run` where there is one.
    notes : dict, optional
        Plain values to add to metrics.json, such as the data's source.
    desc : str
        Stands at the front of the progress bar.

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
    ValueError
        If there are no batches, or last.pt is damaged or belongs to another network.
    OSError
        If `run` cannot be written to; the files of the epoch before are still whole.
    """
    import pandas as pd

    loss_fn = loss_fn or nn.CrossEntropyLoss()
    state = _Progress()
    if resume and run is not None and (Path(run) / "last.pt").is_file():
        state = _load_last(Path(run) / "last.pt", model, optimizer, scheduler)
    done = state.epoch * len(train)
    with tqdm(
        total=epochs * len(train), initial=done, desc=f"{desc} {state.epoch}/{epochs}"
    ) as bar:
        try:
            for epoch in range(state.epoch + 1, epochs + 1):
                bar.set_description(f"{desc} {epoch}/{epochs}")
                state.history.append(
                    _one_epoch(model, train, valid, optimizer, loss_fn, scheduler, bar, epoch)
                )
                state.epoch = epoch
                _keep(run, state, model, optimizer, scheduler, notes)
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(
                f"Stopped in epoch {state.epoch + 1} of {epochs}. "
                + (
                    f"The epochs before are in {run}: call fit again with resume=True."
                    if run
                    else ""
                )
            )
            raise
    return pd.DataFrame(state.history)


def _one_epoch(model, train, valid, optimizer, loss_fn, scheduler, bar, epoch) -> dict:
    """Train and evaluate once; return the row of the history."""
    shuffle = getattr(train, "sampler", None)
    if hasattr(shuffle, "set_epoch"):
        shuffle.set_epoch(epoch)
    start = time.perf_counter()
    trained = train_epoch(model, train, loss_fn, optimizer, scheduler, bar)
    if not math.isfinite(trained.loss):
        raise FloatingPointError(
            f"The loss of epoch {epoch} is {trained.loss}, not a number to learn from. "
            "Try a learning rate ten times smaller."
        )
    tested = evaluate(model, valid, loss_fn)
    bar.set_postfix(loss=f"{trained.loss:.3f}", valid_accuracy=f"{tested.accuracy:.1%}")
    return {
        "epoch": epoch,
        "train_loss": trained.loss,
        "train_accuracy": trained.accuracy,
        "valid_loss": tested.loss,
        "valid_accuracy": tested.accuracy,
        "seconds": time.perf_counter() - start,
    }


def _keep(run, state: _Progress, model, optimizer, scheduler, notes) -> None:
    """Write down an epoch: the network if it is the best yet, the history, and where to resume."""
    row = state.history[-1]
    better = (row["valid_accuracy"], -row["valid_loss"]) > (state.best_accuracy, -state.best_loss)
    if better:
        state.best_accuracy, state.best_loss = row["valid_accuracy"], row["valid_loss"]
        state.best_epoch = row["epoch"]
    if run is None:
        return
    run = Path(run)
    if better:
        save_model(model, run / "model.safetensors")
    with whole_file(run / "history.csv") as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        writer.writeheader()
        writer.writerows(state.history)
    with whole_file(run / "metrics.json") as partial:
        partial.write_text(json.dumps(_metrics(state, model, notes), indent=2) + "\n")
    buffer = io.BytesIO()
    torch.save(
        {
            "progress": asdict(state),
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict() if scheduler is not None else None,
            "random": torch.get_rng_state(),
        },
        buffer,
    )
    with whole_file(run / "last.pt") as partial:
        partial.write_bytes(buffer.getbuffer())


def _metrics(state: _Progress, model: nn.Module, notes: dict | None) -> dict:
    """Return the plain numbers of a run."""
    return {
        "valid_accuracy": state.best_accuracy,
        "best_epoch": state.best_epoch,
        "epochs": state.epoch,
        "seconds": sum(row["seconds"] for row in state.history),
        "parameters": sum(p.numel() for p in model.parameters()),
        "device": str(next(model.parameters()).device),
        "peak_memory_mb": peak_memory() / 1e6,
        **(notes or {}),
    }


def peak_memory() -> int:
    """Return the most memory in use so far, in bytes: on the GPU if there is one, else in RAM."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # Linux counts in KiB


def _load_last(file: Path, model, optimizer, scheduler) -> _Progress:
    """Bring model, optimizer and scheduler to where an interrupted run stopped."""
    start_over = "Call fit with resume=False to start over."
    try:
        saved = torch.load(file, map_location="cpu", weights_only=True)
        progress = _Progress(**saved["progress"])
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError) as error:
        raise ValueError(
            f"{file} is damaged or cut off, so it cannot be resumed. {start_over}"
        ) from error
    try:
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{file} belongs to another network or optimizer. {start_over}") from error
    if scheduler is not None and saved["scheduler"] is not None:
        scheduler.load_state_dict(saved["scheduler"])
    torch.set_rng_state(saved["random"])
    return progress


def save_model(model: nn.Module, file: Path) -> None:
    """Write the weights, and what `load_model` needs to build the network again.

    Parameters
    ----------
    model : nn.Module
        A network; one of helpers.models also leaves its settings.
    file : Path
        Ends in .safetensors.
    """
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    network = {"architecture": type(model).__name__, "settings": getattr(model, "settings", {})}
    metadata = {"network": json.dumps(network)}  # one entry: safetensors does not keep an order
    with whole_file(file) as partial:
        # made in memory first, so that a full disk is an OSError like any other
        partial.write_bytes(safetensors_bytes(tensors, metadata=metadata))


def load_model(file: Path, model: nn.Module | None = None) -> nn.Module:
    """Read a network back from its checkpoint.

    Parameters
    ----------
    file : Path
        Written by `save_model`.
    model : nn.Module, optional
        A network of the same shape to fill; without it, the one named in the file is built.

    Returns
    -------
    nn.Module
        On the CPU, in evaluation mode.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, or belongs to another network.
    """
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(f"There is no checkpoint {file}. Run the training notebook first.")
    try:
        with safe_open(file, framework="pt") as checkpoint:
            network = json.loads((checkpoint.metadata() or {}).get("network", "{}"))
            tensors = {name: checkpoint.get_tensor(name) for name in checkpoint.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{file} is damaged or cut off ({error}). Delete it and train again."
        ) from error
    if model is None:
        architecture = network.get("architecture", "an unknown network")
        if architecture not in ARCHITECTURES:
            raise ValueError(
                f"{file} holds {architecture}, which helpers.models does not know "
                f"({', '.join(ARCHITECTURES)}). Pass a network of that kind as model=."
            )
        model = ARCHITECTURES[architecture](**network["settings"])
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(
            f"{file} belongs to another network than {type(model).__name__} as it was built here: "
            f"{str(error).splitlines()[-1].strip()}"
        ) from error
    return model.eval()

"""Keep a training run on disk: the best network, the history, and where to resume."""

import contextlib
import io
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import nn

from helpers.files import whole_file
from helpers.models import ARCHITECTURES


@dataclass(frozen=True)
class Keeper:
    """Writes down each epoch of a run, and reads the last one back."""

    run: Path | None
    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler | None
    batches: int
    notes: dict | None

    def keep(self, history: list[dict], row: dict) -> None:
        """Add an epoch; save the network if it is the best yet, and where to resume."""
        if self.run is not None:
            self._write([*history, row])
        history.append(row)

    def _write(self, history: list[dict]) -> None:
        import pandas as pd

        if _best(history) is history[-1]:
            save_model(self.model, self.run / "model.safetensors")
        buffer = io.BytesIO()
        torch.save(
            {
                "history": history,
                "made_with": self._made_with(),
                "model": self.model.state_dict(),
                "optimizer": _plain(self.optimizer.state_dict()),
                "scheduler": _plain(self.scheduler.state_dict()) if self.scheduler else None,
                "random": {kind: of.get_rng_state() for kind, of in self._generators().items()},
            },
            buffer,
        )
        with whole_file(self.run / "last.pt") as partial:
            partial.write_bytes(buffer.getbuffer())
        with whole_file(self.run / "history.csv") as partial:
            pd.DataFrame(history).to_csv(partial, index=False)
        write_metrics(self.run, _metrics(history, self.model, self.notes))

    def _made_with(self) -> str:
        """Return in words what must be the same for a run to be resumed."""
        steps = getattr(self.scheduler, "total_steps", None)  # OneCycleLR's name; LinearLR's:
        steps = steps or getattr(self.scheduler, "total_iters", None)
        return (
            f"{type(self.optimizer).__name__}, {self.batches} batches an epoch, "
            f"{type(self.scheduler).__name__ if self.scheduler else 'no'} schedule"
            f"{f' of {steps} steps' if steps else ''}"
        )

    def start_over(self) -> list[dict]:
        """Forget where an older run stopped, so that nobody resumes that one by mistake."""
        if self.run is not None:
            with contextlib.suppress(OSError):  # what cannot be written to is told after an epoch
                (self.run / "last.pt").unlink(missing_ok=True)
        return []

    def saved(self) -> bytes | None:
        """Return what is known of an older run that stopped."""
        file = self.run and self.run / "last.pt"
        return file.read_bytes() if file and file.is_file() else None

    def load(self, content: bytes) -> list[dict]:
        """Bring model, optimizer and schedule to where a run stopped, and return its history."""
        file = self.run / "last.pt" if self.run else "last.pt"  # of several, one has the folder
        start_over = "Call fit with resume=False to start over."
        try:
            saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            history, made_with = saved["history"], saved["made_with"]
        except Exception as error:  # a damaged file makes torch raise nearly anything
            raise ValueError(
                f"{file} is damaged or cut off, so it cannot be resumed. {start_over}"
            ) from error
        if made_with != self._made_with():
            raise ValueError(
                f"{file} was made with {made_with}; now it is {self._made_with()}. {start_over}"
            )
        try:
            self.model.load_state_dict(saved["model"])
        except RuntimeError as error:
            raise ValueError(f"{file} belongs to another network. {start_over}") from error
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.scheduler:
            self.scheduler.load_state_dict(saved["scheduler"])
        for kind, of in self._generators().items():
            if kind in saved["random"]:  # it may have been trained on another device
                of.set_rng_state(saved["random"][kind])
        return history

    def _generators(self) -> dict[str, ModuleType]:
        """Return what draws torch's random numbers, on the CPU and on the network's device."""
        kind = next(self.model.parameters()).device.type
        return {"cpu": torch} | ({} if kind == "cpu" else {kind: torch.get_device_module(kind)})


def _best(history: list[dict]) -> dict:
    """Return the first of the best epochs; the loss decides between equal accuracies."""
    return max(history, key=lambda row: (row["valid_accuracy"], -row["valid_loss"]))


def _plain(value):
    """Return the value with NumPy's numbers as Python's: torch reads back no others."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    is_numpy = type(value).__module__ == "numpy" and hasattr(value, "item")
    return value.item() if is_numpy else value


def _metrics(history: list[dict], model: nn.Module, notes: dict | None) -> dict:
    """Return the plain numbers of a run."""
    best = _best(history)
    return (notes or {}) | {
        "valid_accuracy": best["valid_accuracy"],
        "best_epoch": best["epoch"],
        "epochs": len(history),
        "seconds": sum(row["seconds"] for row in history),
        "parameters": sum(p.numel() for p in model.parameters()),
        "device": str(next(model.parameters()).device),
        "peak_memory_mb": peak_memory() / 1e6,
    }


def write_metrics(run: Path, numbers: dict) -> Path:
    """Write the plain numbers of a run to metrics.json in its folder, and return that file."""
    file = Path(run) / "metrics.json"
    with whole_file(file) as partial:
        partial.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    return file


def peak_memory() -> int:
    """Return the most memory in use so far, in bytes: of NVIDIA's GPU if it is in use, else RAM."""
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    status = Path("/proc/self/status")  # Linux: ru_maxrss begins with that of whoever started us
    if status.is_file() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return 1024 * int(found[1])
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # Linux counts in KiB


def save_model(model: nn.Module, file: Path) -> None:
    """Write the weights, and what `load_model` needs to build the network again.

    Parameters
    ----------
    model : nn.Module
        A network; one of helpers.models also leaves its settings.
    file : Path
        Ends in .safetensors.
    """
    # cloned, because safetensors refuses weights that share memory
    tensors = {
        name: tensor.detach().clone(memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }
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
        In evaluation mode; on the CPU, or where `model` is.

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
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{file} is damaged or cut off ({error}). Delete it and train again."
        ) from error
    if model is None:
        architecture = network.get("architecture", "an unknown network")
        try:
            model = ARCHITECTURES[architecture](**network["settings"])
        except (TypeError, KeyError, ValueError, IndexError, RuntimeError) as error:
            raise ValueError(
                f"{file} holds {architecture}, not one of helpers.models with its settings "
                f"({', '.join(ARCHITECTURES)}). Pass a network of that kind as model=."
            ) from error
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(
            f"{file} belongs to another network than {type(model).__name__} as it was built here: "
            f"{str(error).splitlines()[-1].strip()}"
        ) from error
    return model.eval()

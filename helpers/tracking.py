"""Loggers for `fit`: TensorBoard's event files, and MLflow's store."""

import os
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # MLflow reads it when it is imported
Settings = Mapping[str, float | str]  # hyper-parameters


class TensorBoard:
    """Writes event files into a folder of this run alone, in place of those of an earlier run.

    Raises ModuleNotFoundError where TensorBoard is not installed.
    """

    def __init__(self, folder: Path, settings: Settings | None = None) -> None:
        self.board = _installed("torch.utils.tensorboard", "tensorboard")
        self.folder, self.settings, self.writer = Path(folder), dict(settings or {}), None

    def log(self, epoch: int, numbers: Mapping[str, float]) -> None:
        """Write the numbers of an epoch; they are in the file when this returns."""
        if self.writer is None:
            for old in self.folder.glob("events.out.tfevents.*") if epoch == 1 else ():
                with suppress(OSError):  # Windows: an open TensorBoard holds it; it is purged then
                    old.unlink()
            self.writer = self.board.SummaryWriter(self.folder, purge_step=epoch)
            *start, self.end = self.board.summary.hparams(self.settings, dict(numbers))
            for part in start:
                self.writer.file_writer.add_summary(part)
        for name, number in numbers.items():
            self.writer.add_scalar(name, number, epoch)
        self.writer.flush()

    def close(self, finished: bool = True) -> None:
        """Close the file; only a run that finished is marked as a success."""
        if self.writer is not None:
            if finished:
                self.writer.file_writer.add_summary(self.end)
            self.writer.close()
            self.writer = None


class MLflow:
    """Writes a run into MLflow's store, one SQLite file. Raises ModuleNotFoundError likewise."""

    def __init__(self, store: Path, name: str, settings: Settings | None = None) -> None:
        store = Path(store).resolve()
        store.parent.mkdir(parents=True, exist_ok=True)
        self.client = _installed("mlflow").MlflowClient(f"sqlite:///{store.as_posix()}")
        self.run = self.client.create_run("0", run_name=name).info.run_id  # "0" is always there
        for key, value in (settings or {}).items():
            self.client.log_param(self.run, key, value)

    def log(self, epoch: int, numbers: Mapping[str, float]) -> None:
        """Write the numbers of an epoch; they are in the store when this returns."""
        for name, number in numbers.items():
            self.client.log_metric(self.run, name, number, step=epoch)

    def close(self, finished: bool = True) -> None:
        """Say in the store how the run ended."""
        self.client.set_terminated(self.run, "FINISHED" if finished else "FAILED")


def _installed(module: str, package: str = "mlflow") -> ModuleType:
    """Import a module, or say what to install."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        error.msg = f"{package} is not installed. Run: python -m pip install {package}"
        raise

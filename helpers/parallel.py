"""The same `fit` on several processes, GPUs or machines: Accelerate over torch.distributed.

`torchrun --standalone --nproc-per-node 4 -m helpers.parallel` trains a small network as an example.
"""

import argparse
import contextlib
import copy
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator, notebook_launcher
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list
from torch import Tensor, distributed, nn
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from torch.utils.data import DataLoader, RandomSampler, Sampler

from helpers import training
from helpers.archives import pictures
from helpers.cache import Pictures
from helpers.catalog import run_folder
from helpers.datasets import open_data
from helpers.features import FeatureCache
from helpers.files import CannotWrite
from helpers.loaders import Batches
from helpers.models import LeNet
from helpers.team import Scores, Team

if TYPE_CHECKING:
    import pandas as pd

SECONDS = 600  # a process that is silent for longer counts as gone
GONE = re.compile(r"gloo|nccl|peer|socket|connection|timed? ?out", re.IGNORECASE)


def start() -> Accelerator:
    """Join the processes that a launcher started: each with its GPU, or all of them on CPUs."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # more threads can hang where it was forked
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    on_cpu = torch.cuda.device_count() < int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    patience = InitProcessGroupKwargs(timeout=timedelta(seconds=SECONDS))
    return Accelerator(cpu=on_cpu, kwargs_handlers=[patience])


class _Rows(Sampler[list[int]]):
    """Every so-many-th row of each batch."""

    def __init__(self, batches: Sampler[list[int]], rank: int, processes: int) -> None:
        self.batches, self.mine = batches, slice(rank, None, processes)

    def __iter__(self) -> Iterator[list[int]]:
        return filter(None, (batch[self.mine] for batch in self.batches))


class Part:
    """One process's part of a loader: of each batch the pictures rank, rank + processes, ….

    No other picture is read. Together the parts are the batches of one process.

    Parameters
    ----------
    loader : Batches or DataLoader
        The whole.
    rank, processes : int
        Which process this is, from 0, and of how many.

    Attributes
    ----------
    weight : float
        This part's share of the last batch: the last one of an epoch may not divide evenly.
    seen : int
        Pictures so far in this epoch.
    """

    def __init__(self, loader: Batches | DataLoader, rank: int, processes: int) -> None:
        self.sampler, self.batch_size, self.batches = loader.sampler, loader.batch_size, len(loader)
        self.weight, self.seen = 1.0, 0
        if isinstance(loader, Batches):
            self.loader = copy.copy(loader)
            self.loader.rank, self.loader.processes = rank, processes
        else:
            same = ("num_workers", "collate_fn", "pin_memory", "worker_init_fn")
            options = {name: getattr(loader, name) for name in (*same, "persistent_workers")}
            rows = _Rows(loader.batch_sampler, rank, processes)
            self.loader = DataLoader(loader.dataset, batch_sampler=rows, **options)

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self.seen, left = 0, len(self.sampler)
        for images, labels in self.loader:
            self.weight = len(labels) / min(self.batch_size, left)
            self.seen, left = self.seen + len(labels), left - self.batch_size
            if len(labels):
                yield images, labels


class Processes(Team):
    """All processes of a run; the first one reads and writes its folder."""

    def __init__(self, accelerator: Accelerator, model: nn.Module) -> None:
        self.accelerator, self.model = accelerator, model
        self.leads = accelerator.is_main_process
        self.hides_bar = not (self.leads and sys.stderr.isatty())

    def shared(self, content: bytes | None) -> bytes | None:
        """Return what the first process has read."""
        return broadcast_object_list([content])[0]

    def whole(self, scores: Scores, loader: Part) -> Scores:
        """Return the averages over all pictures, and make the running means of batch norm equal."""
        for buffer in self.model.buffers():
            if buffer.is_floating_point():
                buffer.copy_(self.accelerator.reduce(buffer, "mean"))
        sums = [loader.seen * number for number in (scores.loss, scores.accuracy, 1.0)]
        sums = torch.tensor(sums, dtype=torch.float64, device=self.accelerator.device)
        loss, accuracy, count = self.accelerator.reduce(sums, "sum").tolist()
        return Scores(loss / count, accuracy / count)


def fit(
    model: nn.Module,
    train: Batches | DataLoader,
    valid: Batches | DataLoader,
    optimizer: torch.optim.Optimizer,
    epochs: int,
    run: Path | None = None,
    resume: bool = False,
    **options: Any,
) -> "pd.DataFrame":
    """Train as `helpers.training.fit` does, with all processes that a launcher started.

    Call it in each of them with the same arguments. A batch is dealt out, so the steps are those
    of one process, up to rounding. Two things differ: augmentation and dropout draw other random
    numbers, and batch norm on CPUs sees its own part only (on GPUs it is synchronised).

    Parameters
    ----------
    model, train, valid, optimizer, epochs, run, resume, **options
        As there; the batch size is that of all processes together. Only the first process needs
        and writes `run`, and a run may be resumed by another number of processes.

    Returns
    -------
    pandas.DataFrame
        The history, the same in each process but for the seconds.

    Raises
    ------
    ValueError
        If a batch or the validation part has fewer pictures than there are processes, or each
        process would shuffle in an order of its own.
    ConnectionError
        If another process is gone.
    """
    accelerator = start()
    rank, processes = accelerator.process_index, accelerator.num_processes
    _check(train, valid, processes)
    model = model.to(accelerator.device)
    if accelerator.device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    parts = [Part(loader, rank, processes) for loader in (train, valid)]
    shared = accelerator.prepare_model(model)
    if processes > 1:
        shared.broadcast_buffers = False  # would wait for a part that has no batch any more
        shared.register_comm_hook(parts[0], _weighted_sum)
    options |= {"run": run, "resume": resume, "team": Processes(accelerator, model)}
    try:
        return training.fit(shared, *parts, optimizer, epochs, **options)
    except RuntimeError as error:
        if processes == 1 or not GONE.search(str(error)):
            raise
        kept = " The finished epochs are kept: resume=True goes on from there." if run else ""
        raise ConnectionError(f"Another process of this run is gone.{kept}") from error


def _check(train: Batches | DataLoader, valid: Batches | DataLoader, processes: int) -> None:
    """Refuse what cannot be dealt out."""
    last = len(train.sampler) % train.batch_size or train.batch_size
    last = train.batch_size if getattr(train, "drop_last", False) else last
    if min(last, len(valid.sampler)) < processes:
        raise ValueError(
            f"The last batch has {last} pictures and the validation part {len(valid.sampler)}: "
            f"not one for each of {processes} processes. Choose another batch size."
        )
    if processes > 1 and isinstance(train.sampler, RandomSampler):
        raise ValueError(
            "This DataLoader shuffles differently in each process, so pictures would be missed. "
            "Use helpers.loaders.make_loader(…, shuffle=True)."
        )


def _weighted_sum(part: Part, bucket: distributed.GradBucket) -> torch.futures.Future[Tensor]:
    """Add up the gradients of all processes, each by its share of the batch."""
    work = distributed.all_reduce(bucket.buffer().mul_(part.weight), async_op=True)
    return work.get_future().then(lambda future: future.value()[0])


def load_features(cache: FeatureCache) -> Pictures:
    """Return what `cache.load()` does, after each process has computed its part.

    Blocks of pictures are dealt out: so the file has the same bytes as from one process with as
    many threads. Where they cannot share a file, each process computes all.
    """
    accelerator, store, plan = start(), cache.store(), None
    rank, processes = accelerator.process_index, accelerator.num_processes
    with contextlib.ExitStack() as stack:
        if accelerator.is_main_process and processes > 1:
            with contextlib.suppress(CannotWrite):
                stack.enter_context(store.alone())
                shape, missing = cache.lacking(store)
                # its first block: the file is begun, and the precision chosen, for all of them
                shape = store.write(cache.compute(missing[:1]), shape)
                plan = shape, missing[1:], cache.precision
        [plan] = broadcast_object_list([plan])
        if plan:
            shape, missing, cache.choice = plan
            mine = missing[(rank - 1) % processes :: processes]
            with contextlib.suppress(CannotWrite, FileNotFoundError):
                store.write(cache.compute(mine), shape)
        accelerator.wait_for_everyone()
    return cache.load()  # says what was wrong with the file, if anything was


def launch(function: Callable, *arguments: Any, processes: int = 2) -> None:
    """Call a function in several processes of this machine at once, from a notebook or a script.

    Parameters
    ----------
    function : callable
        From a module that can be imported: elsewhere than on Linux, and beside a GPU, each process
        is a new Python.
    *arguments
        What it is called with in each process.
    processes : int
        How many, at least two.

    Raises
    ------
    ChildProcessError
        If one is killed or fails. The others are ended too.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if sys.platform == "win32":
        os.environ.setdefault("USE_LIBUV", "0")  # PyTorch for Windows may lack it
    place = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0"}  # 0: any free port
    try:
        if sys.platform == "linux" and not torch.cuda.is_available():  # else a fork may hang
            with contextlib.redirect_stdout(io.StringIO()):  # "Launching training on 2 CPUs."
                notebook_launcher(_call, (function, *arguments), processes, **place)
        else:
            place |= {"run_id": "none", "start_method": "spawn", "max_restarts": 0}
            elastic_launch(LaunchConfig(1, 1, processes, **place), _call)(function, *arguments)
    except SignalException:  # what the engine makes of Ctrl+C
        raise KeyboardInterrupt from None
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            reason = failure.signal_name()
        elif isinstance(failure.message, dict):
            reason = failure.message["message"].strip().rstrip(".: ")
        else:
            reason = f"exit code {failure.exitcode}"
        raise ChildProcessError(
            f"Process {rank} of {processes} ended early: {reason}. The others were ended too. "
            "If it was training, the finished epochs are kept: resume=True goes on from there."
        ) from None
    finally:
        with contextlib.suppress(ValueError):  # in another thread than the first
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _call(function: Callable, *arguments: Any) -> None:
    """Call a function in a process; the engine would wait for ever for one that just stops."""
    try:
        function(*arguments)
    except (KeyboardInterrupt, SystemExit) as error:
        if getattr(error, "code", 1):
            raise RuntimeError(f"{type(error).__name__} {error}") from error


def train_food(run: Path, epochs: int = 8, batch_size: int = 30, resume: bool = False) -> None:
    """Train a LeNet on the food pictures, in all processes that a launcher started."""
    with start().local_main_process_first():
        data = open_data("food")
        train, test = (pictures(data, part, size=64) for part in ("train", "test"))
    train_batches = Batches(train, batch_size=batch_size, shuffle=True)
    test_batches = Batches(test, batch_size=batch_size)
    torch.manual_seed(0)
    model = LeNet(classes=3, channels=3, size=64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    fit(model, train_batches, test_batches, optimizer, epochs, run=run, resume=resume)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=train_food.__doc__)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=30, help="of all processes together")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    train_food(run_folder("food", "parallel"), **vars(parser.parse_args()))

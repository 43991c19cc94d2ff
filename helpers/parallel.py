"""The same `fit` on several processes, GPUs or machines: Accelerate over torch.distributed.

`torchrun --standalone --nproc-per-node 4 -m helpers.parallel` trains a small network as an example.
"""

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor, distributed, nn
from torch.utils.data import DataLoader, Sampler, SequentialSampler

from helpers import training
from helpers.archives import pictures
from helpers.cache import Pictures
from helpers.catalog import run_folder
from helpers.datasets import open_data
from helpers.features import FeatureCache
from helpers.files import CannotWrite
from helpers.loaders import Batches, SeededShuffle
from helpers.models import LeNet

if TYPE_CHECKING:
    import pandas as pd

GONE = re.compile(r"gloo|nccl|peer|socket|connection|timed? ?out", re.IGNORECASE)


def start() -> Accelerator:
    """Join the processes that a launcher started: each with its GPU, or all of them on CPUs."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # more threads can hang where it was forked
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    processes_here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return Accelerator(cpu=torch.cuda.device_count() < processes_here)


class _Rows(Sampler[list[int]]):
    """A part of each batch of row numbers."""

    def __init__(self, batches: Sampler[list[int]], part: slice) -> None:
        self.batches, self.part = batches, part

    def __iter__(self) -> Iterator[list[int]]:
        return filter(None, (batch[self.part] for batch in self.batches))


class Part:
    """One process's part of a loader: of each batch the pictures rank, rank + processes, ….

    Together the parts are the batches of one process. `weight` is this part's share of the last
    batch: at the end of an epoch it may not divide evenly.
    """

    def __init__(self, loader: Batches | DataLoader, rank: int, processes: int) -> None:
        self.sampler, self.batch_size, self.batches = loader.sampler, loader.batch_size, len(loader)
        self.loader, self.part, self.weight = loader, slice(rank, None, processes), 1.0
        if isinstance(loader, DataLoader):  # it shall read no other pictures
            same = ("num_workers", "collate_fn", "pin_memory", "worker_init_fn")
            options = {name: getattr(loader, name) for name in (*same, "persistent_workers")}
            rows = _Rows(loader.batch_sampler, self.part)
            self.loader = DataLoader(loader.dataset, batch_sampler=rows, **options)
            self.part = slice(None)

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        left = len(self.sampler)
        for images, labels in self.loader:
            images, labels = images[self.part], labels[self.part]
            self.weight = len(labels) / min(self.batch_size, left)
            left -= self.batch_size
            if len(labels):
                yield images, labels


def fit(
    model: nn.Module,
    train: Batches | DataLoader,
    valid: Batches | DataLoader,
    optimizer: torch.optim.Optimizer,
    epochs: int,
    **options: Any,
) -> "pd.DataFrame":
    """Train as `helpers.training.fit` does, with all processes that a launcher started.

    Call it in each of them with the same arguments: the batch size is that of all together, and
    only the first one needs and writes `run`. A batch is dealt out, so the steps are those of one
    process, up to rounding. But dropout draws the same numbers in each process, batch norm on CPUs
    sees its own part only (on GPUs it is synchronised), and a loss with class weights is weighed
    by pictures. Another number of processes may resume a run.

    Raises
    ------
    ValueError
        If the last batch has fewer pictures than there are processes, or each process would
        shuffle in an order of its own.
    ConnectionError
        If another process is gone.
    """
    accelerator = start()
    rank, processes = accelerator.process_index, accelerator.num_processes
    _check(train, processes)
    parts = [Part(loader, rank, processes) for loader in (train, valid)]
    if accelerator.device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    model = accelerator.prepare_model(model)
    if processes > 1:
        model.register_comm_hook(parts[0], _weighted_sum)
    if not sys.stderr.isatty():
        options["desc"] = None  # no bar
    try:
        return training.fit(model, *parts, optimizer, epochs, **options)
    except RuntimeError as error:
        if processes == 1 or not GONE.search(str(error)):
            raise
        raise ConnectionError(
            "Another process of this run is gone. With resume=True the run goes on after its last "
            "finished epoch."
        ) from error


def _check(train: Batches | DataLoader, processes: int) -> None:
    """Refuse what cannot be dealt out."""
    left = 0 if getattr(train, "drop_last", False) else len(train.sampler) % train.batch_size
    last = left or train.batch_size
    if last < processes:
        raise ValueError(
            f"The last batch has {last} pictures: not one for each of {processes} processes. "
            "Choose another batch size."
        )
    if processes > 1 and not isinstance(train.sampler, SeededShuffle | SequentialSampler):
        raise ValueError(
            "This loader may shuffle differently in each process: pictures would be missed. "
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
    if accelerator.is_main_process:
        with contextlib.suppress(CannotWrite), store.alone():
            shape, missing = cache.lacking(store)
            # its first block: the file is begun, and the precision chosen, for all of them
            shape = store.write(cache.compute(missing[:1]), shape)
            plan = shape, missing[1:], cache.precision
    [plan] = broadcast_object_list([plan])
    if plan:
        shape, missing, cache.choice = plan
        mine = missing[accelerator.process_index :: accelerator.num_processes]
        with contextlib.suppress(CannotWrite, FileNotFoundError):
            store.write(cache.compute(mine), shape)
    accelerator.wait_for_everyone()
    return cache.load()  # says what was wrong with the file, if anything was


def train_food(run: Path, epochs: int = 8, resume: bool = False) -> None:
    """Train a LeNet on the food pictures, in all processes that a launcher started."""
    with start().local_main_process_first():
        data = open_data("food")
        train, test = (pictures(data, part, size=64) for part in ("train", "test"))
    train_batches = Batches(train, batch_size=30, shuffle=True)
    test_batches = Batches(test, batch_size=30)
    torch.manual_seed(0)
    model = LeNet(classes=3, channels=3, size=64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    fit(model, train_batches, test_batches, optimizer, epochs, run=run, resume=resume)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=train_food.__doc__)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    train_food(run_folder("food", "parallel"), **vars(parser.parse_args()))

"""The same `fit` on several processes, GPUs or machines, with Accelerate: see step 15.

`torchrun --standalone --local-addr 127.0.0.1 --nproc-per-node 4 -m helpers.scale` is an example.
"""

import argparse
import os
import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, broadcast_object_list
from torch.utils.data import DataLoader, TensorDataset

from helpers.batches import Batches, SeededShuffle
from helpers.catalog import replace, run_folder
from helpers.data import open_data, pictures
from helpers.models import LeNet
from helpers.training import fit


def train_food(run: Path, epochs: int = 8, resume: bool = False) -> None:
    """Train a LeNet on the food pictures, in all processes that a launcher started."""
    # without a GPU for each, Accelerate lets every process train alone, unless cpu=True
    cpu = torch.cuda.device_count() < int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    dealt_out = DataLoaderConfiguration(split_batches=True)  # a batch is that of all together
    accelerator = Accelerator(cpu=cpu, dataloader_config=dealt_out)
    if accelerator.num_processes > 1:
        torch.set_num_threads(1)  # more can hang for ever in a process that a notebook forked
    with accelerator.local_main_process_first():  # one unpacks the sample, the others wait
        data = open_data("food")
        train, test = pictures(data, "train"), pictures(data, "test")
    images = TensorDataset(train.images / 255, train.labels)
    # equal parts only: then the mean of the gradients is the gradient of the whole batch
    loader = DataLoader(images, 24, sampler=SeededShuffle(len(train)), drop_last=True)
    torch.manual_seed(0)
    model = LeNet(classes=3, channels=3, size=64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    if resume:
        share_checkpoint(accelerator, run / "last.pt")
    desc = "Epoch" if accelerator.is_main_process and sys.stderr.isatty() else None
    fit(model, loader, Batches(test), optimizer, epochs, run=run, resume=resume, desc=desc)


def share_checkpoint(accelerator: Accelerator, file: Path) -> None:
    """Give each machine the checkpoint of the first one, which alone writes it, or none."""
    content = [file.read_bytes() if file.is_file() else b""]
    broadcast_object_list(content)  # that of the first
    if accelerator.is_local_main_process and not accelerator.is_main_process:
        if content[0]:
            replace(file, lambda part: part.write_bytes(content[0]))
        else:  # an old one would begin at another epoch than the first's
            file.unlink(missing_ok=True)
    accelerator.wait_for_everyone()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=train_food.__doc__)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--resume", action="store_true")
    train_food(run_folder("food", "parallel"), **vars(parser.parse_args()))

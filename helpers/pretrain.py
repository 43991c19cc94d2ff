"""Train the compact network that ships with the workshop: python -m helpers.pretrain."""

import argparse
import sys
import time
from pathlib import Path

import torch
from torch import nn

from helpers.archives import pictures
from helpers.catalog import COMPACT, run_folder
from helpers.checkpoints import load_model, save_model
from helpers.datasets import OpenedData, open_data
from helpers.loaders import Batches, photo_augment, stratified_split
from helpers.models import CompactVGG
from helpers.training import best_device, evaluate, fit, mixed_precision

EPOCHS = 32
RATE = 0.2  # the highest learning rate of the one-cycle schedule
BATCH = 256
DECAY = 5e-4


def pretrain(data: OpenedData, run: Path, epochs: int, seed: int = 0) -> nn.Module:
    """Train a `CompactVGG` on CIFAR-10; an interrupted training goes on where it stopped.

    One-cycle SGD with Nesterov's momentum and weight decay, each picture mirrored and moved anew
    every time it is shown, bfloat16 where the device computes with it.

    Parameters
    ----------
    data : OpenedData
        CIFAR-10. The test rows are not touched.
    run : Path
        Where the training keeps its files.
    epochs : int
        How often every training picture is shown.
    seed : int
        The same seed gives the same network on the same machine, and one within a point of it
        elsewhere.

    Returns
    -------
    nn.Module
        The network of the best epoch, chosen on 1,000 training pictures that were kept apart.
    """
    facts, device = data.facts, best_device()
    everything = pictures(data, "train")
    train_rows, valid_rows = stratified_split(everything.labels, valid=0.02, seed=seed)
    normal = {"mean": facts.mean, "std": facts.std, "batch_size": BATCH}
    train = Batches(
        everything[train_rows], **normal, shuffle=True, seed=seed, augment=photo_augment
    )
    torch.manual_seed(seed)
    model = CompactVGG(len(facts.classes)).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=RATE, momentum=0.9, nesterov=True, weight_decay=DECAY
    )
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=RATE, total_steps=epochs * len(train), anneal_strategy="linear"
    )
    fit(
        model,
        train,
        Batches(everything[valid_rows], **normal),
        optimizer,
        epochs,
        run=run,
        scheduler=scheduler,
        resume=True,
        notes={"source": data.root.name},
        precision=mixed_precision(device, on_cpu=True),
    )
    return load_model(run / "model.safetensors")


def main(argv: list[str] | None = None) -> int:
    """Train, write data/weights/compact_vgg.safetensors and the figures beside it."""
    parser = argparse.ArgumentParser("python -m helpers.pretrain", description=__doc__)
    parser.add_argument("--epochs", type=int, default=EPOCHS, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--out", type=Path, default=COMPACT, metavar="FILE", help="%(default)s")
    options = parser.parse_args(argv)
    data = open_data("cifar10")
    if data.source != "real":
        print("This needs the real CIFAR-10. Get it: python -m helpers data cifar10")
        return 1
    start = time.perf_counter()
    run = run_folder("cifar10", f"pretrain_{options.epochs}_{options.seed}")
    save_model(pretrain(data, run, options.epochs, options.seed).half(), options.out)
    model = load_model(options.out).to(best_device())  # as those who load it have it: rounded
    test = Batches(pictures(data, "test"), data.facts.mean, data.facts.std, batch_size=500)
    scores = evaluate(model, test, nn.CrossEntropyLoss())
    print(f"{scores.accuracy:.2%} of {len(test.dataset):,} test pictures are right.")
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB", time.perf_counter() - start)
    return 0


if __name__ == "__main__":
    sys.exit(main())

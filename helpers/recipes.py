"""The trained networks that later notebooks start from: made once, found again."""

import json
from pathlib import Path

import torch

from helpers.augment import aoi_augment
from helpers.cache import Pictures, decoded_pictures
from helpers.catalog import run_folder
from helpers.datasets import OpenedData
from helpers.loaders import Batches, stratified_split
from helpers.models import LeNet
from helpers.training import best_device, fit, mixed_precision

AOI_EPOCHS = 15
AOI_RATE = 2e-3  # the highest learning rate of the one-cycle schedule
AOI_SEED = 1


def aoi_parts(data: OpenedData) -> tuple[Pictures, Pictures]:
    """Return the training and the validation pictures that steps 04 to 09 share.

    Parameters
    ----------
    data : OpenedData
        The AOI data set.

    Returns
    -------
    train, valid : Pictures
        80 % and 20 % of each class, (N, 1, 128, 128).
    """
    pictures = decoded_pictures(data, "train")
    train_rows, valid_rows = stratified_split(pictures.labels, valid=0.2, seed=0)
    return pictures[train_rows], pictures[valid_rows]


def aoi_lenet(data: OpenedData, augmented: bool = True) -> Path:
    """Return the run folder of step 07's LeNet; train it first if it is not there.

    Parameters
    ----------
    data : OpenedData
        The AOI data set. A network trained on the sample does not count for the real data.
    augmented : bool
        False for the run without augmentation.

    Returns
    -------
    Path
        With model.safetensors, history.csv and metrics.json. One that was trained with other
        settings in step 07 is used as it is, and a sentence says so.
    """
    run = run_folder("aoi", "lenet" if augmented else "lenet_plain")
    source, epochs = _trained_on(run)
    is_ours = source == data.root.name
    if is_ours and epochs >= AOI_EPOCHS:
        return run
    facts = data.facts
    train, valid = aoi_parts(data)
    augment = aoi_augment if augmented else None
    train_batches = Batches(
        train, facts.mean, facts.std, shuffle=True, seed=AOI_SEED, augment=augment
    )
    valid_batches = Batches(valid, facts.mean, facts.std, batch_size=128)
    torch.manual_seed(AOI_SEED)
    model = LeNet(classes=len(facts.classes))
    model.to(best_device(), memory_format=torch.channels_last)  # see step 11: quicker on CPUs
    optimizer = torch.optim.AdamW(model.parameters())
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=AOI_RATE, total_steps=AOI_EPOCHS * len(train_batches)
    )
    try:
        fit(
            model,
            train_batches,
            valid_batches,
            optimizer,
            AOI_EPOCHS,
            run=run,
            scheduler=scheduler,
            resume=is_ours,
            notes={"source": data.root.name},
            desc=f"runs/aoi/{run.name} is missing or unfinished, so it is trained now. Epoch",
            precision=mixed_precision(best_device(), on_cpu=True),
        )
    except ValueError as error:  # trained in step 07 with settings of one's own, and finished
        if not is_ours:
            raise
        print(f"{error} Until then it is used as it is.")
    return run


def _trained_on(run: Path) -> tuple[str | None, int]:
    """Return which data a run was trained on, and for how many epochs."""
    wanted = [run / name for name in ("model.safetensors", "history.csv", "metrics.json")]
    if not all(file.is_file() for file in wanted):
        return None, 0
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return metrics.get("source"), metrics.get("epochs", 0)

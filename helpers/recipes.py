"""The LeNet of step 07, which later notebooks start from: made once, found again."""

import json
from pathlib import Path

import torch

from helpers.batches import Batches, aoi_augment, stratified_split
from helpers.catalog import run_folder
from helpers.data import OpenedData, Pictures, pictures
from helpers.models import LeNet
from helpers.training import best_device, fit, mixed_precision

LENET_EPOCHS, LENET_SEED = 24, 1
LENET_RATE = 2e-3  # the highest learning rate of the one-cycle schedule


def train_and_valid(data: OpenedData) -> tuple[Pictures, Pictures]:
    """Return the training and the validation pictures that steps 05 to 09 share."""
    everything = pictures(data, "train")
    if "valid" in data.facts.pictures:
        return everything, pictures(data, "valid")
    train_rows, valid_rows = stratified_split(everything.labels, valid=0.2, seed=0)
    return everything[train_rows], everything[valid_rows]


def trained_lenet(data: OpenedData, augmented: bool = True) -> Path:
    """Return the run folder of step 07's LeNet; train it first if it is not there.

    One of the sample does not count for the real data; else it is used as it is.
    """
    run = run_folder(data.facts.name, "lenet" if augmented else "lenet_plain")
    metrics = run / "metrics.json"
    known = json.loads(metrics.read_text(encoding="utf-8")) if metrics.is_file() else {}
    if known.get("source") == data.source and (run / "model.safetensors").is_file():
        return run
    facts, device, augment = data.facts, best_device(), aoi_augment if augmented else None
    train, valid = train_and_valid(data)
    if data.source == "sample":
        train = train[torch.arange(0, len(train), 4)]  # every fourth: see step 07
    batches = Batches(train, facts.mean, facts.std, shuffle=True, seed=LENET_SEED, augment=augment)
    valid_batches = Batches(valid, facts.mean, facts.std, batch_size=128)
    torch.manual_seed(LENET_SEED)
    model = LeNet(len(facts.classes), facts.channels, facts.size).to(device)
    optimizer = torch.optim.AdamW(model.parameters())
    steps = LENET_EPOCHS * len(batches)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LENET_RATE, steps)
    options = {"notes": {"source": data.source}, "precision": mixed_precision(device)}
    options["desc"] = f"runs/{facts.name}/{run.name} is not here yet, so it is trained now. Epoch"
    fit(model, batches, valid_batches, optimizer, LENET_EPOCHS, run, scheduler=schedule, **options)
    return run

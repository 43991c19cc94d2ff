"""Solar cells, frozen and fine-tuned, one split after the other: step 17 draws what this writes.

python -m tests.benchmarks.solar: twenty minutes a training on one core, seconds on a GPU
"""

import argparse
import copy
import datetime
import time

import pandas as pd
import torch
from torch import nn

from helpers.batches import Batches, random_flips, stratified_split
from helpers.catalog import REPOSITORY
from helpers.data import CsvImages, Pictures, decode_once
from helpers.samples.solar import solar_cells
from helpers.training import best_device, mixed_precision, train_epoch
from helpers.transfer import LITE0, load_backbone, train_head

from .__main__ import machine

SIZE, EPOCHS, RATES = 192, 6, (3e-4, 3e-3)  # pixels; of the body and of the head
MODULE = 60  # rows of labels.csv: about the cells of one module


class Tuned(nn.Module):
    """A pretrained network with a new head, for grey pictures (N, 1, H, W)."""

    def __init__(self, backbone):
        super().__init__()
        self.network = copy.deepcopy(backbone.network).requires_grad_(True)
        stem = (self.network.conv_stem, self.network.bn1, *self.network.blocks[:3])
        for part in stem:  # edges look alike everywhere; without them a step takes half the time
            part.requires_grad_(False)
        self.head = nn.Linear(backbone.outputs, 2)

    def forward(self, pictures):
        maps = self.network.forward_features(pictures.expand(-1, 3, -1, -1))
        return self.head(maps.mean(dim=(2, 3)))


def sure_loss(logits, probability):
    """Cross-entropy, in which a label counts the more the surer it is."""
    weights = 2 * (probability - 0.5).abs()
    losses = nn.functional.cross_entropy(logits, (probability >= 0.5).long(), reduction="none")
    return (weights * losses).sum() / weights.sum()


def fine_tune(backbone, images, probability, seed, epochs=EPOCHS, rates=RATES, loss=sure_loss):
    """Train on pictures (N, 1, H, W), as step 17 does."""
    device, normal = best_device(), backbone.transform.transforms[-1]
    torch.manual_seed(seed)
    model = Tuned(backbone).to(device, memory_format=torch.channels_last)
    options = {"batch_size": 32, "shuffle": True, "seed": seed, "augment": random_flips}
    batches = Batches(Pictures(images, probability), normal.mean[0], normal.std[0], **options)
    parts = zip((model.network, model.head), rates, strict=True)
    optimizer = torch.optim.AdamW([{"params": m.parameters(), "lr": r} for m, r in parts])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, epochs * len(batches))
    for epoch in range(epochs):
        batches.sampler.set_epoch(epoch)
        options = {"scheduler": schedule, "precision": mixed_precision(device)}
        train_epoch(model, batches, loss, optimizer, **options)
    return model.eval()


@torch.no_grad()
def accuracy(backbone, model, cells):
    """Ask about each picture and its mirror image."""
    device, normal = best_device(), backbone.transform.transforms[-1]
    right = 0
    for pictures, labels in Batches(cells, normal.mean[0], normal.std[0]):
        x = pictures.to(device)
        right += ((model(x) + model(x.flip(-1))).argmax(dim=1).cpu() == labels).sum().item()
    return right / len(cells)


def open_cells():
    """Return the cells at SIZE pixels, their table, and "real" or "sample"."""
    folder, source = solar_cells()
    images = CsvImages(folder / "labels.csv", folder, ("sound", "defect"), SIZE)
    return decode_once(images, folder / "cache"), pd.read_csv(folder / "labels.csv"), source


def splits_of(table):
    """Return two ways to split: by chance, kinds and labels in equal shares; or whole modules."""
    groups = torch.tensor(2 * table["Label"] + (table["kind"] == "mono"))
    modules = torch.arange(len(table)) // MODULE

    def by_chance(seed):
        return stratified_split(groups, valid=0.25, seed=seed)

    def by_module(seed):
        order = torch.randperm(modules.max() + 1, generator=torch.Generator().manual_seed(seed))
        test = torch.isin(modules, order[: len(order) // 4])
        return (~test).nonzero().flatten(), test.nonzero().flatten()

    return {"by chance": by_chance, "by module": by_module}


def main():
    """Measure, and write a row after each training."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks.solar", description=__doc__)
    parser.add_argument("--splits", type=int, default=3, help="to fine-tune; frozen are always ten")
    count, device = parser.parse_args().splits, best_device()
    backbone, (cells, table, source) = load_backbone(LITE0), open_cells()
    probability = torch.tensor(table["probability"], dtype=torch.float32)
    normal = backbone.transform.transforms[-1]
    with torch.no_grad():
        batches = Batches(cells, normal.mean[0], normal.std[0])
        features = [backbone.body(x.expand(-1, 3, -1, -1).to(device)).cpu() for x, _ in batches]
    features = torch.cat(features)  # (N, outputs)

    def frozen(train, test, seed):
        predicted = train_head(features[train], cells.labels[train])(features[test]).argmax(dim=1)
        return (predicted == cells.labels[test]).float().mean().item()

    def fine_tuned(train, test, seed):
        model = fine_tune(backbone, cells.images[train], probability[train], seed)
        return accuracy(backbone, model, cells[test])

    on = f"Trained on {torch.cuda.get_device_name()}. " if device.type == "cuda" else ""
    lines = [f"# {datetime.date.today()}, python -m tests.benchmarks.solar --splits {count}"]
    lines += [f"# {SIZE} pixels, {EPOCHS} epochs, rates {RATES}. {on}{machine()}"]
    lines += ["way,split,seed,accuracy,seconds"]
    for name, way, seeds in (("frozen", frozen, 10), ("fine-tuned", fine_tuned, count)):
        for split, parts in splits_of(table).items():
            for seed in range(seeds):
                start = time.perf_counter()
                share = way(*parts(seed), seed)
                seconds = time.perf_counter() - start
                lines.append(f"{name},{split},{seed},{share:.4f},{seconds:.1f}")
                print(lines[-1], flush=True)
    history = REPOSITORY / "data" / "histories" / f"solar-{source}.csv"
    history.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

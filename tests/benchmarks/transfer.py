"""From scratch, frozen or fine-tuned, by the number of pictures: step 10 draws what this writes.

python -m tests.benchmarks.transfer, with WORKSHOP_DATA=sample or real: about 15 minutes of one core
"""

import copy
import datetime
import itertools
import time

import torch
from torch import nn

from helpers.batches import Batches, photo_augment
from helpers.catalog import REPOSITORY
from helpers.data import open_data, pictures
from helpers.models import CompactVGG
from helpers.training import best_device, evaluate, train_epoch
from helpers.transfer import load_backbone, train_head

from .__main__ import machine

COUNTS = {20: (60, 12), 100: (60, 6), 600: (30, 3)}  # pictures: epochs from scratch, fine-tuned
FOLDER = REPOSITORY / "data" / "histories"


def learn(model, groups, epochs, train, valid, seed, **scale):
    """Train under one cycle, as step 10 does; return the validation accuracy."""
    options = {"batch_size": 16, "shuffle": True, "seed": seed, "augment": photo_augment}
    batches, optimizer = Batches(train, **scale, **options), torch.optim.AdamW(groups)
    rates, steps = [group["lr"] for group in groups], epochs * len(batches)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, steps)
    for epoch in range(epochs):
        batches.sampler.set_epoch(epoch)
        train_epoch(model, batches, nn.CrossEntropyLoss(), optimizer, schedule)
    return evaluate(model, Batches(valid, **scale), nn.CrossEntropyLoss()).accuracy


def main():
    """Measure, and write a row after each training."""
    data, backbone, device = open_data("pets"), load_backbone(), best_device()
    facts, normalize = data.facts, backbone.transform.transforms[-1]
    (large, large_valid), (small, small_valid) = (
        [pictures(data, part, size) for part in ("train", "valid")] for size in (128, facts.size)
    )
    theirs, ours = ({"mean": one.mean, "std": one.std} for one in (normalize, facts))
    with torch.no_grad():
        features, valid_features = (
            torch.cat([backbone.body(x.to(device)).cpu() for x, _ in Batches(part, **theirs)])
            for part in (large, large_valid)
        )

    def from_scratch(rows, epochs, seed):
        model = CompactVGG(len(facts.classes), widths=(16, 32, 64), patch=2).to(device)
        groups = [{"params": model.parameters(), "lr": 3e-3}]
        return learn(model, groups, epochs[0], small[rows], small_valid, seed, **ours)

    def frozen(rows, *_):
        head = train_head(features[rows], large.labels[rows])
        return (head(valid_features).argmax(dim=1) == large_valid.labels).float().mean().item()

    def fine_tuned(rows, epochs, seed):
        body = copy.deepcopy(backbone.body).requires_grad_(True)
        body.train = lambda *_: body  # stays in evaluation mode
        head = nn.Linear(backbone.outputs, len(facts.classes)).to(device)
        rates = ((body, 5e-4), (head, 5e-3))
        groups = [{"params": part.parameters(), "lr": rate} for part, rate in rates]
        model = nn.Sequential(body, head)
        return learn(model, groups, epochs[1], large[rows], large_valid, seed, **theirs)

    about = f"# {datetime.date.today()}. {machine()}"
    command = f"# WORKSHOP_DATA={data.source} python -m tests.benchmarks.transfer"
    lines = [about, command, "pictures,seed,way,accuracy,seconds"]
    for count, seed in itertools.product(COUNTS, range(3)):
        torch.manual_seed(seed)
        of_class = [(small.labels == c).nonzero().flatten() for c in small.labels.unique()]
        each = count // len(of_class)
        rows = torch.cat([one[torch.randperm(len(one))[:each]] for one in of_class])
        for way in (from_scratch, frozen, fine_tuned):
            torch.manual_seed(seed)
            start, name = time.perf_counter(), way.__name__.replace("_", " ")
            accuracy = way(rows, COUNTS[count], seed)
            seconds = time.perf_counter() - start
            name = name.replace("fine ", "fine-")
            lines.append(f"{count},{seed},{name},{accuracy:.4f},{seconds:.1f}")
            print(lines[-1], flush=True)
    (FOLDER / f"transfer-{data.source}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

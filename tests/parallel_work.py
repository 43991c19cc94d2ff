"""What each process of tests/test_parallel.py does. Usage: a launcher, then FOLDER TASK …"""

import errno
import json
import os
import signal
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from helpers import parallel
from helpers.augment import aoi_augment
from helpers.blocks import BlockFile
from helpers.cache import Pictures
from helpers.features import FeatureCache
from helpers.files import CannotWrite
from helpers.loaders import Batches, make_loader
from helpers.models import CompactVGG, LeNet

EPOCHS = 4
TRAIN, VALID, BATCH = 45, 17, 8  # the last batches have 5 pictures and 1


def noisy(count, channels=1, side=20):
    """Pictures whose class is their brightness."""
    labels = torch.arange(count) % 2
    noise = torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(0))
    return Pictures((200 * noise + 30 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels)


def batches(count, shuffle=False, channels=1, side=20):
    options = {"batch_size": BATCH, "shuffle": shuffle, "augment": aoi_augment if shuffle else None}
    return Batches(noisy(count, channels, side), 0.5, 0.25, **options)


def loader(count, shuffle=False):
    pictures = noisy(count)
    dataset = TensorDataset(pictures.images.double() / 255, pictures.labels)
    return make_loader(dataset, batch_size=BATCH, shuffle=shuffle)


def train(fit, run, make=batches, loss_fn=None, **options):
    """Train a LeNet with either `fit`, and return the history."""
    torch.manual_seed(0)
    model = LeNet(classes=2, size=20)
    if make is loader:  # in 64 bits hardly anything is rounded
        model = model.double()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=6 * EPOCHS)
    options |= {"scheduler": schedule, "loss_fn": loss_fn}
    return fit(model, make(TRAIN, True), make(VALID), optimizer, EPOCHS, run=run, **options)


def normed(fit, run):
    """Train a network with batch normalisation."""
    torch.manual_seed(0)
    model = CompactVGG(classes=2, widths=(4, 8))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    parts = (batches(TRAIN, True, 3, 32), batches(VALID, False, 3, 32))
    return fit(model, *parts, optimizer, 2, run=run)


class Fatal(nn.CrossEntropyLoss):
    """Kills its process in the third epoch."""

    calls = 0

    def forward(self, logits, labels):
        self.calls += 1
        if self.calls == 20:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(logits, labels)


class Noting(FeatureCache):
    """Remembers which blocks it computed; the second process takes its time."""

    blocks = ()

    def compute(self, blocks):
        self.blocks = [*self.blocks, *blocks]
        time.sleep(0.5 * int(os.environ.get("RANK", 0)))
        return super().compute(blocks)


def cache(folder, name="cache"):
    to_tensor = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    images = ImageFolder(folder / "pictures", to_tensor)
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())
    return Noting(images, body, folder / f"{name}-{int(os.environ.get('WORLD_SIZE', 1))}")


def spoil(file, blocks):
    """Change a number in some blocks of 32 pictures: those have 64 numbers of 2 bytes each."""
    with file.open("r+b") as opened:
        for block in blocks:
            opened.seek(block * 32 * 128)
            opened.write(b"!")


def refuse(store, *_):
    """Be a folder that cannot be written to."""
    raise CannotWrite(errno.EROFS, "read-only", store.file)


def features_of_two(folder, rank):
    """Compute features where all is well, damaged, read-only, and full; return what was seen."""
    first, again, full, never = (cache(folder, name) for name in ("cache", "cache", "full", "no"))
    features = parallel.load_features(first).images
    accelerator = parallel.start()
    accelerator.wait_for_everyone()
    if rank == 0:
        spoil(first.file, blocks=[3, 4, 5])
    parallel.load_features(again)
    accelerator.wait_for_everyone()
    put = BlockFile._put
    BlockFile._put = refuse if rank == 1 else put  # its disk is full
    same = [parallel.load_features(full)]
    BlockFile._put, BlockFile.alone = put, refuse
    same += [parallel.load_features(again), parallel.load_features(never)]
    return {
        "features": first.file.name,
        "computed": first.computed,
        "blocks": first.blocks,
        "again": again.blocks,
        "chosen": str(first.choice),
        "same": [torch.equal(other.images, features) for other in same],
    }


def rows_seen(make, rank, processes):
    """Return the row numbers in each batch of this process's part."""
    pictures = Pictures(torch.arange(VALID).view(-1, 1, 1, 1), torch.arange(VALID))
    if make is batches:
        whole = Batches(Pictures(pictures.images.float(), pictures.labels), batch_size=BATCH)
    else:
        whole = DataLoader(TensorDataset(pictures.images, pictures.labels), batch_size=BATCH)
    return [labels.tolist() for _, labels in parallel.Part(whole, rank, processes)]


def die(folder):
    """Be killed in the second process."""
    if os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(300)


def idle(folder):
    """Write down the process, and wait."""
    (folder / os.environ["RANK"]).write_text(str(os.getpid()))
    time.sleep(300)


def main(folder, task):
    """Do a task in one of several processes; each has a folder of its own, as on its own disk."""
    rank = int(os.environ["RANK"])
    own = folder / f"rank-{rank}"
    if task == "kill":
        train(parallel.fit, own / "run", loss_fn=Fatal() if rank == 1 else None)
    elif task == "resume":
        train(parallel.fit, None if rank else own / "run", resume=True)
    else:
        history = train(parallel.fit, own / "batches")
        train(parallel.fit, own / "loader", make=loader)
        normed(parallel.fit, own / "normed")
        seen = {"history": history.drop(columns="seconds").to_dict("list")}
        seen |= {make.__name__: rows_seen(make, rank, 2) for make in (batches, loader)}
        seen |= features_of_two(folder, rank)
        (folder / f"seen-{rank}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

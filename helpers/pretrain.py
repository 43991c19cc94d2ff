"""Train the compact network that ships with the workshop: python -m helpers.pretrain."""

import argparse
import json
import shutil
import sys
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, update_bn
from torchvision.datasets import ImageFolder

from helpers.archives import pictures, read_photo
from helpers.augment import photo_augment
from helpers.cache import Pictures
from helpers.catalog import COMPACT, PETS, data_folder, missing_parts, real_folder, run_folder
from helpers.checkpoints import load_model, save_model
from helpers.datasets import OpenedData, open_data
from helpers.features import FeatureCache
from helpers.files import split_at_marks, whole_file
from helpers.loaders import Batches, stratified_split
from helpers.models import CompactVGG
from helpers.optim import Muon
from helpers.report import predict
from helpers.training import best_device, evaluate, fit, mixed_precision
from helpers.transfer import load_backbone, train_head

CYCLES = ((16, 1.0), (8, 0.4))  # epochs, and the part of the rates that they begin with
BATCH = 1000
WIDTHS = (24, 96, 184, 192)
RATES = {"filters": 0.17, "biases": 0.053, "head": 0.3}  # in each cycle they fall to nothing
DECAY = 2e-6 * BATCH
CARD = COMPACT.with_name("README.md")
MARKS = ("<!-- figures: written by helpers.pretrain -->", "<!-- end of figures -->")


def pretrain(data: OpenedData, run: Path, seed: int = 0) -> nn.Module:
    """Train a `CompactVGG` on CIFAR-10; an interrupted training goes on where it stopped.

    The first convolution is set to what differs most in the pictures and stays so; the others
    begin by handing on what they get, and are trained by `helpers.optim.Muon`. Each picture is
    mirrored and moved anew every time it is shown; bfloat16 where the device computes with it.
    Source: Jordan, 94 % on CIFAR-10 in 3.29 seconds on a single GPU, 2024.

    Parameters
    ----------
    data : OpenedData
        CIFAR-10. The test rows are not touched.
    run : Path
        Where the training keeps its files.
    seed : int
        The same seed gives the same network on the same machine, and one within about a point of
        it elsewhere.

    Returns
    -------
    nn.Module
        Its weights are the mean of those of each cycle's best epoch, chosen on 1,000 training
        pictures that were kept apart. Source: Izmailov et al., Averaging weights leads to wider
        optima and better generalization, 2018.
    """
    facts, device = data.facts, best_device()
    everything = pictures(data, "train")
    train_rows, valid_rows = stratified_split(everything.labels, valid=0.02, seed=seed)
    normal = {"mean": facts.mean, "std": facts.std, "batch_size": BATCH}
    train = Batches(
        everything[train_rows], **normal, shuffle=True, seed=seed, augment=photo_augment
    )
    valid = Batches(everything[valid_rows], **normal)
    torch.manual_seed(seed)
    model = CompactVGG(len(facts.classes), WIDTHS, shortcuts=True)
    some = Batches(train.dataset, **normal | {"batch_size": 2000}, shuffle=True, seed=seed)
    initialise(model, next(iter(some))[0])
    model.to(device, memory_format=torch.channels_last)
    average = AveragedModel(model)
    for number, (epochs, part) in enumerate(CYCLES, start=1):
        optimizer = Muon(groups(model))
        fit(
            model,
            train,
            valid,
            optimizer,
            epochs,
            run=run / f"cycle-{number}",
            loss_fn=nn.CrossEntropyLoss(label_smoothing=0.2),
            scheduler=torch.optim.lr_scheduler.LinearLR(optimizer, part, 0, epochs * len(train)),
            resume=True,
            notes={"source": data.root.name},
            desc=f"Cycle {number}, epoch",
            precision=mixed_precision(device, on_cpu=True),
        )
        load_model(run / f"cycle-{number}" / "model.safetensors", model)
        model.to(device, memory_format=torch.channels_last)
        average.update_parameters(model)
    train.sampler.set_epoch(0)
    update_bn(islice(train, 5), average, device)
    return average.module


def initialise(model: CompactVGG, batch: Tensor) -> None:
    """Set the weights to begin with.

    The first convolution tells apart what differs most in patches of 3x3 pixels, each way, and
    stays as it is. The others begin by handing on what they get.

    Parameters
    ----------
    model : CompactVGG
        Changed in place.
    batch : Tensor
        (N, 3, height, width), normalised pictures of the training part.
    """
    first, *others = (one for one in model.features.modules() if isinstance(one, nn.Conv2d))
    patches = nn.functional.unfold(batch, 3).transpose(1, 2).flatten(0, 1)  # (many, 27)
    spread, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
    half = len(first.weight) // 2
    top = (directions[:, -half:] / (spread[-half:] + 5e-4).sqrt()).T
    with torch.no_grad():
        first.weight.copy_(torch.cat([top, -top]).view_as(first.weight))
        for layer in others:
            nn.init.dirac_(layer.weight[: layer.in_channels])
    first.weight.requires_grad_(False)
    for layer in model.features.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.requires_grad_(False)
            layer.momentum = 0.4  # few steps, large ones: older averages are of no use


def groups(model: CompactVGG) -> list[dict]:
    """Return what is trained, for `Muon`: filters, biases and the head, each with its rate."""
    trained = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    filters = [weight for _, weight in trained if weight.ndim == 4]
    biases = [weight for name, weight in trained if name.endswith("bias")]
    return [
        {"params": filters, "lr": RATES["filters"], "momentum": 0.6},
        {"params": biases, "lr": RATES["biases"], "weight_decay": DECAY / RATES["biases"]},
        {"params": [model.head.weight], "lr": RATES["head"], "weight_decay": DECAY / RATES["head"]},
    ]


def figures(file: Path, data: OpenedData) -> dict[str, str]:
    """Measure the network as it ships: in float16, on pictures that it has not seen.

    Parameters
    ----------
    file : Path
        The network that `main` wrote.
    data : OpenedData
        CIFAR-10. The real dogs and cats are used as well where they are here.

    Returns
    -------
    dict
        What was measured, and the result.
    """
    facts = data.facts
    test = Batches(pictures(data, "test"), facts.mean, facts.std, batch_size=500)
    network = load_model(file).to(best_device())
    accuracy = evaluate(network, test, nn.CrossEntropyLoss()).accuracy
    what = f"right of {len(test.dataset):,} CIFAR-10 test pictures"
    images, labels = test.dataset.images, test.dataset.labels
    mirrored = Batches(Pictures(images.flip(-1), labels), facts.mean, facts.std, batch_size=500)
    both = predict(network, test) + predict(network, mirrored)
    asked_twice = (both.argmax(dim=1) == labels).float().mean().item()
    found = {
        what: f"{accuracy:.2%}",
        f"{what}, with the mirror image of each": f"{asked_twice:.2%}",
    }
    if not missing_parts(PETS, real_folder(PETS)):
        backbone = load_backbone("compact_vgg", file)
        train, valid = (
            FeatureCache(
                ImageFolder(
                    real_folder(PETS) / PETS.inner / part, backbone.transform, loader=read_photo
                ),
                backbone.body,
                data_folder("pets") / "cache",
            ).load()
            for part in ("train", "valid")
        )
        logits = train_head(train, classes=2)(valid.images.float())
        right = (logits.argmax(dim=1) == valid.labels).float().mean().item()
        what = f"right of {len(valid):,} dogs and cats, by a linear head trained on {len(train):,}"
        found[what] = f"{right:.2%}"
    return found


def write_card(card: Path, name: str, rows: dict[str, str], beside: bool = False) -> None:
    """Put measured figures into the table of the model card, between its two marks.

    Parameters
    ----------
    card : Path
        The file.
    name : str
        Stands above the column.
    rows : dict
        What was measured, and the result.
    beside : bool
        True to keep the other columns: those of the same recipe.
    """
    before, table, after = split_at_marks(card.read_text(encoding="utf-8"), MARKS, str(card))
    columns = {}
    if beside:
        lines = [line.split("|")[1:-1] for line in table.strip().splitlines()]
        head, _, *body = [[cell.strip() for cell in line] for line in lines]
        what, *others = zip(head, *body, strict=True)
        columns = {column[0]: dict(zip(what, column, strict=True)) for column in others}
    columns[name] = rows
    lines = [["", *columns], ["---"] * (len(columns) + 1)]
    lines += [[what, *(told.get(what, "") for told in columns.values())] for what in rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    with whole_file(card) as partial:
        partial.write_text(f"{before}\n{text}\n{after}", encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    """Train, write the weights, and put the figures into the model card beside them."""
    parser = argparse.ArgumentParser("python -m helpers.pretrain", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument(
        "--beside", action="store_true", help="ship nothing: put its figures beside those that are"
    )
    options = parser.parse_args(argv)
    data = open_data("cifar10")
    if data.source != "real":
        print("This needs the real CIFAR-10. Get it: python -m helpers data cifar10")
        return 1
    run = run_folder("cifar10", f"pretrain_{options.seed}")
    network = pretrain(data, run, options.seed)
    told = [(run / f"cycle-{number}" / "metrics.json") for number in range(1, len(CYCLES) + 1)]
    cycles = [json.loads(file.read_text(encoding="utf-8")) for file in told]
    file = run / COMPACT.name
    save_model(network.half(), file)
    rows = {
        "weights": f"{cycles[-1]['parameters']:,}",
        "file": f"{file.stat().st_size / 1e6:.2f} MB, float16",
        "epochs": " and ".join(str(epochs) for epochs, _ in CYCLES),
        "training": f"{sum(cycle['seconds'] for cycle in cycles) / 60:.0f} minutes "
        f"({cycles[-1]['device']})",
        "right of 1,000 training pictures that were kept apart, after each cycle": " and ".join(
            f"{cycle['valid_accuracy']:.1%}" for cycle in cycles
        ),
        **figures(file, data),
    }
    for name, value in rows.items():
        print(f"{name}: {value}")
    if options.beside:
        write_card(CARD, f"seed {options.seed}", rows, beside=True)
    else:
        write_card(CARD, f"seed {options.seed}, which ships", rows)
        with whole_file(COMPACT) as partial:
            shutil.copyfile(file, partial)
    return 0


if __name__ == "__main__":
    sys.exit(main())

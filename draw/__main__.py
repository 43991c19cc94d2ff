"""Draw the three shipped samples, or those that are named, as in `python -m draw food pets`."""

import sys

from draw import cifar10, food, pets
from draw.packing import write_archive
from helpers.catalog import CIFAR10, FOOD, PETS, SHIPPED

SAMPLES = {"food": (FOOD, food), "pets": (PETS, pets), "cifar10": (CIFAR10, cifar10)}

if __name__ == "__main__":
    SHIPPED.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or SAMPLES:
        facts, module = SAMPLES[name]
        archive = SHIPPED / facts.archive.file
        write_archive(archive, module.files())
        print(f"{archive.name}: {archive.stat().st_size / 1e6:.1f} MB")

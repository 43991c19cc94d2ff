"""Draw the four shipped samples, or those that are named, as in `python -m draw food pets`."""

import sys

from draw import cifar10, food, pets, solar
from draw.packing import write_archive
from helpers.catalog import CIFAR10, FOOD, PETS, SHIPPED

SAMPLES = {
    one.name: (one.archive.file, module)
    for one, module in ((FOOD, food), (PETS, pets), (CIFAR10, cifar10))
}
SAMPLES["solar"] = (solar.ARCHIVE, solar)

if __name__ == "__main__":
    SHIPPED.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or SAMPLES:
        file, module = SAMPLES[name]
        archive = SHIPPED / file
        write_archive(archive, module.files())
        print(f"{archive.name}: {archive.stat().st_size / 1e6:.1f} MB")

"""Step 10's own cells, by the number of pictures: the notebook draws what this writes.

python -m tests.benchmarks.transfer, with WORKSHOP_DATA=sample or real: about 15 minutes of one core
"""

from itertools import product

import torch

from helpers.data import pictures

from . import timed
from .histories import lesson, write

EPOCHS = {10: (60, 12), 50: (60, 6), 300: (30, 3)}  # by pictures of each class: scratch, tuned


def measured(step, tuning):
    """Yield the rows, given the names of the notebook, and the cell that fine-tunes."""
    small, small_valid = (pictures(step["data"], part) for part in ("train", "valid"))
    large, large_valid = (pictures(step["data"], part, 128) for part in ("train", "valid"))
    features, valid = map(step["frozen_features"], (large, large_valid))
    of_class = [(small.labels == label).nonzero().flatten() for label in small.labels.unique()]
    for each, seed in product(EPOCHS, range(3)):
        torch.manual_seed(seed)
        rows = torch.cat([one[torch.randperm(len(one))[:each]] for one in of_class])
        long, short = EPOCHS[each]
        step |= {"seed": seed, "few": large[rows], "few_valid": large_valid, "epochs": short}
        found = timed(step["from_scratch"], small[rows], small_valid, long)
        yield len(rows), seed, "from scratch", *found
        yield len(rows), seed, "frozen", *timed(step["frozen_accuracy"], features[rows], valid)
        _, seconds = timed(exec, tuning.replace("epochs=2", "epochs=epochs"), step)
        yield len(rows), seed, "fine-tuned", step["fine_tuned"], seconds


if __name__ == "__main__":
    step, tuning = lesson("10", "def frozen_features(", "tuned = nn.Sequential(")
    columns = "pictures,seed,way,accuracy,seconds"
    write("transfer", step["data"].source, columns, measured(step, tuning))

"""Step 10's own cells, by the number of pictures: the notebook draws what this writes.

python -m tests.benchmarks.transfer, with WORKSHOP_DATA=sample or real: about 15 minutes of one core
"""

import datetime
import itertools
import time

import torch

from helpers.catalog import REPOSITORY
from helpers.plots import plt
from workshop.room import code_cells, notebook_files

from .__main__ import machine

COUNTS = {20: (60, 12), 100: (60, 6), 600: (30, 3)}  # pictures: epochs from scratch, fine-tuned


def main():
    """Measure, and write a row after each training."""
    cells = code_cells(*notebook_files("10"))
    (last,) = (n for n, source in enumerate(cells) if "def frozen_features(" in source)
    (tuning,) = (source for source in cells if "tuned = nn.Sequential(" in source)
    step = {"__name__": "__main__"}
    for source in cells[: last + 1]:
        exec(source, step)
        plt.close("all")
    small, small_valid, large, large_valid = (
        step["read_all"](step["data"], part, side)
        for side, part in itertools.product((step["data"].facts.size, 128), ("train", "valid"))
    )
    features, valid_features = map(step["frozen_features"], (large, large_valid))

    def from_scratch(rows, epochs):
        return step["from_scratch"](small[rows], small_valid, epochs[0])

    def frozen(rows, epochs):
        return step["frozen_accuracy"](features[rows], valid_features)

    def fine_tuned(rows, epochs):
        step.update(few=large[rows], few_valid=large_valid)
        exec(tuning.replace("epochs=2", f"epochs={epochs[1]}"), step)
        return step["fine_tuned"]

    about = f"# {datetime.date.today()}. {machine()}"
    source = step["data"].source
    command = f"# WORKSHOP_DATA={source} python -m tests.benchmarks.transfer"
    lines = [about, command, "pictures,seed,way,accuracy,seconds"]
    of_torch = torch.manual_seed
    for count, seed in itertools.product(COUNTS, range(3)):
        torch.manual_seed = lambda _, seed=seed: of_torch(seed)  # each cell begins with seed 0
        torch.manual_seed(seed)
        of_class = [(small.labels == c).nonzero().flatten() for c in small.labels.unique()]
        each = count // len(of_class)
        rows = torch.cat([one[torch.randperm(len(one))[:each]] for one in of_class])
        ways = {"from scratch": from_scratch, "frozen": frozen, "fine-tuned": fine_tuned}
        for name, way in ways.items():
            start = time.perf_counter()
            accuracy = way(rows, COUNTS[count])
            seconds = time.perf_counter() - start
            lines.append(f"{count},{seed},{name},{accuracy:.4f},{seconds:.1f}")
            print(lines[-1], flush=True)
    history = REPOSITORY / "data" / "histories" / f"transfer-{source}.csv"
    history.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

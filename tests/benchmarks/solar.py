"""Step 17's own cells, one split after the other: the notebook draws what this writes.

python -m tests.benchmarks.solar: twenty minutes a split on one core, seconds on a GPU
"""

import argparse
import datetime
import time

import torch

from helpers.batches import stratified_split
from helpers.catalog import REPOSITORY
from helpers.plots import plt
from workshop.room import code_cells, notebook_files

from .__main__ import machine


def main():
    """Measure, and write the rows; frozen features are always measured on ten splits."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks.solar", description=__doc__)
    parser.add_argument("--splits", type=int, default=3, help="to train on")
    count = parser.parse_args().splits
    cells = code_cells(*notebook_files("17"))
    (training,) = (n for n, source in enumerate(cells) if "tuned = nn.Sequential(" in source)
    step = {"__name__": "__main__"}
    for source in cells[:training]:
        exec(source, step)
        plt.close("all")
    splits = {
        "by chance": lambda seed: stratified_split(step["kinds"], 0.25, seed),
        "by module": lambda seed: step["by_module"](step["modules"], seed),
    }

    def frozen(seed):
        return {"frozen": step["frozen"](step["train"], step["test"]) / 100}

    def trained(seed):
        exec(cells[training].replace("manual_seed(0)", f"manual_seed({seed})"), step)
        truth = step["labels"][step["test"]]
        answers = {name: step["ask"](step[name]).argmax(dim=1) for name in ("lenet", "tuned")}
        shares = {name: (one == truth).float().mean().item() for name, one in answers.items()}
        return {"LeNet": shares["lenet"], "fine-tuned": shares["tuned"]}

    on = f"Trained on {torch.cuda.get_device_name()}. " if torch.cuda.is_available() else ""
    lines = [f"# {datetime.date.today()}, python -m tests.benchmarks.solar --splits {count}"]
    lines += [f"# {step['SIZE']} pixels, {step['EPOCHS']} epochs. {on}{machine()}"]
    lines += ["way,split,seed,accuracy,seconds"]
    for measure, seeds in ((frozen, 10), (trained, count)):
        for split, parts in splits.items():
            for seed in range(seeds):
                step["train"], step["test"] = parts(seed)
                start = time.perf_counter()
                shares, seconds = measure(seed), time.perf_counter() - start
                lines += [f"{w},{split},{seed},{a:.4f},{seconds:.1f}" for w, a in shares.items()]
                print(*lines[-len(shares) :], sep="\n", flush=True)
    history = REPOSITORY / "data" / "histories" / f"solar-{step['source']}.csv"
    history.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

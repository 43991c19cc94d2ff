"""Step 17's own cells, one split after the other: the notebook draws what this writes.

The paper's kind of split also fine-tunes two networks, and asks them together.
python -m tests.benchmarks.solar: half an hour a split on one core, seconds on a GPU
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
    """Measure, and write each row at once; the paper's split is the one by chance."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks.solar", description=__doc__)
    parser.add_argument("--splits", type=int, default=3, help="by chance, to train on")
    count = parser.parse_args().splits
    cells = code_cells(*notebook_files("17"))
    (first,) = (n for n, source in enumerate(cells) if "lenet = LeNet(" in source)
    (tuning,) = (source for source in cells if "tuned = nn.Sequential(early," in source)
    step = {"__name__": "__main__"}
    for source in cells[:first]:
        exec(source, step)
        plt.close("all")
    splits = {
        "by chance": lambda seed: stratified_split(step["kinds"], 0.25, seed),
        "by module": lambda seed: step["by_module"](step["modules"], seed),
    }

    def frozen(seed):
        return {"frozen": step["frozen"](step["train"], step["test"]) / 100}

    def chances(seed):  # (N, 2)
        exec(tuning.replace("manual_seed(0)", f"manual_seed({seed})"), step)
        return step["ask"](step["tuned"]).softmax(dim=1)

    def trained(seed):
        found = {"fine-tuned": chances(seed)}
        found["two fine-tuned"] = found["fine-tuned"] + chances(seed + 10)
        truth = step["labels"][step["test"]]
        return {way: (p.argmax(dim=1) == truth).float().mean().item() for way, p in found.items()}

    on = f"Trained on {torch.cuda.get_device_name()}. " if torch.cuda.is_available() else ""
    lines = [f"# {datetime.date.today()}, python -m tests.benchmarks.solar --splits {count}"]
    lines += [f"# {step['SIZE']} pixels, {step['EPOCHS']} epochs. {on}{machine()}"]
    lines += ["way,split,seed,accuracy,seconds"]
    history = REPOSITORY / "data" / "histories" / f"solar-{step['source']}.csv"
    for measure, names, seeds in ((frozen, splits, 10), (trained, ["by chance"], count)):
        for split in names:
            for seed in range(seeds):
                step["train"], step["test"] = splits[split](seed)
                start = time.perf_counter()
                shares, seconds = measure(seed), time.perf_counter() - start
                lines += [f"{w},{split},{seed},{a:.4f},{seconds:.1f}" for w, a in shares.items()]
                print(*lines[-len(shares) :], sep="\n", flush=True)
                history.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
